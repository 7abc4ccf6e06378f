#include "controlplane/who_command.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "controlplane/command_subscriber.h"
#include "controlplane/outside_endpoint.h"
#include "controlplane/record_view.h"
#include "controlplane/record_walk.h"

namespace portolan::control {

namespace {

using net::to_text;
using Fields = std::vector<std::pair<std::string, Cell>>;

// Who was found so far: the mapping, or else whoever holds the port's block.
struct Found {
  Fields mapping;
  std::string block_of;
};

Fields fields_of(const Aftr& aftr, const nat::Shard& shard, unsigned worker, const nat::Mapping& mapping) {
  const auto subscriber = shard.read_subscriber(mapping.subscriber);
  const bool rests = mapping.has(nat::Mapping::held);
  const int64_t ends_in_s = int64_t{shard.due_s(mapping)} - aftr.now_s();
  const int64_t unused_s = int64_t{aftr.now_s()} - mapping.last_seen_s;
  const bool no_remote = mapping.first_remote == net::Endpoint{};
  return {{"state", std::string(rests ? "resting" : "in use")},
          {"subscriber", subscriber ? Cell{subscriber_text(aftr, subscriber->prefix)} : Cell{}},
          {"b4", mapping.has(nat::Mapping::plain) ? Cell{} : Cell{to_text(mapping.b4)}},
          {"inside", to_text(mapping.inside())},
          {"life", life_text(mapping)},
          {"tcp_state", std::string(state_text(mapping))},
          {"first_remote", no_remote ? Cell{} : Cell{to_text(mapping.first_remote)}},
          {"last_outbound_s_ago", std::max<int64_t>(unused_s, 0)},
          {"ends_in_s", mapping.is_static() ? Cell{} : Cell{std::max<int64_t>(ends_in_s, 0)}},
          {"worker", uint64_t{worker}}};
}

bool holds(const nat::Shard& shard, const nat::Subscriber& subscriber, net::Endpoint outside) {
  return std::ranges::any_of(blocks_of(subscriber), [&](uint32_t block) {
    const nat::PortRange ports = ports_of_block(shard, block);
    return address_of_block(shard, block) == outside.address && outside.port.number >= ports.low &&
           outside.port.number <= ports.high;
  });
}

Fields nobody(const Aftr& aftr, const OutsideEndpoint& asked, const std::string& block_of) {
  const bool in_pool = aftr.snapshot().policy.pool.number_of(asked.endpoint.address).has_value();
  Fields fields = {{"state", std::string(in_pool ? "nobody" : "not in the pool")}};
  if (!in_pool) return fields;
  fields.emplace_back("block_of", block_of.empty() ? Cell{} : Cell{block_of});
  if (const auto* rules = aftr.snapshot().policy.pool.deterministic()) {  // without a log (RFC 7422 §2)
    const auto subscriber = rules->subscriber_of(asked.endpoint.address, asked.endpoint.port);
    fields.emplace_back("range_of", subscriber ? Cell{subscriber_text(aftr, *subscriber)} : Cell{});
  }
  return fields;
}

Reply who(const Aftr& aftr, const Request& request) {
  const auto asked = parse_outside(request.args);
  if (!asked) return bad_outside("who");
  const auto found = std::make_shared<Found>();
  const auto mappings = walk_mappings(
      aftr,
      [&aftr, asked = *asked, found](Row&, const nat::Shard& shard, unsigned worker, const nat::Mapping& mapping) {
        if (mapping.outside() != asked.endpoint || mapping.protocol != asked.protocol) return false;
        found->mapping = fields_of(aftr, shard, worker, mapping);
        return true;
      });
  const auto subscribers = walk_subscribers(
      aftr, [&aftr, asked = *asked, found](Row&, const nat::Shard& shard, unsigned, const nat::Subscriber& subscriber) {
        if (!holds(shard, subscriber, asked.endpoint)) return false;
        found->block_of = subscriber_text(aftr, subscriber.prefix);
        return true;
      });
  // First all mappings, then the blocks; one piece a call.
  Reply reply;
  reply.output = [&aftr, asked = *asked, json = request.json, found, mappings, subscribers,
                  searching = Step::pause](std::string& chunk) mutable {
    Row unused;
    if (searching == Step::pause) searching = mappings(unused);
    if (searching == Step::pause) return true;
    if (searching == Step::end && subscribers(unused) == Step::pause) return true;
    Fields fields = {{"outside", to_text(asked.endpoint)}, {"protocol", to_text(asked.protocol)}};
    std::ranges::move(searching == Step::row ? found->mapping : nobody(aftr, asked, found->block_of),
                      std::back_inserter(fields));
    return record_reply({.json = json}, std::move(fields)).output(chunk);
  };
  return reply;
}

// The other way: whose range is where, by the configuration alone.
Reply show_range(const Aftr& aftr, const Request& request) {
  const auto* rules = aftr.snapshot().policy.pool.deterministic();
  if (rules == nullptr)
    return error_reply(Code::bad_argument, "nobody's ports are fixed: pool.deterministic-for is not set");
  if (request.args.size() != 1) return error_reply(Code::bad_argument, "show range wants one SUBSCRIBER");
  const auto subscriber = parse_subscriber(aftr, request.args[0]);
  if (!subscriber) return bad_subscriber(request.args[0]);
  const auto range = rules->range_of(*subscriber);
  if (!range)
    return error_reply(Code::bad_argument, subscriber_text(aftr, *subscriber) + " is not of pool.deterministic-for");
  return record_reply(request, {{"subscriber", subscriber_text(aftr, *subscriber)},
                                {"outside_address", to_text(range->address)},
                                {"first_port", uint64_t{range->ports.low}},
                                {"last_port", uint64_t{range->ports.high}}});
}

}  // namespace

void add_who_command(CommandTable& table, const Aftr& aftr) {
  table.add({"who", "ADDRESS:PORT tcp|udp|icmp", Access::view,
             [&aftr](const Request& request) { return who(aftr, request); },
             "Who has an outside port now, or nobody and whose block it lies in."});
  table.add({"show range", "SUBSCRIBER", Access::view,
             [&aftr](const Request& request) { return show_range(aftr, request); },
             "The outside address and ports that are a subscriber's by pool.deterministic-for."});
}

}  // namespace portolan::control
