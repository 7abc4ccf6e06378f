// The session record: one remote of a mapping that has several, or that lets only known remotes in. Where it is needed
// and how it ends: shard_sessions.cc. 32 bytes, no pointers; it lies in a file that outlives the process and names its
// mapping by the outside endpoint, so that it finds it again wherever that one's record is.
#pragma once

#include <cstdint>
#include <type_traits>

#include "dataplane/nat/mapping.h"

namespace portolan::nat {

using SessionIndex = uint32_t;
inline constexpr SessionIndex null_session = 0;  // record 0 is never used

struct alignas(8) Session {
  static constexpr uint8_t in_use = 1;
  static constexpr uint8_t inbound = 2;  // the remote spoke first
  static constexpr uint8_t tcp = 4;      // the protocol; neither: ICMP
  static constexpr uint8_t udp = 8;
  static constexpr uint8_t grant = 16;  // no connection: what lets all ports of a TCP remote's address in

  net::Endpoint outside;
  net::Endpoint remote;  // port 0: any, if sessions are with addresses (address-dependent filtering); ICMP
  uint32_t last_seen_s = 0;
  // Of this process: the mapping's record, and the mapping's other sessions.
  MappingIndex mapping = null_mapping;
  SessionIndex next = null_session, previous = null_session;
  TcpState tcp_state{};
  uint8_t flags = 0;
  uint16_t version = 0;  // odd while being written; readers in other threads retry

  [[nodiscard]] bool has(uint8_t flag) const { return (flags & flag) != 0; }
  [[nodiscard]] net::Protocol protocol() const {
    return has(tcp) ? net::Protocol::tcp : has(udp) ? net::Protocol::udp : net::Protocol::icmp;
  }
};
static_assert(sizeof(Session) == 32 && std::is_trivially_copyable_v<Session>);

}  // namespace portolan::nat
