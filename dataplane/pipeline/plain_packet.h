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
  // Bits of `special`, none of which an ordinary packet has: TCP's flags that move a connection, and what else is
  // rewritten.
  static constexpr uint8_t turns = net::tcp_syn | net::tcp_fin | net::tcp_rst;
  static constexpr uint8_t identified = 8;  // not atomic: its identification means something (RFC 6864 §4)
  static constexpr uint8_t other_tos = 16;  // set by whoever finds that the type of service changes
  static_assert((turns & (identified | other_tos)) == 0);

  uint32_t total;  // length
  bool tcp;        // or UDP
  uint8_t special;
};

// Whether an IPv4 header without options has the right checksum, as the three words it lies in; no fragment's, so that
// the first has room for a carry. Ones-complement sums of 16 bits are sums modulo 2^16 - 1, of which 2^64 - 1 is a
// multiple: the words are added up as they are, and the header is right if that is a multiple of 2^16 - 1. (A number is
// one of an odd d if its product with d's inverse modulo 2^64 is no more than the greatest quotient.)
inline bool checksum_is_right(uint64_t first, uint64_t second, uint32_t third) {
  constexpr uint64_t quotient_max = ~uint64_t{0} / 0xffff, inverse = -quotient_max;
  static_assert(inverse * 0xffff == 1);
  uint64_t sum = first + third;
  const bool carry = __builtin_add_overflow(sum, second, &sum);
  sum += carry ? 1 : 0;
  return sum * inverse <= quotient_max;
}

// Whether what lies at `ip`, of which `room` octets are there, is a plain packet with TTL to spare and all lengths
// sound. At least 28 octets are there.
[[gnu::always_inline]] inline bool is_plain(const uint8_t* ip, uint32_t room, PlainPacket& packet) {
  static_assert(std::endian::native == std::endian::little);
  const auto first = load<uint64_t>(ip);  // version and length, class, total length, identification, flags and offset
  const auto second = load<uint64_t>(ip + 8);                           // TTL, protocol, checksum, source
  constexpr uint64_t shape_mask = 0xff3f'0000'0000'00ff, shape = 0x45;  // no options, no fragment
  if ((first & shape_mask) != shape || (second & 0xfe) == 0) return false;
  if (!checksum_is_right(first, second, load<uint32_t>(ip + 16))) return false;
  const uint32_t total = net::swap_if_little(static_cast<uint16_t>(first >> 16));
  if (total > room) return false;
  packet.total = total;
  packet.special = static_cast<uint8_t>(~first >> 51 & PlainPacket::identified);  // without DF
  const auto protocol = static_cast<uint8_t>(second >> 8);
  const uint8_t* transport = ip + ipv4_bytes;
  if (protocol == static_cast<uint8_t>(net::Protocol::udp)) {
    packet.tcp = false;
    const uint32_t length = load_be16(transport + offsetof(net::UdpHeader, length));
    return length >= sizeof(net::UdpHeader) && length + ipv4_bytes <= total;
  }
  if (protocol != static_cast<uint8_t>(net::Protocol::tcp) || total < ipv4_bytes + sizeof(net::TcpHeader)) return false;
  const auto& tcp = net::header_at<net::TcpHeader>(transport);
  packet.tcp = true;
  packet.special = static_cast<uint8_t>(packet.special | (tcp.flags & PlainPacket::turns));
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
  constexpr uint16_t one_less = 0xfffe;  // the word of TTL and protocol, as it lies in memory
  // HC' = ~(~HC + ~m + m') (RFC 1624 eqn. 3)
  const auto header_sum = net::plus(net::plus(static_cast<uint16_t>(~ip.checksum.raw()), one_less), address_delta);
  ip.checksum = net::be16::from_raw(static_cast<uint16_t>(~header_sum));
  --ip.ttl;
  store(at + (source ? offsetof(net::Ipv4Header, source) : offsetof(net::Ipv4Header, destination)), address);
  uint8_t* transport = at + ipv4_bytes;
  store(transport + (source ? 0 : sizeof port), port);
  uint8_t* checksum = transport + (is_tcp ? offsetof(net::TcpHeader, checksum) : offsetof(net::UdpHeader, checksum));
  const auto before = load<uint16_t>(checksum);
  if (before == 0 && !is_tcp) [[unlikely]]
    return;  // none was sent, none is sent (RFC 768)
  auto after = static_cast<uint16_t>(~net::plus(static_cast<uint16_t>(~before), endpoint_delta));
  if (after == 0 && !is_tcp) [[unlikely]]
    after = 0xffff;
  store(checksum, after);
}

// Type of service and identification, if they change.
inline void rewrite_rest(uint8_t* at, uint8_t tos, net::be16 identification) {
  auto& ip = net::header_at<net::Ipv4Header>(at);
  constexpr uint32_t zero = 0xffff;  // in ones-complement arithmetic; keeps differences positive
  const uint32_t delta = zero + (uint32_t{tos} << 8) - (uint32_t{ip.tos} << 8) +  //
                         zero + identification.raw() - ip.identification.raw();
  ip.checksum = net::updated(ip.checksum, delta);
  ip.tos = tos;
  ip.identification = identification;
}

}  // namespace portolan::pipeline
