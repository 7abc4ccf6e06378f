#include "bench/generator/reader.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

namespace portolan::bench {

namespace {

using std::chrono::steady_clock;

double seconds_of(const timespec& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double thread_cpu_s() {
  timespec used{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return seconds_of(used);
}

double seconds_since(steady_clock::time_point start) {
  return std::chrono::duration<double>(steady_clock::now() - start).count();
}

}  // namespace

Reader::Reader(const std::string& path, std::string command)
    : command_(std::move(command) + '\n'), socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    ::close(socket_);
    throw std::runtime_error(path + ": " + std::strerror(errno));
  }
  ucred peer{};
  socklen_t bytes = sizeof peer;
  getsockopt(socket_, SOL_SOCKET, SO_PEERCRED, &peer, &bytes);
  device_ = peer.pid;
  device_cpu_s_ = device_cpu_s();
  start_ = steady_clock::now();
  thread_ = std::thread([this] { run(); });
}

void Reader::run() {
  std::array<char, 65536> bytes;
  while (!ends_) {
    const uint64_t before = replies_.replies();
    if (::send(socket_, command_.data(), command_.size(), MSG_NOSIGNAL) < 0) break;
    while (replies_.replies() == before) {
      const ssize_t got = ::recv(socket_, bytes.data(), bytes.size(), 0);
      if (got <= 0) return void(own_cpu_s_ = thread_cpu_s());
      replies_.feed({bytes.data(), static_cast<size_t>(got)});
    }
  }
  own_cpu_s_ = thread_cpu_s();
}

// The first number of schedstat is what the thread has run, in nanoseconds.
double Reader::device_cpu_s() const {
  std::ifstream file("/proc/" + std::to_string(device_) + "/task/" + std::to_string(device_) + "/schedstat");
  uint64_t ns = 0;
  file >> ns;
  return static_cast<double>(ns) * 1e-9;
}

void Reader::stop() {
  if (!thread_.joinable()) return;
  ends_ = true;
  ::shutdown(socket_, SHUT_RDWR);
  thread_.join();
  ::close(socket_);
  cpu_share_ = (own_cpu_s_ + device_cpu_s() - device_cpu_s_) / seconds_since(start_);
}

// In pieces of a millisecond, as whoever reads and whoever answers take turns.
void Burner::run() {
  const auto start = steady_clock::now();
  uint64_t number = 1;
  while (!ends_) {
    if (thread_cpu_s() > share_ * seconds_since(start))
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    else
      for (int i = 0; i < 100'000; ++i) asm volatile("" : "+r"(number));
  }
  cpu_share_ = thread_cpu_s() / seconds_since(start);
}

void Burner::stop() {
  if (!thread_.joinable()) return;
  ends_ = true;
  thread_.join();
}

}  // namespace portolan::bench
