// Whose punted packets lie in the ring to the control thread: nobody may have more than a share of its places, so that
// a flood (of PCP requests, of pings, of anything that is punted) costs its sender's packets alone (RFC 6887 §8.2). No
// clock and no rate: whoever floods has his share in the ring as fast as the control thread empties it. Fixed size.
// Writer and reader: the worker that fills the ring.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/nat/hash.h"
#include "dataplane/net/types.h"

namespace portolan::io {

// Who sent a packet: a subscriber; on the internet, where anybody writes any source, a kind of packet.
struct PuntSource {
  net::Ipv6 subscriber;
  uint64_t kind = 0;
  friend bool operator==(const PuntSource&, const PuntSource&) = default;
};

template <size_t RingPlaces, unsigned Share>
class PuntShares {
 public:
  explicit PuntShares(uint64_t seed = 0) : hash_(seed) {}

  // One more of this source, if it has less than its share among the `waiting` packets in the ring, which are the last
  // ones that were let in.
  bool admit(const PuntSource& source, size_t waiting) {
    for (; count_ > waiting; --count_, oldest_ = (oldest_ + 1) % RingPlaces) {
      --first_[whose_[oldest_].first];
      --second_[whose_[oldest_].second];
    }
    if (count_ == RingPlaces) return false;
    // Those who meet in one table are hardly ever together in the other, and a share left in one is enough.
    const uint32_t hash = hash_(source);
    const Places at{static_cast<uint16_t>(hash % table_places), static_cast<uint16_t>((hash >> 16) % table_places)};
    if (first_[at.first] >= Share && second_[at.second] >= Share) return false;
    ++first_[at.first];
    ++second_[at.second];
    whose_[(oldest_ + count_++) % RingPlaces] = at;
    return true;
  }

 private:
  static constexpr size_t table_places = 4 * RingPlaces;
  static_assert(table_places <= 65'536);
  struct Places {
    uint16_t first, second;
  };

  nat::Hasher hash_;
  std::array<uint16_t, table_places> first_{}, second_{};  // packets in the ring
  std::array<Places, RingPlaces> whose_{};                 // in the ring's order, from the oldest on
  size_t oldest_ = 0, count_ = 0;
};

}  // namespace portolan::io
