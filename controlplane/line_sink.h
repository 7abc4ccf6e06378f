// Where records are appended, line by line: a file, the system's log, standard error. Unlike a log for people it says
// whether a line was taken, and it never waits for a reader. Owner: the control thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "controlplane/config.h"
#include "dataplane/net/result.h"

namespace portolan::control {

class LineSink {
 public:
  virtual ~LineSink() = default;
  // One line, without its newline: taken whole, or why not; then it may be tried again.
  virtual std::optional<std::string> write(std::string_view line) = 0;
  // Begins a new file if somebody has moved the old one away.
  virtual void reopen() {}
};

std::unique_ptr<LineSink> syslog_sink(std::string socket);  // whose daemon may come later
// Errors: one sentence with the way out.
net::Result<std::unique_ptr<LineSink>, std::string> open_sink(const LogTarget& target);

}  // namespace portolan::control
