// How fast may be asked (PCD-014), judged before a request is parsed.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "dataplane/net/types.h"

namespace portolan::pcp {

// So many a second, with a reserve.
class Allowance {
 public:
  // One more: true if it is within `per_s` a second, with `burst` in reserve.
  bool admit(uint64_t now_s, uint32_t per_s, uint32_t burst) {
    const uint64_t seconds = std::min<uint64_t>(now_s - last_s_, burst);
    last_s_ = now_s;
    used_ -= std::min<uint64_t>(used_, seconds * per_s);
    if (used_ >= burst) return false;
    ++used_;
    return true;
  }

 private:
  uint64_t last_s_ = 0, used_ = 0;
};

// … of each subscriber: a fixed table, never grown and never searched. Subscribers whose keyed hashes meet share an
// allowance, so a flood costs its sender and a few others at most.
class RateLimit {
 public:
  explicit RateLimit(uint64_t seed) : seed_(seed), buckets_(size_t{1} << buckets_log2) {}

  bool admit(const net::Ipv6& subscriber, uint64_t now_s, uint32_t per_s, uint32_t burst) {
    return buckets_[index(subscriber)].admit(now_s, per_s, burst);
  }

 private:
  static constexpr unsigned buckets_log2 = 14;

  [[nodiscard]] size_t index(const net::Ipv6& subscriber) const {
    const auto words = std::bit_cast<std::array<uint64_t, 2>>(subscriber);
    uint64_t hash = seed_;
    for (const uint64_t word : words) {  // MurmurHash3's finaliser over each word
      hash ^= word;
      hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdULL;
      hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53ULL;
      hash ^= hash >> 33;
    }
    return hash >> (64 - buckets_log2);
  }

  uint64_t seed_;
  std::vector<Allowance> buckets_;
};

}  // namespace portolan::pcp
