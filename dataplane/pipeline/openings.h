// The mappings that the burst at hand opens: how many it may, and the loads of what they read, started ahead. Shared by
// the fast path and the stages, which open a burst's one after the other. Owner: one worker.
#pragma once

#include <array>
#include <climits>
#include <cstddef>

#include "dataplane/nat/shard.h"
#include "dataplane/pipeline/packet.h"
#include "dataplane/pipeline/snapshot.h"

namespace portolan::pipeline {

class Openings {
 public:
  explicit Openings(const nat::Shard& shard) : shard_(shard) {}

  // Before a burst of so many packets, none of them looked at yet. `outbound`: of a device that subscribers are on.
  void begin(size_t packets, bool outbound, const Snapshot& config) {
    const bool full = packets >= config.budgeted_burst;
    if (outbound && !full) full_bursts_ = 0;
    const bool budgeted = full && full_bursts_ >= config.full_bursts_free;
    if (full && outbound && !budgeted) ++full_bursts_;
    left_ = budgeted ? config.opened_per_burst_max : UINT_MAX;
    forget();
  }
  [[nodiscard]] bool spent() const { return left_ == 0; }
  void spend() { --left_; }

  // An opening follows a chain (the subscriber's bucket, his record, his block), so those expected start the loads of
  // each step a few mappings ahead: a core keeps but some twenty lines under way.
  void expect(const nat::OutboundKey& key) {
    if (expected_ < ahead_.size()) ahead_[expected_++].key = key;
  }
  void forget() { expected_ = asked_ = 0; }
  // When all are known; one alone has nothing to be ahead of.
  void start() {
    if (expected_ < 2) return forget();
    for (unsigned call = 0; call < apart * nat::Shard::Opening::steps; ++call) go_on();
  }
  // Before each is opened: one step of several, each of which is so many mappings before the one that is a step
  // further.
  void go_on() {
    if (expected_ == 0) return;
    for (unsigned step = 0; step < nat::Shard::Opening::steps; ++step)
      if (const size_t at = asked_ - step * apart; at < expected_)  // below 0: wraps round
        shard_.prefetch(ahead_[at], step);
    ++asked_;
  }

 private:
  static constexpr size_t apart = 2;
  const nat::Shard& shard_;
  std::array<nat::Shard::Opening, burst_max> ahead_;
  size_t expected_ = 0, asked_ = 0;
  unsigned left_ = UINT_MAX;  // that may still be opened
  unsigned full_bursts_ = 0;  // outbound, one after the other up to now
};

// A TCP segment opens a mapping if it asks for a connection (RFC 7857 §2.2); every other packet does.
inline bool opens_mapping(uint8_t tcp_flags) {
  return (tcp_flags & (net::tcp_syn | net::tcp_rst | net::tcp_fin)) == net::tcp_syn;
}

}  // namespace portolan::pipeline
