// Rows PCC of the conformance table against a scripted server and a fake clock.
#include "ddns-client-ref/pcp_client.h"

#include "scripted_pcp_server.h"

namespace portolan::ddns::test {
namespace {

using Kind = PcpEvent::Kind;
using Kinds = std::vector<Kind>;
using std::chrono::hours;
using std::chrono::seconds;

// Shows PCC-001.
TEST(PcpClient, plain_ipv6_names_the_inside_host_as_third_party) {  // PCC-001, PCD-002
  ScriptedPcp pcp;
  pcp.add(0, pcp.spec());
  ASSERT_EQ(pcp.sent.size(), 1U);
  const auto request = pcp.last_request();
  EXPECT_EQ(request.client, pcp.b4);
  EXPECT_EQ(request.lifetime_s, 3600U);
  EXPECT_EQ(request.map.internal_port, endpoint("10.0.0.10:8080").port);
  ASSERT_EQ(request.options.size(), 20U);
  EXPECT_EQ(request.options[0], 1);  // THIRD_PARTY
  EXPECT_EQ(request.options[19], 10);
  EXPECT_EQ(request.options[16], 10);
}

TEST(PcpClient, a_host_that_speaks_for_itself_sends_no_third_party) {  // PCD-005
  ScriptedPcp pcp;
  pcp.client.move_to(net::mapped(endpoint("10.0.0.10:0").address), pcp.now);
  pcp.add(0, pcp.spec());
  EXPECT_TRUE(pcp.last_request().options.empty());
}

TEST(PcpClient, PCC_002_retransmissions_double_to_1024_s_without_end) {
  ScriptedPcp pcp;  // 0.5 drawn: RAND = 0
  pcp.add(0, pcp.spec());
  pcp.run_for(hours(2));
  ASSERT_GE(pcp.sent.size(), 14U);
  const double expected[] = {3, 6, 12, 24, 48, 96, 192, 384, 768, 1024, 1024, 1024};
  for (size_t i = 0; i < std::size(expected); ++i) EXPECT_NEAR(pcp.gap_s(i + 1), expected[i], 0.01) << i;
}

TEST(PcpClient, PCC_002_each_gap_is_a_tenth_around_twice_the_one_before) {
  ScriptedPcp pcp;
  pcp.random = 0;
  pcp.add(0, pcp.spec());
  pcp.run_for(seconds(20));
  ASSERT_GE(pcp.sent.size(), 4U);
  EXPECT_NEAR(pcp.gap_s(1), 2.7, 0.01);
  EXPECT_NEAR(pcp.gap_s(2), 2.7 * 2 * 0.9, 0.01);
  pcp.random = 0.999999;
  pcp.run_for(seconds(60));
  ASSERT_GE(pcp.sent.size(), 6U);
  EXPECT_NEAR(pcp.gap_s(5), pcp.gap_s(4) * 2 * 1.1, 0.01);
}

TEST(PcpClient, PCC_003_retransmissions_are_identical) {
  ScriptedPcp pcp;
  pcp.add(0, pcp.spec());
  pcp.run_for(seconds(60));
  ASSERT_GE(pcp.sent.size(), 4U);
  for (const auto& sent : pcp.sent) EXPECT_EQ(sent.bytes, pcp.sent[0].bytes);
}

TEST(PcpClient, PCC_005_responses_that_do_not_belong_to_a_request_change_nothing) {
  ScriptedPcp pcp;
  pcp.add(0, pcp.spec());
  const auto good = pcp.success(pcp.last(), "192.0.2.1:4000", 3600);
  const auto with = [&](size_t at, uint8_t value) {
    auto bad = good;
    bad[at] = value;
    return bad;
  };
  const auto ignored = [&](const pcp::Message& bytes, const PcpPeer& source, const char* what) {
    pcp.client.receive(bytes, source, pcp.now);
    EXPECT_FALSE(pcp.client.grant(0)) << what;
    EXPECT_TRUE(pcp.events().empty()) << what;
  };
  ignored(good, {v6("2001:db8:a::2"), 5351}, "another address");
  ignored(good, {pcp.server.address, 5352}, "another port");
  ignored(pcp::Message(good.begin(), good.begin() + 3), pcp.server, "3 octets");
  ignored(pcp::Message(good.begin(), good.begin() + 20), pcp.server, "20 octets");
  ignored(with(1, 0x01), pcp.server, "R clear");
  ignored(with(1, 0x82), pcp.server, "another opcode");
  ignored(with(24, 99), pcp.server, "another nonce");
  ignored(with(36, 17), pcp.server, "another protocol");
  ignored(with(40, 99), pcp.server, "another inside port");
  ignored(with(good.size() - 1, 99), pcp.server, "another inside address");
  auto odd = good;
  odd.push_back(0);
  ignored(odd, pcp.server, "not a multiple of 4");
  auto large = good;
  large.resize(1104);
  ignored(large, pcp.server, "more than 1100 octets");

  pcp.deliver(good);
  EXPECT_EQ(pcp.events(), Kinds{Kind::granted});
}

TEST(PcpClient, PCC_005_an_answer_nobody_asked_for_is_ignored) {
  ScriptedPcp asked, other;
  asked.add(0, asked.spec());
  other.deliver(asked.success(asked.last(), "192.0.2.1:4000", 3600));
  EXPECT_TRUE(other.events().empty());
}

TEST(PcpClient, PCC_006_unknown_options_in_a_response_are_ignored) {
  ScriptedPcp pcp;
  pcp.add(0, pcp.spec());
  auto answer = pcp.success(pcp.last(), "192.0.2.1:4000", 3600);
  answer.insert(answer.end(), {64, 0, 0, 4, 1, 2, 3, 4});
  pcp.deliver(answer);
  EXPECT_EQ(pcp.events(), Kinds{Kind::granted});
}

TEST(PcpClient, PCC_007_a_refused_request_is_not_repeated_while_the_error_lasts) {
  ScriptedPcp pcp;
  pcp.add(0, pcp.spec());
  pcp.refuse(pcp::Code::user_ex_quota, 30);
  EXPECT_EQ(pcp.events(), Kinds{Kind::refused});
  pcp.run_for(seconds(29));
  EXPECT_EQ(pcp.sent.size(), 1U);
  pcp.run_for(seconds(2));
  EXPECT_EQ(pcp.sent.size(), 2U);
}

TEST(PcpClient, PCC_007_an_error_counts_for_a_day_at_most) {
  ScriptedPcp pcp;
  pcp.add(0, pcp.spec());
  pcp.refuse(pcp::Code::not_authorized, ~uint32_t{0});
  pcp.run_for(hours(24) + seconds(1));
  EXPECT_EQ(pcp.sent.size(), 2U);
}

TEST(PcpClient, an_error_of_0_s_is_no_invitation_to_flood) {
  ScriptedPcp pcp;
  pcp.add(0, pcp.spec());
  for (int i = 0; i < 5; ++i) {
    const size_t before = pcp.sent.size();
    pcp.refuse(pcp::Code::network_failure, 0);
    while (pcp.sent.size() == before) pcp.run_until(pcp.client.next_timer());
  }
  const double expected[] = {3, 6, 12, 24, 48};
  for (size_t i = 0; i < std::size(expected); ++i) EXPECT_NEAR(pcp.gap_s(i + 1), expected[i], 0.01) << i;
}

TEST(PcpClient, PCC_008_renewals_come_in_the_windows_of_the_rfc) {
  for (const double random : {0.0, 0.5, 0.999}) {
    ScriptedPcp pcp;
    pcp.random = random;
    pcp.add(0, pcp.spec());
    pcp.grant("192.0.2.1:4000", 3600);
    const Time granted = pcp.now;
    pcp.run_for(seconds(3599));
    ASSERT_GE(pcp.sent.size(), 5U);
    double from = 0.5, width = 0.125;
    for (size_t i = 1; i < pcp.sent.size(); ++i, from = (1 + from) / 2, width /= 2) {
      const double at = std::chrono::duration<double>(pcp.sent[i].at - granted).count();
      EXPECT_GE(at, 3600 * from - 0.01) << i;
      if (i < 6) {  // later ones give way to the 4 s
        EXPECT_LE(at, 3600 * (from + width) + 0.01) << i;
      }
      if (i > 1) {
        EXPECT_GE(pcp.gap_s(i), 4) << i;
      }
    }
  }
}

TEST(PcpClient, PCC_008_a_renewal_suggests_what_is_assigned) {
  ScriptedPcp pcp;
  pcp.add(0, pcp.spec());
  pcp.grant("192.0.2.1:4000");
  pcp.run_for(seconds(2300));
  const auto renewal = pcp.last_request();
  EXPECT_EQ(renewal.map.external_address, net::mapped(endpoint("192.0.2.1:0").address));
  EXPECT_EQ(renewal.map.external_port, endpoint("0.0.0.0:4000").port);
  pcp.grant("192.0.2.1:4000");
  EXPECT_EQ(pcp.events(), (Kinds{Kind::granted, Kind::renewed}));
}

TEST(PcpClient, an_expired_mapping_is_lost_and_asked_for_again) {
  ScriptedPcp pcp;
  pcp.add(0, pcp.spec());
  pcp.grant("192.0.2.1:4000", 120);
  pcp.run_for(seconds(120));
  EXPECT_EQ(pcp.events(), (Kinds{Kind::granted, Kind::lost}));
  EXPECT_FALSE(pcp.client.grant(0));
  EXPECT_EQ(pcp.sent.back().at, pcp.now);
  pcp.grant("192.0.2.1:4000", 120);
  EXPECT_EQ(pcp.events(), Kinds{Kind::granted});
}

// Shows DDN-003.
TEST(PcpClient, a_mapping_update_moves_the_grant) {  // RFC 6887 §14.2, DDN-005
  ScriptedPcp pcp;
  pcp.add(0, pcp.spec());
  pcp.grant("192.0.2.1:4000");
  pcp.grant("192.0.2.2:4001");
  EXPECT_EQ(pcp.events(), (Kinds{Kind::granted, Kind::changed}));
  EXPECT_EQ(pcp.client.grant(0)->outside, endpoint("192.0.2.2:4001"));
}

TEST(PcpClient, not_authorized_ends_a_grant_other_errors_leave_it_its_lifetime) {
  ScriptedPcp pcp;
  pcp.add(0, pcp.spec());
  pcp.grant("192.0.2.1:4000");
  pcp.refuse(pcp::Code::no_resources, 30);
  EXPECT_TRUE(pcp.client.grant(0));
  pcp.refuse(pcp::Code::not_authorized, 600);
  EXPECT_FALSE(pcp.client.grant(0));
  EXPECT_EQ(pcp.events(), (Kinds{Kind::granted, Kind::refused, Kind::lost, Kind::refused}));
}

TEST(EpochCheck, PCC_009_table) {
  struct Row {
    uint32_t client_delta, server_delta;
    bool valid;
  };
  for (const Row& row : {Row{100, 100, true}, Row{100, 108, true}, Row{100, 110, false}, Row{1000, 1060, true},
                         Row{100, 92, true}, Row{100, 91, false}}) {
    EpochCheck check;
    EXPECT_TRUE(check.valid(50, 7000));
    EXPECT_EQ(check.valid(50 + row.client_delta, 7000 + row.server_delta), row.valid)
        << row.client_delta << " " << row.server_delta;
  }
  for (const auto& [back, valid] : {std::pair{1U, true}, std::pair{2U, false}}) {
    EpochCheck check;
    EXPECT_TRUE(check.valid(50, 7000));
    EXPECT_EQ(check.valid(50, 7000 - back), valid) << back;
  }
}

TEST(PcpClient, PCC_010_an_announce_after_a_restart_renews_all_within_5_s_and_keeps_the_grants) {
  std::vector<double> starts;
  for (const double random : {0.1, 0.8}) {
    ScriptedPcp pcp;
    pcp.add(0, pcp.spec(1, "10.0.0.10:80"));
    pcp.grant("192.0.2.1:4000");
    pcp.add(1, pcp.spec(2, "10.0.0.11:80"));
    pcp.grant("192.0.2.1:4001");
    pcp.random = random;
    pcp.sent.clear();
    pcp.events();
    pcp.epoch_s = 3;
    pcp.deliver(ScriptedPcp::announcement(pcp.epoch_s));
    EXPECT_EQ(pcp.events(), Kinds{Kind::server_restart});
    EXPECT_TRUE(pcp.sent.empty());
    const Time heard = pcp.now;
    pcp.run_for(seconds(5));
    ASSERT_GE(pcp.sent.size(), 2U);
    starts.push_back(std::chrono::duration<double>(pcp.sent[0].at - heard).count());
    EXPECT_TRUE(pcp.client.grant(0) && pcp.client.grant(1));
  }
  EXPECT_NEAR(starts[0], 0.5, 0.01);
  EXPECT_NEAR(starts[1], 4.0, 0.01);
}

TEST(PcpClient, PCC_010_an_announce_with_the_expected_epoch_or_from_elsewhere_renews_nothing) {
  ScriptedPcp pcp;
  pcp.add(0, pcp.spec());
  pcp.grant("192.0.2.1:4000");
  pcp.sent.clear();
  pcp.deliver(ScriptedPcp::announcement(pcp.epoch_s));
  pcp.client.receive(ScriptedPcp::announcement(1), {v6("2001:db8:bad::1"), 5351}, pcp.now);
  pcp.run_for(seconds(60));
  EXPECT_TRUE(pcp.sent.empty());
}

TEST(PcpClient, a_lost_epoch_seen_in_a_response_renews_the_others) {
  ScriptedPcp pcp;
  pcp.add(0, pcp.spec(1, "10.0.0.10:80"));
  pcp.grant("192.0.2.1:4000");
  pcp.add(1, pcp.spec(2, "10.0.0.11:80"));
  pcp.epoch_s = 1;
  pcp.grant("192.0.2.1:4001");
  pcp.sent.clear();
  pcp.run_for(seconds(3));  // 0.5 drawn: at 2.5 s
  ASSERT_EQ(pcp.sent.size(), 1U);
  EXPECT_EQ(pcp.last_request().map.nonce, nonce(1));
}

TEST(PcpClient, PCC_011_a_server_of_another_version_is_asked_again_after_half_an_hour) {
  for (const pcp::Message& answer : {pcp::Message{0, 0x81, 0, 1}, pcp::Message{0, 0x81, 0, 1, 0, 0, 0, 9}}) {
    ScriptedPcp pcp;
    pcp.add(0, pcp.spec());
    pcp.deliver(answer);
    EXPECT_EQ(pcp.events(), Kinds{Kind::refused});
    pcp.run_for(seconds(1799));
    EXPECT_EQ(pcp.sent.size(), 1U);
    pcp.run_for(seconds(2));
    EXPECT_EQ(pcp.sent.size(), 2U);
  }
}

TEST(PcpClient, PCC_012_no_resources_bars_new_mappings_but_not_renewals) {
  ScriptedPcp pcp;
  pcp.add(0, pcp.spec(1, "10.0.0.10:80"));
  pcp.grant("192.0.2.1:4000", 200);  // renewed at 112 s
  pcp.add(1, pcp.spec(2, "10.0.0.11:80"));
  pcp.refuse(pcp::Code::no_resources, 1000);
  pcp.add(2, pcp.spec(3, "10.0.0.12:80"));
  EXPECT_EQ(pcp.sent.size(), 2U);
  pcp.run_for(seconds(115));
  ASSERT_EQ(pcp.sent.size(), 3U);
  EXPECT_EQ(pcp.last_request().map.nonce, nonce(1));
}

TEST(PcpClient, PCC_012_no_resources_for_a_deletion_bars_everything) {
  ScriptedPcp pcp;
  pcp.add(0, pcp.spec(1, "10.0.0.10:80"));
  pcp.grant("192.0.2.1:4000", 200);
  pcp.add(1, pcp.spec(2, "10.0.0.11:80"));
  pcp.grant("192.0.2.1:4001", 200);
  pcp.client.release(1, pcp.now);
  pcp.refuse(pcp::Code::no_resources, 150);
  const size_t before = pcp.sent.size();
  pcp.run_for(seconds(149));
  EXPECT_EQ(pcp.sent.size(), before);
  pcp.run_for(seconds(2));
  EXPECT_EQ(pcp.sent.size(), before + 1);
}

TEST(PcpClient, PCC_015_an_absurd_lifetime_is_a_day) {
  ScriptedPcp pcp;
  pcp.add(0, pcp.spec());
  pcp.grant("192.0.2.1:4000", ~uint32_t{0});
  pcp.run_for(hours(12) - seconds(1));
  EXPECT_EQ(pcp.sent.size(), 1U);
  pcp.run_for(hours(3));
  EXPECT_EQ(pcp.sent.size(), 2U);
}

// A server drops what comes while it is busy with the mapping, so the deletion may be lost on it.
TEST(PcpClient, a_deletion_that_overtook_a_request_is_sent_again_once_that_is_answered) {
  ScriptedPcp pcp;
  pcp.add(0, pcp.spec());
  const auto request = pcp.sent[0].bytes;
  pcp.client.release(0, pcp.now);
  pcp.deliver(pcp.success(request, "192.0.2.1:4000", 3600));
  ASSERT_EQ(pcp.sent.size(), 3U);
  EXPECT_EQ(pcp.last_request().lifetime_s, 0U);
  pcp.deliver(pcp.success(request, "192.0.2.1:4000", 3600));  // a duplicate on the way is no reason
  EXPECT_EQ(pcp.sent.size(), 3U);
  pcp.grant("192.0.2.1:4000", 0);
  EXPECT_FALSE(pcp.client.has(0));
}

TEST(PcpClient, an_error_that_may_be_an_overtaken_requests_is_not_taken_for_the_deletions) {
  ScriptedPcp pcp;
  pcp.add(0, pcp.spec());
  const auto request = pcp.sent[0].bytes;
  pcp.client.release(0, pcp.now);
  pcp.deliver(pcp.error(request, pcp::Code::network_failure, 30));
  ASSERT_EQ(pcp.sent.size(), 3U);
  EXPECT_EQ(pcp.last_request().lifetime_s, 0U);
  pcp.refuse(pcp::Code::network_failure, 30);
  EXPECT_FALSE(pcp.client.has(0));
  EXPECT_EQ(pcp.sent.size(), 3U);
}

TEST(PcpClient, what_an_earlier_run_may_have_left_is_deleted_even_before_it_could_be_asked_for) {
  for (const bool is_known : {false, true}) {
    ScriptedPcp pcp;
    pcp.add(0, pcp.spec(1, "10.0.0.10:80"));
    pcp.refuse(pcp::Code::no_resources, 150);  // new mappings wait
    MappingSpec spec = pcp.spec(2, "10.0.0.11:80");
    spec.is_known = is_known;
    pcp.add(1, spec);
    ASSERT_EQ(pcp.sent.size(), 1U);
    pcp.client.release(1, pcp.now);
    pcp.collect();
    ASSERT_EQ(pcp.sent.size(), is_known ? 2U : 1U);
    EXPECT_EQ(pcp.client.has(1), is_known);
    EXPECT_EQ(pcp.last_request().lifetime_s == 0, is_known);
  }
}

TEST(PcpClient, release_asks_with_lifetime_0_until_it_is_confirmed) {
  ScriptedPcp pcp;
  pcp.add(0, pcp.spec());
  pcp.grant("192.0.2.1:4000");
  const auto late = pcp.success(pcp.sent[0].bytes, "192.0.2.1:4000", 3600);
  pcp.client.release(0, pcp.now);
  EXPECT_EQ(pcp.last_request().lifetime_s, 0U);
  pcp.deliver(late);  // the answer to the request before
  EXPECT_TRUE(pcp.client.releasing());
  pcp.run_for(seconds(4));
  EXPECT_EQ(pcp.sent.size(), 3U);
  pcp.grant("192.0.2.1:4000", 0);
  EXPECT_FALSE(pcp.client.has(0));
  EXPECT_EQ(pcp.events(), (Kinds{Kind::granted, Kind::released}));
}

// Shows PCC-001.
TEST(PcpClient, a_new_source_address_asks_for_everything_from_there) {  // PCD-008
  ScriptedPcp pcp;
  pcp.add(0, pcp.spec());
  pcp.grant("192.0.2.1:4000");
  pcp.client.move_to(v6("2001:db8:b4::2"), pcp.now);
  EXPECT_EQ(pcp.last_request().client, v6("2001:db8:b4::2"));
  EXPECT_EQ(pcp.last_request().map.nonce, nonce(1));
  EXPECT_TRUE(pcp.client.grant(0));
}

}  // namespace
}  // namespace portolan::ddns::test
