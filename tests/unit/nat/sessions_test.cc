// Sessions: which remotes a mapping knows, who may use it, how many it may have, and that all of it outlives the
// process.
#include "tests/unit/nat/fixture.h"

namespace portolan::nat {
namespace {

using net::Protocol;
constexpr uint8_t syn = net::tcp_syn, fin = net::tcp_fin, rst = net::tcp_rst, ack = net::tcp_ack;
constexpr std::optional<Verdict> passes;

net::Endpoint host(uint32_t number, uint16_t port = 53) { return {{0xcb007100 + number}, {port}}; }

class Sessions : public ShardTest {
 protected:
  void SetUp() override {
    remote_ = host(1);
    settings_.slab_path = directory_.file("mappings.0");
    settings_.sessions_path = directory_.file("sessions.0");
  }
  void start_with(Filtering filtering) {
    settings_.policy.filtering = filtering;
    start(settings_);
  }
  void start_again() { start(settings_); }
  const Mapping& record(MappingIndex index) { return (*shard_)[index]; }
  // How a packet of the remote fares.
  void expect_in(MappingIndex index, net::Endpoint remote, std::optional<Verdict> verdict, uint8_t flags = 0) {
    EXPECT_EQ(receive(index, remote, flags), verdict) << net::to_text(remote);
  }

