// The clock for a thread that asks a million times a second: it looks at the system's again when a millisecond of the
// TSC has passed; a shift is seen at once. Owner: its thread. Internal to dataplane/io.
#pragma once

#include <rte_cycles.h>

#include "dataplane/io/clock.h"

namespace portolan::io {

class QuickClock {
  const Clock& clock_;
  const uint64_t looks_every_tsc_ = rte_get_tsc_hz() / 1000;
  uint64_t looked_tsc_ = 0;
  int64_t shift_s_ = 0;
  uint32_t now_s_ = 0;

 public:
  explicit QuickClock(const Clock& clock) : clock_(clock), now_s_(clock.now_s()) {}
  uint32_t now_s() {
    const uint64_t tsc = rte_rdtsc();
    const int64_t shift_s = clock_.shift_s();
    if (tsc - looked_tsc_ >= looks_every_tsc_ || shift_s != shift_s_) {
      looked_tsc_ = tsc, shift_s_ = shift_s;
      now_s_ = clock_.now_s();
    }
    return now_s_;
  }
};

}  // namespace portolan::io
