#include "controlplane/command.h"

#include <gtest/gtest.h>

#include "controlplane/base_commands.h"
#include "controlplane/config_file.h"

namespace portolan::control {
namespace {

std::string output_of(const Reply& reply) {
  std::string out, part;  // a full part is taken away before the next one is asked for
  for (bool more = static_cast<bool>(reply.output); more; part.clear()) {
    more = reply.output(part);
    out += part;
  }
  return out;
}

CommandTable table_of(std::initializer_list<std::pair<const char*, const char*>> names) {
  CommandTable table;
  for (const auto& [name, args] : names)
    table.add({name, args, Access::view,
               [name = std::string(name)](const Request& request) {
                 std::string text = name;
                 for (const auto word : request.args) text += '|' + std::string(word);
                 return text_reply(text + (request.json ? "|json" : ""));
               },
               ""});
  return table;
}

TEST(CommandTable, words_are_shortened_as_long_as_they_are_unambiguous) {
  const auto table = table_of({{"show config", ""},
                               {"show counters", ""},
                               {"show pcp", "[CLIENT]"},
                               {"show pools", ""},
                               {"check", ""},
                               {"clear mappings", "PREFIX"},
                               {"clear", ""}});
  const struct {
    const char* line;
    Code code;
    const char* text;
  } cases[] = {
      {"show config", Code::done, "show config"},
      {"  sh \t conf\r\n", Code::done, "show config"},
      {"sh co", Code::ambiguous_command, "ambiguous: show config, show counters"},
      {"sh cou", Code::done, "show counters"},
      {"sh p", Code::ambiguous_command, "ambiguous: show pcp, show pools"},
      {"show pcp 2001:db8::1", Code::done, "show pcp|2001:db8::1"},
      {"json show pcp a b", Code::done, "show pcp|a|b|json"},
      {"show", Code::incomplete_command, "incomplete; one of: show config, show counters, show pcp, show pools"},
      {"clear", Code::done, "clear"},
      {"clear m 2001:db8::/56", Code::done, "clear mappings|2001:db8::/56"},
      {"clear x", Code::bad_argument, "takes no arguments, not \"x\"; usage: clear"},
      {"c", Code::ambiguous_command, "ambiguous: check, clear, clear mappings"},
      {"c m x", Code::done, "clear mappings|x"},
      {"show config now", Code::bad_argument, "takes no arguments, not \"now\"; usage: show config"},
      {"shows", Code::unknown_command, "\"shows\" is not a command; \"help\" lists the commands"},
      {"show x", Code::unknown_command,
       "\"x\" is not a command; one of: show config, show counters, show pcp, show pools"},
  };
  for (const auto& [line, code, text] : cases) {
    const auto reply = table.run(line, Access::view);
    EXPECT_EQ(reply.code, code) << line;
    EXPECT_EQ(reply.text, text) << line;
  }
  EXPECT_EQ(table.run("", Access::view).code, Code::incomplete_command);
  EXPECT_EQ(table.run("json", Access::view).code, Code::incomplete_command);
}

// Shows MGT-045.
TEST(CommandTable, a_change_needs_the_right_to_change) {
  CommandTable table;
  table.add({"clear mappings", "", Access::change, [](const Request&) { return text_reply("cleared"); }, ""});
  EXPECT_EQ(table.run("clear mappings", Access::view).code, Code::not_permitted);
  EXPECT_EQ(table.run("clear mappings", Access::change).text, "cleared");
}

TEST(BaseCommands, help_lists_what_the_table_has) {
  auto table = table_of({{"show pools", "[POOL]"}});
  add_base_commands(table, [] { return std::make_shared<const Config>(); });
  EXPECT_EQ(output_of(table.run("help show p", Access::view)),
            "command     arguments  access  help\n"
            "show pools  [POOL]     view    -\n");
  EXPECT_EQ(table.run("help nothing", Access::view).code, Code::unknown_command);
  const auto all = output_of(table.run("help", Access::view));
  for (const auto& command : table.commands()) EXPECT_NE(all.find(command.name), std::string::npos) << command.name;
}

TEST(BaseCommands, show_config_tells_what_is_in_force_and_what_is_not_the_default) {
  Config config;
  config.nat.udp_timeout_s = 600;
  CommandTable table;
  add_base_commands(table, [&] { return std::make_shared<const Config>(config); });
  const auto json = output_of(table.run("json show config", Access::view));
  EXPECT_NE(json.find(R"({"setting":"nat.udp-timeout","value":"600s","default":false,"change_needs":"live"})"),
            std::string::npos)
      << json;
  EXPECT_NE(json.find(R"({"setting":"nat.icmp-timeout","value":"60s","default":true,"change_needs":"live"})"),
            std::string::npos);
}

}  // namespace
}  // namespace portolan::control
