// PcpClient against a gateway that speaks NAT-PMP alone (row NPM-016; RFC 6886, RFC 6887 appendix A), octet by octet.
#include <algorithm>
#include <initializer_list>

#include "scripted_pcp_server.h"

namespace portolan::ddns::test {
namespace {

using Kind = PcpEvent::Kind;
using Kinds = std::vector<Kind>;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using Octets = pcp::Message;
using All = std::vector<Octets>;

struct NatPmpClient : testing::Test {
  ScriptedPcp pcp;
  net::Ipv6 host = net::mapped(endpoint("192.168.1.7:0").address);
  Octets asked;  // last
  NatPmpClient() {
    pcp.server = {net::mapped(endpoint("192.168.1.1:0").address), 5351};
    pcp.client = PcpClient(pcp.server, host, [this] { return pcp.random; });
  }

  // §3.5's figure; `opcode` as other gateways set it.
  Octets version_refused(uint8_t opcode = 0) const { return with_epoch({0, opcode, 0, 1}); }
  Octets with_epoch(std::initializer_list<uint8_t> head) const {
    Octets out(head);
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<uint8_t>(pcp.epoch_s >> shift));
    return out;
  }
  Octets address_is(uint8_t last, uint8_t result = 0) const {
    Octets out = with_epoch({0, 128, 0, result});
    out.insert(out.end(), {203, 0, 113, last});
    return out;
  }
  // To the last request, which must be one of version 0.
  Octets mapped_to(uint16_t outside, uint32_t lifetime_s, uint8_t result = 0) {
    pcp.collect();
    if (!pcp.sent.empty()) asked = pcp.last();
    Octets out = with_epoch({0, static_cast<uint8_t>(asked.at(1) | 128), 0, result});
    out.insert(out.end(),
               {asked.at(4), asked.at(5), static_cast<uint8_t>(outside >> 8), static_cast<uint8_t>(outside)});
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<uint8_t>(lifetime_s >> shift));
    return out;
  }
  MappingSpec spec(const char* inside = "192.168.1.7:8080") const { return pcp.spec(1, inside); }

  void fall_back() {
    pcp.add(0, spec());
    pcp.deliver(version_refused());
    ASSERT_EQ(pcp.events(), Kinds{Kind::protocol});
    ASSERT_TRUE(pcp.client.speaks_natpmp());
  }
  void have(uint16_t outside = 4321, uint32_t lifetime_s = 3600) {
    fall_back();
    pcp.deliver(mapped_to(outside, lifetime_s));
    pcp.deliver(address_is(5));
    ASSERT_EQ(pcp.events(), Kinds{Kind::granted});
    pcp.sent.clear();
  }
  void begin_anew() {
    pcp.client = PcpClient(pcp.server, host, [this] { return pcp.random; });
  }
  // What has been sent since the last call.
  std::vector<Octets> sent() {
    pcp.collect();
    if (!pcp.sent.empty()) asked = pcp.last();
    std::vector<Octets> out;
    for (auto& each : pcp.sent) out.push_back(std::move(each.bytes));
    pcp.sent.clear();
    return out;
  }
  std::string outside(MappingId id = 0) const {
    const auto grant = pcp.client.grant(id);
    return grant ? net::to_text(grant->outside) : "none";
  }
  std::vector<PcpEvent> refusals() {
    auto events = pcp.client.take_events();
    std::erase_if(events, [](const PcpEvent& event) { return event.kind != Kind::refused; });
    return events;
  }
};

const Octets map_8080{0, 2, 0, 0, 0x1f, 0x90, 0, 0, 0, 0, 0x0e, 0x10}, ask_address{0, 0};

TEST_F(NatPmpClient, NPM_016_a_gateway_that_refuses_pcps_version_is_asked_again_by_natpmp) {
  for (const uint8_t opcode : Octets{0, 128, 129}) {
    begin_anew();
    pcp.add(0, spec());
    ASSERT_EQ(sent().size(), 1U);
    pcp.deliver(version_refused(opcode));
    EXPECT_EQ(pcp.events(), Kinds{Kind::protocol});
    EXPECT_EQ(sent(), All{map_8080});
  }
}

