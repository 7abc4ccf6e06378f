// The keyed hash of every table whose keys strangers choose, and the generator that chooses ports. The hash is a sum of
// products under secret summands from getrandom(2), pair-multiply-shift, strongly universal in its high half (Thorup,
// "High speed hashing for integers and strings", 2015): whatever keys somebody chooses without knowing the summands, any
// two meet in one bucket with the probability of chance. One multiplication for 64 bits, so that a burst's hashes
// overlap; one more at the end, because the sums of keys that follow each other, as ports do, follow each other too and
// would crowd into few buckets.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <sys/random.h>
#include <type_traits>

namespace portolan::nat {

// A quick generator for choosing ports and blocks (RFC 6056 §3.3): seeded from getrandom, one per shard.
class Random {  // xoshiro256++
 public:
  Random() {  // start-up only; the kernel's generator cannot fail once the system is up
    if (getrandom(state_.data(), sizeof state_, 0) != sizeof state_) state_ = {1, 2, 3, 4};
  }
  // The same choices every time, for tests; 0: as above.
  explicit Random(uint64_t seed) : Random() {
    if (seed != 0) state_ = {seed, ~seed, seed * 0x9e3779b97f4a7c15U, 1};
  }
  uint64_t next64() {
    const uint64_t out = std::rotl(state_[0] + state_[3], 23) + state_[0];
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0], state_[3] ^= state_[1], state_[1] ^= state_[2], state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return out;
  }
  uint32_t next() { return static_cast<uint32_t>(next64() >> 32); }
  // Uniform in 0..count-1.
  uint32_t below(uint32_t count) { return static_cast<uint32_t>((uint64_t{next()} * count) >> 32); }

 private:
  std::array<uint64_t, 4> state_{};
};

class Hasher {
  static constexpr size_t words_max = 6;

 public:
  // `seed`: of the summands, as Random takes it.
  explicit Hasher(uint64_t seed = 0) {
    Random random(seed);
    for (uint64_t& summand : summands_) summand = random.next64();
  }

  // Of a value whose size is a multiple of 8 and whose bytes are its identity.
  template <class Key>
  requires(std::has_unique_object_representations_v<Key> && sizeof(Key) % 8 == 0 &&
           sizeof(Key) <= 8 * words_max) uint32_t
  operator()(const Key& key) const {
    std::array<uint64_t, sizeof(Key) / 8> words;
    std::memcpy(words.data(), &key, sizeof key);
    uint64_t sum = summands_[2 * words_max];
    for (size_t i = 0; i < words.size(); ++i)
      sum += (summands_[2 * i] + (words[i] >> 32)) * (summands_[2 * i + 1] + static_cast<uint32_t>(words[i]));
    uint64_t mixed = sum >> 32;
    mixed ^= mixed >> 15;
    mixed *= 0x9fb2'1c65'1e98'df25;  // any odd number whose bits are mixed
    return static_cast<uint32_t>(mixed >> 32);
  }

 private:
  std::array<uint64_t, 2 * words_max + 1> summands_;
};

}  // namespace portolan::nat
