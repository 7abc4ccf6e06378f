// How long mappings live, by second.
#include "tests/unit/nat/fixture.h"

namespace portolan::nat {
namespace {

using net::Protocol;
constexpr uint8_t syn = net::tcp_syn, fin = net::tcp_fin, rst = net::tcp_rst, ack = net::tcp_ack;

class ShardTimers : public ShardTest {
 protected:
  void SetUp() override { start(); }
  void expect_alive_for(const OutboundKey& key, uint32_t seconds) {
    advance_slowly(seconds);
    EXPECT_NE(find(key), null_mapping) << "gone before " << seconds << " s";
    advance_slowly(1);
    EXPECT_EQ(find(key), null_mapping) << "alive after " << seconds << " s";
  }
  MappingIndex established(const OutboundKey& key) {
    const MappingIndex index = open(key);
    tcp(index, true, syn);
    tcp(index, false, syn | ack);
    return index;
  }
};

TEST_F(ShardTimers, UDP_007_UDP_008_udp_lives_300_s) {
  open(key_of(1, 1));
  expect_alive_for(key_of(1, 1), 300);
}

TEST_F(ShardTimers, ICM_003_icmp_lives_60_s) {
  open(key_of(1, 1, Protocol::icmp));
  expect_alive_for(key_of(1, 1, Protocol::icmp), 60);
}

TEST_F(ShardTimers, UDP_011_outbound_traffic_counts_from_its_last_packet) {
  const MappingIndex index = open(key_of(1, 1));
  for (int i = 0; i < 5; ++i) advance_slowly(200), outbound(index);
  expect_alive_for(key_of(1, 1), 300);
}

TEST_F(ShardTimers, TCP_009_a_syn_alone_lives_240_s) {
  tcp(open(key_of(1, 1, Protocol::tcp)), true, syn);
  expect_alive_for(key_of(1, 1, Protocol::tcp), 240);
}

TEST_F(ShardTimers, TCP_008_established_lives_7440_s) {
  established(key_of(1, 1, Protocol::tcp));
  expect_alive_for(key_of(1, 1, Protocol::tcp), 7440);
}

TEST_F(ShardTimers, TCP_018_both_fins_count_from_the_second) {
  const MappingIndex index = established(key_of(1, 1, Protocol::tcp));
  advance_slowly(1000);
  tcp(index, true, fin | ack);
  advance_slowly(1000);
  tcp(index, false, fin | ack);
  expect_alive_for(key_of(1, 1, Protocol::tcp), 240);
}

TEST_F(ShardTimers, TCP_019_TCP_020_rst_shortens_and_data_lengthens) {
  const MappingIndex index = established(key_of(1, 1, Protocol::tcp));
  advance_slowly(5000);
  tcp(index, false, rst);
  advance_slowly(239);
  tcp(index, false, ack);
  advance_slowly(1000);
  EXPECT_NE(find(key_of(1, 1, Protocol::tcp)), null_mapping);
  tcp(index, false, rst);
  expect_alive_for(key_of(1, 1, Protocol::tcp), 240);
}

// A mapping lives as long as its longest-living connection (RFC 5382 REQ-5).
TEST_F(ShardTimers, TCP_019_a_second_connection_outlives_the_first) {
  const auto key = key_of(1, 1, Protocol::tcp);
  const net::Endpoint other{{0xc6336409}, {54}};
  const MappingIndex index = established(key);
  EXPECT_FALSE(send(index, other, syn));
  EXPECT_FALSE(receive(index, other, syn | ack));
  tcp(index, true, rst);
  expect_alive_for(key, 7440);
}

TEST_F(ShardTimers, TCP_019_a_second_connections_end_does_not_shorten_the_first) {
  const auto key = key_of(1, 1, Protocol::tcp);
  const net::Endpoint other{{0xc6336409}, {54}};
  const MappingIndex index = established(key);
  EXPECT_FALSE(send(index, other, syn));
  EXPECT_FALSE(receive(index, other, syn | ack));
  EXPECT_FALSE(receive(index, other, rst));
  expect_alive_for(key, 7440);
}

// … and no longer, though the second is gone from the table long before.
TEST_F(ShardTimers, TCP_018_the_last_of_several_connections_ends_the_mapping) {
  const auto key = key_of(1, 1, Protocol::tcp);
  const net::Endpoint other{{0xc6336409}, {54}};
  const MappingIndex index = established(key);
  EXPECT_FALSE(send(index, other, syn));
  EXPECT_FALSE(receive(index, other, rst));
  EXPECT_EQ(shard_->sessions_live(), 2U);
  advance_slowly(500);
  EXPECT_EQ(shard_->sessions_live(), 1U);
  tcp(index, true, fin | ack);
  tcp(index, false, fin | ack);
  advance_slowly(200);
  tcp(index, true, fin | ack);  // sent again
  expect_alive_for(key, 40);
  EXPECT_EQ(shard_->sessions_live(), 0U);
}

// Shows TCP-021.
TEST_F(ShardTimers, a_strangers_segments_change_nothing) {
  const auto key = key_of(1, 1, Protocol::tcp);
  const MappingIndex index = established(key);
  for (const uint8_t flags : {rst, fin, syn}) EXPECT_FALSE(receive(index, {{0xc6336409}, {54}}, flags));
  expect_alive_for(key, 7440);
}

TEST_F(ShardTimers, asleep_for_more_than_a_turn_of_the_wheel) {
  for (uint16_t port = 0; port < 50; ++port) open(key_of(1, port));
  command(Command::Verb::open_explicit, key_of(1, 50), 3 * TimingWheel::slots);
  advance(2 * TimingWheel::slots + 5);
  EXPECT_EQ(shard_->mappings_live(), 1U);
  EXPECT_EQ(shard_->mappings_held(), 50U);
  advance(121);
  EXPECT_EQ(shard_->mappings_held(), 0U);
  expect_sound();
  advance_slowly(TimingWheel::slots);
  EXPECT_EQ(shard_->mappings_live(), 0U);
}

TEST_F(ShardTimers, an_expiry_beyond_the_wheel) {
  constexpr uint32_t day_s = 86'400;
  command(Command::Verb::open_explicit, key_of(1, 1), day_s);
  expect_alive_for(key_of(1, 1), day_s);
}

TEST_F(ShardTimers, lazy_one_look_per_timeout_whatever_the_packets) {
  const MappingIndex index = open(key_of(1, 1));
  uint32_t looks = 0;
  for (int second = 0; second < 3000; ++second) {
    outbound(index);
    looks += shard_->expire(++now_s_, ~uint32_t{0});
  }
  EXPECT_LE(looks, 3000U / 300);
}

TEST_F(ShardTimers, the_budget_bounds_a_look_and_loses_nothing) {
  for (uint16_t port = 0; port < 100; ++port) open(key_of(1, port));
  now_s_ += 301;
  EXPECT_EQ(shard_->expire(now_s_, 30), 30U);
  EXPECT_EQ(shard_->mappings_live(), 70U);
  expect_sound();
  EXPECT_EQ(shard_->expire(now_s_, 1000), 70U);
  EXPECT_EQ(shard_->mappings_live(), 0U);
}

TEST_F(ShardTimers, while_packets_come_a_look_is_short_until_mappings_live_too_long) {
  constexpr uint16_t mappings = 600;
  for (uint16_t port = 0; port < mappings; ++port) open(key_of(1U + port / 50U, port));
  const auto look = [&](bool packets_came) {
    return shard_->tend(now_s_, shard_->tending_budget(now_s_, packets_came));
  };
  for (; now_s_ < start_s + 301; ++now_s_) ASSERT_EQ(look(true), 0U);
  EXPECT_EQ(look(true), Shard::tended_busy_max) << "they are due";
  EXPECT_EQ(shard_->mappings_held(), Shard::tended_busy_max);
  EXPECT_EQ(look(false), Shard::tended_max) << "nothing came, but it may any moment";
  EXPECT_EQ(shard_->mappings_held(), Shard::tended_busy_max + Shard::tended_max);
  const uint32_t before_due_s = now_s_ - 1;  // where the wheel stands
  const auto look_at = [&](uint32_t behind_s, bool packets_came) {
    now_s_ = before_due_s + behind_s;
    return look(packets_came);
  };
  EXPECT_EQ(look_at(Shard::late_s - 1, true), Shard::tended_busy_max);
  EXPECT_EQ(look_at(Shard::late_s, true), Shard::tended_max) << "late";
  EXPECT_EQ(look_at(Shard::too_late_s - 1, true), Shard::tended_max);
  EXPECT_EQ(look_at(Shard::too_late_s, true), Shard::tended_too_late_max) << "too late";
  EXPECT_EQ(look_at(Shard::too_late_s, false), Shard::tended_too_late_max);
}

TEST_F(ShardTimers, due_tells_when) {
  const MappingIndex index = open(key_of(1, 1));
  EXPECT_EQ(shard_->due_s((*shard_)[index]), now_s_ + 301);
  command(Command::Verb::open_explicit, key_of(1, 1), 1000);
  EXPECT_EQ(shard_->due_s((*shard_)[index]), now_s_ + 1001);
}

}  // namespace
}  // namespace portolan::nat
