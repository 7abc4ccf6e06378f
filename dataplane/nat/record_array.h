// Records one thread writes and any thread reads, without locks: each record carries a version, odd while it is being
// written, and readers get copies. The record's last member must be `uint16_t version`.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>

namespace portolan::nat {

template <class Record>
requires(std::is_trivially_copyable_v<Record> && sizeof(Record) % 8 == 0 && alignof(Record) >= 8 &&
         offsetof(Record, version) == sizeof(Record) - 2) class RecordArray {
  static constexpr size_t words = sizeof(Record) / 8;
  using Words = std::array<uint64_t, words>;
  static constexpr unsigned version_shift = 48;  // little-endian: the last two bytes of the last word
  static_assert(std::endian::native == std::endian::little);

 public:
  RecordArray() = default;
  RecordArray(Record* records, uint32_t capacity) : records_(records), capacity_(capacity) {}

  [[nodiscard]] uint32_t capacity() const { return capacity_; }
  const Record& operator[](uint32_t index) const { return records_[index]; }  // the writer's own view

  // Writer. Every store is a release, so none is seen before the odd version that announces it.
  void write(uint32_t index, const Record& record) {
    uint64_t* target = reinterpret_cast<uint64_t*>(records_ + index);
    auto copy = std::bit_cast<Words>(record);
    const auto version = static_cast<uint16_t>(records_[index].version | 1);  // odd even if a crash left it odd
    std::atomic_ref(records_[index].version).store(version, std::memory_order_release);
    copy[words - 1] = (copy[words - 1] << 16 >> 16) | uint64_t{static_cast<uint16_t>(version + 1)} << version_shift;
    for (size_t i = 0; i < words; ++i) std::atomic_ref(target[i]).store(copy[i], std::memory_order_release);
  }

  // Writer. One field of a record on its own, when a reader may see it before or after its neighbours.
  template <class Field>
  void set(uint32_t index, Field Record::*field, Field value) {
    static_assert(std::atomic_ref<Field>::required_alignment <= alignof(Field));  // else it would not be one store
    std::atomic_ref(records_[index].*field).store(value, std::memory_order_relaxed);
  }

  // Any thread. None if the writer was at it three times running.
  [[nodiscard]] std::optional<Record> read(uint32_t index) const {
    uint64_t* source = reinterpret_cast<uint64_t*>(records_ + index);
    for (int tries = 0; tries < 3; ++tries) {
      const uint64_t before = std::atomic_ref(source[words - 1]).load(std::memory_order_acquire);
      Words copy;
      for (size_t i = 0; i < words; ++i) copy[i] = std::atomic_ref(source[i]).load(std::memory_order_acquire);
      const uint64_t after = std::atomic_ref(source[words - 1]).load(std::memory_order_relaxed);
      const auto version = static_cast<uint16_t>(before >> version_shift);
      if ((version & 1) != 0 || version != static_cast<uint16_t>(after >> version_shift)) continue;
      return std::bit_cast<Record>(copy);
    }
    return std::nullopt;
  }

 private:
  Record* records_ = nullptr;
  uint32_t capacity_ = 0;
};

}  // namespace portolan::nat
