#include "dataplane/nat/port_blocks.h"

#include <bit>

namespace portolan::nat {

PortBlocks::PortBlocks(uint32_t addresses, PortRange ports, uint16_t block_ports)
    : addresses_(addresses),
      ports_(ports),
      block_ports_(block_ports),
      words_per_row_(block_ports / 64U),
      blocks_per_address_(ports.count() / block_ports),
      blocks_(size_t{addresses} * blocks_per_address_),
      bits_(size_t{addresses} * blocks_per_address_ * protocol_rows * words_per_row_),
      free_of_address_(addresses, blocks_per_address_) {
  place_.resize(addresses);
  with_free_.reserve(addresses);
  for (uint32_t i = 0; i < addresses && blocks_per_address_ > 0; ++i) with_free_.push_back(i), place_[i] = i;
  free_.set(total());
}

uint32_t PortBlocks::block_of(uint32_t local_address, net::Port port) const {
  const uint32_t number = port.number;
  if (number < ports_.low || local_address >= addresses_) return no_block;
  const uint32_t block = (number - ports_.low) / block_ports_;
  return block < blocks_per_address_ ? local_address * blocks_per_address_ + block : no_block;
}

std::optional<uint32_t> PortBlocks::choose_address() {
  if (with_free_.empty()) return std::nullopt;
  const auto count = static_cast<uint32_t>(with_free_.size());
  const uint32_t one = with_free_[random_.below(count)], other = with_free_[random_.below(count)];
  return free_of_address_[one] >= free_of_address_[other] ? one : other;
}

uint32_t PortBlocks::take_block(uint32_t local_address, uint32_t owner) {
  if (free_of_address_[local_address] == 0) return no_block;
  const uint32_t first = local_address * blocks_per_address_;
  const uint32_t start = random_.below(blocks_per_address_);  // unpredictable (RFC 7768 §5)
  for (uint32_t i = 0; i < blocks_per_address_; ++i) {
    const uint32_t offset = start + i < blocks_per_address_ ? start + i : start + i - blocks_per_address_;
    if (take_this_block(first + offset, owner)) return first + offset;
  }
  return no_block;
}

template <class Apply>
void PortBlocks::for_reserved(uint32_t block, Apply apply) {
  for (const uint16_t port : {uint16_t{5350}, uint16_t{5351}})
    if (port >= first_port(block) && port < first_port(block) + block_ports_)
      apply(1, static_cast<uint32_t>(port - first_port(block)));
}

bool PortBlocks::take_this_block(uint32_t block, uint32_t owner) {
  if (blocks_[block].owner != no_owner) return false;
  blocks_[block].owner = owner;
  for_reserved(block, [&](uint32_t row, uint32_t offset) { mark(block, row, offset); });
  address_lost_block(local_address_of(block));
  return true;
}

void PortBlocks::release_block(uint32_t block) {
  blocks_[block].owner = no_owner;
  for_reserved(block, [&](uint32_t row, uint32_t offset) { unmark(block, row, offset); });
  address_got_block(local_address_of(block));
}

void PortBlocks::address_lost_block(uint32_t local_address) {
  free_.set(free_.read() - 1);
  if (--free_of_address_[local_address] > 0) return;
  const uint32_t last = with_free_.back();  // swap out
  with_free_[place_[local_address]] = last;
  place_[last] = place_[local_address];
  with_free_.pop_back();
}

void PortBlocks::address_got_block(uint32_t local_address) {
  free_.add();
  if (free_of_address_[local_address]++ > 0) return;
  place_[local_address] = static_cast<uint32_t>(with_free_.size());
  with_free_.push_back(local_address);  // its capacity is the number of addresses: no allocation
}

void PortBlocks::mark(uint32_t block, uint32_t row, uint32_t offset) {
  bits(block, row)[offset / 64] |= uint64_t{1} << (offset % 64);
  ++blocks_[block].row_used[row];
}

void PortBlocks::unmark(uint32_t block, uint32_t row, uint32_t offset) {
  bits(block, row)[offset / 64] &= ~(uint64_t{1} << (offset % 64));
  --blocks_[block].row_used[row];
}

std::optional<net::Port> PortBlocks::take_port(uint32_t block, uint32_t row) {
  if (blocks_[block].row_used[row] == block_ports_) return std::nullopt;
  // The k-th free port for a random k: uniform over the free ones at any fill (RFC 6056 §3.3).
  uint32_t skip = random_.below(uint32_t{block_ports_} - blocks_[block].row_used[row]);
  const uint64_t* words = bits(block, row);
  for (uint32_t word = 0; word < words_per_row_; ++word) {
    uint64_t free_bits = ~words[word];
    const auto here = static_cast<uint32_t>(std::popcount(free_bits));
    if (skip >= here) {
      skip -= here;
      continue;
    }
    while (skip-- > 0) free_bits &= free_bits - 1;
    const uint32_t offset = word * 64 + static_cast<uint32_t>(std::countr_zero(free_bits));
    mark(block, row, offset);
    ++blocks_[block].used;
    return net::Port{static_cast<uint16_t>(first_port(block) + offset)};
  }
  return std::nullopt;
}

bool PortBlocks::taken(uint32_t block, uint32_t row, net::Port port) const {
  const auto offset = static_cast<uint32_t>(port.number - first_port(block));
  return (bits(block, row)[offset / 64] >> (offset % 64) & 1) != 0;
}

bool PortBlocks::take_this_port(uint32_t block, uint32_t row, net::Port port) {
  if (taken(block, row, port)) return false;
  mark(block, row, static_cast<uint32_t>(port.number - first_port(block)));
  ++blocks_[block].used;
  return true;
}

void PortBlocks::release_port(uint32_t block, uint32_t row, net::Port port) {
  unmark(block, row, static_cast<uint32_t>(port.number - first_port(block)));
  --blocks_[block].used;
}

}  // namespace portolan::nat
