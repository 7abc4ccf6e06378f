// A resource's way from available over high to full and back: each said once, at the right moment, however it flaps.
#include "controlplane/exhaustion.h"

#include <gtest/gtest.h>

namespace portolan::control {
namespace {

class ExhaustionTest : public testing::Test {
 protected:
  // What is said of one resource at a look.
  std::string look(uint64_t now_s, uint64_t used, uint64_t refused = 0, uint64_t capacity = 1000) {
    const ResourceReading reading{"table", used, capacity, refused};
    std::string said;
    for (const auto& change : exhaustion_.look({&reading, 1}, 80, now_s * 1000)) said += to_text(change) + '\n';
    return said;
  }
  Exhaustion exhaustion_;
};

TEST_F(ExhaustionTest, DSL_030_the_threshold_is_said_before_anything_is_refused) {
  EXPECT_EQ(look(1, 799), "");
  EXPECT_EQ(look(2, 800), "table: 80% used (800 of 1000)\n");
  for (uint64_t second = 3; second < 100; ++second) EXPECT_EQ(look(second, 800 + second), "");
  ASSERT_EQ(exhaustion_.alarms().size(), 1U);
  EXPECT_EQ(exhaustion_.alarms()[0].state, ResourceState::high);
}

TEST_F(ExhaustionTest, CGN_022_full_is_said_once_however_many_are_refused) {
  look(1, 990);
  EXPECT_EQ(look(2, 1000, 5), "table: full, 100% used (1000 of 1000), 5 refused\n");
  for (uint64_t second = 3; second < 100; ++second) EXPECT_EQ(look(second, 1000, second * 1'000'000), "");
  EXPECT_EQ(exhaustion_.alarms()[0].state, ResourceState::full);
}

TEST_F(ExhaustionTest, a_refusal_is_full_whatever_the_use) {  // one worker's share, one subscriber's address
  look(1, 10);
  EXPECT_EQ(look(2, 10, 1), "table: full, 1% used (10 of 1000), 1 refused\n");
}

TEST_F(ExhaustionTest, refusals_before_the_first_look_are_old_news) {
  EXPECT_EQ(look(1, 10, 5000), "");
  EXPECT_EQ(look(2, 10, 5000), "");
}

TEST_F(ExhaustionTest, available_again_takes_ten_seconds_of_quiet_and_room) {
  look(1, 500);
  look(2, 1000, 7);
  for (uint64_t second = 3; second < 20; ++second) EXPECT_EQ(look(second, 700, 7), "") << "not below the hysteresis";
  EXPECT_EQ(look(20, 699, 7), "");
  EXPECT_EQ(look(28, 699, 7), "");
  EXPECT_EQ(look(29, 699, 7), "table: available again, 69% used (699 of 1000), 7 were refused\n");
  EXPECT_TRUE(exhaustion_.alarms().empty());
  EXPECT_EQ(look(30, 699, 7), "");
}

TEST_F(ExhaustionTest, high_goes_by_too) {
  look(1, 800);
  look(2, 100);
  EXPECT_EQ(look(11, 100), "table: available again, 10% used (100 of 1000)\n");
}

TEST_F(ExhaustionTest, a_refusal_starts_the_ten_seconds_anew) {
  look(1, 0);
  look(2, 0, 1);
  look(11, 0, 2);
  EXPECT_EQ(look(20, 0, 2), "");
  EXPECT_NE(look(21, 0, 2), "");
}

TEST_F(ExhaustionTest, flapping_says_no_more_than_three_lines_in_ten_seconds) {
  size_t said = 0;
  for (uint64_t second = 1; second <= 1000; ++second) {  // every second another extreme
    said += look(second, second % 2 == 0 ? 1000 : 0, second / 2).empty() ? 0U : 1U;
  }
  EXPECT_EQ(said, 1U) << "never quiet, so full once and never available";
  said = 0;
  uint64_t refused = 10'000;
  for (uint64_t second = 1001; second <= 2000; ++second) {  // every 13 seconds a refusal
    if (second % 13 == 0) ++refused;
    said += look(second, 0, refused).empty() ? 0U : 1U;
  }
  EXPECT_LE(said, 2U * 1000 / 13 + 2);
}

TEST_F(ExhaustionTest, a_ring_has_refusals_only) {
  const auto ring = [&](uint64_t now_s, uint64_t refused) { return look(now_s, 0, refused, 0); };
  EXPECT_EQ(ring(1, 0), "");
  EXPECT_EQ(ring(2, 3), "table: full, 3 refused\n");
  EXPECT_EQ(ring(11, 3), "");
  EXPECT_EQ(ring(12, 3), "table: available again, 3 were refused\n");
}

TEST_F(ExhaustionTest, a_resource_that_is_gone_is_forgotten) {  // a pool prefix that was removed
  look(1, 900);
  EXPECT_TRUE(exhaustion_.look({}, 80, 2000).empty());
  EXPECT_TRUE(exhaustion_.alarms().empty());
}

TEST_F(ExhaustionTest, a_lower_threshold_holds_at_once) {
  look(1, 500);
  const ResourceReading reading{"table", 500, 1000, 0};
  const auto changes = exhaustion_.look({&reading, 1}, 50, 2000);
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_EQ(changes[0].state, ResourceState::high);
}

TEST_F(ExhaustionTest, many_resources_are_kept_apart) {
  const ResourceReading readings[] = {{"a", 90, 100, 0}, {"b", 10, 100, 0}, {"c", 100, 100, 1}};
  EXPECT_EQ(exhaustion_.look(readings, 80, 1000).size(), 2U);
  EXPECT_EQ(exhaustion_.alarms().size(), 2U);
}

}  // namespace
}  // namespace portolan::control
