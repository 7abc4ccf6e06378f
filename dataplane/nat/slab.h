// The mapping records in a file that outlives the process, and the list of free ones. The file holds no pointers: a
// header page, then the records; record 0 is never used. Owner and only writer: the shard's worker; any thread may
// read().
#pragma once

#include <cstdint>
#include <string>

#include "dataplane/nat/mapping.h"
#include "dataplane/nat/record_array.h"
#include "dataplane/net/result.h"

namespace portolan::nat {

class Slab {
 public:
  static constexpr uint32_t layout_version = 1;
  static constexpr uint32_t capacity_max = 0x7fff'ffff;

  // Maps `path` (empty: anonymous memory) with room for records 0..capacity-1, made or grown as needed. A file that is
  // no slab, of another layout, or in use is refused, untouched. Records of a machine that has rebooted since are
  // dropped, for their clock is gone. Errors: one sentence with the path and the way out.
  static net::Result<Slab, std::string> open(const std::string& path, uint32_t capacity);

  Slab(Slab&& other) noexcept;
  Slab& operator=(Slab&&) = delete;
  ~Slab();

  [[nodiscard]] uint32_t capacity() const { return records_.capacity(); }
  const Mapping& operator[](MappingIndex index) const { return records_[index]; }
  void write(MappingIndex index, const Mapping& mapping) { records_.write(index, mapping); }
  template <class Field>
  void set(MappingIndex index, Field Mapping::*field, Field value) {
    records_.set(index, field, value);
  }
  // Any thread: a copy, or none if the record is free or being written.
  [[nodiscard]] std::optional<Mapping> read(MappingIndex index) const;

  // A free record, or null_mapping. It is zero except for its version.
  MappingIndex take();
  void give_back(MappingIndex index);
  // After the caller has looked at every record at start: links the free ones. `is_free` says which.
  template <class IsFree>
  void build_free_list(IsFree is_free) {
    free_head_ = null_mapping;
    for (MappingIndex index = capacity() - 1; index > null_mapping; --index)
      if (is_free(index)) link_free(index);
  }

 private:
  Slab() = default;
  net::Result<void, std::string> open_file(const std::string& path);
  void link_free(MappingIndex index);

  void* memory_ = nullptr;
  size_t bytes_ = 0;
  int file_ = -1;  // held locked while open
  RecordArray<Mapping> records_;
  MappingIndex free_head_ = null_mapping;
};

}  // namespace portolan::nat
