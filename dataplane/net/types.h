// The strong types of every layer above: big-endian integers that read as host integers, addresses, ports, prefixes.
// Why: arguments cannot be swapped, host order is the only order a reader sees, and wire structs need no alignment.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace portolan::net {

// Host integer <-> big-endian bytes. The builtins, because g++ 12 at -O2 leaves a shift loop a loop.
template <std::unsigned_integral T>
constexpr T swap_if_little(T value) {
  if constexpr (std::endian::native == std::endian::big || sizeof(T) == 1) return value;
  if constexpr (sizeof(T) == 2) return static_cast<T>(__builtin_bswap16(value));
  if constexpr (sizeof(T) == 4) return static_cast<T>(__builtin_bswap32(value));
  if constexpr (sizeof(T) == 8) return static_cast<T>(__builtin_bswap64(value));
}

// A big-endian integer with alignment 1: a field of a wire struct.
template <std::unsigned_integral T>
class Be {
  using Bytes = std::array<uint8_t, sizeof(T)>;
  Bytes bytes_{};

 public:
  constexpr Be() = default;
  constexpr Be(T host) : bytes_(std::bit_cast<Bytes>(swap_if_little(host))) {}
  constexpr operator T() const { return swap_if_little(std::bit_cast<T>(bytes_)); }
  // The bytes as they lie, for checksum arithmetic, which does not care about order (RFC 1071 §2(B)).
  [[nodiscard]] constexpr T raw() const { return std::bit_cast<T>(bytes_); }
  static constexpr Be from_raw(T raw) { return std::bit_cast<Be>(raw); }
};
using be16 = Be<uint16_t>;
using be32 = Be<uint32_t>;
using be64 = Be<uint64_t>;

struct Ipv4 {
  be32 bits;
  friend constexpr auto operator<=>(const Ipv4& a, const Ipv4& b) { return uint32_t{a.bits} <=> uint32_t{b.bits}; }
  friend constexpr bool operator==(const Ipv4& a, const Ipv4& b) { return a.bits.raw() == b.bits.raw(); }
};

struct Port {
  be16 number;
  friend constexpr auto operator<=>(const Port& a, const Port& b) { return uint16_t{a.number} <=> uint16_t{b.number}; }
  friend constexpr bool operator==(const Port& a, const Port& b) { return a.number.raw() == b.number.raw(); }
};

struct Ipv6 {
  std::array<uint8_t, 16> bytes{};
  friend constexpr auto operator<=>(const Ipv6&, const Ipv6&) = default;
  // Not the default, which g++ 12 makes a call of memcmp.
  friend constexpr bool operator==(const Ipv6& a, const Ipv6& b) {
    const auto x = std::bit_cast<std::array<uint64_t, 2>>(a.bytes), y = std::bit_cast<std::array<uint64_t, 2>>(b.bytes);
    return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
  }
};

struct Mac {
  std::array<uint8_t, 6> bytes{};
  friend constexpr auto operator<=>(const Mac&, const Mac&) = default;
};

