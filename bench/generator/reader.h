// What shares the generator's core in some measurements: a client that has the device's command line list everything
// again and again, and one that takes as much of the CPU and reads nothing. Each is a thread of its own from its
// constructor to stop().
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>

namespace portolan::bench {

// Counts what the command line answers (controlplane/reply.h), in whatever pieces it comes.
class ReplyCounter {
  uint64_t lines_ = 0, replies_ = 0;
  size_t column_ = 0;  // of the line that has begun

 public:
  void feed(std::string_view bytes) {
    for (const char byte : bytes) {
      if (column_ == 4) (byte == ' ' ? replies_ : lines_) += 1;  // "1000-text" goes on, "0000 " is the last
      column_ = byte == '\n' ? 0 : column_ + 1;
    }
  }
  [[nodiscard]] uint64_t lines() const { return lines_; }
  [[nodiscard]] uint64_t replies() const { return replies_; }  // whole ones
};

class Reader {
 public:
  // Throws std::runtime_error if nobody listens there.
  Reader(const std::string& socket, std::string command);
  ~Reader() { stop(); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  void stop();
  // After stop(). Of one CPU, by this thread and by the first thread of the process that answers.
  [[nodiscard]] double cpu_share() const { return cpu_share_; }
  [[nodiscard]] const ReplyCounter& replies() const { return replies_; }

 private:
  void run();
  [[nodiscard]] double device_cpu_s() const;

  std::string command_;
  int socket_;
  int device_ = 0;  // process
  ReplyCounter replies_;
  double own_cpu_s_ = 0, device_cpu_s_ = 0, cpu_share_ = 0;
  std::chrono::steady_clock::time_point start_;
  std::atomic<bool> ends_{false};
  std::thread thread_;  // last: it uses the others
};

class Burner {
 public:
  explicit Burner(double share) : share_(share), thread_([this] { run(); }) {}
  ~Burner() { stop(); }
  Burner(const Burner&) = delete;
  Burner& operator=(const Burner&) = delete;
  void stop();
  [[nodiscard]] double cpu_share() const { return cpu_share_; }  // that it got; after stop()

 private:
  void run();

  double share_, cpu_share_ = 0;
  std::atomic<bool> ends_{false};
  std::thread thread_;
};

}  // namespace portolan::bench
