// The keyed hash of the outbound index and the subscriber table: SipHash-1-3 under a key from getrandom(2), so that
// nobody who chooses addresses and ports can aim at one bucket.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <sys/random.h>
#include <type_traits>

namespace portolan::nat {

class Hasher {
 public:
  Hasher() {  // start-up only; the kernel's generator cannot fail once the system is up
    if (getrandom(key_.data(), sizeof key_, 0) != sizeof key_) key_ = {0x736f6d6570736575, 0x646f72616e646f6d};
  }
  explicit constexpr Hasher(std::array<uint64_t, 2> key) : key_(key) {}

  // Of a value whose size is a multiple of 8 and whose bytes are its identity.
  template <class Key>
  requires(std::has_unique_object_representations_v<Key> && sizeof(Key) % 8 == 0) uint32_t operator()(
      const Key& key) const {
    std::array<uint64_t, sizeof(Key) / 8> words;
    std::memcpy(words.data(), &key, sizeof key);
    State state{key_[0] ^ 0x736f6d6570736575, key_[1] ^ 0x646f72616e646f6d, key_[0] ^ 0x6c7967656e657261,
                key_[1] ^ 0x7465646279746573};
    for (const uint64_t word : words) {
      state.d ^= word;
      state.round();
      state.a ^= word;
    }
    constexpr uint64_t length = uint64_t{sizeof(Key)} << 56;
    state.d ^= length;
    state.round();
    state.a ^= length;
    state.c ^= 0xff;
    state.round(), state.round(), state.round();
    const uint64_t out = state.a ^ state.b ^ state.c ^ state.d;
    return static_cast<uint32_t>(out ^ (out >> 32));
  }

 private:
  struct State {
    uint64_t a, b, c, d;
    void round() {
      a += b, b = std::rotl(b, 13) ^ a, a = std::rotl(a, 32);
      c += d, d = std::rotl(d, 16) ^ c;
      a += d, d = std::rotl(d, 21) ^ a;
      c += b, b = std::rotl(b, 17) ^ c, c = std::rotl(c, 32);
    }
  };
  std::array<uint64_t, 2> key_{};
};

// A quick generator for choosing ports and blocks (RFC 6056 §3.3): seeded from getrandom, one per shard.
class Random {  // xoshiro256++
 public:
  Random() {
    if (getrandom(state_.data(), sizeof state_, 0) != sizeof state_) state_ = {1, 2, 3, 4};
  }
  uint32_t next() {
    const uint64_t out = std::rotl(state_[0] + state_[3], 23) + state_[0];
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0], state_[3] ^= state_[1], state_[1] ^= state_[2], state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return static_cast<uint32_t>(out >> 32);
  }
  // Uniform in 0..count-1.
  uint32_t below(uint32_t count) { return static_cast<uint32_t>((uint64_t{next()} * count) >> 32); }

 private:
  std::array<uint64_t, 4> state_{};
};

}  // namespace portolan::nat
