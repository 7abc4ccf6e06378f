// What the records of a shard mean to people: a mapping's life and state, a subscriber's address and the ports of his
// blocks. Pure.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

#include "dataplane/nat/shard.h"

namespace portolan::control {

inline std::string life_text(const nat::Mapping& mapping) {
  using nat::Mapping;
  if (mapping.has(Mapping::held)) return "held";
  if (mapping.is_static()) return "static";
  if (!mapping.has(Mapping::explicit_life)) return "implicit";
  return mapping.has(Mapping::implicit_life) ? "explicit+traffic" : "explicit";
}

inline std::string_view state_text(const nat::Mapping& mapping) {
  constexpr std::string_view texts[] = {"-",          "opening",    "opening",  "established",
                                        "fin-inside", "fin-remote", "finished", "reset"};
  return mapping.protocol == net::Protocol::tcp ? texts[static_cast<size_t>(mapping.tcp_state)] : "-";
}

// The numbers of a subscriber's blocks; none beyond the array, however he was read.
inline std::span<const uint32_t> blocks_of(const nat::Subscriber& subscriber) {
  return std::span(subscriber.blocks).first(std::min(subscriber.block_count, nat::Subscriber::blocks_capacity));
}

inline net::Ipv4 outside_address(const nat::Shard& shard, const nat::Subscriber& subscriber) {
  const nat::Pool& pool = shard.policy().pool;
  return pool.address_of(pool.number_of_local(shard.settings().worker, subscriber.local_address));
}

// The address a block is of: another than the one above while that one drains.
inline net::Ipv4 address_of_block(const nat::Shard& shard, uint32_t block) {
  const nat::Pool& pool = shard.policy().pool;
  return pool.address_of(pool.number_of_local(shard.settings().worker, block / pool.layout().blocks()));
}

// Of one of his blocks, by the number the record gives it.
inline nat::PortRange ports_of_block(const nat::Shard& shard, uint32_t block) {
  const nat::PortLayout& layout = shard.policy().pool.layout();
  return layout.ports_of(block % layout.blocks());
}

}  // namespace portolan::control
