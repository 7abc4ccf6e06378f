// The octets of a fuzzer's input as a row of decisions: when they are used up every answer is 0. And what ends the
// process when something does not hold.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <span>
#include <string>

namespace portolan::fuzz {

class Input {
  std::span<const uint8_t> rest_;

 public:
  Input(const uint8_t* data, size_t size) : rest_(data, size) {}
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  std::span<const uint8_t> take(size_t bytes) {
    const auto taken = rest_.first(std::min(bytes, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  uint8_t octet() {
    const auto one = take(1);
    return one.empty() ? uint8_t{0} : one[0];
  }
  uint16_t word() {
    const uint8_t high = octet();
    return static_cast<uint16_t>(high << 8 | octet());
  }
  uint8_t below(unsigned count) { return static_cast<uint8_t>(octet() % count); }
  template <class T>
  const auto& one_of(const T& choices) {
    return choices[below(static_cast<unsigned>(std::size(choices)))];
  }
};

inline void require(const std::string& fault) {  // empty: none
  if (fault.empty()) return;
  std::fprintf(stderr, "%s\n", fault.c_str());
  std::abort();
}

}  // namespace portolan::fuzz
