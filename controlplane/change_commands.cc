// The commands that change something: reload, clear. What they ask of a shard goes to its worker, and the reply's last
// line comes when its result has.
#include "controlplane/change_commands.h"

#include <functional>
#include <memory>
#include <utility>

#include "controlplane/command_subscriber.h"

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

// Hands a command to the owner worker; the reply's last line comes when its result has.
Reply run_on_owner(Aftr& aftr, const nat::Command& command,
                   std::function<void(const nat::CommandResult&, std::string&)> say) {
  struct Waiting {
    bool done = false;
    std::string text;
  };
  auto waiting = std::make_shared<Waiting>();
  const bool taken = aftr.submit(command, [waiting, say = std::move(say)](const nat::CommandResult& result) {
    say(result, waiting->text);
    waiting->done = true;
  });
  if (!taken) return error_reply(Code::failed, "the worker's command ring is full; try again");
  Reply reply;
  reply.output = [waiting, told = false](std::string& chunk) mutable {
    if (!waiting->done) return true;  // not yet
    if (told) return false;
    chunk += waiting->text + "\n";
    told = true;
    return false;
  };
  return reply;
}

Reply clear_subscriber(Aftr& aftr, const Request& request) {
  if (request.args.size() != 1)
    return error_reply(Code::bad_argument, "needs one PREFIX; usage: clear subscriber PREFIX");
  const auto subscriber = parse_subscriber(aftr, request.args[0]);
  if (!subscriber) return bad_subscriber(request.args[0]);
  nat::Command command;
  command.verb = nat::Command::Verb::clear_subscriber;
  command.key.subscriber = *subscriber;
  return run_on_owner(aftr, command,
                      [&aftr, json = request.json, prefix = *subscriber](const auto& result, std::string& text) {
                        if (result.status == nat::CommandResult::Status::unknown && !json) {
                          text = subscriber_text(aftr, prefix) + ": no such subscriber; show subscribers lists them";
                          return;
                        }
                        const size_t explicit_ones = aftr.subscriber_cleared(prefix);
                        text = json ? "{\"subscriber\":\"" + subscriber_text(aftr, prefix) +
                                          "\",\"mappings_ended\":" + std::to_string(result.ended) +
                                          ",\"pcp_mappings_ended\":" + std::to_string(explicit_ones) + "}"
                                    : subscriber_text(aftr, prefix) + ": " + std::to_string(result.ended) +
                                          " mappings ended, " + std::to_string(explicit_ones) + " of them made by PCP";
                      });
}

}  // namespace

void add_change_commands(CommandTable& table, Aftr& aftr) {
  table.add({"reload", "", Access::change, [&aftr](const Request& request) { return reload(aftr, request); },
             "Take over the configuration file as it is now, whole or not at all; says what changed."});
  table.add(
      {"clear subscriber", "PREFIX", Access::change,
       [&aftr](const Request& request) { return clear_subscriber(aftr, request); },
       "End all mappings of a subscriber and tell his PCP clients to ask anew; the ports rest for pool.quarantine."});
}

}  // namespace portolan::control
