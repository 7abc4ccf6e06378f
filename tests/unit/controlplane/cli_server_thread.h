// A CliSocket that really listens, with its own io_context and thread, for the tests of its clients.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <optional>
#include <stdexcept>
#include <thread>

#include "controlplane/cli_socket.h"
#include "tests/unit/controlplane/temporary_folder.h"

namespace portolan::control {

class CliServerThread {
 public:
  CliServerThread(const CommandTable& commands, CliOptions options) {
    auto socket = CliSocket::open(io_, commands, std::move(options));
    if (!socket) throw std::runtime_error(socket.error());
    socket_.emplace(std::move(*socket));
    thread_ = std::thread([this] { io_.run(); });
  }
  CliServerThread(const CliServerThread&) = delete;
  CliServerThread& operator=(const CliServerThread&) = delete;
  ~CliServerThread() {
    on_thread([this] { socket_.reset(); });
    work_.reset();
    thread_.join();
  }

  void on_thread(std::function<void()> work) {  // and waits for it
    std::packaged_task<void()> task(std::move(work));
    auto done = task.get_future();
    boost::asio::post(io_, [&task] { task(); });
    done.get();
  }

 private:
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
  std::optional<CliSocket> socket_;
  std::thread thread_;
};

}  // namespace portolan::control
