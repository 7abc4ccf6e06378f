// The walk over extension headers is bounded by the packet, whatever the octets.
#include "dataplane/pipeline/parse.h"

#include <gtest/gtest.h>
#include <random>
#include <vector>

namespace portolan::pipeline {
namespace {

TEST(WalkHeaders, random_chains_end_inside_the_packet) {
  constexpr uint8_t kinds[] = {0, 43, 60, 4, 44, 58, 59, 255};
  std::mt19937 random(9);
  unsigned ends[4] = {};
  for (int i = 0; i < 300'000; ++i) {
    std::vector<uint8_t> packet(40 + random() % 100);  // exactly as long as the packet: for ASan
    for (size_t at = 40; at < packet.size(); ++at)
      packet[at] = static_cast<uint8_t>(random() % 2 == 0 ? 0 : kinds[random() % 8]);
    packet[6] = kinds[random() % 4];
    const HeaderChain chain = walk_headers(packet.data(), packet.size());
    ++ends[static_cast<size_t>(chain.end)];
    ASSERT_LE(chain.offset, packet.size());
    ASSERT_LT(chain.pointer, packet.size());
    ASSERT_GE(chain.offset, 40U);
  }
  for (const unsigned count : ends) EXPECT_GT(count, 100U);
}

}  // namespace
}  // namespace portolan::pipeline
