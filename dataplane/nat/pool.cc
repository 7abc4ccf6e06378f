#include "dataplane/nat/pool.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace portolan::nat {

Pool::Pool(std::vector<net::Ipv4Prefix> prefixes, PortRange ports, uint16_t block_ports, unsigned workers)
    : prefixes_(std::move(prefixes)), ports_(ports), block_ports_(block_ports), workers_(workers) {
  // Numbered in the order given, so that a prefix added at the end moves no address to another worker.
  std::vector<uint32_t> firsts;
  for (const auto& prefix : prefixes_) {
    firsts.push_back(address_count_);
    address_count_ += static_cast<uint32_t>(net::size(prefix));
  }
  std::vector<size_t> order(prefixes_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [this](size_t at) { return prefixes_[at].address; });
  std::vector<net::Ipv4Prefix> sorted;
  for (const size_t at : order) sorted.push_back(prefixes_[at]), first_numbers_.push_back(firsts[at]);
  prefixes_ = std::move(sorted);
  shared_ = address_count_ < workers_;
  const uint32_t blocks = ports_.count() / block_ports_;
  slice_ports_ = std::max<uint32_t>(1, blocks / workers_) * block_ports_;
}

std::optional<uint32_t> Pool::number_of(net::Ipv4 address) const {
  const auto after = std::ranges::upper_bound(prefixes_, address, {}, &net::Ipv4Prefix::address);
  if (after == prefixes_.begin() || !contains(*(after - 1), address)) return std::nullopt;
  const auto at = static_cast<size_t>(after - prefixes_.begin()) - 1;
  return first_numbers_[at] + (uint32_t{address.bits} - uint32_t{prefixes_[at].address.bits});
}

net::Ipv4 Pool::address_of(uint32_t number) const {
  size_t at = 0;  // few prefixes; new mappings only
  while (number - first_numbers_[at] >= net::size(prefixes_[at])) ++at;
  return {uint32_t{prefixes_[at].address.bits} + (number - first_numbers_[at])};
}

uint32_t Pool::local_count(unsigned worker) const {
  if (shared_) return address_count_;
  return address_count_ / workers_ + (worker < address_count_ % workers_ ? 1 : 0);
}

PortRange Pool::local_ports(unsigned worker) const {
  const uint32_t blocks = ports_.count() / block_ports_;
  if (!shared_) return {ports_.low, static_cast<uint16_t>(ports_.low + blocks * block_ports_ - 1)};
  const uint32_t slice_blocks = slice_ports_ / block_ports_;
  const uint32_t first = std::min(worker * slice_blocks, blocks);  // more workers than blocks: some own none
  const uint32_t count = worker + 1 == workers_ ? blocks - first : std::min(slice_blocks, blocks - first);
  if (count == 0) return {ports_.low, static_cast<uint16_t>(ports_.low - 1)};
  const uint32_t low = ports_.low + first * block_ports_;
  return {static_cast<uint16_t>(low), static_cast<uint16_t>(low + count * block_ports_ - 1)};
}

unsigned owner_of_subscriber(const net::Ipv6& prefix, unsigned workers) {
  if (workers == 1) return 0;
  const auto words = std::bit_cast<std::array<uint64_t, 2>>(prefix.bytes);
  uint64_t mix = words[0] ^ (words[1] * 0x9e3779b97f4a7c15U);  // splitmix64's finalizer
  mix = (mix ^ (mix >> 30)) * 0xbf58476d1ce4e5b9U;
  mix = (mix ^ (mix >> 27)) * 0x94d049bb133111ebU;
  return static_cast<unsigned>((mix ^ (mix >> 31)) % workers);
}

}  // namespace portolan::nat
