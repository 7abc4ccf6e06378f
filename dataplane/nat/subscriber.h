// The subscribers of a shard: who they are (a masked prefix), their one outside address (paired pooling, RFC 6888
// REQ-2) and the port blocks they hold. Rebuilt from the mappings at start; owner: the worker.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "dataplane/nat/bucket_index.h"
#include "dataplane/nat/counter.h"
#include "dataplane/nat/hash.h"
#include "dataplane/nat/record_array.h"
#include "dataplane/nat/zero_pages.h"
#include "dataplane/net/types.h"

namespace portolan::nat {

struct alignas(64) Subscriber {
  static constexpr uint8_t blocks_capacity = 8;
  net::Ipv6 prefix;                                // masked
  net::Ipv6 b4;                                    // the one of his B4s that is served (RFC 7785 §4(1))
  uint32_t local_address = 0;                      // of his outside address, in this shard
  uint32_t mappings = 0;                           // live and held
  std::array<uint32_t, blocks_capacity> blocks{};  // block numbers
  uint32_t live = 0;                               // mappings that have not ended
  uint32_t sessions = 0, inbound_sessions = 0;     // of them all; an inbound one is both
  // For limits over time; 0: never.
  uint32_t b4_moved_s = 0;
  uint32_t opened_s = 0, opened = 0;         // mappings opened in that second
  uint32_t quota_told_s = 0, b4_told_s = 0;  // events of these kinds
  std::array<uint32_t, 5> zero{};
  uint8_t block_count = 0;
  uint8_t in_use = 0;
  uint16_t version = 0;
};
static_assert(sizeof(Subscriber) == 128);

class SubscriberTable {
 public:
  SubscriberTable(uint32_t subscribers_max, const Hasher& hash)
      : memory_(size_t{subscribers_max} + 1),
        records_(memory_.data(), subscribers_max + 1),
        index_(subscribers_max),
        hash_(hash) {
    free_.reserve(subscribers_max);
    for (uint32_t i = subscribers_max; i > 0; --i) free_.push_back(i);
  }

  [[nodiscard]] uint32_t capacity() const { return records_.capacity(); }
  const Subscriber& operator[](uint32_t index) const { return records_[index]; }
  void write(uint32_t index, const Subscriber& subscriber) { records_.write(index, subscriber); }
  template <class Field>
  void set(uint32_t index, Field Subscriber::*field, Field value) {
    records_.set(index, field, value);
  }
  // A count on its own: one store instead of the record's sixteen.
  void add(uint32_t index, uint32_t Subscriber::*count, int by = 1) {
    records_.set(index, count, records_[index].*count + static_cast<uint32_t>(by));
  }
  [[nodiscard]] uint64_t live() const { return live_.read(); }

  // Any thread; none if free.
  [[nodiscard]] std::optional<Subscriber> read(uint32_t index) const {
    auto subscriber = records_.read(index);
    if (subscriber && subscriber->in_use == 0) return std::nullopt;
    return subscriber;
  }

  // 0 if there is none.
  [[nodiscard]] uint32_t find(const net::Ipv6& prefix) const {
    return index_.find(hash_(prefix), [&](uint32_t at) { return records_[at].prefix == prefix; });
  }
  // find() in steps, so that a burst's loads overlap: hash(), prefetch(), then candidate(), whose record is prefetched.
  [[nodiscard]] uint32_t hash(const net::Ipv6& prefix) const { return hash_(prefix); }
  void prefetch(uint32_t hash) const { index_.prefetch(hash); }
  [[nodiscard]] uint32_t candidate(uint32_t hash) const {
    const uint32_t index = index_.candidate(hash);
    const auto* record = reinterpret_cast<const uint8_t*>(&records_[index]);
    for (size_t line = 0; line < sizeof(Subscriber); line += 64) __builtin_prefetch(record + line, 1);
    return index;
  }
  // A new subscriber without blocks; 0 if the table is full.
  uint32_t add(const net::Ipv6& prefix) {
    if (free_.empty() || !index_.insert(hash_(prefix), free_.back())) return 0;
    const uint32_t index = free_.back();
    free_.pop_back();
    Subscriber subscriber;
    subscriber.prefix = prefix;
    subscriber.in_use = 1;
    records_.write(index, subscriber);
    live_.add();
    return index;
  }
  void remove(uint32_t index) {
    index_.erase(hash_(records_[index].prefix), index);
    records_.write(index, Subscriber{});
    free_.push_back(index);
    live_.set(live_.read() - 1);
  }

 private:
  ZeroPages<Subscriber> memory_;
  RecordArray<Subscriber> records_;
  BucketIndex index_;
  const Hasher& hash_;
  std::vector<uint32_t> free_;
  Counter live_;
};

}  // namespace portolan::nat
