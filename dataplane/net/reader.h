// Cursors over untrusted bytes. A reader that ran out stays failed and yields zeros, a writer that ran out writes
// nothing more: parse or build straight down, test once at the end.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

namespace portolan::net {

template <class T>
concept Wire = std::is_trivially_copyable_v<T> && alignof(T) == 1;

class Reader {
  std::span<const uint8_t> rest_;
  bool failed_ = false;

 public:
  explicit Reader(std::span<const uint8_t> bytes) : rest_(bytes) {}
  [[nodiscard]] size_t size() const { return rest_.size(); }
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] std::span<const uint8_t> rest() const { return rest_; }

  // The next `count` bytes; if there are fewer: none, and failure for good.
  Reader take(size_t count) {
    if (count > rest_.size()) {
      failed_ = true;
      rest_ = {};
      return Reader{{}};
    }
    return Reader{std::exchange(rest_, rest_.subspan(count)).first(count)};
  }

  // The next sizeof(T) bytes as a T; all zeros after failure.
  template <Wire T>
  T read() {
    T value{};
    if (const Reader head = take(sizeof(T)); !failed_) std::memcpy(&value, head.rest_.data(), sizeof(T));
    return value;
  }
};

class Writer {
  std::span<uint8_t> space_;
  size_t written_ = 0;
  bool failed_ = false;

 public:
  explicit Writer(std::span<uint8_t> space) : space_(space) {}
  [[nodiscard]] size_t size() const { return written_; }  // bytes written so far
  [[nodiscard]] bool failed() const { return failed_; }

  void write(std::span<const uint8_t> bytes) {
    if (failed_ || bytes.size() > space_.size() - written_) {
      failed_ = true;
      return;
    }
    if (!bytes.empty()) std::memcpy(space_.data() + written_, bytes.data(), bytes.size());
    written_ += bytes.size();
  }
  template <Wire T>
  void write(const T& value) {
    write(std::span(reinterpret_cast<const uint8_t*>(&value), sizeof(T)));
  }
};

}  // namespace portolan::net
