// Brings what shards tell of explicit mappings into the feed. A shard only says which record to look at, so nothing
// depends on the order or number of its words, and where some were lost all records are looked at, a few each turn.
// Owner: the control thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "controlplane/mapping_feed.h"
#include "dataplane/nat/shard.h"

namespace portolan::control {

class FeedSource {
 public:
  FeedSource(MappingFeed& feed, unsigned subscriber_prefix_length, unsigned plain_prefix_length)
      : feed_(feed), subscriber_prefix_length_(subscriber_prefix_length), plain_prefix_length_(plain_prefix_length) {}

  // How many records were looked at; those of the table as it was at the start come first.
  size_t drain(std::span<const std::unique_ptr<nat::Shard>> shards) {
    if (progress_.empty()) progress_.resize(shards.size());
    size_t looked_at = 0, finished = 0;
    for (size_t worker = 0; worker < shards.size(); ++worker) {
      Progress& progress = progress_[worker];
      nat::Shard& shard = *shards[worker];
      if (const uint64_t lost = shard.explicit_changes_lost(); lost != progress.lost) progress = {1, lost, {}};
      std::array<nat::MappingIndex, changes_per_turn> changed;
      const size_t count = shard.take_explicit_changes(changed);
      for (const auto index : std::exchange(progress.again, {}))
        if (!look(shard, worker, index)) progress.again.push_back(index);
      for (const auto index : std::span(changed).first(count))
        if (!look(shard, worker, index)) progress.again.push_back(index);
      looked_at += count;
      for (uint32_t i = 0; i < records_per_turn && progress.next < shard.record_end(); ++i, ++looked_at) {
        if (!look(shard, worker, progress.next)) break;
        ++progress.next;
      }
      if (progress.next >= shard.record_end()) ++finished;
    }
    if (finished == shards.size() && !complete_) {
      complete_ = true;
      feed_.complete();
    }
    return looked_at;
  }

 private:
  static constexpr size_t changes_per_turn = 256;
  static constexpr uint32_t records_per_turn = 4096;
  struct Progress {  // of the look at all records of a shard
    nat::MappingIndex next = 1;
    uint64_t lost = 0;
    std::vector<nat::MappingIndex> again;  // their worker was writing them, and may have been put to sleep at it
  };

  // False: not now.
  bool look(const nat::Shard& shard, size_t worker, nat::MappingIndex index) {
    const auto place = MappingFeed::Place{worker} << 32 | index;
    const auto record = shard.read(index);
    using nat::Mapping;
    if (!record && !shard.is_known_free(index)) return false;
    if (!record || record->has(Mapping::held) || !record->has(Mapping::explicit_life)) return feed_.remove(place), true;
    const unsigned length = record->has(Mapping::plain) ? 96 + plain_prefix_length_ : subscriber_prefix_length_;
    feed_.put(place, {net::masked(record->b4, length), record->inside(), record->outside(), record->protocol});
    return true;
  }

  MappingFeed& feed_;
  const unsigned subscriber_prefix_length_, plain_prefix_length_;
  std::vector<Progress> progress_;
  bool complete_ = false;
};

}  // namespace portolan::control
