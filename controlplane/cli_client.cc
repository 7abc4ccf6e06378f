#include "controlplane/cli_client.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "dataplane/net/text.h"

namespace portolan::control {

namespace {

constexpr time_t answer_max_s = 60;         // without a byte: portoland is stuck or stopped
constexpr size_t reply_line_max = 1 << 20;  // a longer line is not our protocol

constexpr const char* closed = "portoland closed the connection";

std::string advice(int error) {
  switch (error) {
    case ENOENT:
      return "no such socket; is portoland running, and is this its cli.socket?";
    case ECONNREFUSED:
      return "nobody listens; portoland was killed or is still starting";
    case EACCES:
      return "permission denied; be root or a member of portoland's cli.group";
    default:
      return std::strerror(error);
  }
}

struct ReplyLine {
  Code code;
  bool last;
  std::string_view text;  // with its newline
};
std::optional<ReplyLine> parse_reply(std::string_view line) {
  constexpr size_t head = 5;
  if (line.size() <= head || (line[4] != ' ' && line[4] != '-')) return std::nullopt;
  const auto code = net::parse_number(line.substr(0, 4));
  if (!code) return std::nullopt;
  return ReplyLine{static_cast<Code>(*code), line[4] == ' ', line.substr(head)};
}

}  // namespace

net::Result<CliClient, std::string> CliClient::connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return tl::unexpected("cannot connect to " + path + ": the path is too long");
  path.copy(address.sun_path, path.size());
  CliClient client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (client.socket_ < 0 || ::connect(client.socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return tl::unexpected("cannot connect to " + path + ": " + advice(errno));
  const timeval patience{answer_max_s, 0};
  setsockopt(client.socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return client;
}

CliClient::~CliClient() {
  if (socket_ >= 0) ::close(socket_);
}

bool CliClient::send(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

net::Result<std::string, std::string> CliClient::read_line() {
  size_t searched = used_;
  while (true) {
    if (const auto end = in_.find('\n', searched); end != in_.npos) {
      auto line = in_.substr(used_, end + 1 - used_);
      used_ = end + 1;
      return line;
    }
    in_.erase(0, std::exchange(used_, 0));
    searched = in_.size();
    if (in_.size() > reply_line_max) return tl::unexpected(std::string("the answer is not portoland's"));
    std::array<char, 65536> bytes;
    const ssize_t got = ::recv(socket_, bytes.data(), bytes.size(), 0);
    if (got > 0) {
      in_.append(bytes.data(), static_cast<size_t>(got));
    } else if (got == 0 || errno == ECONNRESET) {
      return tl::unexpected(std::string(closed));
    } else if (errno == EAGAIN) {
      return tl::unexpected("portoland has not answered for " + std::to_string(answer_max_s) + " s");
    } else if (errno != EINTR) {
      return tl::unexpected(std::string("the connection broke: ") + std::strerror(errno));
    }
  }
}

net::Result<CliClient::Ending, std::string> CliClient::request(std::string_view line, const Output& output) {
  // A refused client cannot send, but what it was told can still be read.
  const bool sent = send(std::string(line) + '\n');
  while (true) {
    const auto got = read_line();
    if (!got) return tl::unexpected(sent ? got.error() : std::string(closed));
    const auto reply = parse_reply(*got);
    if (!reply) return tl::unexpected("the answer is not portoland's: " + got->substr(0, 80));
    if (reply->last) return Ending{reply->code, std::string(reply->text.substr(0, reply->text.size() - 1))};
    if (!output(reply->text)) return Ending{};
  }
}

}  // namespace portolan::control
