// The client's clock: time is an argument everywhere, and only main's agent reads it. Boot time, because lifetimes at
// the PCP and DDNS servers go on while this machine sleeps and do not jump when NTP sets the wall clock.
#pragma once

#include <chrono>
#include <functional>
#include <time.h>

namespace portolan::ddns {

using Duration = std::chrono::milliseconds;

struct BootClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootClock>;
  static constexpr bool is_steady = true;
  static time_point now() {
    timespec ts{};
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return time_point(std::chrono::seconds(ts.tv_sec) +
                      std::chrono::duration_cast<Duration>(std::chrono::nanoseconds(ts.tv_nsec)));
  }
};
using Time = BootClock::time_point;
inline constexpr Time never = Time::max();

// Uniform in [0, 1). Injected, so that a test decides.
using Random = std::function<double()>;

// A fraction of a duration; jitter is made of these.
inline Duration scaled(Duration whole, double factor) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(whole) * factor);
}

}  // namespace portolan::ddns
