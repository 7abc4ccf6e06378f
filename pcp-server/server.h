// The PCP server as a state machine (RFC 6887 §8.2, §11.3, §12.3, §13 to §15): requests, results of the translator and
// answers of the store go in; replies, commands and changes to be stored come out. No sockets, no threads, no clock:
// time comes in as seconds of a monotonic clock. State: what has been granted to whom, until when; and the requests
// under way, one for a mapping at most. Owner: the control thread.
//
// With a store a grant is acknowledged when it is on disk, and undone when it cannot be written; a deletion is on disk
// before the mapping ends. Without one, the translator's slab outlives this process and the nonces do not: an explicit
// mapping the server has no record of is adopted, the first MAP for it, a deletion too, is obeyed and its nonce is the
// mapping's from then on. The subscriber is part of the key, so nobody but the mapping's own subscriber can be that
// first.
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
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "dataplane/net/types.h"
#include "pcp-server/codec.h"
#include "pcp-server/commands.h"
#include "pcp-server/counters.h"
#include "pcp-server/rate_limit.h"
#include "pcp-server/record.h"
#include "pcp-server/resting.h"

namespace portolan::pcp {

struct PortRange {
  uint16_t first = 0, last = 0;  // both included
  friend bool operator==(const PortRange&, const PortRange&) = default;
};

struct Settings {
  bool enabled = true;                                     // false: silence
  bool map_enabled = true, peer_enabled = true;            // false: UNSUPP_OPCODE (RFC 6970 §4.3 reads it so)
  bool natpmp_enabled = false;                             // version 0 is answered (RFC 6886); else UNSUPP_VERSION
  bool durable = false;                                    // a store answers with stored()
  uint32_t lifetime_min_s = 120, lifetime_max_s = 86'400;  // §15
  uint32_t mappings_per_subscriber_max = 32;               // ports and PEERs
  uint32_t mappings_max = 1'000'000;                       // records held by the server at once
  uint32_t in_flight_max = 4'096;                          // requests that wait for the translator or the store
  uint32_t requests_per_s = 32, requests_burst = 128;      // of one subscriber
  uint8_t allowances_log2 = 14;                            // places for what subscribers may ask; not live
  uint32_t requests_per_s_all = 0;                         // of all together; 0: as many as come
  uint32_t announcements_per_s = 1'000;                    // messages sent unasked
  uint32_t rest_s = 120, rest_tcp_s = 7'440;               // how long the port of a mapping rests that ended (§15)
  uint32_t probes_per_s = 2, probes_burst = 64;            // of one subscriber: new mappings with PREFER_FAILURE
  std::vector<net::Ipv6Prefix>
      third_party_from;                          // B4s whose inside hosts may speak for each other through the softwire
  std::vector<net::Ipv6Prefix> portal_from;      // the operator's own, who speaks for any subscriber (RFC 7843)
  std::vector<net::Ipv6Prefix> subscribers{{}};  // whom THIRD_PARTY_ID may name
  PortRange suggested_ports{1, 65'535};          // outside ports that may be asked for by number
  std::vector<PortRange> reserved_ports;         // … but for these
  bool plain_self = false;                // plain IPv6 without THIRD_PARTY is about 192.0.0.2, the B4 itself (PCD-003)
  bool filters_by_remote = false;         // the translator lets in only whom the inside has written to
  uint16_t port_set_max = 32;             // ports of a PORT_SET; 1: the option is not processed
  uint16_t description_bytes_max = 128;   // RFC 7220 §4
  uint8_t subscriber_prefix_length = 56;  // RFC 7785 §3
  bool tells_mappings = false;            // Effects::events
  friend bool operator==(const Settings&, const Settings&) = default;
};

struct Reply {
  Source to;
  Message message;
};

// A message nobody asked for (§14): a few copies, ever further apart.
struct Notice {
  Source to;
  net::Ipv6 subscriber;              // whose epoch it carries
  Message message;                   // whose epoch is set when it is sent
  std::optional<RecordKey> about{};  // a mapping that changed: no more copies once its client has renewed it
  unsigned copies = 3;               // §14.2
};

// What came of an operator's wish.
struct Answer {
  uint64_t token = 0;
  Code code{};
  net::Endpoint outside;
  uint32_t lifetime_s = 0;
};

// What a call asks of others.
struct Effects {
  std::vector<Reply> replies;
  std::vector<Command> commands;  // each to be answered by complete(), those with a ticket
  std::vector<Change> changes;    // each to be answered by stored(), those with a ticket
  std::vector<EpochChange> epochs;
  std::vector<Notice> notices;
  std::vector<Answer> answers;
  std::vector<MappingEvent> events;
};

class Server {
 public:
  // The epoch is now_s - epoch_start_s; to continue an earlier one after a restart that lost nothing (§8.5) the start
  // may lie before the clock's zero, as 64 bits wrap. `seed` keys the rate limiter's hash.
  Server(Settings settings, uint64_t epoch_start_s, uint64_t seed);

