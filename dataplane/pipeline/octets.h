// Sixteen octets at a time, as the fast path compares and picks them. SSE4.1, which the baseline has
// (cmake/portolan.cmake).
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <smmintrin.h>

namespace portolan::pipeline {

using Octets = __m128i;

inline Octets octets_at(const void* at) {
  Octets octets;
  std::memcpy(&octets, at, sizeof octets);
  return octets;
}
inline bool all_zero(Octets octets) { return _mm_testz_si128(octets, octets) != 0; }
// Where the two differ under the mask.
inline Octets differences(Octets a, Octets b, Octets mask) { return _mm_and_si128(_mm_xor_si128(a, b), mask); }

// Picks octets by place: the result's octet i is that of `from` at places[i], or 0 where there is none.
struct alignas(16) Picture {
  static constexpr uint8_t none = 0x80;
  std::array<uint8_t, 16> places{none, none, none, none, none, none, none, none,
                                 none, none, none, none, none, none, none, none};

  // So many octets of the source become those of the result at `to`.
  constexpr Picture& take(size_t to, size_t from, size_t octets) {
    for (size_t i = 0; i < octets; ++i) places[to + i] = static_cast<uint8_t>(from + i);
    return *this;
  }
  // Ones where an octet is taken.
  [[nodiscard]] constexpr std::array<uint8_t, 16> taken() const {
    std::array<uint8_t, 16> mask{};
    for (size_t i = 0; i < mask.size(); ++i) mask[i] = places[i] == none ? 0 : 0xff;
    return mask;
  }
  [[nodiscard]] Octets of(Octets from) const { return _mm_shuffle_epi8(from, octets_at(places.data())); }
};

}  // namespace portolan::pipeline
