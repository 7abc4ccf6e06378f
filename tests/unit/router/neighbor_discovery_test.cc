// Neighbour discovery on the access side (RFC 4861): §7.1 is the table of what is refused.
#include "tests/unit/router/frames.h"

namespace portolan::control::testing {
namespace {

using pipeline::Punt;
constexpr std::string_view all_nodes = "ff02::1", all_nodes_mac = "33:33:00:00:00:01";
constexpr std::string_view neighbor = "2001:db8:0:1::7";
constexpr uint32_t router_flag = 1U << 31, solicited_flag = 1U << 30, override_flag = 1U << 29;

Octets option(unsigned type, std::string_view address) { return Octets{static_cast<uint8_t>(type), 1} + mac(address); }

class Discovery : public RouterTest {
 public:
  // The parts of a solicitation, each of which a test may spoil.
  struct Solicitation {
    std::string source{neighbor}, destination{our_ipv6}, target{our_ipv6};
    Octets options = option(1, neighbor_mac);
    unsigned hop_limit = 255, code = 0;
    std::string_view from_mac = neighbor_mac;
  };
  static Octets frame_of(const Solicitation& ask) {
    const Ip6 header{.source = ask.source, .destination = ask.destination, .hop_limit = ask.hop_limit};
    const Octets message = icmpv6(header, 135, ask.code, 0, ip(ask.target) + ask.options);
    return ethernet(our_access_mac, ask.from_mac, type_ipv6, ipv6(header, message));
  }
  Outcome solicit(const Solicitation& ask) { return handle(Side::access, Punt::host_ipv6, frame_of(ask)); }
  Outcome advertise(std::string_view target, std::string_view target_mac, uint32_t flags,
                    std::string_view destination = our_ipv6) {
    const Ip6 header{.source = std::string(target), .destination = std::string(destination), .hop_limit = 255};
    const Octets message = icmpv6(header, 136, 0, flags, ip(target) + option(2, target_mac));
    return handle(Side::access, Punt::host_ipv6,
                  ethernet(our_access_mac, target_mac, type_ipv6, ipv6(header, message)));
  }
  static Sent advertisement(std::string_view target, std::string_view to, std::string_view to_mac, uint32_t flags) {
    const Ip6 header{.source = std::string(target), .destination = std::string(to), .hop_limit = 255};
    const Octets message = icmpv6(header, 136, 0, flags, ip(target) + option(2, our_access_mac));
    return {Side::access, ethernet(to_mac, our_access_mac, type_ipv6, ipv6(header, message))};
  }
};

TEST_F(Discovery, solicitation_is_answered_octet_by_octet) {
  EXPECT_EQ(solicit({}), Outcome::solicitation_answered);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].frame, hex("02cc00000007 020000000001 86dd"
                               "60000000 0020 3a ff 20010db8000000010000000000000001 20010db8000000010000000000000007"
                               "8800 0a6b e0000000 20010db8000000010000000000000001 0201 020000000001"));
  EXPECT_EQ(sent[0], advertisement(our_ipv6, neighbor, neighbor_mac, router_flag | solicited_flag | override_flag));
}

TEST_F(Discovery, every_address_of_ours_on_the_link_is_answered_and_no_other) {
  for (const auto target : {our_ipv6, our_link_local, aftr_on_link}) {
    EXPECT_EQ(solicit({.target = std::string(target)}), Outcome::solicitation_answered) << target;
    EXPECT_EQ(take_sent(),
              std::vector{advertisement(target, neighbor, neighbor_mac, router_flag | solicited_flag | override_flag)});
  }
  EXPECT_EQ(solicit({.target = std::string(aftr)}), Outcome::declined) << "routed to us, not on the link";
  EXPECT_EQ(solicit({.target = "2001:db8:0:1::99"}), Outcome::declined);
  EXPECT_TRUE(sent.empty());
}

TEST_F(Discovery, solicitation_without_a_source_is_answered_to_all_nodes) {  // §7.2.4
  EXPECT_EQ(solicit({.source = "::", .destination = "ff02::1:ff00:1", .options = {}}), Outcome::solicitation_answered);
  EXPECT_EQ(take_sent(), std::vector{advertisement(our_ipv6, all_nodes, all_nodes_mac, router_flag | override_flag)});
}