  // A command that cannot be handed over is to be completed with no_resources.
  Effects handle(std::span<const uint8_t> request, const Source& source, uint64_t now_s);
  Effects complete(const CommandResult& result, uint64_t now_s);
  Effects stored(uint64_t ticket, bool done, uint64_t now_s);
  // What the functions below have asked of others.
  Effects take_effects() { return std::exchange(effects_, {}); }

  // Live, but for subscriber_prefix_length, which keys what is there.
  void configure(Settings settings) { settings_ = std::move(settings); }
  [[nodiscard]] const Settings& settings() const { return settings_; }
  void expire(uint64_t now_s);

  // At start, before any request: what the store held. False: it is over, contradicts another or finds no room.
  bool restore(const RecordKey& key, const Granted& granted, uint64_t now_s);
  void restore_epoch(const EpochChange& epoch);
  // Asks the translator for a mapping that may have to move, or to be made again: after a restart, and when its outside
  // address is gone. Whoever loses by it is told (§14). False: there is nothing to ask for, or a request is under way.
  bool reopen(const RecordKey& key, uint64_t now_s);

  // The operator's own wishes: no policy but the translator's holds for them. The answer comes with `token`.
  struct Wish {
    MappingKey key;
    net::Ipv6 b4;
    net::Endpoint suggested;  // zero: any; else exactly this
    uint32_t lifetime_s = 0;  // 0: the mapping ends
    std::string description;
  };
  void wish(const Wish& wish, uint64_t token, uint64_t now_s);

  // The translator ended all mappings of a subscriber (RFC 7785 §4(6)). Call it when the clearing command's result
  // arrives: rings are FIFO, so what is still under way then was asked later and stays. Returns the records forgotten.
  size_t forget(const net::Ipv6& subscriber);
  size_t forget(const MappingKey& mapping);
  size_t forget_all();

  [[nodiscard]] uint32_t epoch_s(uint64_t now_s) const { return static_cast<uint32_t>(now_s - epoch_start_s_); }
  [[nodiscard]] uint32_t epoch_s(const net::Ipv6& subscriber, uint64_t now_s) const;
  // State was lost, or outside addresses changed (§8.5); announcements tell the clients.
  void restart_epoch(uint64_t now_s);
  // … of one subscriber only, so that nobody else renews for it (§8.5 allows one epoch per client). Of the first
  // own_epochs_max subscribers; after that everybody's starts anew.
  void restart_epoch(const net::Ipv6& subscriber, uint64_t now_s);
  // Tells a subscriber's clients to ask anew (§14.1.3; RFC 6886 §3.2.1): by unicast, for multicast does not reach
  // across softwires, and an outside address is one subscriber's.
  void announce_to(const net::Ipv6& subscriber, const std::vector<Client>& clients, uint64_t now_s);
  [[nodiscard]] std::vector<Client> clients_of(const net::Ipv6& subscriber) const;

