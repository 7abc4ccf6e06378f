// Static mappings: there without traffic, ended by nothing but the configuration, and nothing is taken from anybody for
// them.
#include "dataplane/nat/slab_set.h"
#include "tests/unit/nat/fixture.h"

namespace portolan::nat {
namespace {

using net::Protocol;

class Static : public ShardTest {
 protected:
  // The third address, so that few others are there, and a port of the second block.
  const net::Endpoint wanted_{{0xc0000202}, {2200}};

  static StaticMapping row(uint32_t subscriber, uint16_t port, net::Endpoint outside,
                           Protocol protocol = Protocol::tcp) {
    return {key_of(subscriber, port, protocol), b4_of(subscriber), outside};
  }
  void SetUp() override { settings_ = small_settings(); }
  void TearDown() override {
    ShardTest::TearDown();
    shard_.reset();  // before its rules go
  }
  void start_with(std::vector<StaticMapping> rows) {
    settings_.policy.statics = StaticMappings(std::move(rows));
    start(settings_);
  }
  // As a reload does, and the rounds after it.
  void use(std::vector<StaticMapping> rows, const Pool* pool = nullptr) {
    auto next = std::make_unique<Policy>(shard_->policy());
    next->statics = StaticMappings(std::move(rows));
    if (pool != nullptr) next->pool = *pool;
    shard_->use(*next);
    current_ = std::move(next);
    turn();
  }
  void turn() {
    for (int i = 0; i < 4; ++i) shard_->tend(now_s_, 1'000'000);
  }
  void pass(uint32_t seconds) {
    while (seconds-- > 0) ++now_s_, turn();
  }
  std::vector<Event> events(Event::Kind kind) {
    std::array<Event, 256> room;
    std::vector<Event> out;
    for (const auto& event : std::span(room).first(shard_->take_events(room)))
      if (event.kind == kind) out.push_back(event);
    return out;
  }
  void expect_there(const StaticMapping& row) {
    const MappingIndex index = find(row.key);
    ASSERT_NE(index, null_mapping);
    EXPECT_EQ(outside(index), row.outside);
    EXPECT_EQ(find_inbound((*shard_)[index]), index);
    EXPECT_TRUE((*shard_)[index].is_static());
  }

