// Who may send in through those mappings whose clients said so (RFC 6887 §13.3). It lies beside the slab, keyed by the
// record's number; what it holds is PCP's to bring back after a restart. Bounded; owner and only user: the worker.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "dataplane/nat/bucket_index.h"
#include "dataplane/nat/command.h"
#include "dataplane/nat/hash.h"
#include "dataplane/nat/mapping.h"
#include "dataplane/nat/zero_pages.h"

namespace portolan::nat {

class FilterTable {
 public:
  FilterTable(uint32_t mappings_max, const Hasher& hash)
      : rows_(size_t{mappings_max} + 1), index_(mappings_max), hash_(hash) {
    free_.reserve(mappings_max);
    for (uint32_t row = mappings_max; row > 0; --row) free_.push_back(row);
  }

  // The mapping's list is this one from now on, with no packet in between. False: no room, and nothing has changed.
  bool set(MappingIndex mapping, const FilterList& list) {
    uint32_t row = find(mapping);
    if (row == BucketIndex::none) {
      if (free_.empty() || !index_.insert(hash_of(mapping), free_.back())) return false;
      row = free_.back();
      free_.pop_back();
    }
    rows_[row] = {mapping, list};
    return true;
  }
  void remove(MappingIndex mapping) {
    const uint32_t row = find(mapping);
    if (row == BucketIndex::none) return;
    index_.erase(hash_of(mapping), row);
    rows_[row] = {};
    free_.push_back(row);
  }
  // False too for a mapping without a list: one that lost it lets nobody in.
  [[nodiscard]] bool has(MappingIndex mapping, net::Endpoint remote) const {
    const uint32_t row = find(mapping);
    if (row == BucketIndex::none) return false;
    const FilterList& list = rows_[row].list;
    return std::any_of(list.filters.begin(), list.filters.begin() + list.count,
                       [&](const RemoteFilter& filter) { return filter.fits(remote); });
  }

 private:
  struct Row {
    MappingIndex mapping;
    FilterList list;
  };
  [[nodiscard]] uint32_t hash_of(MappingIndex mapping) const { return hash_(uint64_t{mapping}); }
  [[nodiscard]] uint32_t find(MappingIndex mapping) const {
    return index_.find(hash_of(mapping), [&](uint32_t row) { return rows_[row].mapping == mapping; });
  }

  ZeroPages<Row> rows_;  // 0 is never used
  BucketIndex index_;
  std::vector<uint32_t> free_;
  const Hasher& hash_;
};

}  // namespace portolan::nat
