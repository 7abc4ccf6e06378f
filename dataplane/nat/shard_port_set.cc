// Several inside ports mapped as one, to outside ports in the same order without a gap (RFC 7753): as many as lie
// together, at least one. Each is a mapping like any other; that they are one is PCP's knowledge.
#include <algorithm>

#include "dataplane/nat/shard.h"

namespace portolan::nat {

namespace {

net::Port after(net::Port port, uint32_t count) { return {static_cast<uint16_t>(port.number + count)}; }

}  // namespace

CommandResult Shard::open_set(const Command& command, uint32_t now_s) {
  using Status = CommandResult::Status;
  now_s_ = now_s;
  Command one = command;
  one.ports = 1;
  const MappingIndex first = find(command.key, hash_(command.key));
  if (first != null_mapping) {
    one.suggested = slab_[first].outside();
  } else if (command.suggested.port == net::Port{}) {
    if (const auto run = find_run(command)) one.suggested = *run;
  }
  CommandResult result = open_explicit(one, now_s);
  if (result.status != Status::done) {
    if (const uint32_t subscriber = subscribers_.find(command.key.subscriber)) forget_if_idle(subscriber);
    return result;
  }
  if (result.lifetime_s == static_lifetime_s) return result;
  const auto open_its = [&](uint32_t i) {
    one.key.inside_port = after(command.key.inside_port, i);
    one.suggested = {result.outside.address, after(result.outside.port, i)};
    one.exact = true;
    return open_explicit(one, now_s);
  };
  uint32_t shortest_s = result.lifetime_s;
  for (uint32_t i = 1; i < command.ports; ++i) {
    const bool wraps = after(result.outside.port, i).number == 0 || after(command.key.inside_port, i).number == 0;
    const CommandResult next = wraps ? CommandResult{} : open_its(i);
    if (wraps || next.status != Status::done || next.lifetime_s == static_lifetime_s) break;
    result.ports = static_cast<uint16_t>(i + 1);
    shortest_s = std::min(shortest_s, next.lifetime_s);
    result.lifetime_s = std::max(result.lifetime_s, next.lifetime_s);
  }
  // One lifetime is told of them, so it is of each: the longest, where traffic keeps one for longer than was asked.
  one.lifetime_s = result.lifetime_s;
  if (shortest_s != result.lifetime_s)
    for (uint32_t i = 0; i < result.ports; ++i) open_its(i);
  return result;
}

CommandResult Shard::end_set(const Command& command, uint32_t now_s) {
  Command one = command;
  one.ports = 1;
  CommandResult result = end_explicit(one, now_s);
  for (uint32_t i = 1; i < command.ports; ++i) {
    one.key.inside_port = after(command.key.inside_port, i);
    const CommandResult next = end_explicit(one, now_s);
    result.lifetime_s = std::max(result.lifetime_s, next.lifetime_s);
    result.ended += next.ended;
  }
  return result;
}

// Where the longest run of free ports begins, as long as is wanted, in his blocks or in a new one.
std::optional<net::Endpoint> Shard::find_run(const Command& command) {
  const auto row = protocol_row(command.key.protocol);
  const auto subscriber = subscriber_for(command.key.subscriber, command.suggested.address);
  if (!row || !subscriber) return std::nullopt;
  Run best;
  const auto look_in = [&](uint32_t block) {
    const Run run = longest_run(block, *row, command);
    if (run.ports > best.ports) best = run;
  };
  const Subscriber& his = subscribers_[*subscriber];
  const uint32_t local = his.local_address;
  own_range(*subscriber);
  for (uint8_t i = 0; i < his.block_count && best.ports < command.ports; ++i)
    if (blocks_.local_address_of(his.blocks[i]) == local) look_in(his.blocks[i]);
  if (best.ports < command.ports && blocks_here(his) < policy().limits.blocks_per_subscriber_max) {
    const uint32_t block = blocks_.take_block(local, *subscriber);
    if (give_block(*subscriber, block)) look_in(block);
  }
  const net::Ipv4 address = address_of_local(local);
  if (best.ports < 2) forget_if_idle(*subscriber);
  return best.ports < 2 ? std::nullopt : std::optional(net::Endpoint{address, best.first});
}

Shard::Run Shard::longest_run(uint32_t block, uint32_t row, const Command& command) const {
  const PortRange range = blocks_.ports_of(block);
  const uint32_t local = blocks_.local_address_of(block);
  const auto fits_parity = [&](uint32_t port) {
    return !command.keep_parity || ((port ^ uint32_t{command.key.inside_port.number}) & 1U) == 0;
  };
  Run best;
  for (uint32_t from = range.low; from <= range.high; ++from) {
    if (!fits_parity(from)) continue;
    uint32_t end = from;
    while (end <= range.high && end - from < command.ports) {
      const net::Port port{static_cast<uint16_t>(end)};
      if (blocks_.taken(local, row, port) || blocks_.is_reserved(row, port)) break;
      ++end;
    }
    if (end - from > best.ports) best = {{static_cast<uint16_t>(from)}, end - from};
    if (best.ports == command.ports) break;
    if (end > from) from = end;  // the port at `end` is taken
  }
  return best;
}

}  // namespace portolan::nat
