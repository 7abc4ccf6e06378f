// Updates by a program of the user's. Everything it needs is in its environment, where no shell interprets it.
#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "dataplane/net/text.h"
#include "ddns-client-ref/update_method.h"

namespace portolan::ddns {
namespace {

namespace asio = boost::asio;

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// In a process group of its own, with nothing of ours but standard output and error. The error: why not.
net::Result<pid_t, std::string> spawn(std::vector<std::string> arguments, std::vector<std::string> environment) {
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_t files;
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_init(&files);
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
  pid_t child = -1;
  const int error = posix_spawn(&child, arguments.front().c_str(), &files, &attributes, pointers_to(arguments).data(),
                                pointers_to(environment).data());
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return tl::unexpected(arguments.front() + " cannot be run: " + std::strerror(error));
  return child;
}

// Exit codes of <sysexits.h>: those that say what only a person can mend, those that ask for patience; others say
// nothing but that it did not work.
Outcome outcome_of(int status) {
  using Kind = Outcome::Kind;
  if (WIFSIGNALED(status)) return {Kind::retry, "the command was ended by signal " + std::to_string(WTERMSIG(status))};
  const int code = WEXITSTATUS(status);
  const std::string text = "the command exited with " + std::to_string(code);
  switch (code) {
    case EX_OK:
      return {Kind::done, {}};
    case EX_NOPERM:
    case EX_CONFIG:
      return {Kind::stop, text + (code == EX_NOPERM ? ": not permitted" : ": its configuration is wrong")};
    case EX_TEMPFAIL:
      return {Kind::wait, text + ": not now", false, server_trouble_wait};
    default:
      return {Kind::retry, text};
  }
}

class CommandMethod final : public UpdateMethod {
  struct Job {
    Update update;
    Done done;
  };
  asio::io_context& io_;
  CommandSettings settings_;
  std::deque<Job> jobs_;  // the first is running; the updater's bound is theirs
  pid_t child_ = -1;
  bool out_of_time_ = false;
  asio::posix::stream_descriptor exit_{io_};
  asio::steady_timer deadline_{io_};

 public:
  CommandMethod(asio::io_context& io, const CommandSettings& settings) : io_(io), settings_(settings) {}
  ~CommandMethod() override {
    if (child_ <= 0) return;
    kill(-child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  CommandMethod(const CommandMethod&) = delete;
  CommandMethod& operator=(const CommandMethod&) = delete;

  void send(const Update& update, Done done) override {
    jobs_.push_back({update, std::move(done)});
    if (jobs_.size() == 1) start();
  }
  // A program knows no lifetimes, and is not run to say the same again.
  Abilities abilities() const override { return {.carries_lifetime = true, .refreshes = false}; }

 private:
  void start() {
    const auto child = spawn(settings_.arguments, command_environment(jobs_.front().update));
    if (!child) return fail(child.error());
    child_ = *child;
    out_of_time_ = false;
    const int exit = static_cast<int>(syscall(SYS_pidfd_open, child_, 0));  // glibc 2.36 lacks it for C++
    if (exit < 0) {
      const std::string why = std::strerror(errno);
      kill(-child_, SIGKILL);
      waitpid(std::exchange(child_, -1), nullptr, 0);
      return fail("cannot wait for the command: " + why);
    }
    exit_.assign(exit);
    exit_.async_wait(asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code error) {
      if (!error) ended();
    });
    deadline_.expires_after(settings_.time_max);
    deadline_.async_wait([this](boost::system::error_code error) {
      if (error || child_ <= 0) return;
      out_of_time_ = true;
      kill(-child_, SIGKILL);
    });
  }

  void fail(const std::string& why) {
    asio::post(io_, [this, why] { finish({Outcome::Kind::retry, why}); });
  }

  void ended() {
    int status = 0;
    waitpid(std::exchange(child_, -1), &status, 0);
    exit_.close();
    deadline_.cancel();
    finish(out_of_time_ ? Outcome{Outcome::Kind::retry, "the command took too long and was killed"}
                        : outcome_of(status));
  }

  void finish(const Outcome& outcome) {
    const Job job = std::move(jobs_.front());
    jobs_.pop_front();
    if (!jobs_.empty()) start();
    job.done(outcome);
  }
};

}  // namespace

std::vector<std::string> command_environment(const Update& update) {
  const Registration& record = update.record;
  std::vector<std::string> out = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                  std::string("PORTOLAN_ACTION=") + (update.withdrawal ? "withdraw" : "register"),
                                  "PORTOLAN_NAME=" + record.name,
                                  "PORTOLAN_SERVICE=" + record.service,
                                  "PORTOLAN_TYPE=" + record.type,
                                  std::string("PORTOLAN_PROTOCOL=") + net::to_text(record.protocol),
                                  "PORTOLAN_ADDRESS=" + net::to_text(record.outside.address),
                                  "PORTOLAN_PORT=" + std::to_string(uint16_t{record.outside.port.number}),
                                  "PORTOLAN_SCHEME=" + record.scheme,
                                  "PORTOLAN_PATH=" + record.path,
                                  "PORTOLAN_TITLE=" + record.title,
                                  "PORTOLAN_URI=" + uri_of(record),
                                  "PORTOLAN_LIFETIME=" + std::to_string(record.lifetime_s),
                                  std::string("PORTOLAN_LAST_OF_NAME=") + (update.last_of_name ? "yes" : "no")};
  if (update.before) out.push_back("PORTOLAN_BEFORE=" + net::to_text(update.before->outside));
  return out;
}

std::unique_ptr<UpdateMethod> make_command_method(asio::io_context& io, const CommandSettings& settings) {
  return std::make_unique<CommandMethod>(io, settings);
}

}  // namespace portolan::ddns
