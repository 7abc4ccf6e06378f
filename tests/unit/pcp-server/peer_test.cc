// PEER (RFC 6887 §12), and how it lives beside a MAP of the same inside port.
#include "tests/unit/pcp-server/fixture.h"

namespace portolan::pcp::test {
namespace {

const net::Endpoint r1{ipv4("203.0.113.5"), port(53)}, r2{ipv4("203.0.113.6"), port(53)};

MapRequest with_nonce(MapRequest request, uint8_t fill) {
  request.nonce = nonce(fill);
  return request;
}

TEST_F(PcpServer, PCP_070_reply_of_a_PEER) {
  translator.outbound(key_of(5000), now_s);
  MapRequest request = udp(5000);
  request.remote = r1;
  const Message reply = ask(build_map_request(as_mapped("10.0.0.10"), request)).value();
  EXPECT_EQ(reply.size(), 80U);
  EXPECT_EQ(reply[1], 0x82);
  const Response response = parse_response(reply).value();
  EXPECT_TRUE(answers(response, request));
  EXPECT_EQ(response.lifetime_s, 3600U);
  EXPECT_EQ(response.map->assigned_port, translator.records().at(key_of(5000)).outside.port);
  EXPECT_EQ(Message(reply.begin() + 62, reply.begin() + 64), (Message{0, 0}));
}

TEST_F(PcpServer, PCP_004_reserved_octets_of_a_PEER_are_ignored) {
  MapRequest request = udp(5000);
  request.remote = r1;
  Message message = build_map_request(as_mapped("10.0.0.10"), request);
  message[62] = message[63] = 0xff;
  EXPECT_EQ(code_of(message), Code::success);
}

TEST_F(PcpServer, PCP_071_PCP_079_a_PEER_that_makes_no_sense) {
  EXPECT_EQ(peer(map_of(net::Protocol{0}, 5000), r1).code, Code::malformed_request);
  EXPECT_EQ(peer(udp(0), r1).code, Code::malformed_request);
  EXPECT_EQ(peer(udp(5000), {r1.address, port(0)}).code, Code::malformed_request);
  for (const char* nobody : {"127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"})
    EXPECT_EQ(peer(udp(5000), {ipv4(nobody), port(53)}).code, Code::malformed_request) << nobody;
  EXPECT_EQ(peer(map_of(net::Protocol::sctp, 5000), r1).code, Code::unsupp_protocol);
  EXPECT_TRUE(translator.records().empty());
  EXPECT_EQ(server.size(), 0U);
}

TEST_F(PcpServer, PCP_077_PCP_078_options_that_are_MAPs) {
  MapRequest request = udp(5000, 40000);
  request.prefer_failure = true;
  EXPECT_EQ(peer(request, r1).code, Code::malformed_request);
  request = udp(5000);
  request.filters = {{0, 128, port(0), as_mapped("203.0.113.5")}};
  EXPECT_EQ(peer(request, r1).code, Code::malformed_option);
  EXPECT_EQ(server.size(), 0U);
}

// Also shows PCP-072.
TEST_F(PcpServer, PCP_074_each_remote_has_its_nonce) {
  const Response first = peer(udp(5000, 0, 600), r1), second = peer(with_nonce(udp(5000), 0xbb), r2);
  EXPECT_EQ(first.map->assigned_port, second.map->assigned_port);
  EXPECT_EQ(server.size(), 2U);
  now_s += 100;
  const Response refused = peer(with_nonce(udp(5000), 0xbb), r1);
  EXPECT_EQ(refused.code, Code::not_authorized);
  EXPECT_EQ(refused.lifetime_s, 500U);
  EXPECT_EQ(peer(udp(5000), r1).code, Code::success);
}

TEST_F(PcpServer, PCP_073_a_mapping_that_is_there_is_told_whatever_is_suggested) {
  const net::Endpoint outside = translator.outbound(key_of(5000), now_s);
  // The double answers for a mapping that is not there; the shard's own test is PCP_076 in nat.
  const Response response = peer(udp(5000), r1);
  EXPECT_EQ(response.map->assigned_port, outside.port);
  EXPECT_EQ(peer(udp(5000, 41000), r1).map->assigned_port, outside.port);  // an earlier PEER: nothing is asked exactly
  EXPECT_FALSE(last_command->exact);
}

// Also shows PCP-057.
TEST_F(PcpServer, PCP_076_a_suggestion_is_kept_or_refused) {
  EXPECT_EQ(peer(udp(5000, 40000), r1).map->assigned_port, port(40000));
  const Source other = softwire("2001:db8:200:1::1");
  EXPECT_EQ(peer(udp(5000, 40000), r1, other).code, Code::cannot_provide_external);
  MapRequest ipv6_wanted = udp(5000);
  ipv6_wanted.suggested_address = ipv6("2001:db8::1");
  EXPECT_EQ(peer(ipv6_wanted, r1, other).code, Code::cannot_provide_external);
  ipv6_wanted.suggested_address = any_ipv6;
  EXPECT_EQ(peer(ipv6_wanted, r1, other).code, Code::success);
  EXPECT_EQ(server.size(), 2U);
}

TEST_F(PcpServer, PCP_080_never_shortens_and_zero_only_asks) {
  EXPECT_EQ(peer(udp(5000, 0, 0), r1).lifetime_s, Translator::idle_s);
  EXPECT_EQ(server.size(), 0U);
  EXPECT_EQ(peer(udp(5000, 0, 3600), r1).lifetime_s, 3600U);
  now_s += 600;
  EXPECT_EQ(peer(udp(5000, 0, 120), r1).lifetime_s, 3000U);
  EXPECT_EQ(peer(udp(5000, 0, 0), r1).lifetime_s, 3000U);
  now_s += 2999;
  server.expire(now_s);
  EXPECT_EQ(server.size(), 1U);
}

// Also shows PCP-173.
TEST_F(PcpServer, PCP_051_a_MAP_and_its_PEERs_share_a_mapping_and_end_apart) {
  const Response made = map(udp(5000, 0, 600));
  EXPECT_EQ(peer(with_nonce(udp(5000, 0, 3600), 0xbb), r1).map->assigned_port, made.map->assigned_port);
  EXPECT_EQ(map(udp(5000, 0, 600)).lifetime_s, 600U);
  EXPECT_EQ(last_command->pinned_s, 3600U);
  EXPECT_EQ(map(udp(5000, 0, 0)).code, Code::success);
  EXPECT_EQ(last_command->pinned_s, 3600U);
  EXPECT_EQ(translator.records().size(), 1U);
  EXPECT_EQ(code_of(with_nonce(udp(5000, 0, 0), 0xbb)), Code::not_authorized);  // the PEER's nonce deletes no MAP
  now_s += 3599;
  translator.expire(now_s);
  EXPECT_EQ(translator.records().size(), 1U);
  now_s += 1;
  server.expire(now_s);
  translator.expire(now_s);
  EXPECT_TRUE(translator.records().empty());
  EXPECT_EQ(server.size(), 0U);
}

// The PEER's end is not said by making the MAP again, which has ended in the same second.
TEST_F(PcpServer, PCP_051_a_MAP_and_its_PEER_that_end_at_once) {
  MapRequest filtered = udp(5000, 0, 600);
  filtered.filters = {{0, 128, port(0), as_mapped("203.0.113.9")}};
  map(filtered);
  peer(udp(5000, 0, 300), r1);
  ASSERT_EQ(server.size(), 2U);
  now_s += 700;
  server.expire(now_s);
  EXPECT_TRUE(server.take_effects().commands.empty());
  EXPECT_EQ(server.size(), 0U);
}

TEST_F(PcpServer, PCP_051_a_MAP_that_expires_leaves_its_PEERs) {
  map(udp(5000, 0, 600));
  peer(udp(5000, 0, 3600), r1);
  now_s += 600;
  server.expire(now_s);
  const auto effects = server.take_effects();
  ASSERT_EQ(effects.commands.size(), 1U);
  EXPECT_EQ(effects.commands[0].verb, Command::Verb::end);
  EXPECT_EQ(effects.commands[0].pinned_s, 3000U);
  EXPECT_EQ(effects.commands[0].ticket, 0U);
}

TEST_F(PcpServer, PEERs_are_let_in_where_a_list_says_who_is) {
  settings.filters_by_remote = true;
  configure(settings);
  peer(udp(5000), r1);
  EXPECT_EQ(last_command->let_in, (std::vector<Filter>{{{r1.address, 32}, r1.port}}));
  peer(udp(5000), r2);
  EXPECT_EQ(last_command->let_in.size(), 2U);
  map(udp(5000));
  EXPECT_TRUE(last_command->let_in.empty());  // everybody
  MapRequest filtered = udp(5000);
  filtered.filters = {{0, 128, port(0), as_mapped("203.0.113.9")}};
  map(filtered);
  EXPECT_EQ(last_command->let_in.size(), 3U);
}

TEST_F(PcpServer, PEERs_count_and_are_bounded) {
  settings.mappings_per_subscriber_max = 10;
  configure(settings);
  for (uint8_t i = 0; i < peers_max; ++i)
    EXPECT_EQ(peer(udp(5000), {ipv4("203.0.113.5"), port(static_cast<uint16_t>(100 + i))}).code, Code::success);
  EXPECT_EQ(peer(udp(5000), r1).code, Code::user_ex_quota);
  EXPECT_EQ(peer(udp(5001), r1).code, Code::success);
  EXPECT_EQ(peer(udp(5002), r1).code, Code::success);
  EXPECT_EQ(peer(udp(5003), r1).code, Code::user_ex_quota);
  EXPECT_EQ(code_of(udp(5004)), Code::user_ex_quota);
}

TEST_F(PcpServer, a_PEER_under_way_drops_a_MAP_of_the_same_mapping) {
  MapRequest request = udp(5000);
  request.remote = r1;
  const auto effects = server.handle(build_map_request(as_mapped("10.0.0.10"), request), softwire(), now_s);
  ASSERT_EQ(effects.commands.size(), 1U);
  EXPECT_FALSE(ask(build_map_request(as_mapped("10.0.0.10"), udp(5000))));
  EXPECT_EQ(server.counters()[Event::drop_in_flight], 1U);
}

}  // namespace
}  // namespace portolan::pcp::test
