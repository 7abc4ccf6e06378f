#include "tests/b4/encapsulation.h"

#include <algorithm>

#include "dataplane/net/checksum.h"
#include "dataplane/net/reader.h"
#include "dataplane/net/wire.h"

namespace portolan::b4 {
namespace {

using net::Ipv4Header, net::Protocol;

constexpr uint8_t hop_limit = 64;  // independent of the inner TTL (RFC 2473 §6.3)
constexpr uint8_t ecn_mask = 0x03, congestion_experienced = 0x03;
constexpr size_t icmp_error_bytes_max = 576;  // RFC 1812 §4.3.2.3

// The other end of the tunnel (RFC 6333 §6.5): the source of our errors, because a kernel drops packets that arrive
// with one of its own addresses.
constexpr net::Ipv4 aftr_inside{0xc0000001};  // 192.0.0.1

// The inner header if it may be believed: version, lengths and checksum (DSL-014).
const Ipv4Header* inner_header(std::span<const uint8_t> packet) {
  if (packet.size() < sizeof(Ipv4Header)) return nullptr;
  const auto& header = net::header_at<Ipv4Header>(packet.data());
  const size_t total = header.total_length;
  const bool lengths_agree =
      header.header_bytes() >= sizeof(Ipv4Header) && header.header_bytes() <= total && total <= packet.size();
  return header.version() == 4 && lengths_agree && checksum_is_right(header) ? &header : nullptr;
}

template <class Part>
void append(Packet& packet, const Part& part) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&part);
  packet.insert(packet.end(), bytes, bytes + sizeof(Part));
}

// IPv6 header and, if configured, the Tunnel Encapsulation Limit option; what follows them is a `next`.
Packet outer_headers(const Tunnel& tunnel, uint8_t traffic_class, Protocol next, size_t bytes_after) {
  const std::array<uint8_t, 8> limit_option{static_cast<uint8_t>(next), 0, 4, 1, 4, 1, 1, 0};  // limit 4, then PadN
  const size_t option_bytes = tunnel.encapsulation_limit ? limit_option.size() : 0;
  const net::Ipv6Header header{
      .version_class_flow = uint32_t{6} << 28 | uint32_t{traffic_class} << 20,
      .payload_length = static_cast<uint16_t>(option_bytes + bytes_after),
      .next_header = static_cast<uint8_t>(tunnel.encapsulation_limit ? Protocol::destination_options : next),
      .hop_limit = hop_limit,
      .source = tunnel.local,
      .destination = tunnel.aftr};
  Packet packet;
  packet.reserve(sizeof(header) + option_bytes + bytes_after);
  append(packet, header);
  if (tunnel.encapsulation_limit) append(packet, limit_option);
  return packet;
}

// The option stays in the unfragmentable part of every fragment, as Linux ip6tnl does it.
std::vector<Packet> fragments(const Tunnel& tunnel, std::span<const uint8_t> inner, uint8_t tos, uint32_t id) {
  const size_t room = (tunnel.path_mtu - overhead(tunnel) - sizeof(net::Ipv6Fragment)) & ~size_t{7};
  std::vector<Packet> out;
  for (size_t offset = 0; offset < inner.size(); offset += room) {
    const auto part = inner.subspan(offset, std::min(room, inner.size() - offset));
    const bool more = offset + part.size() < inner.size();
    Packet packet = outer_headers(tunnel, tos, Protocol::fragment, sizeof(net::Ipv6Fragment) + part.size());
    append(packet, net::Ipv6Fragment{.next_header = static_cast<uint8_t>(Protocol::ipv4),
                                     .reserved = 0,
                                     .offset_more = static_cast<uint16_t>(offset | (more ? 1U : 0U)),
                                     .identification = id});
    packet.insert(packet.end(), part.begin(), part.end());
    out.push_back(std::move(packet));
  }
  return out;
}

// RFC 1812 §4.3.2.7: whom an error must never answer.
bool may_answer(const Ipv4Header& header, std::span<const uint8_t> inner) {
  const uint32_t source = header.source.bits;
  if (header.fragment_offset_bytes() != 0 || is_multicast(header.destination)) return false;
  if (source == 0 || source >> 24 == 127 || source >> 28 >= 0xe) return false;
  if (header.protocol != static_cast<uint8_t>(Protocol::icmp)) return true;
  const size_t type_at = header.header_bytes();
  return type_at < inner.size() &&
         (inner[type_at] == net::icmp::echo_request || inner[type_at] == net::icmp::echo_reply);
}

