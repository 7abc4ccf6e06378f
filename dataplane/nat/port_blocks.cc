#include "dataplane/nat/port_blocks.h"

#include <algorithm>
#include <bit>

namespace portolan::nat {

namespace {

constexpr uint32_t udp_row = *protocol_row(net::Protocol::udp);

// The number of the `nth` bit that is set, from 0 and from the lowest; there are more than `nth`. By halves: which one
// it is nobody can foresee, so steps without a branch are quicker than going from bit to bit.
uint32_t number_of_bit(uint64_t bits, uint32_t nth) {
  uint32_t number = 0;
  for (uint32_t half = 32; half > 0; half /= 2) {
    const auto below = static_cast<uint32_t>(std::popcount(bits & ((uint64_t{1} << half) - 1)));
    const bool above = nth >= below;
    nth -= above ? below : 0;
    bits >>= above ? half : 0;
    number += above ? half : 0;
  }
  return number;
}

}  // namespace

PortBlocks::PortBlocks(uint32_t addresses_max, const PortLayout& layout, std::span<const PortRange> reserved,
                       uint64_t seed)
    : layout_(layout),
      per_address_(std::max(layout.blocks(), 1U)),
      addresses_(layout.blocks() == 0 ? 0 : addresses_max),
      blocks_(size_t{addresses_max} * layout.blocks()),
      bits_(size_t{addresses_max} * protocol_rows * words_per_row),
      reserved_in_(layout.blocks()),
      random_(seed) {
  with_free_.reserve(addresses_max);
  const auto reserve = [this](uint32_t row, uint32_t port) {
    const net::Port reserved_port{static_cast<uint16_t>(port)};
    if (is_reserved(row, reserved_port)) return;
    reserved_[row][port / 64] |= uint64_t{1} << (port % 64);
    if (const uint32_t block = layout_.block_of(reserved_port); block != no_block) ++reserved_in_[block][row];
  };
  for (const uint32_t port : {5350U, 5351U}) reserve(udp_row, port);
  for (const PortRange& range : reserved)
    for (uint32_t port = range.low; port <= range.high; ++port)
      for (uint32_t row = 0; row < protocol_rows; ++row) reserve(row, port);
}

void PortBlocks::offer(uint32_t local_address, bool offered) {
  if (local_address >= addresses_.size()) return;
  addresses_[local_address].offered = offered;
  list(local_address);
}

// Keeps with_free_ true for an address that changed.
void PortBlocks::list(uint32_t local_address) {
  Address& address = addresses_[local_address];
  const bool wanted = address.offered && address.free > 0;
  if (wanted == address.listed) return;
  address.listed = wanted;
  if (wanted) {
    address.place = static_cast<uint32_t>(with_free_.size());
    with_free_.push_back(local_address);  // its capacity is the number of addresses: no allocation
    return;
  }
  const uint32_t last = with_free_.back();  // swap out
  with_free_[address.place] = last;
  addresses_[last].place = address.place;
  with_free_.pop_back();
}

uint32_t PortBlocks::block_of(uint32_t local_address, net::Port port) const {
  const uint32_t block = layout_.block_of(port);
  return block == no_block || local_address >= addresses_.size() ? no_block : local_address * layout_.blocks() + block;
}

std::optional<uint32_t> PortBlocks::choose_address() {
  if (with_free_.empty()) return std::nullopt;
  const auto count = static_cast<uint32_t>(with_free_.size());
  const uint32_t one = with_free_[random_.below(count)], other = with_free_[random_.below(count)];
  return addresses_[one].free >= addresses_[other].free ? one : other;
}

uint32_t PortBlocks::take_block(uint32_t local_address, uint32_t owner) {
  if (addresses_[local_address].free == 0) return no_block;
  const uint32_t blocks = layout_.blocks() - layout_.fixed;
  const uint32_t first = local_address * layout_.blocks() + layout_.fixed;
  const uint32_t start = random_.below(blocks);  // unpredictable (RFC 7768 §5)
  for (uint32_t i = 0; i < blocks; ++i) {
    const uint32_t offset = start + i < blocks ? start + i : start + i - blocks;
    if (!is_claimed(first + offset) && take_this_block(first + offset, owner)) return first + offset;
  }
  return no_block;
}

bool PortBlocks::take_this_block(uint32_t block, uint32_t owner) {
  if (blocks_[block].owner != no_owner) return false;
  blocks_[block].owner = owner;
  if (!is_claimed(block)) count_free(block, false);
  return true;
}

void PortBlocks::release_block(uint32_t block) {
  blocks_[block].owner = no_owner;
  if (!is_claimed(block)) count_free(block, true);
}

void PortBlocks::claim(uint32_t block, bool claimed) {
  if (is_claimed(block) == claimed) return;
  blocks_[block].claimed = claimed ? 1 : 0;
  if (blocks_[block].owner == no_owner) count_free(block, !claimed);
}

// The block became free, or is free no more.
void PortBlocks::count_free(uint32_t block, bool is_free) {
  if (is_fixed(block)) return;
  uint32_t& free = addresses_[local_address_of(block)].free;
  is_free ? ++free : --free;
  free_.set(free_.read() + (is_free ? 1 : uint64_t(-1)));
  list(local_address_of(block));
}

void PortBlocks::mark(uint32_t block, uint32_t row, net::Port port) {
  bits(local_address_of(block), row)[port.number / 64U] |= uint64_t{1} << (port.number % 64U);
  ++blocks_[block].row_used[row];
  ++blocks_[block].used;
}

std::optional<net::Port> PortBlocks::take_port(uint32_t block, uint32_t row, uint32_t now_s) {
  if (!has_free_port(block, row)) return std::nullopt;
  // The k-th free port for a random k: uniform over the free ones at any fill (RFC 6056 §3.3).
  uint32_t skip = random_.below(ports_of(block).count() - blocks_[block].row_used[row] - reserved_of(block, row));
  const PortRange range = ports_of(block);
  const uint64_t* words = bits(local_address_of(block), row);
  for (uint32_t word = range.low / 64U; word <= range.high / 64U; ++word) {
    const uint64_t free_bits = ~(words[word] | reserved_[row][word]) & bits_within(word, range);
    const auto here = static_cast<uint32_t>(std::popcount(free_bits));
    if (skip >= here) {
      skip -= here;
      continue;
    }
    const net::Port port{static_cast<uint16_t>(word * 64 + number_of_bit(free_bits, skip))};
    mark(block, row, port);
    blocks_[block].last_lease_s = now_s;
    return port;
  }
  return std::nullopt;
}

bool PortBlocks::take_this_port(uint32_t block, uint32_t row, net::Port port) {
  if (is_reserved(row, port) || taken(local_address_of(block), row, port)) return false;
  mark(block, row, port);
  return true;
}

void PortBlocks::release_port(uint32_t block, uint32_t row, net::Port port) {
  bits(local_address_of(block), row)[port.number / 64U] &= ~(uint64_t{1} << (port.number % 64U));
  --blocks_[block].row_used[row];
  --blocks_[block].used;
}

}  // namespace portolan::nat
