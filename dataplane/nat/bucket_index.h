// hash -> 32-bit index, for keys that live elsewhere: a bucket is one cache line of ten (tag, index) entries, so a miss
// is one line and a hit is one line and the record. Entries that do not fit their home bucket go to the next ones, and
// each bucket passed over counts them, so a look-up knows when to stop. Owner: one thread; nobody else reads it.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "dataplane/nat/zero_pages.h"

namespace portolan::nat {

class BucketIndex {
 public:
  static constexpr uint32_t none = 0;
  static constexpr uint32_t entries_per_bucket = 10;
  static constexpr uint32_t probes_max = 64;  // buckets looked at before an insertion fails

  BucketIndex() = default;
  // Room for `entries_max` entries at half load or less: overflow stays rare at any fill.
  explicit BucketIndex(uint32_t entries_max)
      : buckets_(std::bit_ceil(size_t{entries_max} / (entries_per_bucket / 2) + 1)),
        mask_(static_cast<uint32_t>(buckets_.size() - 1)) {}

  void populate() const { buckets_.populate(); }
  void prefetch(uint32_t hash) const { __builtin_prefetch(&buckets_[hash & mask_]); }

  // The entry whose tag fits and which `is_it(index)` confirms; none if there is not one.
  template <class IsIt>
  [[nodiscard]] uint32_t find(uint32_t hash, IsIt is_it) const {
    const uint16_t tag = tag_of(hash);
    for (uint32_t at = hash & mask_, probes = 0; probes < probes_max; at = (at + 1) & mask_, ++probes) {
      const Bucket& bucket = buckets_[at];
      for (uint32_t fits = bucket.fitting(tag); fits != 0; fits &= fits - 1)
        if (const uint32_t index = bucket.indexes[place_of(fits)]; is_it(index)) return index;
      if (bucket.passed_over == 0) return none;
    }
    return none;
  }

  // The first index whose tag fits in the home bucket, to prefetch its record; none if there is not one.
  [[nodiscard]] uint32_t candidate(uint32_t hash) const {
    const Bucket& bucket = buckets_[hash & mask_];
    const uint32_t fits = bucket.fitting(tag_of(hash));
    return fits == 0 ? none : bucket.indexes[place_of(fits)];
  }

  // False if no bucket within reach has room; nothing is changed then.
  bool insert(uint32_t hash, uint32_t index) {
    const uint32_t home = hash & mask_;
    for (uint32_t probes = 0; probes < probes_max && probes <= mask_; ++probes) {
      Bucket& bucket = buckets_[(home + probes) & mask_];
      for (uint32_t i = 0; i < entries_per_bucket; ++i) {
        if (bucket.indexes[i] != none) continue;
        bucket.tags[i] = tag_of(hash);
        bucket.indexes[i] = index;
        for (uint32_t passed = 0; passed < probes; ++passed) ++buckets_[(home + passed) & mask_].passed_over;
        return true;
      }
    }
    return false;
  }

  bool erase(uint32_t hash, uint32_t index) {
    const uint32_t home = hash & mask_;
    for (uint32_t probes = 0; probes < probes_max && probes <= mask_; ++probes) {
      Bucket& bucket = buckets_[(home + probes) & mask_];
      for (uint32_t i = 0; i < entries_per_bucket; ++i) {
        if (bucket.indexes[i] != index) continue;
        bucket.tags[i] = 0;
        bucket.indexes[i] = none;
        for (uint32_t passed = 0; passed < probes; ++passed) --buckets_[(home + passed) & mask_].passed_over;
        return true;
      }
      if (bucket.passed_over == 0) return false;
    }
    return false;
  }

  // For audits: every index that lies in a bucket.
  [[nodiscard]] size_t buckets() const { return buckets_.size(); }
  template <class Visit>
  void for_each_in(size_t bucket, Visit visit) const {
    for (const uint32_t index : buckets_[bucket].indexes)
      if (index != none) visit(index);
  }

 private:
  struct alignas(64) Bucket {
    std::array<uint16_t, entries_per_bucket> tags;
    std::array<uint32_t, entries_per_bucket> indexes;
    uint32_t passed_over;  // entries at home here or before that lie in later buckets

    // Two bits for each entry with that tag, the first entry's lowest. Nobody's tag is 0, so empty entries never fit.
    [[nodiscard]] uint32_t fitting(uint16_t tag) const {
#ifdef __SSE2__
      const __m128i wanted = _mm_set1_epi16(static_cast<short>(tag));
      __m128i first, last = _mm_setzero_si128();
      std::memcpy(&first, tags.data(), 16);
      uint32_t rest;
      std::memcpy(&rest, tags.data() + 8, 4);
      last = _mm_cvtsi32_si128(static_cast<int>(rest));
      const auto mask = static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi16(first, wanted)));
      return mask | static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi16(last, wanted))) << 16;
#else
      uint32_t mask = 0;
      for (uint32_t i = 0; i < entries_per_bucket; ++i) mask |= tags[i] == tag ? uint32_t{3} << (2 * i) : 0;
      return mask;
#endif
    }
  };
  static_assert(sizeof(Bucket) == 64);
  static uint32_t place_of(uint32_t fits) { return static_cast<uint32_t>(std::countr_zero(fits)) / 2; }
  // From the hash's high half; the low bits chose the bucket.
  static constexpr uint16_t tag_of(uint32_t hash) {
    const auto tag = static_cast<uint16_t>(hash >> 16);
    return tag == 0 ? uint16_t{1} : tag;
  }

  ZeroPages<Bucket> buckets_;
  uint32_t mask_ = 0;
};

}  // namespace portolan::nat
