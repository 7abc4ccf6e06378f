#include "controlplane/cli_socket.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <cstring>
#include <exception>
#include <filesystem>
#include <grp.h>
#include <optional>
#include <poll.h>
#include <set>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <tuple>
#include <unistd.h>

namespace portolan::control {

namespace asio = boost::asio;
using asio::local::stream_protocol;
using boost::system::error_code;

namespace {

// Every line of `text` with its code; the reply goes on after them.
void append_output(std::string_view text, std::string& out) {
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    (out += "1000-").append(text.substr(0, end)) += '\n';
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

void append_last(const Reply& reply, std::string& out) {
  char code[8];
  std::snprintf(code, sizeof code, "%04u ", static_cast<unsigned>(reply.code));
  std::string text = reply.text;
  std::ranges::replace(text, '\n', ' ');
  out += code + text + '\n';
}

// What the client may do: SO_PEERCRED is the kernel's word on who connected.
Access access_of(stream_protocol::socket& socket) {
  ucred peer{};
  socklen_t bytes = sizeof peer;
  if (getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0) return Access::view;
  return peer.uid == 0 || peer.uid == geteuid() ? Access::change : Access::view;
}

// Who made the socket that is there.
struct Predecessor {
  enum Who : uint8_t {
    gone,     // nobody listens any more
    answers,  // a portoland that serves
    silent,   // somebody listens, and is starting or stuck
    dying,    // was killed: the kernel takes connections for it until it has buried it, then ends them unanswered
    unknown,
  };
  Who who = unknown;
  int error = 0;
};

Predecessor ask(const std::string& path, std::chrono::steady_clock::time_point deadline) {
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  Predecessor found;
  if (::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    found = {errno == ECONNREFUSED || errno == ENOENT ? Predecessor::gone : Predecessor::unknown, errno};
  } else {
    using std::chrono::milliseconds;
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd waiting{probe, POLLIN, 0};
    char byte = 0;
    found.who = Predecessor::dying;
    if (::send(probe, "\n", 1, MSG_NOSIGNAL) == 1 && ::poll(&waiting, 1, static_cast<int>(left.count())) == 0)
      found.who = Predecessor::silent;
    else if (::recv(probe, &byte, 1, MSG_DONTWAIT) == 1)
      found.who = Predecessor::answers;
  }
  ::close(probe);
  return found;
}

}  // namespace

class CliSocket::Server : public std::enable_shared_from_this<Server> {
 public:
  Server(asio::io_context& io, const CommandTable& commands, CliOptions options)
      : commands_(commands), options_(std::move(options)), acceptor_(io), retry_(io) {}

  std::optional<std::string> listen();
  void accept();
  void close();

 private:
  class Session;

  bool make_room(Access access);
  std::optional<std::string> make_way() const;
  std::optional<std::string> hand_over() const;

  const CommandTable& commands_;
  const CliOptions options_;
  stream_protocol::acceptor acceptor_;
  asio::steady_timer retry_;
  std::set<std::shared_ptr<Session>> sessions_;
  ino_t inode_ = 0;  // of the file made here
};

// One client. Handlers hold it alive; after close() they find the socket closed and do nothing.
class CliSocket::Server::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(stream_protocol::socket socket, std::shared_ptr<Server> server)
      : socket_(std::move(socket)),
        timer_(socket_.get_executor()),
        server_(std::move(server)),
        access_(access_of(socket_)) {}

  [[nodiscard]] Access access() const { return access_; }
  // Since when it has waited for a request; none while one is answered.
  [[nodiscard]] std::optional<asio::steady_timer::time_point> idle_since() const { return idle_since_; }
  void read_request();
  void refuse(Reply reply) {  // say why, and close
    closing_ = true;
    start(std::move(reply));
  }
  void end() {
    close();
    server_->sessions_.erase(shared_from_this());
  }
  void close() {
    error_code ignored;
    socket_.close(ignored);
    timer_.cancel();
  }

 private:
  void answer(std::string_view line);
  void start(Reply reply);
  void go_on();
  void write();
  void end_after(std::chrono::milliseconds time);

