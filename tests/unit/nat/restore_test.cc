// A process ends anyhow, the next finds every translation; and what the file got wrong is dropped, never believed.
#include <fcntl.h>
#include <fstream>
#include <set>

#include "tests/unit/nat/fixture.h"

namespace portolan::nat {
namespace {

using net::Protocol;

class Restore : public ShardTest {
 protected:
  Restore() { settings_.slab_path = directory_.file("worker-0.slab"); }

  void fill() {
    start(settings_);
    for (uint32_t subscriber = 1; subscriber <= 20; ++subscriber)
      for (uint16_t port = 0; port < 70; ++port)
        open(key_of(subscriber, port, port % 2 != 0 ? Protocol::udp : Protocol::tcp));
  }
  // Writes straight into the records of a shard that is not running, as a fault would.
  template <class Damage>
  void damage(Damage apply) {
    shard_.reset();
    auto slab = Slab::open(settings_.slab_path, 1);
    ASSERT_TRUE(slab) << slab.error();
    apply(*slab);
  }
  // The first record in use after `index`.
  static MappingIndex next_used(const Slab& slab, MappingIndex index) {
    do ++index;
    while (!slab[index].has(Mapping::in_use));
    return index;
  }
  [[nodiscard]] uint64_t dropped() const { return shard_->counters().dropped_at_restore.read(); }

