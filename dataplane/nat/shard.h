// One worker's share of the NAT: the mapping slab and everything that can be rebuilt from it (indexes, port blocks,
// subscribers, timing wheel). Owner and only writer: one worker. Other threads may call the functions marked "any
// thread". After construction nothing here allocates, locks, logs or throws.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dataplane/nat/audit.h"
#include "dataplane/nat/bucket_index.h"
#include "dataplane/nat/command.h"
#include "dataplane/nat/counter.h"
#include "dataplane/nat/event.h"
#include "dataplane/nat/filter_table.h"
#include "dataplane/nat/hash.h"
#include "dataplane/nat/mapping.h"
#include "dataplane/nat/policy.h"
#include "dataplane/nat/port_blocks.h"
#include "dataplane/nat/session_table.h"
#include "dataplane/nat/slab.h"
#include "dataplane/nat/subscriber.h"
#include "dataplane/nat/timing_wheel.h"
#include "dataplane/nat/verdict.h"
#include "dataplane/net/result.h"

namespace portolan::nat {

struct ShardSettings {
  unsigned worker = 0;
  unsigned workers = 1;
  uint32_t mappings_max = 1'000'000;   // of this shard
  uint32_t subscribers_max = 100'000;  // of this shard
  uint8_t subscriber_prefix_length = 56;
  uint8_t plain_prefix_length = 32;       // of a NAT44 subscriber: of his IPv4 address
  uint32_t addresses_max = 0;             // local addresses there is room for in later pools; 0: twice as many as now
  std::vector<PortRange> reserved_ports;  // never leased
  Policy policy;                          // at start; see Shard::use()
  uint32_t sessions_max = 100'000;        // of this shard
  uint32_t filtered_max = 16'384;         // mappings with filters of their own
  std::string slab_path;                  // empty: memory of this process only
  std::string sessions_path;              // the same
  uint64_t seed = 0;                      // of every random choice, for tests; 0: the kernel's
};

struct ShardCounters {
  Counter opened, opened_explicit, ended, expired, restored, dropped_at_restore;
  Counter swept, sweeps_done;                        // ended because a new policy no longer allows them; passes ended
  Counter audits_done, audit_checked, audit_faults;  // the latter two: of the audit under way, or else the last
  Counter statics_waiting;                           // static mappings that cannot be made yet
};

class Shard {
 public:
  // A look that ends a mapping takes a quarter of a microsecond (shard_bench, expire_all), one or two where frames have
  // thrown the tables out of the caches; a burst of 64 packets 6 to 20. So few that no packet waits 100 us for a
  // million mappings that are due at once, be it one that finds the worker idle. In a flood of new mappings they may
  // end some seconds late, then more of them at a time, for their records are needed.
  static constexpr uint32_t tended_busy_max = 8, tended_max = 32, tended_too_late_max = 128;
  static constexpr uint32_t late_s = 4, too_late_s = 8;  // behind the time

  // Opens the slab (see Slab::open) and rebuilds every index from the records in it; records the settings no longer
  // allow are ended. Errors: one sentence with the path and the way out.
  static net::Result<std::unique_ptr<Shard>, std::string> open(ShardSettings settings, uint32_t now_s);

  // --- the packet path: the owner only ---
  [[nodiscard]] uint32_t hash(const OutboundKey& key) const { return hash_(key); }
  // The same of the key as it lies in memory.
  [[nodiscard]] uint32_t hash(const std::array<uint64_t, 3>& key) const { return hash_(key); }
  void prefetch(uint32_t hash) const { outbound_.prefetch(hash); }
  // After prefetch(): the record that find() will most likely look at.
  void prefetch_candidate(uint32_t hash) const { prefetch_record(outbound_.candidate(hash)); }
  [[nodiscard]] MappingIndex find(const OutboundKey& key, uint32_t hash) const;

  [[nodiscard]] MappingIndex candidate(uint32_t hash) const { return outbound_.candidate(hash); }

  // Where find_inbound() looks; the protocol is one that has ports. `local_address`: as the pool's local_of(), which
  // with one worker is the address's number.
  [[nodiscard]] const MappingIndex& inbound_place(uint32_t local_address, net::Protocol protocol,
                                                  net::Port port) const {
    return inbound_slot(local_address, *protocol_row(protocol), port);
  }
  // Prefetches what find_inbound() will read. `address_number` as the pool's number_of(); it must be this worker's.
  void prefetch_inbound(uint32_t address_number, net::Protocol protocol, net::Port port) const;
  // The mapping may be one at rest: ask is_live() once its record has come.
  [[nodiscard]] MappingIndex find_inbound(uint32_t address_number, net::Protocol protocol, net::Port port) const;
  [[nodiscard]] bool is_live(MappingIndex index) const { return slab_[index].has(Mapping::in_use); }

