// The PCP server as a state machine (RFC 6887 §8.2, §11.3, §13 to §15): a request becomes a reply, a Command for the
// translator, or nothing; the translator's result becomes the reply. No sockets, no threads, no clock: time comes in as
// seconds of a monotonic clock. State: which explicit mappings exist, whose nonce made them, until when; and the
// commands under way, one for a mapping at most. Owner: the control thread.
//
// The translator's slab outlives this process, the nonces do not. An explicit mapping the server has no record of is
// adopted: the first MAP for it, a deletion too, is obeyed and its nonce is the mapping's from then on. The subscriber
// is part of the key, so nobody but the mapping's own subscriber can be that first.
//
// The deployment's security policy (D05): subscribers are partitioned by softwire as §18.1(1) says of the DS-Lite B4,
// so lifetimes follow §15 and not the implicit ones. THIRD_PARTY (D04) names a host of the asking subscriber's own
// inside, never anything of another's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "dataplane/net/types.h"
#include "pcp-server/codec.h"
#include "pcp-server/commands.h"
#include "pcp-server/counters.h"
#include "pcp-server/rate_limit.h"

namespace portolan::pcp {

struct Settings {
  bool enabled = true;      // false: silence
  bool map_enabled = true;  // false: UNSUPP_OPCODE to MAP (RFC 6970 §4.3 reads it so), ANNOUNCE still answered
  uint32_t lifetime_min_s = 120, lifetime_max_s = 86'400;  // §15
  uint32_t mappings_per_subscriber_max = 32;
  uint32_t mappings_max = 1'000'000;                   // held by the server at once
  uint32_t in_flight_max = 4'096;                      // commands the translator has not answered
  uint32_t requests_per_s = 32, requests_burst = 128;  // of one subscriber
  std::vector<net::Ipv6Prefix>
      third_party_from;                   // B4s whose inside hosts may speak for each other through the softwire
  uint8_t subscriber_prefix_length = 56;  // RFC 7785 §3
  friend bool operator==(const Settings&, const Settings&) = default;
};

// Where a request came from, and so where its reply goes.
struct Source {
  net::Ipv6 b4;                    // outer source of the softwire, or the plain source; NAT44: the inner one, mapped
  std::optional<net::Ipv4> inner;  // set: IPv4 inside the softwire (PCD-005); unset: plain IPv6 (PCD-001)
  net::Ipv6 server;                // our address it was sent to; IPv4 as mapped. Replies leave from it (§8)
  net::Port port;                  // the client's
  friend bool operator==(const Source&, const Source&) = default;
};

struct Reply {
  Source to;
  Message message;
};
using Outcome = std::variant<std::monostate, Reply, Command>;

// An explicit mapping as others may see it: without its nonce.
struct Mapping {
  net::Endpoint outside;
  uint64_t expires_s = 0;
  Source client;       // who made or renewed it last; client.b4 is the B4 last seen
  bool ended = false;  // its client deleted it, traffic keeps it until expires_s (§15, D19)
};

class Server {
 public:
  // The epoch is now_s - epoch_start_s; to continue an earlier one after a restart that lost nothing (§8.5) the start
  // may lie before the clock's zero, as 64 bits wrap. `seed` keys the rate limiter's hash.
  Server(Settings settings, uint64_t epoch_start_s, uint64_t seed);

  // A Command must be answered by complete() once; if it cannot be handed over, with no_resources.
  Outcome handle(std::span<const uint8_t> request, const Source& source, uint64_t now_s);
  std::optional<Reply> complete(const CommandResult& result, uint64_t now_s);

  // Live, but for subscriber_prefix_length, which keys what is there.
  void configure(Settings settings) { settings_ = std::move(settings); }
  [[nodiscard]] const Settings& settings() const { return settings_; }
  void expire(uint64_t now_s);

  // The translator ended all mappings of a subscriber (RFC 7785 §4(6)). Call it when the clearing command's result
  // arrives: rings are FIFO, so what is still under way then was asked later and stays. Returns the mappings forgotten.
  size_t forget(const net::Ipv6& subscriber);
  size_t forget(const MappingKey& mapping);
  size_t forget_all();

