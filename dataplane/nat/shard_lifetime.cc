// How a shard's mappings end: when they are due, how they rest, how the wheel finds them.
#include <algorithm>

#include "dataplane/nat/shard.h"
#include "dataplane/nat/tcp_state.h"

namespace portolan::nat {

namespace {

constexpr uint32_t session_look_s = 600;

}  // namespace

uint32_t Shard::idle_timeout_s(net::Protocol protocol, TcpState state) const {
  const Timeouts& timeouts = policy().timeouts;
  switch (protocol) {
    case net::Protocol::tcp:
      return is_opening(state)      ? timeouts.tcp_opening_s
             : is_transitory(state) ? timeouts.tcp_transitory_s
                                    : timeouts.tcp_established_s;
    case net::Protocol::udp:
      return timeouts.udp_s;
    default:
      return timeouts.icmp_s;
  }
}

// With sessions of its own a TCP mapping lives while one of them does: at most that of an established connection.
uint32_t Shard::idle_timeout_s(const Mapping& mapping) const {
  const bool is_one = !mapping.has(Mapping::many_remotes | Mapping::untracked);
  return idle_timeout_s(mapping.protocol, is_one ? mapping.tcp_state : TcpState::established);
}

// One second more than the timeout, because last_seen_s is rounded down: never earlier than promised.
uint32_t Shard::implicit_due_s(const Mapping& mapping) const {
  return mapping.has(Mapping::implicit_life) ? mapping.last_seen_s + idle_timeout_s(mapping) + 1 : 0;
}

uint32_t Shard::due_s(const Mapping& mapping) const {
  if (mapping.has(Mapping::held)) return mapping.expiry_s;
  return std::max(mapping.expiry_s, implicit_due_s(mapping));
}

void Shard::relink(MappingIndex index) {
  wheel_.unlink(index);
  wheel_.link(index, due_s(slab_[index]));
}

std::optional<PortBlocks::Lease> Shard::lease_of(const Mapping& mapping) const {
  const auto number = policy().pool.number_ever_of(mapping.outside_address);
  if (!number || policy().pool.owner(*number, mapping.outside_port) != settings_.worker) return std::nullopt;
  return PortBlocks::Lease{policy().pool.local_of(*number), mapping.outside_port};
}

OutboundKey Shard::key_of(const Mapping& mapping) const {
  return {net::masked(mapping.b4, prefix_length(mapping.has(Mapping::plain))), mapping.inside_address,
          mapping.inside_port, mapping.protocol, 0};
}

void Shard::release(const Mapping& mapping) {
  const auto lease = lease_of(mapping);
  const uint32_t row = *protocol_row(mapping.protocol);
  inbound_slot(lease->local_address, row, lease->port) = null_mapping;
  blocks_.release_port(blocks_.block_of(lease->local_address, lease->port), row, lease->port);
  subscribers_.add(mapping.subscriber, &Subscriber::mappings, -1);
  forget_if_idle(mapping.subscriber);
}

// How long its port rests (RFC 6888 REQ-8). `expiry_s` tells whether PCP made it.
uint32_t Shard::rest_s(const Mapping& mapping) const {
  const Timeouts& timeouts = policy().timeouts;
  if (policy().quarantine_ports_max != 0 && held_.read() >= policy().quarantine_ports_max) return 0;
  const bool long_believed =
      mapping.expiry_s != 0 && mapping.expiry_s != Mapping::never_s && mapping.protocol == net::Protocol::tcp;
  return (long_believed ? timeouts.quarantine_pcp_tcp_s : timeouts.quarantine_s) + 1;  // as in implicit_due_s
}

// Leaves the outbound index; the record keeps the port until the hold is over (RFC 6888 REQ-8). Must be linked in the
// wheel.
void Shard::end(MappingIndex index, uint32_t now_s) {
  end_sessions(index);
  forget_list(index);
  Mapping mapping = slab_[index];
  const bool was_explicit = mapping.has(Mapping::explicit_life);
  subscribers_.add(mapping.subscriber, &Subscriber::live, -1);
  outbound_.erase(hash_(key_of(mapping)), index);
  mapping.flags = static_cast<uint8_t>(Mapping::held | (mapping.flags & Mapping::plain));
  mapping.expiry_s = now_s + rest_s(mapping);
  slab_.write(index, mapping);
  if (was_explicit) explicit_changes_.put(index);
  relink(index);
  live_.set(live_.read() - 1);
  held_.add();
  counters_.ended.add();
}

uint32_t Shard::tend(uint32_t now_s, uint32_t budget) {
  uint32_t work = expire(now_s, budget);
  if (sweep_at_ != 0)
    work += sweep(now_s, budget);
  else if (!policy().statics.rows().empty())
    work += settle_statics(now_s, budget);  // after the sweep, which ends those that made room
  if (audit_.phase != decltype(audit_.phase)::none) work += audit_slice(budget);
  return work;
}

// After a change of policy: what it no longer allows ends, what lives shorter now is due sooner.
uint32_t Shard::sweep(uint32_t now_s, uint32_t budget) {
  uint32_t looked_at = 0;
  for (; looked_at < budget && sweep_at_ < slab_.capacity(); ++looked_at, ++sweep_at_) {
    if (!is_live(sweep_at_)) continue;
    if (policy().pool.number_of(slab_[sweep_at_].outside_address) && !is_static_no_more(slab_[sweep_at_])) {
      relink(sweep_at_);
      continue;
    }
    end(sweep_at_, now_s);
    counters_.swept.add();
  }
  if (sweep_at_ == slab_.capacity()) sweep_at_ = 0, counters_.sweeps_done.add();
  return looked_at;
}

uint32_t Shard::expire(uint32_t now_s, uint32_t budget) {
  now_s_ = now_s;
  sweep_sessions(budget);
  uint32_t looked_at = 0;
  for (; looked_at < budget; ++looked_at) {
    const MappingIndex index = wheel_.take(now_s);
    if (index == null_mapping) break;
    const Mapping& mapping = slab_[index];
    const uint32_t due = due_s(mapping);
    if (due > now_s) {
      if (mapping.has(Mapping::explicit_life) && mapping.expiry_s <= now_s) {
        forget_list(index);
        set_flags(index, 0, Mapping::explicit_life);
      }
      wheel_.link(index, due);
    } else if (mapping.has(Mapping::held)) {
      release(mapping);
      slab_.give_back(index);
      held_.set(held_.read() - 1);
    } else if (mapping.protocol == net::Protocol::tcp && sessions_.count_of(index) > 0) {
      wheel_.link(index, now_s + session_look_s);  // end_session() brings it back when the last of them ends
    } else {
      wheel_.link(index, due);
      end(index, now_s);
      counters_.expired.add();
    }
  }
  return looked_at;
}

void Shard::sweep_sessions(uint32_t budget) {
  sessions_.sweep(
      now_s_, budget, [&](const Session& session) { return session_due_s(session) <= now_s_; },
      [&](SessionIndex index) { end_session(index); });
}

void Shard::set_flags(MappingIndex index, uint8_t add, uint8_t remove) {
  set_life(index, add, remove, slab_[index].expiry_s);
}

void Shard::set_life(MappingIndex index, uint8_t add, uint8_t remove, uint32_t expiry_s) {
  Mapping mapping = slab_[index];
  const bool was_explicit = mapping.has(Mapping::explicit_life);
  mapping.flags = static_cast<uint8_t>((mapping.flags | add) & ~remove);
  mapping.expiry_s = expiry_s;
  slab_.write(index, mapping);
  if (was_explicit != mapping.has(Mapping::explicit_life)) explicit_changes_.put(index);
}

}  // namespace portolan::nat
