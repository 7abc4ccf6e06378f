// What the PCP server asks of the translator and what it is told: the only words between the two. A command travels on
// the owner worker's ring, its result comes back on another; the ticket joins them.
#pragma once

#include <compare>
#include <cstdint>

#include "dataplane/net/types.h"

namespace portolan::pcp {

// The inside of a mapping. The subscriber is his prefix, masked (RFC 7785 §3); for NAT44 an IPv4-mapped address.
struct MappingKey {
  net::Ipv6 subscriber;
  net::Ipv4 inside_address;
  net::Port inside_port;
  net::Protocol protocol{};
  friend auto operator<=>(const MappingKey&, const MappingKey&) = default;
};

struct Command {
  enum class Verb : uint8_t {
    open,  // make the mapping explicit and let it live lifetime_s from now; makes it if there is none (RFC 6887 §11.3)
    end,   // end its explicit life; while implicit traffic keeps it alive it stays (RFC 6887 §15)
  };
  uint64_t ticket = 0;
  Verb verb{};
  MappingKey key;
  net::Ipv6 b4;             // the softwire to send inbound packets through
  net::Endpoint suggested;  // outside; zero address and zero port each mean "any"
  bool exact = false;       // suggested or nothing (PREFER_FAILURE, RFC 6887 §13.2)
  uint32_t lifetime_s = 0;  // open: from now
};

struct CommandResult {
  enum class Status : uint8_t {
    done,
    no_resources,   // table or pool full
    no_address,     // no outside address to give from at present: the pool is empty (RFC 6887 §7.4 NETWORK_FAILURE)
    over_quota,     // the subscriber's ports are all held
    not_available,  // exact was asked and the suggestion is taken, prohibited or not ours
    implicit,       // end: the mapping was never explicit
    unknown,        // end: no such mapping
  };
  uint64_t ticket = 0;
  Status status{};
  net::Endpoint outside;    // open, done: what was assigned
  uint32_t lifetime_s = 0;  // open: granted; end: what traffic still keeps it alive for, 0 = gone
};

}  // namespace portolan::pcp
