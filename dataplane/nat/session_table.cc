#include "dataplane/nat/session_table.h"

#include <algorithm>
#include <array>
#include <utility>

namespace portolan::nat {

namespace {

constexpr uint32_t sweep_period_s = 8;           // a session that is over is gone after so long
constexpr uint32_t swept_per_second_min = 4096;  // small tables: each second

struct SessionKey {
  MappingIndex mapping;
  net::Endpoint remote;
  std::array<uint8_t, 6> zero;
};
static_assert(sizeof(SessionKey) == 16);

}  // namespace

SessionTable::SessionTable(SessionSlab slab, uint32_t mappings, const Hasher& hash)
    : slab_(std::move(slab)), index_(slab_.capacity()), of_mapping_(mappings), hash_(hash) {}

uint32_t SessionTable::hash_of(MappingIndex mapping, net::Endpoint remote) const {
  return hash_(SessionKey{mapping, remote, {}});
}

SessionIndex SessionTable::find(MappingIndex mapping, net::Endpoint remote) const {
  if (of_mapping_[mapping].first == null_session) return null_session;
  return index_.find(hash_of(mapping, remote), [&](SessionIndex index) {
    return slab_[index].mapping == mapping && slab_[index].remote == remote;
  });
}

SessionIndex SessionTable::add(const Session& session) {
  const SessionIndex index = slab_.take();
  if (index != null_session && !link(index, session)) {
    slab_.give_back(index);
    return null_session;
  }
  return index;
}

bool SessionTable::link(SessionIndex index, const Session& session) {
  if (!index_.insert(hash_of(session.mapping, session.remote), index)) return false;
  OfMapping& list = of_mapping_[session.mapping];
  Session linked = session;
  linked.next = list.first;
  linked.previous = null_session;
  slab_.write(index, linked);
  if (list.first != null_session) slab_.set(list.first, &Session::previous, index);
  list.first = index;
  if (!session.has(Session::grant)) ++list.count;
  live_.add();
  return true;
}

void SessionTable::remove(SessionIndex index) {
  const Session session = slab_[index];
  index_.erase(hash_of(session.mapping, session.remote), index);
  OfMapping& list = of_mapping_[session.mapping];
  if (session.previous == null_session)
    list.first = session.next;
  else
    slab_.set(session.previous, &Session::next, session.next);
  if (session.next != null_session) slab_.set(session.next, &Session::previous, session.previous);
  if (!session.has(Session::grant)) --list.count;
  live_.set(live_.read() - 1);
  slab_.give_back(index);
}

void SessionTable::owe(uint32_t now_s) {
  const uint64_t share = std::max<uint64_t>(swept_per_second_min, slab_.capacity() / sweep_period_s + 1);
  const uint64_t elapsed_s = now_s - swept_s_;
  owed_ = static_cast<uint32_t>(std::min<uint64_t>(slab_.capacity() - 1, owed_ + share * elapsed_s));
  swept_s_ = now_s;
}

uint64_t SessionTable::indexed() const {
  uint64_t count = 0;
  for (size_t bucket = 0; bucket < index_.buckets(); ++bucket)
    index_.for_each_in(bucket, [&](SessionIndex) { ++count; });
  return count;
}

}  // namespace portolan::nat
