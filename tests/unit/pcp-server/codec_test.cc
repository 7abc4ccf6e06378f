// The wire, octet by octet, and both ends' parsers against tables of good and bad messages.
#include "pcp-server/codec.h"

#include <gtest/gtest.h>

#include "tests/unit/pcp-server/fixture.h"

namespace portolan::pcp::test {
namespace {

MapRequest example() {
  MapRequest out = map_of(net::Protocol::tcp, 0x1234, 0x5678, 0x01020304);
  out.suggested_address = as_mapped("192.0.2.7");
  return out;
}

Message example_response(Code code = Code::success) {
  const MapBody body{nonce(0xaa), 6, {}, port(0x1234), port(0x5678), as_mapped("192.0.2.7")};
  Message out = build_map_response(body, {}, 3600, 77);
  out[3] = static_cast<uint8_t>(code);
  return out;
}

TEST(PcpCodec, map_request_octets) {
  const Message message = build_map_request(as_mapped("10.0.0.10"), example());
  const Message expected = {
      2,    1,    0,    0,    1,    2,    3,    4,                                            // header, lifetime
      0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0xff, 0xff, 10,  0, 0, 10,  // client
      0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,                 // nonce
      6,    0,    0,    0,    0x12, 0x34, 0x56, 0x78,                                         // protocol, ports
      0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0xff, 0xff, 192, 0, 2, 7};
  EXPECT_EQ(message, expected);
}

TEST(PcpCodec, options_of_a_request) {
  MapRequest request = example();
  request.third_party = as_mapped("10.0.0.9");
  request.prefer_failure = true;
  const Message message = build_map_request(ipv6("2001:db8::1"), request);
  ASSERT_EQ(message.size(), 60U + 20 + 4);
  const Message third_party = {1, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 9};
  EXPECT_TRUE(std::equal(third_party.begin(), third_party.end(), message.begin() + 60));
  EXPECT_EQ(Message(message.begin() + 80, message.end()), (Message{2, 0, 0, 0}));
}

TEST(PcpCodec, PCP_194_announce_octets) {
  EXPECT_EQ(build_announce_response(0x01020304),
            (Message{2, 0x80, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(build_announce_request(any_ipv6),
            (Message{2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
}

TEST(PcpCodec, request_survives_the_way) {
  const Message message = build_map_request(as_mapped("10.0.0.10"), example());
  const auto request = parse_request(message);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->opcode, Opcode::map);
  EXPECT_EQ(request->lifetime_s, 0x01020304U);
  EXPECT_EQ(request->client, as_mapped("10.0.0.10"));
  EXPECT_EQ(request->map.internal_port, port(0x1234));
  EXPECT_EQ(request->map.external_address, as_mapped("192.0.2.7"));
  EXPECT_TRUE(request->options.empty());
}

TEST(PcpCodec, PCP_012_sizes_of_requests) {
  struct Row {
    uint8_t opcode;
    size_t bytes;
    std::optional<Malformed> fault;
  };
  constexpr Row rows[] = {{0, 24, {}},
                          {0, 28, {}},
                          {0, 26, Malformed::not_a_multiple_of_4},
                          {1, 24, Malformed::too_short_for_opcode},
                          {1, 56, Malformed::too_short_for_opcode},
                          {1, 60, {}},
                          {1, 61, Malformed::not_a_multiple_of_4},
                          {1, 1100, {}},
                          {1, 1101, Malformed::too_long},
                          {1, 1104, Malformed::too_long},
                          {2, 76, Malformed::too_short_for_opcode},
                          {2, 80, {}},
                          {5, 24, {}}};
  for (const auto& [opcode, bytes, fault] : rows) {
    Message message(bytes);
    message[0] = 2;
    message[1] = opcode;
    EXPECT_EQ(error_of(parse_request(message)), fault) << int{opcode} << ", " << bytes;
  }
}

TEST(PcpCodec, PCC_005_responses_that_are_ignored) {
  struct Row {
    const char* name;
    void (*spoil)(Message&);
    std::optional<Ignored> reason;
  };
  constexpr Row rows[] = {
      {"good", [](Message&) {}, {}},
      {"empty", [](Message& m) { m.clear(); }, Ignored::too_short},
      {"three octets", [](Message& m) { m.resize(3); }, Ignored::too_short},
      {"R clear", [](Message& m) { m[1] = 1; }, Ignored::not_a_response},
      {"version 1", [](Message& m) { m[0] = 1; }, Ignored::wrong_version},
      {"version 1, unsupp_version",
       [](Message& m) {
         m[0] = 1;
         m[3] = 1;
       },
       {}},
      {"four octets, unsupp_version",
       [](Message& m) {
         m.resize(4);
         m[0] = 0;
         m[3] = 1;
       },
       {}},
      {"20 octets", [](Message& m) { m.resize(20); }, Ignored::bad_size},
      {"24 octets of MAP", [](Message& m) { m.resize(24); }, Ignored::bad_size},
      {"61 octets", [](Message& m) { m.resize(61); }, Ignored::bad_size},
      {"1104 octets", [](Message& m) { m.resize(1104); }, Ignored::bad_size},
      {"a PEER of 60 octets", [](Message& m) { m[1] = 0x82; }, Ignored::bad_size},
      {"opcode 3", [](Message& m) { m[1] = 0x83; }, Ignored::unknown_opcode},
      {"opcode 127", [](Message& m) { m[1] = 0xff; }, Ignored::unknown_opcode},
      {"option past the end",
       [](Message& m) {
         add_option(m, 9, {});
         m[63] = 1;
       },
       Ignored::malformed_option},
      {"an error", [](Message& m) { m[3] = 8; }, {}},
      {"an error unheard of", [](Message& m) { m[3] = 200; }, {}},
  };
  for (const auto& row : rows) {
    Message message = example_response();
    row.spoil(message);
    EXPECT_EQ(error_of(parse_response(message)), row.reason) << row.name;
  }
}

TEST(PcpCodec, PCC_005_fields_of_a_response) {
  const auto response = parse_response(example_response());
  ASSERT_TRUE(response && response->map);
  EXPECT_EQ(response->lifetime_s, 3600U);
  EXPECT_EQ(response->epoch_s, 77U);
  EXPECT_EQ(response->map->assigned_port, port(0x5678));
  EXPECT_EQ(response->map->assigned_address, as_mapped("192.0.2.7"));

  MapRequest request = example();
  EXPECT_TRUE(answers(*response, request));
  request.nonce[11] ^= 1;
  EXPECT_FALSE(answers(*response, request));
  request = example();
  request.protocol = net::Protocol::udp;
  EXPECT_FALSE(answers(*response, request));
  request = example();
  request.internal_port = port(1);
  EXPECT_FALSE(answers(*response, request));
  request = example();
  request.third_party = as_mapped("10.0.0.9");
  EXPECT_FALSE(answers(*response, request));
}

TEST(PcpCodec, PCC_006_options_unheard_of_are_skipped) {
  Message message = example_response();
  add_option(message, 64, {1, 2, 3, 4, 5}, 0xff);
  const Message host = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 9};
  add_option(message, 1, host);
  const auto response = parse_response(message);
  ASSERT_TRUE(response && response->map);
  EXPECT_EQ(response->map->third_party, as_mapped("10.0.0.9"));
}

TEST(PcpCodec, PCC_013_prefer_failure_accepts_the_suggestion_only) {
  MapRequest request = example();
  request.prefer_failure = true;
  Message message = example_response();
  EXPECT_TRUE(answers(parse_response(message).value(), request));
  message[43] ^= 1;  // assigned port
  EXPECT_FALSE(answers(parse_response(message).value(), request));
  message[3] = static_cast<uint8_t>(Code::cannot_provide_external);
  EXPECT_TRUE(answers(parse_response(message).value(), request));
  message = example_response();
  message[59] ^= 1;  // assigned address
  EXPECT_FALSE(answers(parse_response(message).value(), request));
  request.suggested_address = any_ipv4;
  EXPECT_TRUE(answers(parse_response(message).value(), request));
}

TEST(PcpCodec, PCP_018_error_is_the_request_but_for_the_header) {
  Message request = build_map_request(as_mapped("10.0.0.10"), example());
  add_option(request, 200, {1, 2, 3}, 0xee);
  const Message reply = build_error_response(request, {Code::unsupp_option, 1800, false}, 0x0a0b0c0d);
  EXPECT_EQ(Message(reply.begin(), reply.begin() + 12), (Message{2, 0x81, 0, 5, 0, 0, 7, 8, 10, 11, 12, 13}));
  EXPECT_EQ(Message(reply.begin() + 12, reply.end()), Message(request.begin() + 12, request.end()));
  const Message parsed = build_error_response(request, {Code::unsupp_option, 1800, true}, 0);
  EXPECT_EQ(Message(parsed.begin() + 12, parsed.begin() + 24), Message(12, 0));
}

// Shows PCP-021.
TEST(PcpCodec, numbers_of_the_registries) {
  EXPECT_EQ(static_cast<int>(Code::excessive_remote_peers), 13);
  EXPECT_EQ(static_cast<int>(Code::unknown_session_id), 20);
  EXPECT_EQ(static_cast<int>(Code::unsupp_third_party_id_length), 26);
  EXPECT_EQ(to_text(Code::address_mismatch), "address_mismatch");
  EXPECT_EQ(to_text(Code{27}), "unknown");
  for (size_t i = 0; i < code_texts.size(); ++i) {
    const auto code = Code{static_cast<uint8_t>(i)};
    const bool is_short = i == 7 || i == 8 || i == 10;
    EXPECT_EQ(error_lifetime_s(code), is_short ? 30U : 1800U) << i;  // PCP-021
  }
}

}  // namespace
}  // namespace portolan::pcp::test