  stream_protocol::socket socket_;
  asio::steady_timer timer_;
  std::shared_ptr<Server> server_;
  Access access_;
  std::string in_;   // what was read and not yet answered, at most request_bytes_max
  std::string out_;  // being written
  Reply reply_;      // being answered
  std::optional<asio::steady_timer::time_point> idle_since_;
  bool closing_ = false;
};

void CliSocket::Server::Session::end_after(std::chrono::milliseconds time) {
  timer_.expires_after(time);
  timer_.async_wait([self = shared_from_this()](error_code error) {
    // An expiry may have been queued when the timer was set anew.
    if (!error && self->socket_.is_open() && self->timer_.expiry() <= asio::steady_timer::clock_type::now())
      self->end();
  });
}

void CliSocket::Server::Session::read_request() {
  idle_since_ = asio::steady_timer::clock_type::now();
  end_after(server_->options_.idle_max);
  asio::async_read_until(
      socket_, asio::dynamic_buffer(in_, request_bytes_max), '\n',
      [self = shared_from_this()](error_code error, size_t bytes) {
        if (!self->socket_.is_open()) return;
        if (error == asio::error::not_found)
          return self->refuse(
              error_reply(Code::line_too_long, "line longer than " + std::to_string(request_bytes_max) + " bytes"));
        if (error) return self->end();
        const std::string line = self->in_.substr(0, bytes - 1);
        self->in_.erase(0, bytes);
        self->answer(line);
      });
}

void CliSocket::Server::Session::answer(std::string_view line) {
  try {
    start(server_->commands_.run(line, access_));
  } catch (const std::exception& error) {
    start(error_reply(Code::failed, error.what()));
  }
}

void CliSocket::Server::Session::start(Reply reply) {
  idle_since_.reset();
  timer_.cancel();  // how long a command works is not the client's doing
  reply_ = std::move(reply);
  go_on();
}

// Generates the next of the reply, and only then writes it: what a slow client has not taken does not exist yet.
void CliSocket::Server::Session::go_on() {
  std::string chunk;
  bool more = false;
  try {
    more = reply_.output && reply_.output(chunk);
  } catch (const std::exception& error) {
    reply_ = error_reply(Code::failed, error.what());
  }
  append_output(chunk, out_);
  if (more && out_.empty()) {
    asio::post(socket_.get_executor(), [self = shared_from_this()] {
      if (self->socket_.is_open()) self->go_on();
    });
    return;
  }
  if (!more) {
    if (reply_.ending) std::tie(reply_.code, reply_.text) = reply_.ending();
    append_last(reply_, out_);
    reply_.output = nullptr;
    reply_.ending = nullptr;
  }
  write();
}

void CliSocket::Server::Session::write() {
  end_after(server_->options_.stall_max);
  asio::async_write(socket_, asio::buffer(out_), [self = shared_from_this()](error_code error, size_t) {
    if (!self->socket_.is_open()) return;
    if (error) return self->end();
    self->out_.clear();
    if (self->reply_.output) return self->go_on();
    if (self->closing_) return self->end();
    self->read_request();
  });
}

void CliSocket::Server::accept() {
  acceptor_.async_accept([self = shared_from_this()](error_code error, stream_protocol::socket socket) {
    if (!self->acceptor_.is_open()) return;
    if (error) {  // out of descriptors, most likely: trying at once would only spin
      self->retry_.expires_after(std::chrono::seconds(1));
      return self->retry_.async_wait([self](error_code cancelled) {
        if (!cancelled && self->acceptor_.is_open()) self->accept();
      });
    }
    auto session = std::make_shared<Session>(std::move(socket), self);
    if (!self->make_room(session->access())) {
      session->refuse(error_reply(Code::too_many_clients, std::to_string(self->options_.clients_max) +
                                                              " clients are connected, which is the limit; close one"));
    } else {
      self->sessions_.insert(session);
      session->read_request();
    }
    self->accept();
  });
}

// False if all places are taken. Whoever may change things takes the place of the client idle longest, so that no
// number of forgotten sessions keeps root out.
bool CliSocket::Server::make_room(Access access) {
  if (sessions_.size() < options_.clients_max) return true;
  if (access != Access::change) return false;
  std::shared_ptr<Session> idlest;
  for (const auto& session : sessions_) {
    if (!session->idle_since()) continue;
    const auto rank = [](const Session& each) { return std::pair(each.access(), *each.idle_since()); };
    if (!idlest || rank(*session) < rank(*idlest)) idlest = session;
  }
  if (idlest) idlest->end();
  return idlest != nullptr;
}

void CliSocket::Server::close() {
  if (!acceptor_.is_open()) return;
  struct stat now {};
  // A successor may have made the file anew; its socket stays.
  if (lstat(options_.path.c_str(), &now) == 0 && now.st_ino == inode_) unlink(options_.path.c_str());
  error_code ignored;
  acceptor_.close(ignored);
  retry_.cancel();
  for (const auto& session : std::exchange(sessions_, {})) session->close();
}

std::optional<std::string> CliSocket::Server::make_way() const {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(options_.path).parent_path(), error);
  struct stat there {};
  if (lstat(options_.path.c_str(), &there) != 0) return std::nullopt;
  if (!S_ISSOCK(there.st_mode)) return "exists and is not a socket; remove it or choose another path";
  const auto deadline = std::chrono::steady_clock::now() + options_.predecessor_max;
  auto found = ask(options_.path, deadline);
  while (found.who == Predecessor::dying && std::chrono::steady_clock::now() < deadline)
    found = ask(options_.path, deadline);
  switch (found.who) {
    case Predecessor::answers:
      return "another portoland answers there; stop it or choose another path";
    case Predecessor::silent:
    case Predecessor::dying:
      return "another portoland holds it and does not answer; stop it or choose another path";
    case Predecessor::unknown:
      return std::string("is taken, and cannot be asked by whom: ") + std::strerror(found.error);
    case Predecessor::gone:
      break;
  }
  if (unlink(options_.path.c_str()) != 0 && errno != ENOENT)
    return std::string("cannot be replaced: ") + std::strerror(errno);
  return std::nullopt;
}

