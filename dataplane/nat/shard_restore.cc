// Rebuilding everything a shard has from the slab's records, once, at start.
#include <algorithm>

#include "dataplane/nat/shard.h"

namespace portolan::nat {

namespace {

// What no shard writes is damage, and a record that is alive and at rest at once would be counted as both.
bool can_be(const Mapping& mapping) {
  return mapping.has(Mapping::in_use) != mapping.has(Mapping::held) && mapping.tcp_state <= TcpState::trans;
}

bool can_be(const Session& session) {
  const bool one_protocol = !session.has(Session::tcp) || !session.has(Session::udp);
  const bool whole_grant =
      !session.has(Session::grant) || (session.has(Session::tcp) && !session.has(Session::inbound));
  return one_protocol && whole_grant && session.tcp_state <= TcpState::trans && session.remote != net::Endpoint{};
}

}  // namespace

void Shard::restore(uint32_t now_s) {
  std::vector<bool> kept(slab_.capacity());
  for (MappingIndex index = 1; index < slab_.capacity(); ++index) {
    const Mapping& mapping = slab_[index];
    if (mapping.flags == 0 && mapping.version == 0) continue;  // never used
    if (!mapping.has(Mapping::in_use | Mapping::held)) continue;
    kept[index] = restore_record(index, now_s);
    (kept[index] ? counters_.restored : counters_.dropped_at_restore).add();
  }
  slab_.build_free_list([&](MappingIndex index) { return !kept[index]; });
  restore_sessions(now_s);
  restore_b4s();
  events_.discard();  // blocks that were theirs before were told of then
}

// False if the record was half written, contradicts another, or is no longer allowed by the settings.
bool Shard::restore_record(MappingIndex index, uint32_t now_s) {
  Mapping mapping = slab_[index];
  const auto row = protocol_row(mapping.protocol);
  if ((mapping.version & 1) != 0 || !row || !can_be(mapping)) return false;
  // From before a reboot: the port rests until the machine has been up so long.
  if (mapping.has(Mapping::held) && mapping.expiry_s == 0) mapping.expiry_s = policy().timeouts.quarantine_s + 1;
  if (is_static_no_more(mapping)) {  // ends, and its port rests
    mapping.flags = static_cast<uint8_t>(Mapping::held | (mapping.flags & Mapping::plain));
    mapping.expiry_s = now_s + policy().timeouts.quarantine_s + 1;
  }
  const auto key = key_of(mapping);
  const auto lease = lease_of(mapping);
  if (!lease || policy().pool.owner_of(key.subscriber) != settings_.worker) return false;
  const uint32_t block = blocks_.block_of(lease->local_address, lease->port);
  if (block == PortBlocks::no_block || blocks_.is_reserved(*row, lease->port)) return false;

  const uint32_t known = subscribers_.find(key.subscriber);
  const uint32_t owner = blocks_.owner(block);
  const bool is_his = known != 0 && owner == known;
  const bool is_anothers = blocks_.is_fixed(block) && [&] {
    const auto fixed = policy().pool.fixed_range_of(key.subscriber);
    return !fixed || policy().pool.local_of(fixed->number) != lease->local_address ||
           fixed->block != policy().pool.layout().block_of(lease->port);
  }();
  const bool may_be_his = owner == PortBlocks::no_owner && !is_anothers &&
                          (known == 0 || subscribers_[known].block_count < Subscriber::blocks_capacity);
  if (!is_his && !may_be_his) return false;
  if (blocks_.taken(lease->local_address, *row, lease->port)) return false;
  const uint32_t hash = hash_(key);
  if (mapping.has(Mapping::in_use) && find(key, hash) != null_mapping) return false;
  const uint32_t index_of_subscriber = known != 0 ? known : subscribers_.add(key.subscriber);
  if (index_of_subscriber == 0) return false;
  if (mapping.has(Mapping::in_use) && !outbound_.insert(hash, index)) {
    forget_if_idle(index_of_subscriber);
    return false;
  }
  // New ports come from an address that is offered, if he has one.
  if (known == 0 || !blocks_.is_offered(subscribers_[known].local_address)) {
    Subscriber subscriber = subscribers_[index_of_subscriber];
    subscriber.local_address = lease->local_address;
    subscribers_.write(index_of_subscriber, subscriber);
  }
  if (!is_his) {
    blocks_.take_this_block(block, index_of_subscriber);
    give_block(index_of_subscriber, block);
  }
  blocks_.take_this_port(block, *row, lease->port);
  mapping.subscriber = index_of_subscriber;
  mapping.last_seen_s = std::min(mapping.last_seen_s, now_s);
  if (mapping.has(Mapping::held)) mapping.flags &= Mapping::held | Mapping::plain;
  if (mapping.has(Mapping::many_remotes)) mapping.first_remote = {}, mapping.tcp_state = TcpState::none;
  enter_indexes(index, mapping, lease->local_address);
  return true;
}

// A session whose mapping is gone, or keeps its one remote in its own record, is dropped. A mapping without the
// sessions it had is one that lost track.
void Shard::restore_sessions(uint32_t now_s) {
  sessions_.restore([&](Session& session) {
    Mapping outside;
    outside.outside_address = session.outside.address;
    outside.outside_port = session.outside.port;
    const auto lease = lease_of(outside);
    const auto row = protocol_row(session.protocol());
    session.mapping = lease && row ? inbound_slot(lease->local_address, *row, lease->port) : null_mapping;
    session.last_seen_s = std::min(session.last_seen_s, now_s);
    return session.mapping != null_mapping && slab_[session.mapping].has(Mapping::many_remotes) && can_be(session);
  });
  for (MappingIndex index = 1; index < slab_.capacity(); ++index) {
    if (!slab_[index].has(Mapping::in_use) || !slab_[index].has(Mapping::many_remotes)) continue;
    int all = 0, inbound = 0;
    for (SessionIndex at = sessions_.first_of(index); at != null_session; at = sessions_[at].next) {
      if (!sessions_[at].has(Session::grant)) ++all;
      if (sessions_[at].has(Session::inbound)) ++inbound;
    }
    if (all > 0) {
      count_sessions(slab_[index].subscriber, all, inbound);
      continue;
    }
    while (sessions_.first_of(index) != null_session) sessions_.remove(sessions_.first_of(index));
    set_flags(index, slab_[index].protocol == net::Protocol::tcp ? Mapping::untracked : uint8_t{0},
              Mapping::many_remotes);
  }
}

// The B4 served is that of the mapping seen last (RFC 7785 §4(3)).
void Shard::restore_b4s() {
  std::vector<MappingIndex> last(subscribers_.capacity());
  for (MappingIndex index = 1; index < slab_.capacity(); ++index) {
    const Mapping& mapping = slab_[index];
    if (!mapping.has(Mapping::in_use) || mapping.has(Mapping::plain)) continue;
    if (mapping.b4 == subscribers_[mapping.subscriber].prefix) continue;  // static, and he has not been heard yet
    MappingIndex& best = last[mapping.subscriber];
    if (best == null_mapping || slab_[best].last_seen_s < mapping.last_seen_s) best = index;
  }
  for (uint32_t i = 1; i < last.size(); ++i)
    if (last[i] != null_mapping) {
      Subscriber subscriber = subscribers_[i];
      subscriber.b4 = slab_[last[i]].b4;
      subscribers_.write(i, subscriber);
    }
}

}  // namespace portolan::nat
