// A counter one thread writes and any thread reads: load and store, no lock prefix.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "dataplane/nat/verdict.h"

namespace portolan::nat {

class Counter {  // writer: the owning thread
  std::atomic<uint64_t> value_{0};

 public:
  void add(uint64_t n = 1) { value_.store(read() + n, std::memory_order_relaxed); }
  void set(uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  [[nodiscard]] uint64_t read() const { return value_.load(std::memory_order_relaxed); }
};

struct alignas(64) VerdictCounters {
  std::array<Counter, verdict_count> packets;
  Counter& operator[](Verdict verdict) { return packets[static_cast<size_t>(verdict)]; }
  const Counter& operator[](Verdict verdict) const { return packets[static_cast<size_t>(verdict)]; }
};

}  // namespace portolan::nat
