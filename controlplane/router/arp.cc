// ARP on the IPv4 sides (RFC 826): the router's own address there, and on the internet side by proxy every pool and
// pass-through address that lies on the link, for no other host there has it. Learns nobody but the gateway.
#include <algorithm>

#include "controlplane/router/router.h"
#include "dataplane/net/reader.h"

namespace portolan::control {

namespace {

constexpr uint16_t ethernet_hardware = 1;
constexpr uint32_t announced_max = 256;  // pool addresses announced at a start; others are found by asking

std::optional<net::ArpPacket> parse_arp(Bytes frame) {
  net::Reader in(frame);
  const auto ethernet = in.read<net::EthernetHeader>();
  const auto arp = in.read<net::ArpPacket>();
  const bool ours = ethernet.type == static_cast<uint16_t>(net::EtherType::arp) && arp.hardware == ethernet_hardware &&
                    arp.protocol == static_cast<uint16_t>(net::EtherType::ipv4) && arp.hardware_bytes == 6 &&
                    arp.protocol_bytes == 4;
  const bool sender_is_station = (arp.sender_mac.bytes[0] & 1) == 0 && arp.sender_mac != net::Mac{};
  if (in.failed() || !ours || !sender_is_station) return std::nullopt;
  return arp;
}

net::ArpPacket make_arp(uint16_t operation, const net::Mac& sender_mac, net::Ipv4 sender, const net::Mac& target_mac,
                        net::Ipv4 target) {
  return {.hardware = ethernet_hardware,
          .protocol = static_cast<uint16_t>(net::EtherType::ipv4),
          .hardware_bytes = 6,
          .protocol_bytes = 4,
          .operation = operation,
          .sender_mac = sender_mac,
          .sender = sender,
          .target_mac = target_mac,
          .target = target};
}

}  // namespace

bool Router::answers_arp_for(Side side, net::Ipv4 address) const {
  const auto link = ipv4_link(side);
  if (address == link.address.address) return true;
  const bool passed = std::ranges::find(snapshot_->pass_through, address, &pipeline::PassThrough::inside) !=
                      snapshot_->pass_through.end();
  return side == Side::internet && address != link.gateway && is_on_link(side, address) &&
         (passed || snapshot_->policy.pool.number_of(address).has_value());
}

Outcome Router::on_arp(const Arrival& arrival) {
  const Side side = arrival.context.side;
  if (side == Side::access) return Outcome::declined;
  const auto arp = parse_arp(arrival.frame);
  if (!arp) return Outcome::malformed;
  const auto link = ipv4_link(side);
  if (arp->sender_mac == link.mac) return Outcome::declined;  // our own, come back
  // Someone else uses an address of ours: not answered, for that would only fight over caches (RFC 5227 §2.4(a)).
  if (answers_arp_for(side, arp->sender)) return Outcome::address_conflict;

  const bool for_us = answers_arp_for(side, arp->target);
  Outcome outcome = Outcome::declined;
  if (arp->sender == link.gateway) {
    const bool answer = arp->operation == net::arp_reply && for_us && !arrival.group_addressed();
    outcome = learned(answer ? gateway(side).confirm(arp->sender_mac, arrival.now_ms)
                             : gateway(side).hear(arp->sender_mac, arrival.now_ms));
  }
  if (arp->operation != net::arp_request || !for_us) return outcome;
  Frame frame(bytes_of(make_arp(net::arp_reply, link.mac, arp->target, arp->sender_mac, arp->sender)));
  return send_frame(frame, {side, arrival.ethernet->source, std::nullopt}, net::EtherType::arp, Outcome::arp_answered);
}

// Broadcast while nobody is known; then the one known is polled by name (RFC 1122 §2.3.2.1).
void Router::ask_for_gateway_ipv4(Side side, const std::optional<net::Mac>& known) {
  const auto link = ipv4_link(side);
  Frame frame(bytes_of(make_arp(net::arp_request, link.mac, link.address.address, {}, link.gateway)));
  originate(frame, {side, known.value_or(net::mac_broadcast), std::nullopt}, net::EtherType::arp, Event::probe_sent);
}

// RFC 5227 §2.3: so that whoever knew these addresses elsewhere (a replaced server) turns to us at once.
void Router::announce_ipv4(Side side) {
  const auto link = ipv4_link(side);
  const auto announce_address = [&](net::Ipv4 address) {
    Frame frame(bytes_of(make_arp(net::arp_request, link.mac, address, {}, address)));
    originate(frame, {side, net::mac_broadcast, std::nullopt}, net::EtherType::arp, Event::announcement_sent);
  };
  announce_address(link.address.address);
  if (side != Side::internet) return;
  const uint32_t count = std::min(snapshot_->policy.pool.address_count(), announced_max);
  for (uint32_t number = 0; number < count; ++number) {
    const net::Ipv4 address = snapshot_->policy.pool.address_of(number);
    if (address != link.address.address && answers_arp_for(side, address)) announce_address(address);
  }
}

}  // namespace portolan::control
