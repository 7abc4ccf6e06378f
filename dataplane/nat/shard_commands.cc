// What other threads may ask of a shard (command.h), carried out between bursts.
#include "dataplane/nat/shard.h"

namespace portolan::nat {

namespace {

CommandResult::Status status_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::pool_exhausted:
      return CommandResult::Status::pool_exhausted;
    case Verdict::over_quota:
    case Verdict::mapping_limit:
    case Verdict::session_limit:
      return CommandResult::Status::over_quota;
    case Verdict::not_ours:
      return CommandResult::Status::not_available;
    default:
      return CommandResult::Status::table_full;
  }
}

}  // namespace

CommandResult Shard::execute(const Command& command, uint32_t now_s) {
  using Status = CommandResult::Status;
  switch (command.verb) {
    case Command::Verb::open_explicit:
      return open_explicit(command, now_s);
    case Command::Verb::end_explicit:
      return end_explicit(command, now_s);
    case Command::Verb::end_mapping: {
      const MappingIndex index = find(command.key, hash_(command.key));
      if (index == null_mapping) return {command.ticket, Status::unknown, {}, 0, 0};
      const net::Endpoint outside = slab_[index].outside();
      end(index, now_s);
      return {command.ticket, Status::done, outside, 0, 1};
    }
    case Command::Verb::clear_subscriber: {
      if (subscribers_.find(command.key.subscriber) == 0) return {command.ticket, Status::unknown, {}, 0, 0};
      return {command.ticket, Status::done, {}, 0, clear_subscriber(command.key.subscriber, now_s)};
    }
    case Command::Verb::audit:
      if (audit_.phase == decltype(audit_.phase)::none) {
        audit_ = {decltype(audit_.phase)::records, 1};
        counters_.audit_checked.set(0);
        counters_.audit_faults.set(0);
      }
      return {command.ticket, Status::done, {}, 0, 0};
  }
  return {command.ticket, Status::unknown, {}, 0, 0};
}

CommandResult Shard::open_explicit(const Command& command, uint32_t now_s) {
  using Status = CommandResult::Status;
  const uint32_t hash = hash_(command.key);
  const uint32_t expiry_s = now_s + command.lifetime_s + 1;  // as in implicit_due_s: never shorter
  if (const MappingIndex known = find(command.key, hash); known != null_mapping) {
    const net::Endpoint outside = slab_[known].outside();
    if (command.exact && !fits(outside, command.suggested))
      return {command.ticket, Status::not_available, outside, 0, 0};
    if (slab_[known].b4 != command.b4)
      if (const auto refused = move_mapping(known, command.b4, command.softwire))
        return {command.ticket, status_of(*refused), outside, 0, 0};
    set_life(known, Mapping::explicit_life, 0, expiry_s);
    relink(known);
    return {command.ticket, Status::done, outside, command.lifetime_s, 0};
  }
  Wanted wanted;
  wanted.b4 = command.b4;
  wanted.softwire = command.softwire;
  wanted.life = Mapping::explicit_life;
  wanted.suggested = command.suggested;
  wanted.exact = command.exact;
  wanted.expiry_s = expiry_s;
  const auto made = make(command.key, hash, wanted, now_s);
  if (!made) return {command.ticket, status_of(made.error()), {}, 0, 0};
  counters_.opened_explicit.add();
  return {command.ticket, Status::done, slab_[*made].outside(), command.lifetime_s, 0};
}

CommandResult Shard::end_explicit(const Command& command, uint32_t now_s) {
  using Status = CommandResult::Status;
  const MappingIndex index = find(command.key, hash_(command.key));
  if (index == null_mapping) return {command.ticket, Status::unknown, {}, 0, 0};
  const net::Endpoint outside = slab_[index].outside();
  if (!slab_[index].has(Mapping::explicit_life)) return {command.ticket, Status::not_explicit, outside, 0, 0};
  // RFC 6887 §15: a delete may not end a mapping sooner than its outbound traffic would have.
  const uint32_t implicit_due = implicit_due_s(slab_[index]);
  if (implicit_due > now_s) {
    set_flags(index, 0, Mapping::explicit_life);
    relink(index);
    return {command.ticket, Status::done, outside, implicit_due - now_s, 0};
  }
  end(index, now_s);
  return {command.ticket, Status::done, outside, 0, 1};
}

uint32_t Shard::clear_subscriber(const net::Ipv6& prefix, uint32_t now_s) {
  const Subscriber subscriber = subscribers_[subscribers_.find(prefix)];
  uint32_t ended = 0;
  for_mappings_of(subscriber, [&](MappingIndex index) {
    end(index, now_s);
    ++ended;
  });
  return ended;
}

}  // namespace portolan::nat
