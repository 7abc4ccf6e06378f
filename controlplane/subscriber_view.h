// What a subscriber's record in a shard means outside it: his address and the ports of his blocks. Pure.
#pragma once

#include "dataplane/nat/shard.h"

namespace portolan::control {

inline net::Ipv4 outside_address(const nat::Shard& shard, const nat::Subscriber& subscriber) {
  const nat::Pool& pool = shard.policy().pool;
  return pool.address_of(pool.number_of_local(shard.settings().worker, subscriber.local_address));
}

// Of one of his blocks, by the number the record gives it.
inline nat::PortRange ports_of_block(const nat::Shard& shard, uint32_t block) {
  const nat::Pool& pool = shard.policy().pool;
  const nat::PortRange ports = pool.local_ports(shard.settings().worker);
  const uint32_t per_address = ports.count() / pool.block_ports();
  const uint32_t first = ports.low + block % per_address * pool.block_ports();
  return {static_cast<uint16_t>(first), static_cast<uint16_t>(first + pool.block_ports() - 1)};
}

}  // namespace portolan::control
