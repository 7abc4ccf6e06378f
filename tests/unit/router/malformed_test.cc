// Whatever arrives, the router neither crashes nor answers what it should not, and every frame has exactly one outcome.
#include <random>

#include "tests/unit/router/frames.h"

namespace portolan::control::testing {
namespace {

using pipeline::Punt;

struct Sample {
  const char* what;
  Octets frame;
  Context context;
};

Context context_of(Side side, Punt punt) {
  Context out;
  out.side = side, out.punt = punt, out.l3_offset = out.outer_offset = 14;
  return out;
}

// One good frame for each thing the router does; none has padding, so every shorter one is malformed.
std::vector<Sample> samples() {
  const std::string peer(b4), access(our_ipv6), near(access_gateway), internet(our_ipv4), far(remote), host(inside);
  Context softwire = context_of(Side::access, Punt::host_softwire);
  softwire.in_softwire = true, softwire.b4 = v6(b4), softwire.softwire = v6(aftr), softwire.l3_offset = 54;
  Context expired = softwire, hairpin = context_of(Side::access, Punt::too_big);
  expired.punt = Punt::ttl_expired;
  hairpin.hairpin = true, hairpin.l3_offset = hairpin.outer_offset = 0;
  const auto ip6 = [](const Ip6& header, const Octets& payload) {
    return ethernet(our_access_mac, access_gateway_mac, type_ipv6, ipv6(header, payload));
  };
  const auto ip4 = [](const Ip4& header, const Octets& payload) {
    return ethernet(our_internet_mac, internet_gateway_mac, type_ipv4, ipv4(header, payload));
  };
  const Ip6 nd{.source = near, .destination = access, .hop_limit = 255};
  const Ip6 to_us{.source = peer, .destination = access};
  const Ip6 option{.source = peer, .destination = access, .next = 60};
  return {
      {"ARP request",
       ethernet(broadcast_mac, neighbor_mac, type_arp,
                arp(1, neighbor_mac, "198.51.100.7", "00:00:00:00:00:00", internet)),
       context_of(Side::internet, Punt::arp)},
      {"ARP reply",
       ethernet(our_internet_mac, internet_gateway_mac, type_arp,
                arp(2, internet_gateway_mac, internet_gateway, our_internet_mac, internet)),
       context_of(Side::internet, Punt::arp)},
      {"solicitation", ip6(nd, icmpv6(nd, 135, 0, 0, ip(access) + hex("0101") + mac(access_gateway_mac))),
       context_of(Side::access, Punt::host_ipv6)},
      {"advertisement", ip6(nd, icmpv6(nd, 136, 0, 0x60000000, ip(near) + hex("0201") + mac(access_gateway_mac))),
       context_of(Side::access, Punt::host_ipv6)},
      {"echo over IPv6", ip6(to_us, icmpv6(to_us, 128, 0, 1, text("data"))), context_of(Side::access, Punt::host_ipv6)},
      {"echo behind an option", ip6(option, hex("3a00 010400000000") + icmpv6(option, 128, 0, 1, {})),
       context_of(Side::access, Punt::host_ipv6)},
      {"PCP over IPv6",
       ip6({.source = peer, .destination = access, .next = 17}, udp(peer, access, 4000, 5351, Octets(24))),
       context_of(Side::access, Punt::host_ipv6)},
      {"echo over IPv4", ip4({.source = far, .destination = internet, .protocol = 1}, icmp(8, 0, 1, text("data"))),
       context_of(Side::internet, Punt::host_ipv4)},
      {"UDP over IPv4", ip4({.source = far, .destination = internet}, udp(far, internet, 53, 99, text("data"))),
       context_of(Side::internet, Punt::host_ipv4)},
      {"PCP in a softwire",
       RouterTest::in_softwire(
           ipv4({.source = host, .destination = "192.0.0.1"}, udp(host, "192.0.0.1", 4000, 5351, Octets(24)))),
       softwire},
      {"TTL expired in a softwire",
       RouterTest::in_softwire(ipv4({.source = host, .destination = far, .ttl = 1}, Octets(20))), expired},
      {"TTL expired inbound", ip4({.source = far, .destination = "192.0.2.5", .ttl = 1}, Octets(20)),
       context_of(Side::internet, Punt::ttl_expired)},
      {"hairpinned", ipv4({.source = "192.0.2.4", .destination = "192.0.2.5"}, Octets(20)), hairpin},
      {"bad extension", ip6({.source = peer, .destination = access, .next = 253}, Octets(20)),
       context_of(Side::access, Punt::bad_extension)},
  };
}

class Malformed : public RouterTest {
 public:
  Malformed() { resolve_gateways(); }
  uint64_t outcomes() const {
    uint64_t sum = 0;
    for (const auto& counter : router.counters().outcomes) sum += counter.read();
    return sum;
  }
};

TEST_F(Malformed, every_sample_is_taken_whole_and_refused_at_every_shorter_length) {
  for (const auto& [what, frame, context] : samples()) {
    now_ms += 10'000;  // the errors' buckets fill again
    EXPECT_TRUE(taken(handle(frame, context))) << what;
    sent.clear();
    pcp.clear();
    for (size_t bytes = 0; bytes < frame.size(); ++bytes) {
      // An exact copy of its own, so that a sanitizer sees a read beyond it.
      const Octets cut(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(bytes));
      EXPECT_EQ(handle(cut, context), Outcome::malformed) << what << " cut to " << bytes;
    }
    EXPECT_TRUE(sent.empty() && pcp.empty()) << what;
  }
  EXPECT_EQ(outcomes(), handled());
}

TEST_F(Malformed, offsets_beyond_the_frame_are_refused) {
  for (auto [what, frame, context] : samples()) {
    if (context.punt == Punt::arp || context.hairpin) continue;  // need none
    context.l3_offset = context.outer_offset = static_cast<uint16_t>(frame.size() + 7);
    EXPECT_EQ(handle(frame, context), Outcome::malformed) << what;
  }
}

// Shows PCP-215.
TEST_F(Malformed, random_mutations_do_no_harm) {
  std::mt19937 random(20'240'607);
  const auto below = [&](size_t bound) { return std::uniform_int_distribution<size_t>(0, bound - 1)(random); };
  const auto good = samples();
  for (int round = 0; round < 300'000; ++round) {
    const Sample& sample = good[below(good.size())];
    Octets frame = sample.frame;
    Context context = sample.context;
    for (size_t changes = below(4); changes > 0; --changes) frame[below(frame.size())] = static_cast<uint8_t>(random());
    if (below(4) == 0) frame.resize(below(frame.size() + 8));
    if (below(8) == 0) context.punt = static_cast<Punt>(below(pipeline::punt_count));
    if (below(16) == 0) context.l3_offset = static_cast<uint16_t>(below(frame.size() + 2));
    if (below(16) == 0) context.outer_offset = static_cast<uint16_t>(below(frame.size() + 2));
    if (below(16) == 0) context.in_softwire = !context.in_softwire;
    if (below(16) == 0) context.hairpin = !context.hairpin;
    now_ms += below(20);
    handle(frame, context);
    if (below(8) == 0) router.tick(now_ms);
    for (const auto& [side, answer] : sent) ASSERT_LE(answer.size(), 14U + 1500U);
    for (const auto& datagram : pcp) ASSERT_TRUE(router.send_pcp(datagram, Octets(60)) || !gateways.access.get());
    sent.clear();
    pcp.clear();
    pcp_payloads.clear();
  }
  EXPECT_EQ(outcomes(), handled());
  for (const auto outcome : {Outcome::arp_answered, Outcome::solicitation_answered, Outcome::echo_answered,
                             Outcome::error_sent, Outcome::pcp_received, Outcome::malformed, Outcome::bad_checksum})
    EXPECT_GT(count(outcome), 100U) << outcome_texts[static_cast<size_t>(outcome)].name;
}

}  // namespace
}  // namespace portolan::control::testing
