// The rules of a shard that may change while it runs. Immutable once built; it travels in the configuration snapshot,
// so a burst never sees two. What sizes a shard's memory is in ShardSettings instead.
#pragma once

#include <cstdint>

#include "dataplane/nat/pool.h"

namespace portolan::nat {

struct Timeouts {                     // seconds of idleness
  uint32_t udp_s = 300;               // RFC 4787 REQ-5
  uint32_t tcp_established_s = 7440;  // RFC 5382 REQ-5
  uint32_t tcp_transitory_s = 240;    // RFC 5382 REQ-5
  uint32_t icmp_s = 60;               // RFC 5508 REQ-2
  uint32_t quarantine_s = 120;        // RFC 6888 REQ-8
  friend bool operator==(const Timeouts&, const Timeouts&) = default;
};

struct Limits {                           // of one subscriber
  uint8_t blocks_per_subscriber_max = 4;  // 1..Subscriber::blocks_capacity
  friend bool operator==(const Limits&, const Limits&) = default;
};

struct Policy {
  Timeouts timeouts;
  Limits limits;
  Pool pool;
  friend bool operator==(const Policy&, const Policy&) = default;
};

}  // namespace portolan::nat
