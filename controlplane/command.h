// The command line's registry: a command is one row, which help, usage, permission, completion and the manual read.
// Owned by whoever fills it at start-up (main); constant while the socket serves.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "controlplane/reply.h"

namespace portolan::control {

enum class Access : uint8_t {
  view,    // whoever may open the socket
  change,  // root, and the user portoland runs as
};

struct Command {
  std::string_view name;  // "show mappings": its words may be shortened as long as they stay unambiguous
  std::string_view args;  // usage, "[subscriber PREFIX]"; empty: none are taken
  Access access = Access::view;
  std::function<Reply(const Request&)> run;
  std::string_view help;
};

class CommandTable {
 public:
  void add(Command command);
  [[nodiscard]] std::span<const Command> commands() const { return commands_; }
  // The commands a beginning of words may still become; all for no words.
  [[nodiscard]] std::vector<const Command*> matching(std::span<const std::string_view> words) const;
  // Runs what the words name; `access` is what the client may do.
  [[nodiscard]] Reply run(std::string_view line, Access access) const;

 private:
  std::vector<Command> commands_;  // sorted by name
};

// bad_argument, with the command's usage.
Reply usage_reply(const Command& command, const std::string& problem);

}  // namespace portolan::control