  [[nodiscard]] const Mapping& operator[](MappingIndex index) const { return slab_[index]; }
  void prefetch_record(MappingIndex index) const { __builtin_prefetch(&slab_[index], 1); }

  // A mapping about to be opened. open_mapping() follows a chain of look-ups (subscriber's bucket, record, blocks),
  // each of which may be far away; prefetch() starts the load of one step after the other.
  struct Opening {
    static constexpr unsigned steps = 3;
    OutboundKey key;
    uint32_t at = 0;  // the step's result: hash, then subscriber
  };
  void prefetch(Opening& opening, unsigned step) const;
  // A new implicit mapping for the key; the verdict says why there is none.
  net::Result<MappingIndex, Verdict> open_mapping(const OutboundKey& key, uint32_t hash, const net::Ipv6& b4,
                                                  uint8_t softwire, net::Endpoint remote, uint32_t now_s) {
    Verdict why{};
    const MappingIndex made = open_mapping(key, hash, b4, softwire, remote, now_s, why);
    if (made == null_mapping) return tl::unexpected(why);
    return made;
  }

  // Lets a packet to `remote` through its mapping: keeps it and its session alive (RFC 4787 REQ-6), moves the TCP state
  // machine (RFC 7857 §2) and the softwire's far end (RFC 7785 §4(3)). Or says why not. tcp_flags: 0 for others.
  [[nodiscard]] std::optional<Verdict> admit_outbound(MappingIndex index, const net::Ipv6& b4, uint8_t softwire,
                                                      net::Endpoint remote, uint8_t tcp_flags, uint32_t now_s);
  [[nodiscard]] std::optional<Verdict> admit_inbound(MappingIndex index, net::Endpoint remote, uint8_t tcp_flags,
                                                     uint32_t now_s);
  // What admit_outbound() does for a packet that changes nothing else (pipeline/steady.h).
  void stamp(MappingIndex index, uint32_t now_s) { slab_.set(index, &Mapping::last_seen_s, now_s); }
  // The same for ICMP errors, which keep nothing alive. Inbound: any router may send one about a known remote
  // (RFC 4787 REQ-12).
  [[nodiscard]] std::optional<Verdict> admit_outbound_error(MappingIndex index, const net::Ipv6& b4, uint8_t softwire,
                                                            uint32_t now_s);
  [[nodiscard]] std::optional<Verdict> admit_inbound_error(MappingIndex index, net::Endpoint remote, uint32_t now_s);

  // --- between bursts: the owner only ---
  // The rules from now on; its pool is the present one's successor and has room (see has_room_for()). The caller keeps
  // them alive until they have been replaced. What they no longer allow is ended by and by.
  void use(const Policy& policy);
  // How many records tend() may look at now: fewer where packets came, unless the wheel has fallen so far behind that
  // mappings live seconds too long.
  [[nodiscard]] uint32_t tending_budget(uint32_t now_s, bool packets_came) const {
    const uint32_t behind_s = wheel_.behind_s(now_s);
    if (behind_s >= too_late_s) return tended_too_late_max;
    return packets_came && behind_s < late_s ? tended_busy_max : tended_max;
  }
  // One turn of everything that is done between bursts: expiry, the sweep after use(), the audit. Each looks at no more
  // than `budget` records, so that no packet waits long. Returns how many they were.
  uint32_t tend(uint32_t now_s, uint32_t budget);
  // Ends what is due, at most `budget` records looked at, so that no packet waits long. Returns how many were.
  uint32_t expire(uint32_t now_s, uint32_t budget);
  CommandResult execute(const Command& command, uint32_t now_s);

