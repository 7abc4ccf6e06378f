// The CPU's time stamp counter: what latency and rates are measured with.
#pragma once

#include <cstdint>

namespace portolan::bench {

inline uint64_t read_tsc() { return __builtin_ia32_rdtsc(); }
uint64_t tsc_hz();  // as DPDK has found it

}  // namespace portolan::bench
