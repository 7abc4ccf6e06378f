// The mapping record: the one truth about a translation (docs/architecture.md §1). 64 bytes, one cache line, no
// pointers; it lies in a file that outlives the process, so a change of layout is a change of Slab::layout_version.
#pragma once

#include <cstdint>
#include <type_traits>

#include "dataplane/net/types.h"

namespace portolan::nat {

using MappingIndex = uint32_t;
inline constexpr MappingIndex null_mapping = 0;  // record 0 is never used

enum class TcpState : uint8_t {  // RFC 7857 Fig. 1, of the connection with the mapping's first remote
  none,                          // not TCP, or no segment yet
  init,                          // SYN from inside
  init_inbound,                  // SYN from outside
  established,
  client_fin,  // FIN from inside
  server_fin,  // FIN from outside
  both_fin,
  trans,  // RST
};

struct alignas(64) Mapping {
  // Flags. A record with none of in_use and held is free.
  static constexpr uint8_t in_use = 1;
  static constexpr uint8_t explicit_life = 2;  // a MAP of PCP, or static: open to the outside until `expiry_s`
  static constexpr uint8_t implicit_life = 4;  // outbound traffic was seen: lives its idle time
  static constexpr uint8_t held = 8;           // ended; the port rests until `expiry` (RFC 6888 REQ-8)
  static constexpr uint8_t many_remotes = 16;  // they are in the session table; first_remote and tcp_state are unused
  static constexpr uint8_t plain = 32;         // NAT44: no softwire; `b4` is the inside address, IPv4-mapped
  static constexpr uint8_t untracked = 64;     // TCP with a remote that found no session: never shortened by any
  static constexpr uint8_t listed = 128;       // who may send in is in the filter table

  net::Ipv6 b4;  // last seen, for the way back
  net::Ipv4 inside_address;
  net::Ipv4 outside_address;
  net::Port inside_port;
  net::Port outside_port;
  net::Protocol protocol{};
  uint8_t flags = 0;
  TcpState tcp_state{};
  uint8_t softwire = 0;         // which of our AFTR addresses the B4 uses (index in the configuration)
  uint16_t address_delta = 0;   // ones-complement: add to a checksum's sum to go inside -> outside, address only
  uint16_t endpoint_delta = 0;  // the same, address and port
  uint32_t last_seen_s = 0;     // of outbound traffic
  uint32_t expiry_s = 0;        // PCP's, now or before: lives until then at least; held: end of the hold
  uint32_t subscriber = 0;      // index in the shard's subscriber table
  MappingIndex wheel_next = null_mapping, wheel_previous = null_mapping;
  net::Endpoint first_remote;
  uint16_t version = 0;  // odd while being written; readers in other threads retry

  static constexpr uint32_t never_s = ~uint32_t{0};  // the expiry of a static mapping, whose explicit life has no end

  [[nodiscard]] bool has(uint8_t flag) const { return (flags & flag) != 0; }
  [[nodiscard]] bool is_static() const { return has(explicit_life) && expiry_s == never_s; }
  [[nodiscard]] net::Endpoint inside() const { return {inside_address, inside_port}; }
  [[nodiscard]] net::Endpoint outside() const { return {outside_address, outside_port}; }
};
static_assert(sizeof(Mapping) == 64 && std::is_trivially_copyable_v<Mapping>);

}  // namespace portolan::nat
