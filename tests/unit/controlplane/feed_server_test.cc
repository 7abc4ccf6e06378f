// The feed's sockets, talked to by blocking clients as another program would.
#include "controlplane/feed_server.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/net/text.h"
#include "tests/unit/certificate.h"
#include "tests/unit/controlplane/temporary_folder.h"

namespace portolan::control {
namespace {

namespace asio = boost::asio;
using nlohmann::json;

constexpr const char* token = "a-token-for-the-feed";

FedMapping mapping(uint16_t inside_port) {
  return {*net::parse_ipv6("2001:db8:1::"),
          {*net::parse_ipv4("10.0.0.2"), {inside_port}},
          {*net::parse_ipv4("192.0.2.1"), {inside_port}},
          net::Protocol::tcp};
}

template <class Stream>
class Client {
 public:
  template <class... Args>
  explicit Client(Args&&... args) : stream_(io_, std::forward<Args>(args)...) {}
  Stream& stream() { return stream_; }
  void say(const std::string& line) { asio::write(stream_, asio::buffer(line + "\n")); }
  json next() {  // null at the end
    boost::system::error_code error;
    const size_t bytes = asio::read_until(stream_, asio::dynamic_buffer(in_), '\n', error);
    if (error) return nullptr;
    const auto line = json::parse(in_.substr(0, bytes));
    in_.erase(0, bytes);
    return line["event"] == "alive" ? next() : line;
  }
  json next(const std::string& event) {  // the next of that kind
    for (int i = 0; i < 100'000; ++i)
      if (auto line = next(); line.is_null() || line["event"] == event) return line;
    return nullptr;
  }

 private:
  asio::io_context io_;
  Stream stream_;
  std::string in_;
};

class FeedServerTest : public ::testing::Test {
 protected:
  using Local = Client<asio::local::stream_protocol::socket>;
  using Tls = Client<asio::ssl::stream<asio::ip::tcp::socket>>;

  FeedServerTest() {
    settings_.socket = folder_.path() / "feed.sock";
    settings_.listen = parse_listen("127.0.0.1:0");
    settings_.certificate = certificate_.certificate;
    settings_.key = certificate_.key;
    settings_.token_file = folder_.path() / "token";
    std::ofstream(settings_.token_file) << token << '\n';
    chmod(settings_.token_file.c_str(), 0600);
    feed_.complete();
  }
  void start() {
    auto server = FeedServer::start(feed_, settings_, [](std::string_view) {});
    ASSERT_TRUE(server) << server.error().setting << ": " << server.error().text;
    server_ = std::move(*server);
  }
  std::unique_ptr<Local> local(const std::string& hello = R"({"feed":1})") {
    auto client = std::make_unique<Local>();
    client->stream().connect(settings_.socket);
    client->say(hello);
    return client;
  }
  std::unique_ptr<Tls> tls(const std::string& hello) {
    trust_.load_verify_file(certificate_.certificate);
    auto client = std::make_unique<Tls>(trust_);
    client->stream().set_verify_mode(asio::ssl::verify_peer);
    client->stream().next_layer().connect({asio::ip::address_v4::loopback(), server_->port()});
    client->stream().handshake(asio::ssl::stream_base::client);
    client->say(hello);
    return client;
  }

