// The gateway's state machine under a clock of the test's: found, confirmed, lost, found again.
#include "tests/unit/router/frames.h"

namespace portolan::control::testing {
namespace {

using Step = Neighbor::Step;

class NeighborTest : public ::testing::Test {
 public:
  pipeline::GatewayMac mac;
  Neighbor neighbor{mac, 0};
  const net::Mac first = link("02:00:00:00:00:11"), second = link("02:00:00:00:00:22");
};

TEST_F(NeighborTest, is_probed_once_a_second_until_it_answers) {
  for (uint64_t ms = 0; ms < 5'000; ms += 100)
    EXPECT_EQ(neighbor.tick(ms), ms % 1'000 == 0 ? Step::probe_multicast : Step::none) << ms;
  EXPECT_EQ(neighbor.state(), NeighborState::incomplete);
  EXPECT_EQ(neighbor.probes(), 5U);
  EXPECT_TRUE(neighbor.confirm(first, 4'950));
  EXPECT_EQ(neighbor.state(), NeighborState::reachable);
  EXPECT_EQ(neighbor.since_ms(), 4'950U);
  EXPECT_EQ(neighbor.next_ms(), 34'950U);
}

TEST_F(NeighborTest, stays_reachable_while_each_confirmation_is_answered) {
  neighbor.tick(0);
  neighbor.confirm(first, 0);
  for (uint64_t ms = 30'000; ms <= 300'000; ms += 30'000) {
    EXPECT_EQ(neighbor.tick(ms), Step::probe_unicast);
    EXPECT_FALSE(neighbor.confirm(first, ms));
    EXPECT_EQ(neighbor.state(), NeighborState::reachable);
  }
  EXPECT_EQ(neighbor.since_ms(), 0U);
}

TEST_F(NeighborTest, is_forgotten_after_three_failures_and_found_again) {
  neighbor.tick(0);
  neighbor.confirm(first, 0);
  EXPECT_EQ(neighbor.tick(29'999), Step::none);
  EXPECT_EQ(neighbor.tick(30'000), Step::probe_unicast);
  EXPECT_EQ(neighbor.state(), NeighborState::reachable);
  EXPECT_EQ(neighbor.tick(31'000), Step::probe_unicast);
  EXPECT_EQ(neighbor.state(), NeighborState::stale);
  EXPECT_EQ(neighbor.tick(32'000), Step::probe_unicast);
  EXPECT_EQ(mac.get(), first);
  EXPECT_EQ(neighbor.tick(33'000), Step::lost);
  EXPECT_EQ(neighbor.state(), NeighborState::failed);
  EXPECT_EQ(mac.get(), std::nullopt);
  EXPECT_EQ(neighbor.tick(33'999), Step::none);
  EXPECT_EQ(neighbor.tick(34'000), Step::probe_multicast);
  EXPECT_TRUE(neighbor.confirm(second, 34'100));
  EXPECT_EQ(mac.get(), second);
  EXPECT_EQ(neighbor.next_ms(), 64'100U);
}

TEST_F(NeighborTest, recovers_if_only_the_last_probe_is_answered) {
  neighbor.tick(0);
  neighbor.confirm(first, 0);
  for (const uint64_t ms : {30'000U, 31'000U, 32'000U}) neighbor.tick(ms);
  EXPECT_FALSE(neighbor.confirm(first, 32'900));
  EXPECT_EQ(neighbor.state(), NeighborState::reachable);
  EXPECT_EQ(neighbor.tick(33'000), Step::none);
}

TEST_F(NeighborTest, a_new_address_that_came_unasked_is_used_and_probed_at_once) {  // a gateway's fail-over
  neighbor.tick(0);
  neighbor.confirm(first, 0);
  EXPECT_FALSE(neighbor.hear(first, 5'000));
  EXPECT_EQ(neighbor.next_ms(), 30'000U);
  EXPECT_TRUE(neighbor.hear(second, 6'000));
  EXPECT_EQ(mac.get(), second);
  EXPECT_EQ(neighbor.state(), NeighborState::stale);
  EXPECT_EQ(neighbor.tick(6'000), Step::probe_unicast);
}

TEST_F(NeighborTest, an_answer_to_no_probe_confirms_nothing) {
  neighbor.tick(0);
  neighbor.confirm(first, 0);
  neighbor.confirm(first, 20'000);
  EXPECT_EQ(neighbor.next_ms(), 30'000U);
}

TEST_F(NeighborTest, speaking_does_not_keep_a_deaf_neighbor_alive) {
  neighbor.tick(0);
  neighbor.confirm(first, 0);
  for (const uint64_t ms : {30'000U, 31'000U, 32'000U}) {
    neighbor.tick(ms);
    neighbor.hear(first, ms + 1);
  }
  EXPECT_EQ(neighbor.tick(33'000), Step::lost);
}

TEST_F(NeighborTest, advertisements_follow_RFC_4861_7_2_5) {
  struct Row {
    const char* what;
    bool known, offers, same, solicited, override_known;
    NeighborState state;
    bool takes_second;
  };
  const Row rows[] = {
      {"unknown, none offered", false, false, false, true, true, NeighborState::incomplete, false},
      {"unknown, solicited", false, true, false, true, false, NeighborState::reachable, true},
      {"unknown, unsolicited", false, true, false, false, false, NeighborState::stale, true},
      {"another, no override", true, true, false, true, false, NeighborState::stale, false},
      {"another, override, unsolicited", true, true, false, false, true, NeighborState::stale, true},
      {"another, override, solicited", true, true, false, true, true, NeighborState::reachable, true},
      {"the same, unsolicited", true, true, true, false, true, NeighborState::reachable, false},
      {"the same, solicited, no override", true, true, true, true, false, NeighborState::reachable, false},
      {"none offered, solicited", true, false, false, true, false, NeighborState::reachable, false},
  };
  for (const auto& row : rows) {
    pipeline::GatewayMac gateway;
    Neighbor one(gateway, 0);
    one.tick(0);
    if (row.known) one.confirm(first, 0), one.tick(30'000);  // with a probe on its way
    const auto offered = row.same ? first : second;
    one.advertised({row.offers ? std::optional(offered) : std::nullopt, row.solicited, row.override_known}, 30'100);
    EXPECT_EQ(one.state(), row.state) << row.what;
    EXPECT_EQ(gateway.get() == second, row.takes_second) << row.what;
  }
}

// The machine in the router: counters, rows and the way out while there is none.
TEST_F(RouterTest, loss_and_recovery_of_the_internet_gateway_are_seen_outside) {
  const auto answer = [&] {
    return handle(Side::internet, pipeline::Punt::arp,
                  ethernet(our_internet_mac, internet_gateway_mac, type_arp,
                           arp(2, internet_gateway_mac, internet_gateway, our_internet_mac, our_ipv4)));
  };
  const auto expired = [&] {
    const Ip4 header{.source = std::string(remote), .destination = "192.0.2.5", .ttl = 1};
    return handle(Side::internet, pipeline::Punt::ttl_expired,
                  ethernet(our_internet_mac, internet_gateway_mac, type_ipv4, ipv4(header, Octets(20))));
  };
  EXPECT_EQ(expired(), Outcome::unresolved);
  router.tick(now_ms);
  answer();
  EXPECT_EQ(expired(), Outcome::error_sent);
  const uint64_t end_ms = now_ms + 40'000;
  while (now_ms < end_ms) now_ms = router.tick(now_ms);  // nobody answers; every call is one the router asked for
  EXPECT_EQ(count(Event::neighbor_lost), 1U);
  EXPECT_EQ(gateways.internet.get(), std::nullopt);
  EXPECT_EQ(router.neighbors()[1].state, NeighborState::failed);
  EXPECT_EQ(expired(), Outcome::unresolved);
  answer();
  EXPECT_EQ(router.neighbors()[1].state, NeighborState::reachable);
  EXPECT_EQ(expired(), Outcome::error_sent);
  EXPECT_EQ(count(Event::neighbor_changed), 2U);
}

TEST_F(RouterTest, neighbors_are_listed_with_what_an_operator_asks_for) {
  router.tick(now_ms);
  router.tick(now_ms + 1'000);
  const auto rows = router.neighbors();
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].side, Side::access);
  EXPECT_EQ(rows[0].address, v6(access_gateway));
  EXPECT_EQ(rows[1].address, mapped(v4(internet_gateway)));
  EXPECT_EQ(rows[1].probes, 2U);
  EXPECT_EQ(rows[1].since_ms, now_ms);
  EXPECT_EQ(to_text(rows[1].state), "incomplete");
}

TEST_F(RouterTest, a_new_gateway_is_resolved_anew_and_the_other_one_kept) {
  resolve_gateways();
  pipeline::Snapshot changed = snapshot;
  changed.internet.gateway = v4("198.51.100.253");
  router.use(changed, now_ms);
  EXPECT_EQ(gateways.internet.get(), std::nullopt);
  EXPECT_EQ(gateways.access.get(), link(access_gateway_mac));
  router.tick(now_ms);
  EXPECT_EQ(times(sent, Sent{Side::internet,
                             ethernet(broadcast_mac, our_internet_mac, type_arp,
                                      arp(1, our_internet_mac, our_ipv4, "00:00:00:00:00:00", "198.51.100.253"))}),
            1);
  router.use(snapshot, now_ms);
}

}  // namespace
}  // namespace portolan::control::testing
