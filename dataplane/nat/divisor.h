// Division by a number that is known once and used for every mapping: a multiplication and a shift (Granlund and
// Montgomery, "Division by invariant integers using multiplication", 1994), exact for dividends below 2^31.
#pragma once

#include <cstdint>

namespace portolan::nat {

class Divisor {
  __extension__ using Wide = unsigned __int128;

 public:
  explicit constexpr Divisor(uint32_t divisor)  // not 0
      : divisor_(divisor), factor_((uint64_t{1} << 63) / divisor + 1) {}
  [[nodiscard]] constexpr uint32_t quotient(uint32_t dividend) const {
    return static_cast<uint32_t>(Wide{factor_} * dividend >> 63);
  }
  [[nodiscard]] constexpr uint32_t remainder(uint32_t dividend) const {
    return dividend - quotient(dividend) * divisor_;
  }

 private:
  uint32_t divisor_;
  uint64_t factor_;
};

}  // namespace portolan::nat