// Destination unreachable, fragmentation needed (RFC 792, RFC 1191 §4), as it enters the TUN.
Packet fragmentation_needed(const Ipv4Header& offender, std::span<const uint8_t> inner, size_t mtu) {
  const auto quoted =
      inner.first(std::min(inner.size(), icmp_error_bytes_max - sizeof(Ipv4Header) - sizeof(net::IcmpHeader)));
  Ipv4Header header{.version_ihl = 0x45,
                    .tos = 0,
                    .total_length = static_cast<uint16_t>(sizeof(Ipv4Header) + sizeof(net::IcmpHeader) + quoted.size()),
                    .identification = 0,
                    .flags_offset = 0x4000,
                    .ttl = hop_limit,
                    .protocol = static_cast<uint8_t>(Protocol::icmp),
                    .checksum = 0,
                    .source = aftr_inside,
                    .destination = offender.source};
  set_checksum(header);
  net::IcmpHeader icmp{.type = net::icmp::unreachable,
                       .code = net::icmp::fragmentation_needed,
                       .checksum = 0,
                       .identifier = 0,
                       .sequence = static_cast<uint16_t>(mtu)};
  const std::span icmp_bytes(reinterpret_cast<const uint8_t*>(&icmp), sizeof(icmp));
  icmp.checksum = net::finish(net::sum_of(icmp_bytes) + net::sum_of(quoted));
  Packet packet;
  append(packet, header);
  append(packet, icmp);
  packet.insert(packet.end(), quoted.begin(), quoted.end());
  return packet;
}

}  // namespace

std::optional<uint8_t> decapsulated_ecn(uint8_t inner, uint8_t outer) {
  constexpr uint8_t drop = 0xff, not_ect = 0, ect1 = 1, ect0 = 2, ce = 3;
  constexpr uint8_t results[4][4] = {// outer Not-ECT, ECT(1), ECT(0), CE
                                     {not_ect, not_ect, not_ect, drop},
                                     {ect1, ect1, ect1, ce},
                                     {ect0, ect1, ect0, ce},
                                     {ce, ce, ce, ce}};
  const uint8_t result = results[inner & ecn_mask][outer & ecn_mask];
  return result == drop ? std::nullopt : std::optional(result);
}

Upstream encapsulate(const Tunnel& tunnel, std::span<const uint8_t> inner, uint32_t fragment_id) {
  if (inner.empty() || inner[0] >> 4 != 4) return {Verdict::not_ipv4, {}, {}};
  const Ipv4Header* header = inner_header(inner);
  if (header == nullptr) return {Verdict::malformed, {}, {}};
  inner = inner.first(header->total_length);
  if (inner.size() <= tunnel_mtu(tunnel)) {
    // DSCP and ECN copied outwards: RFC 2983 §3.1, RFC 6040 §4.1 normal mode.
    Packet packet = outer_headers(tunnel, header->tos, Protocol::ipv4, inner.size());
    packet.insert(packet.end(), inner.begin(), inner.end());
    return {Verdict::sent, {std::move(packet)}, {}};
  }
  if (header->dont_fragment())  // RFC 2473 §7.2(a)
    return {Verdict::too_big,
            {},
            may_answer(*header, inner) ? fragmentation_needed(*header, inner, tunnel_mtu(tunnel)) : Packet{}};
  return {Verdict::fragmented, fragments(tunnel, inner, header->tos, fragment_id), {}};  // RFC 6333 §5.3
}

Downstream decapsulate(const Tunnel& tunnel, const net::Ipv6& source, uint8_t traffic_class,
                       std::span<uint8_t> payload) {
  if (source != tunnel.aftr) return {Verdict::not_from_aftr, {}};
  if (inner_header(payload) == nullptr) return {Verdict::malformed, {}};
  auto& header = net::header_at<Ipv4Header>(payload.data());
  const auto ecn = decapsulated_ecn(header.tos, traffic_class);
  if (!ecn) return {Verdict::congestion_unmarked, {}};
  // Uniform model: the softwire is part of the operator's DiffServ domain (RFC 2983 §3.1, RFC 6908 §2.10).
  header.tos = static_cast<uint8_t>((traffic_class & ~ecn_mask) | *ecn);
  set_checksum(header);
  return {Verdict::received, payload.first(header.total_length)};
}

}  // namespace portolan::b4
