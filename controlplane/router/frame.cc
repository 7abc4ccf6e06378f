// Headers in front of what is there already. Owner of the bytes: the Frame, one a packet, on the stack.
#include "controlplane/router/frame.h"

#include <cassert>
#include <cstring>

#include "dataplane/net/checksum.h"

namespace portolan::control {

namespace {

// RFC 768: a computed checksum of zero is sent as all ones, for zero means "none".
net::be16 finish_udp(net::ChecksumSum sum) {
  const net::be16 checksum = net::finish(sum);
  return checksum == 0 ? net::be16(0xffff) : checksum;
}

}  // namespace

Frame::Frame(std::span<const uint8_t> payload) {
  assert(payload.size() <= payload_bytes_max);
  if (!payload.empty()) std::memcpy(buffer_.data() + begin_, payload.data(), payload.size());
  end_ += payload.size();
}

template <class Header>
Header& Frame::push() {
  assert(begin_ >= sizeof(Header));
  begin_ -= sizeof(Header);
  return net::header_at<Header>(buffer_.data() + begin_) = Header{};
}

Frame& Frame::icmp(uint8_t type, uint8_t code, uint32_t rest) {
  auto& header = push<net::IcmpHeader>();
  header.type = type, header.code = code;
  header.identifier = static_cast<uint16_t>(rest >> 16), header.sequence = static_cast<uint16_t>(rest);
  header.checksum = net::finish(net::sum_of(bytes()));
  return *this;
}

Frame& Frame::icmpv6(uint8_t type, uint8_t code, uint32_t rest, const net::Ipv6& source, const net::Ipv6& destination) {
  auto& header = net::header_at<net::IcmpHeader>(&icmp(type, code, rest).buffer_[begin_]);
  header.checksum = net::be16(0);
  header.checksum =
      net::finish(net::pseudo_header(source, destination, net::Protocol::icmpv6, size()) + net::sum_of(bytes()));
  return *this;
}

Frame& Frame::udp(net::Port from, net::Port to, net::Ipv4 source, net::Ipv4 destination) {
  auto& header = push<net::UdpHeader>();
  header.source = from, header.destination = to, header.length = static_cast<uint16_t>(size());
  header.checksum =
      finish_udp(net::pseudo_header(source, destination, net::Protocol::udp, size()) + net::sum_of(bytes()));
  return *this;
}

Frame& Frame::udp(net::Port from, net::Port to, const net::Ipv6& source, const net::Ipv6& destination) {
  auto& header = push<net::UdpHeader>();
  header.source = from, header.destination = to, header.length = static_cast<uint16_t>(size());
  header.checksum =
      finish_udp(net::pseudo_header(source, destination, net::Protocol::udp, size()) + net::sum_of(bytes()));
  return *this;
}

Frame& Frame::ipv4(net::Ipv4 source, net::Ipv4 destination, net::Protocol protocol, uint8_t tos) {
  auto& header = push<net::Ipv4Header>();
  header.version_ihl = 0x45, header.tos = tos;
  header.total_length = static_cast<uint16_t>(size());
  header.flags_offset = uint16_t{0x4000};
  header.ttl = host_ttl, header.protocol = static_cast<uint8_t>(protocol);
  header.source = source, header.destination = destination;
  net::set_checksum(header);
  return *this;
}

Frame& Frame::ipv6(const net::Ipv6& source, const net::Ipv6& destination, net::Protocol next, uint8_t traffic_class,
                   uint8_t hop_limit) {
  const size_t payload_bytes = size();
  auto& header = push<net::Ipv6Header>();
  header.version_class_flow = uint32_t{6} << 28 | uint32_t{traffic_class} << 20;
  header.payload_length = static_cast<uint16_t>(payload_bytes);
  header.next_header = static_cast<uint8_t>(next), header.hop_limit = hop_limit;
  header.source = source, header.destination = destination;
  return *this;
}

Frame& Frame::encapsulation_limit(uint8_t limit, net::Protocol next) {
  auto& header = push<net::EncapsulationLimit>();
  header.next_header = static_cast<uint8_t>(next), header.limit = limit;
  return *this;
}

Frame& Frame::ethernet(const net::Mac& destination, const net::Mac& source, uint16_t vlan, net::EtherType type) {
  if (vlan != 0) {
    auto& tag = push<net::VlanTag>();
    tag.control = vlan, tag.type = static_cast<uint16_t>(type);
    type = net::EtherType::vlan;
  }
  auto& header = push<net::EthernetHeader>();
  header.destination = destination, header.source = source, header.type = static_cast<uint16_t>(type);
  return *this;
}

}  // namespace portolan::control
