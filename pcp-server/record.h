// What PCP has granted: the records of the server's table, which the store keeps as they are. Values; nobody's state.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/net/types.h"
#include "pcp-server/commands.h"
#include "pcp-server/pcp_wire.h"

namespace portolan::pcp {

// Where a request came from, and so where its reply goes.
struct Source {
  net::Ipv6 b4;                    // outer source of the softwire, or the plain source; NAT44: the inner one, mapped
  std::optional<net::Ipv4> inner;  // set: IPv4 inside the softwire (PCD-005); unset: plain IPv6 (PCD-001)
  net::Ipv6 server;                // our address it was sent to; IPv4 as mapped. Replies leave from it (§8)
  net::Port port;                  // the client's
  friend bool operator==(const Source&, const Source&) = default;
};

// Whom to tell that what he holds has changed.
struct Client {
  Source at;
  bool natpmp = false;  // he speaks NAT-PMP, and no PCP that was heard of
  friend bool operator==(const Client&, const Client&) = default;
};

struct RecordKey {
  MappingKey mapping;    // of several ports the first one's
  net::Endpoint remote;  // of a PEER; zero: a MAP
  [[nodiscard]] bool is_peer() const { return remote != net::Endpoint{}; }
  friend auto operator<=>(const RecordKey&, const RecordKey&) = default;
};

// A record as others may see it: without its nonce.
struct Mapping {
  net::Endpoint outside;
  uint64_t expires_s = 0;
  Source client;                  // who made or renewed it last
  net::Ipv6 b4;                   // last seen, for the way back
  bool ended = false;             // its client deleted it, traffic keeps it until expires_s (§15, D19)
  bool open_nonce = false;        // made without a nonce (operator, NAT-PMP): the first MAP's becomes its own
  bool prefer_failure = false;    // this outside endpoint or none (§13.2)
  bool third_party = false;       // asked for by another than the inside host (§13.1)
  uint16_t ports = 1;             // mapped as one (RFC 7753)
  std::vector<Filter> filters{};  // §13.3; none: everybody
  std::string description{};      // RFC 7220
  // None: the operator's own.
  [[nodiscard]] std::optional<Client> known_client() const {
    if (client.port == net::Port{}) return std::nullopt;
    return Client{client, open_nonce};
  }
  friend bool operator==(const Mapping&, const Mapping&) = default;
};

struct Granted {
  Mapping mapping;
  Nonce nonce{};
  friend bool operator==(const Granted&, const Granted&) = default;
};

// For the operator's records: who had which outside endpoint from when to when. A renewal is none.
struct MappingEvent {
  enum class Kind : uint8_t { made, ended } kind{};
  RecordKey key;
  Mapping mapping;
  friend bool operator==(const MappingEvent&, const MappingEvent&) = default;
};

// For the store: what the record is from now on.
struct Change {
  uint64_t ticket = 0;  // 0: nobody waits for it to be stored
  RecordKey key;
  std::optional<Granted> granted;  // none: gone
};

// For the store: since when an epoch counts, in the server's seconds. Several in the order they were made.
struct EpochChange {
  std::optional<net::Ipv6> subscriber;  // none: everybody's, those of single ones forgotten
  uint64_t start_s = 0;
};

}  // namespace portolan::pcp
