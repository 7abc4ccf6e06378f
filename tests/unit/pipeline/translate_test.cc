// The incremental checksums at every value there is, and options no SYN should carry. Everything else about translation
// is in tests/packets.
#include "dataplane/pipeline/translate.h"

#include <gtest/gtest.h>
#include <random>
#include <vector>

#include "dataplane/net/checksum.h"
#include "tests/unit/nat/fixture.h"

namespace portolan::pipeline {
namespace {

// A packet of 10.0.0.2:5000 with two octets of payload, its checksum right.
class Datagram {
  std::vector<uint8_t> bytes_;

 public:
  Packet packet;

  Datagram(net::Protocol protocol, uint16_t word) : bytes_(20 + (protocol == net::Protocol::tcp ? 20U : 8U) + 2U) {
    auto& ip = net::header_at<net::Ipv4Header>(bytes_.data());
    ip = {.version_ihl = 0x45,
          .tos = 0,
          .total_length = static_cast<uint16_t>(bytes_.size()),
          .identification = 0,
          .flags_offset = 0,
          .ttl = 64,
          .protocol = static_cast<uint8_t>(protocol),
          .checksum = 0,
          .source = net::Ipv4{0x0a000002},
          .destination = net::Ipv4{0xc6336409}};
    set_checksum(ip);
    auto& ports = net::header_at<net::UdpHeader>(bytes_.data() + 20);
    ports.source = {5000}, ports.destination = {53};
    if (protocol == net::Protocol::udp) ports.length = static_cast<uint16_t>(bytes_.size() - 20);
    bytes_[bytes_.size() - 2] = static_cast<uint8_t>(word >> 8), bytes_.back() = static_cast<uint8_t>(word);
    checksum_field() = expected();
    packet.data = bytes_.data(), packet.bytes = static_cast<uint32_t>(bytes_.size());
    packet.ip = &ip, packet.transport = bytes_.data() + 20, packet.protocol = protocol;
  }
  net::be16& checksum_field() {
    const bool tcp = bytes_[9] == 6;
    return *reinterpret_cast<net::be16*>(bytes_.data() + 20 + (tcp ? 16 : 6));
  }
  net::be16 expected() {  // in full
    const auto& ip = net::header_at<net::Ipv4Header>(bytes_.data());
    const net::be16 present = std::exchange(checksum_field(), net::be16(0));
    const std::span<const uint8_t> transport = std::span(bytes_).subspan(20);
    const auto value =
        net::finish(pseudo_header(ip.source, ip.destination, net::Protocol{ip.protocol}, transport.size()) +
                    net::sum_of(transport));
    checksum_field() = present;
    return value == 0 && bytes_[9] == 17 ? net::be16(0xffff) : value;
  }
};

class Translate : public nat::ShardTest {};

TEST_F(Translate, DSL_017_udp_and_tcp_checksums_at_every_value) {
  start();
  for (const auto protocol : {net::Protocol::udp, net::Protocol::tcp}) {
    const nat::Mapping& mapping = (*shard_)[open(nat::key_of(1, 5000, protocol))];
    unsigned zeros = 0;
    for (uint32_t word = 0; word <= 0xffff; ++word) {
      Datagram datagram(protocol, static_cast<uint16_t>(word));
      rewrite_outbound(datagram.packet, mapping, 0);
      ASSERT_EQ(datagram.packet.ip->source, mapping.outside_address);
      ASSERT_TRUE(checksum_is_right(*datagram.packet.ip));
      ASSERT_EQ(datagram.checksum_field(), datagram.expected()) << "payload " << word;
      const uint16_t edge = protocol == net::Protocol::udp ? 0xffff : 0;
      if (datagram.checksum_field() == edge) ++zeros;
    }
    EXPECT_GE(zeros, 1U) << "the edge was not met";
  }
}

TEST_F(Translate, there_and_back_is_the_packet_it_was) {
  start();
  const nat::Mapping& mapping = (*shard_)[open(nat::key_of(1, 5000))];
  Datagram datagram(net::Protocol::udp, 0x1234);
  auto& ip = *datagram.packet.ip;
  const net::be16 before = datagram.checksum_field();
  rewrite_outbound(datagram.packet, mapping, 0);
  ip.destination = std::exchange(ip.source, ip.destination);  // the sums are the same
  auto& ports = net::header_at<net::UdpHeader>(datagram.packet.transport);
  ports.destination = std::exchange(ports.source, ports.destination);
  rewrite_inbound(datagram.packet, mapping, false, datagram.packet.ip->tos);
  EXPECT_EQ(ip.destination, net::Ipv4{0x0a000002});
  EXPECT_EQ(ports.destination.number, 5000);
  EXPECT_EQ(datagram.checksum_field(), before);
}

// Options as an attacker writes them: nothing is written beyond the header, and no loop.
TEST(ClampMss, random_options_stay_in_the_header) {
  std::mt19937 random(8);
  for (int i = 0; i < 200'000; ++i) {
    const size_t header = 20 + 4 * (random() % 11);
    std::vector<uint8_t> bytes(header);  // as long as the header: a step beyond it is one for ASan
    for (auto& byte : bytes) byte = static_cast<uint8_t>(random() % 3 == 0 ? random() : random() % 5);
    auto& tcp = net::header_at<net::TcpHeader>(bytes.data());
    tcp.offset = static_cast<uint8_t>(header / 4 << 4);
    tcp.flags = net::tcp_syn;
    const uint16_t sum = net::fold(net::sum_of(bytes));
    clamp_mss(tcp, 1420);
    ASSERT_EQ(net::fold(net::sum_of(bytes)) % 0xffff, sum % 0xffff) << "the checksum must follow what was changed";
  }
}

}  // namespace
}  // namespace portolan::pipeline
