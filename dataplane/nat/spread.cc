#include "dataplane/nat/spread.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <vector>

namespace portolan::nat {

namespace {

// Input bit i of a Toeplitz hash contributes key bits i..i+31; a slot is the hash's last seven, so key bits i+25..i+31.
constexpr unsigned window_begin = 25, window_bits = 7;
// An IPv4 source is input bits 0-31: with key bits 0-62 zero it contributes nothing. An IPv6 destination is input bits
// 128-255: with key bits from 153 on zero, neither does that. What is between may be chosen.
constexpr unsigned first_bit = 63, last_bit_max = 152;
constexpr unsigned octets_bit =
    88;  // up to here for the last octet of an IPv4 destination, or source, to count in full
constexpr unsigned ipv4_destination_bit = 32;
constexpr uint64_t seeds_max = 64;

bool bit_of(const Spread::Key& key, unsigned bit) { return (key[bit / 8] >> (7 - bit % 8) & 1) != 0; }

uint64_t mixed(uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

unsigned reversed(unsigned slot) {
  unsigned out = 0;
  for (unsigned bit = 0; bit < window_bits; ++bit) out |= (slot >> bit & 1) << (window_bits - 1 - bit);
  return out;
}

}  // namespace

Spread::Spread(std::span<const net::Ipv4> pool, unsigned workers, unsigned subscriber_prefix_length) {
  // Bits of a B4 address behind the subscriber's prefix must not count, or a B4 could not move within it. At least bit
  // 88, so that an IPv4 destination's last octet counts in full.
  const unsigned bit_last = std::min(last_bit_max, std::max(octets_bit, subscriber_prefix_length + 24));
  for (uint64_t seed = 0; seed < (pool.size() < workers ? 1 : seeds_max); ++seed) {
    make_key(seed, bit_last);
    deal_slots(pool, workers);
    if (covers_all_) return;
  }
}

void Spread::make_key(uint64_t seed, unsigned bit_last) {
  key_ = {};
  for (unsigned bit = first_bit; bit <= bit_last; ++bit)
    if (bit == bit_last || (mixed(seed << 8 | bit) & 1) != 0)
      key_[bit / 8] = static_cast<uint8_t>(key_[bit / 8] | 0x80 >> bit % 8);
  const auto fill = [this](auto& tables, unsigned begin) {
    for (unsigned octet = 0; octet < tables.size(); ++octet)
      for (unsigned value = 1; value < 256; ++value) {  // one bit more than a value before
        const unsigned bit = 7 - static_cast<unsigned>(std::countr_zero(value));
        tables[octet][value] =
            static_cast<uint8_t>(tables[octet][value & (value - 1)] ^ window(begin + octet * 8 + bit));
      }
  };
  fill(ipv4_, ipv4_destination_bit);
  fill(ipv6_, 0);
}

unsigned Spread::window(unsigned bit) const {
  unsigned slot = 0;
  for (unsigned i = 0; i < window_bits; ++i) slot = slot << 1 | (bit_of(key_, bit + window_begin + i) ? 1U : 0U);
  return slot;
}

// By the slot's bits in reverse, which changes the worker from one address to the next; where that leaves a worker with
// much less than its share, slots are dealt one by one, the fullest first.
void Spread::deal_slots(std::span<const net::Ipv4> pool, unsigned workers) {
  std::array<uint32_t, slots_count> addresses{};
  for (const net::Ipv4 address : pool) ++addresses[slot_of(address)];
  std::vector<uint32_t> load(workers), slots(workers);
  for (unsigned slot = 0; slot < slots_count; ++slot) {
    workers_of_slots_[slot] = static_cast<uint8_t>(reversed(slot) % workers);
    load[workers_of_slots_[slot]] += addresses[slot];
  }
  const auto share = static_cast<uint32_t>(pool.size() / workers);
  if (std::ranges::all_of(load, [share](uint32_t each) { return each > 0 && each >= share / 2; })) {
    covers_all_ = true;
    return;
  }
  std::array<unsigned, slots_count> order;
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::stable_sort(order, std::greater{}, [&](unsigned slot) { return addresses[slot]; });
  std::ranges::fill(load, 0U);
  for (const unsigned slot : order) {
    // A slot without an address is only subscribers, who count by slots.
    const auto burden = [&](unsigned worker) {
      return std::pair(addresses[slot] > 0 ? load[worker] : 0, slots[worker]);
    };
    unsigned best = 0;
    for (unsigned worker = 1; worker < workers; ++worker)
      if (burden(worker) < burden(best)) best = worker;
    workers_of_slots_[slot] = static_cast<uint8_t>(best);
    load[best] += addresses[slot];
    ++slots[best];
  }
  covers_all_ = std::ranges::all_of(load, [](uint32_t each) { return each > 0; });
}

unsigned Spread::slot_of(net::Ipv4 address) const {
  const uint32_t a = address.bits;
  return ipv4_[0][a >> 24] ^ ipv4_[1][a >> 16 & 0xff] ^ ipv4_[2][a >> 8 & 0xff] ^ ipv4_[3][a & 0xff];
}

unsigned Spread::slot_of(const net::Ipv6& address) const {
  if (net::is_mapped(address)) return slot_of(net::unmapped(address));
  unsigned slot = 0;
  for (unsigned octet = 4; octet < 16; ++octet) slot ^= ipv6_[octet][address.bytes[octet]];
  return slot;
}

Spread::Key Spread::source_key() const {
  Key key{};
  for (unsigned bit = first_bit; bit <= octets_bit; ++bit)
    if (bit_of(key_, bit)) key[(bit - 32) / 8] = static_cast<uint8_t>(key[(bit - 32) / 8] | 0x80 >> (bit - 32) % 8);
  return key;
}

}  // namespace portolan::nat
