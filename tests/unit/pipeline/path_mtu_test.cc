// What is known of a path, for how long, and what happens when there is no more room.
#include "dataplane/pipeline/path_mtu.h"

#include <gtest/gtest.h>

namespace portolan::pipeline {
namespace {

net::Ipv6 b4(unsigned number) {
  net::Ipv6 address{{0x20, 1, 0x0d, 0xb8}};
  address.bytes[14] = static_cast<uint8_t>(number >> 8), address.bytes[15] = static_cast<uint8_t>(number);
  return address;
}

TEST(PathMtus, DSL_032_a_value_holds_ten_minutes_from_the_last_error_and_no_error_raises_it) {
  PathMtus paths(64);
  EXPECT_EQ(paths.to(b4(1), 1500, 1000), 1500);
  EXPECT_TRUE(paths.note(b4(1), 1400, 1000));
  EXPECT_EQ(paths.to(b4(1), 1500, 1000), 1400);
  EXPECT_EQ(paths.to(b4(2), 1500, 1000), 1500) << "another B4";
  EXPECT_EQ(paths.to(b4(1), 1380, 1000), 1380) << "softwire.mtu is less";
  EXPECT_TRUE(paths.note(b4(1), 1450, 1300));
  EXPECT_EQ(paths.to(b4(1), 1500, 1899), 1400);
  EXPECT_EQ(paths.to(b4(1), 1500, 1900), 1500);
  EXPECT_TRUE(paths.note(b4(1), 1450, 1901));
  EXPECT_EQ(paths.to(b4(1), 1500, 1901), 1450) << "what was is forgotten";
}

TEST(PathMtus, full_of_live_values_takes_no_other_and_loses_none) {
  PathMtus paths(8);
  for (unsigned i = 0; i < 8; ++i) EXPECT_TRUE(paths.note(b4(i), 1300, 1000 + i));
  EXPECT_FALSE(paths.note(b4(8), 1300, 1599));
  EXPECT_TRUE(paths.note(b4(7), 1290, 1599)) << "one of them";
  for (unsigned i = 0; i < 7; ++i) EXPECT_EQ(paths.to(b4(i), 1500, 1599), 1300);
  EXPECT_TRUE(paths.note(b4(8), 1300, 1600)) << "the first is over";
  EXPECT_EQ(paths.to(b4(0), 1500, 1600), 1500);
}

TEST(PathMtus, thousands_find_room_in_what_is_reserved) {
  PathMtus paths;
  unsigned kept = 0;
  for (unsigned i = 0; i < 2'000; ++i) kept += paths.note(b4(i), 1300, 1000) ? 1U : 0U;
  EXPECT_GT(kept, 1'950U);
}

}  // namespace
}  // namespace portolan::pipeline
