// The mappings that the configuration names (static_mapping.h). What is in use is never taken from anybody: one whose
// port or block is not to be had yet waits, is told of once, and is made as soon as it can be; meanwhile its block is
// kept from everybody else.
#include "dataplane/nat/shard.h"

namespace portolan::nat {

namespace {

constexpr net::Endpoint none{};

}  // namespace

std::optional<PortBlocks::Lease> Shard::lease_of(const StaticMapping& row) const {
  Mapping at;
  at.outside_address = row.outside.address;
  at.outside_port = row.outside.port;
  return lease_of(at);
}

// Blocks of rows are given to nobody but their subscribers.
void Shard::claim_blocks(const Policy& policy, bool claimed) {
  for (const StaticMapping& row : policy.statics.rows()) {
    const auto lease = lease_of(row);
    if (!lease || policy.pool.owner_of(row.key.subscriber) != settings_.worker) continue;
    const uint32_t block = blocks_.block_of(lease->local_address, lease->port);
    if (block != PortBlocks::no_block) blocks_.claim(block, claimed);
  }
}

// A pass over the rows, after a change and then once a second while some wait.
uint32_t Shard::settle_statics(uint32_t now_s, uint32_t budget) {
  now_s_ = now_s;
  const auto& rows = policy().statics.rows();
  if (statics_.at == rows.size()) {
    if (counters_.statics_waiting.read() == 0 || statics_.ended_s == now_s) return 0;
    statics_.at = statics_.waiting = 0;
    statics_.first_pass = false;
  }
  uint32_t looked_at = 0;
  for (; looked_at < budget && statics_.at < rows.size(); ++looked_at, ++statics_.at) {
    const StaticMapping& row = rows[statics_.at];
    if (policy().pool.owner_of(row.key.subscriber) != settings_.worker) continue;
    const MappingIndex known = find(row.key, hash_(row.key));
    if (known != null_mapping && slab_[known].is_static() && slab_[known].outside() == row.outside) continue;
    const StaticObstacle obstacle = settle(row, known, now_s);
    if (obstacle != StaticObstacle::none) ++statics_.waiting;
    if (statics_.first_pass == (obstacle != StaticObstacle::none)) tell_of_static(row, obstacle);
  }
  if (statics_.at == rows.size()) counters_.statics_waiting.set(statics_.waiting), statics_.ended_s = now_s;
  return looked_at;
}

// `known`: the live mapping of its inside endpoint, if any. With another outside endpoint it ends: packets of one
// inside endpoint leave from one outside endpoint only.
StaticObstacle Shard::settle(const StaticMapping& row, MappingIndex known, uint32_t now_s) {
  const auto lease = lease_of(row);
  const auto protocol = protocol_row(row.key.protocol);
  if (!lease || !protocol || !policy().pool.number_of(row.outside.address)) return StaticObstacle::another_worker;
  if (known != null_mapping && slab_[known].outside() == row.outside) {
    forget_list(known);
    set_life(known, Mapping::explicit_life, 0, Mapping::never_s);
    relink(known);
    pair(slab_[known].subscriber, lease->local_address);
    return StaticObstacle::none;
  }
  if (const MappingIndex there = inbound_slot(lease->local_address, *protocol, lease->port); there != null_mapping) {
    if (is_live(there)) return StaticObstacle::port_in_use;
    if (subscribers_[slab_[there].subscriber].prefix != row.key.subscriber) return StaticObstacle::port_rests;
    if (key_of(slab_[there]) != row.key) {
      forget_held(there);  // he is the one its rest would protect others from
      return make_static(row, *lease, *protocol, known, now_s);
    }
    if (known != null_mapping) end(known, now_s);
    const Subscriber& subscriber = subscribers_[slab_[there].subscriber];
    Wanted wanted;
    wanted.b4 = subscriber.b4 != net::Ipv6{} ? subscriber.b4 : slab_[there].b4;  // NAT44 has none
    wanted.softwire = slab_[there].softwire;
    wanted.life = Mapping::explicit_life;
    wanted.expiry_s = Mapping::never_s;
    if (!revive(there, wanted, now_s)) return StaticObstacle::no_room;
    pair(slab_[there].subscriber, lease->local_address);
    return StaticObstacle::none;
  }
  return make_static(row, *lease, *protocol, known, now_s);
}

StaticObstacle Shard::make_static(const StaticMapping& row, const PortBlocks::Lease& lease, uint32_t protocol,
                                  MappingIndex known, uint32_t now_s) {
  const uint32_t block = blocks_.block_of(lease.local_address, lease.port);
  uint32_t subscriber = subscribers_.find(row.key.subscriber);
  const uint32_t owner = blocks_.owner(block);
  if (owner != PortBlocks::no_owner && (subscriber == 0 || owner != subscriber))
    return StaticObstacle::block_of_another;
  if (owner == PortBlocks::no_owner && subscriber != 0 &&
      subscribers_[subscriber].block_count == Subscriber::blocks_capacity)
    return StaticObstacle::blocks_spent;
  if (live_.read() >= settings_.mappings_max) return StaticObstacle::no_room;
  const MappingIndex index = slab_.take();
  if (index == null_mapping) return StaticObstacle::no_room;
  if (known != null_mapping) end(known, now_s);
  const uint32_t hash = hash_(row.key);
  if (subscriber == 0) subscriber = subscribers_.add(row.key.subscriber);
  if (subscriber == 0 || !outbound_.insert(hash, index)) {
    slab_.give_back(index);
    if (subscriber != 0) forget_if_idle(subscriber);
    return StaticObstacle::no_room;
  }
  if (owner == PortBlocks::no_owner && blocks_.take_this_block(block, subscriber)) give_block(subscriber, block);
  blocks_.take_this_port(block, protocol, lease.port);
  pair(subscriber, lease.local_address);
  enter_indexes(index, record_of(row, subscriber), lease.local_address);
  return StaticObstacle::none;
}

// The subscriber's outside address is his static mappings' from now on (RFC 6888 REQ-2), unless it drains.
void Shard::pair(uint32_t index, uint32_t local_address) {
  const Subscriber& subscriber = subscribers_[index];
  if (subscriber.local_address == local_address) return;
  if (subscriber.mappings == 0 || blocks_.is_offered(local_address))
    subscribers_.set(index, &Subscriber::local_address, local_address);
}

// The record; and the row says where its subscriber is, if nothing else has.
Mapping Shard::record_of(const StaticMapping& row, uint32_t index) {
  const bool plain = net::is_mapped(row.key.subscriber);
  Subscriber subscriber = subscribers_[index];
  if (!plain && subscriber.b4 == net::Ipv6{}) {
    subscriber.b4 = row.b4;
    subscribers_.write(index, subscriber);
  }
  Mapping mapping;
  mapping.b4 = plain ? row.b4 : subscriber.b4 != net::Ipv6{} ? subscriber.b4 : row.key.subscriber;
  mapping.inside_address = row.key.inside_address;
  mapping.inside_port = row.key.inside_port;
  mapping.outside_address = row.outside.address;
  mapping.outside_port = row.outside.port;
  mapping.protocol = row.key.protocol;
  mapping.flags = static_cast<uint8_t>(Mapping::in_use | Mapping::explicit_life | (plain ? Mapping::plain : 0));
  mapping.last_seen_s = now_s_;
  mapping.expiry_s = Mapping::never_s;
  mapping.subscriber = index;
  return mapping;
}

// A record at rest is its own inside endpoint's again, without the remotes it had.
bool Shard::revive(MappingIndex index, const Wanted& wanted, uint32_t now_s) {
  Mapping mapping = slab_[index];
  if (!outbound_.insert(hash_(key_of(mapping)), index)) return false;
  mapping.b4 = wanted.b4;
  mapping.softwire = wanted.softwire;
  mapping.flags = static_cast<uint8_t>(Mapping::in_use | wanted.life | (mapping.flags & Mapping::plain));
  mapping.tcp_state = TcpState::none;
  mapping.first_remote = none;
  mapping.last_seen_s = now_s;
  mapping.expiry_s = wanted.expiry_s;
  slab_.write(index, mapping);
  relink(index);
  Subscriber subscriber = subscribers_[mapping.subscriber];
  ++subscriber.live;
  subscribers_.write(mapping.subscriber, subscriber);
  held_.set(held_.read() - 1);
  live_.add();
  return true;
}

// Ends a rest before its time.
void Shard::forget_held(MappingIndex index) {
  wheel_.unlink(index);
  release(slab_[index]);
  slab_.give_back(index);
  held_.set(held_.read() - 1);
}

bool Shard::is_static_no_more(const Mapping& mapping) const {
  return mapping.is_static() && !policy().statics.has(key_of(mapping), mapping.outside());
}

void Shard::tell_of_static(const StaticMapping& row, StaticObstacle obstacle) {
  Event event;
  event.kind = obstacle == StaticObstacle::none ? Event::Kind::static_made : Event::Kind::static_waits;
  event.fault = static_cast<uint16_t>(obstacle);
  event.protocol = row.key.protocol;
  event.time_s = now_s_;
  event.subscriber = row.key.subscriber;
  event.address = row.outside.address;
  event.first = event.last = row.outside.port;
  events_.put(event);
}

}  // namespace portolan::nat
