// NAT-PMP's messages, octet by octet (RFC 6886 §3.2 to §3.5).
#include "pcp-server/natpmp_codec.h"

#include <gtest/gtest.h>

namespace portolan::pcp::natpmp::test {
namespace {

net::Port port(uint16_t number) { return {number}; }

TEST(NatPmpCodec, NPM_016_requests) {
  EXPECT_EQ(build_address_request(), (Message{0, 0}));
  EXPECT_EQ(build_map_request(net::Protocol::udp, port(0x1f90), port(0x0102), 7200),
            (Message{0, 1, 0, 0, 0x1f, 0x90, 1, 2, 0, 0, 0x1c, 0x20}));
  EXPECT_EQ(build_map_request(net::Protocol::tcp, port(80), {}, 0), (Message{0, 2, 0, 0, 0, 80, 0, 0, 0, 0, 0, 0}));
}

TEST(NatPmpCodec, NPM_016_what_is_no_response) {
  struct Row {
    Message octets;
    Ignored why;
  };
  for (const Row& row :
       {Row{{}, Ignored::too_short}, Row{{0, 128, 0}, Ignored::too_short}, Row{{0, 128, 0, 0}, Ignored::too_short},
        Row{{0, 128, 0, 0, 0, 0, 0, 1, 192, 0, 2}, Ignored::too_short},
        Row{{0, 129, 0, 0, 0, 0, 0, 1, 0, 80, 0, 81, 0, 0, 0}, Ignored::too_short},
        Row{{0, 0, 0, 0, 0, 0, 0, 1, 192, 0, 2, 1}, Ignored::not_a_response},
        Row{{0, 131, 0, 0, 0, 0, 0, 1, 192, 0, 2, 1}, Ignored::unknown_opcode},
        Row{{1, 128, 0, 0, 0, 0, 0, 1, 192, 0, 2, 1}, Ignored::wrong_version}}) {
    const auto parsed = parse_response(row.octets);
    ASSERT_FALSE(parsed) << row.octets.size();
    EXPECT_EQ(parsed.error(), row.why) << row.octets.size();
  }
}

TEST(NatPmpCodec, NPM_016_responses) {
  const auto address_told = parse_response(Message{0, 128, 0, 0, 0, 0, 1, 0, 192, 0, 2, 1});
  ASSERT_TRUE(address_told);
  EXPECT_EQ(address_told->opcode, address);
  EXPECT_EQ(address_told->epoch_s, 256U);
  EXPECT_EQ(address_told->address, (net::Ipv4{uint32_t{0xc0000201}}));
  EXPECT_EQ(parse_response(build_address_response(net::Ipv4{uint32_t{0xc0000201}}, 256))->address,
            address_told->address);

  const auto mapped = parse_response(Message{0, 130, 0, 0, 0, 0, 0, 9, 0, 80, 1, 0, 0, 0, 14, 16});
  ASSERT_TRUE(mapped);
  EXPECT_EQ(mapped->opcode, map_tcp);
  EXPECT_EQ(mapped->internal, port(80));
  EXPECT_EQ(mapped->external, port(256));
  EXPECT_EQ(mapped->lifetime_s, 3600U);
}

// §3.2, §3.4: what comes with an error is not looked at, and an error may be short.
TEST(NatPmpCodec, NPM_016_errors) {
  const auto refused = parse_response(Message{0, 129, 0, 2, 0, 0, 0, 9, 0, 80, 1, 0, 0, 0, 14, 16});
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->result, Result::refused);
  EXPECT_EQ(refused->internal, port(80));
  EXPECT_EQ(refused->lifetime_s, 0U);
  EXPECT_EQ(refused->external, port(0));
  const auto copied = parse_response(Message{0, 129, 0, 5, 0, 0, 0, 9});
  ASSERT_TRUE(copied);
  EXPECT_FALSE(copied->internal);
  EXPECT_EQ(parse_response(Message{0, 128, 0, 3, 0, 0, 0, 9, 192, 0, 2, 1})->address, net::Ipv4{});
}

TEST(NatPmpCodec, NPM_016_a_refusal_of_the_version_is_one_in_whatever_dress) {
  for (const Message& octets : {Message{0, 0, 0, 1}, Message{0, 128, 0, 1, 0, 0, 0, 9}, Message{0, 129, 0, 1},
                                Message{2, 128, 0, 1, 0, 0, 0, 0}}) {
    const auto parsed = parse_response(octets);
    ASSERT_TRUE(parsed) << octets.size();
    EXPECT_EQ(parsed->result, Result::unsupported_version);
    EXPECT_EQ(parsed->version, octets[0]);
    EXPECT_EQ(parsed->epoch_s.has_value(), octets.size() >= 8);
  }
}

}  // namespace
}  // namespace portolan::pcp::natpmp::test
