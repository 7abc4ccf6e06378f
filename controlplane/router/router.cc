// The router's frame: dispatch by punt reason, the ways back, the two gateways' clocks. Handlers are in the files named
// in router.h; each returns the frame's one outcome, counted here and nowhere else.
#include "controlplane/router/router.h"

#include <algorithm>
#include <utility>

namespace portolan::control {

namespace {

constexpr unsigned announcements = 2;             // ANNOUNCE_NUM (RFC 5227 §1.1)
constexpr uint64_t announce_interval_ms = 2'000;  // ANNOUNCE_INTERVAL

std::optional<net::EthernetHeader> ethernet_of(Bytes frame, const Context& context) {
  const bool cut_off = context.hairpin || context.outer_offset < sizeof(net::EthernetHeader);
  if (cut_off && context.punt != pipeline::Punt::arp) return std::nullopt;
  if (frame.size() < sizeof(net::EthernetHeader)) return std::nullopt;
  return net::header_at<net::EthernetHeader>(frame.data());
}

std::array<TokenBucket, pipeline::side_count> error_buckets(const pipeline::Snapshot& snapshot) {
  const TokenBucket each(snapshot.icmp_errors_per_second, snapshot.icmp_errors_per_second);
  return {each, each, each};
}

}  // namespace

Router::Router(const pipeline::Snapshot& snapshot, pipeline::Gateways& gateways, Transmit& transmit, PcpService& pcp,
               uint64_t now_ms)
    : snapshot_(&snapshot),
      gateways_(gateways),
      transmit_(transmit),
      pcp_(pcp),
      error_buckets_(error_buckets(snapshot)),
      announcements_left_(announcements),
      announce_at_ms_(now_ms) {
  for (const Side side : pipeline::sides)
    if (snapshot.serves(side)) neighbors_[static_cast<size_t>(side)].emplace(gateways.of(side), now_ms);
}

void Router::use(const pipeline::Snapshot& snapshot, uint64_t now_ms) {
  const auto& was = *std::exchange(snapshot_, &snapshot);
  const auto gateway_of = [](const pipeline::Snapshot& of, Side side) {
    return side == Side::access     ? of.access.gateway
           : side == Side::internet ? mapped(of.internet.gateway)
                                    : mapped(of.inside.gateway);
  };
  for (const Side side : pipeline::sides)
    if (auto& neighbor = neighbors_[static_cast<size_t>(side)];
        neighbor && (gateway_of(was, side) != gateway_of(snapshot, side) ||
                     was.link(side).mac != snapshot.link(side).mac || was.link(side).vlan != snapshot.link(side).vlan))
      neighbor->restart(now_ms);
  if (was.icmp_errors_per_second != snapshot.icmp_errors_per_second) error_buckets_ = error_buckets(snapshot);
  announcements_left_ = announcements, announce_at_ms_ = now_ms;
}

Outcome Router::handle(std::span<const uint8_t> frame, const Context& context, uint64_t now_ms) {
  const Outcome outcome = dispatch({frame, context, now_ms, ethernet_of(frame, context)});
  counters_[outcome].add();
  return outcome;
}

Outcome Router::dispatch(const Arrival& arrival) {
  if (arrival.ethernet && is_group(arrival.ethernet->source)) return Outcome::malformed;  // answers go to stations only
  switch (arrival.context.punt) {
    case pipeline::Punt::arp:
      return on_arp(arrival);
    case pipeline::Punt::host_ipv6:
      return on_ipv6(arrival);
    case pipeline::Punt::host_ipv4:
    case pipeline::Punt::host_softwire:
      return on_ipv4(arrival);
    case pipeline::Punt::ttl_expired:
    case pipeline::Punt::too_big:
    case pipeline::Punt::no_resources:
    case pipeline::Punt::protocol_unreachable:
    case pipeline::Punt::bad_extension:
    case pipeline::Punt::tunnel_error:
    case pipeline::Punt::unsolicited_syn:
    case pipeline::Punt::reassembly_timeout:
      return on_punted_for_error(arrival);
  }
  return Outcome::declined;
}

net::Ipv6 Router::link_local() const {
  const auto& mac = snapshot_->access.mac.bytes;
  const auto first = static_cast<uint8_t>(mac[0] ^ 2);  // the universal/local bit, inverted
  return {{0xfe, 0x80, 0, 0, 0, 0, 0, 0, first, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]}};
}

bool Router::is_own(net::Ipv4 address, bool in_softwire) const {
  return address == snapshot_->internet.address.address || (in_softwire && address == softwire_ipv4) ||
         (snapshot_->serves(Side::inside) && address == snapshot_->inside.address.address);
}

bool Router::is_own(const net::Ipv6& address) const {
  const auto& aftr = snapshot_->softwire.aftr_addresses;
  return address == snapshot_->access.address.address || address == link_local() ||
         std::ranges::find(aftr, address) != aftr.end();
}

Router::Ipv4Link Router::ipv4_link(Side side) const {
  if (side == Side::inside) return {snapshot_->inside.mac, snapshot_->inside.address, snapshot_->inside.gateway};
  return {snapshot_->internet.mac, snapshot_->internet.address, snapshot_->internet.gateway};
}

bool Router::is_on_link(Side side, net::Ipv4 address) const { return contains(ipv4_link(side).address, address); }

