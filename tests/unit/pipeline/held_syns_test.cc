// How long connection attempts are held, what ends the wait, and what happens when there is no more room.
#include "dataplane/pipeline/held_syns.h"

#include <gtest/gtest.h>

namespace portolan::pipeline {
namespace {

constexpr net::Ipv4 here{0xc0000201}, there{0xc6336409};

struct Syn {
  net::Ipv4Header ip;
  net::TcpHeader tcp;
};

Syn syn(uint16_t from, uint16_t to) {
  Syn out{};
  out.ip.version_ihl = 0x45;
  out.ip.source = there, out.ip.destination = here;
  out.tcp.source = {from}, out.tcp.destination = {to};
  return out;
}
bool hold(HeldSyns& held, uint16_t from, uint16_t to, uint32_t now_s) {
  const Syn packet = syn(from, to);
  return held.hold(packet.ip, packet.tcp.source, packet.tcp.destination, now_s);
}
// The remote ports of all that are due.
std::vector<unsigned> take(HeldSyns& held, uint32_t now_s) {
  std::vector<unsigned> ports;
  for (auto octets = held.due(now_s); !octets.empty(); octets = held.due(now_s)) {
    EXPECT_EQ(octets.size(), 28U);
    ports.push_back(net::header_at<net::TcpHeader>(octets.data() + 20).source.number);
    held.pop();
  }
  return ports;
}

using Ports = std::vector<unsigned>;

TEST(HeldSyns, TCP_005_each_waits_more_than_six_seconds_in_its_turn) {
  HeldSyns held(16);
  EXPECT_TRUE(hold(held, 1, 80, 100));
  EXPECT_TRUE(hold(held, 2, 80, 101));
  EXPECT_EQ(take(held, 106), Ports{});
  EXPECT_FALSE(held.any_due(106));
  EXPECT_TRUE(held.any_due(107));
  EXPECT_EQ(take(held, 107), Ports{1});
  EXPECT_EQ(take(held, 107), Ports{});
  EXPECT_EQ(take(held, 1000), Ports{2});
  EXPECT_FALSE(held.any_due(10'000));
}

TEST(HeldSyns, TCP_005_one_sent_again_waits_no_longer_and_is_answered_once) {
  HeldSyns held(16);
  for (const uint32_t now_s : {100U, 101U, 103U}) EXPECT_TRUE(hold(held, 1, 80, now_s));
  EXPECT_EQ(take(held, 107), Ports{1});
  EXPECT_EQ(take(held, 200), Ports{});
}

TEST(HeldSyns, TCP_006_the_inside_opening_the_same_connection_ends_it_and_no_other_does) {
  HeldSyns held(64);
  for (const uint16_t from : {uint16_t{1}, uint16_t{2}}) EXPECT_TRUE(hold(held, from, 80, 100));
  held.forget({here, {80}}, {there, {3}});
  held.forget({here, {81}}, {there, {1}});
  held.forget({there, {80}}, {there, {1}});
  held.forget({here, {80}}, {there, {2}});
  EXPECT_EQ(take(held, 107), Ports{1});
}

TEST(HeldSyns, full_takes_no_more_and_has_room_again) {
  HeldSyns held(8);
  for (uint16_t i = 0; i < 8; ++i) EXPECT_TRUE(hold(held, i, 80, 100));
  EXPECT_FALSE(hold(held, 8, 80, 100));
  EXPECT_TRUE(hold(held, 7, 80, 100)) << "already held";
  EXPECT_EQ(take(held, 107), (Ports{0, 1, 2, 3, 4, 5, 6, 7}));
  for (uint32_t round = 0; round < 5; ++round) {
    for (uint16_t i = 0; i < 6; ++i) EXPECT_TRUE(hold(held, i, 80, 200 + 10 * round));
    EXPECT_EQ(take(held, 207 + 10 * round).size(), 6U);
  }
}

TEST(HeldSyns, keeps_header_options_and_eight_octets) {
  HeldSyns held(8);
  std::array<uint8_t, 80> octets{};
  octets[0] = 0x4f;
  const auto& ip = net::header_at<net::Ipv4Header>(octets.data());
  EXPECT_TRUE(held.hold(ip, {1}, {2}, 0));
  EXPECT_EQ(held.due(7).size(), 68U);
}

}  // namespace
}  // namespace portolan::pipeline
