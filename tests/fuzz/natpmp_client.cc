// libFuzzer entry: what a gateway says to a PCP client that has fallen back to NAT-PMP, or is about to. The input is a
// row of moves: octets of any kind, octets that begin as a right answer does, time, and the program's own wishes.
#include <algorithm>
#include <vector>

#include "dataplane/net/text.h"
#include "ddns-client-ref/pcp_client.h"
#include "tests/fuzz/input.h"

namespace {

using namespace portolan;
using namespace portolan::ddns;
using fuzz::Input;
namespace natpmp = pcp::natpmp;

void holds(bool condition, const char* fault) { fuzz::require(condition ? "" : fault); }

const PcpPeer gateway{net::mapped(net::Ipv4{uint32_t{0xc0a80101}}), 5351};
const net::Ipv4 host{uint32_t{0xc0a80107}};

MappingSpec spec_of(uint8_t id) {
  MappingSpec spec;
  spec.protocol = (id & 1) != 0 ? net::Protocol::udp : net::Protocol::tcp;
  spec.inside = {host, {static_cast<uint16_t>(8080 + id)}};
  spec.keep = id != 3;
  return spec;
}

struct Session {
  PcpClient client{gateway, net::mapped(host), [] { return 0.5; }};
  Time now{std::chrono::seconds(100'000)};
  pcp::Message last{0, 0};
  size_t sent = 0, allowed = 64;

  void look() {
    for (auto& datagram : client.take_datagrams()) {
      holds(datagram.size() == 2 || datagram.size() == sizeof(natpmp::MapRequest) || datagram[0] == pcp::version,
            "a request of no protocol");
      holds(datagram[0] == pcp::version || datagram.size() == 2 || datagram[4] != 0 || datagram[5] != 0,
            "a request about port 0");
      last = std::move(datagram);
      ++sent;
    }
    holds(sent <= allowed, "sends in a loop");
    for (const PcpEvent& event : client.take_events())
      holds(event.kind >= PcpEvent::Kind::lost || event.grant.expires >= event.grant.since, "a grant that never was");
  }
  // As a caller does: awake when asked to be, and no sooner.
  void pass(Duration time) {
    const Time end = now + time;
    for (unsigned wakes = 0; client.next_timer() <= end; ++wakes) {
      holds(wakes < 10'000, "wakes in a loop");
      now = std::max(now, client.next_timer());
      client.tick(now);
      holds(client.next_timer() > now, "does not do what is due");
      allowed += 16;
      look();
    }
    now = end;
  }
  void receive(std::span<const uint8_t> octets) {
    allowed += 16;
    client.receive(octets, gateway, now);
    look();
  }
  // Version, opcode and inside port of the last request, the rest of the input's choice.
  void answer(Input& in) {
    pcp::Message out{0, static_cast<uint8_t>(last[1] | natpmp::response_bit), 0, in.below(6)};
    for (int i = 0; i < 4; ++i) out.push_back(in.octet());
    if (last.size() == sizeof(natpmp::MapRequest)) out.insert(out.end(), {last[4], last[5]});
    for (int i = 0; i < 6; ++i) out.push_back(in.octet());
    receive(out);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in(data, size);
  Session session;
  session.client.add(0, spec_of(0), session.now);
  session.look();
  for (unsigned moves = 0; !in.empty() && moves < 64; ++moves) {
    const uint8_t id = in.below(4);
    switch (in.below(8)) {
      case 0:
        session.receive(in.take(in.below(32)));
        break;
      case 1:
      case 2:
        session.answer(in);
        break;
      case 3:
        session.receive(pcp::Message{0, 0, 0, 1, 0, 0, in.octet(), in.octet()});
        break;
      case 4:
        session.pass(std::chrono::milliseconds(in.word()));
        break;
      case 5:
        session.pass(std::chrono::seconds(in.word()) / 16);
        break;
      case 6:
        session.allowed += 8;
        session.client.add(id, spec_of(id), session.now);
        break;
      default:
        session.allowed += 8;
        if (in.below(2) == 0)
          session.client.release(id, session.now);
        else
          session.client.renew(id, session.now);
    }
    session.look();
  }
  return 0;
}
