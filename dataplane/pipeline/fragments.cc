#include "dataplane/pipeline/fragments.h"

#include <algorithm>
#include <cstring>

#include "dataplane/pipeline/parse.h"

namespace portolan::pipeline {

using nat::Verdict;

namespace {

constexpr uint8_t congestion_experienced = 3;

struct Extent {
  uint32_t begin, end;
  bool more;
};

const net::Ipv6Header& ipv6_of(const Packet& packet) {
  return net::header_at<net::Ipv6Header>(packet.data + packet.context.outer_offset);
}

// Of a fragment that parse.h let through: packet.transport is its fragment header, and all of its lengths are right.
Extent ipv6_extent(const Packet& packet) {
  const auto& header = net::header_at<net::Ipv6Fragment>(packet.transport);
  const uint32_t begin = header.offset_more & 0xfff8U;
  const auto bytes = static_cast<uint32_t>(packet.bytes - packet.offset_of(packet.transport) - sizeof header);
  return {begin, begin + bytes, (header.offset_more & 1) != 0};
}

const uint8_t* ipv6_payload(const Packet& packet) { return packet.transport + sizeof(net::Ipv6Fragment); }

Extent ipv4_extent(const net::Ipv4Header& ip) {
  const uint32_t begin = ip.fragment_offset_bytes();
  return {begin, begin + ip.total_length - static_cast<uint32_t>(ip.header_bytes()), ip.more_fragments()};
}

// Of a first fragment.
net::Port remote_port_of(const Packet& packet) {
  if (packet.protocol == net::Protocol::icmp) return {};
  const auto& ports = net::header_at<net::UdpHeader>(packet.transport);
  return packet.outbound() ? ports.destination : ports.source;
}

// Two IPv4 addresses where an IPv6 address has its place.
net::Ipv6 side_by_side(net::Ipv4 first, net::Ipv4 second) {
  net::Ipv6 out;
  std::memcpy(out.bytes.data(), &first, sizeof first);
  std::memcpy(out.bytes.data() + sizeof first, &second, sizeof second);
  return out;
}

}  // namespace

Fragments::Fragments(uint32_t count, Buffers& buffers, WorkerCounters& counters)
    : buffers_(buffers), counters_(counters), outbound_(count / 2), inbound_(count / 2) {
  counters_.fragments_max.set(count / 2 * 2);
}

Fragments::~Fragments() {
  for (FragmentTable* table : {&outbound_, &inbound_})
    while (const uint32_t oldest = table->overdue(~uint32_t{0})) {
      while (auto packet = table->take_held(oldest)) buffers_.release(*packet);
      table->close(oldest);
    }
  for (FragmentTable* table : {&outbound_, &inbound_})
    while (auto packet = table->take_released()) buffers_.release(*packet);
}

bool Fragments::reassemble(Packet& packet, const net::Ipv6& subscriber, uint32_t now_s) {
  busy_ = true;
  const auto& ip = ipv6_of(packet);
  const DatagramKey key{ip.source, ip.destination, net::header_at<net::Ipv6Fragment>(packet.transport).identification,
                        net::Protocol::fragment};
  const auto entered = outbound_.enter(key, subscriber, Wait::reassembly, now_s);
  if (!entered) return packet.drop(entered.error()), false;
  const Extent extent = ipv6_extent(packet);
  if (outbound_[*entered].abandoned) return packet.drop(Verdict::fragment_overlap), false;
  if (outbound_[*entered].wait == Wait::none) return packet.drop(Verdict::fragment_duplicate), false;
  if (const auto covered = outbound_.cover(*entered, extent.begin, extent.end, extent.more); !covered) {
    const Packet* held = outbound_.held_at(*entered, extent.begin);
    const bool repeated = covered.error() == Verdict::fragment_duplicate && held != nullptr &&
                          std::memcmp(ipv6_payload(*held), ipv6_payload(packet), extent.end - extent.begin) == 0;
    if (repeated || covered.error() == Verdict::fragment_table_full) return packet.drop(covered.error()), false;
    outbound_[*entered].abandoned = true;  // RFC 8200 §4.5: all of it, and whatever still comes
    drop_held(outbound_, *entered, Verdict::fragment_overlap);
    return packet.drop(Verdict::fragment_overlap), false;
  }
  if (outbound_[*entered].complete()) return join(packet, *entered);
  if (const auto held = outbound_.hold(*entered, packet); !held) return packet.drop(held.error()), false;
  packet.context.fate = Fate::keep;
  return false;
}

// The unfragmentable part is the first fragment's, and so is the next header (RFC 8200 §4.5).
bool Fragments::join(Packet& packet, uint32_t datagram) {
  const Packet* held = outbound_.held_at(datagram, 0);
  const Packet& first = held != nullptr ? *held : packet;
  const uint32_t payload_bytes = outbound_[datagram].end, before = first.offset_of(first.transport);
  Packet whole;
  const bool made = buffers_.allocate(whole);
  if (!made || before + payload_bytes > whole.tailroom) {
    const Verdict verdict = made ? Verdict::reassembled_too_long : Verdict::no_buffer;
    if (made) buffers_.release(whole);
    drop_held(outbound_, datagram, verdict);
    outbound_.wait_for(datagram, Wait::none, 0);
    return packet.drop(verdict), false;
  }
  const size_t outer_offset = first.context.outer_offset;
  std::memcpy(whole.data, first.data, before);
  whole.bytes = before + payload_bytes;
  auto& ip = net::header_at<net::Ipv6Header>(whole.data + outer_offset);
  ip.payload_length = static_cast<uint16_t>(whole.bytes - outer_offset - sizeof ip);
  const HeaderChain chain = walk_headers(first.data + outer_offset, before - outer_offset);
  whole.data[outer_offset + chain.pointer] = net::header_at<net::Ipv6Fragment>(first.transport).next_header;

  bool congested = false;
  const auto append = [&](Packet& part) {
    const Extent extent = ipv6_extent(part);
    std::memcpy(whole.data + before + extent.begin, ipv6_payload(part), extent.end - extent.begin);
    congested |= (ipv6_of(part).traffic_class() & 3) == congestion_experienced;
    buffers_.release(part);
  };
  counters_.joined.add(outbound_[datagram].extent_count);
  while (auto part = outbound_.take_held(datagram)) append(*part);
  append(packet);
  if (congested)
    ip.version_class_flow = ip.version_class_flow | uint32_t{congestion_experienced} << 20;  // RFC 3168 §5.3
  outbound_.wait_for(datagram, Wait::none, 0);
  counters_.reassembled.add();
  packet = whole;
  return true;
}

void Fragments::follow(Packet& packet, const net::Ipv6& subscriber, uint32_t now_s) {
  busy_ = true;
  const bool outbound = packet.outbound();
  FragmentTable& among = table(outbound);
  const auto& ip = *packet.ip;
  const DatagramKey key{outbound ? subscriber : net::Ipv6{}, side_by_side(ip.source, ip.destination),
                        uint32_t{ip.identification}, packet.protocol};
  const auto entered = among.enter(key, outbound ? subscriber : net::mapped(ip.source), Wait::first, now_s);
  if (!entered) return packet.drop(entered.error());
  const Extent extent = ipv4_extent(ip);
  const auto covered = among.cover(*entered, extent.begin, extent.end, extent.more);
  if (!covered) return packet.drop(covered.error());
  Datagram& datagram = among[*entered];
  if (datagram.wait == Wait::first && packet.later_fragment) {
    if (const auto held = among.hold(*entered, packet); !held) return packet.drop(held.error());
    packet.context.fate = Fate::keep;
    return;
  }
  if (datagram.wait == Wait::first) {
    datagram.port = packet.port;
    datagram.remote_port = remote_port_of(packet);
    among.wait_for(*entered, Wait::rest, now_s);
    among.release(*entered);
  }
  packet.port = datagram.port;
  packet.remote_port = datagram.remote_port;
  packet.datagram = *entered;
  if (datagram.complete()) among.wait_for(*entered, Wait::none, now_s);
}

void Fragments::drop_held(FragmentTable& among, uint32_t datagram, Verdict verdict) {
  while (auto packet = among.take_held(datagram)) {
    counters_.dropped[verdict].add();
    buffers_.release(*packet);
  }
}

void Fragments::expire(Burst& burst, uint32_t now_s) {
  expire(outbound_, burst, now_s);
  expire(inbound_, burst, now_s);
}

void Fragments::expire(FragmentTable& among, Burst& burst, uint32_t now_s) {
  if (among.has_released()) return;  // they may still ask for their datagram
  while (const uint32_t overdue = among.overdue(now_s)) {
    if (burst.count == burst.packets.size()) return;
    const bool reassembly = among[overdue].wait == Wait::reassembly;
    const Packet* first = reassembly ? among.held_at(overdue, 0) : nullptr;
    const uint8_t* answered = first != nullptr ? first->data : nullptr;
    while (auto packet = among.take_held(overdue)) {
      if (packet->data == answered) {  // RFC 8200 §4.5: ICMPv6 3/1
        packet->punt(Punt::reassembly_timeout, Verdict::fragment_timeout);
        burst.packets[burst.count++] = *packet;
        continue;
      }
      counters_.dropped[Verdict::fragment_timeout].add();
      buffers_.release(*packet);
    }
    among.close(overdue);
  }
}

void Fragments::take_released(Burst& burst, bool outbound) {
  FragmentTable& from = table(outbound);
  while (from.has_released() && burst.count < burst.packets.size()) {
    Packet& packet = burst.packets[burst.count++];
    packet = *from.take_released();
    packet.context.fate = Fate::undecided;
  }
}

void Fragments::end_burst() {
  close_complete(outbound_);
  close_complete(inbound_);
  counters_.waiting.set(outbound_.held_count() + inbound_.held_count());
  counters_.datagrams.set(outbound_.open_count() + inbound_.open_count());
  busy_ = counters_.waiting.read() + counters_.datagrams.read() > 0;
}

void Fragments::close_complete(FragmentTable& among) {
  if (among.has_released()) return;
  while (const uint32_t complete = among.complete()) among.close(complete);
}

}  // namespace portolan::pipeline
