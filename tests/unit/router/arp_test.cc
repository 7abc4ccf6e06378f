// ARP on the internet side: whom the router answers, what it learns, what it claims.
#include "tests/unit/router/frames.h"

namespace portolan::control::testing {
namespace {

using pipeline::Punt;
constexpr std::string_view nobody = "00:00:00:00:00:00";

class Arp : public RouterTest {
 public:
  Outcome ask(std::string_view target, std::string_view sender = "198.51.100.7") {
    return handle(Side::internet, Punt::arp,
                  ethernet(broadcast_mac, neighbor_mac, type_arp, arp(1, neighbor_mac, sender, nobody, target)));
  }
  Outcome tell(std::string_view sender_mac, std::string_view sender, std::string_view to = our_internet_mac) {
    return handle(Side::internet, Punt::arp,
                  ethernet(to, sender_mac, type_arp, arp(2, sender_mac, sender, our_internet_mac, our_ipv4)));
  }
};

TEST_F(Arp, request_for_the_internet_address_is_answered_octet_by_octet) {
  EXPECT_EQ(ask(our_ipv4), Outcome::arp_answered);
  EXPECT_EQ(take_sent(), (std::vector<Sent>{{Side::internet, hex("02cc00000007 020000000002 0806 0001 0800 06 04 0002 "
                                                                 "020000000002 c6336401 02cc00000007 c6336407")}}));
}

TEST_F(Arp, pool_address_on_the_link_is_answered_by_proxy_and_others_are_not) {
  EXPECT_EQ(ask("198.51.100.18"), Outcome::arp_answered);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].frame, ethernet(neighbor_mac, our_internet_mac, type_arp,
                                    arp(2, our_internet_mac, "198.51.100.18", neighbor_mac, "198.51.100.7")));
  EXPECT_EQ(ask("192.0.2.1"), Outcome::declined) << "in the pool, but routed to us and not on the link";
  EXPECT_EQ(ask("198.51.100.20"), Outcome::declined) << "on the link, but not in the pool";
  EXPECT_EQ(ask(internet_gateway), Outcome::declined);
  snapshot.internet.gateway = v4("198.51.100.18");
  EXPECT_EQ(ask("198.51.100.18"), Outcome::declined) << "a pool around the gateway does not take its address";
  EXPECT_EQ(sent.size(), 1U);
}

TEST_F(Arp, DSL_059_an_address_passed_through_is_answered_for_on_the_link) {
  snapshot.pass_through.push_back({v6(b4), v4("198.51.100.20"), {}, {}, {}});
  snapshot.pass_through.push_back({v6(b4), v4("203.0.113.20"), {}, {}, {}});
  EXPECT_EQ(ask("198.51.100.20"), Outcome::arp_answered);
  EXPECT_EQ(ask("203.0.113.20"), Outcome::declined);
}

TEST_F(Arp, probe_without_a_sender_address_is_answered) {  // RFC 5227 §2.1: so that its host keeps off
  EXPECT_EQ(ask(our_ipv4, "0.0.0.0"), Outcome::arp_answered);
  EXPECT_EQ(sent.size(), 1U);
}

TEST_F(Arp, claim_to_our_address_is_a_conflict_and_never_answered) {
  EXPECT_EQ(ask(our_ipv4, our_ipv4), Outcome::address_conflict) << "gratuitous";
  EXPECT_EQ(ask("198.51.100.9", "198.51.100.17"), Outcome::address_conflict) << "a pool address";
  EXPECT_EQ(tell(neighbor_mac, our_ipv4), Outcome::address_conflict);
  EXPECT_TRUE(sent.empty());
  EXPECT_EQ(count(Outcome::address_conflict), 3U);
}

TEST_F(Arp, our_own_frames_come_back_unnoticed) {
  EXPECT_EQ(tell(our_internet_mac, our_ipv4), Outcome::declined);
  EXPECT_TRUE(sent.empty());
}

TEST_F(Arp, gateway_is_learned_from_its_answer) {
  router.tick(now_ms);
  EXPECT_EQ(tell(internet_gateway_mac, internet_gateway), Outcome::neighbor_heard);
  EXPECT_EQ(gateways.internet.get(), link(internet_gateway_mac));
  EXPECT_EQ(router.neighbors()[1].state, NeighborState::reachable);
  EXPECT_EQ(count(Event::neighbor_changed), 1U);
}

