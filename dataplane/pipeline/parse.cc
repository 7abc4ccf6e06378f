#include "dataplane/pipeline/parse.h"

#include "dataplane/net/checksum.h"
#include "dataplane/pipeline/tunnel_error.h"

namespace portolan::pipeline {

using nat::Verdict;

namespace {

constexpr unsigned headers_max = 8;  // extension headers walked over before the packet is refused

constexpr net::Ipv4 aftr_inside{0xc0000001};  // 192.0.0.1 (RFC 6333 §5.7)
constexpr net::Ipv4 pcp_anycast{0xc0000009};  // 192.0.0.9 (RFC 7723)
constexpr net::Ipv6 pcp_anycast_ipv6{{0x20, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};  // 2001:1::1

bool in(uint32_t address, uint32_t prefix, unsigned length) { return (address & net::ipv4_mask(length)) == prefix; }

// RFC 6333 §11: RFC 1918, and 192.0.0.2-7 of the well-known range (192.0.0.0 is reserved, .1 is ours).
bool inner_source_allowed(net::Ipv4 source) {
  const uint32_t a = source.bits;
  return in(a, 0x0a000000, 8) || in(a, 0xac100000, 12) || in(a, 0xc0a80000, 16) || (a >= 0xc0000002 && a <= 0xc0000007);
}

// Never a destination of forwarding (RFC 1812 §5.3.7, RFC 6890), whichever way.
bool never_forwarded(net::Ipv4 address) {
  const uint32_t a = address.bits;
  return in(a, 0, 8) || in(a, 0x7f000000, 8) || a >= 0xe0000000 || in(a, 0xc0000000, 29);
}

bool is_host(const net::Ipv6& address) {  // DSL-058
  static constexpr net::Ipv6 unspecified{}, loopback{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  return address != unspecified && address != loopback && !net::is_multicast(address) && !net::is_link_local(address) &&
         !net::is_mapped(address);
}

// (Not-ECT inside, CE outside) must be dropped (RFC 6040 §4.2).
bool congestion_mark_lost(uint8_t outer_class, uint8_t tos) { return (outer_class & 3) == 3 && (tos & 3) == 0; }

// Checks the options of a hop-by-hop or destination options header (RFC 8200 §4.2).
// Of type 11xxxxxx, one is answered only if the packet was sent to one host.
bool options_pass(const uint8_t* packet, size_t begin, size_t end, HeaderChain& chain) {
  for (size_t at = begin; at < end;) {
    const uint8_t type = packet[at];
    if (type == 0) {  // Pad1
      ++at;
      continue;
    }
    if (at + 2 > end || at + 2 + packet[at + 1] > end) return chain.end = HeaderChain::End::refused, false;
    const bool known = type == 1 || type == 4;  // PadN; Tunnel Encapsulation Limit (RFC 2473 §4.1.1)
    if (!known && (type >> 6) != 0) {
      const bool to_group = is_multicast(net::header_at<net::Ipv6Header>(packet).destination);
      const bool silent = (type >> 6) == 1 || ((type >> 6) == 3 && to_group);
      chain.end = silent ? HeaderChain::End::refused : HeaderChain::End::answered;
      chain.code = net::icmpv6::unrecognized_option;
      chain.pointer = static_cast<uint16_t>(at);
      return false;
    }
    at += 2U + packet[at + 1];
  }
  return true;
}

bool is_extension(net::Protocol header) {
  return header == net::Protocol::hop_by_hop || header == net::Protocol::destination_options ||
         header == net::Protocol::routing;
}

// From where `chain` stands to the next header that is no extension.
HeaderChain walk_on(const uint8_t* packet, size_t bytes, HeaderChain chain) {
  for (; is_extension(net::Protocol{chain.next_header}); ++chain.count) {
    if (chain.count == headers_max) return chain.end = HeaderChain::End::refused, chain;
    const auto& header = net::header_at<net::Ipv6Extension>(packet + chain.offset);
    if (chain.offset + 8U > bytes || chain.offset + header.bytes() > bytes)
      return chain.end = HeaderChain::End::cut, chain;
    const net::Protocol kind{chain.next_header};
    if (kind == net::Protocol::hop_by_hop && chain.count > 0) {  // only directly after the IPv6 header (RFC 8200 §4.1)
      chain.end = HeaderChain::End::answered;
      chain.code = net::icmpv6::unrecognized_next_header;
      return chain;
    }
    if (kind == net::Protocol::routing) {
      const uint8_t segments_left = packet[chain.offset + 3U];
      if (segments_left != 0) {  // no routing type is implemented: code 0, at the type (RFC 8200 §4.4)
        chain.end = HeaderChain::End::answered;
        chain.code = 0;
        chain.pointer = static_cast<uint16_t>(chain.offset + 2);
        return chain;
      }
    } else if (!options_pass(packet, chain.offset + 2U, chain.offset + header.bytes(), chain)) {
      return chain;
    }
    chain.pointer = chain.offset;
    chain.next_header = header.next_header;
    chain.offset = static_cast<uint16_t>(chain.offset + header.bytes());
  }
  chain.end = HeaderChain::End::payload;
  return chain;
}

// Validates the IPv4 header at `at` with `bytes` there; true if the packet goes on, with ip and transport set.
bool parse_ipv4(Packet& packet, uint8_t* at, size_t bytes) {
  if (bytes < sizeof(net::Ipv4Header)) return packet.drop(Verdict::malformed_ipv4), false;
  auto& ip = net::header_at<net::Ipv4Header>(at);
  const size_t total = ip.total_length;
  if (ip.version() != 4 || ip.header_bytes() < sizeof ip || ip.header_bytes() > total || total > bytes)
    return packet.drop(Verdict::malformed_ipv4), false;
  if (!net::checksum_is_right(ip)) return packet.drop(Verdict::bad_ipv4_checksum), false;
  packet.ip = &ip;
  packet.transport = at + ip.header_bytes();
  packet.protocol = net::Protocol{ip.protocol};
  packet.trim(packet.bytes - packet.offset_of(at) - static_cast<uint32_t>(total));  // padding and trailers
  return true;
}

// A loose or strict source route among the options (RFC 791 §3.1), which nobody translates.
bool has_source_route(const net::Ipv4Header& ip) {
  const auto* options = reinterpret_cast<const uint8_t*>(&ip);
  const size_t end = ip.header_bytes();
  for (size_t at = sizeof ip; at < end && options[at] != 0;) {
    const uint8_t kind = options[at];
    if (kind == 131 || kind == 137) return true;
    if (kind != 1 && (at + 1 == end || options[at + 1] < 2)) return false;
    at += kind == 1 ? 1U : options[at + 1];
  }
  return false;
}

constexpr bool is_icmp_error(uint8_t type) {
  return type == net::icmp::unreachable || type == net::icmp::time_exceeded || type == net::icmp::parameter_problem;
}

// An ICMP error belongs to the mapping of the packet it quotes (RFC 5508 §4).
void parse_icmp_error(Packet& packet, size_t bytes, bool outbound) {
  const size_t quoted_bytes = bytes - sizeof(net::IcmpHeader);
  auto& quoted = net::header_at<net::Ipv4Header>(packet.transport + sizeof(net::IcmpHeader));
  if (quoted_bytes < sizeof quoted || quoted.version() != 4 || quoted.header_bytes() < sizeof quoted ||
      quoted_bytes < quoted.header_bytes() + 8)
    return packet.drop(Verdict::malformed_transport);
  if (!net::checksum_is_right(quoted)) return packet.drop(Verdict::malformed_transport);        // RFC 5508 REQ-3
  if (outbound && has_source_route(quoted)) return packet.drop(Verdict::source_route_refused);  // RFC 5508 §7.3
  // What came to an outside address can only be about what left from it.
  if (!outbound && quoted.source != packet.ip->destination) return packet.drop(Verdict::no_mapping);
  if (quoted.fragment_offset_bytes() != 0) return packet.drop(Verdict::fragment_unsupported);
  const auto* transport = reinterpret_cast<const uint8_t*>(&quoted) + quoted.header_bytes();
  packet.quoted = &quoted;
  packet.protocol = net::Protocol{quoted.protocol};
  switch (packet.protocol) {
    case net::Protocol::tcp:
    case net::Protocol::udp: {
      const auto& ports = net::header_at<net::UdpHeader>(transport);
      packet.port = outbound ? ports.destination : ports.source;
      return;
    }
    case net::Protocol::icmp: {
      const auto& query = net::header_at<net::IcmpHeader>(transport);
      // The quoted packet travelled the other way: a reply if the error leaves, a request if it comes.
      if (query.type != (outbound ? net::icmp::echo_reply : net::icmp::echo_request))
        return packet.drop(Verdict::icmp_unsupported);
      packet.port = {query.identifier};
      return;
    }
    default:
      return packet.drop(Verdict::icmp_unsupported);
  }
}

// Finds protocol and port of the mapping; all lengths are checked here.
void parse_transport(Packet& packet, bool outbound) {
  const size_t bytes = packet.ip->total_length - packet.ip->header_bytes();
  switch (packet.protocol) {
    case net::Protocol::tcp: {
      const auto& tcp = net::header_at<net::TcpHeader>(packet.transport);
      if (bytes < sizeof tcp || tcp.header_bytes() < sizeof tcp || tcp.header_bytes() > bytes)
        return packet.drop(Verdict::malformed_transport);
      packet.port = outbound ? tcp.source : tcp.destination;
      return;
    }
    case net::Protocol::udp: {
      const auto& udp = net::header_at<net::UdpHeader>(packet.transport);
      if (bytes < sizeof udp || udp.length < sizeof udp || (udp.length > bytes && !packet.ip->is_fragment()))
        return packet.drop(Verdict::malformed_transport);
      packet.port = outbound ? udp.source : udp.destination;
      return;
    }
    case net::Protocol::icmp: {
      const auto& icmp = net::header_at<net::IcmpHeader>(packet.transport);
      if (bytes < sizeof icmp) return packet.drop(Verdict::malformed_transport);
      packet.port = {icmp.identifier};
      if (outbound && has_source_route(*packet.ip)) return packet.drop(Verdict::source_route_refused);  // RFC 5508 §7.3
      if (icmp.type == (outbound ? net::icmp::echo_request : net::icmp::echo_reply)) return;
      if (!is_icmp_error(icmp.type) || packet.ip->is_fragment()) return packet.drop(Verdict::icmp_unsupported);
      if (net::fold(net::sum_of({packet.transport, bytes})) != 0xffff) return packet.drop(Verdict::bad_icmp_checksum);
      return parse_icmp_error(packet, bytes, outbound);
    }
    default:
      return packet.punt(Punt::protocol_unreachable, Verdict::protocol_unsupported);
  }
}

void hand_over_unless(unsigned worker, unsigned owner, Packet& packet) {
  if (owner == worker) return;
  packet.context.fate = Fate::hand_over;
  packet.context.target = static_cast<uint8_t>(owner);
}

unsigned owner_of(const net::Ipv6& b4, const Snapshot& config) {
  return config.policy.pool.owner_of(config.subscriber_of(Side::access, b4));
}

std::span<const uint8_t> payload_of(const Packet& packet) {
  return {packet.transport, packet.ip->total_length - packet.ip->header_bytes()};
}

bool is_echo_request(const Packet& packet) {
  const auto payload = payload_of(packet);
  return packet.protocol == net::Protocol::icmp && !payload.empty() && payload[0] == net::icmp::echo_request;
}

// To no address of the pool: for someone whose packets are tunnelled as they are, or not for us.
void parse_passed_inbound(Packet& packet, const Snapshot& config, unsigned worker) {
  const auto* row = find_inbound(config.pass_through, *packet.ip, payload_of(packet));
  if (row == nullptr) return packet.drop(Verdict::not_ours);
  if (never_forwarded(packet.ip->source)) return packet.drop(Verdict::ipv4_source_refused);
  packet.passes = row;
  hand_over_unless(worker, owner_of(row->b4, config), packet);  // who alone knows the path to the B4
}

// An IPv4 fragment's own lengths (RFC 791 §3.2), and the transport header if it is the first. True if it goes on.
bool parse_ipv4_fragment(Packet& packet, bool outbound) {
  const auto& ip = *packet.ip;
  const size_t bytes = ip.total_length - ip.header_bytes(), offset = ip.fragment_offset_bytes();
  if (bytes == 0 || (ip.more_fragments() && bytes % 8 != 0) || offset + bytes > net::ipv4_payload_bytes_max)
    return packet.drop(Verdict::malformed_ipv4), false;
  packet.later_fragment = offset != 0;
  const bool translated = packet.protocol == net::Protocol::tcp || packet.protocol == net::Protocol::udp ||
                          packet.protocol == net::Protocol::icmp;
  if (!packet.later_fragment || !translated) parse_transport(packet, outbound);
  return !packet.decided();
}

// All fragments to an address meet at one worker, which learns the port from the first; its owner gets it with each.
void parse_inbound_fragment(Packet& packet, const Snapshot& config, unsigned worker) {
  if (!parse_ipv4_fragment(packet, false)) return;
  if (packet.context.port_known) {
    packet.port = packet.context.port;
    packet.remote_port = packet.context.remote_port;
    return;
  }
  packet.piece = Piece::ipv4;
  hand_over_unless(worker, config.policy.pool.owner_of_fragments(packet.address_number), packet);
}

void parse_inbound(Packet& packet, const Snapshot& config, unsigned worker) {
  const auto number = config.policy.pool.number_of(packet.ip->destination);
  if (!number) return parse_passed_inbound(packet, config, worker);
  packet.address_number = *number;
  if (never_forwarded(packet.ip->source)) return packet.drop(Verdict::ipv4_source_refused);
  if (packet.ip->is_fragment()) return parse_inbound_fragment(packet, config, worker);
  if (config.pool_answers_echo && !packet.context.hairpin && is_echo_request(packet))
    return packet.punt(Punt::host_ipv4, Verdict::router_declined);
  parse_transport(packet, false);
  if (packet.decided()) return;
  hand_over_unless(worker, config.policy.pool.owner(*number, packet.port), packet);
}

void parse_ipv4_frame(Packet& packet, const Snapshot& config, unsigned worker) {
  auto* at = packet.data + sizeof(net::EthernetHeader);
  packet.context.outer_offset = packet.context.l3_offset = sizeof(net::EthernetHeader);
  if (!parse_ipv4(packet, at, packet.bytes - sizeof(net::EthernetHeader))) return;
  if (packet.ip->destination == config.internet.address.address)
    return packet.punt(Punt::host_ipv4, Verdict::router_declined);
  // Our own addresses never arrive from outside, unless hairpinning is left to the gateway.
  if (packet.ip->source == config.internet.address.address ||
      (config.hairpinning && config.policy.pool.number_of(packet.ip->source)))
    return packet.drop(Verdict::ipv4_source_refused);
  parse_inbound(packet, config, worker);
}

bool is_inside(const Snapshot& config, net::Ipv4 address) {
  for (const auto& prefix : config.inside.prefixes)
    if (net::contains(prefix, address)) return true;
  return false;
}

void parse_outbound(Packet& packet) {
  if (!packet.ip->is_fragment()) return parse_transport(packet, true);
  if (parse_ipv4_fragment(packet, true)) packet.piece = Piece::ipv4;
}

// From a subscriber without a softwire, outbound. His address alone says who he is.
void parse_inside_frame(Packet& packet, const Snapshot& config, unsigned worker) {
  auto* at = packet.data + sizeof(net::EthernetHeader);
  const auto& side = config.inside;
  packet.context.outer_offset = packet.context.l3_offset = sizeof(net::EthernetHeader);
  if (!parse_ipv4(packet, at, packet.bytes - sizeof(net::EthernetHeader))) return;
  const auto& ip = *packet.ip;
  const bool is_subscriber = is_inside(config, ip.source) && ip.source != side.address.address;
  // A router on the link may be none, but reports errors about what it could not deliver (RFC 5508 REQ-5).
  const bool may_report = packet.protocol == net::Protocol::icmp && net::contains(side.address, ip.source) &&
                          ip.source != side.address.address;
  if (!is_subscriber && !may_report) return packet.drop(Verdict::ipv4_source_refused);
  if (ip.destination == side.address.address || ip.destination == config.internet.address.address ||
      (is_subscriber && ip.destination == pcp_anycast))
    return packet.punt(Punt::host_ipv4, Verdict::router_declined);
  if (never_forwarded(ip.destination) || is_inside(config, ip.destination))
    return packet.drop(Verdict::destination_refused);
  parse_outbound(packet);
  if (packet.decided()) return;
  if (!is_subscriber && packet.quoted == nullptr) return packet.drop(Verdict::ipv4_source_refused);
  const net::Ipv4 host = packet.quoted != nullptr ? packet.quoted->destination : ip.source;
  packet.context.b4 = config.subscriber_of(Side::inside, net::mapped(host));
  packet.outer_class = ip.tos;  // there is no outer header to say otherwise
  hand_over_unless(worker, config.policy.pool.owner_of(packet.context.b4), packet);
}

// The inner packet of a softwire, outbound.
void parse_inner(Packet& packet, const Snapshot& config, size_t payload_bytes) {
  auto* at = packet.data + packet.context.l3_offset;
  if (!parse_ipv4(packet, at, payload_bytes)) return;
  const auto& ip = *packet.ip;
  if (congestion_mark_lost(packet.outer_class, ip.tos)) return packet.drop(Verdict::congestion_mark_refused);
  const auto* row = find_outbound(config.pass_through, packet.context.b4, ip, payload_of(packet));
  if (row == nullptr && !inner_source_allowed(ip.source)) return packet.drop(Verdict::ipv4_source_refused);
  if (ip.destination == aftr_inside || ip.destination == pcp_anycast)
    return packet.punt(Punt::host_softwire, Verdict::router_declined);
  if (never_forwarded(ip.destination)) return packet.drop(Verdict::destination_refused);
  packet.passes = row;
  if (row != nullptr) return;
  parse_outbound(packet);
}

std::optional<uint8_t> softwire_number(const Snapshot& config, const net::Ipv6& address) {
  const auto& ours = config.softwire.aftr_addresses;
  for (size_t i = 0; i < ours.size(); ++i)
    if (ours[i] == address) return static_cast<uint8_t>(i);
  return std::nullopt;
}

bool b4_allowed(const Snapshot& config, const net::Ipv6& b4) {
  if (!is_host(b4) || b4 == config.access.address.address || softwire_number(config, b4)) return false;
  for (const auto& prefix : config.softwire.allowed_prefixes)
    if (net::contains(prefix, b4)) return true;
  return false;
}

void answer(Packet& packet, uint8_t code, size_t pointer, Verdict otherwise) {
  packet.context.code = code;
  packet.context.pointer = static_cast<uint16_t>(pointer);
  packet.punt(Punt::bad_extension, otherwise);
}

bool passes(Packet& packet, const HeaderChain& chain) {
  if (chain.end == HeaderChain::End::payload) return true;
  if (chain.end != HeaderChain::End::answered) return packet.drop(Verdict::extension_header_refused), false;
  return answer(packet, chain.code, chain.pointer, Verdict::extension_header_refused), false;
}

// The first fragment must hold all headers up to and with the IPv4 header (RFC 8200 §4.5, RFC 7112 §5).
bool parse_first_fragment(Packet& packet, const uint8_t* ip, size_t bytes, const HeaderChain& chain) {
  const auto incomplete = [&] {  // the pointer is 0 (RFC 7112 §5)
    return answer(packet, net::icmpv6::incomplete_header_chain, 0, Verdict::malformed_ipv6), false;
  };
  if (chain.end == HeaderChain::End::cut) return incomplete();
  if (!passes(packet, chain)) return false;
  if (net::Protocol{chain.next_header} != net::Protocol::ipv4) return packet.drop(Verdict::fragment_unsupported), false;
  const size_t inner_bytes = bytes - chain.offset;
  if (inner_bytes < sizeof(net::Ipv4Header)) return incomplete();
  if (inner_bytes < net::header_at<net::Ipv4Header>(ip + chain.offset).header_bytes()) return incomplete();
  return true;
}

// `chain` has come to a fragment header. True if the packet goes on: as a piece, or whole, with `chain` at its payload.
bool parse_ipv6_fragment(Packet& packet, HeaderChain& chain, bool to_softwire) {
  const uint8_t* ip = packet.data + packet.context.outer_offset;
  const size_t end = packet.bytes - packet.context.outer_offset;
  if (chain.offset + sizeof(net::Ipv6Fragment) > end) return packet.drop(Verdict::extension_header_refused), false;
  const auto& header = net::header_at<net::Ipv6Fragment>(ip + chain.offset);
  const size_t begin = header.offset_more & 0xfff8U, bytes = end - chain.offset - sizeof header;
  const size_t before = chain.offset - sizeof(net::Ipv6Header);  // of the payload length
  const bool more = (header.offset_more & 1) != 0;
  HeaderChain inside = chain;
  inside.pointer = chain.offset;
  inside.next_header = header.next_header;
  inside.offset = static_cast<uint16_t>(chain.offset + sizeof header);
  ++inside.count;
  if (begin == 0 && !more) {  // nothing to wait for (RFC 6946 §4)
    chain = walk_on(ip, end, inside);
    return passes(packet, chain);
  }
  if (!to_softwire) return packet.drop(Verdict::fragment_unsupported), false;
  constexpr uint8_t erroneous_field = 0;  // RFC 8200 §4.5
  if (more && bytes % 8 != 0)
    return answer(packet, erroneous_field, offsetof(net::Ipv6Header, payload_length), Verdict::malformed_ipv6), false;
  if (before + begin + bytes > UINT16_MAX)
    return answer(packet, erroneous_field, chain.offset + offsetof(net::Ipv6Fragment, offset_more),
                  Verdict::malformed_ipv6),
           false;
  if (begin == 0 && !parse_first_fragment(packet, ip, end, walk_on(ip, end, inside))) return false;
  if (bytes == 0) return packet.drop(Verdict::malformed_ipv6), false;
  packet.transport = packet.data + packet.context.outer_offset + chain.offset;
  packet.piece = Piece::ipv6;
  return true;
}

void parse_ipv6_frame(Packet& packet, const Snapshot& config, unsigned worker) {
  constexpr uint32_t offset = sizeof(net::EthernetHeader);
  packet.context.outer_offset = packet.context.l3_offset = offset;
  const size_t available = packet.bytes - offset;
  const auto& ip = net::header_at<net::Ipv6Header>(packet.data + offset);
  if (available < sizeof ip || ip.version() != 6 || sizeof ip + ip.payload_length > available)
    return packet.drop(Verdict::malformed_ipv6);
  packet.trim(static_cast<uint32_t>(available - sizeof ip - ip.payload_length));
  packet.outer_class = ip.traffic_class();

  const auto softwire = softwire_number(config, ip.destination);
  const bool for_host = ip.destination == config.access.address.address || ip.destination == pcp_anycast_ipv6 ||
                        net::is_multicast(ip.destination) || net::is_link_local(ip.destination);
  if (!softwire && !for_host) return packet.drop(Verdict::not_ours);

  HeaderChain chain = walk_headers(packet.data + offset, sizeof ip + ip.payload_length);
  if (!passes(packet, chain)) return;
  if (net::Protocol{chain.next_header} == net::Protocol::fragment &&
      !parse_ipv6_fragment(packet, chain, softwire.has_value()))
    return;
  const net::Protocol payload{chain.next_header};
  if (packet.piece == Piece::none && (!softwire || payload != net::Protocol::ipv4)) {
    const bool host_speaks = payload == net::Protocol::icmpv6 || payload == net::Protocol::udp ||
                             payload == net::Protocol::tcp || payload == net::Protocol::no_next_header;
    if (softwire && payload == net::Protocol::icmpv6 && parse_tunnel_error(packet, config, worker, chain.offset))
      return;
    if (host_speaks) return packet.punt(Punt::host_ipv6, Verdict::router_declined);
    return answer(packet, net::icmpv6::unrecognized_next_header, chain.pointer, Verdict::not_a_softwire);
  }
  if (!b4_allowed(config, ip.source)) return packet.drop(Verdict::outer_source_refused);
  hand_over_unless(worker, owner_of(ip.source, config), packet);
  if (packet.decided() || packet.piece != Piece::none) return;

  packet.context.in_softwire = true;
  packet.context.b4 = ip.source;
  packet.context.softwire = ip.destination;
  packet.context.l3_offset = static_cast<uint16_t>(offset + chain.offset);
  packet.softwire = *softwire;
  parse_inner(packet, config, sizeof ip + ip.payload_length - chain.offset);
}

bool for_us(const net::Mac& destination, const net::Mac& ours) {
  return destination == ours || (destination.bytes[0] & 1) != 0;
}

}  // namespace

HeaderChain walk_headers(const uint8_t* packet, size_t bytes) {
  HeaderChain chain;
  chain.next_header = net::header_at<net::Ipv6Header>(packet).next_header;
  chain.offset = sizeof(net::Ipv6Header);
  chain.pointer = offsetof(net::Ipv6Header, next_header);
  return walk_on(packet, bytes, chain);
}

void parse_frame(Packet& packet, const Snapshot& config, unsigned worker) {
  const auto& ethernet = net::header_at<net::EthernetHeader>(packet.data);
  const Side side = packet.context.side;
  const bool access = side == Side::access;
  if (!for_us(ethernet.destination, config.link(side).mac)) return packet.drop(Verdict::not_ours);
  switch (net::EtherType{uint16_t{ethernet.type}}) {
    case net::EtherType::arp:
      return access ? packet.drop(Verdict::not_ours) : packet.punt(Punt::arp, Verdict::router_declined);
    case net::EtherType::ipv6:
      return access ? parse_ipv6_frame(packet, config, worker) : packet.drop(Verdict::not_ours);
    case net::EtherType::ipv4:
      if (side == Side::inside) return parse_inside_frame(packet, config, worker);
      return access ? packet.drop(Verdict::not_ours) : parse_ipv4_frame(packet, config, worker);
    default:
      return packet.drop(Verdict::unknown_ethertype);
  }
}

void parse_hairpin(Packet& packet, const Snapshot& config, unsigned worker) {
  if (!parse_ipv4(packet, packet.data, packet.bytes)) return;
  parse_inbound(packet, config, worker);
}

}  // namespace portolan::pipeline
