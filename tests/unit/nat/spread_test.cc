// The spread over workers: Toeplitz as NICs compute it, blind to the address it must not see.
#include "dataplane/nat/spread.h"

#include <gtest/gtest.h>
#include <random>

#include "dataplane/net/text.h"

namespace portolan::nat {
namespace {

// Toeplitz written anew from its definition: for each input bit that is set, the 32 key bits that begin there.
uint32_t toeplitz(const Spread::Key& key, std::span<const uint8_t> input) {
  uint32_t hash = 0;
  for (size_t bit = 0; bit < input.size() * 8; ++bit) {
    if ((input[bit / 8] >> (7 - bit % 8) & 1) == 0) continue;
    for (size_t i = 0; i < 32; ++i)
      if ((key[(bit + i) / 8] >> (7 - (bit + i) % 8) & 1) != 0) hash ^= uint32_t{1} << (31 - i);
  }
  return hash;
}

std::vector<uint8_t> random_octets(std::mt19937& random, size_t count) {
  std::vector<uint8_t> out(count);
  for (auto& octet : out) octet = static_cast<uint8_t>(random());
  return out;
}

TEST(Spread, the_definition_above_is_the_one_nics_use) {  // Microsoft's verification suite for RSS
  const Spread::Key key{0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
                        0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
                        0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};
  const uint8_t input[] = {66, 9, 149, 187, 161, 142, 100, 80};
  EXPECT_EQ(toeplitz(key, input), 0x323e8fc2U);
}

TEST(Spread, what_a_nic_computes_of_a_packet_is_what_we_compute_of_one_address) {
  std::mt19937 random(1);
  for (const unsigned length : {32U, 56U, 64U, 128U}) {
    const std::vector<net::Ipv4> pool{net::Ipv4{0xc0000201}, net::Ipv4{0xc0000202}};
    const Spread spread(pool, 2, length);
    for (int i = 0; i < 200; ++i) {
      const auto ipv4 = random_octets(random, 8);  // source, destination
      const net::Ipv4 destination{static_cast<uint32_t>(ipv4[4] << 24 | ipv4[5] << 16 | ipv4[6] << 8 | ipv4[7])};
      const net::Ipv4 source{static_cast<uint32_t>(ipv4[0] << 24 | ipv4[1] << 16 | ipv4[2] << 8 | ipv4[3])};
      EXPECT_EQ(toeplitz(spread.key(), ipv4) % Spread::slots_count, spread.slot_of(destination));
      if (length <= 64) {
        EXPECT_EQ(toeplitz(spread.source_key(), ipv4) % Spread::slots_count, spread.slot_of(source));
      }
      const auto ipv6 = random_octets(random, 32);
      net::Ipv6 b4;
      std::copy_n(ipv6.begin(), 16, b4.bytes.begin());
      EXPECT_EQ(toeplitz(spread.key(), ipv6) % Spread::slots_count, spread.slot_of(b4)) << net::to_text(b4);
    }
  }
}

TEST(Spread, where_a_B4_stands_in_its_prefix_does_not_count) {
  const Spread spread({}, 1, 64);
  std::mt19937 random(2);
  for (int i = 0; i < 100; ++i) {
    net::Ipv6 b4;
    const auto octets = random_octets(random, 16);
    std::copy_n(octets.begin(), 16, b4.bytes.begin());
    EXPECT_EQ(spread.slot_of(b4), spread.slot_of(net::masked(b4, 64)));
  }
}

TEST(Spread, slots_are_dealt_evenly_however_few_addresses_there_are) {
  for (const unsigned workers : {2U, 3U, 8U}) {
    const std::vector<net::Ipv4> one{net::Ipv4{0xc0000201}};
    const Spread spread(one, workers, 56);
    std::vector<unsigned> slots(workers);
    for (unsigned slot = 0; slot < Spread::slots_count; ++slot) ++slots[spread.worker_of_slot(slot)];
    for (const unsigned count : slots) EXPECT_NEAR(count, Spread::slots_count / workers, 1);
  }
}

TEST(Spread, a_pool_with_fewer_slots_than_workers_does_not_cover_all) {
  const std::vector<net::Ipv4> two{net::Ipv4{0xc0000201}, net::Ipv4{0xc0000202}};
  EXPECT_TRUE(Spread(two, 2, 56).covers_all());
  EXPECT_FALSE(Spread(two, 3, 56).covers_all());
}

}  // namespace
}  // namespace portolan::nat
