// The outside ports of a shard: each address cut into blocks of contiguous ports, each block held by one subscriber,
// each port in it free or taken per protocol. Freed blocks go back at once because a block only empties when the last
// of its ports has rested (the mapping record keeps its port through quarantine). Owner: the worker.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "dataplane/nat/counter.h"
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
  static constexpr uint32_t no_block = ~uint32_t{0};
  static constexpr uint32_t no_owner = 0;

  PortBlocks(uint32_t addresses, PortRange ports, uint16_t block_ports);

  [[nodiscard]] uint32_t total() const { return addresses_ * blocks_per_address_; }
  [[nodiscard]] uint32_t free() const { return static_cast<uint32_t>(free_.read()); }
  [[nodiscard]] uint16_t block_ports() const { return block_ports_; }
  [[nodiscard]] uint32_t local_address_of(uint32_t block) const { return block / blocks_per_address_; }
  [[nodiscard]] uint16_t first_port(uint32_t block) const {
    return static_cast<uint16_t>(ports_.low + (block % blocks_per_address_) * block_ports_);
  }
  // The block a port lies in; no_block if none of ours.
  [[nodiscard]] uint32_t block_of(uint32_t local_address, net::Port port) const;
  [[nodiscard]] uint32_t owner(uint32_t block) const { return blocks_[block].owner; }

  // An address with a free block, chosen among two at random for the one with more; none if all are full.
  [[nodiscard]] std::optional<uint32_t> choose_address();
  [[nodiscard]] bool has_free_block(uint32_t local_address) const { return free_of_address_[local_address] > 0; }
  // A random free block of the address, given to `owner` (non-zero); no_block if it has none.
  uint32_t take_block(uint32_t local_address, uint32_t owner);
  // This very block; false if somebody has it.
  bool take_this_block(uint32_t block, uint32_t owner);
  // Gives an empty block back.
  void release_block(uint32_t block);
  [[nodiscard]] bool empty(uint32_t block) const { return blocks_[block].used == 0; }

  // A random free port of the block for the protocol row; none if all are taken.
  std::optional<net::Port> take_port(uint32_t block, uint32_t row);
  // This very port of a held block; false if taken.
  bool take_this_port(uint32_t block, uint32_t row, net::Port port);
  void release_port(uint32_t block, uint32_t row, net::Port port);
  // PCP's own UDP ports, never leased: PCP must not map them (RFC 6887 §11.3), and an implicit mapping may become
  // PCP's.
  static bool is_reserved(uint32_t row, net::Port port) {
    return row == 1 && (port.number == 5350 || port.number == 5351);
  }
  [[nodiscard]] bool taken(uint32_t block, uint32_t row, net::Port port) const;
  [[nodiscard]] uint32_t ports_used(uint32_t block) const { return blocks_[block].used; }

 private:
  struct Block {
    uint32_t owner;
    uint32_t used;                                 // ports leased, all protocols
    std::array<uint16_t, protocol_rows> row_used;  // bits set in each row: leased and reserved
  };
  uint64_t* bits(uint32_t block, uint32_t row) const {
    return bits_.data() + (size_t{block} * protocol_rows + row) * words_per_row_;
  }
  void mark(uint32_t block, uint32_t row, uint32_t offset);
  void unmark(uint32_t block, uint32_t row, uint32_t offset);
  template <class Apply>
  void for_reserved(uint32_t block, Apply apply);
  void address_lost_block(uint32_t local_address);
  void address_got_block(uint32_t local_address);

  uint32_t addresses_;
  PortRange ports_;
  uint16_t block_ports_;
  uint32_t words_per_row_;
  uint32_t blocks_per_address_;
  ZeroPages<Block> blocks_;
  ZeroPages<uint64_t> bits_;               // [block][row][word], 1 = taken
  std::vector<uint32_t> free_of_address_;  // free blocks of each address
  std::vector<uint32_t> with_free_;        // addresses that have some, in no order …
  std::vector<uint32_t> place_;            // … and where each address stands in it
  Counter free_;
  Random random_;
};

}  // namespace portolan::nat
