// The command line's socket over real unix sockets: protocol, limits, what slow and rude clients may do.
#include "controlplane/cli_socket.h"

#include <atomic>
#include <fstream>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "controlplane/cli_client.h"
#include "tests/unit/controlplane/cli_server_thread.h"

namespace portolan::control {
namespace {

class CliSocketTest : public testing::Test {
 protected:
  CliSocketTest() {
    commands_.add({"echo", "[WORD]...", Access::view,
                   [](const Request& request) {
                     std::string out;
                     for (const auto word : request.args) out += std::string(word) + '\n';
                     return Reply{.text = "echoed", .output = [out](std::string& chunk) {
                                    chunk += out;
                                    return false;
                                  }};
                   },
                   ""});
    commands_.add({"many", "", Access::view, [this](const Request&) { return many(); }, ""});
    commands_.add(
        {"throw", "", Access::view, [](const Request&) -> Reply { throw std::runtime_error("on purpose"); }, ""});
    commands_.add({"throw late", "", Access::view,
                   [](const Request&) {
                     return Reply{.output = [first = true](std::string& chunk) mutable {
                       if (!std::exchange(first, false)) throw std::runtime_error("half way");
                       chunk += "begun\n";
                       return true;
                     }};
                   },
                   ""});
  }

  // Endless, and counts what it had to make.
  Reply many() {
    return {.output = [this](std::string& chunk) {
      chunk.append(8191, 'x') += '\n';
      made_bytes_ += chunk.size();
      return true;
    }};
  }

  CliOptions options() const { return {.path = socket_path(), .group = {}}; }
  std::string socket_path() const { return folder_.path() / "cli.sock"; }
  CliClient client() const {
    auto connected = CliClient::connect(socket_path());
    if (!connected) throw std::runtime_error(connected.error());
    return std::move(*connected);
  }