// A transport endpoint; for ICMP the port is the query identifier (RFC 5508 §3.1).
struct Endpoint {
  Ipv4 address;
  Port port;
  friend constexpr auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

static_assert(sizeof(Ipv4) == 4 && sizeof(Port) == 2 && sizeof(Ipv6) == 16 && sizeof(Mac) == 6);
static_assert(sizeof(Endpoint) == 6 && alignof(Endpoint) == 1);
static_assert(std::has_unique_object_representations_v<Endpoint>);  // may be hashed and compared as bytes
static_assert(!std::is_convertible_v<int, Port> && !std::is_convertible_v<Port, Ipv4>);

// IP protocol numbers and IPv6 next headers (IANA), as far as anything here looks at them.
enum class Protocol : uint8_t {
  hop_by_hop = 0,
  icmp = 1,
  ipv4 = 4,
  tcp = 6,
  udp = 17,
  ipv6 = 41,
  routing = 43,
  fragment = 44,
  gre = 47,
  icmpv6 = 58,
  no_next_header = 59,
  destination_options = 60,
  sctp = 132,
};

// A prefix; bits beyond the length are zero once it came through text.h or masked().
struct Ipv4Prefix {
  Ipv4 address;
  uint8_t length = 0;  // 0..32
  friend constexpr auto operator<=>(const Ipv4Prefix&, const Ipv4Prefix&) = default;
};
struct Ipv6Prefix {
  Ipv6 address;
  uint8_t length = 0;  // 0..128
  friend constexpr auto operator<=>(const Ipv6Prefix&, const Ipv6Prefix&) = default;
};

constexpr uint32_t ipv4_mask(unsigned length) { return length == 0 ? 0 : ~uint32_t{0} << (32 - length); }

constexpr Ipv4 masked(Ipv4 address, unsigned length) { return {uint32_t{address.bits} & ipv4_mask(length)}; }

// By words, for every packet's subscriber is found with it.
constexpr Ipv6 masked(const Ipv6& address, unsigned length) {
  const auto mask = [](unsigned bits) { return swap_if_little(bits == 0 ? 0 : ~uint64_t{0} << (64 - bits)); };
  auto words = std::bit_cast<std::array<uint64_t, 2>>(address.bytes);
  words[0] &= mask(length < 64 ? length : 64);
  words[1] &= mask(length < 64 ? 0 : length - 64);
  return std::bit_cast<Ipv6>(words);
}

constexpr bool contains(const Ipv4Prefix& prefix, Ipv4 address) {
  return masked(address, prefix.length) == masked(prefix.address, prefix.length);
}
constexpr bool contains(const Ipv6Prefix& prefix, const Ipv6& address) {
  return masked(address, prefix.length) == masked(prefix.address, prefix.length);
}
constexpr bool overlap(const Ipv4Prefix& a, const Ipv4Prefix& b) {
  const unsigned length = a.length < b.length ? a.length : b.length;
  return masked(a.address, length) == masked(b.address, length);
}
constexpr uint64_t size(const Ipv4Prefix& prefix) { return uint64_t{1} << (32 - prefix.length); }

// IPv4-mapped IPv6 (RFC 4291 §2.5.5.2): how PCP carries IPv4 in its 16-octet fields (RFC 6887 §5).
constexpr Ipv6 mapped(Ipv4 address) {
  const auto bytes = std::bit_cast<std::array<uint8_t, 4>>(address);
  return {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, bytes[0], bytes[1], bytes[2], bytes[3]}};
}
constexpr bool is_mapped(const Ipv6& address) {
  for (unsigned i = 0; i < 10; ++i)
    if (address.bytes[i] != 0) return false;
  return address.bytes[10] == 0xff && address.bytes[11] == 0xff;
}
constexpr Ipv4 unmapped(const Ipv6& address) {
  return std::bit_cast<Ipv4>(
      std::array<uint8_t, 4>{address.bytes[12], address.bytes[13], address.bytes[14], address.bytes[15]});
}

constexpr bool is_multicast(const Ipv6& address) { return address.bytes[0] == 0xff; }
constexpr bool is_multicast(Ipv4 address) { return (uint32_t{address.bits} >> 28) == 0xe; }
constexpr bool is_link_local(const Ipv6& address) {
  return address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80;
}

constexpr Mac mac_broadcast{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

// The Ethernet group of an IPv6 multicast address (RFC 2464 §7).
constexpr Mac multicast_mac(const Ipv6& group) {
  return {{0x33, 0x33, group.bytes[12], group.bytes[13], group.bytes[14], group.bytes[15]}};
}
// ff02::1:ffXX:XXXX (RFC 4291 §2.7.1).
constexpr Ipv6 solicited_node(const Ipv6& address) {
  return {{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, address.bytes[13], address.bytes[14], address.bytes[15]}};
}

}  // namespace portolan::net
