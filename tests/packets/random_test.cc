// 300 000 damaged frames: whatever comes in, nothing is lost, leaked or sent that is not sound. The seed is fixed.
#include <array>
#include <gtest/gtest.h>
#include <random>

#include "dataplane/net/checksum.h"
#include "dataplane/net/text.h"
#include "tests/packets/random_frames.h"

namespace portolan::packets {
namespace {

using pipeline::Side;

constexpr size_t frames_max = 300'000;
constexpr uint32_t start_s = 100'000;

// One of each kind; "%" becomes a port, "@" a host.
constexpr const char* from_b4[] = {
    "2001:db8:b:@00::1 > 2001:db8:a::1 / 10.0.0.@:4% > 198.51.100.@:53 udp 30",
    "2001:db8:b:@00::1 > 2001:db8:a::2 dstopt / 10.0.0.@:4% > 198.51.100.9:80 tcp S 0 mss 1460",
    "2001:db8:b:@00::1 > 2001:db8:a::1 / 10.0.0.@:4% > 198.51.100.9:80 tcp FA 0 oddmss 1460",
    "2001:db8:b:@00::1 > 2001:db8:a::1 / 10.0.0.@:4% > 198.51.100.9:80 tcp R 7",
    "2001:db8:b:@00::1 > 2001:db8:a::1 tc 3 / 10.0.0.@ > 198.51.100.9 icmp echo 4% 1 30",
    "2001:db8:b:@00::1 > 2001:db8:a::1 / 10.0.0.@:4% > 192.0.2.@:2% udp 1500",
    "2001:db8:b:@00::1 > 2001:db8:a::1 / 10.0.0.@ > 198.51.100.9 icmp 3 3 about 198.51.100.9:53 > 10.0.0.@:4% udp 9",
    "2001:db8:b:@00::1 > 2001:db8:a::1 frag 0-32 @ / 10.0.0.@:4% > 198.51.100.9:53 udp 60",
    "2001:db8:b:@00::1 > 2001:db8:a::1 frag 32-88 @ / 10.0.0.@:4% > 198.51.100.9:53 udp 60",
    "2001:db8:b:@00::1 > 2001:db8:a::1 frag 0-800 @ after 0400040104010100 / 10.0.0.2:400 > 198.51.100.9:53 udp 1500",
    "2001:db8:b:@00::1 > 2001:db8:a::1 frag 800-1536 @ after 0400040104010100 / 10.0.0.2:400 > 198.51.100.9:53 udp "
    "1500",
    "2001:db8:b:@00::1 > 2001:db8:a::1 / 10.0.0.2:401 > 198.51.100.9:53 udp 3000 id @ frag 0-1000",
    "2001:db8:b:@00::1 > 2001:db8:a::1 / 10.0.0.2:401 > 198.51.100.9:53 udp 3000 id @ frag 1000-2000",
    "2001:db8:b:@00::1 > 2001:db8:a::1 / 10.0.0.2:401 > 198.51.100.9:53 udp 3000 id @ frag 2000-3008",
    "2001:db8:b:@00::1 > 2001:db8:a::1 / 10.0.0.2:402 > 192.0.2.@:2% udp 3000 id @ frag 0-1000",
    "2001:db8:b:@00::1 > 2001:db8:a::1 / 10.0.0.2:402 > 192.0.2.@:2% udp 3000 id @ frag 1000-3008",
    "2001:db8:b:@00::1 > 2001:db8:a::1 nh 43 ext 0400000100000000 / 10.0.0.@:4% > 198.51.100.9:53 udp 1",
};
constexpr const char* from_inside[] = {
    "100.64.1.@:4% > 198.51.100.@:53 udp 30",
    "100.64.1.@:4% > 198.51.100.9:80 tcp S 0 mss 1460",
    "100.64.1.@ > 198.51.100.9 icmp echo 4% 1 30",
    "100.64.1.@:4% > 192.0.2.@:2% udp 1473",
    "100.64.0.7 > 198.51.100.9 icmp 11 0 about 198.51.100.9:53 > 100.64.1.@:4% udp 9",
    "vlan 0x6000 100.64.1.@:4% > 198.51.100.@:53 udp 30 opts 01010100",
};
constexpr const char* from_internet[] = {
    "198.51.100.@:53 > 192.0.2.@:2% udp 30 opts 01010100",
    "198.51.100.9:80 > 192.0.2.@:2% tcp SA 0 mss 1460",
    "198.51.100.9:80 > 192.0.2.@:2% tcp RA 0",
    "198.51.100.9 > 192.0.2.@ icmp reply 2% 1 30",
    "203.0.113.1 > 192.0.2.@ icmp 3 4 mtu 1400 about 192.0.2.@:2% > 198.51.100.9:53 udp 40",
    "203.0.113.1 > 192.0.2.@ icmp 11 0 extended about 192.0.2.@:2% > 198.51.100.9:80 tcp A 40",
    "198.51.100.@:53 > 192.0.2.@:2% udp 3000",
    "198.51.100.9:53 > 192.0.2.@:2% udp 3000 id @ frag 0-1504",
    "198.51.100.9:53 > 192.0.2.@:2% udp 3000 id @ frag 1504-3008",
};

class RandomFrames {
  std::mt19937 random_{20'111'122};

