// Checksums against the RFCs' own numbers, and the incremental update against a full computation.
#include "dataplane/net/checksum.h"

#include <gtest/gtest.h>
#include <random>
#include <vector>

namespace portolan::net {
namespace {

// RFC 1071 §1, taken literally: 16-bit words, end-around carry. Shares no line with the code under test.
uint16_t plain_sum(std::span<const uint8_t> bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<uint32_t>(bytes[i] << 8 | (i + 1 < bytes.size() ? bytes[i + 1] : 0));
    if (sum > 0xffff) sum = (sum & 0xffff) + 1;
  }
  return static_cast<uint16_t>(sum);
}

std::vector<uint8_t> random_bytes(std::mt19937& random, size_t count) {
  std::vector<uint8_t> bytes(count);
  for (auto& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

TEST(Checksum, rfc_1071_section_3_example) {
  const std::vector<uint8_t> bytes{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(be16::from_raw(fold(sum_of(bytes))), 0xddf2);
}

TEST(Checksum, every_length_equals_the_plain_sum) {
  std::mt19937 random(1);
  for (size_t count = 0; count < 300; ++count) {
    const auto bytes = random_bytes(random, count);
    EXPECT_EQ(be16::from_raw(fold(sum_of(bytes))), plain_sum(bytes)) << count << " octets";
  }
}

TEST(Checksum, a_large_packet_of_ones_does_not_overflow) {
  const std::vector<uint8_t> bytes(65535, 0xff);
  EXPECT_EQ(be16::from_raw(fold(sum_of(bytes))), plain_sum(bytes));
}

// RFC 1624 §4: HC = 0xdd2f, m = 0x5555, m' = 0x3285 gives 0x0000 by eqn. 3, and not RFC 1141's 0xffff.
TEST(Checksum, DSL_017_rfc_1624_section_4_example) {
  const auto raw = [](uint16_t value) { return ChecksumSum{be16(value).raw()}; };
  EXPECT_EQ(updated(be16(0xdd2f), difference(raw(0x5555), raw(0x3285))), 0x0000);
}

Ipv4Header random_header(std::mt19937& random) {
  Ipv4Header header;
  const auto bytes = random_bytes(random, sizeof header);
  std::memcpy(&header, bytes.data(), sizeof header);
  header.version_ihl = 0x45;
  set_checksum(header);
  return header;
}

TEST(Checksum, DSL_017_incremental_equals_full) {
  std::mt19937 random(2);
  for (int i = 0; i < 10'000; ++i) {
    Ipv4Header header = random_header(random);
    ASSERT_TRUE(checksum_is_right(header));
    const Ipv4 before = header.source, after{static_cast<uint32_t>(random())};
    header.source = after;
    const be16 incremental = updated(header.checksum, difference(sum_of(before), sum_of(after)));
    set_checksum(header);
    ASSERT_EQ(incremental, header.checksum);
  }
}

// A difference folded to 16 bits and negated, as the mapping record keeps it, leads there and back.
TEST(Checksum, folded_difference_is_undone_by_its_complement) {
  std::mt19937 random(3);
  for (int i = 0; i < 10'000; ++i) {
    const Ipv4 one{static_cast<uint32_t>(random())}, other{static_cast<uint32_t>(random())};
    const uint16_t delta = fold(difference(sum_of(one), sum_of(other)));
    const auto bytes = random_bytes(random, 40);
    const be16 before = finish(sum_of(one) + sum_of(bytes)), there = updated(before, delta);
    ASSERT_EQ(there, finish(sum_of(other) + sum_of(bytes)));
    ASSERT_EQ(updated(there, static_cast<uint16_t>(~delta)), before);
  }
}

TEST(Checksum, DSL_017_header_whose_checksum_is_zero) {
  Ipv4Header header{};
  header.version_ihl = 0x45;
  header.identification = 0xffff - 0x4500;  // the other words sum to 0xffff
  set_checksum(header);
  EXPECT_EQ(header.checksum, 0x0000);
  EXPECT_TRUE(checksum_is_right(header));
  header.identification = header.identification - 1;
  EXPECT_FALSE(checksum_is_right(header));
}

TEST(Checksum, options_count) {
  std::vector<uint8_t> bytes(24, 0);
  auto& header = header_at<Ipv4Header>(bytes.data());
  header.version_ihl = 0x46;
  bytes[20] = 0x12;
  set_checksum(header);
  EXPECT_EQ(header.checksum, static_cast<uint16_t>(~(0x4600 + 0x1200)));
  EXPECT_TRUE(checksum_is_right(header));
}

TEST(Checksum, pseudo_headers) {
  const Ipv4 source{0xc0000201}, destination{0xc6336401};
  const std::vector<uint8_t> v4{0xc0, 0, 2, 1, 0xc6, 0x33, 0x64, 1, 0, 17, 0x12, 0x34};
  EXPECT_EQ(be16::from_raw(fold(pseudo_header(source, destination, Protocol::udp, 0x1234))), plain_sum(v4));
  Ipv6 from, to;
  for (uint8_t i = 0; i < 16; ++i) from.bytes[i] = i, to.bytes[i] = static_cast<uint8_t>(0xf0 + i);
  std::vector<uint8_t> v6(from.bytes.begin(), from.bytes.end());
  v6.insert(v6.end(), to.bytes.begin(), to.bytes.end());
  v6.insert(v6.end(), {0, 1, 0, 2, 0, 0, 0, 58});
  EXPECT_EQ(be16::from_raw(fold(pseudo_header(from, to, Protocol::icmpv6, 0x10002))), plain_sum(v6));
}

}  // namespace
}  // namespace portolan::net