  [[nodiscard]] net::Ipv6 subscriber_of(const net::Ipv6& b4) const;
  [[nodiscard]] size_t size() const { return by_expiry_.size(); }   // records
  [[nodiscard]] size_t resting() const { return resting_.size(); }  // ports whose last client is remembered
  [[nodiscard]] size_t in_flight() const { return tickets_.size(); }
  [[nodiscard]] const Counters& counters() const { return counters_; }
  Counters& counters() { return counters_; }
  [[nodiscard]] const Mapping* find(const RecordKey& key) const;

  // visit(const RecordKey&, const Mapping&), a subscriber's mappings together.
  template <class Visit>
  void for_each(Visit visit) const {
    for (const auto& [key, entry] : entries_)
      if (entry.granted) visit(key, entry.granted->mapping);
  }

 private:
  enum class Asker : uint8_t { client, natpmp, operators, server };
  enum class Stage : uint8_t { translating, storing };
  struct Pending {  // what the reply needs once the translator and the store have answered
    Asker asker{};
    Stage stage{};
    Source source;
    Message request;
    MapBody map{};
    Options options;
    Command command;
    bool known = false;           // the mapping was on record with the client's nonce when he asked
    std::optional<Granted> next;  // what the record will be
    uint32_t lifetime_s = 0;      // Stage::storing: what the reply says
    uint64_t token = 0;           // Asker::operators
  };
  using ByExpiry = std::multimap<uint64_t, const RecordKey*>;  // the keys of entries_ do not move
  struct Entry {                                               // at least one of the two
    std::optional<Granted> granted;
    std::unique_ptr<Pending> pending;
    ByExpiry::iterator expiry{};  // if granted
    uint32_t held = 0;            // what it has in held_
  };
  // Ordered, so that a subscriber's records are a range, and a mapping's MAP comes before its PEERs.
  using Entries = std::map<RecordKey, Entry>;

  struct Exchange {  // a request being judged
    std::span<const uint8_t> bytes;
    const Source& source;
    uint64_t now_s;
  };
  struct Inside {  // whom a request is about
    net::Ipv6 subscriber, b4;
    net::Ipv4 address;
  };
  struct Asked {  // a MAP or PEER, once it is known to be about a host the sender may speak for
    const Exchange& exchange;
    const Request& request;
    const Options& options;
    RecordKey key;
    net::Ipv6 b4;
    uint16_t ports = 1;
    Asker asker = Asker::client;
  };

  // server.cc
  void judge(const Exchange& exchange);
  void announce_requested(const Exchange& exchange, const Request& request);
  void mapping_requested(const Exchange& exchange, const Request& request);
  net::Result<Options, Code> options_of(const Request& request);
  net::Result<Inside, Code> inside_of(const Source& source, const Options& options);
  void drop(Event event);
  void refuse(const Exchange& exchange, const Refusal& refusal);
  void refuse(const Exchange& exchange, Code code, bool parsed = false);
  void count(std::span<const uint8_t> request, Code code);
  Message error(const Source& to, std::span<const uint8_t> request, const Refusal& refusal, uint64_t now_s);

  // server_map.cc
  void judge_map(const Asked& asked);
  void judge_port_set(const Asked& asked);
  std::optional<Refusal> map_refusal(const Asked& asked, const Entry* entry);
  std::optional<Refusal> nonce_refusal(const Asked& asked, const Entry* entry);
  std::optional<Refusal> no_room_for(const RecordKey& key, uint32_t ports);
  [[nodiscard]] net::Result<std::vector<Filter>, Code> filters_after(const Asked& asked, const Entry* entry) const;
  void ask_for_mapping(const Asked& asked, const Entry* entry, std::vector<Filter> filters);
  void ask_for_deletion(const Asked& asked, const Entry* entry);
  [[nodiscard]] net::Endpoint suggestion(const MapBody& map) const;
  [[nodiscard]] uint32_t lifetime_granted_s(uint32_t requested_s) const;

  // server_peer.cc
  void judge_peer(const Asked& asked);
  std::optional<Refusal> peer_refusal(const Asked& asked, const Entry* entry);

