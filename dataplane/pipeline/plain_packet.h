// The checks and rewrites of a plain packet, as the fast path has them inline: IPv4 without options, no fragment, TCP
// or UDP. What they decide and write is what parse.cc and translate.cc would.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "dataplane/net/checksum.h"
#include "dataplane/net/wire.h"

namespace portolan::pipeline {

inline constexpr uint32_t ipv4_bytes = sizeof(net::Ipv4Header), ipv6_bytes = sizeof(net::Ipv6Header);

template <class T>
T load(const uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
inline uint16_t load_be16(const uint8_t* at) { return net::swap_if_little(load<uint16_t>(at)); }
template <class T>
void store(uint8_t* at, const T& value) {
  std::memcpy(at, &value, sizeof value);
}

// What the checks found out.
struct PlainPacket {
  uint32_t total;     // length
  uint8_t tcp_flags;  // 0: UDP
  bool tcp;
};

// Whether what lies at `ip`, of which `room` octets are there, is a plain packet with TTL to spare and all lengths
// sound. At least 28 octets are there.
[[gnu::always_inline]] inline bool is_plain(const uint8_t* ip, uint32_t room, PlainPacket& packet) {
  static_assert(std::endian::native == std::endian::little);
  const auto first = load<uint64_t>(ip);  // version and length, class, total length, identification, flags and offset
  const auto second = load<uint64_t>(ip + 8);                           // TTL, protocol, checksum, source
  constexpr uint64_t shape_mask = 0xff3f'0000'0000'00ff, shape = 0x45;  // no options, no fragment
  if ((first & shape_mask) != shape || (second & 0xfe) == 0) return false;
  // The header's words of 16 bits, summed by fours: 64 bits hold the sum of five words of 32.
  const uint64_t sum =
      (first & 0xffffffff) + (first >> 32) + (second & 0xffffffff) + (second >> 32) + load<uint32_t>(ip + 16);
  const auto folded = static_cast<uint32_t>((sum & 0xffffffff) % 0x10000 + (sum >> 16));
  if (net::fold32(folded) != 0xffff) return false;
  const uint32_t total = net::swap_if_little(static_cast<uint16_t>(first >> 16));
  if (total > room) return false;
  packet.total = total;
  const auto protocol = static_cast<uint8_t>(second >> 8);
  const uint8_t* transport = ip + ipv4_bytes;
  if (protocol == static_cast<uint8_t>(net::Protocol::udp)) {
    packet.tcp = false, packet.tcp_flags = 0;
    const uint32_t length = load_be16(transport + offsetof(net::UdpHeader, length));
    return length >= sizeof(net::UdpHeader) && length + ipv4_bytes <= total;
  }
  if (protocol != static_cast<uint8_t>(net::Protocol::tcp) || total < ipv4_bytes + sizeof(net::TcpHeader)) return false;
  const auto& tcp = net::header_at<net::TcpHeader>(transport);
  packet.tcp = true, packet.tcp_flags = tcp.flags;
  return tcp.header_bytes() >= sizeof tcp && tcp.header_bytes() + ipv4_bytes <= total;
}

// An endpoint as it lies in memory: address, then port, in the low 48 bits.
using EndpointWord = uint64_t;
constexpr EndpointWord endpoint_mask = 0xffff'ffff'ffff;

// Puts `to` in place of the source or the destination and TTL down by one, and mends the checksums. The deltas are the
// mapping's in the packet's direction.
template <bool source>
[[gnu::always_inline]] inline void rewrite_plain(uint8_t* at, bool is_tcp, uint32_t address, uint16_t port,
                                                 uint16_t address_delta, uint16_t endpoint_delta) {
  auto& ip = net::header_at<net::Ipv4Header>(at);
  static_assert(std::endian::native == std::endian::little);
  constexpr uint32_t one_less = 0xfffe;  // the word of TTL and protocol, as it lies in memory
  ip.checksum = net::updated32(ip.checksum, uint32_t{address_delta} + one_less);
  --ip.ttl;
  store(at + (source ? offsetof(net::Ipv4Header, source) : offsetof(net::Ipv4Header, destination)), address);
  uint8_t* transport = at + ipv4_bytes;
  store(transport + (source ? 0 : sizeof port), port);
  uint8_t* checksum = transport + (is_tcp ? offsetof(net::TcpHeader, checksum) : offsetof(net::UdpHeader, checksum));
  const auto before = load<net::be16>(checksum);
  if (!is_tcp && before.raw() == 0) return;  // none was sent, none is sent (RFC 768)
  const net::be16 after = net::updated32(before, endpoint_delta);
  store(checksum, !is_tcp && after.raw() == 0 ? net::be16(0xffff) : after);
}

// Type of service and identification, if they change.
inline void rewrite_rest(uint8_t* at, uint8_t tos, net::be16 identification) {
  auto& ip = net::header_at<net::Ipv4Header>(at);
  constexpr uint32_t zero = 0xffff;  // in ones-complement arithmetic; keeps differences positive
  const uint32_t delta = zero + (uint32_t{tos} << 8) - (uint32_t{ip.tos} << 8) +  //
                         zero + identification.raw() - ip.identification.raw();
  ip.checksum = net::updated32(ip.checksum, delta);
  ip.tos = tos;
  ip.identification = identification;
}

}  // namespace portolan::pipeline