  // --- any thread ---
  [[nodiscard]] const ShardSettings& settings() const { return settings_; }
  [[nodiscard]] const Policy& policy() const { return *policy_.load(std::memory_order_acquire); }
  [[nodiscard]] const ShardCounters& counters() const { return counters_; }
  [[nodiscard]] MappingIndex record_end() const { return slab_.capacity(); }  // records are 1..record_end()-1
  // A consistent copy; none if the record is free or was being written.
  [[nodiscard]] std::optional<Mapping> read(MappingIndex index) const { return slab_.read(index); }
  [[nodiscard]] bool is_known_free(MappingIndex index) const { return slab_.is_known_free(index); }
  [[nodiscard]] SessionIndex session_end() const { return sessions_.record_end(); }  // 1..session_end()-1
  [[nodiscard]] std::optional<Session> read_session(SessionIndex index) const { return sessions_.read(index); }
  [[nodiscard]] uint32_t subscriber_end() const { return subscribers_.capacity(); }  // 1..subscriber_end()-1
  [[nodiscard]] std::optional<Subscriber> read_subscriber(uint32_t index) const { return subscribers_.read(index); }
  [[nodiscard]] uint64_t mappings_live() const { return live_.read(); }
  [[nodiscard]] uint64_t mappings_held() const { return held_.read(); }
  [[nodiscard]] uint64_t sessions_live() const { return sessions_.live(); }
  [[nodiscard]] uint64_t subscribers_live() const { return subscribers_.live(); }
  [[nodiscard]] bool has_room_for(const Pool& pool) const {
    return pool.local_count(settings_.worker) <= addresses_max_;
  }
  [[nodiscard]] uint32_t blocks_total() const { return blocks_.total(); }
  [[nodiscard]] uint32_t blocks_free() const { return blocks_.free(); }
  // The second at which the mapping ends unless something more is seen of it.
  [[nodiscard]] uint32_t due_s(const Mapping& mapping) const;
  [[nodiscard]] uint32_t session_due_s(const Session& session) const;

  // The control thread alone: what happened since the last call, at most room.size(). Returns how many.
  size_t take_events(std::span<Event> room) { return events_.take(room); }
  [[nodiscard]] uint64_t events_lost() const { return events_.lost(); }
  // Records that began or ceased to live by a lifetime of PCP's: look at them (read()). Were some lost, at all of them.
  size_t take_explicit_changes(std::span<MappingIndex> room) { return explicit_changes_.take(room); }
  [[nodiscard]] uint64_t explicit_changes_lost() const { return explicit_changes_.lost(); }

  // Slab against indexes, bitmaps and blocks, whole: the number of contradictions, the first few as text. Owner only.
  // While traffic runs, Command::Verb::audit does the same in slices and tells of each fault as an event.
  uint32_t audit(std::vector<std::string>& findings) const;

 private:
  struct Wanted {  // what a new mapping should be like
    net::Ipv6 b4;
    uint8_t softwire = 0;
    uint8_t life = 0;         // Mapping::implicit_life or explicit_life
    net::Endpoint remote;     // implicit
    net::Endpoint suggested;  // explicit
    bool exact = false;
    uint32_t expiry_s = 0;  // explicit
  };
  Shard(ShardSettings settings, Slab slab, SessionSlab sessions, uint32_t now_s);

  // A subscriber, a port in his blocks, a record and its place in the indexes, all of it or nothing: then null_mapping,
  // and the reason in `why`. Not a Result, which is put together in memory and loaded as a whole: that
  // load waits for every store before it, among them those to lines that are far away.
  MappingIndex make(const OutboundKey& key, uint32_t hash, const Wanted& wanted, uint32_t now_s, Verdict& why);
  MappingIndex open_mapping(const OutboundKey& key, uint32_t hash, const net::Ipv6& b4, uint8_t softwire,
                            net::Endpoint remote, uint32_t now_s, Verdict& why);
  net::Result<uint32_t, Verdict> subscriber_for(const net::Ipv6& prefix, net::Ipv4 preferred);
  void forget_if_idle(uint32_t subscriber);
  net::Result<PortBlocks::Lease, Verdict> take_lease(uint32_t subscriber, uint32_t row, const Wanted& wanted);
  net::Result<PortBlocks::Lease, Verdict> take_port(uint32_t subscriber, uint32_t row, const Wanted& wanted);
  net::Result<PortBlocks::Lease, Verdict> take_any_port(uint32_t subscriber, uint32_t row);
  net::Result<PortBlocks::Lease, Verdict> take_suggested_port(uint32_t subscriber, uint32_t row,
                                                              net::Endpoint suggested);
  bool give_block(uint32_t subscriber, uint32_t block);
  [[nodiscard]] bool may_tell_of_block() const { return !policy().records_required || events_.has_room(); }
  void tell_of_block(Event::Kind kind, const net::Ipv6& subscriber, uint32_t block);
  void release(const Mapping& mapping);  // its port, and what is empty because of that
  [[nodiscard]] std::optional<PortBlocks::Lease> lease_of(const Mapping& mapping) const;
  void enter_indexes(MappingIndex index, const Mapping& mapping, uint32_t local_address);
  void end(MappingIndex index, uint32_t now_s);
  [[nodiscard]] uint32_t rest_s(const Mapping& mapping) const;
  void relink(MappingIndex index);
  void set_flags(MappingIndex index, uint8_t add, uint8_t remove);
  void adopt_addresses(const Pool& pool);
  uint32_t sweep(uint32_t now_s, uint32_t budget);
  uint32_t audit_slice(uint32_t budget);

