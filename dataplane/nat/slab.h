// Records in a file that outlives the process, and the list of free ones. The file holds no pointers: a header page,
// then the records; record 0 is never used. Owner and only writer: the shard's worker; any thread may read().
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "dataplane/nat/mapping.h"
#include "dataplane/nat/record_array.h"
#include "dataplane/net/result.h"

namespace portolan::nat {

// What kind of records a file holds, and how its refusals speak of them.
struct SlabKind {
  uint64_t magic;  // eight letters, the first in the lowest byte
  uint32_t layout_version;
  uint32_t record_bytes;
  const char* name;                              // "mapping slab"
  const char* setting;                           // the configuration key that sizes it
  void (*outlive_boot)(void* record) = nullptr;  // what becomes of a record from before a reboot; none: it is dropped
};

// The file, mapped into memory and held locked.
class SlabFile {
 public:
  // Maps `path` (empty: anonymous memory) with room for records 0..capacity-1, made or grown as needed. A file that is
  // no slab of this kind, of another layout, or in use is refused, untouched. Records of a machine that has rebooted
  // since have lost their clock: see SlabKind::outlive_boot. Errors: one sentence with the path and the way out.
  static net::Result<SlabFile, std::string> open(const std::string& path, const SlabKind& kind, uint32_t capacity);

  // Why the file at `path` cannot be used as such a slab: empty if it can, or is not there.
  static std::string fault_of(const std::string& path, const SlabKind& kind);

  SlabFile() = default;
  SlabFile(SlabFile&& other) noexcept;
  SlabFile& operator=(SlabFile&& other) noexcept;
  ~SlabFile();

  [[nodiscard]] void* records() const;
  [[nodiscard]] uint32_t capacity() const { return capacity_; }

 private:
  net::Result<void, std::string> open_file(const std::string& path, const SlabKind& kind);

  void* memory_ = nullptr;
  size_t bytes_ = 0;
  int file_ = -1;  // held locked while open
  uint32_t capacity_ = 0;
};

// Of each kind of record: `kind`, the member that links it while it is free, and whether it is.
template <class Record>
struct SlabTraits;

template <class Record>
class RecordSlab {
  using Traits = SlabTraits<Record>;

 public:
  static constexpr uint32_t layout_version = Traits::kind.layout_version;
  static constexpr uint32_t capacity_max = 0x7fff'ffff;
  static constexpr uint32_t null_record = 0;

  static net::Result<RecordSlab, std::string> open(const std::string& path, uint32_t capacity) {
    auto file = SlabFile::open(path, Traits::kind, capacity);
    if (!file) return tl::unexpected(std::move(file.error()));
    return RecordSlab(std::move(*file));
  }

  [[nodiscard]] uint32_t capacity() const { return records_.capacity(); }
  const Record& operator[](uint32_t index) const { return records_[index]; }
  void write(uint32_t index, const Record& record) { records_.write(index, record); }
  template <class Field>
  void set(uint32_t index, Field Record::*field, Field value) {
    records_.set(index, field, value);
  }
  // Any thread: a copy, or none if the record is free or being written.
  [[nodiscard]] std::optional<Record> read(uint32_t index) const {
    auto record = records_.read(index);
    if (record && Traits::is_free(*record)) return std::nullopt;
    return record;
  }
  // False also while it is being written: whether it is free is not known then.
  [[nodiscard]] bool is_known_free(uint32_t index) const {
    const auto record = records_.read(index);
    return record && Traits::is_free(*record);
  }

  // A free record, or null_record. It is zero except for its version and its link.
  uint32_t take() {
    const uint32_t index = free_head_;
    if (index == null_record) return index;
    free_head_ = records_[index].*Traits::free_link;
    __builtin_prefetch(&records_[free_head_], 1);  // the next one's, that it need not be waited for
    return index;
  }
  void give_back(uint32_t index) {
    Record free{};
    free.*Traits::free_link = free_head_;
    write(index, free);
    free_head_ = index;
  }
  // After the caller has looked at every record at start: links the free ones. `is_free` says which.
  template <class IsFree>
  void build_free_list(IsFree is_free) {
    free_head_ = null_record;
    for (uint32_t index = capacity() - 1; index > null_record; --index)
      if (is_free(index)) give_back(index);
  }

 private:
  explicit RecordSlab(SlabFile file)
      : file_(std::move(file)), records_(static_cast<Record*>(file_.records()), file_.capacity()) {}

  SlabFile file_;
  RecordArray<Record> records_;
  uint32_t free_head_ = null_record;
};

// A mapping ends with the boot, but its port rests (RFC 6888 REQ-8): last_seen_s and expiry_s 0 say so.
inline void rest_after_boot(void* record) {
  Mapping& mapping = *static_cast<Mapping*>(record);
  const bool whole = mapping.has(Mapping::in_use | Mapping::held) && (mapping.version & 1) == 0;
  if (!whole) mapping = {};
  mapping.flags = static_cast<uint8_t>(whole ? Mapping::held | (mapping.flags & Mapping::plain) : 0);
  mapping.last_seen_s = mapping.expiry_s = 0;
}

template <>
struct SlabTraits<Mapping> {
  static constexpr SlabKind kind{0x6e616c6f74726f50, 1, sizeof(Mapping), "mapping slab", "dataplane.max-mappings",
                                 rest_after_boot};
  static constexpr MappingIndex Mapping::*free_link = &Mapping::wheel_next;
  static bool is_free(const Mapping& mapping) { return !mapping.has(Mapping::in_use | Mapping::held); }
};
using Slab = RecordSlab<Mapping>;

}  // namespace portolan::nat
