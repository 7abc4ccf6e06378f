// How fast a subscriber may ask (PCD-014), judged before a request is parsed. A fixed table of buckets, never grown and
// never searched: subscribers whose keyed hashes meet share a bucket, so a flood costs its sender and a few others at
// most.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "dataplane/net/types.h"

namespace portolan::pcp {

class RateLimit {
 public:
  explicit RateLimit(uint64_t seed) : seed_(seed), buckets_(size_t{1} << buckets_log2) {}

  // One request of `subscriber`: true if it is within `per_s` a second, with `burst` in reserve.
  bool admit(const net::Ipv6& subscriber, uint64_t now_s, uint32_t per_s, uint32_t burst) {
    Bucket& bucket = buckets_[index(subscriber)];
    const uint64_t seconds = std::min<uint64_t>(now_s - bucket.last_s, burst);
    bucket.last_s = now_s;
    bucket.used -= std::min<uint64_t>(bucket.used, seconds * per_s);
    if (bucket.used >= burst) return false;
    ++bucket.used;
    return true;
  }

 private:
  static constexpr unsigned buckets_log2 = 14;
  struct Bucket {
    uint64_t last_s = 0, used = 0;
  };

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
  std::vector<Bucket> buckets_;
};

}  // namespace portolan::pcp
