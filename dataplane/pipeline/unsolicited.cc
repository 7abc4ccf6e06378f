// What comes from outside for nobody: dropped, and a connection attempt answered later if that is wanted (held_syns.h).
#include <cstring>

#include "dataplane/pipeline/worker.h"

namespace portolan::pipeline {

using nat::Verdict;

namespace {

bool is_syn(const Packet& packet) {
  if (packet.protocol != net::Protocol::tcp || packet.quoted != nullptr || packet.ip->fragment_offset_bytes() != 0)
    return false;
  constexpr uint8_t relevant = net::tcp_syn | net::tcp_ack | net::tcp_rst;
  return (net::header_at<net::TcpHeader>(packet.transport).flags & relevant) == net::tcp_syn;
}

}  // namespace

// RFC 5382 REQ-4: not at once, for the inside may be about to open the same connection. What hairpinned is from one of
// our own, whom no error reaches by his outside address.
void Worker::refuse_inbound(Packet& packet, Verdict verdict, uint32_t now_s) {
  if (!snapshot_->answer_unsolicited_syns || packet.context.hairpin || !is_syn(packet)) return packet.drop(verdict);
  const auto& tcp = net::header_at<net::TcpHeader>(packet.transport);
  const bool held = held_syns_.hold(*packet.ip, tcp.source, tcp.destination, now_s);
  packet.drop(held ? Verdict::syn_held : verdict);
}

void Worker::answer_due_syns(Burst& burst, uint32_t now_s) {
  for (auto syn = held_syns_.due(now_s); !syn.empty(); syn = held_syns_.due(now_s)) {
    if (burst.fragment_count == burst.fragments.size()) return;
    Packet& packet = burst.fragments[burst.fragment_count];
    packet = Packet{};
    if (!buffers_.allocate(packet)) return;  // in the next burst
    ++burst.fragment_count;
    std::memcpy(packet.data, syn.data(), syn.size());
    packet.bytes = static_cast<uint32_t>(syn.size());
    held_syns_.pop();
    packet.context.side = Side::internet;
    packet.punt(Punt::unsolicited_syn, Verdict::router_declined);
    counters_.syns_released.add();
  }
}

}  // namespace portolan::pipeline
