// The rules of a shard that may change while it runs. Immutable once built; it travels in the configuration snapshot,
// so a burst never sees two. What sizes a shard's memory is in ShardSettings instead.
#pragma once

#include <cstdint>

#include "dataplane/nat/pool.h"
#include "dataplane/nat/static_mapping.h"

namespace portolan::nat {

struct Timeouts {                        // seconds of idleness
  uint32_t udp_s = 300;                  // RFC 4787 REQ-5
  uint32_t tcp_established_s = 7440;     // RFC 5382 REQ-5
  uint32_t tcp_opening_s = 240;          // RFC 7857 §2.1
  uint32_t tcp_transitory_s = 240;       // RFC 5382 REQ-5: closing
  uint32_t icmp_s = 60;                  // RFC 5508 REQ-2
  uint32_t quarantine_s = 120;           // RFC 6888 REQ-8
  uint32_t quarantine_pcp_tcp_s = 7440;  // RFC 6887 §15: as long as a peer may believe in the connection
  bool udp_inbound_refresh = false;      // RFC 4787 REQ-6a
  friend bool operator==(const Timeouts&, const Timeouts&) = default;
};

struct Limits {                           // of one subscriber; 0: none
  uint8_t blocks_per_subscriber_max = 4;  // 1..Subscriber::blocks_capacity
  uint32_t mappings_max = 0;
  uint32_t sessions_max = 0;
  uint32_t inbound_sessions_max = 0;
  uint32_t sessions_per_mapping_max = 0;
  uint32_t mappings_per_second = 0;

  [[nodiscard]] bool count_sessions() const {
    return sessions_max != 0 || inbound_sessions_max != 0 || sessions_per_mapping_max != 0;
  }
  friend bool operator==(const Limits&, const Limits&) = default;
};

// Who may send to a mapping (RFC 4787 §5).
enum class Filtering : uint8_t { endpoint_independent, address_dependent, address_and_port_dependent };

struct Policy {
  Timeouts timeouts;
  Limits limits;
  Filtering filtering = Filtering::endpoint_independent;
  uint32_t quarantine_ports_max = 0;     // of this shard at rest at once, later ones are free at once; 0: all
  uint32_t b4_change_interval_s = 1800;  // RFC 7785 §4(3)
  uint32_t hold_after_boot_s = 0;        // no implicit mapping before the machine is up so long (RFC 6888 REQ-8)
  bool records_required = false;         // no block is given while there is no room to tell of it (RFC 6888 REQ-12)
  Pool pool;
  StaticMappings statics;

  // Every remote of a mapping must be known, not only those of TCP connections.
  [[nodiscard]] bool knows_remotes() const {
    return filtering != Filtering::endpoint_independent || limits.count_sessions();
  }
  friend bool operator==(const Policy&, const Policy&) = default;
};

}  // namespace portolan::nat