std::optional<std::string> CliSocket::Server::hand_over() const {
  if (!options_.group.empty()) {
    const auto* group = getgrnam(options_.group.c_str());  // at start-up, one thread
    if (group == nullptr) return "there is no group \"" + options_.group + "\"; create it or correct cli.group";
    if (chown(options_.path.c_str(), static_cast<uid_t>(-1), group->gr_gid) != 0)
      return "cannot be given to group \"" + options_.group + "\": " + std::strerror(errno);
  }
  if (chmod(options_.path.c_str(), 0660) != 0)
    return std::string("cannot be opened to its group: ") + std::strerror(errno);
  return std::nullopt;
}

std::optional<std::string> CliSocket::Server::listen() {
  constexpr size_t path_bytes_max = sizeof(sockaddr_un::sun_path) - 1;
  if (options_.path.empty() || options_.path.size() > path_bytes_max)
    return "a socket's path has 1.." + std::to_string(path_bytes_max) + " bytes";
  if (auto problem = make_way()) return problem;
  error_code error;
  acceptor_.open(stream_protocol(), error);
  if (error) return error.message();
  // Linux makes the file with the descriptor's mode: at no moment may anybody else connect.
  if (fchmod(acceptor_.native_handle(), 0600) != 0) return std::string("fchmod: ") + std::strerror(errno);
  acceptor_.bind(stream_protocol::endpoint(options_.path), error);
  struct stat made {};
  if (!error && lstat(options_.path.c_str(), &made) == 0) inode_ = made.st_ino;
  if (!error) acceptor_.listen(stream_protocol::acceptor::max_listen_connections, error);
  std::optional<std::string> problem;
  if (error) problem = "cannot be made: " + error.message();
  if (!problem) problem = hand_over();
  if (problem) close();
  return problem;
}

net::Result<CliSocket, std::string> CliSocket::open(asio::io_context& io, const CommandTable& commands,
                                                    CliOptions options) {
  const auto path = options.path;
  auto server = std::make_shared<Server>(io, commands, std::move(options));
  if (const auto problem = server->listen()) return tl::unexpected(path + ": " + *problem);
  server->accept();
  return CliSocket(std::move(server));
}

CliSocket::CliSocket(std::shared_ptr<Server> server) : server_(std::move(server)) {}
CliSocket::CliSocket(CliSocket&&) noexcept = default;
CliSocket& CliSocket::operator=(CliSocket&& other) noexcept {
  std::swap(server_, other.server_);
  return *this;
}
CliSocket::~CliSocket() {
  if (server_) server_->close();
}

}  // namespace portolan::control
