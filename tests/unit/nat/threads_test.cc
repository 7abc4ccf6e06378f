// Records under one writer and two readers: what a reader gets is some record the writer wrote, whole. Its own program,
// for ThreadSanitizer (the tsan preset).
#include <atomic>
#include <gtest/gtest.h>
#include <thread>

#include "dataplane/nat/record_array.h"
#include "tests/unit/nat/fixture.h"

namespace portolan::nat {
namespace {

struct alignas(64) Record {  // every word tells the same number
  uint64_t words[7];
  uint32_t low;
  uint16_t mixed;
  uint16_t version;
};
static_assert(sizeof(Record) == 64);

Record record_of(uint32_t number) {
  Record record{};
  for (uint64_t& word : record.words) word = number;
  record.low = number;
  record.mixed = static_cast<uint16_t>(number * 31);
  return record;
}

bool is_whole(const Record& record) {
  for (const uint64_t word : record.words)
    if (word != record.low) return false;
  return record.mixed == static_cast<uint16_t>(record.low * 31);
}

TEST(RecordArray, a_record_left_half_written_is_not_read_and_can_be_written_again) {
  alignas(64) Record memory[2]{};
  RecordArray<Record> records(memory, 2);
  memory[1].version = 7;
  EXPECT_FALSE(records.read(1));
  records.write(1, record_of(5));
  ASSERT_TRUE(records.read(1));
  EXPECT_EQ(records.read(1)->low, 5U);
  EXPECT_EQ(memory[1].version % 2, 0);
}

TEST(RecordArray, readers_never_see_a_torn_record) {
  constexpr uint32_t count = 4, writes = 300'000;
  alignas(64) Record memory[count]{};
  RecordArray<Record> records(memory, count);
  std::atomic<bool> over = false;
  std::atomic<uint64_t> torn = 0, read = 0, backwards = 0;
  const auto reader = [&] {
    uint32_t last[count] = {};
    while (!over.load())
      for (uint32_t at = 0; at < count; ++at) {
        const auto copy = records.read(at);
        if (!copy) continue;
        ++read;
        if (!is_whole(*copy)) ++torn;
        if (copy->low < last[at]) ++backwards;
        last[at] = copy->low;
      }
  };
  std::thread one(reader), other(reader);
  for (uint32_t number = 1; number <= writes || read.load() == 0; ++number)
    records.write(number % count, record_of(number));
  over = true;
  one.join(), other.join();
  EXPECT_EQ(torn.load(), 0U);
  EXPECT_EQ(backwards.load(), 0U);
  EXPECT_GT(read.load(), 0U);
}

// The whole shard at work, read as `show mappings` does.
TEST(Shard, any_thread_reads_while_the_worker_works) {
  auto shard = Shard::open(small_settings(), start_s).value();
  std::atomic<bool> over = false;
  std::atomic<uint64_t> read = 0, wrong = 0;
  const auto reader = [&] {
    while (!over.load()) {
      for (MappingIndex index = 1; index < shard->record_end(); ++index) {
        const auto mapping = shard->read(index);
        if (!mapping) continue;
        ++read;
        const bool plausible = shard->policy().pool.number_of(mapping->outside_address).has_value() &&
                               mapping->inside_port >= net::Port{1000} && mapping->inside_port < net::Port{1200} &&
                               mapping->protocol == net::Protocol::udp && shard->due_s(*mapping) > start_s;
        if (!plausible) ++wrong;
      }
      for (uint32_t index = 1; index < shard->subscriber_end(); ++index)
        if (const auto subscriber = shard->read_subscriber(index))
          if (subscriber->prefix != net::masked(subscriber->prefix, 56)) ++wrong;
      wrong += shard->blocks_free() > shard->blocks_total() ? 1 : 0;
    }
  };
  std::thread one(reader), other(reader);
  uint32_t now_s = start_s;
  for (uint32_t i = 0; i < 60'000 || read.load() == 0; ++i) {
    const auto key = key_of(i % 7, static_cast<uint16_t>(1000 + i % 200));
    const uint32_t hash = shard->hash(key);
    const MappingIndex index = shard->find(key, hash);
    if (index == null_mapping)
      static_cast<void>(shard->open_mapping(key, hash, b4_of(i % 7), 0, {}, now_s));
    else if (i % 3 == 0)
      static_cast<void>(shard->admit_outbound(index, b4_of(i % 7), static_cast<uint8_t>(i % 2), {}, 0, now_s));
    if (i % 50 == 0) shard->expire(now_s += 7, 100);
  }
  over = true;
  one.join(), other.join();
  EXPECT_EQ(wrong.load(), 0U);
}

}  // namespace
}  // namespace portolan::nat
