// Copies what a database's log (SQLite's WAL) holds into its file, through a connection of its own, so that no commit
// waits for it. Owner: the store; it works in a thread of its own.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace portolan::pcp {

class Checkpointer {
 public:
  explicit Checkpointer(std::string path);
  ~Checkpointer();  // after the pass that is under way
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  // Copies what is in the log by now; what comes meanwhile is the next pass's. One that fails is made up for by the
  // next.
  void start_pass();

 private:
  void run();

  const std::string path_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool due_ = false, stopping_ = false;
  std::thread thread_;
};

}  // namespace portolan::pcp
