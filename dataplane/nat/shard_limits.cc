// What one subscriber may do: which of his B4s is served, how many mappings he opens, and whom his refusals are told.
#include "dataplane/nat/shard.h"

namespace portolan::nat {

namespace {

constexpr uint32_t told_again_s = 60;  // events of one kind about one subscriber

}  // namespace

// A mapping's packet came from another address than its record has.
std::optional<Verdict> Shard::move_mapping(MappingIndex index, const net::Ipv6& b4, uint8_t softwire) {
  if (const auto refused = follow_b4(slab_[index].subscriber, b4, softwire)) return refused;
  Mapping changed = slab_[index];
  changed.b4 = b4;
  changed.softwire = softwire;
  slab_.write(index, changed);
  return std::nullopt;
}

// One B4 of a prefix is served at a time, the last that came; another may take over when the interval since the last
// change is over (RFC 7785 §4(3), §5).
std::optional<Verdict> Shard::follow_b4(uint32_t index, const net::Ipv6& b4, uint8_t softwire) {
  if (net::is_mapped(b4) || subscribers_[index].b4 == b4) return std::nullopt;  // hosts without a softwire do not move
  Subscriber subscriber = subscribers_[index];
  const bool is_first = subscriber.b4 == net::Ipv6{};
  const uint32_t interval_s = policy().b4_change_interval_s;
  if (!is_first && subscriber.b4_moved_s != 0 && now_s_ - subscriber.b4_moved_s < interval_s) {
    tell_of_b4(index, Event::Kind::b4_conflict, b4);
    return Verdict::b4_change_refused;
  }
  const bool moved_just_now = subscriber.b4_moved_s == now_s_;  // interval 0: two B4s must not have all moved by turns
  subscriber.b4 = b4;
  if (!is_first) subscriber.b4_moved_s = now_s_;
  subscribers_.write(index, subscriber);
  // Of one who is heard for the first time only static mappings can be there.
  if (is_first ? subscriber.live == 0 : moved_just_now) return std::nullopt;
  for_mappings_of(subscriber, [&](MappingIndex each) {
    Mapping changed = slab_[each];
    changed.b4 = b4;
    changed.softwire = softwire;
    slab_.write(each, changed);
  });
  if (!is_first) tell_of_b4(index, Event::Kind::b4_moved, b4);
  return std::nullopt;
}

std::optional<Verdict> Shard::mapping_refusal(const Subscriber& subscriber, const Wanted& wanted) const {
  const Limits& limits = policy().limits;
  if (limits.mappings_max != 0 && subscriber.live >= limits.mappings_max) return Verdict::mapping_limit;
  // Seconds are the clock's grain, so a bucket of one second's worth is a count that starts anew each second. PCP has
  // its own limits.
  if (limits.mappings_per_second != 0 && wanted.life == Mapping::implicit_life && subscriber.opened_s == now_s_ &&
      subscriber.opened >= limits.mappings_per_second)
    return Verdict::mapping_rate;
  if (wanted.remote != net::Endpoint{} && limits.sessions_max != 0 && subscriber.sessions >= limits.sessions_max)
    return Verdict::session_limit;
  return std::nullopt;
}

void Shard::count_opening(uint32_t index) {
  if (policy().limits.mappings_per_second == 0) return;
  const Subscriber& subscriber = subscribers_[index];
  subscribers_.set(index, &Subscriber::opened, subscriber.opened_s == now_s_ ? subscriber.opened + 1 : 1);
  subscribers_.set(index, &Subscriber::opened_s, now_s_);
}

void Shard::tell_of_quota(uint32_t index, Verdict verdict, net::Protocol protocol) {
  const Subscriber& subscriber = subscribers_[index];
  if (subscriber.quota_told_s != 0 && now_s_ - subscriber.quota_told_s < told_again_s) return;
  subscribers_.set(index, &Subscriber::quota_told_s, now_s_);
  Event event;
  event.kind = Event::Kind::quota;
  event.protocol = protocol;
  event.time_s = now_s_;
  event.subscriber = subscriber.prefix;
  event.verdict = verdict;
  event.address = address_of_local(subscriber.local_address);
  events_.put(event);
}

void Shard::tell_of_b4(uint32_t index, Event::Kind kind, const net::Ipv6& b4) {
  const Subscriber& subscriber = subscribers_[index];
  const bool told = subscriber.b4_told_s != 0 && now_s_ - subscriber.b4_told_s < told_again_s;
  if (kind == Event::Kind::b4_conflict && told) return;
  if (kind == Event::Kind::b4_conflict) subscribers_.set(index, &Subscriber::b4_told_s, now_s_);
  Event event;
  event.kind = kind;
  event.time_s = now_s_;
  event.subscriber = subscriber.prefix;
  event.b4 = b4;
  event.address = address_of_local(subscriber.local_address);
  events_.put(event);
}

}  // namespace portolan::nat
