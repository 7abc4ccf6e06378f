// Byte order and prefix arithmetic at their edges.
#include "dataplane/net/types.h"

#include <cstring>
#include <gtest/gtest.h>

#include "dataplane/net/text.h"

namespace portolan::net {
namespace {

TEST(Types, big_endian_in_memory) {
  const be32 value(0x01020304);
  uint8_t bytes[4];
  std::memcpy(bytes, &value, 4);
  EXPECT_EQ(bytes[0], 1);
  EXPECT_EQ(bytes[3], 4);
  EXPECT_EQ(be64(0x0102030405060708), 0x0102030405060708U);
  EXPECT_EQ(be32::from_raw(value.raw()), value);
}

TEST(Types, addresses_are_ordered_as_numbers) {
  EXPECT_LT(Ipv4{0x01020304}, Ipv4{0x02000000});
  EXPECT_LT(Ipv4{0x000000ff}, Ipv4{0x00000100});  // would be the other way round as little-endian memory
  EXPECT_LT(Port{255}, Port{256});
}

TEST(Types, masked_at_every_length) {
  const Ipv4 v4{0xffffffff};
  EXPECT_EQ(masked(v4, 0), Ipv4{0});
  EXPECT_EQ(masked(v4, 32), v4);
  EXPECT_EQ(masked(v4, 9), Ipv4{0xff800000});
  Ipv6 ones;
  ones.bytes.fill(0xff);
  for (unsigned length = 0; length <= 128; ++length) {
    const Ipv6 cut = masked(ones, length);
    for (unsigned bit = 0; bit < 128; ++bit)
      ASSERT_EQ((cut.bytes[bit / 8] >> (7 - bit % 8) & 1) != 0, bit < length) << length << ", bit " << bit;
  }
}

TEST(Types, contains) {
  const Ipv4Prefix prefix = *parse_ipv4_prefix("192.0.2.16/28");
  EXPECT_TRUE(contains(prefix, Ipv4{0xc0000210}));
  EXPECT_TRUE(contains(prefix, Ipv4{0xc000021f}));
  EXPECT_FALSE(contains(prefix, Ipv4{0xc000020f}));
  EXPECT_FALSE(contains(prefix, Ipv4{0xc0000220}));
  EXPECT_TRUE(contains(Ipv4Prefix{}, Ipv4{0xffffffff}));
  EXPECT_TRUE(contains(*parse_ipv6_prefix("2001:db8::/33"), *parse_ipv6("2001:db8:7fff::1")));
  EXPECT_FALSE(contains(*parse_ipv6_prefix("2001:db8::/33"), *parse_ipv6("2001:db8:8000::1")));
}

TEST(Types, overlap) {
  const auto overlap_of = [](const char* a, const char* b) {
    return overlap(*parse_ipv4_prefix(a), *parse_ipv4_prefix(b));
  };
  EXPECT_TRUE(overlap_of("192.0.2.0/24", "192.0.2.128/25"));
  EXPECT_TRUE(overlap_of("192.0.2.128/25", "192.0.2.0/24"));
  EXPECT_TRUE(overlap_of("0.0.0.0/0", "192.0.2.1/32"));
  EXPECT_FALSE(overlap_of("192.0.2.0/25", "192.0.2.128/25"));
}

TEST(Types, size) {
  EXPECT_EQ(size(Ipv4Prefix{{}, 32}), 1U);
  EXPECT_EQ(size(Ipv4Prefix{{}, 0}), uint64_t{1} << 32);
}

TEST(Types, mapped_addresses) {
  const Ipv4 v4{0xc0000201};
  EXPECT_TRUE(is_mapped(mapped(v4)));
  EXPECT_EQ(unmapped(mapped(v4)), v4);
  EXPECT_FALSE(is_mapped(*parse_ipv6("::192.0.2.1")));
  EXPECT_FALSE(is_mapped(*parse_ipv6("1::ffff:192.0.2.1")));
}

TEST(Types, scopes) {
  EXPECT_TRUE(is_multicast(*parse_ipv6("ff02::1")));
  EXPECT_TRUE(is_multicast(Ipv4{0xe0000001}));
  EXPECT_TRUE(is_multicast(Ipv4{0xefffffff}));
  EXPECT_FALSE(is_multicast(Ipv4{0xdfffffff}));
  EXPECT_FALSE(is_multicast(Ipv4{0xf0000000}));
  EXPECT_TRUE(is_link_local(*parse_ipv6("febf::1")));
  EXPECT_FALSE(is_link_local(*parse_ipv6("fec0::1")));
}

TEST(Types, multicast_groups) {
  EXPECT_EQ(to_text(solicited_node(*parse_ipv6("2001:db8::1:abcd:ef01"))), "ff02::1:ffcd:ef01");
  EXPECT_EQ(to_text(multicast_mac(*parse_ipv6("ff02::1:ffcd:ef01"))), "33:33:ff:cd:ef:01");
}

}  // namespace
}  // namespace portolan::net
