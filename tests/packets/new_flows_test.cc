// What a flood of new flows may take: all it wants while the worker keeps up, a share of each burst when more waits.
#include <gtest/gtest.h>

#include "dataplane/net/text.h"
#include "tests/packets/network.h"

namespace portolan::packets {
namespace {

using pipeline::Fate;
using pipeline::Side;

Settings roomy() {
  Settings settings = default_settings();
  settings.snapshot.policy.limits.blocks_per_subscriber_max = 8;
  return settings;
}

class Flood {
  Network network_{roomy()};
  uint32_t port_ = 1024;

 public:
  // How many of `count` new flows in one burst are let through.
  size_t burst(size_t count) {
    std::vector<Bytes> frames;
    for (; count > 0; --count) {
      Variables none;
      const std::string from = "2001:db8:b:100::1 > 2001:db8:a::1 / 10.0.0.2:" + std::to_string(port_++);
      frames.push_back(incoming(split(from + " > 198.51.100.9:53 udp 1"), Side::access, none));
    }
    size_t sent = 0;
    for (const auto& outcome : network_.deliver(0, Side::access, frames, 100'000))
      sent += outcome.fate == Fate::send ? 1U : 0U;
    return sent;
  }
};

TEST(NewFlows, full_bursts_open_all_at_first_and_their_share_when_they_do_not_end) {
  Flood flood;
  for (int i = 0; i < 16; ++i) EXPECT_EQ(flood.burst(64), 64U) << i;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(flood.burst(64), 32U) << i;
}

TEST(NewFlows, a_burst_with_room_says_that_nothing_waits) {
  Flood flood;
  for (int i = 0; i < 17; ++i) flood.burst(64);
  EXPECT_EQ(flood.burst(63), 63U);
  EXPECT_EQ(flood.burst(64), 64U);
}

}  // namespace
}  // namespace portolan::packets
