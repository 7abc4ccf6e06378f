#include "bench/generator/station.h"

#include "dataplane/net/checksum.h"

namespace portolan::bench {

using net::header_at;

namespace {

constexpr size_t ethernet_bytes = sizeof(net::EthernetHeader);
constexpr size_t arp_frame_bytes = ethernet_bytes + sizeof(net::ArpPacket);
constexpr size_t neighbor_frame_bytes = ethernet_bytes + sizeof(net::Ipv6Header) + sizeof(net::NeighborMessage);
constexpr uint16_t hardware_ethernet = 1;
constexpr uint8_t hop_limit_on_link = 255;  // RFC 4861 §7.1
constexpr uint8_t option_source_mac = 1, option_target_mac = 2;
constexpr uint32_t advertisement_flags = 0xe0000000;  // router, solicited, override

size_t write_arp(Station::Frame& frame, const net::Mac& destination, const net::ArpPacket& packet) {
  header_at<net::EthernetHeader>(frame.data()) = {destination, packet.sender_mac,
                                                  static_cast<uint16_t>(net::EtherType::arp)};
  header_at<net::ArpPacket>(frame.data() + ethernet_bytes) = packet;
  return arp_frame_bytes;
}

size_t write_neighbor(Station::Frame& frame, const net::Mac& destination, const net::Mac& source, const net::Ipv6& from,
                      const net::Ipv6& to, net::NeighborMessage message) {
  header_at<net::EthernetHeader>(frame.data()) = {destination, source, static_cast<uint16_t>(net::EtherType::ipv6)};
  auto& header = header_at<net::Ipv6Header>(frame.data() + ethernet_bytes);
  header = {};
  header.version_class_flow = uint32_t{6} << 28;
  header.payload_length = sizeof message;
  header.next_header = static_cast<uint8_t>(net::Protocol::icmpv6);
  header.hop_limit = hop_limit_on_link;
  header.source = from;
  header.destination = to;
  message.mac = source;
  message.option_units = 1;
  const auto bytes = std::as_bytes(std::span(&message, 1));
  message.checksum = net::finish(net::pseudo_header(from, to, net::Protocol::icmpv6, sizeof message) +
                                 net::sum_of({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}));
  header_at<net::NeighborMessage>(frame.data() + ethernet_bytes + sizeof header) = message;
  return neighbor_frame_bytes;
}

}  // namespace

size_t Station::handle(std::span<const uint8_t> frame, Frame& answer) {
  if (frame.size() < arp_frame_bytes) return 0;
  const auto type = static_cast<net::EtherType>(uint16_t{header_at<net::EthernetHeader>(frame.data()).type});
  if (type == net::EtherType::arp) return handle_arp(header_at<net::ArpPacket>(frame.data() + ethernet_bytes), answer);
  if (type != net::EtherType::ipv6 || frame.size() < neighbor_frame_bytes) return 0;
  const auto& header = header_at<net::Ipv6Header>(frame.data() + ethernet_bytes);
  if (header.next_header != static_cast<uint8_t>(net::Protocol::icmpv6) || header.hop_limit != hop_limit_on_link)
    return 0;
  return handle_neighbor(header, header_at<net::NeighborMessage>(frame.data() + ethernet_bytes + sizeof header),
                         answer);
}

size_t Station::handle_arp(const net::ArpPacket& request, Frame& answer) {
  if (!addresses_.own_ipv4) return 0;
  if (request.sender == addresses_.device_ipv4) device_mac_ = request.sender_mac;
  if (request.operation != net::arp_request || request.target != *addresses_.own_ipv4) return 0;
  found_ = true;
  net::ArpPacket reply = request;
  reply.operation = net::arp_reply;
  reply.sender_mac = mac_;
  reply.sender = *addresses_.own_ipv4;
  reply.target_mac = request.sender_mac;
  reply.target = request.sender;
  return write_arp(answer, request.sender_mac, reply);
}

size_t Station::handle_neighbor(const net::Ipv6Header& header, const net::NeighborMessage& message, Frame& answer) {
  if (!addresses_.own_ipv6) return 0;
  if (message.type == net::icmpv6::neighbor_advertisement) {
    if (message.target == addresses_.device_ipv6) device_mac_ = message.mac;
    return 0;
  }
  if (message.type != net::icmpv6::neighbor_solicitation || message.target != *addresses_.own_ipv6) return 0;
  device_mac_ = message.mac;
  found_ = true;
  net::NeighborMessage reply{};
  reply.type = net::icmpv6::neighbor_advertisement;
  reply.flags = advertisement_flags;
  reply.target = *addresses_.own_ipv6;
  reply.option_type = option_target_mac;
  return write_neighbor(answer, message.mac, mac_, *addresses_.own_ipv6, header.source, reply);
}

size_t Station::ask(Frame& question) const {
  if (addresses_.own_ipv4) {
    net::ArpPacket request{};
    request.hardware = hardware_ethernet;
    request.protocol = static_cast<uint16_t>(net::EtherType::ipv4);
    request.hardware_bytes = sizeof(net::Mac);
    request.protocol_bytes = sizeof(net::Ipv4);
    request.operation = net::arp_request;
    request.sender_mac = mac_;
    request.sender = *addresses_.own_ipv4;
    request.target = *addresses_.device_ipv4;
    return write_arp(question, net::mac_broadcast, request);
  }
  const net::Ipv6 group = net::solicited_node(*addresses_.device_ipv6);
  net::NeighborMessage solicitation{};
  solicitation.type = net::icmpv6::neighbor_solicitation;
  solicitation.target = *addresses_.device_ipv6;
  solicitation.option_type = option_source_mac;
  return write_neighbor(question, net::multicast_mac(group), mac_, *addresses_.own_ipv6, group, solicitation);
}

}  // namespace portolan::bench
