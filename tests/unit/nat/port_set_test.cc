// Several ports mapped as one (RFC 7753).
#include "tests/unit/nat/fixture.h"

namespace portolan::nat {
namespace {

using Verb = Command::Verb;
using Status = CommandResult::Status;

class ShardPortSets : public ShardTest {
 protected:
  void SetUp() override { start(); }
  CommandResult ask(Verb verb, uint16_t first, uint16_t ports, uint32_t lifetime_s = 600, bool keep_parity = false,
                    uint32_t subscriber = 1) {
    Command command;
    command.verb = verb;
    command.key = key_of(subscriber, first);
    command.b4 = b4_of(subscriber);
    command.lifetime_s = lifetime_s;
    command.ports = ports;
    command.keep_parity = keep_parity;
    return shard_->execute(command, now_s_);
  }
  void expect_contiguous(uint16_t first, const CommandResult& result) {
    for (uint16_t i = 0; i < result.ports; ++i) {
      const MappingIndex index = find(key_of(1, static_cast<uint16_t>(first + i)));
      ASSERT_NE(index, null_mapping) << i;
      EXPECT_EQ(outside(index).port.number, result.outside.port.number + i);
      EXPECT_EQ(outside(index).address, result.outside.address);
    }
  }
};

// Also shows PCX-001, PCX-003.
TEST_F(ShardPortSets, PCX_004_all_together_where_there_is_room) {
  for (int i = 0; i < 20; ++i) open(key_of(1, static_cast<uint16_t>(1000 + i)));  // holes all over his block
  const auto result = ask(Verb::open_explicit, 5000, 32);
  ASSERT_EQ(result.status, Status::done);
  EXPECT_EQ(result.ports, 32);
  expect_contiguous(5000, result);
  EXPECT_EQ(find(key_of(1, 5032)), null_mapping);
}

TEST_F(ShardPortSets, PCX_004_a_whole_block_and_more_if_the_next_one_is_free) {
  const auto result = ask(Verb::open_explicit, 5000, 100);  // blocks are of 64
  EXPECT_GE(result.ports, 64);
  expect_contiguous(5000, result);
}

TEST_F(ShardPortSets, PCX_005_at_least_one) {
  auto settings = small_settings();
  settings.policy.limits.blocks_per_subscriber_max = 1;
  start(settings);
  for (int i = 0; i < 63; ++i) open(key_of(1, static_cast<uint16_t>(1000 + i)));
  const auto result = ask(Verb::open_explicit, 5000, 16);
  EXPECT_EQ(result.status, Status::done);
  EXPECT_EQ(result.ports, 1);
  EXPECT_EQ(ask(Verb::open_explicit, 6000, 16).status, Status::over_quota);
}

TEST_F(ShardPortSets, PCX_006_parity_is_kept) {
  for (uint16_t first = 5000; first < 5400; first = static_cast<uint16_t>(first + 25)) {
    const auto result = ask(Verb::open_explicit, first, 5, 600, true);
    ASSERT_EQ(result.status, Status::done);
    EXPECT_TRUE(result.ports == 1 || result.outside.port.number % 2 == first % 2);
  }
}

TEST_F(ShardPortSets, PCX_007_renewed_and_ended_as_one) {
  const auto made = ask(Verb::open_explicit, 5000, 16);
  now_s_ += 500;
  const auto renewed = ask(Verb::open_explicit, 5000, 16);
  EXPECT_EQ(renewed.outside, made.outside);
  EXPECT_EQ(renewed.ports, 16);
  advance(600);
  EXPECT_NE(find(key_of(1, 5015)), null_mapping);
  EXPECT_EQ(ask(Verb::end_explicit, 5000, 16).ended, 16U);
  for (uint16_t i = 0; i < 16; ++i) EXPECT_EQ(find(key_of(1, static_cast<uint16_t>(5000 + i))), null_mapping);
}

// The server has one record of them: none of them may outlive it.
TEST_F(ShardPortSets, PCX_007_traffic_of_one_keeps_all) {
  const std::array<uint16_t, 3> his{5000, 5001, 5002};
  ask(Verb::open_explicit, 5000, 3);
  outbound(find(key_of(1, 5002)));
  const auto renewed = ask(Verb::open_explicit, 5000, 3, 10);
  ASSERT_GT(renewed.lifetime_s, 10U);
  EXPECT_EQ(renewed.ports, 3);
  advance(renewed.lifetime_s - 1);
  for (const uint16_t port : his) EXPECT_NE(find(key_of(1, port)), null_mapping) << port;
  advance(5);
  for (const uint16_t port : his) EXPECT_EQ(find(key_of(1, port)), null_mapping) << port;
}

TEST_F(ShardPortSets, PCX_004_the_operators_own_port_is_not_of_the_set) {
  auto settings = small_settings();
  const net::Endpoint fixed{{0xc0000200}, {2049}};
  settings.policy.statics = StaticMappings({{key_of(1, 5001), b4_of(1), fixed}});
  start(settings);
  Command command;
  command.verb = Verb::open_explicit;
  command.key = key_of(1, 5000);
  command.b4 = b4_of(1);
  command.suggested = {fixed.address, {2048}};
  command.lifetime_s = 600;
  command.ports = 3;
  const auto before = shard_->execute(command, now_s_);
  EXPECT_EQ(before.outside, command.suggested);
  EXPECT_EQ(before.ports, 1);
  EXPECT_EQ(before.lifetime_s, 600U);
  const auto itself = ask(Verb::open_explicit, 5001, 3);
  EXPECT_EQ(itself.outside, fixed);
  EXPECT_EQ(itself.lifetime_s, static_lifetime_s);
  EXPECT_EQ(find(key_of(1, 5002)), null_mapping) << "it is no set, so nothing is opened that no record knows";
}

TEST_F(ShardPortSets, a_port_of_traffic_ends_the_run) {
  open(key_of(1, 5003));
  const auto result = ask(Verb::open_explicit, 5000, 16);
  EXPECT_EQ(result.status, Status::done);
  EXPECT_EQ(result.ports, 3);
}

// A port block is one subscriber's, for all protocols.
TEST_F(ShardPortSets, NPM_004_the_companion_port_is_nobody_elses) {
  Command command;
  command.verb = Verb::open_explicit;
  command.key = key_of(1, 8000, net::Protocol::tcp);
  command.b4 = b4_of(1);
  command.lifetime_s = 600;
  const auto his = shard_->execute(command, now_s_);
  command.key = key_of(2, 8000);
  command.b4 = b4_of(2);
  command.suggested = his.outside;
  const auto others = shard_->execute(command, now_s_);
  EXPECT_EQ(others.status, Status::done);
  EXPECT_NE(others.outside, his.outside);
  command.key = key_of(1, 8000);
  command.b4 = b4_of(1);
  EXPECT_EQ(shard_->execute(command, now_s_).outside, his.outside);
}

TEST_F(ShardPortSets, what_finds_no_room_leaves_no_block_behind) {
  auto settings = small_settings();
  settings.mappings_max = 1;
  start(settings);
  open(key_of(2, 1));
  const uint32_t free_before = shard_->blocks_free();
  EXPECT_EQ(ask(Verb::open_explicit, 5000, 16).status, Status::table_full);
  EXPECT_EQ(shard_->blocks_free(), free_before);
}

}  // namespace
}  // namespace portolan::nat
