// A shard whose subscribers have ranges of their own (RFC 7422): they use those first, and only what is beyond is told.
#include "tests/unit/nat/fixture.h"

namespace portolan::nat {
namespace {

class DeterministicShard : public ShardTest {
 protected:
  // 256 subscribers over four addresses: 64 ranges of 28 ports each, and a dynamic pool of four blocks.
  static Deterministic::Settings rules() {
    Deterministic::Settings settings;
    settings.inside = *net::parse_ipv6_prefix("2001:db8::/48");
    settings.outside = {*net::parse_ipv4_prefix("192.0.2.0/30")};
    settings.ports = {2048, 2048 + 64 * 28 + 4 * 64 - 1};
    settings.block_ports = 64;
    settings.dynamic_factor = 8;
    return settings;
  }
  void SetUp() override {
    settings_ = small_settings();
    map_ = Deterministic::make(rules()).value();
    settings_.policy.pool = Pool(map_, 1);
    start(settings_);
  }
  bool is_in_range(uint32_t subscriber, net::Endpoint outside) const {
    return map_.subscriber_of(outside.address, outside.port) == key_of(subscriber, 1).subscriber;
  }
  size_t events() {
    std::array<Event, 64> room;
    return shard_->take_events(room);
  }
  ShardSettings settings_;
  Deterministic map_;
};

TEST_F(DeterministicShard, LOG_006_LOG_007_LOG_008_his_own_range_first_then_blocks_that_are_told_of) {
  ASSERT_EQ(map_.layout().fixed_ports, 28U);
  for (const uint32_t subscriber : {0U, 1U, 65535U & 0xffU}) {
    std::set<uint16_t> ports;
    for (uint16_t port = 0; port < 28; ++port) {
      const auto at = outside(open(key_of(subscriber, port)));
      EXPECT_TRUE(is_in_range(subscriber, at));
      ports.insert(at.port.number);
    }
    EXPECT_EQ(ports.size(), 28U);
  }
  EXPECT_EQ(events(), 0U) << "who has a range needs no record";
  const auto beyond = outside(open(key_of(1, 28)));
  EXPECT_FALSE(map_.subscriber_of(beyond.address, beyond.port));
  EXPECT_EQ(beyond.address, outside(find(key_of(1, 0))).address) << "his one address";
  EXPECT_EQ(events(), 1U);
  EXPECT_TRUE(is_in_range(1, outside(open(key_of(1, 0, net::Protocol::tcp)))));
  expect_sound();
}

TEST_F(DeterministicShard, LOG_006_pcp_too_gets_its_port_there_and_nobody_elses) {
  const auto any = command(Command::Verb::open_explicit, key_of(3, 80), 600);
  ASSERT_EQ(any.status, CommandResult::Status::done);
  EXPECT_TRUE(is_in_range(3, any.outside));
  const auto others = map_.range_of(key_of(4, 1).subscriber);
  const net::Endpoint wish{others->address, {others->ports.low}};
  EXPECT_EQ(command(Command::Verb::open_explicit, key_of(3, 81), 600, wish, true).status,
            CommandResult::Status::not_available);
  const auto own = map_.range_of(key_of(3, 1).subscriber);
  const net::Endpoint free{own->address,
                           {any.outside.port.number == own->ports.low ? own->ports.high : own->ports.low}};
  EXPECT_EQ(command(Command::Verb::open_explicit, key_of(3, 82), 600, free, true).outside, free);
}

TEST_F(DeterministicShard, a_range_comes_back_whole_after_everything_has_ended_and_after_a_restart) {
  const Directory directory;
  settings_.slab_path = directory.file("slab");
  start(settings_);
  for (uint16_t port = 0; port < 40; ++port) open(key_of(7, port));
  const auto one = outside(find(key_of(7, 5)));
  start(settings_);
  EXPECT_EQ(outside(find(key_of(7, 5))), one);
  expect_sound();
  for (int i = 0; i < 2; ++i) advance(1000);
  EXPECT_EQ(shard_->subscribers_live(), 0U);
  EXPECT_EQ(shard_->blocks_free(), shard_->blocks_total());
  EXPECT_TRUE(is_in_range(7, outside(open(key_of(7, 0)))));
}

TEST_F(DeterministicShard, who_is_not_of_the_inside_prefix_gets_blocks) {
  const auto at = outside(open(key_of(0x10000 + 5, 1)));
  EXPECT_FALSE(map_.subscriber_of(at.address, at.port));
  EXPECT_EQ(events(), 1U);
}

}  // namespace
}  // namespace portolan::nat
