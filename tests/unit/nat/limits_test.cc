// What one subscriber may do: mappings, new ones a second, and one B4 at a time.
#include "tests/unit/nat/fixture.h"

namespace portolan::nat {
namespace {

using net::Protocol;
constexpr std::optional<Verdict> passes;

class LimitsTest : public ShardTest {
 protected:
  static net::Ipv6 b4(uint8_t host) {
    net::Ipv6 out = b4_of(1);
    out.bytes[7] = 0xff, out.bytes[15] = host;
    return out;
  }
  std::optional<Verdict> send_from(const net::Ipv6& from, MappingIndex index, uint8_t softwire = 0) {
    return shard_->admit_outbound(index, from, softwire, remote_, 0, now_s_);
  }
  std::vector<Event> events(Event::Kind kind) {
    std::array<Event, 100> room;
    const size_t count = shard_->take_events(room);
    std::vector<Event> out;
    for (size_t i = 0; i < count; ++i)
      if (room[i].kind == kind) out.push_back(room[i]);
    return out;
  }

  Policy policy_;  // of a shard while it lives
};

TEST_F(LimitsTest, CGN_007_so_many_mappings_a_subscriber) {
  auto settings = small_settings();
  settings.policy.limits.mappings_max = 10;
  start(settings);
  for (uint16_t port = 0; port < 10; ++port) open(key_of(1, port, port % 2 != 0 ? Protocol::tcp : Protocol::udp));
  EXPECT_EQ(try_open(key_of(1, 10)).error(), Verdict::mapping_limit);
  EXPECT_EQ(command(Command::Verb::open_explicit, key_of(1, 10), 600).status, CommandResult::Status::over_quota);
  EXPECT_TRUE(try_open(key_of(2, 10)));
  command(Command::Verb::end_mapping, key_of(1, 0));
  EXPECT_TRUE(try_open(key_of(1, 10))) << "what rests does not count";
  Policy& higher = policy_ = settings.policy;  // CGN-008
  higher.limits.mappings_max = 12;
  shard_->use(higher);
  EXPECT_TRUE(try_open(key_of(1, 11)));
  EXPECT_TRUE(try_open(key_of(1, 12)));
  EXPECT_FALSE(try_open(key_of(1, 13)));
  higher.limits.mappings_max = 1;
  EXPECT_EQ(send(find(key_of(1, 11)), remote_), passes);
}

TEST_F(LimitsTest, CGN_010_so_many_new_mappings_a_second) {
  auto settings = small_settings();
  settings.policy.limits.mappings_per_second = 20;
  start(settings);
  uint16_t port = 0;
  for (int second = 0; second < 5; ++second, advance(1)) {
    for (int i = 0; i < 20; ++i) open(key_of(1, port++));
    EXPECT_EQ(try_open(key_of(1, port)).error(), Verdict::mapping_rate);
    EXPECT_TRUE(try_open(key_of(2, port))) << "another subscriber";
  }
}

TEST_F(LimitsTest, CGN_022_a_refusal_is_told_once_a_minute) {
  auto settings = small_settings();
  settings.policy.limits.mappings_max = 1;
  start(settings);
  open(key_of(1, 0));
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(try_open(key_of(1, 1)));
  const auto told = events(Event::Kind::quota);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].verdict, Verdict::mapping_limit);
  EXPECT_EQ(told[0].subscriber, key_of(1, 0).subscriber);
  advance(59);
  EXPECT_FALSE(try_open(key_of(1, 1)));
  EXPECT_EQ(events(Event::Kind::quota).size(), 0U);
  advance(1);
  EXPECT_FALSE(try_open(key_of(1, 1)));
  EXPECT_EQ(events(Event::Kind::quota).size(), 1U);
}

TEST_F(LimitsTest, DSL_083_a_new_b4_takes_all_mappings_along) {
  start();
  const MappingIndex one = open(key_of(1, 1)), other = open(key_of(1, 2, Protocol::tcp)), his = open(key_of(2, 1));
  const auto endpoint = outside(one);
  EXPECT_EQ(send_from(b4(9), one, 1), passes);
  for (const MappingIndex index : {one, other}) {
    EXPECT_EQ((*shard_)[index].b4, b4(9));
    EXPECT_EQ((*shard_)[index].softwire, 1);
  }
  EXPECT_EQ((*shard_)[his].b4, b4_of(2));
  EXPECT_EQ(outside(one), endpoint);
  EXPECT_EQ(events(Event::Kind::b4_moved).size(), 1U);
}