TEST_F(NatPmpClient, NPM_016_a_mapping_is_granted_once_its_outside_address_is_told) {
  fall_back();
  pcp.deliver(mapped_to(4321, 3600));
  EXPECT_EQ(outside(), "none");
  EXPECT_EQ(pcp.last(), ask_address);
  pcp.deliver(address_is(5));
  EXPECT_EQ(outside(), "203.0.113.5:4321");
  EXPECT_EQ(pcp.events(), Kinds{Kind::granted});
  EXPECT_EQ(pcp.client.grant(0)->expires, pcp.now + seconds(3600));
}

TEST_F(NatPmpClient, NPM_016_nine_attempts_at_doubling_gaps_then_64_s_and_again_later) {
  fall_back();
  pcp.sent.clear();
  pcp.collect();
  pcp.client.renew(0, pcp.now);
  pcp.sent = {{pcp.now, map_8080}};
  pcp.run_for(milliseconds(127'700));
  ASSERT_EQ(pcp.sent.size(), 9U);
  for (size_t i = 1; i < 9; ++i) EXPECT_NEAR(pcp.gap_s(i), 0.25 * (1 << (i - 1)), 0.001) << i;
  for (const auto& each : pcp.sent) EXPECT_EQ(each.bytes, map_8080);
  EXPECT_TRUE(pcp.events().empty());
  pcp.run_for(milliseconds(100));
  const auto told = refusals();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].code, pcp::Code::network_failure);
  EXPECT_EQ(told[0].text, "no answer in nine attempts by NAT-PMP");
  EXPECT_EQ(told[0].wait_s, 300U);
  pcp.run_for(seconds(299));
  EXPECT_EQ(pcp.sent.size(), 9U);
  pcp.run_for(seconds(1));
  ASSERT_EQ(pcp.sent.size(), 10U);
  EXPECT_EQ(pcp.last().at(0), 2);  // by PCP first
}

TEST_F(NatPmpClient, NPM_016_a_silent_gateway_that_announces_itself_or_a_link_that_comes_up_ends_the_silence) {
  for (const bool is_announced : {true, false}) {
    begin_anew();
    fall_back();
    pcp.run_for(seconds(140));
    pcp.sent.clear();
    if (is_announced)
      pcp.deliver(address_is(5));
    else
      pcp.client.network_changed(pcp.now);
    ASSERT_EQ(sent().size(), 1U);
  }
}

TEST_F(NatPmpClient, NPM_016_a_closed_port_ends_the_attempts) {
  fall_back();
  pcp.events();
  pcp.client.port_unreachable(pcp.now);
  const auto told = refusals();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].text, "the gateway's NAT-PMP port is closed");
  pcp.sent.clear();
  pcp.run_for(seconds(299));
  EXPECT_TRUE(pcp.sent.empty());
}

TEST_F(NatPmpClient, NPM_016_only_the_gateway_that_was_asked_is_believed) {
  fall_back();
  pcp.sent.clear();
  pcp.sent = {{pcp.now, map_8080}};
  const Octets good = mapped_to(4321, 3600);
  const auto ignored = [&](const Octets& bytes, const PcpPeer& from, const char* what) {
    pcp.client.receive(bytes, from, pcp.now);
    pcp.collect();
    EXPECT_EQ(pcp.sent.size(), 1U) << what;  // no question for the address follows
  };
  const auto with = [&](size_t at, uint8_t value) {
    Octets bad = good;
    bad[at] = value;
    return bad;
  };
  ignored(good, {net::mapped(endpoint("192.168.1.2:0").address), 5351}, "another address");
  ignored(good, {pcp.server.address, 5352}, "another port");
  ignored(with(0, 1), pcp.server, "version 1");
  pcp.client.receive(address_is(66), {net::mapped(endpoint("192.168.1.2:0").address), 5351}, pcp.now);  // announced
  ignored(with(1, 2), pcp.server, "a request");
  ignored(with(1, 129), pcp.server, "the answer for UDP");
  ignored(with(9, 0x91), pcp.server, "another inside port");
  ignored(Octets(good.begin(), good.end() - 1), pcp.server, "15 octets");
  ignored(Octets(good.begin(), good.begin() + 3), pcp.server, "3 octets");
  pcp.deliver(good);
  EXPECT_EQ(pcp.last(), ask_address) << "another gateway's address was taken";
}

