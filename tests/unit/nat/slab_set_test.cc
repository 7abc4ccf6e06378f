// What a start finds: other numbers of workers, another pool, files that cannot be read, a move cut short.
#include "dataplane/nat/slab_set.h"

#include <fstream>
#include <map>

#include "tests/unit/nat/fixture.h"

namespace portolan::nat {
namespace {

using Key = std::pair<uint32_t, uint16_t>;  // subscriber, inside port

class SlabSetTest : public testing::Test {
 protected:
  // A start with so many workers and this pool; the shards of the start before are gone.
  void start(unsigned workers, const char* prefix = "192.0.2.0/28") {
    shards_.clear();
    said_.clear();
    const SlabSet files{directory_.file("."), workers, 56, 32};
    const Pool pool({*net::parse_ipv4_prefix(prefix)}, {2048, 4095}, 64, workers);
    const auto ready = files.prepare(pool, [this](std::string_view line) { said_ += std::string(line) + "\n"; });
    ASSERT_TRUE(ready) << ready.error();
    pool_ = *ready;
    for (unsigned worker = 0; worker < workers; ++worker) {
      ShardSettings settings = small_settings();
      settings.worker = worker;
      settings.workers = workers;
      settings.policy.pool = pool_;
      settings.slab_path = files.mappings_path(worker);
      settings.sessions_path = files.sessions_path(worker);
      auto shard = Shard::open(settings, start_s);
      ASSERT_TRUE(shard) << shard.error();
      shards_.push_back(std::move(*shard));
      std::vector<std::string> findings;
      EXPECT_EQ(shards_.back()->audit(findings), 0U) << findings.front();
    }
  }
  Shard& owner(uint32_t subscriber) { return *shards_[pool_.owner_of(key_of(subscriber, 1).subscriber)]; }
  void open_some(uint32_t subscribers, uint16_t ports) {
    for (uint32_t subscriber = 0; subscriber < subscribers; ++subscriber)
      for (uint16_t port = 1; port <= ports; ++port) {
        const auto key = key_of(subscriber, port);
        Shard& shard = owner(subscriber);
        const auto made = shard.open_mapping(key, shard.hash(key), b4_of(subscriber), 0, {{0xc6336409}, {53}}, start_s);
        ASSERT_TRUE(made);
        endpoints_[{subscriber, port}] = shard[*made].outside();
      }
  }
  // Every mapping is where its packets of both directions will look, with its outside endpoint.
  void expect_all() {
    for (const auto& [at, outside] : endpoints_) {
      const auto key = key_of(at.first, at.second);
      Shard& shard = owner(at.first);
      const MappingIndex index = shard.find(key, shard.hash(key));
      ASSERT_NE(index, null_mapping) << "subscriber " << at.first;
      EXPECT_EQ(shard[index].outside(), outside);
      const auto number = pool_.number_of(outside.address);
      ASSERT_TRUE(number);
      EXPECT_EQ(shards_[pool_.owner(*number, outside.port)].get(), &shard);
      EXPECT_EQ(shard.find_inbound(*number, key.protocol, outside.port), index);
    }
    uint64_t live = 0;
    for (const auto& shard : shards_) live += shard->mappings_live();
    EXPECT_EQ(live, endpoints_.size());
  }
  bool is_there(const std::string& name) { return std::filesystem::exists(directory_.file(name.c_str())); }

  Directory directory_;
  Pool pool_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::map<Key, net::Endpoint> endpoints_;
  std::string said_;
};

TEST_F(SlabSetTest, CGN_015_any_number_of_workers_takes_over_what_any_other_had) {
  start(2);
  open_some(40, 3);
  for (const unsigned workers : {2U, 3U, 1U, 8U, 4U}) {
    start(workers);
    SCOPED_TRACE(std::to_string(workers) + " workers");
    expect_all();
    EXPECT_FALSE(is_there("mappings." + std::to_string(workers)));
  }
}

TEST_F(SlabSetTest, addresses_shared_between_workers_too) {
  start(1, "192.0.2.0/31");
  open_some(12, 3);
  for (const unsigned workers : {4U, 3U, 1U, 8U, 2U}) {
    start(workers, "192.0.2.0/31");
    SCOPED_TRACE(std::to_string(workers) + " workers");
    expect_all();
  }
}

TEST_F(SlabSetTest, another_pool_ends_what_it_does_not_hold_and_nothing_else) {
  start(4);
  open_some(40, 2);
  start(2, "192.0.2.0/29");
  const net::Ipv4Prefix kept = *net::parse_ipv4_prefix("192.0.2.0/29");
  std::erase_if(endpoints_, [&](const auto& each) { return !net::contains(kept, each.second.address); });
  ASSERT_FALSE(endpoints_.empty());
  expect_all();
}

TEST_F(SlabSetTest, a_file_that_cannot_be_read_is_moved_aside_and_the_others_are_used) {
  start(2);
  open_some(20, 2);
  shards_.clear();
  std::ofstream(directory_.file("mappings.1"), std::ios::in | std::ios::out) << "damaged!";
  std::erase_if(endpoints_,
                [&](const auto& each) { return pool_.owner_of(key_of(each.first.first, 1).subscriber) == 1; });
  ASSERT_FALSE(endpoints_.empty());
  start(2);
  expect_all();
  EXPECT_TRUE(is_there("mappings.1.refused.1"));
  EXPECT_NE(said_.find("is not a mapping slab; moved to"), said_.npos) << said_;
  start(2);
  EXPECT_EQ(said_, "") << "told once";
}

TEST_F(SlabSetTest, a_move_cut_short_is_undone_before_its_mark_and_finished_after_it) {
  start(2);
  open_some(20, 2);
  shards_.clear();
  std::filesystem::copy(directory_.file("mappings.0"), directory_.file("mappings.5.new"));  // some of the new files
  start(2);
  EXPECT_FALSE(is_there("mappings.5.new"));
  expect_all();

  shards_.clear();  // as if all were written for three workers, and one had taken its place
  const auto move = [&](const char* from, const char* to) {
    std::filesystem::rename(directory_.file(from), directory_.file(to));
  };
  move("mappings.0", "mappings.0.new");
  move("mappings.1", "mappings.1.new");
  std::ofstream(directory_.file("mappings.1")) << "old";
  std::ofstream(directory_.file("mappings.7")) << "old";
  std::ofstream(directory_.file("moving")) << 2;
  start(3);
  EXPECT_FALSE(is_there("moving") || is_there("mappings.7"));
  expect_all();
}

TEST_F(SlabSetTest, files_in_use_are_left_alone) {
  start(2);
  open_some(5, 1);
  const SlabSet files{directory_.file("."), 3, 56, 32};
  const auto refused = files.prepare(pool_, [](std::string_view) {});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().find("in use by another portoland"), refused.error().npos);
  expect_all();
}

}  // namespace
}  // namespace portolan::nat