  Directory directory_;
  ShardSettings settings_ = small_settings();
};

// Shows CGN-015, PCP-202.
TEST_F(Restore, after_a_kill_every_mapping_is_there) {
  fill();
  std::vector<std::pair<OutboundKey, net::Endpoint>> before;
  for (uint32_t subscriber = 1; subscriber <= 20; ++subscriber)
    for (uint16_t port = 0; port < 70; ++port) {
      const auto key = key_of(subscriber, port, port % 2 != 0 ? Protocol::udp : Protocol::tcp);
      before.emplace_back(key, outside(find(key)));
    }
  const auto blocks = shard_->blocks_free();
  start(settings_);
  EXPECT_EQ(shard_->counters().restored.read(), before.size());
  EXPECT_EQ(dropped(), 0U);
  EXPECT_EQ(shard_->blocks_free(), blocks);
  EXPECT_EQ(shard_->subscribers_live(), 20U);
  for (const auto& [key, endpoint] : before) {
    const MappingIndex index = find(key);
    ASSERT_NE(index, null_mapping);
    EXPECT_EQ(outside(index), endpoint);
    EXPECT_EQ(find_inbound((*shard_)[index]), index);
  }
  expect_sound();
  std::set<net::Endpoint> endpoints;
  for (const auto& [key, endpoint] : before)
    if (key.protocol == Protocol::udp) endpoints.insert(endpoint);
  for (uint32_t subscriber = 1; subscriber <= 20; ++subscriber)
    for (uint16_t port = 100; port < 110; ++port)
      EXPECT_TRUE(endpoints.insert(outside(open(key_of(subscriber, port)))).second)
          << "an endpoint in use was given out";
}

TEST_F(Restore, timers_go_on) {
  start(settings_);
  open(key_of(1, 1));
  command(Command::Verb::open_explicit, key_of(1, 2), 1000);
  now_s_ += 200;
  start(settings_);
  advance(100);
  EXPECT_NE(find(key_of(1, 1)), null_mapping);
  advance(1);
  EXPECT_EQ(find(key_of(1, 1)), null_mapping);
  advance(699);
  EXPECT_NE(find(key_of(1, 2)), null_mapping);
  advance(1);
  EXPECT_EQ(find(key_of(1, 2)), null_mapping);
}

TEST_F(Restore, what_ended_while_nobody_looked_ends_at_once) {
  fill();
  now_s_ += 10'000;
  start(settings_);
  advance(1);
  EXPECT_EQ(shard_->mappings_live(), 0U);
  advance(121);
  EXPECT_EQ(shard_->subscribers_live(), 0U);
}

TEST_F(Restore, CGN_015_ports_at_rest_stay_at_rest) {
  settings_.policy.pool = {{*net::parse_ipv4_prefix("192.0.2.1/32")}, {2048, 2111}, 64, 1};
  start(settings_);
  for (uint16_t port = 0; port < 64; ++port) open(key_of(1, port));
  command(Command::Verb::end_mapping, key_of(1, 7));
  advance(60);
  start(settings_);
  EXPECT_EQ(shard_->mappings_held(), 1U);
  EXPECT_FALSE(try_open(key_of(1, 100)));
  advance(60);
  EXPECT_FALSE(try_open(key_of(1, 100)));
  advance(1);
  EXPECT_TRUE(try_open(key_of(1, 100)));
}

// A kill in the middle of a write leaves an odd version: that record alone is lost.
// The machine rebooted: its clock began anew, and the file lies on a disk.
TEST_F(Restore, CGN_015_ports_of_before_a_reboot_rest_and_are_their_owners_to_ask_for) {
  fill();
  const auto mine = key_of(1, 1), lost = key_of(2, 1);
  const net::Endpoint had = outside(find(mine)), others = outside(find(lost));
  shard_.reset();
  std::fstream file(settings_.slab_path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(24) << "another boot";
  file.close();
  now_s_ = 40;
  start(settings_);
  EXPECT_EQ(shard_->mappings_live(), 0U);
  EXPECT_EQ(shard_->mappings_held(), 20U * 70);
  EXPECT_EQ(command(Command::Verb::open_explicit, key_of(3, 900), 600, others, true).status,
            CommandResult::Status::not_available);
  const auto again = command(Command::Verb::open_explicit, mine, 600, had, true);
  EXPECT_EQ(again.status, CommandResult::Status::done) << "as a PCP server with a store does";
  EXPECT_EQ(outside(open(key_of(2, 901))).address, others.address) << "and he has his address";
  expect_sound();
  advance_slowly(79);  // up for 119 s
  EXPECT_EQ(shard_->mappings_held(), 20U * 70 - 1);
  advance_slowly(4);
  EXPECT_EQ(shard_->mappings_held(), 0U);
  EXPECT_NE(find(mine), null_mapping);
}

TEST_F(Restore, CGN_015_what_nobody_remembers_is_waited_for_if_the_operator_says_so) {
  settings_.policy.hold_after_boot_s = 120;
  now_s_ = 119;
  start(settings_);
  EXPECT_EQ(try_open(key_of(1, 1)).error(), Verdict::boot_hold);
  EXPECT_EQ(command(Command::Verb::open_explicit, key_of(1, 2), 600).status, CommandResult::Status::done);
  advance(1);
  EXPECT_TRUE(try_open(key_of(1, 1)));
}

TEST_F(Restore, a_half_written_record_is_dropped) {
  fill();
  const auto before = shard_->mappings_live();
  const std::string copy = directory_.file("copy.slab");
  MappingIndex torn = null_mapping;
  damage([&](Slab& slab) {
    torn = next_used(slab, 100);
    slab.set(torn, &Mapping::version, static_cast<uint16_t>(slab[torn].version | 1));
  });
  std::filesystem::copy(settings_.slab_path, copy);
  settings_.slab_path = copy;
  start(settings_);
  EXPECT_EQ(dropped(), 1U);
  EXPECT_EQ(shard_->mappings_live(), before - 1);
  EXPECT_FALSE(shard_->read(torn)) << "free, and readable as such";
  expect_sound();
}

TEST_F(Restore, of_two_records_with_one_outside_endpoint_one_is_restored) {
  fill();
  const auto before = shard_->mappings_live();
  damage([&](Slab& slab) {
    const MappingIndex one = next_used(slab, 0), free_one = slab.capacity() - 1;
    ASSERT_FALSE(slab[free_one].has(Mapping::in_use));
    Mapping twin = slab[one];
    twin.inside_port = {60'000};
    slab.write(free_one, twin);
  });
  start(settings_);
  EXPECT_EQ(dropped(), 1U);
  EXPECT_EQ(shard_->mappings_live(), before);
}

TEST_F(Restore, of_two_records_with_one_inside_endpoint_one_is_restored) {
  start(settings_);
  open(key_of(1, 1)), open(key_of(1, 2));
  damage([&](Slab& slab) {
    const MappingIndex one = next_used(slab, 0), other = next_used(slab, one);
    Mapping twin = slab[other];
    twin.inside_port = slab[one].inside_port;
    slab.write(other, twin);
  });
  start(settings_);
  EXPECT_EQ(dropped(), 1U);
  EXPECT_EQ(shard_->mappings_live(), 1U);
}

TEST_F(Restore, a_record_in_another_subscribers_block_is_dropped) {
  start(settings_);
  const net::Endpoint first = outside(open(key_of(1, 1)));
  open(key_of(2, 1));
  damage([&](Slab& slab) {
    MappingIndex index = next_used(slab, 0);
    if (slab[index].outside() == first) index = next_used(slab, index);
    Mapping moved = slab[index];
    moved.outside_address = first.address;
    moved.outside_port = {static_cast<uint16_t>(first.port.number ^ 1)};
    slab.write(index, moved);
  });
  start(settings_);
  EXPECT_EQ(dropped(), 1U);
  EXPECT_EQ(shard_->subscribers_live(), 1U);
}

TEST_F(Restore, nonsense_is_dropped) {
  start(settings_);
  open(key_of(1, 1));
  Mapping good;
  damage([&](Slab& slab) { good = slab[next_used(slab, 0)]; });
  const auto with = [&](auto change) {
    Mapping record = good;
    record.inside_port = {999};
    change(record);
    return record;
  };
  const std::vector<Mapping> bad{with([](Mapping& m) { m.protocol = Protocol::sctp; }),
                                 with([](Mapping& m) { m.outside_address = net::Ipv4{0x08080808}; }),
                                 with([](Mapping& m) { m.outside_port = {80}; }),
                                 with([](Mapping& m) { m.outside_port = {5350}; })};
  damage([&](Slab& slab) {
    for (MappingIndex i = 0; i < bad.size(); ++i) slab.write(slab.capacity() - 1 - i, bad[i]);
  });
  start(settings_);
  EXPECT_EQ(dropped(), bad.size());
  EXPECT_EQ(shard_->mappings_live(), 1U);
}

TEST_F(Restore, what_no_shard_writes_is_dropped) {
  fill();
  const auto before = shard_->mappings_live();
  damage([&](Slab& slab) {
    const MappingIndex one = next_used(slab, 0), other = next_used(slab, one);
    slab.set(one, &Mapping::flags, static_cast<uint8_t>(slab[one].flags | Mapping::held));  // alive and at rest
    slab.set(other, &Mapping::tcp_state, TcpState{8});
  });
  start(settings_);
  EXPECT_EQ(dropped(), 2U);
  EXPECT_EQ(shard_->mappings_live(), before - 2);
  advance(10'000);
  expect_sound();
}

TEST_F(Restore, a_pool_taken_away_takes_its_mappings) {
  settings_.policy.pool = {{*net::parse_ipv4_prefix("192.0.2.0/32")}, {2048, 4095}, 64, 1};
  start(settings_);
  open(key_of(1, 1));
  settings_.policy.pool = {{*net::parse_ipv4_prefix("192.0.2.1/32")}, {2048, 4095}, 64, 1};
  start(settings_);
  EXPECT_EQ(dropped(), 1U);
  EXPECT_EQ(shard_->mappings_live(), 0U);
  EXPECT_EQ(shard_->subscribers_live(), 0U);
}

// Shows CGN-008.
TEST_F(Restore, a_lower_quota_ends_nothing) {
  start(settings_);
  for (uint16_t port = 0; port < 200; ++port) open(key_of(1, port));
  settings_.policy.limits.blocks_per_subscriber_max = 1;
  start(settings_);
  EXPECT_EQ(shard_->mappings_live(), 200U);
}

// The audit must see a fault that comes up at run time: a record changed behind the indexes' back.
TEST_F(Restore, the_audit_finds_a_planted_contradiction) {
  fill();
  const MappingIndex index = find(key_of(1, 1));
  const auto& shared = (*shard_)[index];
  const uint16_t port = shared.outside_port.number;
  const auto plant_port = [&](uint16_t value) {  // the slab is mapped shared: another mapping of the file is seen
    const int file = ::open(settings_.slab_path.c_str(), O_RDWR | O_CLOEXEC);
    const net::be16 bytes(value);
    const auto at = static_cast<off_t>(4096 + index * sizeof(Mapping) + offsetof(Mapping, outside_port));
    EXPECT_EQ(pwrite(file, &bytes, sizeof bytes, at), 2);
    close(file);
  };
  plant_port(static_cast<uint16_t>(port ^ 32));
  std::vector<std::string> findings;
  EXPECT_GT(shard_->audit(findings), 0U);
  ASSERT_FALSE(findings.empty());
  EXPECT_NE(findings.front().find("record " + std::to_string(index)), std::string::npos) << findings.front();
  plant_port(port);
}

TEST_F(Restore, NAT44_plain_subscribers_are_found_again) {
  start(settings_);
  const net::Ipv4 inside{0x64400007};
  const OutboundKey key{net::mapped(inside), inside, {5000}, Protocol::udp, 0};
  const auto made = shard_->open_mapping(key, shard_->hash(key), net::mapped(inside), 0, remote_, now_s_);
  ASSERT_TRUE(made);
  const auto endpoint = outside(*made);
  start(settings_);
  ASSERT_NE(find(key), null_mapping);
  EXPECT_EQ(outside(find(key)), endpoint);
  settings_.plain_prefix_length = 24;  // the same host, now of another subscriber
  start(settings_);
  EXPECT_EQ(find(key), null_mapping);
  const OutboundKey wider{net::masked(net::mapped(inside), 120), inside, {5000}, Protocol::udp, 0};
  ASSERT_NE(find(wider), null_mapping);
  EXPECT_EQ(outside(find(wider)), endpoint);
}

}  // namespace
}  // namespace portolan::nat