TEST_F(Arp, gateway_is_learned_from_its_request_which_is_answered_too_and_probed_at_once) {
  EXPECT_EQ(handle(Side::internet, Punt::arp,
                   ethernet(broadcast_mac, internet_gateway_mac, type_arp,
                            arp(1, internet_gateway_mac, internet_gateway, nobody, our_ipv4))),
            Outcome::arp_answered);
  EXPECT_EQ(gateways.internet.get(), link(internet_gateway_mac));
  EXPECT_EQ(router.neighbors()[1].state, NeighborState::stale);
  EXPECT_EQ(router.next_tick_ms(), now_ms);
}

TEST_F(Arp, nobody_but_the_gateway_is_learned) {
  EXPECT_EQ(tell(neighbor_mac, "198.51.100.7"), Outcome::declined);
  EXPECT_EQ(gateways.internet.get(), std::nullopt);
}

TEST_F(Arp, on_the_access_side_is_declined) {
  const Octets request =
      ethernet(broadcast_mac, neighbor_mac, type_arp, arp(1, neighbor_mac, "198.51.100.7", nobody, our_ipv4));
  EXPECT_EQ(handle(Side::access, Punt::arp, request), Outcome::declined);
}

TEST_F(Arp, malformed_is_refused_field_by_field) {
  const Octets good =
      ethernet(broadcast_mac, neighbor_mac, type_arp, arp(1, neighbor_mac, "198.51.100.7", nobody, our_ipv4));
  struct Row {
    const char* what;
    size_t at;
    uint8_t value;
  };
  for (const auto& [what, at, value] :
       {Row{"hardware", 15, 6}, Row{"protocol", 16, 0x86}, Row{"hardware length", 18, 8},
        Row{"protocol length", 19, 16}, Row{"sender is a group", 22, 0x03}, Row{"frame from a group", 6, 0x03},
        Row{"ethertype", 13, 0x00}}) {
    Octets bad = good;
    bad[at] = value;
    EXPECT_EQ(handle(Side::internet, Punt::arp, bad), Outcome::malformed) << what;
  }
  EXPECT_TRUE(sent.empty());
}

TEST_F(Arp, addresses_are_announced_twice_at_the_start) {
  const auto announcement = [](std::string_view address) {
    return Sent{Side::internet, ethernet(broadcast_mac, our_internet_mac, type_arp,
                                         arp(1, our_internet_mac, address, nobody, address))};
  };
  for (const uint64_t at_ms : {now_ms, now_ms + 2'000}) {
    router.tick(at_ms);
    const auto frames = take_sent();
    for (const auto* address : {"198.51.100.1", "198.51.100.16", "198.51.100.17", "198.51.100.18", "198.51.100.19"})
      EXPECT_EQ(times(frames, announcement(address)), 1) << address;
  }
  router.tick(now_ms + 4'000);
  EXPECT_EQ(times(take_sent(), announcement(our_ipv4)), 0);
}

TEST_F(Arp, gateway_is_asked_for_by_broadcast_and_once_known_by_name) {
  router.tick(now_ms);
  const Octets question = arp(1, our_internet_mac, our_ipv4, nobody, internet_gateway);
  EXPECT_EQ(times(take_sent(), Sent{Side::internet, ethernet(broadcast_mac, our_internet_mac, type_arp, question)}), 1);
  tell(internet_gateway_mac, internet_gateway);
  router.tick(now_ms + Neighbor::reachable_ms);
  EXPECT_EQ(
      times(take_sent(), Sent{Side::internet, ethernet(internet_gateway_mac, our_internet_mac, type_arp, question)}),
      1);
}

TEST_F(Arp, an_answer_the_device_refuses_is_counted) {
  device_takes = false;
  EXPECT_EQ(ask(our_ipv4), Outcome::transmit_refused);
  router.tick(now_ms);
  EXPECT_EQ(count(Event::probe_sent), 0U);
}

}  // namespace
}  // namespace portolan::control::testing