  TemporaryFolder folder_;
  CertificateFiles certificate_{folder_.path().string(), "feed"};
  asio::ssl::context trust_{asio::ssl::context::tls_client};
  MappingFeed feed_{56, 32};
  FeedSettings settings_;
  std::unique_ptr<FeedServer> server_;
};

TEST_F(FeedServerTest, a_program_on_this_machine_reads_changes_as_they_come) {
  start();
  struct stat found {};
  ASSERT_EQ(stat(settings_.socket.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600U);
  feed_.put(1, mapping(80));
  auto client = local();
  EXPECT_EQ(client->next()["event"], "hello");
  EXPECT_EQ(client->next("mapping")["outside"], "192.0.2.1:80");
  client->next("snapshot-end");
  feed_.put(2, mapping(81));
  server_->wake();
  EXPECT_EQ(client->next()["event"], "made");
  server_.reset();
  EXPECT_TRUE(client->next().is_null());
  EXPECT_NE(stat(settings_.socket.c_str(), &found), 0);
}

TEST_F(FeedServerTest, who_reads_and_how_far_he_is_can_be_seen) {
  start();
  EXPECT_TRUE(server_->readers().empty());
  feed_.put(1, mapping(80));
  auto client = local();
  client->next("snapshot-end");
  ASSERT_EQ(server_->readers().size(), 1U);
  EXPECT_EQ(server_->readers()[0].name, "a program on this machine");
  EXPECT_FALSE(server_->readers()[0].snapshot);
  EXPECT_EQ(server_->readers()[0].sequence, feed_.sequence());
  feed_.put(2, mapping(81));
  EXPECT_LT(server_->readers()[0].sequence, feed_.sequence()) << "he has not been woken";
  server_->wake();
  client->next("made");
  EXPECT_EQ(server_->readers()[0].sequence, feed_.sequence());
  client.reset();
  for (int turn = 0; turn < 1000 && !server_->readers().empty(); ++turn) usleep(10'000);
  EXPECT_TRUE(server_->readers().empty());
}

TEST_F(FeedServerTest, over_tcp_there_is_tls_and_a_token) {
  start();
  feed_.put(1, mapping(80));
  auto client = tls(json{{"feed", 1}, {"token", token}}.dump());
  EXPECT_EQ(client->next("mapping")["outside"], "192.0.2.1:80");
  for (const char* wrong : {R"({"feed":1})", R"({"feed":1,"token":"a-token-for-the-fees"})"}) {
    auto stranger = tls(wrong);
    EXPECT_EQ(stranger->next()["text"], "wrong token") << wrong;
    EXPECT_TRUE(stranger->next().is_null());
  }
}

TEST_F(FeedServerTest, what_is_no_greeting_is_refused_with_the_reason) {
  start();
  for (const std::string& wrong : {std::string("GET / HTTP/1.1"), std::string(R"({"feed":2})"),
                                   std::string(R"({"feed":1,"after":-1})"), std::string(5000, 'x')}) {
    auto client = local(wrong);
    EXPECT_EQ(client->next()["event"], "refused") << wrong.substr(0, 20);
    EXPECT_TRUE(client->next().is_null());
  }
}

TEST_F(FeedServerTest, a_reader_who_takes_nothing_is_in_nobodys_way) {
  start();
  auto slow = local();  // never reads: its socket's buffers fill, and it waits there
  auto other = local();
  other->next("snapshot-end");
  for (uint16_t turn = 0; turn < 60; ++turn) {
    for (uint16_t port = 1; port <= 1000; ++port) feed_.put(port, mapping(static_cast<uint16_t>(port + (turn % 2))));
    server_->wake();
  }
  feed_.put(5000, mapping(5000));
  server_->wake();
  json line;
  while (!(line = other->next()).is_null())
    if (line.contains("inside") && line["inside"] == "10.0.0.2:5000") break;
  EXPECT_FALSE(line.is_null());
}

TEST_F(FeedServerTest, strangers_who_say_nothing_keep_no_reader_out) {
  start();
  std::vector<std::unique_ptr<Local>> silent;
  for (size_t i = 0; i < FeedServer::strangers_max + 10; ++i) {
    silent.push_back(std::make_unique<Local>());
    silent.back()->stream().connect(settings_.socket);
  }
  EXPECT_EQ(local()->next()["event"], "hello");
  EXPECT_TRUE(silent.front()->next().is_null());
}

TEST_F(FeedServerTest, refuses_to_start_with_what_cannot_serve) {
  chmod(settings_.token_file.c_str(), 0644);
  auto server = FeedServer::start(feed_, settings_, [](std::string_view) {});
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().setting, "feed.token-file");
  chmod(settings_.token_file.c_str(), 0600);
  settings_.certificate = settings_.token_file;
  server = FeedServer::start(feed_, settings_, [](std::string_view) {});
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().setting, "feed.certificate");
  settings_.listen.reset();
  start();
  server = FeedServer::start(feed_, settings_, [](std::string_view) {});
  ASSERT_FALSE(server) << "the socket is in use";
  EXPECT_EQ(server.error().setting, "feed.socket");
}

TEST_F(FeedServerTest, a_renewed_certificate_is_shown_without_a_restart) {
  start();
  tls(json{{"feed", 1}, {"token", token}}.dump());
  const CertificateFiles renewed(folder_.path().string(), "renewed");
  std::filesystem::rename(renewed.key, settings_.key);
  std::filesystem::rename(renewed.certificate, settings_.certificate);
  trust_ = asio::ssl::context(asio::ssl::context::tls_client);
  EXPECT_EQ(tls(json{{"feed", 1}, {"token", token}}.dump())->next()["event"], "hello");
  const auto good = settings_.certificate + ".good";
  std::filesystem::copy_file(settings_.certificate, good);
  std::ofstream(settings_.certificate) << "broken";
  certificate_.certificate = good;
  EXPECT_EQ(tls(json{{"feed", 1}, {"token", token}}.dump())->next()["event"], "hello") << "the one before stays";
}

}  // namespace
}  // namespace portolan::control
