// The index against std::unordered_map, and at its edges: overflow, erasure, fill.
#include "dataplane/nat/bucket_index.h"

#include <gtest/gtest.h>
#include <random>
#include <unordered_map>
#include <vector>

namespace portolan::nat {
namespace {

// An index whose "records" are the hashes they were entered under.
class Records {
  BucketIndex index_;
  std::vector<uint32_t> hashes_;

 public:
  explicit Records(uint32_t entries_max) : index_(entries_max), hashes_(entries_max + 1) {}
  bool insert(uint32_t hash, uint32_t at) { return hashes_[at] = hash, index_.insert(hash, at); }
  bool erase(uint32_t at) { return index_.erase(hashes_[at], at); }
  [[nodiscard]] bool finds(uint32_t at) const {
    return index_.find(hashes_[at], [at](uint32_t found) { return found == at; }) == at;
  }
  // Whether a miss goes on to entries of later buckets.
  [[nodiscard]] bool asks_beyond_home(uint32_t hash) const {
    bool asked = false;
    return index_.find(hash, [&asked](uint32_t) { return asked = true; }) != BucketIndex::none || asked;
  }
  [[nodiscard]] size_t entries() const {
    size_t count = 0;
    for (size_t bucket = 0; bucket < index_.buckets(); ++bucket)
      index_.for_each_in(bucket, [&count](uint32_t) { ++count; });
    return count;
  }
};

TEST(BucketIndex, finds_only_what_the_caller_confirms) {
  BucketIndex index(100);
  ASSERT_TRUE(index.insert(7, 1));
  ASSERT_TRUE(index.insert(7, 2));  // the same hash, another key
  EXPECT_EQ(index.find(7, [](uint32_t at) { return at == 2; }), 2U);
  EXPECT_EQ(index.find(7, [](uint32_t) { return false; }), BucketIndex::none);
  EXPECT_EQ(index.find(8, [](uint32_t) { return true; }), BucketIndex::none);
  EXPECT_NE(index.candidate(7), BucketIndex::none);
  EXPECT_EQ(index.candidate(8), BucketIndex::none);
}

TEST(BucketIndex, the_tag_saves_confirmations) {
  BucketIndex index(100);
  ASSERT_TRUE(index.insert(0x0001'0000, 1));  // same bucket, other tag
  bool asked = false;
  EXPECT_EQ(index.find(0x0002'0000, [&asked](uint32_t) { return asked = true; }), BucketIndex::none);
  EXPECT_FALSE(asked);
}

TEST(BucketIndex, one_hash_overflows_into_the_next_buckets_until_none_is_in_reach) {
  Records records(1000);
  uint32_t count = 0;
  while (count < 1000 && records.insert(5, count + 1)) ++count;
  EXPECT_EQ(count, BucketIndex::probes_max * BucketIndex::entries_per_bucket);
  EXPECT_EQ(records.entries(), count);
  for (uint32_t at = 1; at <= count; ++at) ASSERT_TRUE(records.finds(at)) << at;
  EXPECT_FALSE(records.finds(count + 1));
}

// An erased overflow entry takes its marks with it: afterwards a miss ends in the home bucket again.
TEST(BucketIndex, erase_restores_what_was_passed_over) {
  Records records(1000);
  for (uint32_t at = 1; at <= 200; ++at) ASSERT_TRUE(records.insert(5, at));
  ASSERT_TRUE(records.insert(5 + (1U << 16), 201));  // another tag, overflowed the same way
  for (uint32_t at = 1; at <= 200; ++at) {
    ASSERT_TRUE(records.erase(at));
    ASSERT_FALSE(records.erase(at)) << "twice";
    ASSERT_TRUE(records.finds(201)) << "lost behind a hole";
  }
  ASSERT_TRUE(records.erase(201));
  EXPECT_EQ(records.entries(), 0U);
  ASSERT_TRUE(records.insert(6, 202));  // at home in the next bucket, with the same tag
  EXPECT_FALSE(records.asks_beyond_home(5));
  ASSERT_TRUE(records.erase(202));
  for (uint32_t at = 1; at <= BucketIndex::probes_max * BucketIndex::entries_per_bucket; ++at)
    ASSERT_TRUE(records.insert(5, at)) << at;  // and everything has room again
}

TEST(BucketIndex, takes_what_it_was_made_for_whatever_the_hashes) {
  for (const uint32_t entries_max : {1U, 9U, 100U, 12'345U, 1'000'000U}) {
    Records records(entries_max);
    std::mt19937 random(entries_max);
    for (uint32_t at = 1; at <= entries_max; ++at)
      ASSERT_TRUE(records.insert(static_cast<uint32_t>(random()), at)) << at << " of " << entries_max;
    for (uint32_t at = 1; at <= entries_max; ++at) ASSERT_TRUE(records.finds(at));
  }
}

// Beyond what it was made for, towards 95 % of its slots: some find no room in reach and leave no trace, all others are
// found.
TEST(BucketIndex, right_towards_95_percent_of_its_slots) {
  constexpr uint32_t slots = 4096 * BucketIndex::entries_per_bucket, entries = slots / 100 * 95;
  BucketIndex index(slots / 2 - 5);  // 4096 buckets
  std::mt19937 random(95);
  std::vector<uint32_t> hashes(entries + 1);
  std::vector<bool> entered(entries + 1);
  for (uint32_t at = 1; at <= entries; ++at) {
    hashes[at] = static_cast<uint32_t>(random());
    entered[at] = index.insert(hashes[at], at);
    ASSERT_TRUE(entered[at] || at > slots / 100 * 85) << at;
  }
  for (uint32_t at = 1; at <= entries; ++at)
    ASSERT_EQ(index.find(hashes[at], [at](uint32_t found) { return found == at; }),
              entered[at] ? at : BucketIndex::none);
}

TEST(BucketIndex, a_million_random_operations_equal_unordered_map) {
  constexpr uint32_t records_max = 20'000;
  BucketIndex index(records_max);
  std::unordered_map<uint32_t, uint32_t> model;  // index -> hash
  std::mt19937 random(6);
  for (int i = 0; i < 1'000'000; ++i) {
    const auto at = static_cast<uint32_t>(random() % records_max + 1);
    const auto entry = model.find(at);
    if (entry == model.end()) {
      const auto hash = static_cast<uint32_t>(random() & 0xffff'03ff);  // crowded: a quarter of the buckets
      ASSERT_EQ(index.find(hash, [at](uint32_t found) { return found == at; }), BucketIndex::none);
      if (random() % 2 != 0 && index.insert(hash, at)) model.emplace(at, hash);
      continue;
    }
    ASSERT_EQ(index.find(entry->second, [at](uint32_t found) { return found == at; }), at);
    if (random() % 2 == 0) continue;
    ASSERT_TRUE(index.erase(entry->second, at));
    model.erase(entry);
  }
  EXPECT_GT(model.size(), records_max / 4);
  size_t entries = 0;
  for (size_t bucket = 0; bucket < index.buckets(); ++bucket)
    index.for_each_in(bucket, [&](uint32_t at) {
      ++entries;
      EXPECT_TRUE(model.contains(at));
    });
  EXPECT_EQ(entries, model.size());
}

}  // namespace
}  // namespace portolan::nat
