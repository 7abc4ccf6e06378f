#include "dataplane/pipeline/link.h"

#include <cstring>
#include <optional>

namespace portolan::pipeline {

namespace {

constexpr size_t macs_bytes = 2 * sizeof(net::Mac);

net::EtherType type_of(const Packet& packet) {
  return net::EtherType{uint16_t{net::header_at<net::EthernetHeader>(packet.data).type}};
}

// Sides on one device differ by VLAN, or one speaks IPv6 and the other IPv4 (config_check.cc sees to it).
std::optional<Side> side_of(const Snapshot& config, Side on_device, unsigned vlan, net::EtherType type) {
  const auto device = [&](Side side) { return config.devices[static_cast<size_t>(side)]; };
  std::optional<Side> found;
  for (const Side side : sides) {
    if (device(side) != device(on_device) || !config.serves(side) || config.link(side).vlan != vlan) continue;
    found = side;
    if ((type == net::EtherType::ipv6) == (side == Side::access)) break;
  }
  return found;
}

}  // namespace

void enter(Packet& packet, const Snapshot& config) {
  if (packet.bytes < sizeof(net::EthernetHeader)) return packet.drop(nat::Verdict::unknown_ethertype);
  unsigned vlan = packet.vlan & net::vlan_mask;
  if (type_of(packet) == net::EtherType::vlan && vlan == 0) {
    if (packet.bytes < sizeof(net::EthernetHeader) + sizeof(net::VlanTag))
      return packet.drop(nat::Verdict::unknown_ethertype);
    const uint16_t control = net::header_at<net::VlanTag>(packet.data + sizeof(net::EthernetHeader)).control;
    vlan = control & net::vlan_mask;  // 0: a priority alone, the frame is an untagged one
    std::memmove(packet.data + sizeof(net::VlanTag), packet.data, macs_bytes);
    packet.pull(sizeof(net::VlanTag));
  }
  const auto side = side_of(config, packet.context.side, vlan, type_of(packet));
  if (!side) return packet.drop(nat::Verdict::vlan_refused);
  packet.context.side = *side;
}

void send_to(Side side, Packet& packet, const Snapshot& config, const Gateways& gateways) {
  const auto to = gateways.of(side).get();
  if (!to) return packet.drop(nat::Verdict::neighbor_unresolved);
  const auto link = config.link(side);
  net::be16 next = static_cast<uint16_t>(side == Side::access ? net::EtherType::ipv6 : net::EtherType::ipv4);
  if (link.vlan != 0) {
    packet.push(sizeof(net::VlanTag));
    net::header_at<net::VlanTag>(packet.data) = {link.vlan, next};
    next = static_cast<uint16_t>(net::EtherType::vlan);
  }
  packet.push(sizeof(net::EthernetHeader));
  net::header_at<net::EthernetHeader>(packet.data) = {*to, link.mac, next};
  packet.send(side);
}

}  // namespace portolan::pipeline
