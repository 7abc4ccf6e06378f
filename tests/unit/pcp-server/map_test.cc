// MAP: what is granted, what is refused and with which code (RFC 6887 §11).
#include <tuple>

#include "tests/unit/pcp-server/fixture.h"

namespace portolan::pcp::test {
namespace {

TEST_F(PcpServer, PCP_030_reply_of_a_grant) {
  const Message reply = ask(build_map_request(as_mapped("10.0.0.10"), udp(5000))).value();
  EXPECT_EQ(reply.size(), 60U);
  const Response response = parse_response(reply).value();
  EXPECT_EQ(response.code, Code::success);
  EXPECT_EQ(response.lifetime_s, 3600U);
  EXPECT_TRUE(answers(response, udp(5000)));
  EXPECT_EQ(response.map->assigned_address, net::mapped(Translator::pool_address));
  EXPECT_EQ(translator.records().at(key_of(5000)).outside.port, response.map->assigned_port);
}

// Also shows DCP-006, PCP-059.
TEST_F(PcpServer, PCP_034_to_PCP_038_protocols_and_ports) {
  struct Row {
    uint8_t protocol;
    uint16_t port;
    uint32_t lifetime_s;
    Code expected;
  };
  constexpr Row rows[] = {{132, 5000, 3600, Code::unsupp_protocol},  // PCP-034
                          {33, 5000, 3600, Code::unsupp_protocol},
                          {6, 0, 3600, Code::unsupp_protocol},     // PCP-035
                          {0, 0, 3600, Code::unsupp_protocol},     // PCP-036
                          {0, 80, 3600, Code::malformed_request},  // PCP-037
                          {0, 80, 0, Code::malformed_request},
                          {47, 0, 3600, Code::unsupp_protocol},  // PCP-038
                          {1, 0, 3600, Code::unsupp_protocol},
                          {6, 80, 3600, Code::success},
                          {17, 9, 30, Code::success}};  // PCP-059
  for (const auto& [protocol, internal, lifetime_s, expected] : rows)
    EXPECT_EQ(code_of(map_of(net::Protocol{protocol}, internal, 0, lifetime_s)), expected)
        << int{protocol} << ' ' << internal;
  EXPECT_EQ(server.size(), 2U);
}

TEST_F(PcpServer, PCP_039_a_free_suggestion_is_granted) {
  MapRequest request = udp(5000, 40000);
  request.suggested_address = net::mapped(Translator::pool_address);
  const Response response = map(request);
  EXPECT_EQ(response.map->assigned_port, port(40000));
  EXPECT_EQ(last_command->suggested, (net::Endpoint{Translator::pool_address, port(40000)}));
}

// Also shows PCP-058.
TEST_F(PcpServer, PCP_015_PCP_016_PCP_040_PCP_041_a_suggestion_never_harms) {
  map(udp(4999, 40000), softwire("2001:db8:200:1::1"));
  for (const char* address : {"::", "::1", "::ffff:0:0", "::ffff:9.9.9.9", "::ffff:127.0.0.1", "::ffff:224.0.0.1",
                              "ff02::1", "2001:db8::1", "1::ffff:192.0.2.7"}) {
    for (const uint16_t suggested : std::initializer_list<uint16_t>{0, 80, 5351, 40000}) {
      MapRequest request = udp(5000, suggested);
      request.suggested_address = ipv6(address);
      const Response response = map(request);
      ASSERT_EQ(response.code, Code::success) << address;
      EXPECT_EQ(response.map->assigned_address, net::mapped(Translator::pool_address));
      EXPECT_GE(response.map->assigned_port, port(1024));  // PCP-058
      EXPECT_NE(response.map->assigned_port, port(5351));  // PCP-044
      EXPECT_NE(response.map->assigned_port, port(40000));
      request.lifetime_s = 0;
      map(request);
    }
  }
}

TEST_F(PcpServer, PCP_014_only_96_bits_make_an_address_IPv4) {
  MapRequest request = udp(5000, 40000);
  request.suggested_address = ipv6("1::ffff:192.0.2.7");
  map(request);
  EXPECT_EQ(last_command->suggested.address, net::Ipv4{});
}

TEST_F(PcpServer, PCP_046_a_renewal_keeps_its_endpoint) {
  const Response first = map(udp(5000, 40000, 600));
  now_s += 100;
  const Response renewed = map(udp(5000, 41000, 900));
  EXPECT_EQ(renewed.map, first.map);
  EXPECT_EQ(renewed.lifetime_s, 900U);
  EXPECT_EQ(last_command->suggested, (net::Endpoint{Translator::pool_address, port(40000)}));
}

TEST_F(PcpServer, PCP_046_a_renewal_notices_a_changed_endpoint) {
  map(udp(5000, 40000));
  translator.move(key_of(5000), {Translator::pool_address, port(50000)});
  EXPECT_EQ(map(udp(5000)).map->assigned_port, port(50000));
  EXPECT_EQ(server.counters()[Event::moved], 1U);
}

// Also shows PCP-174.
TEST_F(PcpServer, PCP_047_wrong_nonce_is_refused) {
  map(udp(5000, 0, 600));
  now_s += 100;
  MapRequest other = udp(5000);
  other.nonce = nonce(0xbb);
  for (const uint32_t lifetime_s : {3600U, 120U, 0U}) {  // renew, shorten, delete (PCP-174)
    other.lifetime_s = lifetime_s;
    const Response response = map(other);
    EXPECT_EQ(response.code, Code::not_authorized);
    EXPECT_EQ(response.lifetime_s, 500U);
  }
  EXPECT_EQ(translator.records().at(key_of(5000)).explicit_until_s, now_s + 500);
}

TEST_F(PcpServer, PCP_048_zero_is_a_nonce) {
  MapRequest request = udp(5000);
  request.nonce = nonce(0);
  EXPECT_EQ(code_of(request), Code::success);
  EXPECT_EQ(code_of(udp(5000)), Code::not_authorized);
  EXPECT_EQ(code_of(request), Code::success);
}

TEST_F(PcpServer, PCP_049_a_nonce_is_one_mappings) {
  MapRequest a = udp(5000), b = udp(5001);
  b.nonce = nonce(0xbb);
  map(a);
  map(b);
  std::swap(a.nonce, b.nonce);
  EXPECT_EQ(code_of(a), Code::not_authorized);
  EXPECT_EQ(code_of(b), Code::not_authorized);
}

TEST_F(PcpServer, PCP_051_an_implicit_mapping_becomes_explicit_where_it_is) {
  const net::Endpoint outside = translator.outbound(key_of(5000), now_s);
  EXPECT_EQ(map(udp(5000)).map->assigned_port, outside.port);
}

TEST_F(PcpServer, PCP_045_protocols_are_apart) {
  map(udp(5000, 40000));
  EXPECT_EQ(translator.records().size(), 1U);
  EXPECT_EQ(map(map_of(net::Protocol::tcp, 5000, 40000)).map->assigned_port, port(40000));
  EXPECT_EQ(server.size(), 2U);
}

struct PreferFailure : PcpServer {
  static MapRequest request(uint16_t suggested, uint32_t lifetime_s = 3600) {
    MapRequest out = udp(5000, suggested, lifetime_s);
    out.prefer_failure = true;
    return out;
  }
};

TEST_F(PreferFailure, PCP_104_exactly_the_suggestion) {
  const Message reply = ask(build_map_request(as_mapped("10.0.0.10"), request(40000))).value();
  EXPECT_EQ(reply.size(), 64U);
  EXPECT_EQ(Message(reply.begin() + 60, reply.end()), (Message{2, 0, 0, 0}));
  EXPECT_TRUE(answers(parse_response(reply).value(), request(40000)));
}

TEST_F(PreferFailure, PCP_052_other_than_the_existing) {
  map(udp(5000, 40000));
  EXPECT_EQ(code_of(request(40001)), Code::cannot_provide_external);
  EXPECT_EQ(code_of(request(40000)), Code::success);  // any address
  MapRequest elsewhere = request(40000);
  elsewhere.suggested_address = as_mapped("192.0.2.8");
  EXPECT_EQ(code_of(elsewhere), Code::cannot_provide_external);
  EXPECT_EQ(translator.records().at(key_of(5000)).outside.port, port(40000));
}

TEST_F(PreferFailure, PCP_052_other_than_the_implicit) {
  translator.outbound(key_of(5000), now_s);
  EXPECT_EQ(code_of(request(40000)), Code::cannot_provide_external);
  EXPECT_EQ(server.size(), 0U);
}

// Also shows PCP-214.
TEST_F(PreferFailure, PCP_105_PCP_044_not_available) {
  map(udp(4999, 40000), softwire("2001:db8:200:1::1"));
  for (const uint16_t suggested : std::initializer_list<uint16_t>{40000, 5350, 5351, 80}) {
    const Response response = map(request(suggested));
    EXPECT_EQ(response.code, Code::cannot_provide_external) << suggested;
    EXPECT_EQ(response.lifetime_s, 1800U);
  }
  MapRequest ipv6_wanted = request(40001);
  ipv6_wanted.suggested_address = any_ipv6;
  EXPECT_EQ(code_of(ipv6_wanted), Code::cannot_provide_external);
  EXPECT_EQ(server.size(), 1U);
}

TEST_F(PreferFailure, PCP_055_PCP_106_makes_no_sense) {
  EXPECT_EQ(code_of(request(0)), Code::malformed_option);
  EXPECT_EQ(code_of(request(40000, 0)), Code::malformed_option);
}

// Also shows DSL-080, DSL-082, PCP-212.
TEST_F(PcpServer, PCP_053_quota) {
  settings.mappings_per_subscriber_max = 8;
  configure(settings);
  for (uint16_t i = 0; i < 8; ++i) EXPECT_EQ(code_of(udp(static_cast<uint16_t>(5000 + i))), Code::success);
  const Response over = map(udp(6000), softwire("2001:db8:100:7::1", "10.0.0.99"));  // the same subscriber's other host
  EXPECT_EQ(over.code, Code::user_ex_quota);
  EXPECT_EQ(over.lifetime_s, 30U);
  EXPECT_EQ(code_of(udp(5000)), Code::success);
  EXPECT_EQ(code_of(udp(6000), softwire("2001:db8:200:1::1")), Code::success);
  map(udp(5000, 0, 0));
  EXPECT_EQ(code_of(udp(6000)), Code::success);
}

TEST_F(PcpServer, PCP_053_quota_counts_what_is_under_way) {
  settings.mappings_per_subscriber_max = 1;
  configure(settings);
  const auto first = server.handle(build_map_request(as_mapped("10.0.0.10"), udp(5000)), softwire(), now_s);
  ASSERT_EQ(first.commands.size(), 1U);
  EXPECT_EQ(code_of(udp(5001)), Code::user_ex_quota);
}

TEST_F(PcpServer, PCP_054_PCP_057_what_the_translator_cannot_do) {
  const auto attempt = [&] {
    const Response response = map(udp(5000));
    EXPECT_EQ(server.size(), 0U);
    EXPECT_EQ(server.in_flight(), 0U);
    return std::tuple{response.code, response.lifetime_s};
  };
  translator.full = true;
  EXPECT_EQ(attempt(), std::tuple(Code::no_resources, 30U));
  translator.full = false;
  translator.subscriber_full = true;
  EXPECT_EQ(attempt(), std::tuple(Code::user_ex_quota, 30U));
  translator.subscriber_full = false;
  translator.ports_max = 0;
  EXPECT_EQ(attempt(), std::tuple(Code::network_failure, 30U));
}

TEST_F(PcpServer, PCP_054_the_servers_own_table) {
  settings.mappings_max = 2;
  configure(settings);
  map(udp(5000));
  map(udp(5001));
  EXPECT_EQ(code_of(udp(5002)), Code::no_resources);
  EXPECT_EQ(code_of(udp(5000)), Code::success);
  EXPECT_EQ(server.counters()[Event::table_full], 1U);
}

TEST_F(PcpServer, PCP_019_an_error_changes_nothing) {
  map(udp(5000, 40000, 600));
  translator.full = true;
  MapRequest request = udp(5000, 40001, 900);
  request.prefer_failure = true;
  EXPECT_EQ(code_of(request), Code::cannot_provide_external);
  server.for_each([&](const RecordKey&, const Mapping& mapping) {
    EXPECT_EQ(mapping.expires_s, now_s + 600);
    EXPECT_EQ(mapping.outside.port, port(40000));
  });
  EXPECT_EQ(server.size(), 1U);
}

}  // namespace
}  // namespace portolan::pcp::test
