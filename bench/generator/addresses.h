// Who is where in a benchmark: the addresses of RFC 8219 §5.2 (198.18.0.0/15 and 2001:2::/48), dealt out between the
// device under test, the generator's two routers, B4s, inside hosts, outside addresses and remotes. bench/run writes
// the device's configuration from the same plan. Nobody's state.
#pragma once

#include "dataplane/net/types.h"

namespace portolan::bench {

// The link towards the subscribers, as DS-Lite has it and as NAT44 has it.
inline constexpr net::Ipv6 dut_access{{0x20, 1, 0, 2, 0, 0, 0, 0xb, 0, 0, 0, 0, 0, 0, 0, 1}};      // 2001:2:0:b::1
inline constexpr net::Ipv6 access_gateway{{0x20, 1, 0, 2, 0, 0, 0, 0xb, 0, 0, 0, 0, 0, 0, 0, 2}};  // 2001:2:0:b::2
inline constexpr net::Ipv6 aftr_address{{0x20, 1, 0, 2, 0, 0, 0, 0xa, 0, 0, 0, 0, 0, 0, 0, 1}};    // 2001:2:0:a::1
inline constexpr net::Ipv4 dut_inside{0xc613fe01};                                                 // 198.19.254.1
inline constexpr net::Ipv4 inside_gateway{0xc613fefe};                                             // 198.19.254.254

// The link towards the internet.
inline constexpr net::Ipv4 dut_internet{0xc613ff01};      // 198.19.255.1
inline constexpr net::Ipv4 internet_gateway{0xc613fffe};  // 198.19.255.254

inline constexpr net::Ipv4Prefix inside_prefix{{0xc6120000}, 16};   // 198.18.0.0/16: hosts without softwire
inline constexpr net::Ipv4Prefix private_prefix{{0x0a000000}, 16};  // 10.0.0.0/16: behind every B4 (RFC 6333 §11)
inline constexpr net::Ipv4Prefix pool_within{{0xc6130000}, 17};     // 198.19.0.0/17: outside addresses come from here
inline constexpr net::Ipv4Prefix remotes{{0xc6138000}, 18};         // 198.19.128.0/18

// 2001:2:0:c:NNNN:NNNN::1. Each is a subscriber of its own where subscriber-prefix-length is 96 or more.
constexpr net::Ipv6 b4_address(uint32_t subscriber) {
  net::Ipv6 address{{0x20, 1, 0, 2, 0, 0, 0, 0xc, 0, 0, 0, 0, 0, 0, 0, 1}};
  for (unsigned i = 0; i < 4; ++i) address.bytes[8 + i] = static_cast<uint8_t>(subscriber >> (24 - 8 * i));
  return address;
}

}  // namespace portolan::bench
