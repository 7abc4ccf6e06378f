// The Internet checksum (RFC 1071), its incremental update (RFC 1624 eqn. 3) and pseudo-headers.
// Sums run over the bytes as they lie in memory (be16::raw), which needs no swapping (RFC 1071 §2(B)).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/net/types.h"
#include "dataplane/net/wire.h"

namespace portolan::net {

// A ones-complement sum not yet folded; 64 bits hold any packet's.
using ChecksumSum = uint64_t;

constexpr uint16_t fold(ChecksumSum sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

// Ones-complement addition: the carry comes back in at the end.
constexpr uint16_t plus(uint16_t a, uint16_t b) {
  uint16_t sum = 0;
  const bool carry = __builtin_add_overflow(a, b, &sum);
  return static_cast<uint16_t>(sum + (carry ? 1 : 0));
}

constexpr ChecksumSum sum_of(Ipv4 address) { return (address.bits.raw() & 0xffffU) + (address.bits.raw() >> 16); }
constexpr ChecksumSum sum_of(Port port) { return port.number.raw(); }

// Ones-complement sum of the bytes; an odd last byte is padded with zero.
ChecksumSum sum_of(std::span<const uint8_t> bytes);

// What to add to a ones-complement sum to replace `from` by `to` in it.
constexpr ChecksumSum difference(ChecksumSum from, ChecksumSum to) {
  return (to + static_cast<uint16_t>(~fold(from))) & 0xffffffffU;
}

// HC' = ~(~HC + ~m + m') (RFC 1624 eqn. 3), with `delta` = ~m + m' folded or not.
constexpr be16 updated(be16 checksum, ChecksumSum delta) {
  return be16::from_raw(static_cast<uint16_t>(~fold(ChecksumSum{static_cast<uint16_t>(~checksum.raw())} + delta)));
}

// The complement of a whole packet's sum, ready for its checksum field.
constexpr be16 finish(ChecksumSum sum) { return be16::from_raw(static_cast<uint16_t>(~fold(sum))); }

ChecksumSum pseudo_header(Ipv4 source, Ipv4 destination, Protocol protocol, size_t bytes);  // RFC 768
ChecksumSum pseudo_header(const Ipv6& source, const Ipv6& destination, Protocol protocol,
                          size_t bytes);  // RFC 8200 §8.1

// Computes and sets the header's checksum field (options included).
void set_checksum(Ipv4Header& header);
// True if the header's checksum, options included, is right.
bool checksum_is_right(const Ipv4Header& header);

}  // namespace portolan::net
