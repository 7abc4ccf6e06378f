// The sessions of a shard: their records, found by (mapping, remote), and the list of each mapping's. Bounded; all of
// it is reserved at start. Owner: the worker; any thread may read() records.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "dataplane/nat/bucket_index.h"
#include "dataplane/nat/counter.h"
#include "dataplane/nat/hash.h"
#include "dataplane/nat/session.h"
#include "dataplane/nat/slab.h"
#include "dataplane/nat/zero_pages.h"

namespace portolan::nat {

template <>
struct SlabTraits<Session> {
  static constexpr SlabKind kind{0x6e6f697373655350, 1, sizeof(Session), "session slab", "dataplane.max-sessions"};
  static constexpr SessionIndex Session::*free_link = &Session::next;
  static bool is_free(const Session& session) { return !session.has(Session::in_use); }
};
using SessionSlab = RecordSlab<Session>;

class SessionTable {
 public:
  // `mappings`: as many records as the mapping slab has.
  SessionTable(SessionSlab slab, uint32_t mappings, const Hasher& hash);

  [[nodiscard]] uint32_t record_end() const { return slab_.capacity(); }  // records are 1..record_end()-1
  const Session& operator[](SessionIndex index) const { return slab_[index]; }
  [[nodiscard]] std::optional<Session> read(SessionIndex index) const { return slab_.read(index); }
  [[nodiscard]] uint64_t live() const { return live_.read(); }
  // Three quarters are used: what merely would like a session leaves the rest to who cannot do without.
  [[nodiscard]] bool is_scarce() const { return live() >= (slab_.capacity() - 1) / 4 * 3; }

  [[nodiscard]] SessionIndex find(MappingIndex mapping, net::Endpoint remote) const;
  // A new session, linked to its mapping; null_session if there is no room.
  SessionIndex add(const Session& session);
  void remove(SessionIndex index);
  template <class Field>
  void set(SessionIndex index, Field Session::*field, Field value) {
    slab_.set(index, field, value);
  }

  [[nodiscard]] SessionIndex first_of(MappingIndex mapping) const { return of_mapping_[mapping].first; }
  [[nodiscard]] uint32_t count_of(MappingIndex mapping) const { return of_mapping_[mapping].count; }  // no grants

  // At start: links every record `keep` accepts, which it may correct; the others are free.
  template <class Keep>
  void restore(Keep keep) {
    for (SessionIndex index = 1; index < slab_.capacity(); ++index) {
      Session session = slab_[index];
      if (!session.has(Session::in_use)) continue;
      const bool kept =
          (session.version & 1) == 0 && keep(session) && !find(session.mapping, session.remote) && link(index, session);
      if (!kept) slab_.write(index, Session{});
    }
    slab_.build_free_list([&](SessionIndex index) { return !slab_[index].has(Session::in_use); });
  }

  // Records to look at in this second: a few thousand, or as many as are needed to see each of them in a few seconds.
  template <class IsOver, class End>
  void sweep(uint32_t now_s, uint32_t budget, IsOver is_over, End end) {
    if (live() == 0) return;
    if (now_s != swept_s_) owe(now_s);
    for (; budget > 0 && owed_ > 0; --budget, --owed_) {
      hand_ = hand_ + 1 < slab_.capacity() ? hand_ + 1 : 1;
      if (slab_[hand_].has(Session::in_use) && is_over(slab_[hand_])) end(hand_);
    }
  }

  // Index entries, for the audit.
  [[nodiscard]] uint64_t indexed() const;

 private:
  struct OfMapping {
    SessionIndex first;
    uint32_t count;
  };
  bool link(SessionIndex index, const Session& session);
  void owe(uint32_t now_s);
  [[nodiscard]] uint32_t hash_of(MappingIndex mapping, net::Endpoint remote) const;

  SessionSlab slab_;
  BucketIndex index_;
  ZeroPages<OfMapping> of_mapping_;
  const Hasher& hash_;
  Counter live_;
  SessionIndex hand_ = null_session;  // looked at last
  uint32_t swept_s_ = 0, owed_ = 0;   // records still to look at in that second
};

}  // namespace portolan::nat
