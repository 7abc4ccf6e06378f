#include "bench/generator/frames.h"

#include <gtest/gtest.h>
#include <map>
#include <vector>

namespace portolan::bench {
namespace {

constexpr net::Endpoint inside{{0x0a000001}, {4000}}, remote{{0xc6138001}, {80}};
constexpr Tag tag{123'456, 0xabcdef01, 0x0123456789abcdef};

std::vector<uint8_t> frame_of(bool tunnelled, size_t frame_bytes, const Tag& with = tag) {
  const FrameTemplate frames(tunnelled, frame_bytes, net::Mac{{2, 1}}, net::Mac{{2, 2}});
  std::vector<uint8_t> frame(std::max<size_t>(frames.bytes(), FrameTemplate::written_bytes), filler);
  frames.write(frame.data(), 77, inside, remote, with);
  frame.resize(frames.bytes());
  return frame;
}

Expectation expected(bool tunnelled, size_t frame_bytes) {
  return {tunnelled, frame_bytes, b4_address(77), aftr_address, inside, remote};
}

Fault fault_of(const std::vector<uint8_t>& frame, const Expectation& expectation) {
  return find_fault(frame.data(), frame.size(), expectation);
}

// RFC 8219 §5.1.1's sizes, and odd ones, on both sides; the checksums are recomputed by find_fault().
TEST(Frames, BEN_002_each_size_of_the_ipv4_side_is_written_whole_and_BEN_003_has_forty_octets_more_in_a_tunnel) {
  for (const size_t bytes : {64U, 65U, 128U, 255U, 256U, 512U, 768U, 1024U, 1280U, 1400U, 1518U})
    for (const bool tunnelled : {false, true}) {
      const auto frame = frame_of(tunnelled, bytes);
      EXPECT_EQ(frame.size(), bytes - 4 + (tunnelled ? 40 : 0));
      EXPECT_EQ(fault_of(frame, expected(tunnelled, bytes)), Fault::none) << bytes;
      const Tag found = tag_at(frame.data(), tag_offset(tunnelled));
      EXPECT_EQ(found.flow, tag.flow);
      EXPECT_EQ(found.mark, tag.mark);
      EXPECT_EQ(found.sent_tsc, tag.sent_tsc);
    }
}

// RFC 6985's reason to tell of them: so that somebody else can have the same mix.
TEST(Frames, BEN_031_the_mix_is_seven_four_and_one_of_twelve) {
  const FrameSizes mixed(FrameSizes::imix);
  std::map<size_t, unsigned> flows;
  for (uint32_t flow = 0; flow < 12'000; ++flow) {
    ++flows[mixed.bytes_of(flow)];
    EXPECT_EQ(mixed.bytes_of(flow), mixed.bytes_of_class(mixed.class_of(flow)));
    EXPECT_LT(mixed.class_of(flow), mixed.classes());
  }
  EXPECT_EQ(flows, (std::map<size_t, unsigned>{{64, 7'000}, {594, 4'000}, {1478, 1'000}}));
  const FrameSizes one(128);
  EXPECT_EQ(one.classes(), 1U);
  EXPECT_EQ(one.bytes_of(11), 128U);
}

// Whatever octet changes, but for those that say nothing of a packet's translation.
TEST(Frames, every_changed_octet_is_found) {
  const auto good = frame_of(true, 64);
  const auto expectation = expected(true, 64);
  for (size_t at = 12; at < good.size(); ++at) {
    auto frame = good;
    frame[at] ^= 0x01;
    const bool is_class_flow_or_hops = (at >= 14 && at < 18) || at == 21;
    if (is_class_flow_or_hops) continue;
    EXPECT_NE(fault_of(frame, expectation), Fault::none) << at;
  }
}

TEST(Frames, a_fault_is_called_by_its_name) {
  const auto good = frame_of(true, 64);
  auto expectation = expected(true, 64);
  expectation.softwire_source = b4_address(78);
  EXPECT_EQ(fault_of(good, expectation), Fault::softwire);
  expectation = expected(true, 64);
  expectation.source.port = {4001};
  EXPECT_EQ(fault_of(good, expectation), Fault::source);
  expectation = expected(true, 64);
  expectation.destination.address = {0xc6138002};
  EXPECT_EQ(fault_of(good, expectation), Fault::destination);
  EXPECT_EQ(fault_of(good, expected(true, 65)), Fault::length);
  auto frame = good;
  frame[14 + 40 + 10] ^= 1;
  EXPECT_EQ(fault_of(frame, expected(true, 64)), Fault::ip_checksum);
  frame = good;
  frame[14 + 40 + 20 + 6] ^= 1;
  EXPECT_EQ(fault_of(frame, expected(true, 64)), Fault::udp_checksum);
}

// A sum that comes out as zero is sent as all ones: zero would say that there is none (RFC 768).
TEST(Frames, a_udp_checksum_is_never_zero) {
  for (uint32_t flow = 0; flow < 200'000; ++flow) {
    const auto frame = frame_of(false, 64, {flow, 1, 2});
    ASSERT_NE(net::header_at<net::UdpHeader>(frame.data() + 34).checksum, 0) << flow;
  }
}

}  // namespace
}  // namespace portolan::bench
