// Whether an address is worth publishing. Why: a shared or private address in a public record is the classic failure of
// DDNS behind carrier NAT.
#pragma once

#include <algorithm>
#include <array>

#include "dataplane/net/types.h"

namespace portolan::ddns {

// IANA IPv4 special-purpose registry (RFC 6890 §2.2.2), what is not globally reachable there, and multicast.
inline bool is_global_unicast(net::Ipv4 address) {
  static constexpr std::array<net::Ipv4Prefix, 15> special{{
      {{0x00000000}, 8},   // this network
      {{0x0a000000}, 8},   // private
      {{0x64400000}, 10},  // shared (RFC 6598)
      {{0x7f000000}, 8},   // loopback
      {{0xa9fe0000}, 16},  // link-local
      {{0xac100000}, 12},  // private
      {{0xc0000000}, 24},  // protocol assignments, DS-Lite among them
      {{0xc0000200}, 24},  // documentation
      {{0xc0586300}, 24},  // 6to4 relay anycast
      {{0xc0a80000}, 16},  // private
      {{0xc6120000}, 15},  // benchmarking
      {{0xc6336400}, 24},  // documentation
      {{0xcb007100}, 24},  // documentation
      {{0xe0000000}, 4},   // multicast
      {{0xf0000000}, 4},   // reserved, broadcast
  }};
  return std::ranges::none_of(special, [&](const net::Ipv4Prefix& prefix) { return net::contains(prefix, address); });
}

}  // namespace portolan::ddns
