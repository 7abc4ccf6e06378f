#include "dataplane/pipeline/translate.h"

#include <cstring>

#include "dataplane/net/checksum.h"

namespace portolan::pipeline {

namespace {

// A mapping seen in one direction: what to write, and what that does to checksums.
struct Rewrite {
  net::Endpoint to;
  uint16_t address_delta, endpoint_delta, port_delta;

  Rewrite(const nat::Mapping& mapping, bool outbound) : to(outbound ? mapping.outside() : mapping.inside()) {
    // Backwards is the ones-complement negative.
    address_delta = outbound ? mapping.address_delta : static_cast<uint16_t>(~mapping.address_delta);
    endpoint_delta = outbound ? mapping.endpoint_delta : static_cast<uint16_t>(~mapping.endpoint_delta);
    port_delta = net::fold(net::difference(address_delta, endpoint_delta));
  }
  Rewrite(const net::Endpoint& before, const net::Endpoint& after) : to(after) {
    address_delta = net::fold(net::difference(sum_of(before.address), sum_of(after.address)));
    port_delta = net::fold(net::difference(sum_of(before.port), sum_of(after.port)));
    endpoint_delta = net::fold(net::ChecksumSum{address_delta} + port_delta);
  }
};

void update_udp(net::UdpHeader& udp, uint16_t delta) {
  if (udp.checksum == 0) return;  // none was sent, none is sent (RFC 768)
  const net::be16 updated = net::updated(udp.checksum, delta);
  udp.checksum = updated == 0 ? net::be16(0xffff) : updated;
}

// `source`: which of the two endpoints in the packet is the mapping's.
void rewrite_transport(uint8_t* transport, size_t bytes, net::Protocol protocol, const Rewrite& rewrite, bool source) {
  switch (protocol) {
    case net::Protocol::tcp: {
      auto& tcp = net::header_at<net::TcpHeader>(transport);
      (source ? tcp.source : tcp.destination) = rewrite.to.port;
      if (bytes >= offsetof(net::TcpHeader, urgent))  // a quoted segment may end before its checksum
        tcp.checksum = net::updated(tcp.checksum, rewrite.endpoint_delta);
      return;
    }
    case net::Protocol::udp: {
      auto& udp = net::header_at<net::UdpHeader>(transport);
      (source ? udp.source : udp.destination) = rewrite.to.port;
      return update_udp(udp, rewrite.endpoint_delta);
    }
    default: {  // ICMP query: no pseudo-header, so the identifier alone counts
      auto& icmp = net::header_at<net::IcmpHeader>(transport);
      icmp.identifier = rewrite.to.port.number;
      icmp.checksum = net::updated(icmp.checksum, rewrite.port_delta);
    }
  }
}

void rewrite_address(net::Ipv4Header& ip, const Rewrite& rewrite, bool source) {
  (source ? ip.source : ip.destination) = rewrite.to.address;
  ip.checksum = net::updated(ip.checksum, rewrite.address_delta);
}

// The packet an ICMP error quotes travelled the other way, so the mapping's endpoint is at its other end (RFC 5508
// §4.2).
void rewrite_icmp_error(Packet& packet, const Rewrite& rewrite, bool outbound) {
  auto& ip = *packet.ip;
  const size_t bytes = ip.total_length - ip.header_bytes();
  auto* quoted_transport = reinterpret_cast<uint8_t*>(packet.quoted) + packet.quoted->header_bytes();
  const size_t quoted_bytes = bytes - static_cast<size_t>(quoted_transport - packet.transport);
  rewrite_address(*packet.quoted, rewrite, !outbound);
  rewrite_transport(quoted_transport, quoted_bytes, packet.protocol, rewrite, !outbound);

  const net::Ipv4 before = outbound ? ip.source : ip.destination;  // outbound: may be any host behind the B4
  (outbound ? ip.source : ip.destination) = rewrite.to.address;
  ip.checksum = net::updated(ip.checksum, net::difference(net::sum_of(before), net::sum_of(rewrite.to.address)));
  auto& icmp = net::header_at<net::IcmpHeader>(packet.transport);
  icmp.checksum = net::be16(0);
  icmp.checksum = net::finish(net::sum_of({packet.transport, bytes}));
}

// TTL and type of service, each with its share of the header checksum.
void set_ttl_and_tos(net::Ipv4Header& ip, uint8_t ttl, uint8_t tos) {
  const auto word = [](uint8_t high, uint8_t low) { return net::be16(static_cast<uint16_t>(high << 8 | low)).raw(); };
  const net::ChecksumSum before = net::ChecksumSum{word(ip.version_ihl, ip.tos)} + word(ip.ttl, ip.protocol);
  ip.ttl = ttl;
  ip.tos = tos;
  const net::ChecksumSum after = net::ChecksumSum{word(ip.version_ihl, ip.tos)} + word(ip.ttl, ip.protocol);
  ip.checksum = net::updated(ip.checksum, net::difference(before, after));
}

void rewrite(Packet& packet, const Rewrite& rewrite, bool outbound) {
  if (packet.quoted != nullptr) return rewrite_icmp_error(packet, rewrite, outbound);
  rewrite_address(*packet.ip, rewrite, outbound);
  if (packet.later_fragment) return;
  rewrite_transport(packet.transport, packet.ip->total_length - packet.ip->header_bytes(), packet.protocol, rewrite,
                    outbound);
}

}  // namespace

void forward(net::Ipv4Header& ip, uint8_t tos) { set_ttl_and_tos(ip, static_cast<uint8_t>(ip.ttl - 1), tos); }

void rewrite_outbound(Packet& packet, const nat::Mapping& mapping, uint8_t tos) {
  rewrite(packet, Rewrite(mapping, true), true);
  set_ttl_and_tos(*packet.ip, static_cast<uint8_t>(packet.ip->ttl - 1), tos);
}

void rewrite_inbound(Packet& packet, const nat::Mapping& mapping, bool decrement_ttl, uint8_t tos) {
  rewrite(packet, Rewrite(mapping, false), false);
  set_ttl_and_tos(*packet.ip, static_cast<uint8_t>(packet.ip->ttl - (decrement_ttl ? 1 : 0)), tos);
}

void set_identification(net::Ipv4Header& ip, uint16_t identification) {
  const net::be16 to(identification);
  ip.checksum = net::updated(ip.checksum, net::difference(ip.identification.raw(), to.raw()));
  ip.identification = to;
}

void restore_inbound(Packet& packet, const nat::Mapping& mapping) {
  const Rewrite rewrite(mapping, true);
  const size_t bytes = packet.bytes - packet.offset_of(packet.transport);
  rewrite_address(*packet.ip, rewrite, false);
  rewrite_transport(packet.transport, bytes, packet.protocol, rewrite, false);
  set_ttl_and_tos(*packet.ip, static_cast<uint8_t>(packet.ip->ttl + 1), packet.ip->tos);
}

void restore_hairpinned(Packet& packet) {
  const net::Endpoint now{packet.ip->source, net::header_at<net::UdpHeader>(packet.transport).source};
  rewrite(packet, Rewrite(now, packet.context.sent_from), true);
  set_ttl_and_tos(*packet.ip, static_cast<uint8_t>(packet.ip->ttl + 1), packet.context.sent_tos);
}

uint8_t decapsulated_tos(uint8_t inner_tos, uint8_t outer_class, bool pipe) {
  const unsigned dscp = (pipe ? inner_tos : outer_class) & 0xfcU;
  const unsigned inner = inner_tos & 3U, outer = outer_class & 3U;
  constexpr unsigned not_ect = 0, ect1 = 1, ect0 = 2, ce = 3;
  unsigned ecn = inner;
  if (inner != not_ect && outer == ce) ecn = ce;
  if (inner == ect0 && outer == ect1) ecn = ect1;
  return static_cast<uint8_t>(dscp | ecn);
}

void clamp_mss(net::TcpHeader& tcp, uint16_t mss_max) {
  if (mss_max == 0 || (tcp.flags & net::tcp_syn) == 0) return;
  auto* options = reinterpret_cast<uint8_t*>(&tcp);
  const size_t end = tcp.header_bytes();
  for (size_t at = sizeof tcp; at + 1 < end;) {
    const uint8_t kind = options[at];
    if (kind == 0) return;
    if (kind == 1) {
      ++at;
      continue;
    }
    const uint8_t length = options[at + 1];
    if (length < 2 || at + length > end) return;
    if (kind == 2 && length == 4) {
      net::be16 mss;
      std::memcpy(&mss, options + at + 2, sizeof mss);
      if (mss <= mss_max) return;
      const net::be16 lower(mss_max);
      std::memcpy(options + at + 2, &lower, sizeof lower);
      // An option at an odd offset straddles two checksum words: its bytes then count swapped (RFC 1071 §2(B)).
      const bool odd = at % 2 != 0;
      const auto counts_as = [odd](net::be16 value) { return odd ? __builtin_bswap16(value.raw()) : value.raw(); };
      tcp.checksum = net::updated(tcp.checksum, net::difference(counts_as(mss), counts_as(lower)));
      return;
    }
    at += length;
  }
}

}  // namespace portolan::pipeline
