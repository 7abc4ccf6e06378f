// Rows DDN-001..005: both detection methods of RFC 7393 §2.3 and the bounded rate of changes.
#include "ddns-client-ref/change_detector.h"

#include "scripted_pcp_server.h"

namespace portolan::ddns::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Detection : ::testing::Test {
  ScriptedPcp pcp;
  std::vector<Change> changes;
  std::vector<Time> asked;

  ChangeDetector make(Method method, size_t services = 1) {
    ChangeDetector out({method, seconds(300), seconds(2)}, nonce(77), pcp.client, [this] { return pcp.random; });
    for (uint8_t i = 0; i < services; ++i) {
      MappingSpec wanted = pcp.spec(static_cast<uint8_t>(i + 1));
      wanted.inside.port = {static_cast<uint16_t>(8080 + i)};
      out.watch(i, wanted, pcp.now);
    }
    return out;
  }
  void settle(ChangeDetector& detector) {
    detector.tick(pcp.now);
    for (auto events = pcp.client.take_events(); !events.empty(); events = pcp.client.take_events())
      for (const auto& event : events) detector.observe(event, pcp.now);
    pcp.collect();
    for (auto& change : detector.take_changes()) changes.push_back(change);
  }
  // The outside endpoints told, "-" for none.
  std::vector<std::string> told() const {
    std::vector<std::string> out;
    for (const auto& change : changes) out.push_back(change.grant ? net::to_text(change.grant->outside) : "-");
    return out;
  }
  using Told = std::vector<std::string>;
};

TEST_F(Detection, DDN_001_the_assigned_endpoint_is_told_not_the_suggested_one) {
  auto detector = make(Method::table);
  settle(detector);
  pcp.grant("192.0.2.1:4000");
  settle(detector);
  EXPECT_EQ(told(), Told{"192.0.2.1:4000"});
}

TEST_F(Detection, DDN_004_the_table_check_asks_for_what_is_missing_and_for_nothing_else) {
  auto detector = make(Method::table);
  settle(detector);
  ASSERT_EQ(pcp.sent.size(), 1U);
  pcp.grant("192.0.2.1:4000");
  pcp.run_for(seconds(300));
  settle(detector);
  EXPECT_EQ(pcp.sent.size(), 1U);
  pcp.client.forget(0);
  settle(detector);
  EXPECT_EQ(pcp.sent.size(), 1U) << "before the next check";
  pcp.run_for(seconds(300));
  settle(detector);
  EXPECT_EQ(pcp.sent.size(), 2U);
}

TEST_F(Detection, DDN_002_a_probe_of_the_discard_port_finds_a_new_address) {
  auto detector = make(Method::probe);
  settle(detector);
  ASSERT_EQ(pcp.sent.size(), 2U);  // the mapping itself (DDN-003) and the probe
  const auto probe = ScriptedPcp::request_of(pcp.sent[1].bytes);
  EXPECT_EQ(probe.map.internal_port, net::Port{uint16_t{9}});
  EXPECT_EQ(probe.lifetime_s, 30U);
  pcp.deliver(pcp.success(pcp.sent[0].bytes, "192.0.2.1:4000", 3600));
  pcp.deliver(pcp.success(pcp.sent[1].bytes, "192.0.2.1:9", 120));
  settle(detector);
  pcp.run_for(seconds(300));
  pcp.sent.clear();
  settle(detector);
  ASSERT_EQ(pcp.sent.size(), 1U) << "one probe an interval, no renewal";
  pcp.deliver(pcp.success(pcp.sent[0].bytes, "192.0.2.9:9", 120));
  settle(detector);
  ASSERT_EQ(pcp.sent.size(), 2U) << "the mapping is asked for at once";
  EXPECT_EQ(pcp.last_request().map.nonce, nonce(1));
  pcp.grant("192.0.2.9:4000");
  settle(detector);
  EXPECT_EQ(told(), (Told{"192.0.2.1:4000", "192.0.2.9:4000"}));
}

TEST_F(Detection, DDN_002_a_probe_that_finds_the_same_address_asks_for_nothing) {
  auto detector = make(Method::probe);
  settle(detector);
  pcp.deliver(pcp.success(pcp.sent[0].bytes, "192.0.2.1:4000", 3600));
  pcp.deliver(pcp.success(pcp.sent[1].bytes, "192.0.2.1:9", 120));
  settle(detector);
  EXPECT_EQ(pcp.sent.size(), 2U);
}

