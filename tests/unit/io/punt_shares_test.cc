// Nobody fills the ring to the control thread alone.
#include "dataplane/io/punt_shares.h"

#include <gtest/gtest.h>

namespace portolan::io::test {
namespace {

constexpr size_t places = 64, share = 8;
using Shares = PuntShares<places, share>;

PuntSource subscriber(uint8_t number) {
  PuntSource source;
  source.subscriber.bytes[0] = 0x20;
  source.subscriber.bytes[6] = number;
  return source;
}

TEST(PuntShares, PCP_023_a_flood_takes_its_share_and_leaves_the_others_theirs) {
  Shares shares(1);
  size_t waiting = 0;
  for (int i = 0; i < 1'000; ++i) waiting += shares.admit(subscriber(1), waiting);
  EXPECT_EQ(waiting, share);
  for (uint8_t other = 2; other < 2 + places / share - 1; ++other)
    for (size_t i = 0; i < share; ++i) {
      EXPECT_TRUE(shares.admit(subscriber(other), waiting));
      ++waiting;
    }
  EXPECT_EQ(waiting, places);
  EXPECT_FALSE(shares.admit(subscriber(99), waiting)) << "the ring is full";
}

TEST(PuntShares, PCP_023_a_share_is_free_again_when_the_ring_is_emptied) {
  Shares shares(1);
  size_t waiting = 0;
  const auto add = [&](uint8_t number) {
    const bool admitted = shares.admit(subscriber(number), waiting);
    waiting += admitted;
    return admitted;
  };
  for (int round = 0; round < 1'000; ++round) {  // often enough that every place is used many times
    while (add(1)) continue;
    ASSERT_TRUE(add(2)) << round;
    ASSERT_EQ(waiting, share + 1) << round;
    waiting -= round % 2 == 0 ? 3 : waiting;  // the oldest leave first: three of the flood, or all
    if (round % 2 != 0) continue;
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(add(1)) << round;
    ASSERT_FALSE(add(1)) << round;
    waiting = 0;
  }
}

// Whoever shares a place of one table with the flood is served by the other.
TEST(PuntShares, PCP_023_sources_that_meet_do_not_suffer) {
  Shares shares(1);
  unsigned refused = 0;
  for (unsigned number = 1; number < 20'000; ++number) {
    size_t waiting = 0;
    for (size_t i = 0; i < share; ++i) waiting += shares.admit(subscriber(0), waiting);
    PuntSource other = subscriber(static_cast<uint8_t>(number));
    other.subscriber.bytes[5] = static_cast<uint8_t>(number >> 8);
    refused += other != subscriber(0) && !shares.admit(other, waiting);
  }
  EXPECT_LE(refused, 5U);  // of one table alone it would be 78
}

}  // namespace
}  // namespace portolan::io::test
