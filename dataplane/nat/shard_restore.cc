// A shard's two whole-table passes: rebuilding every index from the slab at start, and auditing the slab against them.
#include <algorithm>

#include "dataplane/nat/shard.h"
#include "dataplane/net/text.h"

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
  const auto key = key_of(mapping);
  const auto lease = lease_of(mapping);
  if (!lease || owner_of_subscriber(key.subscriber, settings_.workers) != settings_.worker) return false;
  const uint32_t block = blocks_.block_of(lease->local_address, lease->port);
  if (block == PortBlocks::no_block || PortBlocks::is_reserved(*row, lease->port)) return false;

  uint32_t index_of_subscriber = subscribers_.find(key.subscriber);
  if (index_of_subscriber == 0) {
    const auto added = subscriber_for(key.subscriber, mapping.outside_address);
    if (!added) return false;
    index_of_subscriber = *added;
  }
  const Subscriber& subscriber = subscribers_[index_of_subscriber];
  const uint32_t owner = blocks_.owner(block);
  const bool fits = subscriber.local_address == lease->local_address &&
                    (owner == index_of_subscriber ||
                     (owner == PortBlocks::no_owner && subscriber.block_count < Subscriber::blocks_capacity)) &&
                    (owner == PortBlocks::no_owner || !blocks_.taken(block, *row, lease->port));
  const uint32_t hash = hash_(key);
  if (!fits || (mapping.has(Mapping::in_use) && (find(key, hash) != null_mapping || !outbound_.insert(hash, index)))) {
    forget_if_idle(index_of_subscriber);
    return false;
  }
  if (owner == PortBlocks::no_owner) {
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

const char* Shard::session_fault(MappingIndex index) const {
  const Mapping& mapping = slab_[index];
  if (mapping.has(Mapping::many_remotes) != (sessions_.count_of(index) > 0)) return "it has no sessions, or should not";
  uint32_t count = 0;
  for (SessionIndex at = sessions_.first_of(index); at != null_session; at = sessions_[at].next) {
    const Session& session = sessions_[at];
    if (!session.has(Session::in_use) || session.mapping != index || session.outside != mapping.outside() ||
        session.protocol() != mapping.protocol)
      return "a session of it is another's";
    if (sessions_.find(index, session.remote) != at) return "the session index disagrees";
    if (!session.has(Session::grant)) ++count;
  }
  return count == sessions_.count_of(index) ? nullptr : "its sessions are counted wrong";
}

uint32_t Shard::audit(std::vector<std::string>& findings) const {
  constexpr size_t findings_max = 20;
  uint32_t count = 0;
  const auto find_fault = [&](MappingIndex index, const char* what) {
    ++count;
    if (findings.size() < findings_max)
      findings.push_back("record " + std::to_string(index) + " (" + net::to_text(slab_[index].outside()) + " " +
                         net::to_text(slab_[index].protocol) + "): " + what);
  };
  uint64_t live = 0, held = 0, ports_used = 0, indexed = 0, sessions = 0;
  std::vector<Subscriber> of(subscribers_.capacity());
  for (MappingIndex index = 1; index < slab_.capacity(); ++index) {
    const Mapping& mapping = slab_[index];
    if (!mapping.has(Mapping::in_use | Mapping::held)) continue;
    const bool is_live = mapping.has(Mapping::in_use);
    ++(is_live ? live : held);
    const auto lease = lease_of(mapping);
    const auto row = protocol_row(mapping.protocol);
    if (!lease || !row) {
      find_fault(index, "outside endpoint is not of this shard");
      continue;
    }
    const auto key = key_of(mapping);
    if ((find(key, hash_(key)) == index) != is_live) find_fault(index, "outbound index disagrees");
    if ((inbound_slot(lease->local_address, *row, lease->port) == index) != is_live)
      find_fault(index, "inbound index disagrees");
    const uint32_t block = blocks_.block_of(lease->local_address, lease->port);
    if (block == PortBlocks::no_block || !blocks_.taken(block, *row, lease->port))
      find_fault(index, "its port is not marked taken");
    else if (blocks_.owner(block) != mapping.subscriber)
      find_fault(index, "its block belongs to another subscriber");
    const Subscriber& subscriber = subscribers_[mapping.subscriber];
    if (subscriber.in_use == 0 || subscriber.prefix != key.subscriber) find_fault(index, "its subscriber is another");
    if (const char* fault = session_fault(index)) find_fault(index, fault);
    if (is_live) ++of[mapping.subscriber].live, of[mapping.subscriber].sessions += sessions_of(index);
    for (SessionIndex at = sessions_.first_of(index); at != null_session; at = sessions_[at].next) {
      ++sessions;
      if (sessions_[at].has(Session::inbound)) ++of[mapping.subscriber].inbound_sessions;
    }
  }
  for (uint32_t i = 1; i < of.size(); ++i)
    if (const Subscriber& s = subscribers_[i]; s.in_use != 0 && (s.live != of[i].live || s.sessions != of[i].sessions ||
                                                                 s.inbound_sessions != of[i].inbound_sessions))
      find_fault(null_mapping, "a subscriber's mappings or sessions are counted wrong");
  if (sessions != sessions_.live() || sessions != sessions_.indexed())
    find_fault(null_mapping, "sessions, their index and their mappings' lists differ in number");
  for (uint32_t block = 0; block < blocks_.total(); ++block) ports_used += blocks_.ports_used(block);
  outbound_.for_each([&](MappingIndex) { ++indexed; });
  if (live != live_.read() || held != held_.read())
    find_fault(null_mapping, "mappings counted and mappings there differ");
  if (ports_used != live + held) find_fault(null_mapping, "ports marked taken and mappings differ in number");
  if (indexed != live) find_fault(null_mapping, "outbound index entries and live mappings differ in number");
  return count;
}

}  // namespace portolan::nat
