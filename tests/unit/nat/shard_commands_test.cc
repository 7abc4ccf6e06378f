// What PCP and the CLI ask of a shard.
#include <set>

#include "tests/unit/nat/fixture.h"

namespace portolan::nat {
namespace {

using Verb = Command::Verb;
using Status = CommandResult::Status;
using net::Protocol;

class ShardCommands : public ShardTest {
 protected:
  void SetUp() override { start(); }
  CommandResult open_explicit(const OutboundKey& key, uint32_t lifetime_s = 600, net::Endpoint suggested = {},
                              bool exact = false) {
    return command(Verb::open_explicit, key, lifetime_s, suggested, exact);
  }
  net::Ipv4 address_of(uint32_t subscriber) {
    return outside(open(key_of(subscriber, 60'000, Protocol::icmp))).address;
  }
};

// Shows PCP-163.
TEST_F(ShardCommands, open_makes_a_mapping_for_its_lifetime) {
  const auto result = open_explicit(key_of(1, 80));
  ASSERT_EQ(result.status, Status::done);
  EXPECT_EQ(result.lifetime_s, 600U);
  EXPECT_EQ(result.outside, outside(find(key_of(1, 80))));
  EXPECT_EQ(find_inbound((*shard_)[find(key_of(1, 80))]), find(key_of(1, 80)));
  advance(600);
  EXPECT_NE(find(key_of(1, 80)), null_mapping);
  advance(1);
  EXPECT_EQ(find(key_of(1, 80)), null_mapping);
}

TEST_F(ShardCommands, PCD_010_the_block_of_a_mapping_PCP_made_is_recorded_as_others_are) {
  std::array<Event, 8> events;
  const auto made = open_explicit(key_of(1, 80), 200);
  ASSERT_EQ(shard_->take_events(events), 1U);
  EXPECT_EQ(events[0].kind, Event::Kind::block_allocated);
  EXPECT_EQ(events[0].subscriber, key_of(1, 80).subscriber);
  EXPECT_EQ(events[0].address, made.outside.address);
  EXPECT_TRUE(events[0].first <= made.outside.port && made.outside.port <= events[0].last);
  advance(201);
  EXPECT_EQ(shard_->take_events(events), 0U) << "its port rests";
  advance(121);
  ASSERT_EQ(shard_->take_events(events), 1U);
  EXPECT_EQ(events[0].kind, Event::Kind::block_released);
}

// Shows PCP-164.
TEST_F(ShardCommands, renewal_keeps_the_endpoint_and_moves_the_expiry) {
  const auto first = open_explicit(key_of(1, 80));
  advance(500);
  EXPECT_EQ(open_explicit(key_of(1, 80)).outside, first.outside);
  advance(600);
  EXPECT_NE(find(key_of(1, 80)), null_mapping);
  advance(1);
  EXPECT_EQ(find(key_of(1, 80)), null_mapping);
}

// Shows PCP-051.
TEST_F(ShardCommands, an_implicit_mapping_becomes_explicit_and_keeps_its_endpoint) {
  const MappingIndex index = open(key_of(1, 80));
  const auto result = open_explicit(key_of(1, 80));
  EXPECT_EQ(result.outside, outside(index));
  EXPECT_EQ(find(key_of(1, 80)), index);
  advance(600);
  EXPECT_EQ(find(key_of(1, 80)), index);
}

TEST_F(ShardCommands, what_is_restored_after_a_restart_is_not_granted_for_longer) {
  const MappingIndex index = open(key_of(1, 80));
  Command wish;
  wish.verb = Verb::open_explicit;
  wish.key = key_of(1, 80);
  wish.b4 = (*shard_)[index].b4;
  wish.suggested = outside(index);
  wish.lifetime_s = 10;
  wish.restored = true;
  EXPECT_EQ(shard_->execute(wish, now_s_).lifetime_s, 10U);
  wish.restored = false;
  EXPECT_GT(shard_->execute(wish, now_s_).lifetime_s, 10U);  // asked for anew, as long as traffic keeps it (§15)
}

// Shows PCP-039, PCP-040, PCP-042, PCP-058.
TEST_F(ShardCommands, a_suggestion_is_followed_if_it_can_be) {
  const net::Ipv4 own = address_of(1);
  const net::Endpoint wish{own, {3333}};
  EXPECT_EQ(open_explicit(key_of(1, 80), 600, wish).outside, wish);
  EXPECT_EQ(open_explicit(key_of(1, 81), 600, {{}, {3334}}).outside, (net::Endpoint{own, {3334}}));
  const auto taken = open_explicit(key_of(1, 82), 600, wish);
  EXPECT_EQ(taken.status, Status::done);
  EXPECT_NE(taken.outside, wish);
  EXPECT_EQ(open_explicit(key_of(1, 83), 600, {own, {1023}}).status, Status::done) << "out of the range: another";
  EXPECT_EQ(open_explicit(key_of(1, 80, Protocol::tcp), 600, wish).outside, wish) << "TCP's ports are others";
}

TEST_F(ShardCommands, a_returning_subscriber_gets_his_old_address) {
  for (uint32_t subscriber = 1; subscriber < 20; ++subscriber) {
    const net::Ipv4 old{0xc0000200 + subscriber % 4};
    EXPECT_EQ(open_explicit(key_of(subscriber, 80), 600, {old, {3000}}).outside.address, old);
  }
}

// Shows PCP-104.
TEST_F(ShardCommands, exact_means_that_or_nothing) {
  const net::Ipv4 own = address_of(1), another{uint32_t{own.bits} ^ 1};
  EXPECT_EQ(open_explicit(key_of(1, 80), 600, {own, {3333}}, true).outside, (net::Endpoint{own, {3333}}));
  const auto blocks = shard_->blocks_free();
  for (const net::Endpoint wish :
       {net::Endpoint{own, {3333}}, {another, {3334}}, {own, {1000}}, {net::Ipv4{0x08080808}, {3334}}})
    EXPECT_EQ(open_explicit(key_of(1, 81), 600, wish, true).status, Status::not_available) << net::to_text(wish);
  EXPECT_EQ(find(key_of(1, 81)), null_mapping);
  EXPECT_EQ(shard_->blocks_free(), blocks);
}

TEST_F(ShardCommands, exact_with_any_address_or_any_port) {
  const net::Ipv4 own = address_of(1), another{uint32_t{own.bits} ^ 1};
  const auto result = open_explicit(key_of(1, 80), 600, {{}, {3333}}, true);
  EXPECT_EQ(result.outside, (net::Endpoint{own, {3333}}));
  EXPECT_EQ(open_explicit(key_of(1, 80), 600, {{}, {3333}}, true).status, Status::done) << "renewal";
  EXPECT_EQ(open_explicit(key_of(1, 80), 600, {own, {}}, true).status, Status::done) << "renewal";
  EXPECT_EQ(open_explicit(key_of(1, 80), 600, {{}, {3334}}, true).status, Status::not_available);
  EXPECT_EQ(open_explicit(key_of(1, 80), 600, {another, {}}, true).status, Status::not_available);
  EXPECT_EQ(open_explicit(key_of(1, 81), 600, {another, {}}, true).status, Status::not_available);
  EXPECT_EQ(open_explicit(key_of(1, 81), 600, {own, {}}, true).outside.address, own);
}

TEST_F(ShardCommands, PCP_044_never_udp_5350_or_5351) {
  auto settings = small_settings();
  settings.policy.pool = {{*net::parse_ipv4_prefix("192.0.2.1/32")}, {5312, 5375}, 64, 1};
  start(settings);
  for (const uint16_t port : {uint16_t{5350}, uint16_t{5351}}) {
    EXPECT_EQ(open_explicit(key_of(1, port), 600, {{}, {port}}, true).status, Status::not_available);
    EXPECT_NE(open_explicit(key_of(1, port), 600, {{}, {port}}).outside.port.number, port);
  }
  std::set<uint16_t> seen;
  for (uint16_t port = 100; port < 160; ++port) {  // 60 more: all that are left, implicit ones too, which PCP may renew
    const MappingIndex index =
        port % 2 != 0 ? open(key_of(1, port)) : (open_explicit(key_of(1, port)), find(key_of(1, port)));
    seen.insert(outside(index).port.number);
  }
  EXPECT_EQ(seen.size(), 60U);
  EXPECT_FALSE(seen.contains(5350) || seen.contains(5351));
  EXPECT_FALSE(try_open(key_of(1, 200)));
  EXPECT_EQ(open_explicit(key_of(1, 1, Protocol::tcp), 600, {{}, {5351}}, true).outside.port.number, 5351);
}

// Also shows PCD-009.
TEST_F(ShardCommands, CGN_007_refusals_name_their_reason) {
  auto settings = small_settings();
  settings.policy.limits.blocks_per_subscriber_max = 1;
  settings.mappings_max = 65;
  settings.policy.pool = {{*net::parse_ipv4_prefix("192.0.2.1/32")}, {2048, 2111}, 64, 1};
  start(settings);
  for (uint16_t port = 0; port < 64; ++port) ASSERT_EQ(open_explicit(key_of(1, port)).status, Status::done);
  EXPECT_EQ(open_explicit(key_of(1, 64)).status, Status::over_quota);
  EXPECT_EQ(open_explicit(key_of(2, 1)).status, Status::pool_exhausted);
  ASSERT_EQ(open_explicit(key_of(1, 1, Protocol::tcp)).status, Status::done);
  EXPECT_EQ(open_explicit(key_of(1, 2, Protocol::tcp)).status, Status::table_full);
}

TEST_F(ShardCommands, PCP_170_end_without_traffic_ends_now) {
  open_explicit(key_of(1, 80));
  const auto result = command(Verb::end_explicit, key_of(1, 80));
  EXPECT_EQ(result.status, Status::done);
  EXPECT_EQ(result.lifetime_s, 0U);
  EXPECT_EQ(find(key_of(1, 80)), null_mapping);
  EXPECT_EQ(command(Verb::end_explicit, key_of(1, 80)).status, Status::unknown);
}

// Also shows PCP-051.
TEST_F(ShardCommands, PCP_166_end_does_not_outrun_traffic) {
  open_explicit(key_of(1, 80), 6000);
  outbound(find(key_of(1, 80)));
  advance(100);
  const auto result = command(Verb::end_explicit, key_of(1, 80));
  EXPECT_EQ(result.status, Status::done);
  EXPECT_GE(result.lifetime_s, 200U);
  EXPECT_LE(result.lifetime_s, 201U);
  advance(200);
  EXPECT_NE(find(key_of(1, 80)), null_mapping);
  advance(1);
  EXPECT_EQ(find(key_of(1, 80)), null_mapping);
}

TEST_F(ShardCommands, PCP_166_a_shorter_renewal_does_not_outrun_traffic) {
  open_explicit(key_of(1, 80), 6000);
  outbound(find(key_of(1, 80)));
  open_explicit(key_of(1, 80), 120);
  advance(300);
  EXPECT_NE(find(key_of(1, 80)), null_mapping);
  advance(1);
  EXPECT_EQ(find(key_of(1, 80)), null_mapping);
}

TEST_F(ShardCommands, PCP_173_an_implicit_mapping_is_not_pcps_to_end) {
  open(key_of(1, 80));
  EXPECT_EQ(command(Verb::end_explicit, key_of(1, 80)).status, Status::not_explicit);
  EXPECT_NE(find(key_of(1, 80)), null_mapping);
}

// Shows PCP-167.
TEST_F(ShardCommands, explicit_life_over_implicit_life_goes_on) {
  open_explicit(key_of(1, 80), 120);
  advance(100);
  outbound(find(key_of(1, 80)));
  advance(200);
  ASSERT_NE(find(key_of(1, 80)), null_mapping);
  EXPECT_EQ(command(Verb::end_explicit, key_of(1, 80)).status, Status::not_explicit) << "its explicit life is over";
  advance(101);
  EXPECT_EQ(find(key_of(1, 80)), null_mapping);
}

// Shows DSL-085, MGT-061, PCP-180.
TEST_F(ShardCommands, clear_ends_all_of_one_subscriber_and_nobody_elses) {
  for (uint16_t port = 0; port < 100; ++port) open(key_of(1, port)), open(key_of(2, port));
  open_explicit(key_of(1, 500), 6000);
  open(key_of(1, 1, Protocol::tcp)), open(key_of(1, 1, Protocol::icmp));
  const auto result = command(Verb::clear_subscriber, key_of(1, 0));
  EXPECT_EQ(result.status, Status::done);
  EXPECT_EQ(result.ended, 103U);
  EXPECT_EQ(shard_->mappings_live(), 100U);
  EXPECT_EQ(shard_->mappings_held(), 103U);
  expect_sound();
  EXPECT_EQ(command(Verb::clear_subscriber, key_of(3, 0)).status, Status::unknown);
}

// What a worker does of it between two bursts is bounded, and a mapping opened meanwhile does no harm.
TEST_F(ShardCommands, clear_subscriber_ends_a_slice_at_a_time) {
  constexpr uint16_t mappings = 3 * cleared_per_command_max + 10;
  for (uint16_t port = 0; port < mappings; ++port) open(key_of(1, port)), open(key_of(2, port));
  Command clearing;
  clearing.verb = Verb::clear_subscriber;
  clearing.key = key_of(1, 0);
  uint32_t ended = 0, slices = 0;
  do {
    const auto result = shard_->execute(clearing, now_s_);
    EXPECT_EQ(result.status, Status::done);
    EXPECT_LE(result.ended, cleared_per_command_max);
    ended += result.ended;
    clearing.resume = result.resume;
    expect_sound();
  } while (clearing.resume != 0 && ++slices < 1000);
  EXPECT_EQ(ended, mappings);
  EXPECT_EQ(shard_->mappings_live(), uint64_t{mappings});
}

// The last block takes the place of one that is given back; it must not be passed over.
TEST_F(ShardCommands, clear_subscriber_leaves_nothing_when_a_block_is_given_back_between_slices) {
  auto settings = small_settings();
  settings.policy.timeouts.quarantine_s = 0;
  start(settings);
  constexpr uint16_t mappings = 3 * 64;  // three blocks, whole
  static_assert(64 % cleared_per_command_max == 0);
  for (uint16_t port = 0; port < mappings; ++port) open(key_of(1, port));
  const auto subscriber = *shard_->read_subscriber(1);
  ASSERT_EQ(subscriber.block_count, 3);
  Command clearing;
  clearing.verb = Verb::clear_subscriber;
  clearing.key = key_of(1, 0);
  while (shard_->mappings_live() > mappings - 64) clearing.resume = shard_->execute(clearing, now_s_).resume;
  const auto& layout = settings.policy.pool.layout();
  for (uint16_t port = 0; port < mappings; ++port)
    if (const auto at = find(key_of(1, port));
        at != null_mapping && layout.block_of(outside(at).port) == subscriber.blocks[0] % layout.blocks())
      command(Verb::end_mapping, key_of(1, port));
  advance(2);  // two blocks rest no more
  ASSERT_EQ(shard_->read_subscriber(1)->block_count, 1);
  for (unsigned slices = 0; clearing.resume != 0 && slices < 1000; ++slices)
    clearing.resume = shard_->execute(clearing, now_s_).resume;
  EXPECT_EQ(shard_->mappings_live(), 0U);
}

TEST_F(ShardCommands, tell_holder_knows_the_block_and_the_mapping_of_a_port) {
  const OutboundKey key = key_of(1, 80);
  const auto ours = outside(open(key));
  const auto holder = [&](Protocol protocol, net::Endpoint end) {
    OutboundKey asked;
    asked.protocol = protocol;
    return command(Verb::tell_holder, asked, 0, end);
  };
  OutboundKey only_subscriber;
  only_subscriber.subscriber = key.subscriber;
  EXPECT_EQ(holder(Protocol::udp, ours).key, key);
  EXPECT_EQ(holder({}, ours).status, Status::done);
  EXPECT_EQ(holder({}, ours).key, only_subscriber);
  EXPECT_EQ(holder(Protocol::tcp, ours).key, only_subscriber);
  command(Verb::end_mapping, key);
  EXPECT_EQ(holder(Protocol::udp, ours).key, only_subscriber) << "it rests";
  const net::Ipv4 elsewhere{uint32_t{ours.address.bits} ^ 1};
  EXPECT_EQ(holder({}, {elsewhere, ours.port}).status, Status::unknown);
  EXPECT_EQ(holder({}, {ours.address, {1}}).status, Status::unknown) << "in no block";
  EXPECT_EQ(holder({}, {{0x01020304}, ours.port}).status, Status::unknown) << "not of the pool";
}

TEST_F(ShardCommands, end_mapping_ends_whatever_it_is) {
  open(key_of(1, 80));
  const auto end = outside(find(key_of(1, 80)));
  const auto result = command(Verb::end_mapping, key_of(1, 80));
  EXPECT_EQ(result.outside, end);
  EXPECT_EQ(find(key_of(1, 80)), null_mapping);
  EXPECT_EQ(command(Verb::end_mapping, key_of(1, 80)).status, Status::unknown);
}

}  // namespace
}  // namespace portolan::nat
