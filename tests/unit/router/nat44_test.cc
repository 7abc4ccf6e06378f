// NAT44's side of the router, and VLAN tags on all that it sends: one router with three sides, each in a VLAN.
#include "tests/unit/router/frames.h"

namespace portolan::control::testing {
namespace {

using pipeline::Punt;

constexpr std::string_view our_inside_mac = "02:00:00:00:00:03", inside_gateway_mac = "02:dd:00:00:00:01";
constexpr std::string_view our_inside = "100.64.0.1", inside_gateway = "100.64.0.2", host = "100.64.7.7";
constexpr std::string_view nobody = "00:00:00:00:00:00";
constexpr unsigned access_vlan = 100, internet_vlan = 200, inside_vlan = 300;

pipeline::Snapshot three_sides(pipeline::Snapshot snapshot) {
  snapshot.inside = {.mac = link(our_inside_mac),
                     .address = net::parse_ipv4_interface(std::string(our_inside) + "/24").value(),
                     .gateway = v4(inside_gateway),
                     .mtu_bytes = 1400,
                     .vlan = inside_vlan};
  snapshot.inside.prefixes = {net::parse_ipv4_prefix("100.64.0.0/10").value()};
  snapshot.inside.subscriber_prefix_length = 30;
  snapshot.access.vlan = access_vlan, snapshot.internet.vlan = internet_vlan;
  return snapshot;
}

Octets tagged(std::string_view to, std::string_view from, unsigned vlan, unsigned type, const Octets& payload) {
  return mac(to) + mac(from) + u16(0x8100) + u16(vlan) + u16(type) + payload;
}

class Nat44 : public RouterTest {
 public:
  Nat44() : RouterTest(three_sides(a_snapshot())) {}

