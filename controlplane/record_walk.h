// Visits the records that workers write, by copies and a few at a time, so that a long table does not hold the control
// thread.
#pragma once

#include <cstdint>

#include "controlplane/aftr.h"
#include "controlplane/reply.h"

namespace portolan::control {

inline constexpr uint32_t records_per_step = 4096;  // looked at before other work of the thread gets its turn

// Visits the records of all shards, a few at a time, as a RowSource wants them. `fill` may refuse a record.
template <class Read, class Fill>
RowSource walk(const Aftr& aftr, uint32_t (*end_of)(const nat::Shard&), Read read, Fill fill) {
  return [&aftr, end_of, read, fill, worker = size_t{0}, index = uint32_t{1}](Row& row) mutable {
    for (uint32_t steps = 0; steps < records_per_step; ++steps) {
      if (worker == aftr.shards().size()) return Step::end;
      const nat::Shard& shard = *aftr.shards()[worker];
      if (index >= end_of(shard)) {
        ++worker, index = 1;
        continue;
      }
      const auto record = read(shard, index++);
      if (record && fill(row, shard, static_cast<unsigned>(worker), *record)) return Step::row;
    }
    return Step::pause;
  };
}

template <class Fill>
RowSource walk_mappings(const Aftr& aftr, Fill fill) {
  return walk(
      aftr, [](const nat::Shard& shard) { return shard.record_end(); },
      [](const nat::Shard& shard, uint32_t index) { return shard.read(index); }, fill);
}

template <class Fill>
RowSource walk_subscribers(const Aftr& aftr, Fill fill) {
  return walk(
      aftr, [](const nat::Shard& shard) { return shard.subscriber_end(); },
      [](const nat::Shard& shard, uint32_t index) { return shard.read_subscriber(index); }, fill);
}

}  // namespace portolan::control
