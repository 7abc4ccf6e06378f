#include "controlplane/base_commands.h"

#include "controlplane/setting.h"

namespace portolan::control {

namespace {

Reply help(const CommandTable& table, const Request& request) {
  std::vector<Row> rows;
  for (const auto* command : table.matching(request.args))
    rows.push_back({std::string(command->name), std::string(command->args),
                    std::string(command->access == Access::view ? "view" : "change"), std::string(command->help)});
  if (rows.empty()) return error_reply(Code::unknown_command, "no command begins so; \"help\" lists them all");
  return table_reply(request, {{"command"}, {"arguments"}, {"access"}, {"help"}}, std::move(rows));
}

Reply show_config(const Config& config, const Request& request) {
  const Config defaults;
  std::vector<Row> rows;
  for (const auto& setting : settings()) {
    const bool is_default = value_texts(setting, config) == value_texts(setting, defaults);
    for (auto& value : value_texts(setting, config))
      rows.push_back({setting.name(), std::move(value), is_default, std::string(text_of(setting.reload))});
  }
  return table_reply(request, {{"setting"}, {"value"}, {"default"}, {"change_needs"}}, std::move(rows));
}

}  // namespace

void add_base_commands(CommandTable& table, CurrentConfig config) {
  table.add({"help", "[COMMAND]", Access::view, [&table](const Request& request) { return help(table, request); },
             "List the commands, or those that begin with the words given."});
  table.add({"show config", "", Access::view,
             [config = std::move(config)](const Request& request) { return show_config(*config(), request); },
             "List every setting in force."});
}

}  // namespace portolan::control
