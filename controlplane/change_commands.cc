// The commands that change something: reload, clear. What they ask of a shard goes to its worker, and the reply's last
// line comes when its result has.
#include "controlplane/change_commands.h"

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "controlplane/command_subscriber.h"
#include "controlplane/outside_endpoint.h"

namespace portolan::control {

namespace {

using Verb = nat::Command::Verb;

Reply reload(Aftr& aftr, const Request& request) {
  const Aftr::Reloaded outcome = aftr.reload();
  std::vector<Row> rows;
  for (const auto& error : outcome.errors) rows.push_back({error});
  if (!rows.empty()) {
    Reply reply = table_reply(request, {{"error"}}, std::move(rows));
    reply.code = Code::failed;
    reply.text = "nothing was changed";
    return reply;
  }
  for (const auto& change : outcome.changes) rows.push_back({change.setting->name(), change.was, change.is});
  if (rows.empty() && !request.json) return text_reply("nothing has changed");
  return table_reply(request, {{"setting"}, {"was"}, {"is"}}, std::move(rows));
}

// The port blocks of some outside addresses, whose holders are to be found.
struct Blocks {
  std::vector<uint32_t> addresses;  // numbers in the pool
  size_t at = 0;
  uint32_t block = 0;  // of the address that is next
};

// What is to end, and what has been asked of its owners.
struct Clearing {
  static constexpr size_t asked_max = 2;  // at once, so that a worker has little of it to do between two bursts
  std::string name;                       // what is cleared, for the reply
  std::deque<nat::Command> wanted = {};
  Blocks blocks = {};                                           // after `wanted`
  std::unordered_set<net::Ipv6, nat::HashPrefix> holders = {};  // found until now
  size_t waiting_for = 0;                                       // answers
  uint64_t ended = 0, ended_explicit = 0, kept = 0;
};

nat::Command clearing_subscriber(const net::Ipv6& subscriber) {
  nat::Command command;
  command.verb = Verb::clear_subscriber;
  command.key.subscriber = subscriber;
  return command;
}

nat::Command finding_holder(net::Endpoint outside, net::Protocol protocol = {}) {
  nat::Command command;
  command.verb = Verb::tell_holder;
  command.suggested = outside;
  command.key.protocol = protocol;
  return command;
}

std::optional<nat::Command> next_of(Clearing& clearing, const nat::Pool& pool) {
  if (!clearing.wanted.empty()) {
    const nat::Command command = clearing.wanted.front();
    clearing.wanted.pop_front();
    return command;
  }
  Blocks& blocks = clearing.blocks;
  if (blocks.at == blocks.addresses.size()) return std::nullopt;
  const net::Port first{pool.layout().ports_of(blocks.block).low};
  const net::Ipv4 address = pool.address_of(blocks.addresses[blocks.at]);
  if (++blocks.block == pool.layout().blocks()) blocks.block = 0, ++blocks.at;
  return finding_holder({address, first});
}

void take(Aftr& aftr, Clearing& clearing, nat::Command command, const nat::CommandResult& result) {
  clearing.ended += result.ended;
  clearing.kept += result.kept;
  if (result.resume != 0) {
    command.resume = result.resume;
    clearing.wanted.push_front(command);
    return;
  }
  const auto& [subscriber, address, port, protocol, zero] = command.key;
  switch (command.verb) {
    case Verb::clear_subscriber:
      clearing.ended_explicit += aftr.pcp_forget(subscriber);
      break;
    case Verb::end_mapping:
      if (result.kept == 0) clearing.ended_explicit += aftr.pcp_forget({subscriber, address, port, protocol});
      break;
    default:  // tell_holder: of the one mapping that is to end, or of a block
      if (result.key.protocol != net::Protocol{}) {
        command.verb = Verb::end_mapping;
        command.key = result.key;
        clearing.wanted.push_back(command);
      } else if (command.key.protocol == net::Protocol{} && result.status == nat::CommandResult::Status::done &&
                 clearing.holders.insert(result.key.subscriber).second) {
        clearing.wanted.push_back(clearing_subscriber(result.key.subscriber));
      }
  }
}

// False: the ring of the worker is full.
bool ask(Aftr& aftr, const std::shared_ptr<Clearing>& clearing, const nat::Command& command) {
  const auto done = [&aftr, clearing, command](const nat::CommandResult& result) {
    --clearing->waiting_for;
    take(aftr, *clearing, command, result);
  };
  if (command.verb != Verb::tell_holder) return aftr.submit(command, done);
  const nat::Pool& pool = aftr.snapshot().policy.pool;
  const auto number = pool.number_ever_of(command.suggested.address);
  return aftr.submit_to(pool.owner(number.value_or(0), command.suggested.port), command, done);
}

// True when there is nothing left to do.
bool clear_some(Aftr& aftr, const std::shared_ptr<Clearing>& clearing) {
  while (clearing->waiting_for < Clearing::asked_max) {
    const auto command = next_of(*clearing, aftr.snapshot().policy.pool);
    if (!command) return clearing->waiting_for == 0;
    if (!ask(aftr, clearing, *command)) {
      clearing->wanted.push_front(*command);
      return false;
    }
    ++clearing->waiting_for;
  }
  return false;
}

Reply clear(Aftr& aftr, const Request& request, Clearing wanted) {
  Reply reply;
  reply.output = [&aftr, json = request.json,
                  clearing = std::make_shared<Clearing>(std::move(wanted))](std::string& chunk) {
    if (!clear_some(aftr, clearing)) return true;  // not yet
    if (json)
      return record_reply({.json = true}, {{"cleared", clearing->name},
                                           {"mappings_ended", clearing->ended},
                                           {"pcp_mappings_ended", clearing->ended_explicit},
                                           {"static_mappings_kept", clearing->kept}})
          .output(chunk);
    chunk += clearing->name + ": " + std::to_string(clearing->ended) + " mappings ended, " +
             std::to_string(clearing->ended_explicit) + " of them made by PCP\n";
    if (clearing->kept > 0)
      chunk += std::to_string(clearing->kept) + " static ones stay: those end by nat.static-mapping and reload\n";
    return false;
  };
  return reply;
}

Reply clear_subscriber(Aftr& aftr, const Request& request) {
  if (request.args.size() != 1)
    return error_reply(Code::bad_argument, "needs one PREFIX; usage: clear subscriber PREFIX");
  const auto subscriber = parse_subscriber(aftr, request.args[0]);
  if (!subscriber) return bad_subscriber(request.args[0]);
  return clear(aftr, request, {subscriber_text(aftr, *subscriber), {clearing_subscriber(*subscriber)}});
}

std::vector<uint32_t> numbers_within(const nat::Pool& pool, const net::Ipv4Prefix& prefix) {
  std::vector<uint32_t> numbers;
  if (net::size(prefix) == 1) {
    if (const auto number = pool.number_ever_of(prefix.address)) numbers.push_back(*number);
    return numbers;
  }
  for (uint32_t number = 0; number < pool.address_count(); ++number)
    if (net::contains(prefix, pool.address_of(number))) numbers.push_back(number);
  return numbers;
}

Reply clear_address(Aftr& aftr, const Request& request) {
  const auto text = request.args.size() == 1 ? request.args[0] : std::string_view{};
  auto prefix = net::parse_ipv4_prefix(text);
  if (const auto address = net::parse_ipv4(text)) prefix = net::Ipv4Prefix{*address, 32};
  if (!prefix)
    return error_reply(Code::bad_argument,
                       "needs one outside address or prefix of them; usage: clear address ADDRESS[/LENGTH]");
  auto numbers = numbers_within(aftr.snapshot().policy.pool, *prefix);
  if (numbers.empty()) return error_reply(Code::not_found, "the pool has no address of " + std::string(text));
  return clear(aftr, request, {.name = std::string(text), .blocks = {std::move(numbers)}});
}

Reply clear_mapping(Aftr& aftr, const Request& request) {
  const auto outside = parse_outside(request.args);
  if (!outside) return bad_outside("clear mapping");
  const auto& [endpoint, protocol] = *outside;
  const std::string name = net::to_text(endpoint) + " " + net::to_text(protocol);
  const auto number = aftr.snapshot().policy.pool.number_ever_of(endpoint.address);
  return clear(aftr, request,
               {name, number ? std::deque{finding_holder(endpoint, protocol)} : std::deque<nat::Command>{}});
}

}  // namespace

void add_change_commands(CommandTable& table, Aftr& aftr) {
  table.add({"reload", "", Access::change, [&aftr](const Request& request) { return reload(aftr, request); },
             "Take over the configuration file as it is now, whole or not at all; says what changed."});
  table.add({"clear subscriber", "PREFIX", Access::change,
             [&aftr](const Request& request) { return clear_subscriber(aftr, request); },
             "End all mappings of a subscriber but static ones and tell his PCP clients to ask anew; the ports rest "
             "for pool.quarantine."});
  table.add({"clear address", "ADDRESS[/LENGTH]", Access::change,
             [&aftr](const Request& request) { return clear_address(aftr, request); },
             "The same for every subscriber with ports of this outside address, or of those of the prefix."});
  table.add({"clear mapping", "ADDRESS:PORT tcp|udp|icmp", Access::change,
             [&aftr](const Request& request) { return clear_mapping(aftr, request); },
             "End the one mapping that has this outside port, unless it is static."});
}

}  // namespace portolan::control
