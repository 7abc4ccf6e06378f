// Who may speak for whom: plain IPv6, IPv4 inside the softwire, THIRD_PARTY (RFC 6887 §13.1, D04, PCD rows).
#include "tests/unit/pcp-server/fixture.h"

namespace portolan::pcp::test {
namespace {

MapRequest third_party(std::string_view host, uint16_t internal = 5000) {
  MapRequest out = udp(internal);
  out.third_party = ipv6(host);
  return out;
}

TEST_F(PcpServer, PCD_001_announce_in_plain_mode) {
  EXPECT_EQ(code_of(build_announce_request(plain().b4), plain()), Code::success);
}

TEST_F(PcpServer, PCD_002_PCP_100_third_party_in_plain_mode) {
  const MapRequest request = third_party("::ffff:10.0.0.10");
  const Message reply = ask(build_map_request(plain().b4, request), plain()).value();
  EXPECT_EQ(reply.size(), 80U);
  EXPECT_TRUE(answers(parse_response(reply).value(), request));
  EXPECT_EQ(last_command->key, key_of(5000));
  EXPECT_EQ(last_command->b4, plain().b4);
}

// Also shows PCX-080.
TEST_F(PcpServer, PCD_002_both_modes_speak_of_one_mapping) {
  const Response first = map(udp(5000));
  const Response second = map(third_party("::ffff:10.0.0.10"), plain());
  EXPECT_EQ(second.map->assigned_port, first.map->assigned_port);
  EXPECT_EQ(server.size(), 1U);
}

TEST_F(PcpServer, PCP_177_third_party_deletes) {
  map(udp(5000));
  MapRequest request = third_party("::ffff:10.0.0.10");
  request.lifetime_s = 0;
  EXPECT_EQ(code_of(request, plain()), Code::success);
  EXPECT_EQ(server.size(), 0U);
}

TEST_F(PcpServer, PCD_003_plain_mode_without_third_party) {
  const Response response = map(udp(5000), plain());
  EXPECT_EQ(response.code, Code::not_authorized);
  EXPECT_EQ(response.lifetime_s, 1800U);
}

TEST_F(PcpServer, PCD_004_inside_addresses) {
  struct Row {
    const char* host;
    Code expected;
  };
  constexpr Row rows[] = {{"::ffff:10.255.0.1", Code::success},       {"::ffff:172.31.0.1", Code::success},
                          {"::ffff:192.168.9.9", Code::success},      {"::ffff:192.0.0.2", Code::success},
                          {"::ffff:192.0.0.7", Code::success},        {"::ffff:192.0.0.0", Code::unsupp_option},
                          {"::ffff:192.0.0.1", Code::unsupp_option},  {"::ffff:192.0.0.8", Code::unsupp_option},
                          {"::ffff:172.32.0.1", Code::unsupp_option}, {"::ffff:8.8.8.8", Code::unsupp_option},
                          {"::ffff:0.0.0.0", Code::unsupp_option},    {"2001:db8::5", Code::unsupp_option},
                          {"::10.0.0.10", Code::unsupp_option},       {"1::ffff:10.0.0.10", Code::unsupp_option}};
  for (const Row& row : rows) EXPECT_EQ(code_of(third_party(row.host), plain()), row.expected) << row.host;
  for (const char* inner : {"8.8.8.8", "192.0.0.1", "224.0.0.1"})
    EXPECT_EQ(code_of(udp(5000), softwire("2001:db8:100:1::1", inner)), Code::not_authorized) << inner;
}

TEST_F(PcpServer, PCP_101_third_party_is_the_sender) {
  EXPECT_EQ(code_of(third_party("::ffff:10.0.0.10"), softwire()), Code::malformed_request);
  EXPECT_EQ(code_of(third_party("2001:db8:100:1::1"), plain()), Code::malformed_request);
}

TEST_F(PcpServer, PCP_102_PCP_103_third_party_through_the_softwire) {
  const MapRequest neighbour = third_party("::ffff:10.0.0.11");
  EXPECT_EQ(code_of(neighbour), Code::unsupp_option);
  settings.third_party_from = {net::parse_ipv6_prefix("2001:db8:100::/48").value()};
  configure(settings);
  EXPECT_EQ(code_of(neighbour), Code::success);
  EXPECT_EQ(last_command->key, key_of(5000, "10.0.0.11"));
  EXPECT_EQ(code_of(neighbour, softwire("2001:db8:200:1::1")), Code::unsupp_option);
}

TEST_F(PcpServer, PCP_103_a_NAT44_subscriber_speaks_for_himself_only) {
  settings.third_party_from = {{ipv6("::"), 0}};
  configure(settings);
  const Source source{as_mapped("100.64.0.9"), ipv4("100.64.0.9"), as_mapped("198.51.100.1"), port(40002)};
  EXPECT_EQ(code_of(udp(5000), source), Code::success);
  EXPECT_EQ(last_command->key.subscriber, as_mapped("100.64.0.9"));
  EXPECT_EQ(code_of(third_party("::ffff:10.0.0.10"), source), Code::unsupp_option);
}

TEST_F(PcpServer, PCD_005_PCD_006_encapsulation_compares_the_inner_source) {
  EXPECT_EQ(code_of(udp(5000)), Code::success);
  EXPECT_EQ(code_of(build_map_request(as_mapped("10.0.0.11"), udp(5000))), Code::address_mismatch);
}

TEST_F(PcpServer, PCD_007_PCP_210_one_inside_address_behind_two_B4s) {
  const Source one = softwire("2001:db8:100:1::1"), two = softwire("2001:db8:200:1::1");
  MapRequest other = udp(5000);
  other.nonce = nonce(0xbb);
  const Response first = map(udp(5000), one), second = map(other, two);
  EXPECT_EQ(second.code, Code::success);
  EXPECT_NE(first.map->assigned_port, second.map->assigned_port);
  EXPECT_EQ(code_of(udp(5000), two), Code::not_authorized);
  other.lifetime_s = 0;
  EXPECT_EQ(code_of(other, two), Code::success);
  EXPECT_EQ(server.size(), 1U);
}

// Also shows DDN-018, DSL-083, PCP-199.
TEST_F(PcpServer, PCD_008_a_B4_moves_within_its_prefix) {
  const Response first = map(udp(5000));
  const Source moved = softwire("2001:db8:100:5::2");
  const Response renewed = map(udp(5000), moved);
  EXPECT_EQ(renewed.map, first.map);
  EXPECT_EQ(translator.records().at(key_of(5000)).b4, moved.b4);
  server.for_each([&](const RecordKey& key, const Mapping& mapping) {
    EXPECT_EQ(key.mapping, key_of(5000));
    EXPECT_EQ(mapping.client, moved);  // PCP-197: where an unsolicited ANNOUNCE goes
  });
}

}  // namespace
}  // namespace portolan::pcp::test