  // server_natpmp.cc
  void natpmp(const Exchange& exchange);
  void natpmp_map(const Exchange& exchange, net::Protocol protocol);
  void natpmp_delete_all(const Exchange& exchange, net::Protocol protocol);
  void natpmp_reply(const Source& to, std::span<const uint8_t> request, uint16_t result, net::Port outside,
                    uint32_t lifetime_s, uint64_t now_s);
  void natpmp_refuse(const Source& to, std::span<const uint8_t> request, Code code, uint64_t now_s);
  void natpmp_address(const Pending& pending, const CommandResult& result, uint64_t now_s);
  void natpmp_announce(const net::Ipv6& subscriber, Source to, uint64_t now_s);

  // server_complete.cc
  Pending& begin(const RecordKey& key, Pending pending);
  void complete_open(Entries::iterator at, const CommandResult& result, uint64_t now_s);
  void complete_end(Entries::iterator at, const CommandResult& result, uint64_t now_s);
  void complete_reopen(Entries::iterator at, const Pending& pending, const CommandResult& result, uint64_t now_s);
  std::unique_ptr<Pending> finish(Entries::iterator at);
  void forget_if_empty(Entries::iterator at);
  void acknowledge(Entries::iterator at, uint64_t now_s);
  void undo(Entries::iterator at, const Pending& pending, uint64_t now_s);
  void answer(const Pending& pending, net::Endpoint outside, uint32_t lifetime_s, uint16_t ports, uint64_t now_s);
  void answer_refusal(const Pending& pending, const Refusal& refusal, uint64_t now_s);
  [[nodiscard]] Message update_of(const RecordKey& key, const Granted& granted, Code code, uint64_t now_s) const;

  // server_table.cc
  void grant(Entries::iterator at, Granted granted);
  void keep(Entries::iterator at, Granted granted);
  void tell(const RecordKey& key, const Mapping* before, const Mapping* after);
  void revoke(Entries::iterator at);
  void count_held(Entries::iterator at);
  void let_rest(Entries::iterator at, uint64_t now_s);
  void settle(const RecordKey& key, uint64_t now_s);
  [[nodiscard]] bool is_busy(const MappingKey& key) const;
  [[nodiscard]] uint32_t pinned_s(const MappingKey& key, uint64_t now_s) const;
  [[nodiscard]] const std::vector<Filter>* map_filters_of(const MappingKey& key) const;
  [[nodiscard]] std::vector<Filter> let_in(const MappingKey& key, const std::vector<Filter>* map_filters,
                                           net::Endpoint one_more = {}) const;
  [[nodiscard]] std::vector<Entries::iterator> overlapping(const MappingKey& key, uint16_t ports);
  [[nodiscard]] Entries::iterator first_of(const net::Ipv6& subscriber) {
    return entries_.lower_bound({{subscriber, {}, {}, {}}, {}});
  }

  Settings settings_;
  static constexpr size_t own_epochs_max = 65'536;
  uint64_t epoch_start_s_;
  std::map<net::Ipv6, uint64_t> epoch_starts_;  // of subscribers whose own began later
  // NAT-PMP's clients told in this second, B4 and host: one message is for all mappings of each.
  std::set<std::pair<net::Ipv6, net::Ipv4>> natpmp_told_;
  uint64_t natpmp_told_at_s_ = 0;
  RateLimit rate_limit_, probe_limit_;
  Allowance allowance_of_all_;
  Counters counters_;
  Entries entries_;
  ByExpiry by_expiry_;                                       // every granted record
  std::unordered_map<uint64_t, Entries::iterator> tickets_;  // every pending request
  struct SubscriberHash {
    size_t operator()(const net::Ipv6& subscriber) const {
      return std::hash<std::string_view>{}({reinterpret_cast<const char*>(subscriber.bytes.data()), 16});
    }
  };
  // Ports and PEERs of each subscriber, for his quota: granted, or asked of the translator.
  std::unordered_map<net::Ipv6, uint32_t, SubscriberHash> held_;
  Resting resting_;
  uint64_t ticket_ = 0;     // last given
  bool sets_seen_ = false;  // there may be records of several ports
  Effects effects_;
};

}  // namespace portolan::pcp