  void resolve() {
    resolve_gateways();
    gateways.inside.set(link(inside_gateway_mac));
  }
  // From behind the gateway, unless `from` says otherwise.
  Outcome inside(Punt punt, const Octets& packet, std::string_view from = inside_gateway_mac, uint16_t mtu = 0) {
    Context context;
    context.side = Side::inside, context.punt = punt, context.fate = pipeline::Fate::punt;
    context.l3_offset = context.outer_offset = 14, context.mtu = mtu;
    return handle(ethernet(our_inside_mac, from, type_ipv4, packet), context);
  }
  static Sent to_inside(const Octets& packet, std::string_view to = inside_gateway_mac) {
    return {Side::inside, tagged(to, our_inside_mac, inside_vlan, type_ipv4, packet)};
  }
  static Ip4 from_host(unsigned protocol, std::string_view to, unsigned ttl = 64) {
    return {.source = std::string(host), .destination = std::string(to), .protocol = protocol, .ttl = ttl};
  }
  static Ip4 to_host(unsigned protocol, std::string_view from = our_inside) {
    return {.source = std::string(from), .destination = std::string(host), .protocol = protocol};
  }
};

TEST_F(Nat44, arp_on_the_inside_is_for_its_own_address_alone_and_tagged) {
  const auto ask = [&](std::string_view target) {
    return handle(Side::inside, Punt::arp,
                  ethernet(broadcast_mac, neighbor_mac, type_arp, arp(1, neighbor_mac, "100.64.0.9", nobody, target)));
  };
  EXPECT_EQ(ask(our_inside), Outcome::arp_answered);
  EXPECT_EQ(
      take_sent(),
      (std::vector<Sent>{{Side::inside, tagged(neighbor_mac, our_inside_mac, inside_vlan, type_arp,
                                               arp(2, our_inside_mac, our_inside, neighbor_mac, "100.64.0.9"))}}));
  for (const auto other : {our_ipv4, std::string_view("198.51.100.18"), inside_gateway, host})
    EXPECT_EQ(ask(other), Outcome::declined) << other;
  EXPECT_EQ(
      handle(Side::inside, Punt::arp,
             ethernet(broadcast_mac, neighbor_mac, type_arp, arp(1, neighbor_mac, our_inside, nobody, our_inside))),
      Outcome::address_conflict);
  EXPECT_TRUE(sent.empty());
}

TEST_F(Nat44, each_side_finds_its_gateway_in_its_vlan_and_announces_itself_there) {
  router.tick(now_ms);
  const auto all = take_sent();
  const auto tag_of = [](const Sent& one) {
    EXPECT_EQ(one.frame[12] << 8 | one.frame[13], 0x8100);
    return static_cast<unsigned>(one.frame[14] << 8 | one.frame[15]);
  };
  for (const auto& one : all)
    EXPECT_EQ(tag_of(one), one.side == Side::access     ? access_vlan
                           : one.side == Side::internet ? internet_vlan
                                                        : inside_vlan);
  const auto from_us = [](std::string_view target) { return arp(1, our_inside_mac, our_inside, nobody, target); };
  for (const auto target : {our_inside, inside_gateway})
    EXPECT_EQ(
        times(all, Sent{Side::inside, tagged(broadcast_mac, our_inside_mac, inside_vlan, type_arp, from_us(target))}),
        1)
        << target;
  EXPECT_EQ(std::ranges::count(all, Side::inside, &Sent::side), 2) << "no pool address is announced there";
  ASSERT_EQ(router.neighbors().size(), 3U);
  EXPECT_EQ(router.neighbors()[2].side, Side::inside);
  EXPECT_EQ(router.neighbors()[2].address, net::mapped(v4(inside_gateway)));

  handle(Side::inside, Punt::arp,
         ethernet(our_inside_mac, inside_gateway_mac, type_arp,
                  arp(2, inside_gateway_mac, inside_gateway, our_inside_mac, our_inside)));
  EXPECT_EQ(gateways.inside.get(), link(inside_gateway_mac));
  EXPECT_EQ(gateways.internet.get(), std::nullopt) << "an answer on one side resolves no other";
  EXPECT_EQ(router.neighbors()[2].state, NeighborState::reachable);
}

TEST_F(Nat44, a_new_vlan_means_new_neighbours) {
  resolve();
  auto next = snapshot;
  next.inside.vlan = 301;
  router.use(next, now_ms);
  EXPECT_EQ(gateways.inside.get(), std::nullopt);
  EXPECT_NE(gateways.internet.get(), std::nullopt);
  snapshot = next;
  router.use(snapshot, now_ms);
}

TEST_F(Nat44, echo_to_our_inside_address_goes_back_through_the_gateway_or_to_the_neighbour) {
  resolve();
  const Octets data = text("ping");
  EXPECT_EQ(inside(Punt::host_ipv4, ipv4(from_host(1, our_inside), icmp(8, 0, 0x00070003, data))),
            Outcome::echo_answered);
  EXPECT_EQ(take_sent(), std::vector<Sent>{to_inside(ipv4(to_host(1), icmp(0, 0, 0x00070003, data)))});
  const Ip4 near{.source = "100.64.0.9", .destination = std::string(our_inside), .protocol = 1};
  EXPECT_EQ(inside(Punt::host_ipv4, ipv4(near, icmp(8, 0, 1, data)), neighbor_mac), Outcome::echo_answered);
  const Ip4 back{.source = std::string(our_inside), .destination = "100.64.0.9", .protocol = 1};
  EXPECT_EQ(take_sent(), std::vector<Sent>{to_inside(ipv4(back, icmp(0, 0, 1, data)), neighbor_mac)});
}

// The MTU is of layer 3, whatever the tag adds.
TEST_F(Nat44, echo_as_long_as_the_mtu_and_one_longer) {
  resolve();
  for (const size_t bytes : {1371U, 1372U, 1373U}) {
    const auto packet = ipv4(from_host(1, our_inside), icmp(8, 0, 1, Octets(bytes)));
    EXPECT_EQ(inside(Punt::host_ipv4, packet), bytes > 1372 ? Outcome::too_long : Outcome::echo_answered) << bytes;
  }
}

TEST_F(Nat44, errors_come_from_our_inside_address) {
  resolve();
  const Octets segment = udp(host, remote, 5000, 53, text("hello"));
  const struct {
    Punt punt;
    unsigned type, code;
    uint32_t rest;
  } rows[] = {{Punt::ttl_expired, 11, 0, 0},
              {Punt::no_resources, 3, 1, 0},
              {Punt::too_big, 3, 4, 1300},
              {Punt::protocol_unreachable, 3, 2, 0}};
  for (const auto& [punt, type, code, rest] : rows) {
    const Octets packet = ipv4(from_host(17, remote, 1), segment);
    EXPECT_EQ(inside(punt, packet, inside_gateway_mac, static_cast<uint16_t>(rest)), Outcome::error_sent);
    EXPECT_EQ(take_sent(), std::vector<Sent>{to_inside(ipv4(to_host(1), icmp(type, code, rest, packet)))});
  }
}

TEST_F(Nat44, ICM_018_errors_can_be_switched_off_for_this_side_alone) {
  resolve();
  snapshot.inside.icmp_errors = false;
  const Octets packet = ipv4(from_host(17, remote, 1), udp(host, remote, 5000, 53, text("hello")));
  EXPECT_EQ(inside(Punt::ttl_expired, packet), Outcome::error_switched_off);
  EXPECT_EQ(inside(Punt::too_big, packet, inside_gateway_mac, 1300), Outcome::error_sent);
  snapshot.inside.icmp_errors = true, snapshot.softwire.icmp_errors = false, snapshot.internet.icmp_errors = false;
  EXPECT_EQ(inside(Punt::ttl_expired, packet), Outcome::error_sent);
}

TEST_F(Nat44, pcp_is_asked_at_our_address_and_the_anycast_one_by_the_host_itself) {
  resolve();
  for (const auto server : {our_inside, std::string_view("192.0.0.9")}) {
    const auto request = udp(host, server, 40001, 5351, text("request"));
    EXPECT_EQ(inside(Punt::host_ipv4, ipv4(from_host(17, server), request)), Outcome::pcp_received);
    ASSERT_EQ(pcp.size(), 1U);
    EXPECT_EQ(pcp[0].b4, net::mapped(v4("100.64.7.4"))) << "the subscriber: a /30";
    EXPECT_EQ(pcp[0].inner_source, v4(host));
    EXPECT_EQ(pcp[0].server4, v4(server));
    EXPECT_TRUE(router.send_pcp(pcp[0], text("reply")));
    EXPECT_EQ(take_sent(),
              std::vector<Sent>{to_inside(ipv4(to_host(17, server), udp(server, host, 5351, 40001, text("reply"))))});
    pcp.clear();
  }
  // Not at the internet's address, and from the internet nowhere.
  const auto request = udp(host, our_ipv4, 40001, 5351, text("request"));
  EXPECT_EQ(inside(Punt::host_ipv4, ipv4(from_host(17, our_ipv4), request)), Outcome::declined);
  const Ip4 outside{.source = std::string(remote), .destination = std::string(our_inside), .protocol = 17};
  EXPECT_EQ(handle(Side::internet, Punt::host_ipv4,
                   ethernet(our_internet_mac, internet_gateway_mac, type_ipv4,
                            ipv4(outside, udp(remote, our_inside, 40001, 5351, text("request"))))),
            Outcome::declined);
  EXPECT_TRUE(pcp.empty());
}

TEST_F(Nat44, answers_into_softwires_and_to_the_internet_carry_their_tags) {
  resolve();
  const Octets data = text("ping");
  const Ip4 inner{.source = std::string(testing::inside), .destination = "192.0.0.1", .protocol = 1};
  EXPECT_EQ(handle_in_softwire(Punt::host_softwire, ipv4(inner, icmp(8, 0, 1, data))), Outcome::echo_answered);
  const Ip4 outer{.source = std::string(remote), .destination = std::string(our_ipv4), .protocol = 1};
  EXPECT_EQ(handle(Side::internet, Punt::host_ipv4,
                   ethernet(our_internet_mac, internet_gateway_mac, type_ipv4, ipv4(outer, icmp(8, 0, 1, data)))),
            Outcome::echo_answered);
  const auto all = take_sent();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ((Octets{all[0].frame.begin() + 12, all[0].frame.begin() + 18}), hex("8100 0064 86dd"));
  EXPECT_EQ((Octets{all[1].frame.begin() + 12, all[1].frame.begin() + 18}), hex("8100 00c8 0800"));
}

}  // namespace
}  // namespace portolan::control::testing
