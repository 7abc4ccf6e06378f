// 300 000 damaged frames: whatever comes in, nothing is lost, leaked or sent that is not sound. The seed is fixed.
#include <array>
#include <gtest/gtest.h>

#include "dataplane/net/text.h"
#include "tests/packets/random_frames.h"

namespace portolan::packets {
namespace {

using pipeline::Side;

constexpr size_t frames_max = 300'000;
constexpr uint32_t start_s = 100'000;

class RandomFramesTest : public testing::TestWithParam<unsigned> {};

TEST_P(RandomFramesTest, nothing_is_lost_or_leaked) {
  Settings settings = default_settings();
  settings.workers = GetParam();
  settings.snapshot.inside.prefixes = {*net::parse_ipv4_prefix("100.64.1.0/30")};
  settings.ports = {2000, 2511};
  settings.block_ports = 64;
  settings.shard.mappings_max = 600;
  settings.buffers_max = 20'000;
  settings.fragments_max = 256;
  Network network(settings);
  RandomFrames frames(20'111'122);
  uint32_t now_s = start_s;
  size_t sent = 0;
  for (size_t count = 0; count < frames_max / 4;) {
    const Side side = std::array{Side::access, Side::access, Side::internet, Side::inside}[frames.below(4)];
    std::vector<Bytes> burst(frames.below(pipeline::burst_max) + 1);
    for (auto& frame : burst) frame = frames.next(side);
    count += burst.size();
    for (const auto& outcome : network.deliver(frames.below(settings.workers), side, burst, now_s)) {
      sent += outcome.fate == pipeline::Fate::send ? 1 : 0;
      ASSERT_EQ(fault_of(outcome, settings), "") << "after " << count << " frames";
    }
    if (frames.below(8) == 0) now_s += frames.below(40);
    for (const auto& outcome : network.expire(now_s)) {
      ASSERT_EQ(fault_of(outcome, settings), "") << "after " << count << " frames";
    }
    if (frames.below(200) == 0) {
      ASSERT_EQ(network.contradictions(), "") << "after " << count << " frames";
    }
  }
  EXPECT_GT(sent, frames_max / 300);  // half of what comes from B4s are fragments, which seldom become whole
  EXPECT_GT(network.counters()["reassembled"], 20U);
  EXPECT_EQ(network.contradictions(), "");
  for (int i = 0; i < 2; ++i) network.expire(now_s += 10'000);  // the mappings, then their quarantine
  EXPECT_EQ(network.contradictions(), "");
  EXPECT_TRUE(network.empty());
}

INSTANTIATE_TEST_SUITE_P(workers, RandomFramesTest, testing::Values(1U, 2U, 3U, 8U));

}  // namespace
}  // namespace portolan::packets
