// What the PCP server asks of the translator and what it is told: the only words between the two. A command travels on
// the owner worker's ring, its result comes back on another; the ticket joins them.
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <vector>

#include "dataplane/net/types.h"

namespace portolan::pcp {

// The inside of a mapping. The subscriber is his prefix, masked (RFC 7785 §3); for NAT44 an IPv4-mapped address.
struct MappingKey {
  net::Ipv6 subscriber;
  net::Ipv4 inside_address;
  net::Port inside_port;
  net::Protocol protocol{};
  friend bool operator==(const MappingKey&, const MappingKey&) = default;
  // Subscriber, address, port, protocol; in three words, for a request compares dozens.
  friend std::strong_ordering operator<=>(const MappingKey& a, const MappingKey& b) { return a.words() <=> b.words(); }

 private:
  [[nodiscard]] std::array<uint64_t, 3> words() const {
    const auto [high, low] = std::bit_cast<std::array<net::be64, 2>>(subscriber);
    return {high, low, uint64_t{inside_address.bits} << 32 | uint64_t{inside_port.number} << 8 | uint8_t(protocol)};
  }
};

// Who may send in: a prefix, and a port or all of them (RFC 6887 §13.3).
struct Filter {
  net::Ipv4Prefix from;
  net::Port port;  // 0: all
  friend bool operator==(const Filter&, const Filter&) = default;
};
inline constexpr size_t filters_max = 8;     // of a mapping
inline constexpr size_t peers_max = 8;       // PEERs of an inside endpoint
inline constexpr size_t port_set_max = 128;  // ports of a PORT_SET, whatever is configured

struct Command {
  enum class Verb : uint8_t {
    open,           // make the mapping explicit and let it live lifetime_s from now; makes it if there is none (§11.3)
    open_outbound,  // as if the inside had sent `remote` a packet; it lives lifetime_s at least (§12.3)
    end,            // end its explicit life; it stays while traffic or pinned_s keep it alive (§15)
    unpin,          // of a mapping that is not explicit: pinned_s and let_in are these from now on
    address,        // which outside address the subscriber has
  };
  uint64_t ticket = 0;  // 0: nobody waits for the result
  Verb verb{};
  MappingKey key;
  net::Ipv6 b4;                // the softwire to send inbound packets through
  net::Endpoint suggested;     // outside; zero address and zero port each mean "any"
  bool exact = false;          // suggested or nothing (PREFER_FAILURE §13.2, PEER §12.3)
  bool reclaim = false;        // the suggested port is his again if it rests and was this inside endpoint's (§15)
  bool restored = false;       // open: it is what was granted before, and traffic makes it no longer than that was
  uint32_t lifetime_s = 0;     // open*: from now
  uint32_t pinned_s = 0;       // what PEERs keep it for whatever becomes of its explicit life
  net::Endpoint remote;        // open_outbound
  std::vector<Filter> let_in;  // nobody else, if the mapping is explicit; empty: whom the policy lets in
  uint16_t ports = 1;          // open, end: so many from the inside port on, as one (RFC 7753)
  bool keep_parity = false;    // the first outside port is odd if the first inside port is
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
    fixed,          // the mapping is the operator's: it is there for ever, nobody's to change (§11.3, 2)
  };
  uint64_t ticket = 0;
  Status status{};
  net::Endpoint outside;    // open*, done: what was assigned, of the first port; address: the address
  uint32_t lifetime_s = 0;  // open*: granted; end: what traffic still keeps it alive for, 0 = gone
  uint16_t ports = 1;       // open: so many were mapped
};

}  // namespace portolan::pcp
