// A device of several queues deals packets as nat/spread.h does, so that they come to their owners: plain hashing of
// layer 3 under that spread's key, whose zeros leave out the address that must not count, and a table from slots to
// queues. Not the hash types that name one address only (RTE_ETH_RSS_L3_SRC_ONLY): where in the hashed octets it then
// stands differs from NIC to NIC.
#include <algorithm>
#include <array>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <vector>

#include "dataplane/io/port.h"

namespace portolan::io {

namespace {

using pipeline::Side;

constexpr uint64_t ipv6_types = RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_FRAG_IPV6 | RTE_ETH_RSS_NONFRAG_IPV6_OTHER;
constexpr uint64_t ipv4_types = RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_FRAG_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_OTHER;

bool has(const std::vector<Side>& sides, Side side) { return std::ranges::find(sides, side) != sides.end(); }

rte_eth_dev_info info_of(uint16_t port) {
  rte_eth_dev_info info{};
  rte_eth_dev_info_get(port, &info);
  return info;
}

// Devices that say nothing take the usual one.
size_t key_bytes_of(const rte_eth_dev_info& info) {
  return info.hash_key_size == 0 ? nat::Spread::key_bytes : info.hash_key_size;
}

// A key longer than the spread's is filled up with zeros, which no octet of layer 3 reaches.
std::vector<uint8_t> key_for(const nat::Spread& spread, const std::vector<Side>& sides, size_t bytes) {
  const bool plain_only = std::ranges::all_of(sides, [](Side side) { return side == Side::inside; });
  const nat::Spread::Key key = plain_only ? spread.source_key() : spread.key();
  std::vector<uint8_t> out(key.begin(), key.end());
  out.resize(bytes);
  return out;
}

}  // namespace

uint64_t Port::hash_types() const {
  uint64_t types = RTE_ETH_RSS_LEVEL_OUTERMOST;
  if (has(plan_.sides, Side::access)) types |= ipv6_types;
  if (has(plan_.sides, Side::internet) || has(plan_.sides, Side::inside)) types |= ipv4_types;
  return types & info_of(id_).flow_type_rss_offloads;
}

// Why the device cannot deal packets to their owners, as far as it says of itself; empty: it can.
std::string Port::find_spread_obstacle() const {
  const auto info = info_of(id_);
  if ((hash_types() & (ipv4_types | ipv6_types)) == 0) return "does not hash addresses";
  if (key_bytes_of(info) < nat::Spread::key_bytes)
    return "takes hash keys of " + std::to_string(key_bytes_of(info)) + " octets only, " +
           std::to_string(nat::Spread::key_bytes) + " are needed";
  if (info.reta_size == 0) return "has no table from hashes to queues";
  if (info.reta_size % nat::Spread::slots_count != 0)
    return "has a table of " + std::to_string(info.reta_size) + " slots, a multiple of " +
           std::to_string(nat::Spread::slots_count) + " is needed";
  return {};
}

std::string Port::program(const nat::Spread& spread, const std::vector<uint16_t>& queue_of_worker) const {
  const auto failed = [](const char* what, int status) {
    return std::string("refuses ") + what + " (" + rte_strerror(-status) + ")";
  };
  const auto info = info_of(id_);
  auto key = key_for(spread, plan_.sides, key_bytes_of(info));
  rte_eth_rss_conf conf{};
  conf.rss_key = key.data();
  conf.rss_key_len = static_cast<uint8_t>(key.size());
  conf.rss_hf = hash_types();
  if (const int status = rte_eth_dev_rss_hash_update(id_, &conf); status != 0) return failed("the hash key", status);
  std::vector<rte_eth_rss_reta_entry64> table(info.reta_size / size_t{RTE_ETH_RETA_GROUP_SIZE});
  for (unsigned at = 0; at < info.reta_size; ++at) {
    auto& group = table[at / RTE_ETH_RETA_GROUP_SIZE];
    group.mask |= uint64_t{1} << at % RTE_ETH_RETA_GROUP_SIZE;
    group.reta[at % RTE_ETH_RETA_GROUP_SIZE] = queue_of_worker[spread.worker_of_slot(at % nat::Spread::slots_count)];
  }
  if (const int status = rte_eth_dev_rss_reta_update(id_, table.data(), info.reta_size); status != 0)
    return failed("the table from hashes to queues", status);
  return {};
}

void Port::spread(const nat::Spread& spread, const std::vector<uint16_t>& queue_of_worker) {
  if (receive_queues_ == 1) return;
  spread_obstacle_ = find_spread_obstacle();
  if (spread_obstacle_.empty()) spread_obstacle_ = program(spread, queue_of_worker);
}

bool Port::spreads() const { return receive_queues_ > 1 && find_spread_obstacle().empty(); }

std::string Port::spread_text() const {
  if (receive_queues_ == 1) return "one queue";
  if (!spread_obstacle_.empty()) return spread_obstacle_;
  const bool both_ways = has(plan_.sides, Side::inside) && plan_.sides.size() > 1;
  return both_ways ? "to owners, but for NAT44's subscribers: another side has the key" : "to owners";
}

}  // namespace portolan::io
