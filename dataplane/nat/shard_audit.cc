// The audit: the slab against the indexes, the bitmaps and the blocks, each way. Every check concerns one record, one
// block or one bucket and is exact at the instant it is made, so that it can be made in slices while traffic goes on.
#include <algorithm>
#include <bit>
#include <string>

#include "dataplane/nat/shard.h"
#include "dataplane/net/text.h"

namespace portolan::nat {

// Of one record: everything that should lead to it does.
template <class Report>
void Shard::audit_record(MappingIndex index, Report report) const {
  const Mapping& mapping = slab_[index];
  if (!mapping.has(Mapping::in_use | Mapping::held)) return;
  const auto lease = lease_of(mapping);
  const auto row = protocol_row(mapping.protocol);
  if (!lease || !row) return report(AuditFault::not_of_this_shard, index);
  const auto key = key_of(mapping);
  if ((find(key, hash_(key)) == index) != mapping.has(Mapping::in_use)) report(AuditFault::outbound_index, index);
  if (inbound_slot(lease->local_address, *row, lease->port) != index) report(AuditFault::inbound_index, index);
  const uint32_t block = blocks_.block_of(lease->local_address, lease->port);
  if (!blocks_.taken(lease->local_address, *row, lease->port))
    report(AuditFault::port_not_taken, index);
  else if (block == PortBlocks::no_block || blocks_.owner(block) != mapping.subscriber)
    report(AuditFault::block_of_another, index);
  if (mapping.subscriber >= subscribers_.capacity()) return report(AuditFault::subscriber, index);
  const Subscriber& subscriber = subscribers_[mapping.subscriber];
  if (subscriber.in_use == 0 || subscriber.prefix != key.subscriber) report(AuditFault::subscriber, index);
  audit_sessions(index, report);
}

// Of one mapping: it has the sessions it says it has, and they are found.
template <class Report>
void Shard::audit_sessions(MappingIndex index, Report report) const {
  const Mapping& mapping = slab_[index];
  if (mapping.has(Mapping::many_remotes) != (sessions_.count_of(index) > 0))
    return report(AuditFault::sessions_count, index);
  uint32_t count = 0;
  for (SessionIndex at = sessions_.first_of(index); at != null_session; at = sessions_[at].next) {
    const Session& session = sessions_[at];
    if (!session.has(Session::in_use) || session.mapping != index || session.outside != mapping.outside() ||
        session.protocol() != mapping.protocol)
      return report(AuditFault::session_of_another, index);
    if (sessions_.find(index, session.remote) != at) return report(AuditFault::session_index, index);
    if (!session.has(Session::grant)) ++count;
  }
  if (count != sessions_.count_of(index)) report(AuditFault::sessions_count, index);
}

// Of one block: each port marked taken is a mapping's that knows of it, and the counts are those of the bits.
template <class Report>
void Shard::audit_block(uint32_t block, Report report) const {
  const uint32_t owner = blocks_.owner(block);
  if (owner == PortBlocks::foreign) return;
  const uint32_t local = blocks_.local_address_of(block);
  uint32_t taken = 0;
  for (uint32_t row = 0; row < protocol_rows; ++row)
    blocks_.for_each_taken(block, row, [&](net::Port port) {
      ++taken;
      const MappingIndex index = inbound_slot(local, row, port);
      if (index == null_mapping || index >= slab_.capacity()) return report(AuditFault::port_of_nobody, null_mapping);
      const Mapping& mapping = slab_[index];
      if (mapping.outside_port != port || protocol_row(mapping.protocol) != row ||
          mapping.outside_address != address_of_local(local))
        report(AuditFault::port_of_another, index);
    });
  if (taken != blocks_.ports_used(block)) report(AuditFault::block_count, null_mapping);
  if (owner == PortBlocks::no_owner) {
    if (taken != 0) report(AuditFault::block_owner, null_mapping);
    return;
  }
  const Subscriber& subscriber = subscribers_[owner];
  const auto held = std::span(subscriber.blocks).first(std::min(subscriber.block_count, Subscriber::blocks_capacity));
  if (subscriber.in_use == 0 || std::ranges::find(held, block) == held.end())
    report(AuditFault::block_owner, null_mapping);
}

// Of one bucket of the outbound index: each entry is a live mapping that is found through it.
template <class Report>
void Shard::audit_bucket(size_t bucket, Report report) const {
  outbound_.for_each_in(bucket, [&](MappingIndex index) {
    if (index >= slab_.capacity()) return report(AuditFault::index_entry, null_mapping);
    const auto key = key_of(slab_[index]);
    if (!is_live(index) || find(key, hash_(key)) != index) report(AuditFault::index_entry, index);
  });
}

uint32_t Shard::audit_slice(uint32_t budget) {
  using Phase = decltype(audit_.phase);
  const auto report = [this](AuditFault fault, MappingIndex index) {
    Event event;
    event.kind = Event::Kind::audit_fault;
    event.time_s = now_s_;
    event.fault = static_cast<uint16_t>(fault);
    event.record = index;
    if (index != null_mapping) {
      const Mapping& mapping = slab_[index];
      event.subscriber = key_of(mapping).subscriber;
      event.address = mapping.outside_address;
      event.first = event.last = mapping.outside_port;
      event.protocol = mapping.protocol;
    }
    counters_.audit_faults.add();
    events_.put(event);
  };
  constexpr uint32_t block_cost = 32;  // records' worth of time
  for (uint32_t spent = 0; spent < budget;) {
    switch (audit_.phase) {
      case Phase::none:
        return spent;
      case Phase::records:
        if (audit_.at == slab_.capacity()) {
          audit_ = {Phase::blocks, 0};
          break;
        }
        audit_record(static_cast<MappingIndex>(audit_.at++), report);
        counters_.audit_checked.add();
        ++spent;
        break;
      case Phase::blocks:
        if (audit_.at == blocks_.end()) {
          audit_ = {Phase::index, 0};
          break;
        }
        audit_block(static_cast<uint32_t>(audit_.at++), report);
        spent += block_cost;
        break;
      case Phase::index:
        if (audit_.at == outbound_.buckets()) {
          audit_ = {};
          counters_.audits_done.add();
          return spent;
        }
        audit_bucket(audit_.at++, report);
        ++spent;
    }
  }
  return budget;
}

uint32_t Shard::audit(std::vector<std::string>& findings) const {
  constexpr size_t findings_max = 20;
  uint32_t count = 0;
  const auto report = [&](AuditFault fault, MappingIndex index) {
    ++count;
    if (findings.size() >= findings_max) return;
    std::string text = "record " + std::to_string(index);
    if (index != null_mapping)
      text += " (" + net::to_text(slab_[index].outside()) + " " + net::to_text(slab_[index].protocol) + ")";
    findings.push_back(text + ": " + std::string(to_text(fault)));
  };
  uint64_t live = 0, held = 0, ports_used = 0, indexed = 0, of_subscribers = 0, sessions = 0;
  std::vector<Subscriber> of(subscribers_.capacity());
  for (MappingIndex index = 1; index < slab_.capacity(); ++index) {
    audit_record(index, report);
    if (slab_[index].has(Mapping::held)) ++held;
    if (!is_live(index)) continue;
    ++live;
    if (slab_[index].subscriber >= of.size()) continue;
    Subscriber& subscriber = of[slab_[index].subscriber];
    ++subscriber.live;
    subscriber.sessions += sessions_of(index);
    for (SessionIndex at = sessions_.first_of(index); at != null_session; at = sessions_[at].next) {
      ++sessions;
      if (sessions_[at].has(Session::inbound)) ++subscriber.inbound_sessions;
    }
  }
  for (uint32_t block = 0; block < blocks_.end(); ++block) {
    audit_block(block, report);
    if (blocks_.owner(block) != PortBlocks::foreign) ports_used += blocks_.ports_used(block);
  }
  for (size_t bucket = 0; bucket < outbound_.buckets(); ++bucket) {
    audit_bucket(bucket, report);
    outbound_.for_each_in(bucket, [&](MappingIndex) { ++indexed; });
  }
  for (uint32_t index = 1; index < subscribers_.capacity(); ++index) {
    const Subscriber& subscriber = subscribers_[index];
    if (subscriber.in_use == 0) continue;
    of_subscribers += subscriber.mappings;
    if (subscriber.live != of[index].live || subscriber.sessions != of[index].sessions ||
        subscriber.inbound_sessions != of[index].inbound_sessions)
      report(AuditFault::subscriber_counts, null_mapping);
  }
  if (sessions != sessions_.live() || sessions != sessions_.indexed()) report(AuditFault::session_index, null_mapping);
  if (live != live_.read() || held != held_.read() || ports_used != live + held || indexed != live ||
      of_subscribers != live + held)
    report(AuditFault::mappings_count, null_mapping);
  return count;
}

}  // namespace portolan::nat
