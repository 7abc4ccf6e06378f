// Ports and blocks: each handed out once, given back whole, and chosen so that nobody can tell which is next.
#include "dataplane/nat/port_blocks.h"

#include <cmath>
#include <gtest/gtest.h>
#include <set>
#include <vector>

namespace portolan::nat {
namespace {

constexpr uint32_t udp = 1, tcp = 0, somebody = 7;

struct Blocks : PortBlocks {  // all of its addresses usable
  Blocks(uint32_t addresses, PortRange ports, uint32_t block_ports, std::vector<PortRange> reserved = {})
      : PortBlocks(addresses, {ports, block_ports}, reserved) {
    for (uint32_t address = 0; address < addresses; ++address) add_address(address);
  }
};

// Chi-square of counts that should be equal. For many cells it is about normal: mean k, deviation sqrt(2k); six
// deviations are passed once in 10^9 runs.
void expect_uniform(const std::vector<uint32_t>& counts) {
  double total = 0, chi_square = 0;
  for (const uint32_t count : counts) total += count;
  const double expected = total / static_cast<double>(counts.size());
  for (const uint32_t count : counts) chi_square += (count - expected) * (count - expected) / expected;
  const auto freedom = static_cast<double>(counts.size() - 1);
  EXPECT_NEAR(chi_square, freedom, 6 * std::sqrt(2 * freedom));
}

// Also shows LOG-014, UDP-006, UDP-028.
TEST(PortBlocks, CGN_034_ports_are_uniform_over_the_block_at_any_fill) {
  for (const uint32_t taken_before : {0U, 128U, 255U}) {
    Blocks blocks(1, {1024, 65535}, 256);
    const uint32_t block = blocks.take_block(0, somebody);
    const uint16_t first = blocks.ports_of(block).low;
    for (uint16_t i = 0; i < taken_before; ++i)  // every other one, then the rest
      ASSERT_TRUE(
          blocks.take_this_port(block, tcp, {static_cast<uint16_t>(first + (i < 128 ? 2 * i : 2 * (i - 128) + 1))}));
    std::vector<uint32_t> counts(256);
    for (uint32_t i = 0; i < 100 * (256 - taken_before); ++i) {
      const auto port = blocks.take_port(block, tcp);
      ASSERT_TRUE(port);
      ++counts[port->number - first];
      blocks.release_port(block, tcp, *port);
    }
    std::erase(counts, 0U);
    ASSERT_EQ(counts.size(), 256 - taken_before);
    if (counts.size() > 1) expect_uniform(counts);
  }
}

TEST(PortBlocks, CGN_034_ports_do_not_follow_each_other) {
  Blocks blocks(1, {1024, 65535}, 8192);
  const uint32_t block = blocks.take_block(0, somebody);
  std::set<int> differences;
  for (int i = 0, before = 0; i < 100; ++i) {
    const int port = blocks.take_port(block, udp)->number;
    differences.insert(port - before);
    before = port;
  }
  EXPECT_GT(differences.size(), 90U);
}

TEST(PortBlocks, LOG_014_blocks_are_uniform_over_the_address) {
  Blocks blocks(1, {1024, 65535}, 256);  // 252 blocks
  std::vector<uint32_t> counts(blocks.total());
  for (uint32_t i = 0; i < 100 * blocks.total(); ++i) {
    const uint32_t block = blocks.take_block(0, somebody);
    ++counts[block];
    blocks.release_block(block);
  }
  expect_uniform(counts);
}

TEST(PortBlocks, every_port_once_and_no_more) {
  Blocks blocks(2, {10'000, 10'255}, 64);
  EXPECT_EQ(blocks.total(), 8U);
  std::set<uint32_t> seen;
  for (uint32_t address = 0; address < 2; ++address)
    for (int i = 0; i < 4; ++i) {
      const uint32_t block = blocks.take_block(address, somebody);
      ASSERT_NE(block, PortBlocks::no_block);
      EXPECT_EQ(blocks.local_address_of(block), address);
      EXPECT_EQ(blocks.owner(block), somebody);
      while (const auto port = blocks.take_port(block, udp)) {
        EXPECT_TRUE(seen.insert(address << 16 | port->number).second) << "handed out twice";
        EXPECT_EQ(blocks.block_of(address, *port), block);
        EXPECT_FALSE(blocks.take_this_port(block, udp, *port));
        EXPECT_FALSE(blocks.taken(address, tcp, *port)) << "protocols are apart";
      }
      EXPECT_EQ(blocks.ports_used(block), 64U);
    }
  EXPECT_EQ(seen.size(), 512U);
  EXPECT_EQ(blocks.free(), 0U);
  EXPECT_EQ(blocks.take_block(0, somebody), PortBlocks::no_block);
  EXPECT_FALSE(blocks.choose_address());
}

TEST(PortBlocks, release_makes_them_free_again) {
  Blocks blocks(2, {10'000, 10'063}, 64);
  const uint32_t one = blocks.take_block(0, somebody), other = blocks.take_block(1, somebody);
  const net::Port port = *blocks.take_port(one, udp);
  EXPECT_FALSE(blocks.empty(one));
  blocks.release_port(one, udp, port);
  EXPECT_TRUE(blocks.empty(one));
  EXPECT_FALSE(blocks.taken(0, udp, port));
  EXPECT_FALSE(blocks.choose_address());
  blocks.release_block(other);
  EXPECT_EQ(blocks.choose_address(), 1U);
  EXPECT_EQ(blocks.free(), 1U);
  EXPECT_FALSE(blocks.take_this_block(one, 8)) << "still held";
  EXPECT_TRUE(blocks.take_this_block(other, 8));
  EXPECT_EQ(blocks.owner(other), 8U);
}

TEST(PortBlocks, addresses_fill_evenly) {
  Blocks blocks(10, {1024, 1024 + 100 * 64 - 1}, 64);
  std::vector<uint32_t> counts(10);
  for (int i = 0; i < 500; ++i) {
    const auto address = blocks.choose_address();
    ++counts[*address];
    blocks.take_block(*address, somebody);
  }
  for (const uint32_t count : counts) EXPECT_NEAR(count, 50, 10);
}

TEST(PortBlocks, PCP_044_its_own_udp_ports_are_never_leased) {
  Blocks blocks(1, {5312, 5375}, 64);
  const uint32_t block = blocks.take_block(0, somebody);
  std::set<uint16_t> seen;
  while (const auto port = blocks.take_port(block, udp)) seen.insert(port->number);
  EXPECT_EQ(seen.size(), 62U);
  EXPECT_FALSE(seen.contains(5350) || seen.contains(5351));
  EXPECT_TRUE(blocks.take_this_port(block, tcp, {5351})) << "TCP has nothing to do with it";
  for (const uint16_t port : seen) blocks.release_port(block, udp, {port});
  blocks.release_port(block, tcp, {5351});
  EXPECT_TRUE(blocks.empty(block));
}

// Shows UDP-005.
TEST(PortBlocks, reserved_ports_are_leased_for_no_protocol) {
  Blocks blocks(1, {1024, 1151}, 64, {{1030, 1033}, {1100, 1100}, {80, 80}});
  std::set<uint16_t> seen;
  for (int i = 0; i < 2; ++i) {
    const uint32_t block = blocks.take_block(0, somebody);
    while (const auto port = blocks.take_port(block, tcp)) seen.insert(port->number);
    EXPECT_FALSE(blocks.has_free_port(block, tcp));
    EXPECT_FALSE(blocks.take_this_port(block, udp, {block == 0 ? uint16_t{1030} : uint16_t{1100}}));
  }
  EXPECT_EQ(seen.size(), 128U - 5);
  for (const int port : {1030, 1031, 1032, 1033, 1100}) EXPECT_FALSE(seen.contains(static_cast<uint16_t>(port)));
}

TEST(PortBlocks, another_workers_blocks_are_never_taken) {
  PortBlocks blocks(1, {{1024, 1024 + 4 * 64 - 1}, 64}, {});
  blocks.add_address(0, [](uint32_t block) { return block % 2 == 0; });
  EXPECT_EQ(blocks.total(), 2U);
  std::set<uint32_t> seen;
  for (int i = 0; i < 3; ++i) seen.insert(blocks.take_block(0, somebody));
  EXPECT_EQ(seen, (std::set<uint32_t>{0, 2, PortBlocks::no_block}));
  EXPECT_FALSE(blocks.take_this_block(1, somebody));
}

TEST(PortBlocks, a_draining_address_is_chosen_no_more) {
  Blocks blocks(2, {1024, 1151}, 64);
  blocks.offer(0, false);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(blocks.choose_address(), 1U);
  const uint32_t block = blocks.take_block(0, somebody);  // asked for by name it still has blocks
  EXPECT_NE(block, PortBlocks::no_block);
  blocks.release_block(block);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(blocks.choose_address(), 1U);
  blocks.offer(1, false);
  EXPECT_FALSE(blocks.choose_address());
  blocks.offer(0, true);
  EXPECT_EQ(blocks.choose_address(), 0U);
}

TEST(PortBlocks, no_block_of_ours) {
  const Blocks blocks(1, {1024, 1151}, 64);
  for (const int port : {0, 1023, 1152, 65535})
    EXPECT_EQ(blocks.block_of(0, {static_cast<uint16_t>(port)}), PortBlocks::no_block);
  EXPECT_EQ(blocks.block_of(1, {1024}), PortBlocks::no_block);
  EXPECT_EQ(Blocks(1, {1024, 1023}, 64).total(), 0U);
  EXPECT_FALSE(Blocks(1, {1024, 1023}, 64).choose_address());
}

}  // namespace
}  // namespace portolan::nat