  ShardSettings settings_;
  std::unique_ptr<Policy> current_;
};

TEST_F(Static, is_there_before_any_packet_and_never_ends_by_itself) {
  const auto one = row(1, 80, wanted_);
  start_with({one});
  expect_there(one);
  EXPECT_EQ((*shard_)[find(one.key)].b4, b4_of(1));
  for (int i = 0; i < 50; ++i) advance(20'000);
  expect_there(one);
  EXPECT_FALSE(receive(find(one.key), {{0xc6336477}, {999}}, net::tcp_syn));
  outbound(find(one.key));
  advance(100'000);
  expect_there(one);
}

TEST_F(Static, traffic_of_its_inside_endpoint_leaves_through_it_and_the_rest_from_its_address) {
  const auto one = row(1, 80, wanted_);
  start_with({one});
  EXPECT_EQ(outside(find(one.key)), wanted_);
  for (uint16_t port = 1000; port < 1020; ++port)
    EXPECT_EQ(outside(open(key_of(1, port))).address, wanted_.address) << "paired (RFC 6888 REQ-2)";
}

TEST_F(Static, survives_clear_and_single_deletion_and_limits_do_not_refuse_it) {
  const auto one = row(1, 80, wanted_), other = row(1, 81, {wanted_.address, {2201}});
  settings_.policy.limits.mappings_max = 1;
  settings_.policy.limits.blocks_per_subscriber_max = 1;
  start_with({one, other});
  expect_there(one);
  expect_there(other);
  EXPECT_EQ(try_open(key_of(1, 1000)).error(), Verdict::mapping_limit) << "it counts";
  const auto cleared = command(Command::Verb::clear_subscriber, one.key);
  EXPECT_EQ(cleared.ended, 0U);
  EXPECT_EQ(cleared.kept, 2U);
  const auto deleted = command(Command::Verb::end_mapping, one.key);
  EXPECT_EQ(deleted.status, CommandResult::Status::done);
  EXPECT_EQ(deleted.ended, 0U);
  EXPECT_EQ(deleted.kept, 1U);
  expect_there(one);
}

TEST_F(Static, PCP_050_PCP_173_pcp_neither_ends_it_nor_gives_it_an_end) {
  const auto one = row(1, 80, wanted_);
  start_with({one});
  const auto asked = command(Command::Verb::open_explicit, one.key, 120);
  EXPECT_EQ(asked.status, CommandResult::Status::done);
  EXPECT_EQ(asked.outside, wanted_);
  EXPECT_EQ(asked.lifetime_s, static_lifetime_s);
  EXPECT_EQ(command(Command::Verb::end_explicit, one.key).status, CommandResult::Status::not_explicit);
  advance(1000);
  expect_there(one);
  const auto another = command(Command::Verb::open_explicit, key_of(1, 82, Protocol::tcp), 120, wanted_, true);
  EXPECT_EQ(another.status, CommandResult::Status::not_available);
}

TEST_F(Static, is_open_to_everybody_whatever_the_filtering) {
  settings_.policy.filtering = Filtering::address_and_port_dependent;
  const auto one = row(1, 80, wanted_, Protocol::udp);
  start_with({one});
  EXPECT_FALSE(receive(find(one.key), {{0xc6336477}, {999}}));
}

TEST_F(Static, reload_adds_changes_and_removes_while_others_go_on) {
  const auto one = row(1, 80, wanted_), moved = row(1, 80, {wanted_.address, {2201}});
  start();
  use({one});
  expect_there(one);
  const auto untouched = open(key_of(2, 5));  // now, for before it might have got that block
  outbound(find(one.key));
  use({moved});
  expect_there(moved);
  use({});
  EXPECT_EQ(find(one.key), null_mapping) << "removed is ended, traffic or not";
  EXPECT_EQ(shard_->counters().swept.read(), 2U);
  EXPECT_NE(find(key_of(2, 5)), null_mapping);
  outbound(untouched);
  EXPECT_EQ(shard_->mappings_held(), 2U) << "both ports rest";
}

TEST_F(Static, a_subscriber_with_another_address_keeps_what_he_has_and_opens_the_rest_there) {
  start();
  uint32_t subscriber = 0;  // one who came to have another address
  while (outside(open(key_of(++subscriber, 5))).address == wanted_.address) continue;
  const auto before = outside(find(key_of(subscriber, 5)));
  const auto one = row(subscriber, 80, wanted_);
  use({one});
  expect_there(one);
  EXPECT_EQ(outside(find(key_of(subscriber, 5))), before);
  EXPECT_EQ(outside(open(key_of(subscriber, 6))).address, wanted_.address);
}

TEST_F(Static, its_inside_endpoints_mapping_of_before_ends_for_it) {
  start();
  const auto key = key_of(1, 80, Protocol::tcp);
  const auto before = outside(open(key));
  const net::Endpoint elsewhere{before.address, {uint16_t(before.port.number == 2048 ? 2049 : 2048)}};
  use({{key, b4_of(1), elsewhere}});
  EXPECT_EQ(outside(find(key)), elsewhere);
  use({{key, b4_of(1), before}});  // his own of before, at rest
  EXPECT_EQ(outside(find(key)), before);
  EXPECT_EQ(shard_->mappings_live(), 1U);
}

TEST_F(Static, becomes_so_where_it_is_already) {
  start();
  const auto key = key_of(1, 80, Protocol::tcp);
  const auto there = command(Command::Verb::open_explicit, key, 120).outside;
  use({{key, b4_of(1), there}});
  advance(1000);
  expect_there({key, b4_of(1), there});
}

TEST_F(Static, waits_for_a_block_of_another_is_told_of_once_and_made_when_it_can_be) {
  start();
  const auto others = key_of(2, 5, Protocol::tcp);
  ASSERT_EQ(command(Command::Verb::open_explicit, others, 600, {wanted_.address, {2201}}, true).status,
            CommandResult::Status::done);
  const auto one = row(1, 80, wanted_);
  use({one});
  EXPECT_EQ(find(one.key), null_mapping);
  EXPECT_EQ(shard_->counters().statics_waiting.read(), 1U);
  pass(30);
  const auto waits = events(Event::Kind::static_waits);
  ASSERT_EQ(waits.size(), 1U);
  EXPECT_EQ(StaticObstacle(waits[0].fault), StaticObstacle::block_of_another);
  EXPECT_EQ(waits[0].address, wanted_.address);
  EXPECT_NE(find(others), null_mapping) << "nobody is evicted";
  // Cleared by the operator: made when the port has rested, whoever else wants a block.
  command(Command::Verb::end_mapping, others);
  pass(Timeouts{}.quarantine_pcp_tcp_s + 3);
  expect_there(one);
  EXPECT_EQ(events(Event::Kind::static_made).size(), 1U);
  EXPECT_EQ(shard_->counters().statics_waiting.read(), 0U);
}

TEST_F(Static, the_block_it_waits_for_is_given_to_nobody_else) {
  settings_.policy.pool = {{*net::parse_ipv4_prefix("192.0.2.2/32")}, {2048, 2048 + 4 * 64 - 1}, 64, 1};
  start(settings_);
  ASSERT_EQ(command(Command::Verb::open_explicit, key_of(2, 5), 600, {wanted_.address, {2201}}, true).status,
            CommandResult::Status::done);
  const auto one = row(1, 80, wanted_);
  use({one});
  for (const uint32_t subscriber : {3U, 4U, 5U}) open(key_of(subscriber, 1, Protocol::icmp));
  EXPECT_EQ(try_open(key_of(6, 1)).error(), Verdict::pool_exhausted);
  command(Command::Verb::end_mapping, key_of(2, 5));
  for (int second = 0; second < 130; ++second) {  // others try again and again
    ++now_s_;
    shard_->expire(now_s_, ~0U);
    for (const uint32_t subscriber : {7U, 8U}) (void)try_open(key_of(subscriber, 1));
    EXPECT_NE(command(Command::Verb::open_explicit, key_of(9, 1), 60, {wanted_.address, {2240}}, true).status,
              CommandResult::Status::done);
    turn();
  }
  expect_there(one);
}

TEST_F(Static, takes_over_at_once_what_rests_for_its_own_subscriber_and_waits_for_others) {
  start_with({row(1, 80, wanted_)});
  use({row(1, 81, wanted_)});
  expect_there(row(1, 81, wanted_));
  use({row(2, 80, wanted_)});
  EXPECT_EQ(find(key_of(2, 80, Protocol::tcp)), null_mapping);
  EXPECT_EQ(StaticObstacle(events(Event::Kind::static_waits).at(0).fault), StaticObstacle::port_rests);
  pass(125);
  expect_there(row(2, 80, wanted_));
}

TEST_F(Static, survives_a_kill_and_a_removed_one_ends_at_the_start) {
  const Directory directory;
  settings_.slab_path = directory.file("mappings.0");
  const auto one = row(1, 80, wanted_), other = row(1, 81, {wanted_.address, {2201}});
  start_with({one, other});
  const MappingIndex index = find(one.key);
  now_s_ += 50'000;
  start_with({one});
  EXPECT_EQ(find(one.key), index);
  expect_there(one);
  EXPECT_EQ(find(other.key), null_mapping);
  EXPECT_EQ(shard_->mappings_held(), 1U) << "its port rests";
  advance(200);
  EXPECT_EQ(shard_->mappings_held(), 0U);
  expect_there(one);
  start_with({row(1, 80, {wanted_.address, {2202}})});  // changed while it was down
  expect_there(row(1, 80, {wanted_.address, {2202}}));
}

TEST_F(Static, one_of_a_prefix_follows_the_b4_that_is_heard) {
  auto one = row(1, 80, wanted_);
  one.b4 = {};
  start_with({one});
  EXPECT_EQ((*shard_)[find(one.key)].b4, one.key.subscriber) << "nothing better is known";
  net::Ipv6 b4 = b4_of(1);
  b4.bytes[15] = 7;
  ASSERT_TRUE(shard_->open_mapping(key_of(1, 9), shard_->hash(key_of(1, 9)), b4, 0, remote_, now_s_));
  EXPECT_EQ((*shard_)[find(one.key)].b4, b4);
  EXPECT_TRUE(events(Event::Kind::b4_moved).empty());
}

TEST_F(Static, a_full_table_makes_it_wait_and_more_than_there_is_room_for_does_no_harm) {
  settings_.mappings_max = 3;
  std::vector<StaticMapping> rows;
  for (uint16_t i = 0; i < 5; ++i) rows.push_back(row(1, uint16_t(80 + i), {wanted_.address, {uint16_t(2200 + i)}}));
  start_with(rows);
  EXPECT_EQ(shard_->mappings_live(), 3U);
  turn();
  EXPECT_EQ(shard_->counters().statics_waiting.read(), 2U);
  EXPECT_EQ(StaticObstacle(events(Event::Kind::static_waits).at(0).fault), StaticObstacle::no_room);
}

TEST_F(Static, belongs_to_the_worker_of_its_outside_address_and_so_does_its_subscriber) {
  const Pool pool({*net::parse_ipv4_prefix("192.0.2.0/28")}, {2048, 4095}, 64, 4);
  const Directory directory;
  for (uint32_t subscriber = 1; subscriber < 9; ++subscriber) {
    const net::Endpoint outside{{0xc0000200 + subscriber}, {2200}};
    const std::vector rows{row(subscriber, 80, outside)};
    const SlabSet files{directory.file(""), 4, 56, 32, rows};
    const auto placed = files.prepare(pool, [](std::string_view) {});
    ASSERT_TRUE(placed) << placed.error();
    const unsigned owner = placed->owner(*placed->number_of(outside.address), outside.port);
    EXPECT_EQ(placed->owner_of(rows[0].key.subscriber), owner);
    settings_.worker = owner, settings_.workers = 4;
    settings_.policy.pool = *placed;
    start_with(rows);
    expect_there(rows[0]);
    shard_.reset();
  }
}

// The port of a mapping that ended rests for everybody but its own inside endpoint (RFC 6887 §15).
TEST_F(Static, PCP_183_a_resting_port_is_its_own_inside_endpoints_to_reclaim) {
  start();
  const auto key = key_of(1, 80, Protocol::tcp);
  const auto had = command(Command::Verb::open_explicit, key, 120).outside;
  command(Command::Verb::end_explicit, key);
  ASSERT_EQ(shard_->mappings_held(), 1U);
  const auto reclaim = [&](const OutboundKey& by, bool allowed) {
    Command wish;
    wish.verb = Command::Verb::open_explicit;
    wish.key = by;
    wish.b4 = b4_of(1);
    wish.lifetime_s = 600;
    wish.suggested = had;
    wish.exact = true;
    wish.reclaim = allowed;
    return shard_->execute(wish, now_s_);
  };
  EXPECT_EQ(reclaim(key, false).status, CommandResult::Status::not_available)
      << "not without being known for its owner";
  EXPECT_EQ(reclaim(key_of(1, 81, Protocol::tcp), true).status, CommandResult::Status::not_available);
  EXPECT_EQ(reclaim(key_of(1, 80, Protocol::tcp, 0x0a000003), true).status, CommandResult::Status::not_available);
  const auto again = reclaim(key, true);
  EXPECT_EQ(again.status, CommandResult::Status::done);
  EXPECT_EQ(again.outside, had);
  EXPECT_EQ(outside(find(key)), had);
  EXPECT_EQ(shard_->mappings_live(), 1U);
  EXPECT_EQ(shard_->mappings_held(), 0U);
  expect_sound();
  advance(602);
  EXPECT_EQ(find(key), null_mapping) << "for the lifetime asked";
}

}  // namespace
}  // namespace portolan::nat
