#include "dataplane/nat/shard.h"

#include <algorithm>
#include <bit>

#include "dataplane/net/checksum.h"

namespace portolan::nat {

namespace {

std::array<uint64_t, 2> mask_words(unsigned length) {
  net::Ipv6 ones;
  ones.bytes.fill(0xff);
  return std::bit_cast<std::array<uint64_t, 2>>(net::masked(ones, length).bytes);
}

constexpr net::Endpoint none{};

bool is_quota(Verdict verdict) {
  return verdict == Verdict::over_quota || verdict == Verdict::mapping_limit || verdict == Verdict::mapping_rate ||
         verdict == Verdict::session_limit;
}

}  // namespace

net::Result<std::unique_ptr<Shard>, std::string> Shard::open(ShardSettings settings, uint32_t now_s) {
  // Ended mappings keep their records through quarantine, so a quarter is added for them.
  const auto capacity =
      static_cast<uint32_t>(std::min<uint64_t>(Slab::capacity_max, uint64_t{settings.mappings_max} * 5 / 4 + 1));
  auto slab = Slab::open(settings.slab_path, capacity);
  if (!slab) return tl::unexpected(slab.error());
  auto sessions = SessionSlab::open(settings.sessions_path, settings.sessions_max + 1);
  if (!sessions) return tl::unexpected(sessions.error());
  return std::unique_ptr<Shard>(new Shard(std::move(settings), std::move(*slab), std::move(*sessions), now_s));
}

Shard::Shard(ShardSettings settings, Slab slab, SessionSlab sessions, uint32_t now_s)
    : settings_(std::move(settings)),
      policy_(&settings_.policy),
      hash_(settings_.seed),
      slab_(std::move(slab)),
      sessions_(std::move(sessions), slab_.capacity(), hash_),
      filters_(std::min(settings_.filtered_max, settings_.mappings_max), hash_),
      subscribers_(settings_.subscribers_max, hash_),
      addresses_max_(std::max(
          settings_.addresses_max != 0 ? settings_.addresses_max : 2 * policy().pool.local_count(settings_.worker),
          policy().pool.local_count(settings_.worker))),
      blocks_(addresses_max_, policy().pool.layout(), settings_.reserved_ports, settings_.seed),
      outbound_(slab_.capacity()),
      inbound_((size_t{addresses_max_} * protocol_rows) << 16),
      wheel_(slab_, now_s),
      prefix_masks_{mask_words(prefix_length(false)), mask_words(prefix_length(true))},
      random_(settings_.seed) {
  outbound_.populate();
  // Where it is larger, most of it is for ports that mappings_max leaves free.
  if (inbound_.bytes() <= size_t{slab_.capacity()} * sizeof(Mapping)) inbound_.populate();
  adopt_addresses(policy().pool);
  claim_blocks(policy(), true);
  restore(now_s);
  settle_statics(now_s, ~uint32_t{0});  // before the first packet
  statics_ = {};                        // and once more, to tell of what waits
}

void Shard::use(const Policy& policy) {
  const Policy& before = this->policy();
  const bool same = policy.timeouts == before.timeouts && policy.pool.generation() == before.pool.generation() &&
                    policy.statics == before.statics;
  if (!same) claim_blocks(before, false);
  policy_.store(&policy, std::memory_order_release);
  if (same) return;
  adopt_addresses(policy.pool);
  claim_blocks(policy, true);
  sweep_at_ = 1;
  statics_ = {};
  counters_.statics_waiting.set(0);
}

// Addresses that are new get their blocks; which of them new subscribers may have is settled anew.
void Shard::adopt_addresses(const Pool& pool) {
  const uint32_t count = std::min(pool.local_count(settings_.worker), addresses_max_);
  for (; addresses_known_ < count; ++addresses_known_) {
    const uint32_t number = pool.number_of_local(settings_.worker, addresses_known_);
    blocks_.add_address(addresses_known_,
                        [&](uint32_t block) { return pool.owner_of_block(number, block) == settings_.worker; });
  }
  for (uint32_t local = 0; local < count; ++local)
    blocks_.offer(local, pool.state_of(pool.number_of_local(settings_.worker, local)) == Pool::State::active);
}

MappingIndex Shard::find(const OutboundKey& key, uint32_t hash) const {
  const auto subscriber = std::bit_cast<std::array<uint64_t, 2>>(key.subscriber.bytes);
  return outbound_.find(hash, [&](MappingIndex index) {
    const Mapping& mapping = slab_[index];
    const auto b4 = std::bit_cast<std::array<uint64_t, 2>>(mapping.b4.bytes);
    const auto& mask = prefix_masks_[mapping.has(Mapping::plain) ? 1 : 0];
    return ((b4[0] & mask[0]) ^ subscriber[0]) == 0 && ((b4[1] & mask[1]) ^ subscriber[1]) == 0 &&
           mapping.inside_address == key.inside_address && mapping.inside_port == key.inside_port &&
           mapping.protocol == key.protocol;
  });
}

void Shard::prefetch_inbound(uint32_t address_number, net::Protocol protocol, net::Port port) const {
  __builtin_prefetch(&inbound_slot(policy().pool.local_of(address_number), protocol_row(protocol).value_or(0), port));
}

MappingIndex Shard::find_inbound(uint32_t address_number, net::Protocol protocol, net::Port port) const {
  const auto row = protocol_row(protocol);
  return row ? inbound_slot(policy().pool.local_of(address_number), *row, port) : null_mapping;
}

void Shard::prefetch(Opening& opening, unsigned step) const {
  if (step == 0) {
    subscribers_.prefetch(opening.at = subscribers_.hash(opening.key.subscriber));
  } else if (step == 1) {
    opening.at = subscribers_.candidate(opening.at);
  } else {
    const Subscriber& subscriber = subscribers_[opening.at];
    const auto row = protocol_row(opening.key.protocol);
    for (uint8_t i = 0; row && i < subscriber.block_count; ++i) blocks_.prefetch(subscriber.blocks[i], *row);
  }
}

MappingIndex Shard::open_mapping(const OutboundKey& key, uint32_t hash, const net::Ipv6& b4, uint8_t softwire,
                                 net::Endpoint remote, uint32_t now_s, Verdict& why) {
  now_s_ = now_s;
  Wanted wanted;
  wanted.b4 = b4;
  wanted.softwire = softwire;
  wanted.life = Mapping::implicit_life;
  wanted.remote = remote;
  const MappingIndex made = make(key, hash, wanted, now_s, why);
  if (made != null_mapping) counters_.opened.add();
  return made;
}

MappingIndex Shard::make(const OutboundKey& key, uint32_t hash, const Wanted& wanted, uint32_t now_s, Verdict& why) {
  const auto refuse = [&why](Verdict verdict) {
    why = verdict;
    return null_mapping;
  };
  now_s_ = now_s;
  const auto row = protocol_row(key.protocol);
  if (!row) return refuse(Verdict::protocol_unsupported);
  if (live_.read() >= settings_.mappings_max) return refuse(Verdict::table_full);
  if (now_s < policy().hold_after_boot_s && wanted.life == Mapping::implicit_life) return refuse(Verdict::boot_hold);
  const auto subscriber = subscriber_for(key.subscriber, wanted.suggested.address);
  if (!subscriber) return refuse(subscriber.error());
  const auto lease = take_lease(*subscriber, *row, wanted);
  if (!lease) {
    if (is_quota(lease.error())) tell_of_quota(*subscriber, lease.error(), key.protocol);
    forget_if_idle(*subscriber);
    return refuse(lease.error());
  }

  Mapping mapping;
  mapping.b4 = wanted.b4;
  mapping.inside_address = key.inside_address;
  mapping.inside_port = key.inside_port;
  mapping.outside_address = address_of_local(lease->local_address);
  mapping.outside_port = lease->port;
  mapping.protocol = key.protocol;
  mapping.flags =
      static_cast<uint8_t>(Mapping::in_use | wanted.life | (net::is_mapped(wanted.b4) ? Mapping::plain : 0));
  mapping.softwire = wanted.softwire;
  mapping.last_seen_s = now_s;
  mapping.expiry_s = wanted.expiry_s;
  mapping.subscriber = *subscriber;
  mapping.first_remote = wanted.remote;

  const MappingIndex index = slab_.take();
  if (index == null_mapping || !outbound_.insert(hash, index)) {
    if (index != null_mapping) slab_.give_back(index);
    blocks_.release_port(blocks_.block_of(lease->local_address, lease->port), *row, lease->port);
    forget_if_idle(*subscriber);
    return refuse(Verdict::table_full);
  }
  enter_indexes(index, mapping, lease->local_address);
  count_opening(*subscriber);
  return index;
}

// All but the outbound index, which a caller may have to refuse before.
void Shard::enter_indexes(MappingIndex index, const Mapping& mapping, uint32_t local_address) {
  Mapping record = mapping;
  record.address_delta = net::fold(net::difference(net::sum_of(mapping.inside_address),  //
                                                   net::sum_of(mapping.outside_address)));
  record.endpoint_delta = net::fold(
      record.address_delta + net::difference(net::sum_of(mapping.inside_port), net::sum_of(mapping.outside_port)));
  const bool live = record.has(Mapping::in_use);
  subscribers_.add(record.subscriber, &Subscriber::mappings);
  if (live) subscribers_.add(record.subscriber, &Subscriber::live);
  if (live && record.first_remote != none && !record.has(Mapping::many_remotes))
    subscribers_.add(record.subscriber, &Subscriber::sessions);
  slab_.write(index, record);
  inbound_slot(local_address, *protocol_row(record.protocol), record.outside_port) = index;
  (record.has(Mapping::in_use) ? live_ : held_).add();
  wheel_.link(index, due_s(record));
}

net::Result<uint32_t, Verdict> Shard::subscriber_for(const net::Ipv6& prefix, net::Ipv4 preferred) {
  const uint32_t known = subscribers_.find(prefix);
  if (known == 0)
    if (const auto fixed = policy().pool.fixed_range_of(prefix)) {
      const uint32_t added = subscribers_.add(prefix);
      if (added == 0) return tl::unexpected(Verdict::subscribers_full);
      Subscriber subscriber = subscribers_[added];
      subscriber.local_address = policy().pool.local_of(fixed->number);
      subscribers_.write(added, subscriber);
      return added;
    }
  if (known != 0 && blocks_.is_offered(subscribers_[known].local_address)) return known;
  auto address = blocks_.choose_address();
  if (!address) return tl::unexpected(Verdict::pool_exhausted);
  // A returning subscriber who asks for his old address gets it if it is one of ours.
  if (const auto local = local_of(preferred); local && blocks_.is_offered(*local) && blocks_.has_free_block(*local))
    address = local;
  // One whose address drains or is gone gets another for what he opens from now on.
  const uint32_t added = known != 0 ? known : subscribers_.add(prefix);
  if (added == 0) return tl::unexpected(Verdict::subscribers_full);
  Subscriber subscriber = subscribers_[added];
  subscriber.local_address = *address;
  subscribers_.write(added, subscriber);
  return added;
}

void Shard::forget_if_idle(uint32_t index) {
  Subscriber subscriber = subscribers_[index];
  for (uint8_t i = 0; i < subscriber.block_count;) {
    if (!blocks_.empty(subscriber.blocks[i])) {
      ++i;
      continue;
    }
    tell_of_block(Event::Kind::block_released, subscriber.prefix, subscriber.blocks[i]);
    blocks_.release_block(subscriber.blocks[i]);
    subscriber.blocks[i] = subscriber.blocks[--subscriber.block_count];
  }
  if (subscriber.mappings == 0)
    subscribers_.remove(index);
  else if (subscriber.block_count != subscribers_[index].block_count)
    subscribers_.write(index, subscriber);
}

bool Shard::give_block(uint32_t index, uint32_t block) {
  Subscriber subscriber = subscribers_[index];
  if (block == PortBlocks::no_block) return false;
  if (subscriber.block_count == Subscriber::blocks_capacity) return blocks_.release_block(block), false;
  subscriber.blocks[subscriber.block_count++] = block;
  subscribers_.write(index, subscriber);
  tell_of_block(Event::Kind::block_allocated, subscriber.prefix, block);
  return true;
}

void Shard::tell_of_block(Event::Kind kind, const net::Ipv6& subscriber, uint32_t block) {
  if (blocks_.is_fixed(block)) return;  // who has it follows from the configuration (RFC 7422 §2)
  Event event;
  event.kind = kind;
  event.time_s = now_s_;
  event.subscriber = subscriber;
  event.address = address_of_local(blocks_.local_address_of(block));
  event.first = {blocks_.ports_of(block).low};
  event.last = {blocks_.ports_of(block).high};
  events_.put(event);
}

// A port, if his B4 and his limits allow one.
net::Result<PortBlocks::Lease, Verdict> Shard::take_lease(uint32_t subscriber, uint32_t row, const Wanted& wanted) {
  if (const auto refused = follow_b4(subscriber, wanted.b4, wanted.softwire)) return tl::unexpected(*refused);
  if (const auto refused = mapping_refusal(subscribers_[subscriber], wanted)) return tl::unexpected(*refused);
  return take_port(subscriber, row, wanted);
}

net::Result<PortBlocks::Lease, Verdict> Shard::take_port(uint32_t subscriber, uint32_t row, const Wanted& wanted) {
  if (wanted.suggested.port.number != 0) {
    const auto taken = take_suggested_port(subscriber, row, wanted.suggested);
    if (taken || wanted.exact) return taken;
  } else if (wanted.exact && !fits({address_of_local(subscribers_[subscriber].local_address), {}}, wanted.suggested)) {
    return tl::unexpected(Verdict::not_ours);
  }
  return take_any_port(subscriber, row);
}

net::Result<PortBlocks::Lease, Verdict> Shard::take_any_port(uint32_t index, uint32_t row) {
  const Subscriber& subscriber = subscribers_[index];
  const uint32_t local = subscriber.local_address;
  if (const uint32_t block = own_range(index); block != PortBlocks::no_block && blocks_.has_free_port(block, row))
    return PortBlocks::Lease{local, *blocks_.take_port(block, row, now_s_)};  // first of all (RFC 7422 §2)
  if (const uint32_t block = choose_block(subscriber, row); block != PortBlocks::no_block)
    return PortBlocks::Lease{local, *blocks_.take_port(block, row, now_s_)};
  if (blocks_here(subscriber) >= policy().limits.blocks_per_subscriber_max) return tl::unexpected(Verdict::over_quota);
  if (!may_tell_of_block()) return tl::unexpected(Verdict::record_refused);
  const uint32_t block = blocks_.take_block(local, index);  // paired: his address or none (RFC 7857 §4)
  if (!give_block(index, block)) return tl::unexpected(Verdict::pool_exhausted);
  const auto port = blocks_.take_port(block, row, now_s_);
  if (!port) return tl::unexpected(Verdict::over_quota);  // all of it is reserved
  return PortBlocks::Lease{local, *port};
}

// The block number of his fixed range, which becomes his if nobody has it; no_block if he has none.
uint32_t Shard::own_range(uint32_t index) {
  const auto fixed = policy().pool.fixed_range_of(subscribers_[index].prefix);
  if (!fixed) return PortBlocks::no_block;
  const uint32_t block = policy().pool.local_of(fixed->number) * policy().pool.layout().blocks() + fixed->block;
  if (blocks_.take_this_block(block, index)) give_block(index, block);
  return blocks_.owner(block) == index ? block : PortBlocks::no_block;
}

// One of his blocks with a free port: any but the one idle for longest, which is left to empty, unless there is no
// other (RFC 7768 §2).
uint32_t Shard::choose_block(const Subscriber& subscriber, uint32_t row) {
  std::array<uint32_t, Subscriber::blocks_capacity> usable{};
  uint32_t count = 0, idlest = PortBlocks::no_block;
  for (uint8_t i = 0; i < subscriber.block_count; ++i) {
    const uint32_t block = subscriber.blocks[i];
    if (blocks_.local_address_of(block) != subscriber.local_address || blocks_.is_fixed(block)) continue;
    if (idlest == PortBlocks::no_block || blocks_.last_lease_s(block) < blocks_.last_lease_s(idlest)) idlest = block;
    if (blocks_.has_free_port(block, row)) usable[count++] = block;
  }
  if (count > 1) {
    const auto end = usable.begin() + count;
    if (const auto found = std::find(usable.begin(), end, idlest); found != end) *found = usable[--count];
  }
  return count == 0 ? PortBlocks::no_block : usable[random_.below(count)];
}

// The local number of an outside address, if this shard gives out ports of it.
std::optional<uint32_t> Shard::local_of(net::Ipv4 address) const {
  const Pool& pool = policy().pool;
  const auto number = pool.number_of(address);
  if (!number || (!pool.is_shared() && pool.owner_of_fragments(*number) != settings_.worker)) return std::nullopt;
  return pool.local_of(*number);
}

uint32_t Shard::blocks_here(const Subscriber& subscriber) const {
  uint32_t count = 0;
  for (uint8_t i = 0; i < subscriber.block_count; ++i)
    if (blocks_.local_address_of(subscriber.blocks[i]) == subscriber.local_address &&
        !blocks_.is_fixed(subscriber.blocks[i]))
      ++count;
  return count;
}

// not_ours: the suggestion cannot be had.
net::Result<PortBlocks::Lease, Verdict> Shard::take_suggested_port(uint32_t index, uint32_t row,
                                                                   net::Endpoint suggested) {
  const Subscriber& subscriber = subscribers_[index];
  const uint32_t local = subscriber.local_address;
  const uint32_t block = blocks_.block_of(local, suggested.port);
  if (block == PortBlocks::no_block || blocks_.is_reserved(row, suggested.port) ||
      !fits({address_of_local(local), suggested.port}, suggested))
    return tl::unexpected(Verdict::not_ours);
  own_range(index);
  const bool is_free = blocks_.owner(block) == PortBlocks::no_owner && !blocks_.is_fixed(block);
  if (is_free && !may_tell_of_block()) return tl::unexpected(Verdict::record_refused);
  if (is_free && !blocks_.is_claimed(block) && blocks_here(subscriber) < policy().limits.blocks_per_subscriber_max &&
      blocks_.take_this_block(block, index))
    give_block(index, block);
  if (blocks_.owner(block) != index || !blocks_.take_this_port(block, row, suggested.port))
    return tl::unexpected(Verdict::not_ours);
  return PortBlocks::Lease{local, suggested.port};
}

}  // namespace portolan::nat