  [[nodiscard]] uint32_t epoch_s(uint64_t now_s) const { return static_cast<uint32_t>(now_s - epoch_start_s_); }
  [[nodiscard]] uint32_t epoch_s(const net::Ipv6& subscriber, uint64_t now_s) const;
  // State was lost, or outside addresses changed (§8.5); announce() tells the clients.
  void restart_epoch(uint64_t now_s);
  // … of one subscriber only, so that nobody else renews for it (§8.5 allows one epoch per client). Of the first
  // own_epochs_max subscribers; after that everybody's starts anew.
  void restart_epoch(const net::Ipv6& subscriber, uint64_t now_s);
  // Unsolicited ANNOUNCE (§14.1.3), to be sent to each mapping's client: multicast does not reach across softwires.
  [[nodiscard]] Message announce(const net::Ipv6& subscriber, uint64_t now_s) const {
    return build_announce_response(epoch_s(subscriber, now_s));
  }

  [[nodiscard]] net::Ipv6 subscriber_of(const net::Ipv6& b4) const;
  [[nodiscard]] size_t size() const { return by_expiry_.size(); }  // mappings
  [[nodiscard]] size_t in_flight() const { return tickets_.size(); }
  [[nodiscard]] const Counters& counters() const { return counters_; }

  // visit(const MappingKey&, const Mapping&), a subscriber's mappings together.
  template <class Visit>
  void for_each(Visit visit) const {
    for (const auto& [key, entry] : entries_)
      if (entry.granted) visit(key, entry.granted->mapping);
  }

 private:
  struct Granted {
    Mapping mapping;
    Nonce nonce;
  };
  struct Pending {  // what the reply needs once the translator has answered
    Source source;
    Message request;
    MapBody map;
    Options options;
    Command command;
    bool known;  // the mapping was on record with the client's nonce when he asked
  };
  struct Entry {  // at least one of the two
    std::optional<Granted> granted;
    std::unique_ptr<Pending> pending;
  };
  using Entries = std::map<MappingKey, Entry>;  // ordered, so that a subscriber's mappings are a range

  struct Exchange {  // a request being judged
    std::span<const uint8_t> bytes;
    const Source& source;
    uint64_t now_s;
  };
  struct MapExchange {  // … once it is known to be a MAP for an inside host the sender may speak for
    const Exchange& exchange;
    const Request& request;
    const Options& options;
    MappingKey key;
  };

  Outcome judge(const Exchange& exchange);
  Outcome announce_requested(const Exchange& exchange, const Request& request);
  Outcome map_requested(const Exchange& exchange, const Request& request);
  Outcome judge_map(const MapExchange& map);
  std::optional<Refusal> refusal_of(const MapExchange& map, const Entry* entry);
  std::optional<Refusal> no_room_for(const MappingKey& key);
  Command send(const MapExchange& map, const Entry* entry);

  Message complete_open(Entries::iterator at, const Pending& pending, const CommandResult& result, uint64_t now_s);
  Message complete_end(Entries::iterator at, const Pending& pending, const CommandResult& result, uint64_t now_s);

  net::Result<Options, Code> options_of(const Request& request);
  net::Result<net::Ipv4, Code> inside_host(const Source& source, const Options& options);
  uint32_t lifetime_granted_s(uint32_t requested_s) const;

  void grant(Entries::iterator at, const Granted& granted);
  void revoke(Entries::iterator at);

  Outcome drop(Event event);
  Outcome refuse(const Exchange& exchange, const Refusal& refusal);
  Outcome refuse(const Exchange& exchange, Code code, bool parsed = false);
  Message error(const Source& to, std::span<const uint8_t> request, const Refusal& refusal, uint64_t now_s);
  Message success(const Source& to, const MapBody& map, const Options& options, uint32_t lifetime_s, uint64_t now_s);

  Settings settings_;
  static constexpr size_t own_epochs_max = 65'536;
  uint64_t epoch_start_s_;
  std::map<net::Ipv6, uint64_t> epoch_starts_;  // of subscribers whose own began later
  RateLimit rate_limit_;
  Counters counters_;
  Entries entries_;
  std::set<std::pair<uint64_t, MappingKey>> by_expiry_;  // of every granted mapping
  std::unordered_map<uint64_t, MappingKey> tickets_;     // of every pending command
  uint64_t ticket_ = 0;                                  // last given
};

}  // namespace portolan::pcp
