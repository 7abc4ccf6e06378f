// What a shard tells the rest of the world of: rare things that somebody logs or counts. A bounded ring per shard with
// one producer, its worker, and one consumer, the control thread. A full ring loses the newest event and counts it.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <span>

#include "dataplane/nat/counter.h"
#include "dataplane/nat/verdict.h"
#include "dataplane/net/types.h"

namespace portolan::nat {

struct Event {
  enum class Kind : uint8_t {
    block_allocated,  // subscriber, address, ports
    block_released,   // the same
    quota,            // subscriber, verdict; protocol: a new mapping or session was refused; once a minute at most
    b4_moved,         // subscriber, b4
    b4_conflict,      // subscriber, b4: refused, for another is served (RFC 7785 §5); once a minute at most
    audit_fault,      // fault, record; address, ports and protocol of the record if it has them
    static_waits,     // subscriber, address, ports, protocol; fault: why it is not there yet (StaticObstacle)
    static_made,      // the same of one that waited
  };
  Kind kind{};
  net::Protocol protocol{};
  uint16_t fault = 0;    // AuditFault, StaticObstacle
  uint32_t time_s = 0;   // of the shard's clock
  net::Ipv6 subscriber;  // masked prefix
  net::Ipv6 b4;
  Verdict verdict{};
  net::Ipv4 address;      // outside
  net::Port first, last;  // outside ports, both included
  uint32_t record = 0;
};

// One producer, one consumer.
template <class Item>
class TellRing {
 public:
  static constexpr size_t capacity = 4096;  // a power of two

  // Producer. False, and counted as lost, if there is no room.
  bool put(const Item& item) {
    const uint32_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_.load(std::memory_order_acquire) == capacity) return lost_.add(), false;
    items_[tail % capacity] = item;
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }
  // Producer: half of it is left for what cannot be refused.
  [[nodiscard]] bool has_room() const {
    return tail_.load(std::memory_order_relaxed) - head_.load(std::memory_order_acquire) < capacity / 2;
  }
  // Consumer: how many came out.
  size_t take(std::span<Item> room) {
    const uint32_t head = head_.load(std::memory_order_relaxed);
    const size_t there = tail_.load(std::memory_order_acquire) - head, count = std::min(there, room.size());
    for (size_t i = 0; i < count; ++i) room[i] = items_[(head + i) % capacity];
    head_.store(head + static_cast<uint32_t>(count), std::memory_order_release);
    return count;
  }
  // Before there is a consumer: forgets what lies in it.
  void discard() { head_.store(tail_.load(std::memory_order_relaxed), std::memory_order_relaxed); }
  [[nodiscard]] uint64_t lost() const { return lost_.read(); }

 private:
  std::array<Item, capacity> items_{};
  alignas(64) std::atomic<uint32_t> head_{0};  // writer: the consumer
  alignas(64) std::atomic<uint32_t> tail_{0};  // writer: the producer
  Counter lost_;
};
using EventRing = TellRing<Event>;

}  // namespace portolan::nat
