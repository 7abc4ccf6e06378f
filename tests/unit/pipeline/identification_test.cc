// Identifications: never twice between two addresses while there are numbers, and none tells another.
#include "dataplane/pipeline/identification.h"

#include <gtest/gtest.h>
#include <set>
#include <vector>

namespace portolan::pipeline {
namespace {

constexpr net::Ipv4 outside{0xc0000201}, remote{0xc6336409};
constexpr net::Ipv6 aftr{{0x20, 1, 0xd, 0xb8, 0, 0xa, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
constexpr net::Ipv6 b4_of(uint8_t home) { return {{0x20, 1, 0xd, 0xb8, 0, 0xb, home, 0, 0, 0, 0, 0, 0, 0, 0, 1}}; }

TEST(Identifications, DSL_038_no_number_twice_before_all_were_used) {
  for (const unsigned workers : {1U, 3U, 8U}) {
    std::set<uint16_t> given;
    for (unsigned worker = 0; worker < workers; ++worker) {
      Identifications identifications(worker, workers);
      for (unsigned i = 0; i < 65536 / workers; ++i)
        ASSERT_TRUE(given.insert(identifications.next(outside, remote, net::Protocol::udp, true)).second)
            << worker << " of " << workers << ", number " << i;
    }
    EXPECT_GT(given.size(), 65536 - workers);
  }
}

TEST(Identifications, DSL_038_all_numbers_are_for_the_one_owner_of_an_address) {
  Identifications identifications(5, 8);
  std::set<uint16_t> given;
  for (unsigned i = 0; i < 65536; ++i)
    ASSERT_TRUE(given.insert(identifications.next(outside, remote, net::Protocol::udp, false)).second) << i;
}

TEST(Identifications, DSL_038_pairs_have_counters_of_their_own) {
  Identifications identifications(0, 1);
  std::set<uint16_t> given;
  for (int i = 0; i < 60'000; ++i) {
    ASSERT_TRUE(given.insert(identifications.next(outside, remote, net::Protocol::udp, false)).second) << i;
    identifications.next(outside, remote, net::Protocol::tcp, false);
    identifications.next(outside, {0x01010101}, net::Protocol::udp, false);
    identifications.next({0xc0000202}, remote, net::Protocol::udp, false);
  }
}

TEST(Identifications, DSL_039_of_one_b4_tell_nothing_of_another) {
  Identifications identifications(0, 1);
  std::set<uint32_t> first, second, distances, steps;
  uint32_t before = 0;
  for (int i = 0; i < 1000; ++i) {
    const uint32_t a = identifications.next(aftr, b4_of(1)), b = identifications.next(aftr, b4_of(2));
    EXPECT_TRUE(first.insert(a).second) << "given twice";
    EXPECT_TRUE(second.insert(b).second) << "given twice";
    distances.insert(b - a);
    if (i > 0) steps.insert(a - before);
    before = a;
  }
  EXPECT_GT(distances.size(), 500U);
  EXPECT_GT(steps.size(), 50U) << "a B4 that knows its last one still has to guess the next";
}

TEST(Identifications, DSL_039_begin_anew_with_every_process) {
  Identifications one(0, 1), other(0, 1);
  EXPECT_NE(one.next(aftr, b4_of(1)), other.next(aftr, b4_of(1)));
}

}  // namespace
}  // namespace portolan::pipeline