bool Router::is_on_link(const net::Ipv6& address) const {
  return net::is_link_local(address) || contains(snapshot_->access.address, address);
}

std::optional<net::Mac> Router::on_link_sender(const Arrival& arrival, const net::Ipv6& sender) const {
  if (!arrival.ethernet || !is_on_link(sender)) return std::nullopt;
  return arrival.ethernet->source;
}

Router::Route Router::route_back(const Arrival& arrival, net::Ipv4 to) const {
  if (arrival.context.in_softwire && !arrival.context.hairpin) {
    Route route = route_back(arrival, arrival.context.b4);
    route.softwire = {arrival.context.b4, arrival.context.softwire};
    return route;
  }
  const bool plain = arrival.context.side == Side::inside && !arrival.context.hairpin;
  const Side side = plain ? Side::inside : Side::internet;
  const bool direct = arrival.ethernet && is_on_link(side, to);
  return {side, direct ? arrival.ethernet->source : gateways_.of(side).get(), std::nullopt};
}

Router::Route Router::route_back(const Arrival& arrival, const net::Ipv6& to) const {
  const auto direct = on_link_sender(arrival, to);
  return {Side::access, direct ? direct : gateways_.access.get(), std::nullopt};
}

Outcome Router::send_ipv4(Frame& frame, const Route& route, net::Ipv4 source, net::Ipv4 destination,
                          net::Protocol protocol, uint8_t tos, Outcome sent) {
  frame.ipv4(source, destination, protocol, tos);
  if (!route.softwire) return send_frame(frame, route, net::EtherType::ipv4, sent);
  const auto& config = snapshot_->softwire;
  auto next = net::Protocol::ipv4;
  if (config.encapsulation_limit)
    frame.encapsulation_limit(*config.encapsulation_limit, std::exchange(next, net::Protocol::destination_options));
  frame.ipv6(route.softwire->local, route.softwire->remote, next, config.outer_class(tos), config.hop_limit);
  return send_frame(frame, route, net::EtherType::ipv6, sent);
}

Outcome Router::send_ipv6(Frame& frame, const Route& route, const net::Ipv6& source, const net::Ipv6& destination,
                          net::Protocol protocol, uint8_t traffic_class, Outcome sent) {
  frame.ipv6(source, destination, protocol, traffic_class, host_ttl);
  return send_frame(frame, route, net::EtherType::ipv6, sent);
}

Outcome Router::send_frame(Frame& frame, const Route& route, net::EtherType type, Outcome sent) {
  const auto link = snapshot_->link(route.side);
  if (frame.size() > (route.softwire ? snapshot_->softwire.mtu_bytes : link.mtu_bytes)) return Outcome::too_long;
  if (!route.neighbor) return Outcome::unresolved;
  frame.ethernet(*route.neighbor, link.mac, link.vlan, type);
  return transmit_.send(route.side, frame.bytes()) ? sent : Outcome::transmit_refused;
}

void Router::originate(Frame& frame, const Route& route, net::EtherType type, Event event) {
  constexpr auto sent = Outcome::declined;  // of no frame in hand: only whether it went well counts
  if (send_frame(frame, route, type, sent) == sent) counters_[event].add();
}

Outcome Router::learned(bool changed) {
  if (changed) counters_[Event::neighbor_changed].add();
  return Outcome::neighbor_heard;
}

Neighbor::Step Router::step(Neighbor& neighbor, uint64_t now_ms) {
  const auto step = neighbor.tick(now_ms);
  if (step == Neighbor::Step::lost) counters_[Event::neighbor_lost].add();
  return step;
}

void Router::announce(uint64_t now_ms) {
  if (snapshot_->serves(Side::access)) announce_ipv6();
  announce_ipv4(Side::internet);
  if (snapshot_->serves(Side::inside)) announce_ipv4(Side::inside);
  --announcements_left_;
  announce_at_ms_ = now_ms + announce_interval_ms;
}

uint64_t Router::tick(uint64_t now_ms) {
  if (announcements_left_ > 0 && now_ms >= announce_at_ms_) announce(now_ms);
  for (const Side side : pipeline::sides) {
    auto& neighbor = neighbors_[static_cast<size_t>(side)];
    if (!neighbor || step(*neighbor, now_ms) == Neighbor::Step::none) continue;
    side == Side::access ? ask_for_gateway_ipv6(neighbor->mac()) : ask_for_gateway_ipv4(side, neighbor->mac());
  }
  return next_tick_ms();
}

uint64_t Router::next_tick_ms() const {
  uint64_t next_ms = announcements_left_ > 0 ? announce_at_ms_ : never_ms;
  for (const auto& neighbor : neighbors_)
    if (neighbor) next_ms = std::min(next_ms, neighbor->next_ms());
  return next_ms;
}

std::vector<NeighborRow> Router::neighbors() const {
  std::vector<NeighborRow> rows;
  for (const Side side : pipeline::sides) {
    const auto& known = neighbors_[static_cast<size_t>(side)];
    if (!known) continue;
    const auto address = side == Side::access ? snapshot_->access.gateway : mapped(ipv4_link(side).gateway);
    rows.push_back(
        {side, address, known->mac(), known->state(), known->since_ms(), known->probes(), known->unanswered()});
  }
  return rows;
}

}  // namespace portolan::control
