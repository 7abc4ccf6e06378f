// Which side a frame belongs to, tag in the frame or taken off by the device; and that no tag is seen afterwards.
#include "dataplane/pipeline/link.h"

#include <gtest/gtest.h>
#include <vector>

namespace portolan::pipeline {
namespace {

using nat::Verdict;

constexpr uint16_t arp = 0x0806, ipv4 = 0x0800, ipv6 = 0x86dd, vlan = 0x8100, service_vlan = 0x88a8;

// All three sides, on devices 0, 1, 2 and untagged.
Snapshot three_sides() {
  Snapshot config;
  config.softwire.aftr_addresses.emplace_back();
  config.inside.prefixes.emplace_back();
  return config;
}
Snapshot one_armed(uint16_t access, uint16_t internet, uint16_t inside) {
  auto config = three_sides();
  config.devices = {0, 0, 0};
  config.access.vlan = access, config.internet.vlan = internet, config.inside.vlan = inside;
  return config;
}

struct Frame {
  std::vector<uint16_t> words;  // behind the addresses
  uint16_t stripped = 0;
};

struct Entered {
  Packet packet;
  std::vector<uint8_t> bytes;
};

Entered entered(const Snapshot& config, Side on, const Frame& frame) {
  std::vector<uint8_t> bytes{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  for (const uint16_t word : frame.words)
    bytes.push_back(static_cast<uint8_t>(word >> 8)), bytes.push_back(static_cast<uint8_t>(word));
  Packet packet;
  packet.data = bytes.data(), packet.bytes = static_cast<uint32_t>(bytes.size());
  packet.vlan = frame.stripped, packet.context.side = on;
  enter(packet, config);
  return {packet, {packet.data, packet.data + packet.bytes}};
}

void expect_side(const Snapshot& config, Side on, const Frame& frame, Side side, uint16_t type) {
  const auto [packet, bytes] = entered(config, on, frame);
  EXPECT_FALSE(packet.decided());
  EXPECT_EQ(packet.context.side, side);
  const std::vector<uint8_t> expected{
      1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, static_cast<uint8_t>(type >> 8), static_cast<uint8_t>(type), 0xab, 0xcd};
  EXPECT_EQ(bytes, expected);
}

void expect_drop(const Snapshot& config, Side on, const Frame& frame, Verdict verdict) {
  const auto [packet, bytes] = entered(config, on, frame);
  EXPECT_EQ(packet.context.fate, Fate::drop);
  EXPECT_EQ(packet.context.verdict, verdict);
}

TEST(Enter, a_device_of_its_own_and_no_vlan) {
  const auto config = three_sides();
  for (const Side side : sides)
    for (const uint16_t type :
         {arp, ipv4, ipv6, uint16_t{0x88cc}})  // whether it belongs there is the parser's question
      expect_side(config, side, {{type, 0xabcd}}, side, type);
  for (const Side side : sides) {
    expect_drop(config, side, {{vlan, 100, ipv6, 0xabcd}}, Verdict::vlan_refused);
    expect_drop(config, side, {{ipv6, 0xabcd}, 100}, Verdict::vlan_refused);
    expect_side(config, side, {{vlan, 0xe000, ipv6, 0xabcd}}, side, ipv6);  // a priority and no VLAN (IEEE 802.1Q 6.9)
    expect_side(config, side, {{ipv6, 0xabcd}, 0xe000}, side, ipv6);
  }
}

TEST(Enter, a_tag_in_the_frame_or_beside_it) {
  const auto config = one_armed(100, 4094, 300);
  for (const Side on : sides) {  // whichever side of the device the caller named
    expect_side(config, on, {{vlan, 100, ipv6, 0xabcd}}, Side::access, ipv6);
    expect_side(config, on, {{vlan, 0x6000 | 100, ipv6, 0xabcd}}, Side::access, ipv6);
    expect_side(config, on, {{ipv6, 0xabcd}, 0x6000 | 100}, Side::access, ipv6);
    expect_side(config, on, {{vlan, 4094, ipv4, 0xabcd}}, Side::internet, ipv4);
    expect_side(config, on, {{ipv4, 0xabcd}, 4094}, Side::internet, ipv4);
    expect_side(config, on, {{vlan, 300, arp, 0xabcd}}, Side::inside, arp);
    expect_side(config, on, {{vlan, 100, arp, 0xabcd}}, Side::access, arp);  // the parser refuses it
    expect_drop(config, on, {{ipv6, 0xabcd}}, Verdict::vlan_refused);
    expect_drop(config, on, {{vlan, 101, ipv6, 0xabcd}}, Verdict::vlan_refused);
    expect_drop(config, on, {{ipv6, 0xabcd}, 101}, Verdict::vlan_refused);
  }
}

TEST(Enter, one_tag_a_frame) {
  const auto config = one_armed(100, 200, 300);
  const auto [packet, bytes] = entered(config, Side::access, {{vlan, 100, vlan, 200, ipv4}});
  EXPECT_EQ(packet.context.side, Side::access);
  EXPECT_EQ((std::vector<uint8_t>{bytes.begin() + 12, bytes.end()}), (std::vector<uint8_t>{0x81, 0, 0, 200, 8, 0}));
  expect_side(config, Side::access, {{vlan, 0xabcd}, 200}, Side::internet, vlan);
  expect_drop(config, Side::access, {{service_vlan, 100, ipv4}}, Verdict::vlan_refused);
}

TEST(Enter, one_device_untagged_for_ipv6_and_ipv4) {
  for (const auto& config : {one_armed(0, 0, 300), one_armed(100, 100, 300)}) {
    const uint16_t tag = config.access.vlan;
    expect_side(config, Side::access, {{ipv6, 0xabcd}, tag}, Side::access, ipv6);
    expect_side(config, Side::access, {{ipv4, 0xabcd}, tag}, Side::internet, ipv4);
    expect_side(config, Side::access, {{arp, 0xabcd}, tag}, Side::internet, arp);
    expect_side(config, Side::access, {{ipv4, 0xabcd}, 300}, Side::inside, ipv4);
  }
}

TEST(Enter, a_side_that_is_not_served_has_no_frames) {
  auto config = one_armed(0, 0, 0);
  config.inside.prefixes.clear();
  expect_side(config, Side::access, {{ipv4, 0xabcd}}, Side::internet, ipv4);
  config.softwire.aftr_addresses.clear();
  expect_side(config, Side::internet, {{ipv6, 0xabcd}}, Side::internet, ipv6);
}

TEST(Enter, frames_cut_short) {
  const auto config = three_sides();
  for (size_t bytes = 0; bytes < 18; ++bytes) {
    std::vector<uint8_t> frame{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x81, 0, 0, 0, 8, 0};
    frame.resize(bytes);
    frame.shrink_to_fit();
    Packet packet;
    packet.data = frame.data(), packet.bytes = static_cast<uint32_t>(bytes);
    enter(packet, config);
    EXPECT_EQ(packet.context.fate, Fate::drop);
    EXPECT_EQ(packet.context.verdict, Verdict::unknown_ethertype);
  }
}

}  // namespace
}  // namespace portolan::pipeline
