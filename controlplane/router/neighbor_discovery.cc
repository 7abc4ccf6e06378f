// Neighbour discovery on the access side (RFC 4861 §7): solicitations for our addresses are answered, the gateway is
// found. Router discovery is not taken part in: addresses and gateway are configured.
#include "controlplane/router/router.h"
#include "dataplane/net/reader.h"

namespace portolan::control {

namespace {

constexpr uint8_t nd_hop_limit = 255;  // proves that the sender is on the link
constexpr uint8_t option_source_mac = 1, option_target_mac = 2;
constexpr uint32_t flag_router = 1U << 31, flag_solicited = 1U << 30, flag_override = 1U << 29;
constexpr net::Ipv6 all_nodes{{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
constexpr size_t icmp_fixed_bytes = offsetof(net::NeighborMessage, target);

struct Message {
  uint32_t flags = 0;
  net::Ipv6 target;
  std::optional<net::Mac> mac;  // from the option asked for
};

struct OptionHeader {  // §4.6
  uint8_t type, units;
};

// A solicitation or advertisement that passed §7.1.1 or §7.1.2, as far as both say the same. Behind an extension header
// there is none: nobody sends it so, and behind a fragment header it must be ignored (RFC 6980 §5).
std::optional<Message> parse_message(const Ipv6View& packet, uint8_t wanted_option) {
  if (packet.header.hop_limit != nd_hop_limit) return std::nullopt;
  if (packet.header.next_header != static_cast<uint8_t>(net::Protocol::icmpv6)) return std::nullopt;
  net::Reader in(packet.payload);
  const auto fixed = in.read<std::array<uint8_t, icmp_fixed_bytes>>();
  Message message;
  message.flags = net::header_at<net::be32>(&fixed[offsetof(net::NeighborMessage, flags)]);
  message.target = in.read<net::Ipv6>();
  if (fixed[offsetof(net::NeighborMessage, code)] != 0 || !is_single_host(message.target)) return std::nullopt;
  while (in.size() > 0) {
    const auto option = in.read<OptionHeader>();
    if (option.units == 0) return std::nullopt;
    net::Reader body = in.take(size_t{option.units} * 8 - sizeof option);
    if (option.type == wanted_option && option.units == 1) message.mac = body.read<net::Mac>();
  }
  const bool mac_is_station = !message.mac || (!is_group(*message.mac) && *message.mac != net::Mac{});
  if (in.failed() || !mac_is_station) return std::nullopt;
  return message;
}

// The part of a message behind the ICMPv6 header: target and one link-layer address option.
struct MessageBody {
  net::Ipv6 target;
  uint8_t option_type, option_units;
  net::Mac mac;
};
static_assert(sizeof(MessageBody) == sizeof(net::NeighborMessage) - icmp_fixed_bytes);

}  // namespace

bool Router::answers_solicitation_for(const net::Ipv6& address) const { return is_own(address) && is_on_link(address); }

Outcome Router::on_solicitation(const Arrival& arrival, const Ipv6View& packet) {
  const auto message = parse_message(packet, option_source_mac);
  if (!message) return Outcome::malformed;
  const net::Ipv6 source = packet.header.source;
  const bool unspecified = source == net::Ipv6{};
  const bool to_group = packet.header.destination == net::solicited_node(message->target);
  if (unspecified ? !to_group || message->mac : !is_single_host(source)) return Outcome::malformed;  // §7.1.1
  if (arrival.ethernet->source == snapshot_->access.mac) return Outcome::declined;  // our own, come back
  if (is_own(source)) return Outcome::address_conflict;

  Outcome outcome = Outcome::declined;
  if (source == snapshot_->access.gateway && message->mac)
    outcome = learned(gateway(Side::access).hear(*message->mac, arrival.now_ms));
  if (!answers_solicitation_for(message->target)) return outcome;
  // Duplicate address detection cannot be answered to a sender without an address: all nodes are told (§7.2.4).
  if (unspecified)
    return send_advertisement(message->target, all_nodes, net::multicast_mac(all_nodes), flag_router | flag_override);
  return send_advertisement(message->target, source, arrival.ethernet->source,
                            flag_router | flag_solicited | flag_override);
}

Outcome Router::on_advertisement(const Arrival& arrival, const Ipv6View& packet) {
  const auto message = parse_message(packet, option_target_mac);
  if (!message) return Outcome::malformed;
  const bool solicited = (message->flags & flag_solicited) != 0;
  if (solicited && net::is_multicast(packet.header.destination)) return Outcome::malformed;  // §7.1.2
  if (arrival.ethernet->source == snapshot_->access.mac) return Outcome::declined;
  if (is_own(message->target)) return Outcome::address_conflict;
  if (message->target != snapshot_->access.gateway) return Outcome::declined;
  return learned(
      gateway(Side::access)
          .advertised(
              {.mac = message->mac, .solicited = solicited, .override_known = (message->flags & flag_override) != 0},
              arrival.now_ms));
}

Outcome Router::send_advertisement(const net::Ipv6& target, const net::Ipv6& to, const net::Mac& to_mac,
                                   uint32_t flags) {
  Frame frame(bytes_of(MessageBody{target, option_target_mac, 1, snapshot_->access.mac}));
  frame.icmpv6(net::icmpv6::neighbor_advertisement, 0, flags, target, to)
      .ipv6(target, to, net::Protocol::icmpv6, 0, nd_hop_limit);
  return send_frame(frame, {Side::access, to_mac, std::nullopt}, net::EtherType::ipv6, Outcome::solicitation_answered);
}

// To the group while nobody is known; then to the one known, which proves it reachable (§7.3.3).
void Router::ask_for_gateway_ipv6(const std::optional<net::Mac>& known) {
  const auto& access = snapshot_->access;
  const net::Ipv6 source = net::is_link_local(access.gateway) ? link_local() : access.address.address;
  const net::Ipv6 to = known ? access.gateway : net::solicited_node(access.gateway);
  Frame frame(bytes_of(MessageBody{access.gateway, option_source_mac, 1, access.mac}));
  frame.icmpv6(net::icmpv6::neighbor_solicitation, 0, 0, source, to)
      .ipv6(source, to, net::Protocol::icmpv6, 0, nd_hop_limit);
  originate(frame, {Side::access, known.value_or(net::multicast_mac(to)), std::nullopt}, net::EtherType::ipv6,
            Event::probe_sent);
}

// Unsolicited advertisements (§7.2.6), for what an announcing ARP is for.
void Router::announce_ipv6() {
  const auto announce_address = [&](const net::Ipv6& address) {
    if (send_advertisement(address, all_nodes, net::multicast_mac(all_nodes), flag_router | flag_override) ==
        Outcome::solicitation_answered)
      counters_[Event::announcement_sent].add();
  };
  announce_address(link_local());
  announce_address(snapshot_->access.address.address);
  for (const auto& address : snapshot_->softwire.aftr_addresses)
    if (address != snapshot_->access.address.address && is_on_link(address)) announce_address(address);
}

}  // namespace portolan::control
