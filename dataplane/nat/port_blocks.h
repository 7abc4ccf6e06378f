// The outside ports of a shard: each address cut into blocks of contiguous ports, each block held by one subscriber,
// each port free or taken per protocol. Freed blocks go back at once because a block only empties when the last of its
// ports has rested (the mapping record keeps its port through quarantine). Owner: the worker.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/nat/counter.h"
#include "dataplane/nat/divisor.h"
#include "dataplane/nat/hash.h"
#include "dataplane/nat/pool.h"
#include "dataplane/nat/zero_pages.h"
#include "dataplane/net/types.h"

namespace portolan::nat {

// The protocols that have ports, as array rows; none for others.
constexpr std::optional<uint32_t> protocol_row(net::Protocol protocol) {
  switch (protocol) {
    case net::Protocol::tcp:
      return 0;
    case net::Protocol::udp:
      return 1;
    case net::Protocol::icmp:
      return 2;
    default:
      return std::nullopt;
  }
}
inline constexpr uint32_t protocol_rows = 3;

class PortBlocks {
 public:
  // A port taken: local address and port.
  struct Lease {
    uint32_t local_address;
    net::Port port;
  };
  static constexpr uint32_t no_block = PortLayout::no_block;
  static constexpr uint32_t no_owner = 0;
  static constexpr uint32_t foreign = ~uint32_t{0};  // the owner of blocks that are another worker's

  // Room for `addresses_max` addresses, none of them usable yet. `reserved`: ports never leased, whatever the protocol.
  // `seed`: of the choices, as Random takes it.
  PortBlocks(uint32_t addresses_max, const PortLayout& layout, std::span<const PortRange> reserved, uint64_t seed = 0);

  // The address's blocks may be leased from now on, but those that are another worker's.
  void add_address(uint32_t local_address) {
    add_address(local_address, [](uint32_t) { return true; });
  }
  template <class IsOurs>  // of the address's blocks, from 0
  void add_address(uint32_t local_address, IsOurs is_ours) {
    if (local_address >= addresses_.size()) return;
    uint32_t ours = 0;
    for (uint32_t block = 0; block < layout_.blocks(); ++block)
      if (is_ours(block))
        ours += is_fixed(block) ? 0U : 1U;
      else
        blocks_[local_address * layout_.blocks() + block].owner = foreign;
    addresses_[local_address].free = ours;
    total_.add(ours);
    free_.add(ours);
    offer(local_address, true);
  }
  // Whether new subscribers may get the address (a draining one they may not).
  void offer(uint32_t local_address, bool offered);
  [[nodiscard]] bool is_offered(uint32_t local_address) const {
    return local_address < addresses_.size() && addresses_[local_address].offered;
  }

  [[nodiscard]] uint32_t end() const { return static_cast<uint32_t>(addresses_.size()) * layout_.blocks(); }
  [[nodiscard]] uint32_t total() const { return static_cast<uint32_t>(total_.read()); }  // that are ours
  [[nodiscard]] uint32_t free() const { return static_cast<uint32_t>(free_.read()); }
  [[nodiscard]] uint32_t local_address_of(uint32_t block) const { return per_address_.quotient(block); }
  [[nodiscard]] PortRange ports_of(uint32_t block) const { return layout_.ports_of(per_address_.remainder(block)); }
  // One of the ranges that belong to a subscriber each: not in what is counted, chosen or free.
  [[nodiscard]] bool is_fixed(uint32_t block) const { return layout_.is_fixed(per_address_.remainder(block)); }
  // The block a port lies in; no_block if none.
  [[nodiscard]] uint32_t block_of(uint32_t local_address, net::Port port) const;
  [[nodiscard]] uint32_t owner(uint32_t block) const { return blocks_[block].owner; }

  // An address with a free block, chosen among two at random for the one with more; none if all are full.
  [[nodiscard]] std::optional<uint32_t> choose_address();
  [[nodiscard]] bool has_free_block(uint32_t local_address) const { return addresses_[local_address].free > 0; }
  // A random free block of the address, none of the fixed ones, given to `owner` (non-zero); no_block if it has none.
  uint32_t take_block(uint32_t local_address, uint32_t owner);
  // This very block; false if somebody has it.
  bool take_this_block(uint32_t block, uint32_t owner);
  // Whether the block is kept for a static mapping: then it counts as given, and take_block() passes it over.
  void claim(uint32_t block, bool claimed);
  [[nodiscard]] bool is_claimed(uint32_t block) const { return blocks_[block].claimed != 0; }
  // Gives an empty block back.
  void release_block(uint32_t block);
  [[nodiscard]] bool empty(uint32_t block) const { return blocks_[block].used == 0; }

