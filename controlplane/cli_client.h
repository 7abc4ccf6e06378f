// The other end of the command line's socket (reply.h), blocking: portolanctl and tests. Owns its connection.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "controlplane/reply.h"
#include "dataplane/net/result.h"

namespace portolan::control {

class CliClient {
 public:
  static net::Result<CliClient, std::string> connect(const std::string& path);
  CliClient(CliClient&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)), in_(std::move(other.in_)), used_(other.used_) {}
  CliClient& operator=(CliClient&&) = delete;
  ~CliClient();

  struct Ending {  // a reply's last line
    Code code = Code::done;
    std::string text;
  };
  // Each line of output, with its newline, as it comes; false: no more is wanted, the connection is of no further use.
  using Output = std::function<bool(std::string_view line)>;
  net::Result<Ending, std::string> request(std::string_view line, const Output& output);

 private:
  explicit CliClient(int socket) : socket_(socket) {}
  [[nodiscard]] bool send(std::string_view bytes) const;
  net::Result<std::string, std::string> read_line();  // with its newline

  int socket_ = -1;
  std::string in_;  // read, not yet used
  size_t used_ = 0;
};

}  // namespace portolan::control
