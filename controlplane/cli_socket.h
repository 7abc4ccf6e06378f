// The command line's socket: reply.h's protocol for a bounded number of clients, on the control thread's io_context.
// When all places are taken, a client that may change things gets that of the one idle longest.
// Sessions belong to that thread and last no longer than the CliSocket; the file is removed with it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "controlplane/command.h"
#include "dataplane/net/result.h"

namespace boost::asio {
class io_context;
}

namespace portolan::control {

struct CliOptions {
  std::string path;
  std::string group;  // empty: left as it is
  size_t clients_max = 16;
  std::chrono::milliseconds idle_max{600'000};       // without a request
  std::chrono::milliseconds stall_max{60'000};       // with output the client does not read
  std::chrono::milliseconds predecessor_max{5'000};  // that a killed portoland may take to be gone
};

class CliSocket {
 public:
  // Replaces what a portoland that was killed left behind; refuses to take over from one that answers. `commands` and
  // `io` must outlive the socket. The error is text for people.
  static net::Result<CliSocket, std::string> open(boost::asio::io_context& io, const CommandTable& commands,
                                                  CliOptions options);
  CliSocket(CliSocket&&) noexcept;
  CliSocket& operator=(CliSocket&&) noexcept;
  ~CliSocket();

 private:
  class Server;
  explicit CliSocket(std::shared_ptr<Server> server);
  std::shared_ptr<Server> server_;
};

}  // namespace portolan::control
