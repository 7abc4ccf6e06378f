#include <gtest/gtest.h>
#include <vector>

#include "bench/generator/histogram.h"
#include "bench/generator/reader.h"
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

TEST(Histogram, what_is_over_a_limit_is_counted) {
  Histogram histogram;
  for (const uint64_t value : {1U, 99U, 100U, 150U, 100'000U}) histogram.add(value);
  EXPECT_EQ(histogram.count_over(100), 2U);
  EXPECT_EQ(histogram.count_over(200'000), 0U);
}

TEST(DelayVariation, BEN_013_steps_up_and_down_have_a_sign_and_a_median) {
  DelayVariation variation;
  EXPECT_EQ(variation.median(), 0);
  for (const uint64_t delay : {10U, 30U, 25U, 26U, 6U}) variation.add(delay);  // +20, -5, +1, -20
  EXPECT_EQ(variation.count(), 4U);
  EXPECT_EQ(variation.min(), -20);
  EXPECT_EQ(variation.max(), 20);
  for (uint64_t i = 0; i < 5; ++i) variation.add(7 + 3 * i);  // +1, +3, +3, +3, +3
  EXPECT_EQ(variation.median(), 3);
  for (uint64_t i = 0; i < 20; ++i) variation.add(1000 - 7 * i);  // one up, and nineteen down
  EXPECT_EQ(variation.median(), -7);
}

TEST(LossTimeline, BEN_016_recovery_lasts_until_the_last_loss) {
  LossTimeline timeline(1000, 10);
  EXPECT_EQ(timeline.slots_until_lossless(), 0U);
  timeline.sent(990, 5);  // before it counts, and lost
  for (uint64_t slot = 0; slot < 6; ++slot) timeline.sent(1000 + 10 * slot, 3);
  for (uint64_t slot = 0; slot < 6; ++slot)
    for (int frame = 0; frame < (slot == 1 || slot == 3 ? 2 : 3); ++frame) timeline.received(1000 + 10 * slot);
  EXPECT_EQ(timeline.slots_until_lossless(), 4U);
  timeline.sent(1095, 7);
  EXPECT_EQ(timeline.slots_until_lossless(), 10U);
  timeline.unsent(1095, 7);
  EXPECT_EQ(timeline.slots_until_lossless(), 4U);
}

TEST(ReplyCounter, lines_and_replies_are_counted_however_they_are_cut) {
  const std::string_view stream = "1000-first\n1000-\n0000 done\n1000-second 0000 \n8003 not found\n1000-third";
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    ReplyCounter counter;
    for (size_t at = 0; at < stream.size(); at += piece) counter.feed(stream.substr(at, piece));
    EXPECT_EQ(counter.lines(), 4U) << piece;
    EXPECT_EQ(counter.replies(), 2U) << piece;
  }
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
