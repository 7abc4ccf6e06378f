// The seconds every lifetime is measured in: CLOCK_BOOTTIME, so that a suspended laptop's mappings age as well. Owner:
// the control thread, which alone may shift it; a shift makes two hours pass at once, for tests of the long timers.
#pragma once

#include <atomic>
#include <cstdint>
#include <time.h>

namespace portolan::io {

class Clock {
  std::atomic<int64_t> shift_s_{0};

 public:
  [[nodiscard]] uint32_t now_s() const {  // any thread
    timespec now{};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return static_cast<uint32_t>(now.tv_sec + shift_s_.load(std::memory_order_relaxed));
  }
  void shift(int64_t seconds) { shift_s_.fetch_add(seconds, std::memory_order_relaxed); }
  [[nodiscard]] int64_t shift_s() const { return shift_s_.load(std::memory_order_relaxed); }
};

}  // namespace portolan::io
