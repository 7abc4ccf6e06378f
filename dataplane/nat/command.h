// What another thread may ask of a shard: the only way in, since the owning worker is its only writer. Commands travel
// on the worker's bounded ring, are applied between bursts, and answered on another ring.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "dataplane/net/types.h"

namespace portolan::nat {

// The inside of a mapping: what the outbound index is keyed by. The subscriber is his masked prefix (RFC 7785 §4).
struct OutboundKey {
  net::Ipv6 subscriber;
  net::Ipv4 inside_address;
  net::Port inside_port;  // ICMP: the query identifier
  net::Protocol protocol{};
  uint8_t zero = 0;  // so that the key may be hashed and compared as bytes
  friend bool operator==(const OutboundKey&, const OutboundKey&) = default;
};
static_assert(sizeof(OutboundKey) == 24 && std::has_unique_object_representations_v<OutboundKey>);

// Who may send in through a mapping: an IPv4 prefix and a port of theirs, 0: any (RFC 6887 §13.3).
struct RemoteFilter {
  net::Ipv4Prefix from;
  net::Port port;
  [[nodiscard]] bool fits(net::Endpoint remote) const {
    return contains(from, remote.address) && (port == net::Port{} || port == remote.port);
  }
  friend bool operator==(const RemoteFilter&, const RemoteFilter&) = default;
};

struct FilterList {
  static constexpr size_t capacity = 16;
  std::array<RemoteFilter, capacity> filters{};
  uint8_t count = 0;  // 0: no list, everybody
  friend bool operator==(const FilterList&, const FilterList&) = default;
};

struct Command {
  enum class Verb : uint8_t {
    open_explicit,  // key, b4, suggested, exact, lifetime_s, pinned_s, let_in, reclaim, restored: make or renew a
                    // mapping (RFC 6887 §11.3)
    open_outbound,  // the same, and remote: as if the inside had sent him a packet; lives lifetime_s at least (§12.3)
    end_explicit,   // key, pinned_s, let_in: its explicit life ends; implicit traffic may keep it alive (§15)
    unpin,          // key, pinned_s, let_in: what else than explicit life keeps it, and whom it lets in, from now on
    end_mapping,    // key: ends now, unless it is static
    clear_subscriber,  // key.subscriber, resume: all of his mappings but static ones end now (RFC 7785 §4(6)), a slice
                       // of them at a time
    tell_address,      // key.subscriber: which outside address new mappings of his get
    tell_holder,       // suggested, key.protocol: who holds the block of this outside port, and which mapping the port
    audit,             // begins an audit, unless one is under way; ShardCounters::audits_done says when it is over
  };
  uint64_t ticket = 0;
  Verb verb{};
  bool exact = false;    // suggested or nothing (PREFER_FAILURE)
  bool reclaim = false;  // the suggested port, if it rests and was this inside endpoint's, is his again (RFC 6887 §15)
  bool restored = false;  // what was granted before: traffic makes it no longer than lifetime_s
  uint8_t softwire = 0;   // open_explicit: which of our AFTR addresses the B4 is reached from
  OutboundKey key;
  net::Ipv6 b4;
  net::Endpoint suggested;  // zero address, zero port: any
  net::Endpoint remote;
  uint32_t lifetime_s = 0;
  uint32_t pinned_s = 0;     // from now, whatever becomes of the explicit life
  uint16_t ports = 1;        // open_explicit, end_explicit: so many from the inside port on, without a gap (RFC 7753)
  bool keep_parity = false;  // of several: the first outside port is odd if the first inside port is
  uint32_t resume = 0;       // clear_subscriber: where the last slice ended, as its result says
  FilterList let_in;         // alone, if the mapping is explicit; else besides those whom the policy lets in
};

// A suggestion's zero address and zero port each mean "any" (RFC 6887 §11.1).
constexpr bool fits(net::Endpoint outside, net::Endpoint suggested) {
  return (suggested.address == net::Ipv4{} || suggested.address == outside.address) &&
         (suggested.port == net::Port{} || suggested.port == outside.port);
}

inline constexpr uint32_t static_lifetime_s = ~uint32_t{0};  // RFC 6887 §11.3

struct CommandResult {
  enum class Status : uint8_t { done, table_full, pool_exhausted, over_quota, not_available, not_explicit, unknown };
  uint64_t ticket = 0;
  Status status{};
  net::Endpoint outside;  // open_*: done; tell_address
  // open_*: how long it lives at least, static_lifetime_s if it is static; end_explicit: what keeps it yet, 0 = gone
  uint32_t lifetime_s = 0;
  uint32_t ended = 0;   // mappings ended
  uint32_t kept = 0;    // static ones that were not
  uint16_t ports = 1;   // open_explicit: so many were mapped
  uint32_t resume = 0;  // clear_subscriber: there is more to do, from there on; 0: that was all
  OutboundKey key{};    // tell_holder: the subscriber; and the rest of a live mapping, without one all zeros
};

// What one clear_subscriber looks at and ends at most: a worker forwards nothing meanwhile.
inline constexpr uint32_t cleared_per_command_max = 32, ports_per_command_max = 4096;

}  // namespace portolan::nat
