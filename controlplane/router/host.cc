// Packets addressed to the router itself: echo is answered, PCP goes to its server, anything else gets the error its
// protocol asks for. The same code serves the internet address, the access side, and 192.0.0.1 in every softwire.
#include "controlplane/router/router.h"

namespace portolan::control {

namespace {

constexpr uint8_t port_unreachable_v6 = 4;  // RFC 4443 §3.1

uint32_t echo_rest(const net::IcmpHeader& echo) { return uint32_t{echo.identifier} << 16 | echo.sequence; }

struct UdpView {
  const net::UdpHeader& header;
  Bytes datagram, payload;
};

std::optional<UdpView> view_udp(Bytes bytes) {
  if (bytes.size() < sizeof(net::UdpHeader)) return std::nullopt;
  const auto& header = net::header_at<net::UdpHeader>(bytes.data());
  if (header.length < sizeof header || header.length > bytes.size()) return std::nullopt;
  const Bytes datagram = bytes.first(header.length);
  return UdpView{header, datagram, datagram.subspan(sizeof header)};
}

}  // namespace

Outcome Router::on_ipv4(const Arrival& arrival) {
  const auto packet = view_ipv4(from(arrival.frame, arrival.context.l3_offset));
  if (!packet) return Outcome::malformed;
  const bool in_softwire = arrival.context.in_softwire;
  const auto& header = packet->header;
  const bool subscriber_asks = in_softwire || arrival.context.side == Side::inside;
  const bool pcp_only = subscriber_asks && header.destination == pcp_anycast_ipv4;
  if (!in_softwire && arrival.context.side == Side::access) return Outcome::declined;
  const bool pool_echo = arrival.context.side == Side::internet && snapshot_->pool_answers_echo &&
                         packet->protocol() == net::Protocol::icmp &&
                         snapshot_->policy.pool.number_of(header.destination);
  if (!is_own(header.destination, in_softwire) && !pcp_only && !pool_echo) return Outcome::declined;
  if (arrival.group_addressed() || !is_single_host(header.source) || is_own(header.source, in_softwire))
    return Outcome::declined;
  if (header.is_fragment()) return Outcome::fragment_ignored;
  if (packet->protocol() == net::Protocol::udp) return on_udp(arrival, *packet);
  if (packet->protocol() == net::Protocol::tcp) return Outcome::tcp_ignored;
  if (pcp_only) return Outcome::declined;
  if (packet->protocol() == net::Protocol::icmp) return on_icmp(arrival, *packet);
  return send_error(arrival, *packet, {net::icmp::unreachable, net::icmp::protocol_unreachable});  // RFC 1122 §3.2.2.1
}

Outcome Router::on_icmp(const Arrival& arrival, const Ipv4View& packet) {
  const auto& header = packet.header;
  const Bytes message = packet.payload;
  if (message.size() < sizeof(net::IcmpHeader)) return Outcome::malformed;
  if (net::fold(net::sum_of(message)) != 0xffff) return Outcome::bad_checksum;
  const auto& echo = net::header_at<net::IcmpHeader>(message.data());
  if (echo.type != net::icmp::echo_request) return Outcome::icmp_ignored;
  const Bytes data = message.subspan(sizeof echo);
  if (data.size() > Frame::payload_bytes_max) return Outcome::too_long;
  Frame frame(data);
  frame.icmp(net::icmp::echo_reply, 0, echo_rest(echo));
  return send_ipv4(frame, route_back(arrival, header.source), header.destination, header.source, net::Protocol::icmp,
                   dscp_of(header.tos), Outcome::echo_answered);
}

Outcome Router::on_udp(const Arrival& arrival, const Ipv4View& packet) {
  const auto udp = view_udp(packet.payload);
  if (!udp) return Outcome::malformed;
  const bool summed = udp->header.checksum != 0;
  if (summed && !transport_checksum_is_right(packet, net::Protocol::udp, udp->datagram)) return Outcome::bad_checksum;
  const net::Ipv4 source = packet.header.source, destination = packet.header.destination;
  const auto& context = arrival.context;
  if (udp->header.destination.number != pcp_server_port) {
    if (destination == pcp_anycast_ipv4) return Outcome::declined;
    return send_error(arrival, packet, {net::icmp::unreachable, net::icmp::port_unreachable});
  }
  // RFC 6887 §8.2: silence towards any side a client would not ask on.
  const bool plain = context.side == Side::inside;
  const bool asked_rightly =
      destination == (plain ? snapshot_->inside.address.address : softwire_ipv4) || destination == pcp_anycast_ipv4;
  if (!asked_rightly || udp->header.source == net::Port{}) return Outcome::declined;
  const auto link_neighbor = plain && is_on_link(Side::inside, source) && arrival.ethernet
                                 ? std::optional(arrival.ethernet->source)
                                 : std::nullopt;
  pcp_.on_pcp({.b4 = plain ? snapshot_->subscriber_of(Side::inside, net::mapped(source)) : context.b4,
               .inner_source = source,
               .server6 = {},
               .server4 = destination,
               .softwire = context.softwire,
               .client_port = udp->header.source,
               .payload = udp->payload,
               .neighbor = plain ? link_neighbor : on_link_sender(arrival, context.b4)});
  return Outcome::pcp_received;
}

Outcome Router::on_ipv6(const Arrival& arrival) {
  if (arrival.context.side != Side::access) return Outcome::declined;
  const auto packet = view_ipv6(from(arrival.frame, arrival.context.outer_offset));
  if (!packet || !arrival.ethernet) return Outcome::malformed;
  if (packet->fragment) return Outcome::fragment_ignored;
  if (!packet->complete) return Outcome::malformed;
  if (packet->protocol == net::Protocol::icmpv6) return on_icmpv6(arrival, *packet);

  const auto& header = packet->header;
  const bool pcp_only = header.destination == pcp_anycast_ipv6;
  if (!is_own(header.destination) && !pcp_only) return Outcome::declined;
  if (arrival.group_addressed() || !is_single_host(header.source) || is_own(header.source)) return Outcome::declined;
  if (packet->protocol == net::Protocol::udp) return on_udp(arrival, *packet);
  if (packet->protocol == net::Protocol::tcp) return Outcome::tcp_ignored;
  if (pcp_only || packet->protocol == net::Protocol::no_next_header) return Outcome::declined;
  return send_error(arrival, *packet,
                    {net::icmpv6::parameter_problem, net::icmpv6::unrecognized_next_header, packet->next_header_at});
}

Outcome Router::on_icmpv6(const Arrival& arrival, const Ipv6View& packet) {
  const Bytes message = packet.payload;
  const auto& header = packet.header;
  if (message.size() < sizeof(net::IcmpHeader)) return Outcome::malformed;
  if (!transport_checksum_is_right(packet, net::Protocol::icmpv6, message)) return Outcome::bad_checksum;
  const auto& echo = net::header_at<net::IcmpHeader>(message.data());
  if (echo.type == net::icmpv6::neighbor_solicitation) return on_solicitation(arrival, packet);
  if (echo.type == net::icmpv6::neighbor_advertisement) return on_advertisement(arrival, packet);
  if (echo.type != net::icmpv6::echo_request) return Outcome::icmp_ignored;
  if (arrival.group_addressed() || !is_own(header.destination)) return Outcome::declined;
  if (!is_single_host(header.source) || is_own(header.source)) return Outcome::declined;
  const Bytes data = message.subspan(sizeof echo);
  if (data.size() > Frame::payload_bytes_max) return Outcome::too_long;
  Frame frame(data);
  frame.icmpv6(net::icmpv6::echo_reply, 0, echo_rest(echo), header.destination, header.source);
  return send_ipv6(frame, route_back(arrival, header.source), header.destination, header.source, net::Protocol::icmpv6,
                   dscp_of(header.traffic_class()), Outcome::echo_answered);
}

Outcome Router::on_udp(const Arrival& arrival, const Ipv6View& packet) {
  const auto udp = view_udp(packet.payload);
  if (!udp) return Outcome::malformed;
  if (udp->header.checksum == 0) return Outcome::bad_checksum;  // RFC 8200 §8.1: there must be one
  if (!transport_checksum_is_right(packet, net::Protocol::udp, udp->datagram)) return Outcome::bad_checksum;
  const auto& header = packet.header;
  if (udp->header.destination.number != pcp_server_port) {
    if (header.destination == pcp_anycast_ipv6) return Outcome::declined;
    return send_error(arrival, packet, {net::icmpv6::unreachable, port_unreachable_v6});
  }
  if (udp->header.source == net::Port{}) return Outcome::declined;
  pcp_.on_pcp({.b4 = header.source,
               .inner_source = std::nullopt,
               .server6 = header.destination,
               .server4 = {},
               .softwire = {},
               .client_port = udp->header.source,
               .payload = udp->payload,
               .neighbor = on_link_sender(arrival, header.source)});
  return Outcome::pcp_received;
}

bool Router::send_pcp(const PcpDatagram& to, std::span<const uint8_t> reply) {
  Outcome outcome = Outcome::too_long;
  if (reply.size() <= Frame::payload_bytes_max) {
    Frame frame(reply);
    const bool plain = net::is_mapped(to.b4);
    const Side side = plain ? Side::inside : Side::access;
    Route route{side, to.neighbor ? to.neighbor : gateways_.of(side).get(), std::nullopt};
    const net::Port port{pcp_server_port};
    if (to.inner_source) {
      if (!plain) route.softwire = {to.b4, to.softwire};
      frame.udp(port, to.client_port, to.server4, *to.inner_source);
      outcome = send_ipv4(frame, route, to.server4, *to.inner_source, net::Protocol::udp, 0, Outcome::pcp_received);
    } else {
      frame.udp(port, to.client_port, to.server6, to.b4);
      outcome = send_ipv6(frame, route, to.server6, to.b4, net::Protocol::udp, 0, Outcome::pcp_received);
    }
  }
  const bool sent = outcome == Outcome::pcp_received;
  counters_[sent ? Event::pcp_reply_sent : Event::pcp_reply_lost].add();
  return sent;
}

}  // namespace portolan::control