  // What take_port() will read.
  void prefetch(uint32_t block, uint32_t row) const {
    __builtin_prefetch(&blocks_[block], 1);
    __builtin_prefetch(bits(local_address_of(block), row) + ports_of(block).low / 64U, 1);
  }
  // A random free port of the block for the protocol row; none if all are taken.
  std::optional<net::Port> take_port(uint32_t block, uint32_t row, uint32_t now_s = 0);
  // This very port of a held block; false if taken or reserved.
  bool take_this_port(uint32_t block, uint32_t row, net::Port port);
  void release_port(uint32_t block, uint32_t row, net::Port port);
  [[nodiscard]] bool has_free_port(uint32_t block, uint32_t row) const {
    return blocks_[block].row_used[row] + uint32_t{reserved_of(block, row)} < ports_of(block).count();
  }
  // When the last port of it was leased: the longest idle block should be left to empty (RFC 7768 §2).
  [[nodiscard]] uint32_t last_lease_s(uint32_t block) const { return blocks_[block].last_lease_s; }
  // Never leased: the configured ports, and PCP's own UDP ones, for PCP must not map them (RFC 6887 §11.3), and an
  // implicit mapping may become PCP's.
  [[nodiscard]] bool is_reserved(uint32_t row, net::Port port) const {
    return (reserved_[row][port.number / 64U] >> (port.number % 64U) & 1) != 0;
  }
  [[nodiscard]] bool taken(uint32_t local_address, uint32_t row, net::Port port) const {
    return (bits(local_address, row)[port.number / 64U] >> (port.number % 64U) & 1) != 0;
  }
  template <class Visit>  // every port of the block that is taken
  void for_each_taken(uint32_t block, uint32_t row, Visit visit) const {
    const PortRange range = ports_of(block);
    const uint64_t* words = bits(local_address_of(block), row);
    for (uint32_t word = range.low / 64U; word <= range.high / 64U; ++word)
      for (uint64_t rest = words[word] & bits_within(word, range); rest != 0; rest &= rest - 1)
        visit(net::Port{static_cast<uint16_t>(word * 64 + static_cast<uint32_t>(std::countr_zero(rest)))});
  }
  [[nodiscard]] uint32_t ports_used(uint32_t block) const { return blocks_[block].used; }

 private:
  static constexpr uint32_t words_per_row = 65536 / 64;
  using Ports = std::array<uint64_t, words_per_row>;
  struct Block {
    uint32_t owner;
    uint32_t used;                                 // ports leased, all protocols
    std::array<uint16_t, protocol_rows> row_used;  // leased
    uint16_t claimed;                              // 0 or 1
    uint32_t last_lease_s;
  };
  struct Address {
    uint32_t free = 0;   // blocks
    uint32_t place = 0;  // in with_free_, if it is there
    bool listed = false, offered = false;
  };
  // The bits of one word that are ports of the range.
  static uint64_t bits_within(uint32_t word, const PortRange& range) {
    const uint32_t first = word * 64, last = first + 63;
    uint64_t mask = ~uint64_t{0};
    if (range.low > first) mask &= ~uint64_t{0} << (range.low - first);
    if (range.high < last) mask &= ~uint64_t{0} >> (last - range.high);
    return mask;
  }
  uint64_t* bits(uint32_t local_address, uint32_t row) const {
    return bits_.data() + (size_t{local_address} * protocol_rows + row) * words_per_row;
  }
  [[nodiscard]] uint16_t reserved_of(uint32_t block, uint32_t row) const {
    return reserved_in_[per_address_.remainder(block)][row];
  }
  void mark(uint32_t block, uint32_t row, net::Port port);
  void list(uint32_t local_address);
  void count_free(uint32_t block, bool is_free);

  PortLayout layout_;
  Divisor per_address_;  // blocks
  std::vector<Address> addresses_;
  ZeroPages<Block> blocks_;
  ZeroPages<uint64_t> bits_;                                      // [address][row][port], 1 = taken
  std::array<Ports, protocol_rows> reserved_{};                   // of every address
  std::vector<std::array<uint16_t, protocol_rows>> reserved_in_;  // how many, by block of an address
  std::vector<uint32_t> with_free_;  // addresses offered that have free blocks, in no order
  Counter total_, free_;
  Random random_;
};

}  // namespace portolan::nat
