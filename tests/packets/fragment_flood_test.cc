// Floods of fragments that never become whole: unfragmented traffic loses nothing, other senders keep their room, and
// how full it is can be read (RFC 4787 REQ-14a).
#include <gtest/gtest.h>

#include "tests/packets/network.h"

namespace portolan::packets {
namespace {

using pipeline::Fate;
using pipeline::Side;

constexpr uint32_t fragments_max = 512;  // of a worker: 256 for each direction

class FragmentFlood : public testing::TestWithParam<unsigned> {
 protected:
  FragmentFlood() : network_(settings()) {}

  static Settings settings() {
    Settings settings = default_settings();
    settings.workers = GetParam();
    settings.fragments_max = fragments_max;
    return settings;
  }
  // How many of what came of one packet were sent.
  size_t sent(Side side, const std::string& text) {
    const auto outcomes = network_.deliver(entry_++ % GetParam(), side, {incoming(split(text), side, none_)}, now_s_);
    return static_cast<size_t>(std::ranges::count(outcomes, Fate::send, &Outcome::fate));
  }
  size_t sent_by(int home, const std::string& text) {
    return sent(Side::access, "2001:db8:b:" + std::to_string(home) + "00::1 > 2001:db8:a::1 " + text);
  }
  // Two fragments, the later one first.
  size_t fragmented(int home) {
    const std::string packet = "/ 10.0.0.2:5000 > 198.51.100.9:53 udp 2000 id 7 frag ";
    return sent_by(home, packet + "1000-2008") + sent_by(home, packet + "0-1000");
  }
  [[nodiscard]] uint64_t count(const std::string& name) const {
    const auto all = network_.counters();
    return all.contains(name) ? all.at(name) : 0;
  }

  Network network_;
  unsigned entry_ = 0;
  uint32_t now_s_ = 100;
  Variables none_;
};

TEST_P(FragmentFlood, DSL_031_of_one_b4_costs_nobody_else_anything) {
  for (int i = 0; i < 2000; ++i) {
    const std::string id = std::to_string(i);
    EXPECT_EQ(sent_by(1, "/ 10.0.0.2:5000 > 198.51.100.9:53 udp 2000 id " + id + " frag 1000-2008"), 0U);
    EXPECT_EQ(sent_by(1, "frag 0-64 " + id + " / 10.0.0.2:5000 > 198.51.100.9:53 udp 100"), 0U);
    ASSERT_EQ(sent_by(1, "/ 10.0.0.2:5000 > 198.51.100.9:53 udp 10"), 1U) << "unfragmented, even from him";
    ASSERT_EQ(fragmented(2), 2U);
  }
  EXPECT_GT(count("fragment_share_spent"), 3000U);
  EXPECT_EQ(count("fragment_table_full"), 0U);
  EXPECT_EQ(network_.contradictions(), "");
  network_.expire(now_s_ += 61);
  EXPECT_EQ(network_.waiting_fragments(), 0U);
  EXPECT_EQ(fragmented(1), 2U) << "his share is free again";
  EXPECT_EQ(network_.contradictions(), "");
}

TEST_P(FragmentFlood, UDP_025_from_outside_leaves_the_way_out_alone) {
  ASSERT_EQ(sent_by(1, "/ 10.0.0.2:5000 > 198.51.100.9:53 udp 10"), 1U);
  uint64_t fullest = 0;
  for (int i = 0; i < 4000; ++i) {
    const std::string source = "203.0." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1);
    const std::string pool = "192.0.2." + std::to_string(i % 4);
    EXPECT_EQ(sent(Side::internet, source + ":53 > " + pool + ":5000 udp 2000 id 1 frag 1000-2008"), 0U);
    ASSERT_EQ(sent_by(1, "/ 10.0.0.2:5000 > 198.51.100.9:53 udp 10"), 1U);
    ASSERT_EQ(fragmented(2), 2U);
    fullest = std::max(fullest, count("waiting"));
  }
  EXPECT_GT(count("fragment_table_full"), 0U);
  const unsigned owners = std::min(GetParam(), 4U);  // as many as there are addresses
  EXPECT_GE(fullest, owners * fragments_max / 2 * 9 / 10) << "DSL-030: near the limit, and to be seen";
  EXPECT_LE(fullest, owners * fragments_max / 2 + 1);
  EXPECT_EQ(network_.contradictions(), "");
  network_.expire(now_s_ += 3);
  EXPECT_EQ(network_.waiting_fragments(), 0U);
}

INSTANTIATE_TEST_SUITE_P(workers, FragmentFlood, testing::Values(1U, 2U, 3U, 8U));

}  // namespace
}  // namespace portolan::packets
