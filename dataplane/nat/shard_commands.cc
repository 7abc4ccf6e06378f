// What other threads may ask of a shard (command.h), carried out between bursts.
#include <algorithm>

#include "dataplane/nat/shard.h"
#include "dataplane/net/wire.h"

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

// One second more than asked, as in implicit_due_s(): never shorter.
uint32_t expiry_after(uint32_t lifetime_s, uint32_t now_s) {
  return lifetime_s >= ~uint32_t{0} - now_s ? ~uint32_t{0} : now_s + lifetime_s + 1;
}
uint32_t left_s(uint32_t due_s, uint32_t now_s) { return due_s > now_s + 1 ? due_s - now_s - 1 : 0; }

// How far a subscriber's clearing has come, in one word that is never 0.
struct ClearingPlace {
  static constexpr unsigned at_bits = 18;  // protocol_rows * 65536
  uint32_t blocks_left, at;                // of his blocks, from the first on; in the last of them all ports of a
                                           // protocol, then those of the next

  [[nodiscard]] uint32_t packed() const { return blocks_left << at_bits | at; }
  // 0: the beginning. So is a place behind the blocks that are left, the last of which has not been cleared yet then.
  static ClearingPlace unpacked(uint32_t word, uint32_t blocks) {
    const ClearingPlace place{word >> at_bits, word & ((1U << at_bits) - 1)};
    return word == 0 || place.blocks_left > blocks ? ClearingPlace{blocks, 0} : place;
  }
};

}  // namespace

