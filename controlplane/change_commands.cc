// The commands that change something: reload, clear. What they ask of a shard goes to its worker, and the reply's last
// line comes when its result has.
#include "controlplane/change_commands.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

#include "controlplane/command_subscriber.h"
#include "controlplane/outside_endpoint.h"
#include "controlplane/record_view.h"
#include "controlplane/record_walk.h"

namespace portolan::control {

namespace {

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

using Commands = std::vector<nat::Command>;

// Mappings to end, found by walking a table, then asked of their owners one by one as their rings take it.
struct Clearing {
  std::string name;  // what is cleared, for the reply
  RowSource search;  // adds to `wanted`; null: that is all
  std::shared_ptr<Commands> wanted;
  size_t asked = 0, answered = 0;
  uint64_t ended = 0, ended_explicit = 0, kept = 0;
};

// True when there is nothing left to do.
bool clear_some(Aftr& aftr, const std::shared_ptr<Clearing>& clearing) {
  if (Row unused; clearing->search && clearing->search(unused) != Step::end) return false;
  clearing->search = nullptr;
  while (clearing->asked < clearing->wanted->size()) {
    const nat::Command& command = (*clearing->wanted)[clearing->asked];
    const bool taken = aftr.submit(command, [&aftr, clearing, command](const nat::CommandResult& result) {
      const auto& [subscriber, address, port, protocol, zero] = command.key;
      clearing->ended += result.ended;
      clearing->kept += result.kept;
      if (command.verb == nat::Command::Verb::clear_subscriber)
        clearing->ended_explicit += aftr.pcp_forget(subscriber);
      else if (result.kept == 0)
        clearing->ended_explicit += aftr.pcp_forget({subscriber, address, port, protocol});
      ++clearing->answered;
    });
    if (!taken) break;
    ++clearing->asked;
  }
  return clearing->answered == clearing->wanted->size();
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

nat::Command clearing_subscriber(const net::Ipv6& subscriber) {
  nat::Command command;
  command.verb = nat::Command::Verb::clear_subscriber;
  command.key.subscriber = subscriber;
  return command;
}

Reply clear_subscriber(Aftr& aftr, const Request& request) {
  if (request.args.size() != 1)
    return error_reply(Code::bad_argument, "needs one PREFIX; usage: clear subscriber PREFIX");
  const auto subscriber = parse_subscriber(aftr, request.args[0]);
  if (!subscriber) return bad_subscriber(request.args[0]);
  return clear(
      aftr, request,
      {subscriber_text(aftr, *subscriber), nullptr, std::make_shared<Commands>(1, clearing_subscriber(*subscriber))});
}

Reply clear_address(Aftr& aftr, const Request& request) {
  const auto address = request.args.size() == 1 ? net::parse_ipv4(request.args[0]) : std::nullopt;
  if (!address) return error_reply(Code::bad_argument, "needs one outside ADDRESS; usage: clear address ADDRESS");
  const auto wanted = std::make_shared<Commands>();
  const auto search = walk_subscribers(
      aftr, [wanted, address = *address](Row&, const nat::Shard& shard, unsigned, const nat::Subscriber& subscriber) {
        const auto is_there = [&](uint32_t block) { return address_of_block(shard, block) == address; };
        if (std::ranges::any_of(blocks_of(subscriber), is_there))
          wanted->push_back(clearing_subscriber(subscriber.prefix));
        return false;
      });
  return clear(aftr, request, {net::to_text(*address), search, wanted});
}

Reply clear_mapping(Aftr& aftr, const Request& request) {
  const auto outside = parse_outside(request.args);
  if (!outside) return bad_outside("clear mapping");
  const auto wanted = std::make_shared<Commands>();
  const auto search = walk_mappings(
      aftr, [wanted, outside = *outside](Row&, const nat::Shard& shard, unsigned, const nat::Mapping& mapping) {
        const auto subscriber = shard.read_subscriber(mapping.subscriber);
        if (mapping.has(nat::Mapping::held) || mapping.outside() != outside.endpoint ||
            mapping.protocol != outside.protocol || !subscriber)
          return false;
        nat::Command command;
        command.verb = nat::Command::Verb::end_mapping;
        command.key = {subscriber->prefix, mapping.inside_address, mapping.inside_port, mapping.protocol, 0};
        wanted->push_back(command);
        return false;
      });
  return clear(aftr, request,
               {net::to_text(outside->endpoint) + " " + net::to_text(outside->protocol), search, wanted});
}

}  // namespace

void add_change_commands(CommandTable& table, Aftr& aftr) {
  table.add({"reload", "", Access::change, [&aftr](const Request& request) { return reload(aftr, request); },
             "Take over the configuration file as it is now, whole or not at all; says what changed."});
  table.add({"clear subscriber", "PREFIX", Access::change,
             [&aftr](const Request& request) { return clear_subscriber(aftr, request); },
             "End all mappings of a subscriber but static ones and tell his PCP clients to ask anew; the ports rest "
             "for pool.quarantine."});
  table.add({"clear address", "ADDRESS", Access::change,
             [&aftr](const Request& request) { return clear_address(aftr, request); },
             "The same for every subscriber with ports of this outside address."});
  table.add({"clear mapping", "ADDRESS:PORT tcp|udp|icmp", Access::change,
             [&aftr](const Request& request) { return clear_mapping(aftr, request); },
             "End the one mapping that has this outside port, unless it is static."});
}

}  // namespace portolan::control
