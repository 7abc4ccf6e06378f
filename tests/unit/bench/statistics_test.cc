#include <gtest/gtest.h>
#include <vector>

#include "bench/generator/histogram.h"
#include "bench/generator/search.h"

namespace portolan::bench {
namespace {

// Within a bucket, a thirty-second of the value, of what a sorted list says.
TEST(Histogram, BEN_011_percentiles_are_those_of_the_values) {
  Histogram histogram;
  for (uint64_t value = 1; value <= 100'000; ++value) histogram.add(value);
  EXPECT_EQ(histogram.count(), 100'000U);
  EXPECT_EQ(histogram.min(), 1U);
  EXPECT_EQ(histogram.max(), 100'000U);
  for (const double percent : {1.0, 50.0, 99.0, 99.9, 100.0}) {
    const double right = percent * 1000;
    EXPECT_GE(static_cast<double>(histogram.percentile(percent)), right - 1) << percent;
    EXPECT_LE(static_cast<double>(histogram.percentile(percent)), right * (1 + 1.0 / 32)) << percent;
  }
}

TEST(Histogram, BEN_012_one_late_frame_in_a_thousand_is_not_in_the_delay_variation_and_two_are) {
  Histogram one, two;
  for (int i = 0; i < 999; ++i) one.add(10), two.add(10);
  one.add(5000);
  two.add(5000), two.add(5000);
  EXPECT_EQ(one.percentile(99.9) - one.min(), 0U);
  EXPECT_GE(two.percentile(99.9) - two.min(), 4900U);
}

TEST(Histogram, holds_what_is_tiny_what_is_huge_and_nothing) {
  Histogram histogram;
  EXPECT_EQ(histogram.percentile(50), 0U);
  EXPECT_EQ(histogram.min(), 0U);
  histogram.add(0);
  EXPECT_EQ(histogram.percentile(50), 0U);
  histogram.add(~uint64_t{0});
  EXPECT_EQ(histogram.percentile(100), ~uint64_t{0});
}

TEST(Search, BEN_010_the_highest_rate_that_passes_is_found_within_the_resolution) {
  for (const double limit : {0.1, 3.3, 7.0, 9.99}) {
    std::vector<double> tried;
    const double found = find_highest_rate(10, 0.01, [&](double rate) {
      tried.push_back(rate);
      return rate <= limit;
    });
    EXPECT_LE(found, limit);
    EXPECT_GE(found, limit - 0.1);
    EXPECT_LE(tried.size(), 8U);
  }
}

TEST(Search, what_always_passes_is_tried_once_and_what_never_does_is_zero) {
  unsigned trials = 0;
  EXPECT_EQ(find_highest_rate(10, 0.01, [&](double) { return ++trials > 0; }), 10);
  EXPECT_EQ(trials, 1U);
  EXPECT_EQ(find_highest_rate(10, 0.01, [](double) { return false; }), 0);
}

}  // namespace
}  // namespace portolan::bench