  // shard_static.cc
  void claim_blocks(const Policy& policy, bool claimed);
  uint32_t settle_statics(uint32_t now_s, uint32_t budget);
  StaticObstacle settle(const StaticMapping& row, MappingIndex known, uint32_t now_s);
  StaticObstacle make_static(const StaticMapping& row, const PortBlocks::Lease& lease, uint32_t protocol,
                             MappingIndex known, uint32_t now_s);
  Mapping record_of(const StaticMapping& row, uint32_t subscriber);
  void pair(uint32_t subscriber, uint32_t local_address);
  bool revive(MappingIndex index, const Wanted& wanted, uint32_t now_s);
  void forget_held(MappingIndex index);
  [[nodiscard]] bool is_static_no_more(const Mapping& mapping) const;
  void tell_of_static(const StaticMapping& row, StaticObstacle obstacle);
  [[nodiscard]] std::optional<PortBlocks::Lease> lease_of(const StaticMapping& row) const;

  template <class Report>
  void audit_record(MappingIndex index, Report report) const;
  template <class Report>
  void audit_sessions(MappingIndex index, Report report) const;
  template <class Report>
  void audit_block(uint32_t block, Report report) const;
  template <class Report>
  void audit_bucket(size_t bucket, Report report) const;
  void set_life(MappingIndex index, uint8_t add, uint8_t remove, uint32_t expiry_s);
  void restore(uint32_t now_s);
  bool restore_record(MappingIndex index, uint32_t now_s);
  void restore_sessions(uint32_t now_s);
  void restore_b4s();
  CommandResult open_explicit(const Command& command, uint32_t now_s);
  CommandResult open_outbound(const Command& command, uint32_t now_s);
  CommandResult end_explicit(const Command& command, uint32_t now_s);
  CommandResult unpin(const Command& command, uint32_t now_s);
  [[nodiscard]] CommandResult tell_holder(const Command& command) const;
  CommandResult clear_subscriber(const Command& command, uint32_t now_s);
  void clear_port(uint32_t local_address, uint32_t row, net::Port port, uint32_t now_s, CommandResult& result);
  MappingIndex reclaim(const Command& command, const Wanted& wanted, uint32_t now_s);
  [[nodiscard]] OutboundKey key_of(const Mapping& mapping) const;
  [[nodiscard]] unsigned prefix_length(bool plain) const {
    return plain ? 96U + settings_.plain_prefix_length : settings_.subscriber_prefix_length;
  }
  [[nodiscard]] uint32_t idle_timeout_s(net::Protocol protocol, TcpState state) const;
  [[nodiscard]] uint32_t idle_timeout_s(const Mapping& mapping) const;
  [[nodiscard]] uint32_t implicit_due_s(const Mapping& mapping) const;
  [[nodiscard]] MappingIndex& inbound_slot(uint32_t local_address, uint32_t row, net::Port port) const {
    return inbound_.data()[(size_t{local_address} * protocol_rows + row) << 16 | uint16_t{port.number}];
  }
  // Which of his blocks are of the address he gets new ports from.
  uint32_t own_range(uint32_t subscriber);
  [[nodiscard]] uint32_t choose_block(const Subscriber& subscriber, uint32_t row);
  [[nodiscard]] std::optional<uint32_t> local_of(net::Ipv4 address) const;
  [[nodiscard]] uint32_t blocks_here(const Subscriber& subscriber) const;
  [[nodiscard]] net::Ipv4 address_of_local(uint32_t local_address) const {
    return policy().pool.address_of(policy().pool.number_of_local(settings_.worker, local_address));
  }