TEST_F(Discovery, solicitations_are_validated) {  // §7.1.1
  struct Row {
    const char* what;
    Solicitation ask;
  };
  const Row rows[] = {
      {"hop limit", {.hop_limit = 254}},
      {"code", {.code = 1}},
      {"multicast target", {.target = "ff02::1:ff00:1"}},
      {"option of length 0", {.options = hex("0100 02cc00000007")}},
      {"option longer than the message", {.options = hex("0102 02cc00000007")}},
      {"half an option", {.options = hex("01")}},
      {"group as link-layer address", {.options = option(1, "03:cc:00:00:00:07")}},
      {"no source, but not to the solicited-node group", {.source = "::", .options = {}}},
      {"no source, but its link-layer address", {.source = "::", .destination = "ff02::1:ff00:1"}},
      {"multicast source", {.source = "ff02::1"}},
  };
  for (const auto& [what, ask] : rows) EXPECT_EQ(solicit(ask), Outcome::malformed) << what;

  Octets bad = frame_of({});
  bad[70] ^= 1;
  EXPECT_EQ(handle(Side::access, Punt::host_ipv6, bad), Outcome::bad_checksum);
  const Ip6 header{.source = std::string(neighbor), .destination = std::string(our_ipv6), .next = 44, .hop_limit = 255};
  const Octets message = icmpv6(header, 135, 0, 0, ip(our_ipv6) + option(1, neighbor_mac));
  EXPECT_EQ(
      handle(Side::access, Punt::host_ipv6,
             ethernet(our_access_mac, neighbor_mac, type_ipv6, ipv6(header, hex("3a00 0000 00000001") + message))),
      Outcome::malformed)
      << "behind a fragment header (RFC 6980)";
  EXPECT_TRUE(sent.empty());
}

TEST_F(Discovery, unknown_options_are_stepped_over) {  // §4.6
  EXPECT_EQ(solicit({.options = hex("0e01 000102030405") + option(1, neighbor_mac)}), Outcome::solicitation_answered);
}

TEST_F(Discovery, our_own_solicitation_come_back_and_a_double_of_ours_are_told_apart) {
  EXPECT_EQ(solicit({.source = std::string(our_ipv6), .from_mac = our_access_mac}), Outcome::declined);
  EXPECT_EQ(solicit({.source = std::string(our_ipv6)}), Outcome::address_conflict);
  EXPECT_EQ(advertise(our_ipv6, neighbor_mac, override_flag, all_nodes), Outcome::address_conflict);
  EXPECT_TRUE(sent.empty());
}

TEST_F(Discovery, gateway_is_learned_from_its_advertisement) {
  router.tick(now_ms);
  EXPECT_EQ(advertise(access_gateway, access_gateway_mac, solicited_flag | override_flag), Outcome::neighbor_heard);
  EXPECT_EQ(gateways.access.get(), link(access_gateway_mac));
  EXPECT_EQ(router.neighbors()[0].state, NeighborState::reachable);
  EXPECT_EQ(advertise(neighbor, neighbor_mac, solicited_flag | override_flag), Outcome::declined);
  EXPECT_EQ(advertise(access_gateway, neighbor_mac, solicited_flag | override_flag, all_nodes), Outcome::malformed);
  EXPECT_EQ(gateways.access.get(), link(access_gateway_mac));
}

TEST_F(Discovery, gateway_is_learned_from_its_solicitation_and_then_probed) {
  EXPECT_EQ(solicit({.source = std::string(access_gateway),
                     .options = option(1, access_gateway_mac),
                     .from_mac = access_gateway_mac}),
            Outcome::solicitation_answered);
  EXPECT_EQ(gateways.access.get(), link(access_gateway_mac));
  EXPECT_EQ(router.neighbors()[0].state, NeighborState::stale);
  EXPECT_EQ(router.next_tick_ms(), now_ms);
}

TEST_F(Discovery, gateway_is_asked_for_by_group_and_once_known_by_name) {
  const auto question = [](std::string_view to, std::string_view to_mac) {
    const Ip6 header{.source = std::string(our_ipv6), .destination = std::string(to), .hop_limit = 255};
    return Sent{Side::access,
                ethernet(to_mac, our_access_mac, type_ipv6,
                         ipv6(header, icmpv6(header, 135, 0, 0, ip(access_gateway) + option(1, our_access_mac))))};
  };
  router.tick(now_ms);
  EXPECT_EQ(times(take_sent(), question("ff02::1:ff00:2", "33:33:ff:00:00:02")), 1);
  advertise(access_gateway, access_gateway_mac, solicited_flag);
  router.tick(now_ms + Neighbor::reachable_ms);
  EXPECT_EQ(times(take_sent(), question(access_gateway, access_gateway_mac)), 1);
}

TEST_F(Discovery, link_local_gateway_is_asked_from_the_link_local_address) {
  pipeline::Snapshot changed = snapshot;
  changed.access.gateway = v6("fe80::2");
  router.use(changed, now_ms);
  router.tick(now_ms);
  const Ip6 header{.source = std::string(our_link_local), .destination = "ff02::1:ff00:2", .hop_limit = 255};
  const Octets message = icmpv6(header, 135, 0, 0, ip("fe80::2") + option(1, our_access_mac));
  EXPECT_EQ(
      times(sent, Sent{Side::access, ethernet("33:33:ff:00:00:02", our_access_mac, type_ipv6, ipv6(header, message))}),
      1);
  router.use(snapshot, now_ms);
}

TEST_F(Discovery, addresses_are_announced_at_the_start) {
  router.tick(now_ms);
  for (const auto address : {our_ipv6, our_link_local, aftr_on_link})
    EXPECT_EQ(times(sent, advertisement(address, all_nodes, all_nodes_mac, router_flag | override_flag)), 1) << address;
  EXPECT_EQ(times(sent, advertisement(aftr, all_nodes, all_nodes_mac, router_flag | override_flag)), 0);
}

}  // namespace
}  // namespace portolan::control::testing
