#include "controlplane/line_sink.h"

#include <cerrno>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>
#include <utility>

namespace portolan::control {

namespace {

using Problem = std::optional<std::string>;

class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() {
    if (number_ > STDERR_FILENO) ::close(number_);
  }
  [[nodiscard]] int get() const { return number_; }
  explicit operator bool() const { return number_ >= 0; }

 private:
  int number_;
};

// A line in one write, and nothing if that would wait. A line cut short by a full disk is ended before the next.
Problem append(int file, std::string_view line, bool& torn) {
  pollfd ready{file, POLLOUT, 0};
  if (::poll(&ready, 1, 0) != 1) return "its reader does not keep up";
  std::string text = torn ? "\n" : "";
  (text += line) += '\n';
  const ssize_t taken = ::write(file, text.data(), text.size());
  if (taken == static_cast<ssize_t>(text.size())) {
    torn = false;
    return std::nullopt;
  }
  torn = torn || taken > 0;
  return taken < 0 ? std::strerror(errno) : "no room for a whole line";
}

class FileSink : public LineSink {
 public:
  explicit FileSink(std::string path) : path_(std::move(path)) {}

  Problem open() {
    Descriptor file(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640));
    if (!file) return std::strerror(errno);
    file_ = std::move(file);
    return std::nullopt;
  }
  Problem write(std::string_view line) override { return append(file_.get(), line, torn_); }
  void reopen() override { open(); }  // or the old one goes on

 private:
  const std::string path_;
  Descriptor file_;
  bool torn_ = false;
};

class StandardErrorSink : public LineSink {
 public:
  Problem write(std::string_view line) override { return append(STDERR_FILENO, line, torn_); }

 private:
  bool torn_ = false;
};

// RFC 3164 on the local socket by hand: syslog(3) does not tell when nobody took a message.
class SyslogSink : public LineSink {
 public:
  explicit SyslogSink(std::string path) : path_(std::move(path)) {}
  Problem write(std::string_view line) override {
    if (!socket_)
      if (auto problem = connect()) return problem;
    char time[32];
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    std::strftime(time, sizeof time, "%b %e %H:%M:%S", localtime_r(&now, &local));
    const std::string text = '<' + std::to_string(LOG_DAEMON | LOG_INFO) + '>' + time + " portoland[" +
                             std::to_string(::getpid()) + "]: " + std::string(line);
    if (::send(socket_.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return std::nullopt;
    const int why = errno;
    if (why != EAGAIN && why != ENOBUFS) socket_ = Descriptor();  // the daemon was started anew
    return std::strerror(why);
  }
  Problem connect() {
    Descriptor made(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    if (!made || ::connect(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      return path_ + ": " + std::strerror(errno);
    socket_ = std::move(made);
    return std::nullopt;
  }

 private:
  const std::string path_;
  Descriptor socket_;
};

}  // namespace

std::unique_ptr<LineSink> syslog_sink(std::string socket) { return std::make_unique<SyslogSink>(std::move(socket)); }

net::Result<std::unique_ptr<LineSink>, std::string> open_sink(const LogTarget& target) {
  switch (target.kind) {
    case LogTarget::Kind::standard_error:
      return std::make_unique<StandardErrorSink>();
    case LogTarget::Kind::syslog:
      return syslog_sink("/dev/log");
    case LogTarget::Kind::file:
      break;
  }
  auto sink = std::make_unique<FileSink>(target.path);
  if (const auto problem = sink->open())
    return tl::unexpected(target.path + " cannot be opened: " + *problem + "; give a file portoland may write");
  return sink;
}

}  // namespace portolan::control
