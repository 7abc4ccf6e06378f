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

}  // namespace

Router::Router(const pipeline::Snapshot& snapshot, pipeline::Gateways& gateways, Transmit& transmit, PcpService& pcp,
               uint64_t now_ms, RouterSettings settings)
    : snapshot_(&snapshot),
      gateways_(gateways),
      transmit_(transmit),
      pcp_(pcp),
      access_gateway_(gateways.access, now_ms),
      internet_gateway_(gateways.internet, now_ms),
      error_buckets_{TokenBucket(settings.errors_per_second, settings.errors_burst),
                     TokenBucket(settings.errors_per_second, settings.errors_burst)},
      announcements_left_(announcements),
      announce_at_ms_(now_ms) {}

void Router::use(const pipeline::Snapshot& snapshot, uint64_t now_ms) {
  const auto& was = *std::exchange(snapshot_, &snapshot);
  const bool access_changed = was.access.gateway != snapshot.access.gateway || was.access.mac != snapshot.access.mac;
  const bool internet_changed =
      was.internet.gateway != snapshot.internet.gateway || was.internet.mac != snapshot.internet.mac;
  if (access_changed) access_gateway_.restart(now_ms);
  if (internet_changed) internet_gateway_.restart(now_ms);
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
      return on_punted_for_error(arrival);
  }
  return Outcome::declined;
}

// Both sides may be one device; then a frame's side says nothing and its protocol decides.
bool Router::came_from(Side side, const Arrival& arrival) const {
  return arrival.context.side == side || snapshot_->access.mac == snapshot_->internet.mac;
}

net::Ipv6 Router::link_local() const {
  const auto& mac = snapshot_->access.mac.bytes;
  const auto first = static_cast<uint8_t>(mac[0] ^ 2);  // the universal/local bit, inverted
  return {{0xfe, 0x80, 0, 0, 0, 0, 0, 0, first, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]}};
}

bool Router::is_own(net::Ipv4 address, bool in_softwire) const {
  return address == snapshot_->internet.address.address || (in_softwire && address == softwire_ipv4);
}

bool Router::is_own(const net::Ipv6& address) const {
  const auto& aftr = snapshot_->softwire.aftr_addresses;
  return address == snapshot_->access.address.address || address == link_local() ||
         std::ranges::find(aftr, address) != aftr.end();
}

bool Router::is_on_link(net::Ipv4 address) const { return contains(snapshot_->internet.address, address); }

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
  const bool direct = arrival.ethernet && is_on_link(to);
  return {Side::internet, direct ? arrival.ethernet->source : gateways_.internet.get(), std::nullopt};
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
  const bool access = route.side == Side::access;
  const size_t mtu_bytes = route.softwire ? snapshot_->softwire.mtu_bytes
                           : access       ? snapshot_->access.mtu_bytes
                                          : snapshot_->internet.mtu_bytes;
  if (frame.size() > mtu_bytes) return Outcome::too_long;
  if (!route.neighbor) return Outcome::unresolved;
  frame.ethernet(*route.neighbor, access ? snapshot_->access.mac : snapshot_->internet.mac, type);
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
  announce_ipv4();
  announce_ipv6();
  --announcements_left_;
  announce_at_ms_ = now_ms + announce_interval_ms;
}

uint64_t Router::tick(uint64_t now_ms) {
  if (announcements_left_ > 0 && now_ms >= announce_at_ms_) announce(now_ms);
  if (step(access_gateway_, now_ms) != Neighbor::Step::none) ask_for_gateway_ipv6(access_gateway_.mac());
  if (step(internet_gateway_, now_ms) != Neighbor::Step::none) ask_for_gateway_ipv4(internet_gateway_.mac());
  return next_tick_ms();
}

uint64_t Router::next_tick_ms() const {
  const uint64_t announce_ms = announcements_left_ > 0 ? announce_at_ms_ : never_ms;
  return std::min({announce_ms, access_gateway_.next_ms(), internet_gateway_.next_ms()});
}

std::vector<NeighborRow> Router::neighbors() const {
  const auto row = [](Side side, const net::Ipv6& address, const Neighbor& neighbor) {
    return NeighborRow{
        side, address, neighbor.mac(), neighbor.state(), neighbor.since_ms(), neighbor.probes(), neighbor.unanswered()};
  };
  return {row(Side::access, snapshot_->access.gateway, access_gateway_),
          row(Side::internet, mapped(snapshot_->internet.gateway), internet_gateway_)};
}

}  // namespace portolan::control
