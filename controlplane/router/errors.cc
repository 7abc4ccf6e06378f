// ICMP errors: about packets workers could not forward, and about those nobody here listens to. Into a softwire they
// come from 192.0.0.1 (RFC 6333 §6.5), to the internet and to NAT44's subscribers from the router's address on that
// side; all quote what the sender had sent.
#include "controlplane/router/router.h"

namespace portolan::control {

namespace {

IcmpError error_for(const Context& context) {
  switch (context.punt) {
    case pipeline::Punt::ttl_expired:
      return {net::icmp::time_exceeded, 0};
    case pipeline::Punt::too_big:
      return {net::icmp::unreachable, net::icmp::fragmentation_needed, context.mtu};
    case pipeline::Punt::no_resources:
      return {net::icmp::unreachable, net::icmp::host_unreachable};
    case pipeline::Punt::bad_extension:
      return {net::icmpv6::parameter_problem, context.code, context.pointer};
    case pipeline::Punt::unsolicited_syn:
      return {net::icmp::unreachable, net::icmp::port_unreachable};
    case pipeline::Punt::tunnel_error:
      return {net::icmp::unreachable, context.code, context.mtu};
    case pipeline::Punt::reassembly_timeout:
      return {net::icmpv6::time_exceeded, net::icmpv6::reassembly_time_exceeded};
    default:
      return {net::icmp::unreachable, net::icmp::protocol_unreachable};
  }
}

bool is_broadcast_on(const net::Ipv4Prefix& link, net::Ipv4 address) {
  const uint32_t host_mask = ~net::ipv4_mask(link.length);
  return link.length < 31 && contains(link, address) && (address.bits & host_mask) == host_mask;
}

}  // namespace

Outcome Router::on_punted_for_error(const Arrival& arrival) {
  const auto& context = arrival.context;
  if (context.punt == pipeline::Punt::bad_extension || context.punt == pipeline::Punt::reassembly_timeout) {
    const auto packet = view_ipv6(from(arrival.frame, context.outer_offset));
    return packet ? send_error(arrival, *packet, error_for(context)) : Outcome::malformed;
  }
  const Bytes bytes = from(arrival.frame, context.hairpin ? 0 : context.l3_offset);
  const bool cut_short =
      context.punt == pipeline::Punt::tunnel_error || context.punt == pipeline::Punt::unsolicited_syn;
  const auto packet = cut_short ? view_quoted_ipv4(bytes) : view_ipv4(bytes);
  return packet ? send_error(arrival, *packet, error_for(context)) : Outcome::malformed;
}

bool Router::errors_wanted(Side side) const {
  if (side == Side::inside) return snapshot_->inside.icmp_errors;
  return side == Side::internet ? snapshot_->internet.icmp_errors : snapshot_->softwire.icmp_errors;
}

Outcome Router::send_error(const Arrival& arrival, const Ipv4View& about, const IcmpError& error) {
  const auto& header = about.header;
  const Route route = route_back(arrival, header.source);
  const bool to_internet = route.side == Side::internet;
  const auto link = ipv4_link(route.side);  // of a softwire: the internet's
  if (arrival.group_addressed() || !error_is_due(about) || is_own(header.source, route.softwire.has_value()))
    return Outcome::error_not_due;
  if (is_broadcast_on(link.address, header.destination) || is_broadcast_on(link.address, header.source))
    return Outcome::error_not_due;
  // From the internet no pool address is a true source. A hairpinned packet has one: its error goes out and, routed
  // back like any packet to the pool, through the mapping to the sender.
  const bool from_pool = snapshot_->policy.pool.number_of(header.source).has_value();
  if (to_internet && from_pool && !arrival.context.hairpin) return Outcome::error_not_due;
  // Without this one path MTU discovery would fail and nobody know why (RFC 1191 §6.5, RFC 2923 §2.1).
  const bool always = error.type == net::icmp::unreachable && error.code == net::icmp::fragmentation_needed;
  if (!always && !errors_wanted(route.side)) return Outcome::error_switched_off;
  if (!error_buckets_[static_cast<size_t>(route.side)].take(arrival.now_ms)) return Outcome::error_rate_limited;

  Frame frame(quoted(about));
  frame.icmp(error.type, error.code, error.rest);
  return send_ipv4(frame, route, route.softwire ? softwire_ipv4 : link.address.address, header.source,
                   net::Protocol::icmp, dscp_of(header.tos), Outcome::error_sent);
}

Outcome Router::send_error(const Arrival& arrival, const Ipv6View& about, const IcmpError& error) {
  const auto& header = about.header;
  // An option may ask for an error even of a multicast packet (RFC 4443 §2.4(e.3)): its frame is one to a group too.
  const bool group_frame = arrival.group_addressed() && !net::is_multicast(header.destination);
  if (group_frame || !error_is_due(about, error) || is_own(header.source)) return Outcome::error_not_due;
  if (!errors_wanted(Side::access)) return Outcome::error_switched_off;
  if (!error_buckets_[static_cast<size_t>(Side::access)].take(arrival.now_ms)) return Outcome::error_rate_limited;
  const net::Ipv6 source = is_own(header.destination) ? header.destination : snapshot_->access.address.address;
  Frame frame(quoted(about));
  frame.icmpv6(error.type, error.code, error.rest, source, header.source);
  return send_ipv6(frame, route_back(arrival, header.source), source, header.source, net::Protocol::icmpv6,
                   dscp_of(header.traffic_class()), Outcome::error_sent);
}

}  // namespace portolan::control