TEST_F(Detection, DDN_005_a_change_after_quiet_is_told_at_once) {
  auto detector = make(Method::table);
  settle(detector);
  pcp.grant("192.0.2.1:4000");
  settle(detector);
  pcp.run_for(seconds(10));
  pcp.grant("192.0.2.1:4001");
  settle(detector);
  EXPECT_EQ(told(), (Told{"192.0.2.1:4000", "192.0.2.1:4001"}));
}

TEST_F(Detection, flapping_is_told_once_where_it_ended) {
  auto detector = make(Method::table);
  settle(detector);
  for (int i = 0; i < 7; ++i) {
    pcp.grant(i % 2 == 0 ? "192.0.2.1:4000" : "192.0.2.1:4001");
    settle(detector);
    pcp.run_for(milliseconds(100));
  }
  pcp.grant("192.0.2.1:4002");
  settle(detector);
  EXPECT_EQ(detector.next_timer(), Time(seconds(ScriptedPcp::client_epoch_s)) + seconds(2));
  pcp.run_for(seconds(2));
  settle(detector);
  ASSERT_FALSE(changes.empty());
  EXPECT_EQ(told().front(), "192.0.2.1:4000");
  EXPECT_EQ(told().back(), "192.0.2.1:4002");
  for (const auto& text : told()) EXPECT_NE(text, "192.0.2.1:4001");
}

TEST_F(Detection, checks_of_many_clients_spread_around_the_interval) {
  for (const double random : {0.0, 0.5, 0.999}) {
    pcp.random = random;
    auto detector = make(Method::table);
    settle(detector);
    EXPECT_EQ(detector.next_timer() - pcp.now, scaled(seconds(300), 0.9 + 0.2 * random));
  }
}

// Also shows DDN-004.
TEST_F(Detection, DDN_005_a_link_that_comes_up_asks_for_all_anew_but_not_at_every_flap) {
  auto detector = make(Method::table, 2);
  settle(detector);
  pcp.deliver(pcp.success(pcp.sent[0].bytes, "192.0.2.1:4000", 3600));
  pcp.deliver(pcp.success(pcp.sent[1].bytes, "192.0.2.1:4001", 3600));
  settle(detector);
  pcp.run_for(seconds(60));
  pcp.sent.clear();
  for (int flap = 0; flap < 20; ++flap) {
    detector.ask_anew(pcp.now);
    EXPECT_LE(detector.next_timer() - pcp.now, seconds(11));
    pcp.run_for(seconds(1));
    settle(detector);
    for (const auto& sent : std::exchange(pcp.sent, {})) {
      asked.push_back(sent.at);
      pcp.deliver(pcp.success(sent.bytes, "192.0.2.9:4000", 3600));
    }
    settle(detector);
  }
  EXPECT_EQ(asked.size(), 4U) << "two mappings, twice in 20 s";
  EXPECT_LE(asked.at(0), asked.at(2) - seconds(10));
  EXPECT_EQ(told().at(2), "192.0.2.9:4000");
}

TEST_F(Detection, a_mapping_made_by_others_is_watched_from_its_grant_on) {
  auto detector = make(Method::table, 0);
  pcp.add(99, pcp.spec(9));
  pcp.grant("192.0.2.1:4000");
  settle(detector);
  EXPECT_TRUE(told().empty());
  detector.watch(99, pcp.spec(9), pcp.now);
  settle(detector);
  EXPECT_EQ(told(), Told{"192.0.2.1:4000"});
  pcp.run_for(seconds(10));
  pcp.grant("192.0.2.1:4001");
  settle(detector);
  detector.unwatch(99);
  pcp.grant("192.0.2.1:4002");
  settle(detector);
  EXPECT_EQ(told(), (Told{"192.0.2.1:4000", "192.0.2.1:4001"}));
}

TEST_F(Detection, a_mapping_that_is_lost_is_told_as_none) {
  auto detector = make(Method::table);
  settle(detector);
  pcp.grant("192.0.2.1:4000", 120);
  settle(detector);
  pcp.run_for(seconds(121));
  settle(detector);
  EXPECT_EQ(told(), (Told{"192.0.2.1:4000", "-"}));
}

}  // namespace
}  // namespace portolan::ddns::test