  // shard_sessions.cc
  void advance_tcp(MappingIndex index, bool outbound, uint8_t tcp_flags);
  void advance_session(SessionIndex index, bool outbound, uint8_t tcp_flags);
  std::optional<Verdict> admit_to_other_remote(MappingIndex index, net::Endpoint remote, uint8_t tcp_flags);
  std::optional<Verdict> admit_from_other_remote(MappingIndex index, net::Endpoint remote, uint8_t tcp_flags);
  [[nodiscard]] bool is_filtered(const Mapping& mapping) const;
  [[nodiscard]] bool needs_sessions(const Mapping& mapping) const;
  [[nodiscard]] net::Endpoint session_remote(const Mapping& mapping, net::Endpoint remote) const;
  [[nodiscard]] bool lets_in(MappingIndex index, net::Endpoint remote) const;
  SessionIndex live_session(MappingIndex index, net::Endpoint remote);
  std::optional<Verdict> open_session(MappingIndex index, net::Endpoint remote, TcpState state, bool inbound);
  [[nodiscard]] std::optional<Verdict> session_refusal(MappingIndex index, bool inbound) const;
  [[nodiscard]] uint32_t sessions_of(MappingIndex index) const;
  void keep_in_record(MappingIndex index, net::Endpoint remote, TcpState state);
  bool leave_record(MappingIndex index);
  bool add_session(MappingIndex index, net::Endpoint remote, TcpState state, uint32_t last_seen_s, uint8_t flags);
  void refresh_grant(MappingIndex index, net::Ipv4 address);
  [[nodiscard]] uint32_t session_timeout_s(const Session& session) const;
  void end_session(SessionIndex index);
  void end_sessions(MappingIndex index);
  void count_sessions(uint32_t subscriber, int all, int inbound);
  void sweep_sessions(uint32_t budget);

  // shard_filters.cc
  bool let_in(MappingIndex index, const FilterList& filters);
  void forget_list(MappingIndex index);
  [[nodiscard]] bool is_listed(MappingIndex index, net::Endpoint remote) const;
  [[nodiscard]] bool is_shut_to(MappingIndex index, net::Endpoint remote) const;

  // shard_port_set.cc
  struct Run {
    net::Port first;
    uint32_t ports = 0;
  };
  CommandResult open_set(const Command& command, uint32_t now_s);
  CommandResult end_set(const Command& command, uint32_t now_s);
  std::optional<net::Endpoint> find_run(const Command& command);
  [[nodiscard]] Run longest_run(uint32_t block, uint32_t row, const Command& command) const;

  // shard_limits.cc
  std::optional<Verdict> move_mapping(MappingIndex index, const net::Ipv6& b4, uint8_t softwire);
  std::optional<Verdict> follow_b4(uint32_t subscriber, const net::Ipv6& b4, uint8_t softwire);
  [[nodiscard]] std::optional<Verdict> mapping_refusal(const Subscriber& subscriber, const Wanted& wanted) const;
  void count_opening(uint32_t subscriber);
  void tell_of_quota(uint32_t subscriber, Verdict verdict, net::Protocol protocol);
  void tell_of_b4(uint32_t subscriber, Event::Kind kind, const net::Ipv6& b4);
  template <class Visit>
  void for_mappings_of(const Subscriber& subscriber, Visit visit) {
    for (uint8_t i = 0; i < subscriber.block_count; ++i)
      for (uint32_t row = 0; row < protocol_rows; ++row)
        blocks_.for_each_taken(subscriber.blocks[i], row, [&](net::Port port) {
          const MappingIndex index = inbound_slot(blocks_.local_address_of(subscriber.blocks[i]), row, port);
          if (is_live(index)) visit(index);
        });
  }

  ShardSettings settings_;
  std::atomic<const Policy*> policy_;  // writer: the owner
  Hasher hash_;
  Slab slab_;
  SessionTable sessions_;
  FilterTable filters_;
  SubscriberTable subscribers_;
  uint32_t addresses_max_, addresses_known_ = 0;  // local
  PortBlocks blocks_;
  BucketIndex outbound_;
  ZeroPages<MappingIndex> inbound_;  // [local address][protocol row][port]
  TimingWheel wheel_;
  std::array<std::array<uint64_t, 2>, 2> prefix_masks_;  // of a softwire's and of a plain subscriber, as memory words
  Counter live_, held_;
  ShardCounters counters_;
  EventRing events_;
  TellRing<MappingIndex> explicit_changes_;  // apart from events_: a thousand at once may not cost a record
  Random random_;
  MappingIndex sweep_at_ = 0;  // 0: nothing to sweep
  struct {
    size_t at = 0;  // the row the pass has come to
    uint32_t waiting = 0, ended_s = 0;
    bool first_pass = true;
  } statics_;
  struct {
    enum class Phase : uint8_t { none, records, blocks, index } phase{};
    size_t at = 0;
  } audit_;
  uint32_t now_s_ = 0;  // of the call under way, for events
};

}  // namespace portolan::nat
