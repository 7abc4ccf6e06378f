// What a shard promises about who gets which outside endpoint.
#include <set>

#include "tests/unit/nat/fixture.h"

namespace portolan::nat {
namespace {

using net::Protocol;

// Also shows UDP-026.
TEST_F(ShardTest, UDP_001_a_mapping_is_found_from_both_sides) {
  start();
  const auto key = key_of(1, 5000);
  const MappingIndex index = open(key);
  EXPECT_EQ(find(key), index);
  EXPECT_EQ(find_inbound((*shard_)[index]), index);
  EXPECT_EQ((*shard_)[index].inside_port.number, 5000);
  EXPECT_EQ(shard_->read(index)->outside(), outside(index));
  EXPECT_EQ(find(key_of(1, 5001)), null_mapping);
  EXPECT_EQ(find(key_of(1, 5000, Protocol::tcp)), null_mapping);
  EXPECT_EQ(find(key_of(1, 5000, Protocol::udp, 0x0a000003)), null_mapping);
  EXPECT_EQ(find(key_of(2, 5000)), null_mapping);
}

// Also shows UDP-002.
TEST_F(ShardTest, CGN_002_CGN_003_one_outside_address_for_all_of_a_subscriber) {
  start();
  const net::Ipv4 address = outside(open(key_of(1, 1))).address;
  for (uint32_t host = 0x0a000001; host < 0x0a000004; ++host)
    for (const auto protocol : {Protocol::udp, Protocol::tcp, Protocol::icmp})
      for (uint16_t port = 100; port < 150; ++port)
        EXPECT_EQ(outside(open(key_of(1, port, protocol, host))).address, address);
}

// Shows CGN-005.
TEST_F(ShardTest, subscribers_use_every_address) {
  start();
  std::set<uint32_t> addresses;
  for (uint32_t subscriber = 0; subscriber < 60; ++subscriber)
    addresses.insert(outside(open(key_of(subscriber, 1))).address.bits);
  EXPECT_EQ(addresses.size(), 4U);
}

// Also shows DSL-069, UDP-027.
TEST_F(ShardTest, UDP_004_no_outside_endpoint_twice) {
  start();
  std::set<net::Endpoint> seen;
  for (uint32_t subscriber = 0; subscriber < 30; ++subscriber)
    for (uint16_t port = 0; port < 100; ++port)
      EXPECT_TRUE(seen.insert(outside(open(key_of(subscriber, port)))).second);
  for (const auto& endpoint : seen) EXPECT_TRUE(endpoint.port >= net::Port{2048} && endpoint.port <= net::Port{4095});
}

// Also shows LOG-011.
TEST_F(ShardTest, LOG_012_another_block_when_one_is_full_and_back_when_it_is_empty) {
  start();
  const uint32_t total = shard_->blocks_total();
  EXPECT_EQ(total, 4 * 32U);
  for (uint16_t port = 0; port < 64; ++port) open(key_of(1, port));
  EXPECT_EQ(shard_->blocks_free(), total - 1);
  open(key_of(1, 64));
  EXPECT_EQ(shard_->blocks_free(), total - 2);
  for (uint16_t port = 0; port < 64; ++port)
    open(key_of(1, port, Protocol::tcp));  // other protocols use the same blocks
  EXPECT_EQ(shard_->blocks_free(), total - 2);
  expect_sound();
  advance(301);
  EXPECT_EQ(shard_->mappings_live(), 0U);
  EXPECT_EQ(shard_->blocks_free(), total - 2) << "ports rest first";
  EXPECT_EQ(shard_->subscribers_live(), 1U);
  advance(121);
  EXPECT_EQ(shard_->blocks_free(), total);
  EXPECT_EQ(shard_->subscribers_live(), 0U);
}

TEST_F(ShardTest, LOG_011_LOG_012_DSL_064_blocks_are_told_of_when_they_come_and_when_they_go) {
  start();
  std::array<Event, 8> events;
  for (uint16_t port = 0; port < 64; ++port) open(key_of(1, port));
  ASSERT_EQ(shard_->take_events(events), 1U) << "one for sixty-four mappings";
  EXPECT_EQ(events[0].kind, Event::Kind::block_allocated);
  EXPECT_EQ(events[0].subscriber, key_of(1, 0).subscriber);
  EXPECT_EQ(events[0].time_s, start_s);
  const auto outside_of_first = outside(find(key_of(1, 0)));
  EXPECT_EQ(events[0].address, outside_of_first.address);
  EXPECT_EQ(events[0].last.number - events[0].first.number, 63);
  EXPECT_TRUE(events[0].first <= outside_of_first.port && outside_of_first.port <= events[0].last);
  const Event first = events[0];
  open(key_of(1, 64));
  EXPECT_EQ(shard_->take_events(events), 1U);
  advance(301);
  EXPECT_EQ(shard_->take_events(events), 0U) << "its ports rest";
  advance(121);
  ASSERT_EQ(shard_->take_events(events), 2U);
  EXPECT_EQ(events[0].kind, Event::Kind::block_released);
  EXPECT_EQ(events[1].kind, Event::Kind::block_released);
  EXPECT_TRUE(events[0].first == first.first || events[1].first == first.first);
  EXPECT_EQ(events[0].time_s, start_s + 301 + 121);
  EXPECT_EQ(shard_->events_lost(), 0U);
}

TEST_F(ShardTest, LOG_013_the_block_idle_for_longest_is_left_to_empty_while_another_has_room) {
  start();
  const uint16_t oldest = outside(open(key_of(1, 0))).port.number / 64;  // in blocks of the address
  for (uint16_t port = 1; port < 64; ++port) EXPECT_EQ(outside(open(key_of(1, port))).port.number / 64, oldest);
  advance(10);
  for (uint16_t port = 64; port < 129; ++port) EXPECT_NE(outside(open(key_of(1, port))).port.number / 64, oldest);
  advance(10);
  for (uint16_t port = 0; port < 100; ++port)  // three blocks by now, each with all of its TCP ports free
    EXPECT_NE(outside(open(key_of(1, port, Protocol::tcp))).port.number / 64, oldest);
  uint32_t in_oldest = 0;
  for (uint16_t port = 100; port < 192; ++port)
    if (outside(open(key_of(1, port, Protocol::tcp))).port.number / 64 == oldest) ++in_oldest;
  EXPECT_EQ(in_oldest, 64U) << "when the others are full it is used, before a fourth is taken";
}

// With log.events-required: nobody takes the events, as when the log's sink is down and its own room is full.
TEST_F(ShardTest, LOG_016_without_room_for_records_no_block_is_given_and_what_was_given_goes_on) {
  auto settings = small_settings();
  settings.policy.records_required = true;
  settings.policy.timeouts.quarantine_s = 0;
  start(settings);
  ASSERT_EQ(command(Command::Verb::open_explicit, key_of(900, 1), 1'000'000).status, CommandResult::Status::done);
  uint32_t given = 1;
  for (uint32_t round = 0; round < 200; ++round) {
    for (uint32_t subscriber = 0; subscriber < 60; ++subscriber) {
      const auto made = try_open(key_of(subscriber, 1));
      if (made) ++given;
      if (!made) {
        EXPECT_EQ(made.error(), Verdict::record_refused);
      }
    }
    advance(302);
    advance(2);
  }
  EXPECT_EQ(shard_->events_lost(), 0U) << "and their ends had room";
  EXPECT_EQ(try_open(key_of(1, 1)).error(), Verdict::record_refused);
  EXPECT_EQ(command(Command::Verb::open_explicit, key_of(1, 1), 600, {{0xc0000201}, {2100}}).status,
            CommandResult::Status::table_full);
  EXPECT_TRUE(try_open(key_of(900, 2))) << "in a block that is on record";
  std::array<Event, 512> room;
  uint32_t allocated = 0;
  while (const size_t count = shard_->take_events(room))
    for (const auto& event : std::span(room).first(count)) allocated += event.kind == Event::Kind::block_allocated;
  EXPECT_GE(allocated, given) << "each block given is told of";
  EXPECT_TRUE(try_open(key_of(1, 1))) << "and it goes on when there is room";
}

TEST(EventRing, LOG_016_a_full_ring_loses_the_newest_and_counts_it) {
  const auto ring = std::make_unique<EventRing>();
  Event event;
  for (uint32_t i = 0; i < EventRing::capacity; ++i) {
    event.record = i;
    ASSERT_TRUE(ring->put(event));
  }
  EXPECT_FALSE(ring->put(event));
  EXPECT_EQ(ring->lost(), 1U);
  std::array<Event, 100> room;
  ASSERT_EQ(ring->take(room), 100U);
  EXPECT_EQ(room[99].record, 99U);
  EXPECT_TRUE(ring->put(event));
}

// Shows LOG-013.
TEST_F(ShardTest, an_emptied_block_goes_back_while_others_stay) {
  start();
  for (uint16_t port = 0; port < 65; ++port) open(key_of(1, port));
  const auto last = find(key_of(1, 64));
  for (int i = 0; i < 6; ++i) advance(100), outbound(last);
  EXPECT_EQ(shard_->mappings_live() + shard_->mappings_held(), 1U);
  EXPECT_EQ(shard_->blocks_free(), shard_->blocks_total() - 1);
}

// Also shows LOG-012.
TEST_F(ShardTest, CGN_007_CGN_023_the_quota_refuses_and_evicts_nobody) {
  auto settings = small_settings();
  settings.policy.limits.blocks_per_subscriber_max = 2;
  start(settings);
  for (uint16_t port = 0; port < 128; ++port) open(key_of(1, port));
  for (uint16_t port = 128; port < 200; ++port) EXPECT_EQ(try_open(key_of(1, port)).error(), Verdict::over_quota);
  for (uint16_t port = 0; port < 128; ++port) EXPECT_NE(find(key_of(1, port)), null_mapping);
  EXPECT_TRUE(try_open(key_of(1, 0, Protocol::tcp))) << "a block has each protocol's ports";
  EXPECT_TRUE(try_open(key_of(2, 0))) << "another subscriber";
}

TEST_F(ShardTest, CGN_023_a_full_table_refuses_and_evicts_nobody) {
  auto settings = small_settings();
  settings.mappings_max = 50;
  start(settings);
  for (uint16_t port = 0; port < 50; ++port) open(key_of(1, port));
  EXPECT_EQ(try_open(key_of(1, 50)).error(), Verdict::table_full);
  EXPECT_EQ(try_open(key_of(2, 50)).error(), Verdict::table_full);
  EXPECT_EQ(shard_->mappings_live(), 50U);
  EXPECT_EQ(shard_->subscribers_live(), 1U) << "nothing half-done stays behind";
}

TEST_F(ShardTest, UDP_003_no_move_to_another_address_when_ones_own_is_full) {
  auto settings = small_settings();
  settings.policy.pool = {{*net::parse_ipv4_prefix("192.0.2.0/31")}, {2048, 2048 + 2 * 64 - 1}, 64, 1};
  start(settings);
  for (uint16_t port = 0; port < 128; ++port) open(key_of(1, port));
  EXPECT_EQ(try_open(key_of(1, 128)).error(), Verdict::pool_exhausted);
  EXPECT_TRUE(try_open(key_of(2, 0)));
}

TEST_F(ShardTest, an_exhausted_pool_refuses_the_next_subscriber) {
  auto settings = small_settings();
  settings.policy.pool = {{*net::parse_ipv4_prefix("192.0.2.1/32")}, {2048, 2175}, 64, 1};
  start(settings);
  open(key_of(1, 0)), open(key_of(2, 0));
  EXPECT_EQ(try_open(key_of(3, 0)).error(), Verdict::pool_exhausted);
  EXPECT_EQ(shard_->subscribers_live(), 2U);
}

TEST_F(ShardTest, a_full_subscriber_table_refuses) {
  auto settings = small_settings();
  settings.subscribers_max = 2;
  start(settings);
  open(key_of(1, 0)), open(key_of(2, 0));
  EXPECT_EQ(try_open(key_of(3, 0)).error(), Verdict::subscribers_full);
  EXPECT_TRUE(try_open(key_of(2, 1)));
  EXPECT_EQ(shard_->blocks_free(), shard_->blocks_total() - 2);
}

TEST_F(ShardTest, other_protocols_are_refused) {
  start();
  EXPECT_EQ(try_open(key_of(1, 0, Protocol::sctp)).error(), Verdict::protocol_unsupported);
  EXPECT_EQ(shard_->subscribers_live(), 0U);
}

// Also shows PCP-180.
TEST_F(ShardTest, CGN_014_a_port_rests_and_then_comes_back) {
  auto settings = small_settings();
  settings.policy.limits.blocks_per_subscriber_max = 1;
  settings.policy.pool = {{*net::parse_ipv4_prefix("192.0.2.1/32")}, {2048, 2111}, 64, 1};
  start(settings);
  for (uint16_t port = 0; port < 64; ++port) open(key_of(1, port));
  advance(1);
  const net::Endpoint freed = outside(find(key_of(1, 7)));
  EXPECT_EQ(command(Command::Verb::end_mapping, key_of(1, 7)).ended, 1U);
  EXPECT_EQ(shard_->mappings_held(), 1U);
  for (int i = 0; i <= 120; ++i) {
    ASSERT_FALSE(try_open(key_of(1, 1000))) << i << " s after its end";
    for (uint16_t port = 0; port < 64; ++port)
      if (port != 7) outbound(find(key_of(1, port)));
    advance(1);
  }
  EXPECT_EQ(outside(open(key_of(1, 1000))), freed);
}

TEST_F(ShardTest, rfc_7785_the_b4_may_change_within_the_prefix) {
  start();
  const auto key = key_of(1, 5000);
  const MappingIndex index = open(key);
  net::Ipv6 moved = b4_of(1);
  moved.bytes[7] = 0xff, moved.bytes[15] = 9;
  EXPECT_FALSE(shard_->admit_outbound(index, moved, 1, remote_, 0, now_s_));
  EXPECT_EQ(find(key), index);
  EXPECT_EQ((*shard_)[index].b4, moved);
  EXPECT_EQ((*shard_)[index].softwire, 1);
}

TEST_F(ShardTest, checksum_deltas_lead_from_inside_to_outside) {
  start();
  const MappingIndex index = open(key_of(1, 5000));
  const Mapping& mapping = (*shard_)[index];
  const auto plain = [](net::Endpoint end, bool port) {  // big-endian words, RFC 1071
    const uint32_t bits = end.address.bits;
    return (bits >> 16) + (bits & 0xffff) + (port ? uint32_t{uint16_t{end.port.number}} : 0U);
  };
  const auto expect_delta = [&](uint16_t delta, bool port) {
    const uint32_t sum = plain(mapping.inside(), port) + net::be16::from_raw(delta);
    EXPECT_EQ(sum % 0xffff, plain(mapping.outside(), port) % 0xffff);  // ones-complement equality is modulo 2^16-1
  };
  expect_delta(mapping.address_delta, false);
  expect_delta(mapping.endpoint_delta, true);
}

// A NAT44 subscriber is a prefix of IPv4 addresses, whatever the length of a softwire's.
TEST_F(ShardTest, NAT44_plain_subscribers_beside_softwires) {
  auto settings = small_settings();
  settings.plain_prefix_length = 30;
  start(settings);
  const auto plain = [](uint32_t address, unsigned length, uint16_t port) {
    return OutboundKey{net::masked(net::mapped(net::Ipv4{address}), 96 + length), {address}, {port}, Protocol::udp, 0};
  };
  const auto open_plain = [&](uint32_t address, uint16_t port) {
    const auto key = plain(address, 30, port);
    return shard_->open_mapping(key, shard_->hash(key), net::mapped(net::Ipv4{address}), 0, remote_, now_s_).value();
  };
  const MappingIndex softwire = open(key_of(1, 5000, Protocol::udp, 0x0a000002));
  const MappingIndex first = open_plain(0x0a000002, 5000), neighbor = open_plain(0x0a000003, 5000),
                     stranger = open_plain(0x0a000004, 5000);
  EXPECT_EQ(shard_->subscribers_live(), 3U);
  EXPECT_EQ((*shard_)[first].subscriber, (*shard_)[neighbor].subscriber);
  EXPECT_NE((*shard_)[first].subscriber, (*shard_)[stranger].subscriber);
  EXPECT_TRUE((*shard_)[first].has(Mapping::plain));
  EXPECT_FALSE((*shard_)[softwire].has(Mapping::plain));
  EXPECT_EQ(find(plain(0x0a000002, 30, 5000)), first);
  EXPECT_EQ(find(plain(0x0a000003, 30, 5000)), neighbor);
  EXPECT_EQ(find(key_of(1, 5000, Protocol::udp, 0x0a000002)), softwire);
  expect_sound();
  advance(301);  // ended, and held: whose it was is still known
  EXPECT_EQ(shard_->mappings_live(), 0U);
  EXPECT_EQ(shard_->subscribers_live(), 3U);
  expect_sound();
  advance(200);
  EXPECT_EQ(shard_->subscribers_live(), 0U);
}

}  // namespace
}  // namespace portolan::nat