  Directory directory_;
  ShardSettings settings_ = small_settings();
};

TEST_F(Sessions, UDP_016_endpoint_independent_filtering_makes_none) {
  start_with(Filtering::endpoint_independent);
  const MappingIndex index = open(key_of(1, 1));
  for (uint32_t i = 0; i < 100; ++i) {
    EXPECT_EQ(send(index, host(i)), passes);
    expect_in(index, host(i, 9), passes);
  }
  EXPECT_EQ(shard_->sessions_live(), 0U);
}

TEST_F(Sessions, UDP_016_address_dependent_filtering) {
  start_with(Filtering::address_dependent);
  for (const Protocol protocol : {Protocol::udp, Protocol::tcp}) {
    const MappingIndex index = open(key_of(1, 1, protocol));
    const uint8_t flags = protocol == Protocol::tcp ? syn : uint8_t{0};
    EXPECT_EQ(send(index, host(1), flags), passes);
    for (int round = 0; round < 2; ++round) {
      expect_in(index, host(1), passes, flags);
      expect_in(index, host(1, 99), passes, flags);
      expect_in(index, host(3), Verdict::filtered, flags);
      EXPECT_EQ(send(index, host(2), flags), passes);  // now the remotes are in the table
      expect_in(index, host(2, 99), passes, flags);
    }
  }
}

TEST_F(Sessions, UDP_016_address_and_port_dependent_filtering) {
  start_with(Filtering::address_and_port_dependent);
  for (const Protocol protocol : {Protocol::udp, Protocol::tcp, Protocol::icmp}) {
    const uint16_t port = protocol == Protocol::icmp ? 0 : 53;
    remote_ = host(1, port);
    const MappingIndex index = open(key_of(1, 1, protocol));
    for (int round = 0; round < 2; ++round) {
      expect_in(index, host(1, port), passes);
      expect_in(index, host(1, 99), Verdict::filtered);
      expect_in(index, host(3, port), Verdict::filtered);
      EXPECT_EQ(send(index, host(2, port)), passes);
      expect_in(index, host(2, port), passes);
    }
  }
}

TEST_F(Sessions, UDP_016_each_remote_is_let_in_for_its_own_time) {
  start_with(Filtering::address_and_port_dependent);
  const MappingIndex index = open(key_of(1, 1));
  advance(200);
  EXPECT_EQ(send(index, host(2)), passes);
  advance(100);
  expect_in(index, host(1), passes);
  advance(1);
  expect_in(index, host(1), Verdict::filtered);
  expect_in(index, host(2), passes);
}

TEST_F(Sessions, UDP_013_what_is_filtered_keeps_nothing_alive) {
  settings_.policy.timeouts.udp_inbound_refresh = true;
  start_with(Filtering::address_dependent);
  const auto key = key_of(1, 1);
  const MappingIndex index = open(key);
  for (int i = 0; i < 4; ++i) advance(60), expect_in(index, host(2), Verdict::filtered);
  advance(61);
  EXPECT_EQ(find(key), null_mapping);
}

TEST_F(Sessions, UDP_012_inbound_traffic_refreshes_if_it_shall) {
  for (const bool on : {false, true}) {
    settings_.policy.timeouts.udp_inbound_refresh = on;
    start_with(Filtering::endpoint_independent);
    const auto key = key_of(1, on ? 1 : 2);
    const MappingIndex index = open(key);
    for (int i = 0; i < 5 && find(key) == index; ++i) advance(80), expect_in(index, host(2), passes);
    EXPECT_EQ(find(key) == index, on);
  }
}

TEST_F(Sessions, UDP_022_errors_about_known_remotes_pass_whoever_sends_them) {
  start_with(Filtering::address_and_port_dependent);
  const MappingIndex index = open(key_of(1, 1));
  EXPECT_EQ(shard_->admit_inbound_error(index, host(1), now_s_), passes);
  EXPECT_EQ(shard_->admit_inbound_error(index, host(2), now_s_), Verdict::filtered);
  EXPECT_EQ(send(index, host(2)), passes);
  EXPECT_EQ(shard_->admit_inbound_error(index, host(1), now_s_), passes);
  EXPECT_EQ(shard_->admit_inbound_error(index, host(2), now_s_), passes);
}

// RFC 6887 §11: a MAP without FILTER.
TEST_F(Sessions, what_PCP_made_is_open_to_all) {
  start_with(Filtering::address_and_port_dependent);
  command(Command::Verb::open_explicit, key_of(1, 1), 600);
  const MappingIndex index = find(key_of(1, 1));
  expect_in(index, host(7), passes);
  EXPECT_EQ(send(index, host(8)), passes);
  expect_in(index, host(9), passes);
  command(Command::Verb::end_explicit, key_of(1, 1));  // traffic keeps it, and it is like any other now
  expect_in(index, host(8), passes);
  expect_in(index, host(9), Verdict::filtered);
}

TEST_F(Sessions, a_table_without_room_refuses_remotes_and_keeps_the_others) {
  settings_.sessions_max = 20;
  start_with(Filtering::address_and_port_dependent);
  const MappingIndex index = open(key_of(1, 1));
  for (uint32_t i = 2; i <= 20; ++i) EXPECT_EQ(send(index, host(i)), passes);
  EXPECT_EQ(send(index, host(99)), Verdict::session_table_full);
  for (uint32_t i = 1; i <= 20; ++i) {
    expect_in(index, host(i), passes);
    EXPECT_EQ(send(index, host(i)), passes);
  }
  advance(301);
  EXPECT_EQ(shard_->sessions_live(), 0U);
}

// Timing alone is no reason to refuse anybody: the mapping then keeps the long timeout.
TEST_F(Sessions, a_table_without_room_only_lengthens_tcp) {
  settings_.sessions_max = 20;
  start_with(Filtering::endpoint_independent);
  const auto key = key_of(1, 1, Protocol::tcp);
  const MappingIndex index = open(key);
  for (uint32_t i = 1; i <= 40; ++i) EXPECT_EQ(send(index, host(i), syn), passes);
  EXPECT_LE(shard_->sessions_live(), 16U) << "a quarter is for those who need it";
  for (uint32_t i = 1; i <= 40; ++i) EXPECT_EQ(receive(index, host(i), rst), passes);
  advance(7400);
  EXPECT_EQ(find(key), index);
  advance(42);
  EXPECT_EQ(find(key), null_mapping);
}

TEST_F(Sessions, strangers_cannot_fill_the_table) {
  start_with(Filtering::endpoint_independent);
  command(Command::Verb::open_explicit, key_of(1, 1, Protocol::tcp), 600);
  const MappingIndex index = find(key_of(1, 1, Protocol::tcp));
  for (uint32_t i = 0; i < 200; ++i) expect_in(index, host(i), passes, syn);
  EXPECT_EQ(shard_->sessions_live(), 0U);
  EXPECT_EQ(send(index, host(7), syn | ack), passes);  // answered: a connection, established
  EXPECT_EQ(send(index, host(8), syn | ack), passes);
  EXPECT_EQ(shard_->sessions_live(), 2U);
  advance(7000);
  EXPECT_EQ(shard_->sessions_live(), 2U);
}

TEST_F(Sessions, TCP_010_opening_and_closing_have_their_own_timeouts) {
  settings_.policy.timeouts.tcp_opening_s = 30;
  start_with(Filtering::endpoint_independent);
  const auto opening = key_of(1, 1, Protocol::tcp), closing = key_of(1, 2, Protocol::tcp);
  tcp(open(opening), true, syn);
  const MappingIndex index = open(closing);
  tcp(index, true, syn), tcp(index, false, syn | ack), tcp(index, true, fin), tcp(index, false, fin);
  advance(30);
  EXPECT_NE(find(opening), null_mapping);
  advance(1);
  EXPECT_EQ(find(opening), null_mapping);
  advance(209);
  EXPECT_NE(find(closing), null_mapping);
  advance(1);
  EXPECT_EQ(find(closing), null_mapping);
}

TEST_F(Sessions, CGN_011_so_many_sessions_a_mapping) {
  settings_.policy.limits.sessions_per_mapping_max = 100;
  start_with(Filtering::endpoint_independent);
  const MappingIndex index = open(key_of(1, 1)), other = open(key_of(1, 2));
  for (uint32_t i = 2; i <= 100; ++i) EXPECT_EQ(send(index, host(i)), passes);
  EXPECT_EQ(send(index, host(101)), Verdict::session_limit);
  EXPECT_EQ(receive(index, host(102)), Verdict::session_limit);
  for (uint32_t i = 1; i <= 100; ++i) {
    EXPECT_EQ(send(index, host(i)), passes);
    expect_in(index, host(i), passes);
  }
  EXPECT_EQ(send(other, host(101)), passes);
}

TEST_F(Sessions, CGN_011_so_many_sessions_a_subscriber) {
  settings_.policy.limits.sessions_max = 10;
  start_with(Filtering::endpoint_independent);
  for (uint16_t port = 1; port <= 5; ++port) EXPECT_EQ(send(open(key_of(1, port)), host(2)), passes);
  EXPECT_EQ(send(find(key_of(1, 1)), host(3)), Verdict::session_limit);
  EXPECT_EQ(try_open(key_of(1, 6)).error(), Verdict::session_limit);
  EXPECT_TRUE(try_open(key_of(2, 6))) << "another subscriber";
  command(Command::Verb::end_mapping, key_of(1, 5));
  EXPECT_EQ(send(find(key_of(1, 1)), host(3)), passes);
}

TEST_F(Sessions, so_many_sessions_from_outside) {
  settings_.policy.limits.inbound_sessions_max = 3;
  start_with(Filtering::endpoint_independent);
  const MappingIndex index = open(key_of(1, 1));
  for (uint32_t i = 2; i <= 4; ++i) expect_in(index, host(i), passes);
  expect_in(index, host(5), Verdict::inbound_session_limit);
  expect_in(index, host(1), passes);
  EXPECT_EQ(send(index, host(5)), passes);  // asked for
  expect_in(index, host(5), passes);
  advance(301);
  EXPECT_EQ(shard_->sessions_live(), 0U);
}

TEST_F(Sessions, CGN_008_lower_limits_end_nothing) {
  settings_.policy.limits.sessions_max = 10;
  start_with(Filtering::endpoint_independent);
  const MappingIndex index = open(key_of(1, 1));
  for (uint32_t i = 2; i <= 10; ++i) EXPECT_EQ(send(index, host(i)), passes);
  Policy lower = settings_.policy;
  lower.limits.sessions_max = 2;
  shard_->use(lower);
  for (uint32_t i = 1; i <= 10; ++i) expect_in(index, host(i), passes);
  EXPECT_EQ(send(index, host(11)), Verdict::session_limit);
  shard_->use(settings_.policy);
}

TEST_F(Sessions, a_restart_cuts_no_session) {
  for (const Filtering filtering :
       {Filtering::endpoint_independent, Filtering::address_dependent, Filtering::address_and_port_dependent}) {
    start_with(filtering);
    const auto port = static_cast<uint16_t>(filtering);
    const auto key = key_of(1, port, Protocol::tcp), udp = key_of(1, port);
    const MappingIndex index = open(key);
    for (uint32_t i = 1; i <= 5; ++i) {
      EXPECT_EQ(send(index, host(i), syn), passes);
      EXPECT_EQ(receive(index, host(i), syn | ack), passes);
    }
    EXPECT_EQ(receive(index, host(5), rst), passes);
    for (uint32_t i = 1, at = open(udp); i <= 5; ++i) EXPECT_EQ(send(at, host(i)), passes);
    const uint64_t live = shard_->sessions_live();
    start_again();
    EXPECT_EQ(shard_->sessions_live(), live);
    ASSERT_NE(find(key), null_mapping);
    for (uint32_t i = 1; i <= 5; ++i) {
      EXPECT_EQ(receive(find(key), host(i), ack), passes);
      expect_in(find(udp), host(i), passes);
    }
    expect_in(find(key), host(6), filtering == Filtering::endpoint_independent ? passes : Verdict::filtered, syn);
    expect_sound();
    command(Command::Verb::clear_subscriber, key_of(1, 1));
    EXPECT_EQ(shard_->sessions_live(), 0U);
  }
}

TEST_F(Sessions, a_session_without_its_mapping_is_dropped_at_start) {
  start_with(Filtering::address_and_port_dependent);
  const MappingIndex index = open(key_of(1, 1));
  for (uint32_t i = 2; i <= 5; ++i) EXPECT_EQ(send(index, host(i)), passes);
  shard_.reset();
  std::filesystem::remove(settings_.slab_path);
  start_again();
  EXPECT_EQ(shard_->sessions_live(), 0U);
}

// Without its sessions a TCP mapping cannot tell when its connections end.
TEST_F(Sessions, a_mapping_without_its_sessions_lives_long) {
  start_with(Filtering::endpoint_independent);
  const auto key = key_of(1, 1, Protocol::tcp);
  const MappingIndex index = open(key);
  for (uint32_t i = 1; i <= 5; ++i) EXPECT_EQ(send(index, host(i), syn), passes);
  shard_.reset();
  std::filesystem::remove(settings_.sessions_path);
  start_again();
  advance(7000);
  EXPECT_NE(find(key), null_mapping);
}

TEST_F(Sessions, the_mode_may_change_while_it_runs) {
  start_with(Filtering::endpoint_independent);
  const MappingIndex index = open(key_of(1, 1));
  EXPECT_EQ(send(index, host(2)), passes);
  std::array<Policy, 3> modes;
  for (uint8_t i = 0; i < 3; ++i) modes[i] = settings_.policy, modes[i].filtering = Filtering{i};
  for (const int mode : {2, 1, 0, 1, 2}) {
    shard_->use(modes[static_cast<size_t>(mode)]);
    EXPECT_EQ(send(index, host(2)), passes);
    EXPECT_EQ(send(index, host(3)), passes);
    expect_in(index, host(2), passes);
    expect_in(index, host(3), passes);
    expect_in(index, host(2, 1), mode == 2 ? std::optional(Verdict::filtered) : passes);
    expect_in(index, host(9), mode == 0 ? passes : Verdict::filtered);
    expect_sound();
  }
  shard_->use(settings_.policy);
}

}  // namespace
}  // namespace portolan::nat
