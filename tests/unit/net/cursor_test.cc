// Reader and Writer: what has failed stays failed.
#include <array>
#include <gtest/gtest.h>

#include "dataplane/net/reader.h"
#include "dataplane/net/types.h"

namespace portolan::net {
namespace {

constexpr std::array<uint8_t, 6> six{1, 2, 3, 4, 5, 6};

TEST(Reader, reads_straight_down) {
  Reader in(six);
  EXPECT_EQ(in.read<be16>(), 0x0102);
  EXPECT_EQ(in.read<be32>(), 0x03040506U);
  EXPECT_EQ(in.size(), 0U);
  EXPECT_FALSE(in.failed());
}

TEST(Reader, failure_yields_zeros_and_stays) {
  Reader in(six);
  in.read<be32>();
  EXPECT_EQ(in.read<be32>(), 0U);
  EXPECT_TRUE(in.failed());
  EXPECT_EQ(in.read<uint8_t>(), 0U);  // two octets were left, but not any more
  EXPECT_TRUE(in.failed());
  EXPECT_EQ(in.size(), 0U);
}

TEST(Reader, take_bounds_the_part) {
  Reader in(six);
  Reader part = in.take(2);
  part.read<be32>();
  EXPECT_TRUE(part.failed());
  EXPECT_FALSE(in.failed());
  EXPECT_EQ(in.read<be16>(), 0x0304);
  EXPECT_EQ(in.take(0).size(), 0U);
  EXPECT_FALSE(in.failed());
  EXPECT_EQ(in.take(~size_t{0}).size(), 0U);
  EXPECT_TRUE(in.failed());
}

TEST(Reader, copies_look_ahead) {
  const Reader in(six);
  Reader ahead = in;
  ahead.take(7);
  EXPECT_TRUE(ahead.failed());
  EXPECT_FALSE(in.failed());
  EXPECT_EQ(in.rest().size(), 6U);
}

TEST(Writer, writes_what_fits_and_nothing_more) {
  std::array<uint8_t, 5> space{};
  Writer out(space);
  out.write(be16(0x0102));
  out.write(be32(0x03040506));
  EXPECT_TRUE(out.failed());
  out.write(uint8_t{9});  // would fit
  EXPECT_EQ(out.size(), 2U);
  EXPECT_EQ(space, (std::array<uint8_t, 5>{1, 2, 0, 0, 0}));
}

TEST(Writer, fills_to_the_last_octet) {
  std::array<uint8_t, 6> space{};
  Writer out(space);
  out.write(std::span<const uint8_t>());
  out.write(six);
  EXPECT_FALSE(out.failed());
  EXPECT_EQ(out.size(), 6U);
  EXPECT_EQ(space, six);
}

}  // namespace
}  // namespace portolan::net