TEST_F(LimitsTest, DSL_084_the_next_change_after_the_interval) {
  start();
  const MappingIndex index = open(key_of(1, 1));
  EXPECT_EQ(send_from(b4(2), index), passes);
  advance(60);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(send_from(b4_of(1), index), Verdict::b4_change_refused);
  EXPECT_EQ((*shard_)[index].b4, b4(2));
  EXPECT_EQ(try_open(key_of(1, 2)).error(), Verdict::b4_change_refused);  // nor a new mapping
  EXPECT_EQ(command(Command::Verb::open_explicit, key_of(1, 3), 600).status, CommandResult::Status::table_full);
  const auto told = events(Event::Kind::b4_conflict);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].b4, b4_of(1));
  for (uint32_t waited = 60; waited < 1800; waited += 60) {
    EXPECT_EQ(send_from(b4(2), index), passes);
    advance(60);
  }
  EXPECT_EQ(send_from(b4_of(1), index), passes);
  EXPECT_EQ((*shard_)[index].b4, b4_of(1));
}

TEST_F(LimitsTest, DSL_084_interval_0_always_follows) {
  auto settings = small_settings();
  settings.policy.b4_change_interval_s = 0;
  start(settings);
  const MappingIndex index = open(key_of(1, 1));
  for (uint8_t i = 2; i < 100; ++i) {
    EXPECT_EQ(send_from(b4(i), index), passes);
    EXPECT_EQ((*shard_)[index].b4, b4(i));
  }
  EXPECT_EQ(events(Event::Kind::b4_moved).size(), 1U) << "two by turns must not have all of his mappings moved";
}

TEST_F(LimitsTest, DSL_081_after_a_restart_the_b4_seen_last_is_served) {
  const Directory directory;
  auto settings = small_settings();
  settings.slab_path = directory.file("mappings.0");
  settings.policy.b4_change_interval_s = 0;
  start(settings);
  const MappingIndex old = open(key_of(1, 1)), index = open(key_of(1, 2));
  advance(1);
  EXPECT_EQ(send_from(b4(2), index), passes);
  EXPECT_EQ(send_from(b4(3), index), passes);  // in the same second: moves only what it uses
  EXPECT_EQ((*shard_)[old].b4, b4(2));
  start(settings);
  EXPECT_EQ(shard_->read_subscriber(1)->b4, b4(3));
}

TEST_F(LimitsTest, DSL_082_limits_are_the_prefixs) {
  auto settings = small_settings();
  settings.policy.limits.mappings_max = 5;
  start(settings);
  for (uint16_t port = 0; port < 5; ++port) open(key_of(1, port));
  const auto key = key_of(1, 9);
  EXPECT_EQ(shard_->open_mapping(key, shard_->hash(key), b4(2), 0, remote_, now_s_).error(), Verdict::mapping_limit);
}

TEST_F(LimitsTest, CGN_016_PCP_181_a_port_rests_by_who_made_it) {
  auto settings = small_settings();
  settings.policy.timeouts.quarantine_s = 30;
  settings.policy.timeouts.quarantine_pcp_tcp_s = 1000;
  start(settings);
  open(key_of(1, 1, Protocol::tcp)), open(key_of(1, 2));
  command(Command::Verb::open_explicit, key_of(1, 3, Protocol::tcp), 100);
  command(Command::Verb::open_explicit, key_of(1, 4), 100);
  outbound(find(key_of(1, 3, Protocol::tcp)));
  command(Command::Verb::end_explicit, key_of(1, 3, Protocol::tcp));  // traffic keeps it; it stays PCP's
  command(Command::Verb::clear_subscriber, key_of(1, 1));
  EXPECT_EQ(shard_->mappings_held(), 4U);
  advance(30);
  EXPECT_EQ(shard_->mappings_held(), 4U);
  advance(1);
  EXPECT_EQ(shard_->mappings_held(), 1U);
  advance(969);
  EXPECT_EQ(shard_->mappings_held(), 1U);
  advance(1);
  EXPECT_EQ(shard_->mappings_held(), 0U);
}

TEST_F(LimitsTest, CGN_016_so_many_ports_rest_at_once) {
  auto settings = small_settings();
  settings.policy.quarantine_ports_max = 10;
  start(settings);
  for (uint16_t port = 0; port < 30; ++port) open(key_of(1, port));
  command(Command::Verb::clear_subscriber, key_of(1, 1));
  advance(1);
  EXPECT_EQ(shard_->mappings_held(), 10U);
}

}  // namespace
}  // namespace portolan::nat
