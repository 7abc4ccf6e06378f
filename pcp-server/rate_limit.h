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

// … of each subscriber: two fixed tables, never grown and never searched. Those whose keyed hashes meet share an
// allowance, but hardly ever in both tables, and one with room is enough: a flood costs its sender alone.
class RateLimit {
 public:
  // `places_log2`: 2^n allowances in each table, 1 to 32.
  RateLimit(uint64_t seed, unsigned places_log2)
      : seed_(seed), places_log2_(places_log2), first_(size_t{1} << places_log2), second_(first_.size()) {}

  bool admit(const net::Ipv6& subscriber, uint64_t now_s, uint32_t per_s, uint32_t burst) {
    const uint64_t hash = hash_of(subscriber);
    const size_t one = hash >> (64 - places_log2_), other = hash & (second_.size() - 1);
    const bool in_first = first_[one].admit(now_s, per_s, burst);
    return second_[other].admit(now_s, per_s, burst) || in_first;
  }

 private:
  [[nodiscard]] uint64_t hash_of(const net::Ipv6& subscriber) const {
    const auto words = std::bit_cast<std::array<uint64_t, 2>>(subscriber);
    uint64_t hash = seed_;
    for (const uint64_t word : words) {  // MurmurHash3's finaliser over each word
      hash ^= word;
      hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdULL;
      hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53ULL;
      hash ^= hash >> 33;
    }
    return hash;
  }

  uint64_t seed_;
  unsigned places_log2_;
  std::vector<Allowance> first_, second_;
};

}  // namespace portolan::pcp
