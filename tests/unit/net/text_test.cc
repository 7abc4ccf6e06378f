// Text of addresses: round trips, and what is refused.
#include "dataplane/net/text.h"

#include <gtest/gtest.h>
#include <random>

namespace portolan::net {
namespace {

TEST(Text, ipv4) {
  EXPECT_EQ(parse_ipv4("192.0.2.1"), Ipv4{0xc0000201});
  EXPECT_EQ(to_text(Ipv4{0xffffffff}), "255.255.255.255");
  for (const char* wrong :
       {"", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", " 1.2.3.4", "1.2.3.4 ", "1.2.3.4/32", "0x1.2.3.4", "::1"})
    EXPECT_FALSE(parse_ipv4(wrong)) << wrong;
  EXPECT_FALSE(parse_ipv4(std::string_view("1.2.3.4\0x", 9)));
}

TEST(Text, ipv6) {
  EXPECT_EQ(to_text(*parse_ipv6("2001:DB8:0:0:1:0:0:1")), "2001:db8::1:0:0:1");  // RFC 5952 §4.2.3
  EXPECT_EQ(to_text(Ipv6{}), "::");
  EXPECT_EQ(to_text(mapped(Ipv4{0xc0000201})), "::ffff:192.0.2.1");
  for (const char* wrong :
       {"", ":", "1::2::3", "12345::", "2001:db8::1/64", "fe80::1%eth0", "192.0.2.1", "[::1]", "1:2:3:4:5:6:7:8:9"})
    EXPECT_FALSE(parse_ipv6(wrong)) << wrong;
}

TEST(Text, addresses_round_trip) {
  std::mt19937 random(4);
  for (int i = 0; i < 10'000; ++i) {
    const Ipv4 v4{static_cast<uint32_t>(random())};
    ASSERT_EQ(parse_ipv4(to_text(v4)), v4);
    Ipv6 v6;
    for (auto& byte : v6.bytes) byte = static_cast<uint8_t>(random() % 4 == 0 ? random() : 0);
    ASSERT_EQ(parse_ipv6(to_text(v6)), v6) << to_text(v6);
    const Endpoint endpoint{v4, {static_cast<uint16_t>(random())}};
    ASSERT_EQ(parse_endpoint(to_text(endpoint)), endpoint);
  }
}

TEST(Text, mac) {
  const Mac mac{{0x02, 0, 0xab, 0xcd, 0xef, 0x09}};
  EXPECT_EQ(to_text(mac), "02:00:ab:cd:ef:09");
  EXPECT_EQ(parse_mac("02:00:AB:cd:ef:09"), mac);
  for (const char* wrong :
       {"", "02:00:ab:cd:ef", "02:00:ab:cd:ef:0g", "02-00-ab-cd-ef-09", "02:00:ab:cd:ef:09:", "2:00:ab:cd:ef:009",
        "-1:00:ab:cd:ef:09", "+1:00:ab:cd:ef:09", " 2:00:ab:cd:ef:09", "0x:00:ab:cd:ef:09"})
    EXPECT_FALSE(parse_mac(wrong)) << wrong;
}

TEST(Text, numbers) {
  EXPECT_EQ(parse_number("0"), 0U);
  EXPECT_EQ(parse_number("18446744073709551615"), ~uint64_t{0});
  for (const char* wrong : {"", "18446744073709551616", "-1", "+1", " 1", "1 ", "1.0", "0x10", "1k"})
    EXPECT_FALSE(parse_number(wrong)) << wrong;
}

TEST(Text, prefixes_have_no_host_bits) {
  EXPECT_EQ(to_text(*parse_ipv4_prefix("192.0.2.0/28")), "192.0.2.0/28");
  EXPECT_EQ(to_text(*parse_ipv6_prefix("2001:db8::/33")), "2001:db8::/33");
  EXPECT_TRUE(parse_ipv4_prefix("0.0.0.0/0"));
  EXPECT_TRUE(parse_ipv4_prefix("192.0.2.1/32"));
  EXPECT_TRUE(parse_ipv6_prefix("::/0"));
  EXPECT_TRUE(parse_ipv6_prefix("::1/128"));
  for (const char* wrong : {"192.0.2.1/28", "192.0.2.0", "192.0.2.0/", "192.0.2.0/33", "192.0.2.0/-1", "/24",
                            "192.0.2.0/24/24", "192.0.2.0/256"})
    EXPECT_FALSE(parse_ipv4_prefix(wrong)) << wrong;
  for (const char* wrong : {"2001:db8::1/64", "::/129", "2001:db8::", "::/384"})
    EXPECT_FALSE(parse_ipv6_prefix(wrong)) << wrong;
}

TEST(Text, interfaces_keep_host_bits) {
  const auto v4 = parse_ipv4_interface("198.51.100.1/24");
  ASSERT_TRUE(v4);
  EXPECT_EQ(to_text(*v4), "198.51.100.1/24");
  const auto v6 = parse_ipv6_interface("2001:db8:0:1::1/64");
  ASSERT_TRUE(v6);
  EXPECT_EQ(to_text(*v6), "2001:db8:0:1::1/64");
}

TEST(Text, endpoints) {
  for (const char* wrong : {"", "192.0.2.1", "192.0.2.1:", "192.0.2.1:65536", ":80", "192.0.2.1:80:80", "[::1]:80"})
    EXPECT_FALSE(parse_endpoint(wrong)) << wrong;
}

TEST(Text, protocols) {
  EXPECT_EQ(to_text(Protocol::tcp), "tcp");
  EXPECT_EQ(to_text(Protocol::udp), "udp");
  EXPECT_EQ(to_text(Protocol::icmp), "icmp");
  EXPECT_EQ(to_text(Protocol::sctp), "132");
}

}  // namespace
}  // namespace portolan::net
