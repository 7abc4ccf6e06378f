#include "dataplane/nat/divisor.h"

#include <gtest/gtest.h>

namespace portolan::nat {
namespace {

TEST(Divisor, divides_as_division_does) {
  constexpr uint32_t largest = (uint32_t{1} << 31) - 1;
  for (const uint32_t divisor : {1U, 2U, 3U, 7U, 63U, 64U, 252U, 255U, 641U, 4032U, 64512U, 65535U}) {
    const Divisor by(divisor);
    const auto expect = [&](uint32_t dividend) {
      ASSERT_EQ(by.quotient(dividend), dividend / divisor) << dividend << " / " << divisor;
      ASSERT_EQ(by.remainder(dividend), dividend % divisor) << dividend << " % " << divisor;
    };
    for (uint32_t dividend = 0; dividend < 70'000; ++dividend) expect(dividend);
    for (uint32_t multiple = largest / divisor; multiple > largest / divisor - 100 && multiple > 0; --multiple)
      expect(multiple * divisor), expect(multiple * divisor - 1);
    expect(largest);
  }
}

}  // namespace
}  // namespace portolan::nat
