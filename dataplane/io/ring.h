// A bounded queue between two threads: rte_ring of whole elements, owned and freed as an object. Internal to
// dataplane/io.
#pragma once

#include <atomic>
#include <cstdint>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

namespace portolan::io {

inline constexpr unsigned many_producers = RING_F_SC_DEQ;
inline constexpr unsigned one_producer = RING_F_SP_ENQ | RING_F_SC_DEQ;

// EAL wants a name of its own for every ring, whatever its elements.
inline std::string next_ring_name() {
  static std::atomic<unsigned> serial{0};
  return "portolan" + std::to_string(serial.fetch_add(1));
}

template <class T>
class Ring {
  static constexpr unsigned element_bytes = sizeof(T);  // NOLINT(bugprone-sizeof-expression): T may well be a pointer
  static_assert(std::is_trivially_copyable_v<T> && element_bytes % 4 == 0);  // rte_ring_elem.h
  rte_ring* ring_ = nullptr;

 public:
  Ring() = default;  // no ring: nothing fits in, nothing comes out
  // Exactly `capacity` elements. False afterwards if there was no memory.
  Ring(unsigned capacity, unsigned flags, int socket) {
    ring_ = rte_ring_create_elem(next_ring_name().c_str(), element_bytes, capacity, socket, flags | RING_F_EXACT_SZ);
  }
  ~Ring() { rte_ring_free(ring_); }
  Ring(Ring&& other) noexcept : ring_(std::exchange(other.ring_, nullptr)) {}
  Ring& operator=(Ring&& other) noexcept {
    std::swap(ring_, other.ring_);
    return *this;
  }

  explicit operator bool() const { return ring_ != nullptr; }

  // How many of them went in, from the first on.
  size_t put(std::span<const T> elements) {
    if (ring_ == nullptr) return 0;
    return rte_ring_enqueue_burst_elem(ring_, elements.data(), element_bytes, static_cast<unsigned>(elements.size()),
                                       nullptr);
  }
  bool put(const T& element) { return put(std::span(&element, 1)) == 1; }

  // How many came out.
  size_t take(std::span<T> room) {
    if (ring_ == nullptr) return 0;
    return rte_ring_dequeue_burst_elem(ring_, room.data(), element_bytes, static_cast<unsigned>(room.size()), nullptr);
  }
  [[nodiscard]] bool empty() const { return ring_ == nullptr || rte_ring_empty(ring_) != 0; }
  [[nodiscard]] size_t count() const { return ring_ == nullptr ? 0 : rte_ring_count(ring_); }
  [[nodiscard]] size_t room() const { return ring_ == nullptr ? 0 : rte_ring_free_count(ring_); }
};

}  // namespace portolan::io