  TemporaryFolder folder_;
  CommandTable commands_;
  std::atomic<size_t> made_bytes_{0};
};

struct Heard {
  std::string output;
  Code code{};
  std::string text;
};
Heard ask(CliClient& client, std::string_view line) {
  Heard heard;
  const auto ending = client.request(line, [&](std::string_view more) {
    heard.output += more;
    return true;
  });
  if (!ending) throw std::runtime_error(ending.error());
  heard.code = ending->code;
  heard.text = ending->text;
  return heard;
}

// A client that says exactly these bytes and hears everything until the server closes.
class RawClient {
 public:
  explicit RawClient(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  ~RawClient() { ::close(socket_); }
  void say(std::string_view bytes) const {
    EXPECT_EQ(::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  void wait() const {  // until the server has said something
    char byte = 0;
    EXPECT_EQ(::recv(socket_, &byte, 1, MSG_PEEK), 1);
  }
  void finish() const { ::shutdown(socket_, SHUT_WR); }
  std::string hear_all() const {
    std::string out;
    char bytes[4096];
    for (ssize_t got = 0; (got = ::recv(socket_, bytes, sizeof bytes, 0)) > 0;)
      out.append(bytes, static_cast<size_t>(got));
    return out;
  }

 private:
  int socket_;
};

TEST_F(CliSocketTest, a_reply_is_lines_with_codes) {
  const CliServerThread server(commands_, options());
  const RawClient raw(socket_path());
  raw.say("echo one two\nnonsense\nthrow\n");  // sent ahead, answered in order
  raw.finish();
  EXPECT_EQ(raw.hear_all(),
            "1000-one\n1000-two\n0000 echoed\n"
            "9000 \"nonsense\" is not a command; \"help\" lists the commands\n"
            "8000 on purpose\n");
}

TEST_F(CliSocketTest, a_client_hears_output_and_code) {
  const CliServerThread server(commands_, options());
  auto each = client();
  auto heard = ask(each, "ec hello");
  EXPECT_EQ(heard.output, "hello\n");
  EXPECT_EQ(heard.code, Code::done);
  EXPECT_EQ(ask(each, "throw something").code, Code::bad_argument);
  heard = ask(each, "throw late");
  EXPECT_EQ(heard.output, "begun\n");
  EXPECT_EQ(heard.code, Code::failed);
  EXPECT_EQ(heard.text, "half way");
  EXPECT_EQ(ask(each, "echo still here").output, "still\nhere\n");
}

TEST_F(CliSocketTest, a_slow_reader_stops_its_generator_and_nobody_else) {
  const CliServerThread server(commands_, options());
  const RawClient slow(socket_path());
  slow.say("many\n");
  auto other = client();
  // Each answer proves that the server went round its loop again; an unbounded reply would grow every time.
  size_t made = 0;
  size_t unchanged = 0;
  for (int round = 0; round < 10'000 && unchanged < 100; ++round) {
    EXPECT_EQ(ask(other, "echo quick").output, "quick\n");
    unchanged = made_bytes_ == made ? unchanged + 1 : 0;
    made = made_bytes_;
  }
  EXPECT_GE(unchanged, 100U);
  EXPECT_GT(made, 0U);
  EXPECT_LT(made, 4U << 20);  // what the kernel's socket buffers took
}

TEST_F(CliSocketTest, a_client_that_reads_nothing_is_let_go) {
  auto each = options();
  each.stall_max = std::chrono::milliseconds(1);
  const CliServerThread server(commands_, each);
  const RawClient slow(socket_path());
  slow.say("many\n");
  EXPECT_NE(slow.hear_all().size(), 0U);  // ends, though the generator does not
}

TEST_F(CliSocketTest, an_idle_client_is_let_go) {
  auto each = options();
  each.idle_max = std::chrono::milliseconds(1);
  const CliServerThread server(commands_, each);
  EXPECT_EQ(RawClient(socket_path()).hear_all(), "");
}

TEST_F(CliSocketTest, a_line_too_long_is_refused_and_the_client_let_go) {
  const CliServerThread server(commands_, options());
  const RawClient raw(socket_path());
  raw.say("echo " + std::string(request_bytes_max, 'x'));
  EXPECT_EQ(raw.hear_all(), "9004 line longer than 4096 bytes\n");
}

TEST_F(CliSocketTest, the_longest_line_is_taken) {
  const CliServerThread server(commands_, options());
  auto each = client();
  const std::string word(request_bytes_max - std::string("echo \n").size(), 'x');
  EXPECT_EQ(ask(each, "echo " + word).output, word + '\n');
}

TEST_F(CliSocketTest, one_client_too_many_is_told_so) {
  auto each = options();
  each.clients_max = 2;
  const CliServerThread server(commands_, each);
  {
    const RawClient first(socket_path());
    const RawClient second(socket_path());
    for (const auto* busy : {&first, &second}) {
      busy->say("many\n");
      busy->wait();
    }
    auto third = client();
    EXPECT_EQ(ask(third, "echo").code, Code::too_many_clients);
  }
  // Both places are free again once the server has seen the ends; until then a client is told and may try again.
  Code code = Code::too_many_clients;
  for (int attempt = 0; attempt < 10'000 && code == Code::too_many_clients; ++attempt) {
    auto next = client();
    code = ask(next, "echo").code;
  }
  EXPECT_EQ(code, Code::done);
}

TEST_F(CliSocketTest, forgotten_clients_do_not_keep_root_out) {
  const CliServerThread server(commands_, options());
  std::vector<CliClient> idle;
  for (size_t i = 0; i < options().clients_max; ++i) {
    idle.push_back(client());
    ask(idle.back(), "echo");
  }
  auto root = client();
  EXPECT_EQ(ask(root, "echo in").output, "in\n");
  EXPECT_FALSE(idle.front().request("echo", [](std::string_view) { return true; })) << "idle longest, let go";
  EXPECT_EQ(ask(idle.back(), "echo still").output, "still\n");
}

TEST_F(CliSocketTest, a_client_that_leaves_in_the_middle_harms_nobody) {
  const CliServerThread server(commands_, options());
  for (int round = 0; round < 50; ++round) {
    const RawClient rude(socket_path());
    rude.say("many\nmany\n");
  }
  Code code = Code::too_many_clients;
  for (int attempt = 0; attempt < 10'000 && code == Code::too_many_clients; ++attempt) {
    auto next = client();
    code = ask(next, "echo").code;
  }
  EXPECT_EQ(code, Code::done);
}

// Shows MGT-045.
TEST_F(CliSocketTest, the_file_is_for_owner_and_group_and_goes_with_the_server) {
  struct stat made {};
  {
    const CliServerThread server(commands_, options());
    ASSERT_EQ(lstat(socket_path().c_str(), &made), 0);
    EXPECT_TRUE(S_ISSOCK(made.st_mode));
    EXPECT_EQ(made.st_mode & 07777, 0660U);
  }
  EXPECT_NE(lstat(socket_path().c_str(), &made), 0);
}

TEST_F(CliSocketTest, the_folder_is_made) {
  auto each = options();
  each.path = folder_.path() / "run" / "portolan" / "cli.sock";
  const CliServerThread server(commands_, each);
  EXPECT_TRUE(std::filesystem::is_socket(each.path));
}

TEST_F(CliSocketTest, what_a_killed_server_left_is_replaced) {
  const int left = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_path().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(left, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::close(left);
  const CliServerThread server(commands_, options());
  auto each = client();
  EXPECT_EQ(ask(each, "echo new").output, "new\n");
}

TEST_F(CliSocketTest, a_live_server_is_not_pushed_aside) {
  const CliServerThread server(commands_, options());
  boost::asio::io_context io;
  const auto second = CliSocket::open(io, commands_, options());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error(), socket_path() + ": another portoland answers there; stop it or choose another path");
  auto each = client();
  EXPECT_EQ(ask(each, "echo first").output, "first\n");
}

// As the kernel behaves while it buries a killed process: connections are taken, and end when the socket is closed.
TEST_F(CliSocketTest, a_killed_server_that_is_not_buried_yet_is_waited_for) {
  const int dying = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_path().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(dying, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(dying, 8), 0);
  std::thread burial([dying] {
    pollfd asked{dying, POLLIN, 0};
    EXPECT_EQ(::poll(&asked, 1, 10'000), 1);
    ::close(dying);
  });
  const CliServerThread server(commands_, options());
  burial.join();
  auto each = client();
  EXPECT_EQ(ask(each, "echo new").output, "new\n");
}

TEST_F(CliSocketTest, a_server_that_says_nothing_is_not_pushed_aside_either) {
  const int silent = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_path().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(silent, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(silent, 8), 0);
  boost::asio::io_context io;
  auto each = options();
  each.predecessor_max = std::chrono::milliseconds(10);
  const auto second = CliSocket::open(io, commands_, each);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().find("does not answer"), std::string::npos) << second.error();
  ::close(silent);
}

TEST_F(CliSocketTest, another_kind_of_file_is_left_alone) {
  std::ofstream(socket_path()) << "precious";
  boost::asio::io_context io;
  const auto socket = CliSocket::open(io, commands_, options());
  ASSERT_FALSE(socket);
  EXPECT_NE(socket.error().find("is not a socket"), std::string::npos);
  EXPECT_EQ(std::filesystem::file_size(socket_path()), 8U);
}

TEST_F(CliSocketTest, an_unknown_group_is_an_error_that_leaves_no_file) {
  auto each = options();
  each.group = "no-such-group-here";
  boost::asio::io_context io;
  const auto socket = CliSocket::open(io, commands_, each);
  ASSERT_FALSE(socket);
  EXPECT_NE(socket.error().find("there is no group \"no-such-group-here\""), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(socket_path()));
}

TEST_F(CliSocketTest, a_server_that_ends_ends_its_clients) {
  std::optional<CliServerThread> server(std::in_place, commands_, options());
  const RawClient waiting(socket_path());
  auto each = client();
  ask(each, "echo");  // so both are accepted
  server.reset();
  EXPECT_EQ(waiting.hear_all(), "");
  EXPECT_FALSE(each.request("echo", [](std::string_view) { return true; }));
}

TEST(CliClientTest, says_which_socket_and_what_to_check) {
  const auto client = CliClient::connect("/nonexistent/cli.sock");
  ASSERT_FALSE(client);
  EXPECT_EQ(
      client.error(),
      "cannot connect to /nonexistent/cli.sock: no such socket; is portoland running, and is this its cli.socket?");
}

}  // namespace
}  // namespace portolan::control