CommandResult Shard::execute(const Command& command, uint32_t now_s) {
  using Status = CommandResult::Status;
  switch (command.verb) {
    case Command::Verb::open_explicit:
      return command.ports > 1 ? open_set(command, now_s) : open_explicit(command, now_s);
    case Command::Verb::open_outbound:
      return open_outbound(command, now_s);
    case Command::Verb::end_explicit:
      return command.ports > 1 ? end_set(command, now_s) : end_explicit(command, now_s);
    case Command::Verb::unpin:
      return unpin(command, now_s);
    case Command::Verb::tell_address: {
      const uint32_t subscriber = subscribers_.find(command.key.subscriber);
      if (subscriber == 0) return {command.ticket, Status::unknown, {}, 0, 0};
      return {command.ticket, Status::done, {address_of_local(subscribers_[subscriber].local_address), {}}, 0, 0};
    }
    case Command::Verb::tell_holder:
      return tell_holder(command);
    case Command::Verb::end_mapping: {
      const MappingIndex index = find(command.key, hash_(command.key));
      if (index == null_mapping) return {command.ticket, Status::unknown, {}, 0, 0};
      const net::Endpoint outside = slab_[index].outside();
      if (slab_[index].is_static()) return {command.ticket, Status::done, outside, 0, 0, 1};
      end(index, now_s);
      return {command.ticket, Status::done, outside, 0, 1};
    }
    case Command::Verb::clear_subscriber:
      return clear_subscriber(command, now_s);
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

// A lifetime is never shorter than what traffic keeps the mapping for (RFC 6887 §15).
CommandResult Shard::open_explicit(const Command& command, uint32_t now_s) {
  using Status = CommandResult::Status;
  const uint32_t hash = hash_(command.key);
  const MappingIndex known = find(command.key, hash);
  if (known != null_mapping) {
    const net::Endpoint outside = slab_[known].outside();
    if (command.exact && !fits(outside, command.suggested))
      return {command.ticket, Status::not_available, outside, 0, 0};
    if (slab_[known].b4 != command.b4)
      if (const auto refused = move_mapping(known, command.b4, command.softwire))
        return {command.ticket, status_of(*refused), outside, 0, 0};
    if (slab_[known].is_static()) return {command.ticket, Status::done, outside, static_lifetime_s, 0};
    if (!let_in(known, command.let_in)) return {command.ticket, Status::table_full, outside, 0, 0};
    // What was granted before is not granted for longer by a restart, or a renewal that came to nothing.
    const uint32_t left_by_traffic_s = command.restored ? 0 : left_s(implicit_due_s(slab_[known]), now_s);
    const uint32_t lifetime_s = std::max(command.lifetime_s, left_by_traffic_s);
    set_life(known, Mapping::explicit_life, 0, expiry_after(std::max(lifetime_s, command.pinned_s), now_s));
    relink(known);
    return {command.ticket, Status::done, outside, lifetime_s, 0};
  }
  Wanted wanted;
  wanted.b4 = command.b4;
  wanted.softwire = command.softwire;
  wanted.life = Mapping::explicit_life;
  wanted.suggested = command.suggested;
  wanted.exact = command.exact;
  wanted.expiry_s = expiry_after(std::max(command.lifetime_s, command.pinned_s), now_s);
  Verdict why{};
  MappingIndex made = reclaim(command, wanted, now_s);
  if (made == null_mapping) made = make(command.key, hash, wanted, now_s, why);
  if (made == null_mapping) return {command.ticket, status_of(why), {}, 0, 0};
  const net::Endpoint outside = slab_[made].outside();
  if (!let_in(made, command.let_in)) {
    end(made, now_s);
    return {command.ticket, Status::table_full, {}, 0, 0};
  }
  counters_.opened_explicit.add();
  explicit_changes_.put(made);
  return {command.ticket, Status::done, outside, command.lifetime_s, 0};
}

// What a packet of the inside to the remote would do, a SYN if it is TCP, and then a life that needs no more of them.
CommandResult Shard::open_outbound(const Command& command, uint32_t now_s) {
  using Status = CommandResult::Status;
  const uint32_t hash = hash_(command.key);
  MappingIndex index = find(command.key, hash);
  if (index == null_mapping) {
    Wanted wanted;
    wanted.b4 = command.b4;
    wanted.softwire = command.softwire;
    wanted.life = Mapping::implicit_life;
    wanted.remote = command.remote;
    wanted.suggested = command.suggested;
    wanted.exact = command.exact;
    Verdict why{};
    index = make(command.key, hash, wanted, now_s, why);
    if (index == null_mapping) return {command.ticket, status_of(why), {}, 0, 0};
    counters_.opened_explicit.add();
  }
  const bool is_known = !slab_[index].has(Mapping::many_remotes)
                            ? slab_[index].first_remote == command.remote && slab_[index].tcp_state != TcpState::none
                            : live_session(index, command.remote) != null_session;
  const uint8_t tcp_flags = command.key.protocol == net::Protocol::tcp ? net::tcp_syn : uint8_t{0};
  if (!is_known)
    if (const auto refused = admit_outbound(index, command.b4, command.softwire, command.remote, tcp_flags, now_s))
      return {command.ticket, status_of(*refused), slab_[index].outside(), 0, 0};
  const bool keeps_list =
      slab_[index].is_static() || (slab_[index].has(Mapping::explicit_life) && command.let_in.count == 0);
  if (!keeps_list && !let_in(index, command.let_in))
    return {command.ticket, Status::table_full, slab_[index].outside(), 0, 0};
  const uint32_t expiry_s = command.lifetime_s == 0 ? 0 : expiry_after(command.lifetime_s, now_s);
  set_life(index, 0, 0, std::max(slab_[index].expiry_s, expiry_s));
  relink(index);
  return {command.ticket, Status::done, slab_[index].outside(), left_s(due_s(slab_[index]), now_s), 0};
}

// The port rests, and was this inside endpoint's: only others are kept from it (RFC 6887 §15). What was before a reboot
// only its owner asks for again, for nobody else's was it.
MappingIndex Shard::reclaim(const Command& command, const Wanted& wanted, uint32_t now_s) {
  now_s_ = now_s;
  const auto row = protocol_row(command.key.protocol);
  const auto number = policy().pool.number_of(command.suggested.address);
  if (!row || !number || policy().pool.owner(*number, command.suggested.port) != settings_.worker) return null_mapping;
  const MappingIndex there = inbound_slot(policy().pool.local_of(*number), *row, command.suggested.port);
  if (there == null_mapping || is_live(there) || key_of(slab_[there]) != command.key) return null_mapping;
  if (!command.reclaim && slab_[there].last_seen_s != 0) return null_mapping;
  if (live_.read() >= settings_.mappings_max) return null_mapping;
  const uint32_t subscriber = slab_[there].subscriber;
  if (follow_b4(subscriber, wanted.b4, wanted.softwire) || mapping_refusal(subscribers_[subscriber], wanted))
    return null_mapping;
  return revive(there, wanted, now_s) ? there : null_mapping;
}

CommandResult Shard::end_explicit(const Command& command, uint32_t now_s) {
  using Status = CommandResult::Status;
  const MappingIndex index = find(command.key, hash_(command.key));
  if (index == null_mapping) return {command.ticket, Status::unknown, {}, 0, 0};
  const net::Endpoint outside = slab_[index].outside();
  if (!slab_[index].has(Mapping::explicit_life) || slab_[index].is_static())
    return {command.ticket, Status::not_explicit, outside, 0, 0};
  // RFC 6887 §15: a delete may not end a mapping sooner than its outbound traffic would have.
  const uint32_t implicit_due = implicit_due_s(slab_[index]);
  if (implicit_due <= now_s && command.pinned_s == 0) {
    end(index, now_s);
    return {command.ticket, Status::done, outside, 0, 1};
  }
  let_in(index, command.let_in);  // one list for another, or less: there is room
  set_life(index, 0, Mapping::explicit_life, command.pinned_s == 0 ? now_s : expiry_after(command.pinned_s, now_s));
  relink(index);
  return {command.ticket, Status::done, outside, implicit_due > now_s ? implicit_due - now_s : 0, 0};
}

CommandResult Shard::unpin(const Command& command, uint32_t now_s) {
  using Status = CommandResult::Status;
  const MappingIndex index = find(command.key, hash_(command.key));
  if (index == null_mapping) return {command.ticket, Status::unknown, {}, 0, 0};
  const bool is_explicit = slab_[index].has(Mapping::explicit_life);
  const uint32_t expiry_s = command.pinned_s == 0 ? now_s : expiry_after(command.pinned_s, now_s);
  if (!is_explicit) let_in(index, command.let_in);
  set_life(index, 0, 0, is_explicit ? std::max(expiry_s, slab_[index].expiry_s) : expiry_s);
  relink(index);
  return {command.ticket, Status::done, slab_[index].outside(), left_s(due_s(slab_[index]), now_s), 0};
}

CommandResult Shard::tell_holder(const Command& command) const {
  using Status = CommandResult::Status;
  const auto number = policy().pool.number_ever_of(command.suggested.address);
  if (!number || policy().pool.owner(*number, command.suggested.port) != settings_.worker)
    return {command.ticket, Status::unknown, {}, 0, 0};
  const uint32_t local_address = policy().pool.local_of(*number);
  const uint32_t block = blocks_.block_of(local_address, command.suggested.port);
  const uint32_t holder = block == PortBlocks::no_block ? PortBlocks::no_owner : blocks_.owner(block);
  if (holder == PortBlocks::no_owner || holder == PortBlocks::foreign)
    return {command.ticket, Status::unknown, {}, 0, 0};
  CommandResult result{command.ticket, Status::done, {}, 0, 0};
  result.key.subscriber = subscribers_[holder].prefix;
  if (const auto row = protocol_row(command.key.protocol)) {
    const MappingIndex index = inbound_slot(local_address, *row, command.suggested.port);
    if (is_live(index)) result.key = key_of(slab_[index]);
  }
  return result;
}

// Block by block from the last to the first, for when one empties between two slices the last takes its place: so none
// is left out.
CommandResult Shard::clear_subscriber(const Command& command, uint32_t now_s) {
  const uint32_t index = subscribers_.find(command.key.subscriber);
  if (index == 0) return {command.ticket, CommandResult::Status::unknown, {}, 0, 0};
  CommandResult result{command.ticket, CommandResult::Status::done, {}, 0, 0};
  const Subscriber subscriber = subscribers_[index];
  auto place = ClearingPlace::unpacked(command.resume, subscriber.block_count);
  uint32_t looked_at = 0;
  for (; place.blocks_left > 0; place = {place.blocks_left - 1, 0}) {
    const uint32_t block = subscriber.blocks[place.blocks_left - 1];
    for (const PortRange ports = blocks_.ports_of(block); place.at < protocol_rows * ports.count(); ++place.at) {
      if (looked_at++ == ports_per_command_max || result.ended == cleared_per_command_max) {
        result.resume = place.packed();
        return result;
      }
      const auto port = static_cast<uint16_t>(ports.low + place.at % ports.count());
      clear_port(blocks_.local_address_of(block), place.at / ports.count(), {port}, now_s, result);
    }
  }
  return result;
}

void Shard::clear_port(uint32_t local_address, uint32_t row, net::Port port, uint32_t now_s, CommandResult& result) {
  if (!blocks_.taken(local_address, row, port)) return;
  const MappingIndex index = inbound_slot(local_address, row, port);
  if (!is_live(index)) return;
  if (slab_[index].is_static()) return void(++result.kept);
  end(index, now_s);
  ++result.ended;
}

}  // namespace portolan::nat