 public:
  uint32_t below(uint32_t count) { return static_cast<uint32_t>(random_()) % count; }

  Bytes next(Side side) {
    std::string text = side == Side::access     ? from_b4[below(std::size(from_b4))]
                       : side == Side::internet ? from_internet[below(std::size(from_internet))]
                                                : from_inside[below(std::size(from_inside))];
    const char port[] = {static_cast<char>('0' + below(2)), static_cast<char>('0' + below(10)),
                         static_cast<char>('0' + below(10)), 0};
    const std::string host = std::to_string(below(4));
    for (size_t at; (at = text.find_first_of("%@")) != text.npos;) text.replace(at, 1, text[at] == '%' ? port : host);
    Variables none;
    Bytes frame = incoming(split(text), side, none);
    if (below(3) != 0) damage(frame);
    return frame;
  }

 private:
  void damage(Bytes& frame) {
    for (uint32_t i = below(4) + 1; i > 0 && !frame.empty(); --i) {
      const size_t at = below(static_cast<uint32_t>(std::min<size_t>(frame.size(), 160)));
      switch (below(6)) {
        case 0:
          frame[at] = static_cast<uint8_t>(frame[at] ^ 1U << below(8));
          break;
        case 1:
          frame[at] = static_cast<uint8_t>(random_());
          break;
        case 2:
          frame.resize(at);
          break;
        case 3:
          frame.insert(frame.begin() + static_cast<std::ptrdiff_t>(at), below(9), static_cast<uint8_t>(random_()));
          break;
        case 4:
          frame.erase(frame.begin() + static_cast<std::ptrdiff_t>(at));
          break;
        case 5:
          frame[at] = below(2) != 0 ? 0xff : 0;
          break;
      }
    }
    if (below(2) != 0) mend(frame);
  }

  // A right header checksum again, so that the damage gets past it.
  static void mend(Bytes& frame) {
    for (const size_t at : {size_t{14}, size_t{54}}) {
      if (frame.size() < at + 60 || frame[at] >> 4 != 4) continue;
      set_checksum(net::header_at<net::Ipv4Header>(frame.data() + at));
    }
  }
};

class RandomFramesTest : public testing::TestWithParam<unsigned> {};

TEST_P(RandomFramesTest, nothing_is_lost_or_leaked) {
  Settings settings = default_settings();
  settings.workers = GetParam();
  settings.snapshot.inside.prefixes = {*net::parse_ipv4_prefix("100.64.1.0/30")};
  settings.ports = {2000, 2511};
  settings.block_ports = 64;
  settings.shard.mappings_max = 600;
  settings.buffers_max = 20'000;
  settings.fragments_max = 256;
  Network network(settings);
  RandomFrames frames;
  uint32_t now_s = start_s;
  size_t sent = 0;
  for (size_t count = 0; count < frames_max / 4;) {
    const Side side = std::array{Side::access, Side::access, Side::internet, Side::inside}[frames.below(4)];
    std::vector<Bytes> burst(frames.below(pipeline::burst_max) + 1);
    for (auto& frame : burst) frame = frames.next(side);
    count += burst.size();
    for (const auto& outcome : network.deliver(frames.below(settings.workers), side, burst, now_s)) {
      sent += outcome.fate == pipeline::Fate::send ? 1 : 0;
      ASSERT_EQ(fault_of(outcome, settings), "") << "after " << count << " frames";
    }
    if (frames.below(8) == 0) now_s += frames.below(40);
    for (const auto& outcome : network.expire(now_s)) {
      ASSERT_EQ(fault_of(outcome, settings), "") << "after " << count << " frames";
    }
    if (frames.below(200) == 0) {
      ASSERT_EQ(network.contradictions(), "") << "after " << count << " frames";
    }
  }
  EXPECT_GT(sent, frames_max / 300);  // half of what comes from B4s are fragments, which seldom become whole
  EXPECT_GT(network.counters()["reassembled"], 20U);
  EXPECT_EQ(network.contradictions(), "");
  for (int i = 0; i < 2; ++i) network.expire(now_s += 10'000);  // the mappings, then their quarantine
  EXPECT_EQ(network.contradictions(), "");
  EXPECT_TRUE(network.empty());
}

INSTANTIATE_TEST_SUITE_P(workers, RandomFramesTest, testing::Values(1U, 2U, 3U, 8U));

}  // namespace
}  // namespace portolan::packets