TEST_F(NatPmpClient, NPM_016_requests_are_made_one_at_a_time) {
  pcp.add(0, spec());
  pcp.add(1, spec("192.168.1.7:8081"));
  pcp.deliver(version_refused());
  pcp.sent.clear();
  pcp.sent = {{pcp.now, map_8080}};
  pcp.run_for(milliseconds(100));
  EXPECT_EQ(pcp.sent.size(), 1U);
  pcp.deliver(mapped_to(4321, 3600));
  EXPECT_EQ(pcp.last(), ask_address);
  pcp.deliver(address_is(5));
  EXPECT_EQ(pcp.last().at(5), 0x91);
  pcp.deliver(mapped_to(4322, 3600));  // the address is fresh
  EXPECT_EQ(outside(1), "203.0.113.5:4322");
}

TEST_F(NatPmpClient, NPM_016_renewals_come_at_half_of_the_lifetime_and_suggest_what_was_given) {
  have(4321, 1000);
  pcp.run_for(milliseconds(499'900));
  EXPECT_TRUE(sent().empty());
  pcp.run_for(milliseconds(200));
  EXPECT_EQ(sent(), (All{Octets{0, 2, 0, 0, 0x1f, 0x90, 0x10, 0xe1, 0, 0, 0x0e, 0x10}}));
}

TEST(NatPmpEpoch, NPM_016_table) {
  struct Row {
    uint32_t first_s;
    int elapsed_ms;
    uint32_t then_s;
    bool valid;
  };
  for (const Row& row :
       {Row{100, 0, 100, true}, Row{100, 0, 98, true}, Row{100, 0, 97, false}, Row{100, 80'000, 168, true},
        Row{100, 80'000, 167, false}, Row{100, 80'000, 180, true}, Row{100, 80'000, 4'000, true},
        Row{0, 1'000, 0, true}, Row{0, 2'000, 0, true}, Row{0, 2'300, 0, false}, Row{~0U - 10, 1'000, 0, false}}) {
    NatPmpEpoch epoch;
    const Time at{seconds(5'000)};
    EXPECT_TRUE(epoch.valid(at, row.first_s));
    EXPECT_EQ(epoch.valid(at + milliseconds(row.elapsed_ms), row.then_s), row.valid) << row.elapsed_ms << row.then_s;
  }
}

TEST_F(NatPmpClient, NPM_016_after_a_loss_of_state_all_is_renewed_serially_within_5_s_and_pcp_is_tried_first) {
  have();
  pcp.add(1, spec("192.168.1.7:8081"));
  pcp.deliver(mapped_to(4322, 3600));
  ASSERT_EQ(outside(1), "203.0.113.5:4322");
  pcp.events();
  pcp.sent.clear();
  pcp.run_for(seconds(100));
  pcp.random = 0.8;
  pcp.epoch_s = 1;
  pcp.client.receive(address_is(6), {pcp.server.address, 40'000}, pcp.now);  // announced, from whatever port
  EXPECT_EQ(pcp.events(), (Kinds{Kind::server_restart, Kind::changed, Kind::changed}));
  EXPECT_EQ(outside(), "203.0.113.6:4321");
  pcp.run_for(milliseconds(3'900));
  EXPECT_TRUE(sent().empty());
  pcp.run_for(milliseconds(200));
  EXPECT_EQ(pcp.last().at(0), 2);
  pcp.deliver(version_refused());
  EXPECT_EQ(pcp.last().at(5), 0x90);
  const size_t before = pcp.sent.size();
  pcp.deliver(mapped_to(4321, 3600));
  EXPECT_EQ(pcp.sent.size(), before + 1);
  EXPECT_EQ(pcp.last().at(5), 0x91);
}

TEST_F(NatPmpClient, NPM_016_the_expected_epoch_renews_nothing) {
  have();
  pcp.run_for(seconds(100));
  pcp.deliver(address_is(5));
  pcp.run_for(seconds(10));
  EXPECT_TRUE(pcp.events().empty());
  EXPECT_TRUE(sent().empty());
}

TEST_F(NatPmpClient, NPM_016_an_announced_address_moves_the_grant) {
  have();
  pcp.deliver(address_is(9));
  EXPECT_EQ(pcp.events(), Kinds{Kind::changed});
  EXPECT_EQ(outside(), "203.0.113.9:4321");
}

TEST_F(NatPmpClient, NPM_016_a_deletion_names_no_outside_port_and_is_repeated_a_few_times) {
  have();
  pcp.client.release(0, pcp.now);
  const Octets end{0, 2, 0, 0, 0x1f, 0x90, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(sent(), All{end});
  EXPECT_TRUE(pcp.client.releasing());
  pcp.run_for(milliseconds(251));
  EXPECT_EQ(pcp.last(), end);
  pcp.deliver(mapped_to(4321, 3600));  // late: to what was asked before
  EXPECT_TRUE(pcp.client.releasing());
  pcp.deliver(mapped_to(0, 0));
  EXPECT_EQ(pcp.events(), Kinds{Kind::released});
  EXPECT_FALSE(pcp.client.has(0));

  begin_anew();
  fall_back();
  pcp.sent.clear();
  pcp.client.release(0, pcp.now);  // while it is asked for
  EXPECT_EQ(sent(), All{end});

  begin_anew();
  have();
  pcp.client.release(0, pcp.now);
  pcp.run_for(seconds(5));
  EXPECT_EQ(sent().size(), 4U);
  EXPECT_FALSE(pcp.client.has(0));
}

TEST_F(NatPmpClient, NPM_016_refusals_are_told_in_words_and_wait) {
  struct Row {
    uint8_t result;
    pcp::Code code;
    uint32_t wait_s;
  };
  for (const Row& row : {Row{2, pcp::Code::not_authorized, 1800}, Row{3, pcp::Code::network_failure, 30},
                         Row{4, pcp::Code::no_resources, 30}, Row{5, pcp::Code::unsupp_opcode, 1800},
                         Row{77, pcp::Code::malformed_request, 1800}}) {
    begin_anew();
    fall_back();
    pcp.deliver(mapped_to(0, 0, row.result));
    const auto told = refusals();
    ASSERT_EQ(told.size(), 1U) << int{row.result};
    EXPECT_EQ(told[0].code, row.code);
    EXPECT_EQ(told[0].wait_s, row.wait_s);
    EXPECT_FALSE(told[0].text.empty());
    pcp.sent.clear();
    pcp.run_for(seconds(row.wait_s - 1));
    EXPECT_TRUE(sent().empty()) << int{row.result};
    pcp.run_for(seconds(2));
    EXPECT_FALSE(sent().empty()) << int{row.result};
  }
}

TEST_F(NatPmpClient, NPM_016_without_an_outside_address_nothing_is_granted) {
  fall_back();
  pcp.deliver(mapped_to(4321, 3600));
  pcp.deliver(address_is(0, 3));
  const auto told = refusals();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].text, "the NAT-PMP gateway has no outside address at present");
  EXPECT_EQ(outside(), "none");
  pcp.sent.clear();
  pcp.run_for(seconds(31));
  ASSERT_FALSE(pcp.sent.empty());
  EXPECT_EQ(pcp.sent[0].bytes, map_8080);
}

TEST_F(NatPmpClient, NPM_016_a_mapping_that_leads_nowhere_is_not_granted) {
  fall_back();
  pcp.deliver(mapped_to(4321, 1));
  pcp.run_for(milliseconds(1'100));
  pcp.deliver(address_is(5));
  EXPECT_EQ(pcp.events(), Kinds{Kind::refused}) << "over before its address was known";
  begin_anew();
  fall_back();
  pcp.deliver(mapped_to(0, 3600));
  pcp.deliver(address_is(5));
  EXPECT_EQ(pcp.events(), Kinds{Kind::refused}) << "outside port 0";
}

TEST_F(NatPmpClient, NPM_016_what_natpmp_cannot_say_is_refused_and_not_sent) {
  MappingSpec another = spec("192.168.1.8:80"), one_remote = spec("192.168.1.7:81"), this_port = spec("192.168.1.7:82"),
              icmp = spec("192.168.1.7:83"), all = spec("192.168.1.7:0");
  one_remote.remote = endpoint("198.51.100.1:0").address;
  this_port.prefer_failure = true;
  this_port.suggested = endpoint("0.0.0.0:82");
  icmp.protocol = net::Protocol{132};
  struct Row {
    MappingSpec spec;
    pcp::Code code;
    std::string_view word;
  };
  for (const Row& row :
       {Row{another, pcp::Code::unsupp_option, "THIRD_PARTY"}, Row{one_remote, pcp::Code::unsupp_option, "FILTER"},
        Row{this_port, pcp::Code::unsupp_option, "PREFER_FAILURE"},
        Row{icmp, pcp::Code::unsupp_protocol, "TCP and UDP"}, Row{all, pcp::Code::unsupp_protocol, "single ports"}}) {
    begin_anew();
    pcp.add(0, row.spec);
    pcp.sent.clear();
    pcp.deliver(version_refused());
    EXPECT_TRUE(sent().empty()) << row.word;
    const auto told = refusals();
    ASSERT_EQ(told.size(), 1U) << row.word;
    EXPECT_EQ(told[0].code, row.code);
    EXPECT_NE(told[0].text.find(row.word), std::string_view::npos) << told[0].text;
    pcp.client.release(0, pcp.now);  // §3.4: a deletion of port 0 would be one of all
    EXPECT_TRUE(sent().empty()) << row.word;
  }
}

TEST_F(NatPmpClient, NPM_016_a_description_is_left_out) {
  MappingSpec described = spec();
  described.description = "web";
  pcp.add(0, described);
  pcp.sent.clear();
  pcp.deliver(version_refused());
  EXPECT_EQ(sent(), All{map_8080});
}

TEST_F(NatPmpClient, NPM_016_switched_off_it_is_said_and_pcp_is_tried_again_after_half_an_hour) {
  pcp.client.allow_natpmp(false);
  pcp.add(0, spec());
  pcp.deliver(version_refused());
  EXPECT_FALSE(pcp.client.speaks_natpmp());
  const auto told = refusals();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].text, "the server speaks NAT-PMP alone, which is switched off here");
  EXPECT_EQ(told[0].wait_s, 1800U);
}

TEST_F(NatPmpClient, NPM_016_over_ipv6_there_is_no_natpmp_and_that_is_said) {
  ScriptedPcp v6_server;
  v6_server.add(0, v6_server.spec());
  v6_server.deliver(version_refused());
  EXPECT_FALSE(v6_server.client.speaks_natpmp());
  const auto events = v6_server.client.take_events();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_NE(events[0].text.find("IPv4 only"), std::string_view::npos);
}

TEST_F(NatPmpClient, NPM_016_a_refusal_of_the_version_that_nobody_can_have_caused_changes_nothing) {
  pcp.add(0, spec());
  pcp.grant("203.0.113.1:4000");
  pcp.deliver(version_refused());
  EXPECT_FALSE(pcp.client.speaks_natpmp());
  EXPECT_EQ(pcp.events(), Kinds{Kind::granted});
}

TEST_F(NatPmpClient, NPM_016_a_gateway_that_speaks_pcp_again_is_asked_by_pcp) {
  // An announcement: within 5 s, for others hear it too (RFC 6887 §14.1.3).
  have();
  pcp.deliver(ScriptedPcp::announcement(1));
  EXPECT_EQ(pcp.events(), Kinds{Kind::protocol});
  EXPECT_FALSE(pcp.client.speaks_natpmp());
  pcp.run_for(milliseconds(2'400));  // 0.5 drawn
  EXPECT_TRUE(pcp.sent.empty());
  pcp.run_for(milliseconds(200));
  ASSERT_FALSE(pcp.sent.empty());
  pcp.grant("203.0.113.5:4321");
  EXPECT_EQ(pcp.events(), Kinds{Kind::renewed});

  // PCP's own refusal of version 0, which is readable as NAT-PMP's.
  begin_anew();
  have();
  pcp.client.renew(0, pcp.now);
  pcp.sent.clear();
  pcp.deliver(ScriptedPcp::respond(Octets(24), pcp::Code::unsupp_version, 0, 1));
  EXPECT_FALSE(pcp.client.speaks_natpmp());
  EXPECT_EQ(pcp.last().at(0), 2);
}

TEST_F(NatPmpClient, NPM_016_pcp_is_tried_again_with_a_request_of_half_an_hour_later) {
  have(4321, 7200);
  pcp.run_for(seconds(3599));
  EXPECT_TRUE(sent().empty());
  pcp.run_for(seconds(1));
  ASSERT_EQ(pcp.sent.size(), 1U);
  EXPECT_EQ(pcp.sent[0].bytes.at(0), 2);
  pcp.deliver(version_refused(128));
  EXPECT_EQ(pcp.last().at(0), 0);

  // Its silence costs a moment, not the mapping.
  begin_anew();
  have(4321, 7200);
  pcp.run_for(seconds(3602));
  EXPECT_EQ(std::ranges::count_if(pcp.sent, [](const auto& each) { return each.bytes.at(0) == 2; }), 3);
  EXPECT_EQ(pcp.last().at(0), 0);
  EXPECT_TRUE(pcp.client.speaks_natpmp());
}

TEST_F(NatPmpClient, NPM_016_a_server_that_refuses_both_is_not_asked_in_a_circle) {
  pcp.add(0, spec());
  for (int i = 0; i < 10; ++i) {
    pcp.deliver(version_refused());
    pcp.deliver(ScriptedPcp::respond(Octets(24), pcp::Code::unsupp_version, 0, 1));
  }
  EXPECT_LT(pcp.sent.size(), 6U);
  const auto told = refusals();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].text, "the server refuses both PCP and NAT-PMP");
  EXPECT_EQ(told[0].wait_s, 1800U);
}

TEST_F(NatPmpClient, NPM_016_at_the_port_for_announcements_there_are_no_answers) {
  const auto overhear = [&](const Octets& octets) {
    pcp.client.receive(octets, pcp.server, pcp.now, true);
    pcp.collect();
  };
  pcp.add(0, spec());
  overhear(version_refused());
  EXPECT_FALSE(pcp.client.speaks_natpmp());
  overhear(ScriptedPcp::respond(Octets(24), pcp::Code::unsupp_version, 0, 1));
  EXPECT_TRUE(pcp.events().empty());
  begin_anew();
  fall_back();
  const size_t before = pcp.sent.size();
  overhear(mapped_to(6666, 3600));
  EXPECT_EQ(pcp.sent.size(), before);
  overhear(ScriptedPcp::respond(Octets(24), pcp::Code::unsupp_version, 0, 1));
  EXPECT_TRUE(pcp.client.speaks_natpmp());
}

TEST_F(NatPmpClient, NPM_016_a_probe_under_way_at_a_loss_of_state_is_asked_again) {
  have();
  MappingSpec probe = spec("192.168.1.7:9");
  probe.keep = false;
  pcp.add(1, probe);
  pcp.sent.clear();
  pcp.run_for(milliseconds(10));
  pcp.epoch_s = 0;
  pcp.client.receive(address_is(5), pcp.server, pcp.now, true);
  pcp.run_for(seconds(4));
  pcp.deliver(version_refused());
  pcp.deliver(mapped_to(4321, 3600));
  EXPECT_EQ(pcp.last().at(5), 9);
}

TEST_F(NatPmpClient, NPM_016_a_new_source_address_begins_with_pcp) {
  have();
  pcp.client.move_to(net::mapped(endpoint("192.168.2.7:0").address), pcp.now);
  EXPECT_EQ(pcp.last().at(0), 2);
  EXPECT_FALSE(pcp.client.speaks_natpmp());
}

TEST_F(NatPmpClient, NPM_016_a_mapping_that_is_not_renewed_is_lost) {
  have(4321, 120);
  pcp.run_for(seconds(121));
  EXPECT_EQ(pcp.events(), Kinds{Kind::lost});
  EXPECT_EQ(outside(), "none");
}

}  // namespace
}  // namespace portolan::ddns::test
