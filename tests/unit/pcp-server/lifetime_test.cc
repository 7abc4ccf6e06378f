// Lifetimes, renewal, deletion, expiry, clearing (RFC 6887 §15).
#include "tests/unit/pcp-server/fixture.h"

namespace portolan::pcp::test {
namespace {

MapRequest deletion(uint16_t internal) { return udp(internal, 0, 0); }

// Also shows PCP-059.
TEST_F(PcpServer, PCP_160_PCP_161_PCP_162_bounds) {
  EXPECT_EQ(map(udp(5000, 0, 1)).lifetime_s, 120U);
  EXPECT_EQ(map(udp(5000, 0, 7777)).lifetime_s, 7777U);
  EXPECT_EQ(map(udp(5000, 0, ~0U)).lifetime_s, 86'400U);
}

TEST_F(PcpServer, PCP_163_PCP_164_renewal_counts_from_the_renewal) {
  map(udp(5000, 0, 600));
  now_s += 500;
  map(udp(5000, 0, 600));
  now_s += 500;
  server.expire(now_s);
  EXPECT_EQ(server.size(), 1U);
  now_s += 100;
  server.expire(now_s);
  EXPECT_EQ(server.size(), 0U);
  EXPECT_EQ(server.counters()[Event::expired], 1U);
}

TEST_F(PcpServer, PCP_165_PCP_166_shortening_stops_at_the_idle_time) {
  map(udp(5000, 0, 3600));
  EXPECT_EQ(map(udp(5000, 0, 200)).lifetime_s, 200U);
  translator.outbound(key_of(5000), now_s);
  EXPECT_EQ(map(udp(5000, 0, 200)).lifetime_s, Translator::idle_s);
}

TEST_F(PcpServer, PCP_170_PCP_171_delete) {
  map(udp(5000));
  MapRequest request = deletion(5000);
  request.suggested_port = port(333);
  request.suggested_address = ipv6("2001:db8::bad");
  const Response response = map(request);
  EXPECT_EQ(response.code, Code::success);
  EXPECT_EQ(response.lifetime_s, 0U);
  EXPECT_TRUE(answers(response, request));
  EXPECT_EQ(response.map->assigned_port, port(333));
  EXPECT_EQ(response.map->assigned_address, ipv6("2001:db8::bad"));
  EXPECT_EQ(server.size(), 0U);
  EXPECT_TRUE(translator.records().empty());
}

TEST_F(PcpServer, PCP_172_deleting_what_is_not_there) {
  for (int i = 0; i < 2; ++i) {
    const Response response = map(deletion(5000));
    EXPECT_EQ(response.code, Code::success);
    EXPECT_EQ(response.lifetime_s, 0U);
  }
  EXPECT_EQ(code_of(map_of(net::Protocol::sctp, 5000, 0, 0)), Code::success);
  EXPECT_EQ(server.in_flight(), 0U);
}

TEST_F(PcpServer, PCP_173_an_outbound_mapping_is_not_PCPs_to_delete) {
  translator.outbound(key_of(5000), now_s);
  const Response response = map(deletion(5000));
  EXPECT_EQ(response.code, Code::not_authorized);
  EXPECT_EQ(response.lifetime_s, 1800U);
  EXPECT_EQ(translator.records().size(), 1U);
}

TEST_F(PcpServer, PCP_175_deleting_all_ports_deletes_no_port) {
  for (uint16_t internal = 5000; internal < 5003; ++internal) map(map_of(net::Protocol::tcp, internal));
  for (const net::Protocol protocol : {net::Protocol::tcp, net::Protocol{0}}) {
    const Response response = map(map_of(protocol, 0, 0, 0));
    EXPECT_EQ(response.code, Code::success);
    EXPECT_EQ(response.lifetime_s, 0U);
  }
  EXPECT_EQ(server.size(), 3U);
  EXPECT_EQ(translator.records().size(), 3U);
}

TEST_F(PcpServer, PCP_166_D19_traffic_outlives_the_deletion) {
  map(udp(5000, 40000));
  translator.outbound(key_of(5000), now_s);
  now_s += 50;
  EXPECT_EQ(map(deletion(5000)).lifetime_s, Translator::idle_s - 50);
  now_s += 50;
  const Response again = map(deletion(5000));  // PCP-024: a duplicate is answered alike
  EXPECT_EQ(again.code, Code::success);
  EXPECT_EQ(again.lifetime_s, Translator::idle_s - 100);
  EXPECT_EQ(translator.records().size(), 1U);
  EXPECT_EQ(map(udp(5000)).map->assigned_port, port(40000));
}

TEST_F(PcpServer, PCP_166_an_ended_mapping_takes_another_nonce_but_no_other_nonces_deletion) {
  map(udp(5000, 40000));
  translator.outbound(key_of(5000), now_s);
  map(deletion(5000));
  MapRequest other = deletion(5000);
  other.nonce = nonce(0xbb);
  EXPECT_EQ(code_of(other), Code::not_authorized);
  other.lifetime_s = 600;
  const Response taken = map(other);
  EXPECT_EQ(taken.code, Code::success);
  EXPECT_EQ(taken.map->assigned_port, port(40000));
  EXPECT_EQ(code_of(udp(5000)), Code::not_authorized);
}

TEST_F(PcpServer, PCP_185_remaining_lifetime_counts_down_and_a_grant_is_never_zero) {
  map(udp(5000, 0, 600));
  MapRequest other = udp(5000);
  other.nonce = nonce(0xbb);
  now_s += 599;
  EXPECT_EQ(map(other).lifetime_s, 1U);
  now_s += 1;
  EXPECT_EQ(map(other).code, Code::success);
  const Command command =
      server.handle(build_map_request(as_mapped("10.0.0.10"), udp(5001)), softwire(), now_s).commands.at(0);
  CommandResult result = translator.execute(command, now_s);
  result.lifetime_s = 0;
  EXPECT_EQ(parse_response(server.complete(result, now_s).replies.at(0).message)->lifetime_s, 1U);
}

TEST_F(PcpServer, a_mapping_that_expires_while_renewed_is_renewed) {
  map(udp(5000, 0, 120));
  now_s += 119;
  const Command command =
      server.handle(build_map_request(as_mapped("10.0.0.10"), udp(5000)), softwire(), now_s).commands.at(0);
  const CommandResult result = translator.execute(command, now_s);
  now_s += 1;
  server.expire(now_s);
  EXPECT_EQ(server.size(), 0U);
  EXPECT_EQ(parse_response(server.complete(result, now_s).replies.at(0).message)->code, Code::success);
  EXPECT_EQ(server.size(), 1U);
}

TEST_F(PcpServer, a_command_that_cannot_be_sent_leaves_nothing) {
  map(udp(5000));
  for (const MapRequest& request : {udp(5001), deletion(5001), deletion(5000)}) {
    const Command command =
        server.handle(build_map_request(as_mapped("10.0.0.10"), request), softwire(), now_s).commands.at(0);
    const auto reply = server.complete({command.ticket, CommandResult::Status::no_resources, {}, 0}, now_s);
    EXPECT_EQ(parse_response(reply.replies.at(0).message)->code, Code::no_resources);
  }
  EXPECT_EQ(server.size(), 1U);
  EXPECT_EQ(server.in_flight(), 0U);
}

// Shows PCP-202.
TEST_F(PcpServer, a_restored_mapping_is_adopted_with_the_first_nonce) {
  map(udp(5000, 40000));
  Server restarted{settings, start_s, 1};
  server = std::move(restarted);
  MapRequest first = udp(5000);
  first.nonce = nonce(0xcc);
  EXPECT_EQ(map(first).map->assigned_port, port(40000));
  EXPECT_EQ(code_of(udp(5000)), Code::not_authorized);
}

// Also shows DSL-085.
TEST_F(PcpServer, PCP_181_PCP_183_a_resting_port_is_the_same_clients_to_have_back) {
  translator.rest_s = 7'440;
  const auto tcp = [](uint16_t internal, uint16_t suggested, uint32_t lifetime_s = 600) {
    return map_of(net::Protocol::tcp, internal, suggested, lifetime_s);
  };
  const auto port_of = [&](const MapRequest& request, const Source& source = softwire()) {
    return uint16_t{map(request, source).map->assigned_port.number};
  };
  ASSERT_EQ(port_of(tcp(80, 4321)), 4321);
  ASSERT_EQ(code_of(tcp(80, 0, 0)), Code::success);
  now_s += 7'000;
  server.expire(now_s);
  MapRequest other_nonce = tcp(80, 4321, 120);
  other_nonce.nonce = nonce(0xbb);
  EXPECT_NE(port_of(tcp(81, 4321)), 4321) << "another port of the same host";
  EXPECT_NE(port_of(tcp(80, 4321), softwire("2001:db8:200:1::1")), 4321) << "another subscriber";
  EXPECT_NE(port_of(other_nonce), 4321) << "the inside endpoint, but another client";
  other_nonce.lifetime_s = 0;
  ASSERT_EQ(code_of(other_nonce), Code::success);
  EXPECT_NE(port_of(tcp(80, 4321)), 4321) << "another had the endpoint since: his port is what rests for it";
}

TEST_F(PcpServer, PCP_183_a_port_is_given_back_after_deletion_and_after_expiry) {
  translator.rest_s = 120;
  const auto first = map(udp(5000, 4321, 200));
  ASSERT_EQ(first.map->assigned_port, port(4321));
  ASSERT_EQ(code_of(udp(5000, 0, 0)), Code::success);
  now_s += 119;
  MapRequest again = udp(5000, 4321, 200);
  again.prefer_failure = true;
  again.suggested_address = first.map->assigned_address;
  EXPECT_EQ(map(again).map->assigned_port, port(4321)) << "while it rests, and insisted on";
  now_s += 200;
  server.expire(now_s);
  translator.expire(now_s);
  ASSERT_EQ(server.find({key_of(5000), {}}), nullptr);
  now_s += 100;
  EXPECT_EQ(map(udp(5000, 4321, 120)).map->assigned_port, port(4321)) << "it expired 100 s ago";
  ASSERT_EQ(code_of(udp(5000, 0, 0)), Code::success);
  EXPECT_EQ(map(udp(5000, 0, 120)).map->assigned_port, port(1024)) << "he does not ask for it";
}

TEST_F(PcpServer, PCP_183_whose_ports_rest_is_remembered_no_longer_than_they_do_and_of_no_more_than_fit) {
  settings.mappings_max = 3;
  configure(settings);
  const auto had = [&](uint16_t internal) {
    ASSERT_EQ(code_of(udp(internal)), Code::success);
    ASSERT_EQ(code_of(udp(internal, 0, 0)), Code::success);
  };
  for (uint16_t internal = 5000; internal < 5010; ++internal) had(internal);
  EXPECT_EQ(server.resting(), 3U);
  server.expire(now_s + settings.rest_s);
  EXPECT_EQ(server.resting(), 0U);
  had(5000);
  EXPECT_EQ(server.resting(), 1U);
  server.forget(ipv6("2001:db8:100::"));
  EXPECT_EQ(server.resting(), 0U) << "the prefix may be another customer's next";
}

TEST_F(PcpServer, PCP_184_a_cleared_subscriber_is_forgotten) {
  map(udp(5000));
  map(udp(5001), softwire("2001:db8:100:2::1", "10.0.0.11"));
  map(udp(5000), softwire("2001:db8:200:1::1"));
  translator.clear(ipv6("2001:db8:100::"));
  EXPECT_EQ(server.forget(ipv6("2001:db8:100::")), 2U);
  EXPECT_EQ(server.size(), 1U);
  MapRequest other = udp(5000);
  other.nonce = nonce(0xbb);
  EXPECT_EQ(code_of(other), Code::success);
  EXPECT_EQ(server.forget_all(), 2U);
  EXPECT_EQ(server.size(), 0U);
}

TEST_F(PcpServer, MGT_061_one_cleared_mapping_is_forgotten_and_no_other) {
  map(udp(5000));
  map(udp(5001));
  const MappingKey cleared{ipv6("2001:db8:100::"), ipv4("10.0.0.10"), port(5000), net::Protocol::udp};
  EXPECT_EQ(server.forget(cleared), 1U);
  EXPECT_EQ(server.forget(cleared), 0U);
  server.for_each([](const RecordKey& key, const Mapping&) { EXPECT_EQ(key.mapping.inside_port, port(5001)); });
  EXPECT_EQ(server.size(), 1U);
}

TEST_F(PcpServer, PCP_184_what_was_asked_after_the_clearing_stays) {
  const auto outcome = server.handle(build_map_request(as_mapped("10.0.0.10"), udp(5000)), softwire(), now_s);
  EXPECT_EQ(server.forget(ipv6("2001:db8:100::")), 0U);
  EXPECT_EQ(server.complete(translator.execute(outcome.commands.at(0), now_s), now_s).replies.size(), 1U);
  EXPECT_EQ(server.size(), 1U);
}

}  // namespace
}  // namespace portolan::pcp::test
