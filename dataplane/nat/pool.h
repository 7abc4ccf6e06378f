// The outside addresses: which there are, how they are numbered, how their ports are cut into blocks, and which worker
// owns what: address, block and subscriber. Immutable once built; part of the configuration snapshot.
//
// Ownership (docs/architecture.md §2): with enough addresses every one has one owner, so that fragments and ICMP
// errors, which show no port, still find it. With fewer, each block of an address has an owner of its own.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "dataplane/nat/deterministic.h"
#include "dataplane/nat/port_layout.h"
#include "dataplane/nat/spread.h"
#include "dataplane/net/types.h"

namespace portolan::nat {

struct HashPrefix {
  size_t operator()(const net::Ipv6& prefix) const {
    const auto words = std::bit_cast<std::array<uint64_t, 2>>(prefix.bytes);
    const uint64_t mix = (words[0] ^ std::rotl(words[1], 32)) * 0x9e3779b97f4a7c15U;
    return mix ^ (mix >> 32);
  }
};

class Pool {
 public:
  enum class State : uint8_t {
    active,
    draining,  // its mappings live on, new ones get other addresses
    removed,   // was configured since the process started; nothing may use it
  };
  // Subscribers that belong to another worker than their address says: who holds an outside address already.
  using Pins = std::unordered_map<net::Ipv6, uint8_t, HashPrefix>;
  struct BlockClaim {
    uint32_t number, block;
    uint8_t worker;
  };

  Pool() = default;
  // Prefixes must not overlap. `subscriber_prefix_length` as in Spread.
  Pool(const std::vector<net::Ipv4Prefix>& prefixes, PortRange ports, uint32_t block_ports, unsigned workers,
       unsigned subscriber_prefix_length = 56);

  // A pool whose subscribers' addresses and first ports follow from who they are.
  Pool(const Deterministic& deterministic, unsigned workers);

  // The same pool with other prefixes, of which some drain: every address keeps its number and owner, those no longer
  // configured are `removed`, new ones are numbered after the others.
  [[nodiscard]] Pool successor(const std::vector<net::Ipv4Prefix>& prefixes,
                               const std::vector<net::Ipv4Prefix>& draining) const;
  // The same pool where what is in use already keeps its worker. Pins come before those it has; claims only before any
  // worker runs.
  [[nodiscard]] Pool with(Pins pins, std::span<const BlockClaim> claims) const;

  friend bool operator==(const Pool&, const Pool&) = default;

  [[nodiscard]] std::span<const net::Ipv4Prefix> prefixes() const { return prefixes_; }           // as configured
  [[nodiscard]] uint32_t address_count() const { return static_cast<uint32_t>(places_.size()); }  // numbers given
  [[nodiscard]] const PortLayout& layout() const { return layout_; }
  [[nodiscard]] const Spread& spread() const { return spread_; }
  [[nodiscard]] unsigned workers() const { return workers_; }
  [[nodiscard]] uint32_t generation() const { return generation_; }  // how many successors led to it
  // Addresses are cut between workers, so that fragments, which show no port, may reach another than their mapping's.
  [[nodiscard]] bool is_shared() const { return shared_; }

  // The number of an outside address, 0..address_count()-1; none if it is not in the pool (any more).
  [[nodiscard]] std::optional<uint32_t> number_of(net::Ipv4 address) const {
    if (spans_.size() != 1) return find(spans_, address);
    const Span& span = spans_.front();  // the usual pool
    const uint32_t offset = uint32_t{address.bits} - span.first_address;
    return offset < span.count ? std::optional(span.first_number + offset) : std::nullopt;
  }
  // The same, even if it has been removed since the process started.
  [[nodiscard]] std::optional<uint32_t> number_ever_of(net::Ipv4 address) const;
  [[nodiscard]] net::Ipv4 address_of(uint32_t number) const { return places_[number].address; }
  [[nodiscard]] State state_of(uint32_t number) const { return places_[number].state; }

  // The worker that owns port `port` (or ICMP identifier) of pool address `number`.
  [[nodiscard]] unsigned owner(uint32_t number, net::Port port) const {
    if (!shared_) return places_[number].owner;
    const uint32_t block = layout_.block_of(port);
    return block == PortLayout::no_block ? places_[number].owner : owner_of_block(number, block);
  }
  // Whoever learns the ports of an address's fragments.
  [[nodiscard]] unsigned owner_of_fragments(uint32_t number) const { return places_[number].owner; }
  [[nodiscard]] unsigned owner_of_block(uint32_t number, uint32_t block) const {
    return shared_ ? block_owners_[size_t{number} * layout_.blocks() + block] : places_[number].owner;
  }
  // The fixed range of a subscriber: address number and block of it; none if he has none.
  struct FixedRange {
    uint32_t number, block;
  };
  [[nodiscard]] std::optional<FixedRange> fixed_range_of(const net::Ipv6& subscriber) const;
  [[nodiscard]] const Deterministic* deterministic() const { return deterministic_.get(); }

  // The worker a subscriber (his masked prefix) belongs to, whatever the pool.
  [[nodiscard]] unsigned owner_of(const net::Ipv6& subscriber) const {
    if (workers_ == 1) return 0;
    if (deterministic_)
      if (const auto range = fixed_range_of(subscriber)) return owner_of_block(range->number, range->block);
    if (pins_)
      if (const auto pin = pins_->find(subscriber); pin != pins_->end()) return pin->second;
    return spread_.worker_of(subscriber);
  }

  // Addresses of which `worker` owns a part, as local numbers 0..count-1.
  [[nodiscard]] uint32_t local_count(unsigned worker) const { return static_cast<uint32_t>(locals_[worker].size()); }
  [[nodiscard]] uint32_t local_of(uint32_t number) const { return places_[number].local; }
  [[nodiscard]] uint32_t number_of_local(unsigned worker, uint32_t local) const { return locals_[worker][local]; }

 private:
  struct Place {
    net::Ipv4 address;
    uint32_t local = 0;
    uint8_t owner = 0;
    State state{};
    friend bool operator==(const Place&, const Place&) = default;
  };
  struct Span {  // addresses one after the other, numbered one after the other
    uint32_t first_address, count, first_number;
    friend bool operator==(const Span&, const Span&) = default;
  };
  Pool(const PortLayout& layout, const std::vector<net::Ipv4Prefix>& prefixes, unsigned workers,
       unsigned subscriber_prefix_length);
  void number(const std::vector<net::Ipv4Prefix>& prefixes, const std::vector<net::Ipv4Prefix>& draining);
  void add(net::Ipv4 address);
  [[nodiscard]] std::vector<Span> index(bool removed_too) const;
  static std::optional<uint32_t> find(const std::vector<Span>& spans, net::Ipv4 address);

  std::vector<net::Ipv4Prefix> prefixes_;
  PortLayout layout_;
  unsigned workers_ = 1;
  Spread spread_;
  bool shared_ = false;
  std::vector<Place> places_;                     // by number
  std::vector<std::vector<uint32_t>> locals_{1};  // [worker][local] -> number
  std::vector<uint8_t> block_owners_;             // shared: [number][block]
  std::vector<Span> spans_, spans_ever_;          // those in use, and all; sorted by address
  uint32_t generation_ = 0;
  std::shared_ptr<const Pins> pins_;
  std::shared_ptr<const Deterministic> deterministic_;  // none: blocks only
};

}  // namespace portolan::nat
