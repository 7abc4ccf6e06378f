// What makes a record another packet's, or one that changes: field by field, for the fast path meets most of these once
// in many thousand buckets.
#include "dataplane/pipeline/steady.h"

#include <array>
#include <functional>
#include <gtest/gtest.h>

#include "dataplane/net/checksum.h"
#include "dataplane/pipeline/plain_packet.h"

namespace portolan::pipeline {
namespace {

using nat::Mapping;
using nat::TcpState;

struct Packet {
  std::array<uint8_t, sizeof(net::Ipv4Header) + sizeof(net::TcpHeader)> octets{};
  net::Ipv4Header& ip() { return net::header_at<net::Ipv4Header>(octets.data()); }
  net::UdpHeader& ports() { return net::header_at<net::UdpHeader>(octets.data() + sizeof(net::Ipv4Header)); }
};

constexpr net::Endpoint inside{{0x0a000001}, {1000}}, remote{{0xc6336409}, {53}};

class SteadyTest : public testing::TestWithParam<net::Protocol> {
 protected:
  SteadyTest() {
    mapping_.b4.bytes = {0x20, 1, 0xd, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    mapping_.inside_address = inside.address, mapping_.inside_port = inside.port;
    mapping_.outside_address = {0xc0000201}, mapping_.outside_port = {2000};
    mapping_.protocol = GetParam();
    mapping_.flags = Mapping::in_use | Mapping::implicit_life;
    mapping_.tcp_state = is_tcp() ? TcpState::established : TcpState::none;
    mapping_.softwire = 3;
    mapping_.first_remote = remote;
    mapping_.version = 4;
  }
  static bool is_tcp() { return GetParam() == net::Protocol::tcp; }
  static Packet packet(net::Endpoint from, net::Endpoint to) {
    Packet packet;
    packet.ip().ttl = 64, packet.ip().checksum = uint16_t{0xabcd};
    packet.ip().protocol = static_cast<uint8_t>(GetParam());
    packet.ip().source = from.address, packet.ip().destination = to.address;
    packet.ports().source = from.port, packet.ports().destination = to.port;
    return packet;
  }
  static bool outbound(const Mapping& mapping, bool knows_remotes = true) {
    static constexpr std::array<uint8_t, 16> b4{0x20, 1, 0xd, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    return Steady(knows_remotes)
        .outbound(mapping, packet(inside, remote).octets.data(), is_tcp(), octets_at(b4.data()), 3);
  }
  static bool inbound(const Mapping& mapping, bool knows_remotes = true) {
    return Steady(knows_remotes).inbound(mapping, packet(remote, mapping.outside()).octets.data(), is_tcp());
  }
  Mapping with(const std::function<void(Mapping&)>& change) const {
    Mapping changed = mapping_;
    change(changed);
    return changed;
  }

  Mapping mapping_;
};

TEST_P(SteadyTest, a_packet_of_its_own_mapping) {
  EXPECT_TRUE(outbound(mapping_));
  EXPECT_TRUE(inbound(mapping_));
}

TEST_P(SteadyTest, another_ones_record) {
  for (size_t octet = 0; octet < 16; ++octet) {
    EXPECT_FALSE(outbound(with([&](Mapping& m) { m.b4.bytes[octet] ^= 1; }))) << octet;
  }
  for (const uint32_t bit : {1U, 1U << 8, 1U << 16, 1U << 24}) {
    EXPECT_FALSE(outbound(with([&](Mapping& m) { m.inside_address = {inside.address.bits ^ bit}; }))) << bit;
  }
  for (const int bit : {1, 1 << 8}) {
    const net::Port other{static_cast<uint16_t>(inside.port.number ^ bit)};
    EXPECT_FALSE(outbound(with([&](Mapping& m) { m.inside_port = other; }))) << bit;
  }
  EXPECT_FALSE(outbound(with([](Mapping& m) { m.protocol = net::Protocol::icmp; })));
  EXPECT_FALSE(outbound(with([](Mapping& m) { m.softwire = 2; })));
}

TEST_P(SteadyTest, another_remote_counts_where_remotes_are_known_and_for_tcp) {
  const auto from = [this](uint32_t address_bit, uint16_t port_bit) {
    return with([=](Mapping& m) {
      m.first_remote = {{remote.address.bits ^ address_bit}, {static_cast<uint16_t>(remote.port.number ^ port_bit)}};
    });
  };
  for (const auto& other : {from(1, 0), from(1U << 24, 0), from(0, 1), from(0, 1 << 8)}) {
    EXPECT_FALSE(outbound(other));
    EXPECT_FALSE(inbound(other));
    EXPECT_EQ(outbound(other, false), !is_tcp());
    EXPECT_EQ(inbound(other, false), !is_tcp());
  }
}

TEST_P(SteadyTest, flags_that_make_a_difference) {
  for (const uint8_t flag : {Mapping::held, Mapping::many_remotes, Mapping::listed}) {
    const Mapping changed = with([&](Mapping& m) { m.flags ^= flag; });
    EXPECT_FALSE(outbound(changed)) << int{flag};
    EXPECT_FALSE(inbound(changed)) << int{flag};
  }
  const Mapping freed = with([](Mapping& m) { m.flags ^= Mapping::in_use; });
  EXPECT_FALSE(outbound(freed));
  EXPECT_FALSE(inbound(freed));
  const Mapping silent = with([](Mapping& m) { m.flags = Mapping::in_use | Mapping::explicit_life; });
  EXPECT_FALSE(outbound(silent)) << "its first packet begins an implicit life";
  EXPECT_TRUE(inbound(silent));
}

TEST_P(SteadyTest, flags_and_fields_that_make_none) {
  for (const uint8_t flag : {Mapping::explicit_life, Mapping::plain, Mapping::untracked}) {
    const Mapping changed = with([&](Mapping& m) { m.flags ^= flag; });
    EXPECT_TRUE(outbound(changed)) << int{flag};
    EXPECT_TRUE(inbound(changed)) << int{flag};
  }
  const Mapping changed = with([](Mapping& m) {
    m.outside_address = {0xc0000209}, m.outside_port = {3000};
    m.address_delta = m.endpoint_delta = 0xffff;
    m.last_seen_s = m.expiry_s = m.subscriber = m.wheel_next = m.wheel_previous = ~uint32_t{0};
    m.version = 0xfffe;
  });
  EXPECT_TRUE(outbound(changed));
  EXPECT_TRUE(inbound(changed));
}

TEST_P(SteadyTest, a_connection_that_is_not_established) {
  for (const auto state : {TcpState::none, TcpState::init, TcpState::init_inbound, TcpState::established,
                           TcpState::client_fin, TcpState::server_fin, TcpState::both_fin, TcpState::trans}) {
    const Mapping changed = with([&](Mapping& m) { m.tcp_state = state; });
    EXPECT_EQ(outbound(changed), state == mapping_.tcp_state) << static_cast<int>(state);
    EXPECT_EQ(inbound(changed), state == mapping_.tcp_state) << static_cast<int>(state);
  }
}

INSTANTIATE_TEST_SUITE_P(transport, SteadyTest, testing::Values(net::Protocol::udp, net::Protocol::tcp),
                         [](const auto& test) { return test.param == net::Protocol::tcp ? "tcp" : "udp"; });

// RFC 1071: right if the words of 16 bits add up to 0xffff with their carries; here a header is damaged bit by bit.
TEST(PlainChecksum, tells_a_damaged_header) {
  const std::array<uint8_t, 20> right{0x45, 0,    0,    0x3c, 0xff, 0xff, 0x40, 0,    64,   6,
                                      0x05, 0xed, 0xff, 0xfe, 0xff, 0xff, 0xfe, 0xff, 0xff, 0x79};
  net::Ipv4Header header;
  std::memcpy(&header, right.data(), sizeof header);
  net::set_checksum(header);
  const auto is_right = [](const net::Ipv4Header& of) {
    const auto* at = reinterpret_cast<const uint8_t*>(&of);
    return checksum_is_right(load<uint64_t>(at), load<uint64_t>(at + 8), load<uint32_t>(at + 16));
  };
  EXPECT_TRUE(is_right(header));
  for (size_t bit = 0; bit < 8 * sizeof header; ++bit) {
    if (bit / 8 == 6 || bit / 8 == 7) continue;  // a fragment's, which is not asked about
    net::Ipv4Header damaged = header;
    reinterpret_cast<uint8_t*>(&damaged)[bit / 8] ^= static_cast<uint8_t>(1U << bit % 8);
    EXPECT_FALSE(is_right(damaged)) << bit;
  }
}

}  // namespace
}  // namespace portolan::pipeline
