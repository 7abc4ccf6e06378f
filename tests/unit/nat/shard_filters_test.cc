// Who may send in through a mapping that says so itself: FILTER, and PEER's remotes where the policy filters.
#include "tests/unit/nat/fixture.h"

namespace portolan::nat {
namespace {

using Verb = Command::Verb;
using Status = CommandResult::Status;

RemoteFilter filter(const char* prefix, uint16_t port = 0) { return {*net::parse_ipv4_prefix(prefix), {port}}; }

class ShardFilters : public ShardTest {
 protected:
  void SetUp() override { start(); }
  CommandResult ask(Verb verb, const OutboundKey& key, std::initializer_list<RemoteFilter> filters,
                    uint32_t lifetime_s = 600, net::Endpoint remote = {}, uint32_t pinned_s = 0) {
    Command command;
    command.verb = verb;
    command.key = key;
    command.b4 = key.subscriber;
    command.b4.bytes[15] = 1;
    command.lifetime_s = lifetime_s;
    command.pinned_s = pinned_s;
    command.remote = remote;
    for (const auto& each : filters) command.let_in.filters[command.let_in.count++] = each;
    return shard_->execute(command, now_s_);
  }
  MappingIndex map(std::initializer_list<RemoteFilter> filters, net::Protocol protocol = net::Protocol::udp) {
    EXPECT_EQ(ask(Verb::open_explicit, key_of(1, 80, protocol), filters).status, Status::done);
    return find(key_of(1, 80, protocol));
  }
  bool is_let_in(MappingIndex index, net::Endpoint remote, uint8_t flags = 0) {
    const auto refused = receive(index, remote, flags);
    EXPECT_TRUE(!refused || *refused == Verdict::filtered);
    return !refused;
  }
  const net::Endpoint r1_{{0xcb007101}, {1234}}, r2_{{0xcb007102}, {1234}}, r1_other_{{0xcb007101}, {1235}};
};

// Also shows PCP-108, PCP-116.
TEST_F(ShardFilters, PCP_115_only_those_on_the_list_are_let_in) {
  const MappingIndex index = map({filter("203.0.113.1/32", 1234)});
  EXPECT_TRUE(is_let_in(index, r1_));
  EXPECT_FALSE(is_let_in(index, r1_other_));
  EXPECT_FALSE(is_let_in(index, r2_));
  EXPECT_EQ(shard_->admit_inbound_error(index, r2_, now_s_), Verdict::filtered);
  EXPECT_FALSE(shard_->admit_inbound_error(index, r1_, now_s_));
}

TEST_F(ShardFilters, PCP_109_a_prefix_and_any_port) {
  const MappingIndex index = map({filter("203.0.113.0/24")});
  EXPECT_TRUE(is_let_in(index, r1_));
  EXPECT_TRUE(is_let_in(index, r2_));
  EXPECT_FALSE(is_let_in(index, {{0xcb007201}, {1234}}));
}

TEST_F(ShardFilters, PCP_115_whom_the_inside_writes_to_is_filtered_too) {
  for (const auto protocol : {net::Protocol::udp, net::Protocol::tcp}) {
    const MappingIndex index = map({filter("203.0.113.1/32")}, protocol);
    EXPECT_FALSE(send(index, r2_, net::tcp_syn));  // nothing is refused to the inside
    EXPECT_FALSE(is_let_in(index, r2_, net::tcp_syn | net::tcp_ack));
    EXPECT_FALSE(send(index, r1_, net::tcp_syn));
    EXPECT_TRUE(is_let_in(index, r1_, net::tcp_syn | net::tcp_ack));
  }
}

TEST_F(ShardFilters, PCP_115_a_connection_in_the_record_is_tracked_as_without_filters) {
  const MappingIndex index = map({filter("203.0.113.1/32")}, net::Protocol::tcp);
  EXPECT_FALSE(send(index, r1_, net::tcp_syn));
  EXPECT_TRUE(is_let_in(index, r1_, net::tcp_syn | net::tcp_ack));
  EXPECT_EQ((*shard_)[index].tcp_state, TcpState::established);
}

TEST_F(ShardFilters, PCP_110_PCP_112_a_list_takes_the_place_of_another) {
  const MappingIndex index = map({filter("203.0.113.1/32")});
  map({filter("203.0.113.2/32")});
  EXPECT_FALSE(is_let_in(index, r1_));
  EXPECT_TRUE(is_let_in(index, r2_));
  map({});
  EXPECT_TRUE(is_let_in(index, r1_));
  EXPECT_FALSE((*shard_)[index].has(Mapping::listed));
}

TEST_F(ShardFilters, PCP_114_a_full_table_refuses_and_changes_nothing) {
  auto settings = small_settings();
  settings.filtered_max = 1;
  start(settings);
  const MappingIndex index = map({filter("203.0.113.1/32")});
  EXPECT_EQ(ask(Verb::open_explicit, key_of(2, 80), {filter("203.0.113.2/32")}).status, Status::table_full);
  EXPECT_EQ(find(key_of(2, 80)), null_mapping);
  EXPECT_EQ(ask(Verb::open_explicit, key_of(3, 80), {}).status, Status::done);
  EXPECT_EQ(ask(Verb::open_explicit, key_of(3, 80), {filter("203.0.113.2/32")}).status, Status::table_full);
  EXPECT_TRUE(is_let_in(find(key_of(3, 80)), r1_));
  EXPECT_FALSE(is_let_in(index, r2_));
  EXPECT_EQ(ask(Verb::end_explicit, key_of(1, 80), {}).status, Status::done);  // makes room
  EXPECT_EQ(ask(Verb::open_explicit, key_of(2, 80), {filter("203.0.113.2/32")}).status, Status::done);
}

TEST_F(ShardFilters, the_list_ends_with_the_explicit_life) {
  const MappingIndex index = open(key_of(1, 80));
  map({filter("203.0.113.1/32")});
  EXPECT_FALSE(is_let_in(index, r2_));
  now_s_ += 500;
  outbound(index);
  advance(101);
  ASSERT_EQ(find(key_of(1, 80)), index);
  EXPECT_FALSE((*shard_)[index].has(Mapping::explicit_life | Mapping::listed));
  EXPECT_TRUE(is_let_in(index, r2_));
}

// The list is PCP's to bring back: until then nobody is let in whom it might shut out.
TEST_F(ShardFilters, PCP_115_a_list_lost_in_a_restart_lets_nobody_in) {
  const Directory directory;
  auto settings = small_settings();
  settings.slab_path = directory.file("mappings");
  start(settings);
  map({filter("203.0.113.1/32")});
  start(settings);
  const MappingIndex index = find(key_of(1, 80));
  ASSERT_NE(index, null_mapping);
  EXPECT_FALSE(is_let_in(index, r1_));
  map({filter("203.0.113.1/32")});
  EXPECT_TRUE(is_let_in(index, r1_));
}

class ShardPeers : public ShardFilters {
 protected:
  CommandResult peer(uint16_t port, net::Endpoint remote, uint32_t lifetime_s = 3600, net::Endpoint suggested = {},
                     net::Protocol protocol = net::Protocol::udp) {
    Command command;
    command.verb = Verb::open_outbound;
    command.key = key_of(1, port, protocol);
    command.b4 = command.key.subscriber;
    command.b4.bytes[15] = 1;
    command.remote = remote;
    command.lifetime_s = lifetime_s;
    command.suggested = suggested;
    command.exact = suggested != net::Endpoint{};
    return shard_->execute(command, now_s_);
  }
};

// Also shows PCP-075.
TEST_F(ShardPeers, PCP_081_lives_its_lifetime_without_traffic) {
  const auto made = peer(5000, r1_);
  ASSERT_EQ(made.status, Status::done);
  EXPECT_EQ(made.lifetime_s, 3600U);
  const MappingIndex index = find(key_of(1, 5000));
  EXPECT_EQ(outside(index), made.outside);
  advance(3600);
  EXPECT_EQ(find(key_of(1, 5000)), index);
  advance(1);
  EXPECT_EQ(find(key_of(1, 5000)), null_mapping);
}

TEST_F(ShardPeers, PCP_080_never_shortens) {
  const MappingIndex index = open(key_of(1, 5000, net::Protocol::tcp));
  tcp(index, true, net::tcp_syn);
  tcp(index, false, net::tcp_syn | net::tcp_ack);
  const auto asked = peer(5000, remote_, 0, {}, net::Protocol::tcp);
  EXPECT_EQ(asked.status, Status::done);
  EXPECT_EQ(asked.lifetime_s, 7440U);
  EXPECT_EQ((*shard_)[index].tcp_state, TcpState::established);
  EXPECT_EQ(peer(5000, remote_, 10'000, {}, net::Protocol::tcp).lifetime_s, 10'000U);
  EXPECT_EQ(peer(5000, remote_, 0, {}, net::Protocol::tcp).lifetime_s, 10'000U);
}

// Also shows PCP-072.
TEST_F(ShardPeers, PCP_082_afterwards_traffic_keeps_it) {
  peer(5000, r1_, 600);
  peer(5000, r2_, 600);
  const MappingIndex index = find(key_of(1, 5000));
  now_s_ += 500;
  EXPECT_FALSE(send(index, r1_));
  advance(300);
  EXPECT_EQ(find(key_of(1, 5000)), index);
  advance(1);
  EXPECT_EQ(find(key_of(1, 5000)), null_mapping);
}

TEST_F(ShardPeers, PCP_083_filters_as_traffic_does) {
  peer(5000, r1_);
  EXPECT_TRUE(is_let_in(find(key_of(1, 5000)), r2_));
  auto settings = small_settings();
  settings.policy.filtering = Filtering::address_and_port_dependent;
  start(settings);
  peer(5000, r1_);
  EXPECT_TRUE(is_let_in(find(key_of(1, 5000)), r1_));
  EXPECT_FALSE(is_let_in(find(key_of(1, 5000)), r2_));
}

// The session's own time is long over; the list stands for it.
TEST_F(ShardPeers, PCP_081_the_remote_is_let_in_all_the_time_where_the_policy_filters) {
  auto settings = small_settings();
  settings.policy.filtering = Filtering::address_and_port_dependent;
  start(settings);
  ASSERT_EQ(ask(Verb::open_outbound, key_of(1, 5000), {{{r1_.address, 32}, r1_.port}}, 3600, r1_).status, Status::done);
  const MappingIndex index = find(key_of(1, 5000));
  EXPECT_FALSE(send(index, remote_));
  advance_slowly(900);
  EXPECT_TRUE(is_let_in(index, r1_));
  EXPECT_FALSE(is_let_in(index, r2_));
  EXPECT_FALSE(is_let_in(index, remote_));
}

// Also shows PCP-073: with one mapping for all remotes, any other suggestion cannot be kept.
TEST_F(ShardPeers, PCP_076_a_suggestion_is_kept_or_refused) {
  const auto first = peer(5000, r1_, 600, {{}, {2100}});
  EXPECT_EQ(first.outside.port, net::Port{2100});
  Command theirs;
  theirs.verb = Verb::open_outbound;
  theirs.key = key_of(2, 5000);
  theirs.b4 = b4_of(2);
  theirs.remote = r1_;
  theirs.lifetime_s = 600;
  theirs.exact = true;
  theirs.suggested = first.outside;
  EXPECT_EQ(shard_->execute(theirs, now_s_).status, Status::not_available);
  EXPECT_EQ(find(key_of(2, 5000)), null_mapping);
  EXPECT_EQ(peer(5000, r2_, 600, {{}, {2101}}).outside, first.outside);
}

// Also shows PCP-051: what PEER keeps survives the deletion of what MAP made.
TEST_F(ShardPeers, PCP_051_a_deleted_mapping_goes_on_for_its_peers) {
  map({filter("203.0.113.1/32")});
  const MappingIndex index = find(key_of(1, 80));
  const auto ended = ask(Verb::end_explicit, key_of(1, 80), {}, 0, {}, 1000);
  EXPECT_EQ(ended.status, Status::done);
  EXPECT_EQ(ended.lifetime_s, 0U);
  EXPECT_FALSE((*shard_)[index].has(Mapping::explicit_life | Mapping::listed));
  advance(1000);
  EXPECT_EQ(find(key_of(1, 80)), index);
  advance(1);
  EXPECT_EQ(find(key_of(1, 80)), null_mapping);
}

// A PEER that could not be kept on record leaves what a packet would have.
TEST_F(ShardPeers, what_is_unpinned_lives_as_traffic_lets_it) {
  peer(5000, r1_, 3600);
  EXPECT_EQ(ask(Verb::unpin, key_of(1, 5000), {}).status, Status::done);
  EXPECT_EQ(ask(Verb::unpin, key_of(1, 5001), {}).status, Status::unknown);
  advance(300);
  EXPECT_NE(find(key_of(1, 5000)), null_mapping);
  advance(1);
  EXPECT_EQ(find(key_of(1, 5000)), null_mapping);
}

TEST_F(ShardPeers, unpinning_leaves_an_explicit_life_alone) {
  const MappingIndex index = map({filter("203.0.113.1/32")});
  ask(Verb::unpin, key_of(1, 80), {});
  EXPECT_FALSE(is_let_in(index, r2_));
  peer(80, r2_);
  EXPECT_FALSE(is_let_in(index, r2_));
  advance(600);
  EXPECT_TRUE((*shard_)[index].has(Mapping::explicit_life));
}

TEST_F(ShardPeers, NPM_001_tells_the_address_a_subscriber_has) {
  EXPECT_EQ(ask(Verb::tell_address, key_of(1, 0), {}).status, Status::unknown);
  const MappingIndex index = open(key_of(1, 5000));
  EXPECT_EQ(ask(Verb::tell_address, key_of(1, 0), {}).outside.address, outside(index).address);
}

// PCP-084: the server lost all; the client's PEER brings the mapping back, and the connection goes on without a SYN.
TEST_F(ShardPeers, PCP_084_brings_a_connection_back) {
  ASSERT_EQ(peer(5000, r1_, 3600, {{}, {2200}}, net::Protocol::tcp).outside.port, net::Port{2200});
  const MappingIndex index = find(key_of(1, 5000, net::Protocol::tcp));
  EXPECT_FALSE(send(index, r1_, net::tcp_ack));
  EXPECT_FALSE(receive(index, r1_, net::tcp_ack));
  advance(3600);
  EXPECT_EQ(find(key_of(1, 5000, net::Protocol::tcp)), index);
}

TEST_F(ShardFilters, PCP_166_a_lifetime_is_no_shorter_than_traffics) {
  const MappingIndex index = open(key_of(1, 80));
  outbound(index);
  EXPECT_EQ(ask(Verb::open_explicit, key_of(1, 80), {}, 120).lifetime_s, 300U);
  advance(300);
  EXPECT_TRUE((*shard_)[index].has(Mapping::explicit_life));
}

}  // namespace
}  // namespace portolan::nat
