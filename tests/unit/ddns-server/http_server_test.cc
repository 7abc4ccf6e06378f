// The server on real sockets: what only octets on a connection can show.
#include "ddns-server/http_server.h"

#include <arpa/inet.h>
#include <cstdio>
#include <cstring>
#include <gtest/gtest.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "ddns-server/limits.h"
#include "tests/unit/certificate.h"
#include "tests/unit/ddns-server/fixture.h"

namespace portolan::ddnsd::test {
namespace {

// A client socket. Reads end at the peer's close or after a generous bound, so that a hanging server fails the test.
class Client {
  int socket_;

 public:
  explicit Client(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const timeval bound{20, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << strerror(errno);
  }
  ~Client() { close(socket_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void send(const std::string& text) {
    for (size_t sent = 0; sent < text.size();) {
      const ssize_t bytes = ::send(socket_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (bytes <= 0) return;  // the server has had enough
      sent += static_cast<size_t>(bytes);
    }
  }
  void half_close() { shutdown(socket_, SHUT_WR); }
  std::string read_until(const std::string& end) {
    std::string out;
    char octet = 0;
    while (!out.ends_with(end) && recv(socket_, &octet, 1, 0) == 1) out += octet;
    return out;
  }
  std::string read_to_end() {
    std::string out;
    char octets[4096];
    ssize_t bytes = 0;
    while ((bytes = recv(socket_, octets, sizeof octets, 0)) > 0) out.append(octets, static_cast<size_t>(bytes));
    closed_by_server_ = bytes == 0 || errno == ECONNRESET;
    return out;
  }
  bool closed_by_server_ = false;
};

class HttpServerTest : public SiteTest {
 protected:
  HttpServerTest() {
    config_.listen = {{net::mapped(endpoint("127.0.0.1:1").address), 0}};
    config_.connections_max = 8;
    registry_.put("alice.example", web_service(), now_s_);
  }
  ~HttpServerTest() override {
    if (!thread_.joinable()) return;
    server_->stop();
    thread_.join();
  }
  void start(const HttpServer::Options& options = {}) {
    server_ = std::make_unique<HttpServer>(config_, site_, options);
    thread_ = std::thread([this] { server_->run(); });
  }
  uint16_t port() { return server_->port(0); }
  std::string exchange(const std::string& request) {
    Client client(port());
    client.send(request);
    return client.read_to_end();
  }
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
};

TEST_F(HttpServerTest, DDN_010_redirect) {
  start();
  const std::string reply = exchange("GET /x?y=1 HTTP/1.1\r\nHost: alice.example\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 301 ")) << reply;
  EXPECT_NE(reply.find("\r\nLocation: http://192.0.2.1:2000/x?y=1\r\n"), std::string::npos) << reply;
  EXPECT_NE(reply.find("\r\nCache-Control: no-store\r\n"), std::string::npos) << reply;
}

TEST_F(HttpServerTest, keep_alive_serves_request_after_request) {
  start();
  Client client(port());
  for (int i = 0; i < 3; ++i) {
    client.send("GET /healthz HTTP/1.1\r\nHost: ddns.example\r\n\r\n");
    EXPECT_TRUE(client.read_until("\r\n\r\nok\n").ends_with("ok\n"));
  }
}

TEST_F(HttpServerTest, pipelined_requests_are_answered_in_order) {
  start();
  const std::string reply = exchange(
      "GET /healthz HTTP/1.1\r\nHost: ddns.example\r\n\r\nGET /none HTTP/1.1\r\nHost: ddns.example\r\nConnection: "
      "close\r\n\r\n");
  EXPECT_LT(reply.find("200 OK"), reply.find("404 Not Found")) << reply;
}

TEST_F(HttpServerTest, DYN_001_http_1_0) {
  start();
  const std::string reply = exchange("GET /healthz HTTP/1.0\r\nHost: ddns.example\r\n\r\n");
  EXPECT_TRUE(reply.starts_with("HTTP/1.0 200 OK\r\n")) << reply;
  EXPECT_TRUE(reply.ends_with("\r\n\r\nok\n")) << reply;
}

TEST_F(HttpServerTest, head_has_the_length_but_no_body) {
  start();
  const std::string reply = exchange("HEAD /healthz HTTP/1.1\r\nHost: ddns.example\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(reply.ends_with("\r\n\r\n")) << reply;
  EXPECT_NE(reply.find("Content-Length: 3\r\n"), std::string::npos) << reply;
}

TEST_F(HttpServerTest, a_body_reaches_the_api_and_its_token_is_verified_off_the_thread) {
  start();
  const std::string body = R"({"port":8001,"address":"192.0.2.7"})";
  const std::string head =
      "PUT /api/v1/names/alice.example/services/web HTTP/1.1\r\nHost: ddns.example\r\nContent-Type: "
      "application/json\r\nConnection: close\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\nAuthorization: Bearer alice:";
  const std::string reply = exchange(head + alice_token + "\r\n\r\n" + body);
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 200 OK")) << reply;
  EXPECT_NE(reply.find("\"changed\":true"), std::string::npos) << reply;
  EXPECT_TRUE(exchange(head + "wrong\r\n\r\n" + body).starts_with("HTTP/1.1 401 "));
}

TEST_F(HttpServerTest, an_oversized_header_is_431) {
  start();
  EXPECT_TRUE(exchange("GET / HTTP/1.1\r\nHost: ddns.example\r\nX: " + std::string(9000, 'x') + "\r\n\r\n")
                  .starts_with("HTTP/1.1 431 "));
}

TEST_F(HttpServerTest, an_oversized_body_is_413_in_json_on_the_api) {
  start();
  const std::string head = "PUT /api/v1/names/alice.example/services/web HTTP/1.1\r\nHost: ddns.example\r\n";
  for (const std::string& rest :
       {"Content-Length: 17000\r\n\r\n" + std::string(17000, ' '),
        "Transfer-Encoding: chunked\r\n\r\n4268\r\n" + std::string(17000, ' ') + "\r\n0\r\n\r\n"}) {
    Client client(port());
    client.send(head + rest);
    client.half_close();
    const std::string reply = client.read_to_end();
    EXPECT_TRUE(reply.starts_with("HTTP/1.1 413 ")) << reply;
    EXPECT_NE(reply.find("\"body_too_large\""), std::string::npos) << reply;
  }
}

TEST_F(HttpServerTest, what_is_not_http_is_400) {
  start();
  Client client(port());
  client.send("hello\r\n\r\n");
  client.half_close();
  EXPECT_TRUE(client.read_to_end().starts_with("HTTP/1.1 400 "));
}

TEST_F(HttpServerTest, a_slow_client_is_hung_up_on) {
  start({std::chrono::milliseconds(200), std::chrono::milliseconds(200)});
  Client client(port());
  client.send("GET / HTTP/1.1\r\nHost: ddns.ex");
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_TRUE(client.closed_by_server_);
}

// Longer than the bound on a request's time, so that it is not this that ends them.
TEST_F(HttpServerTest, DDN_017_however_much_slow_clients_send_each_takes_no_more_than_a_request_may) {
  config_.connections_max = 400;
  start({std::chrono::seconds(60), std::chrono::seconds(60)});
  const auto heap_bytes = [&] {
    exchange("GET /healthz HTTP/1.1\r\nHost: ddns.example\r\nConnection: close\r\n\r\n");  // after what was sent before
    return mallinfo2().uordblks + mallinfo2().hblkhd;
  };
  const size_t before = heap_bytes();
  std::vector<std::unique_ptr<Client>> slow;
  for (size_t i = 0; i < 99; ++i) {
    slow.push_back(std::make_unique<Client>(port()));
    slow.back()->send("PUT / HTTP/1.1\r\nHost: ddns.example\r\nX: ");
  }
  constexpr size_t share = limits::header_bytes_max + limits::body_bytes_max + 8192;  // and the session's own
  for (int kib = 0; kib < 64; ++kib) {
    for (const auto& each : slow) each->send(std::string(1024, 'x'));
    ASSERT_LT(heap_bytes(), before + slow.size() * share) << kib << " KiB from each";
  }
  slow.clear();
  for (int i = 0; i < 1000 && heap_bytes() > before + 4 * share; ++i) usleep(10'000);
  EXPECT_LE(heap_bytes(), before + 4 * share) << "when they have gone, so has what they took";
}

TEST_F(HttpServerTest, DDN_017_one_source_gets_a_quarter_of_the_connections) {
  start();
  Client first(port()), second(port());
  for (Client* client : {&first, &second}) {
    client->send("GET /healthz HTTP/1.1\r\nHost: ddns.example\r\n\r\n");
    EXPECT_TRUE(client->read_until("ok\n").ends_with("ok\n"));
  }
  EXPECT_EQ(exchange("GET /healthz HTTP/1.1\r\nHost: ddns.example\r\n\r\n"), "");
}

TEST_F(HttpServerTest, a_connection_beyond_the_maximum_waits_for_one_to_end) {
  config_.connections_max = 2;
  start();
  auto first = std::make_unique<Client>(port());
  Client second(port()), third(port());
  for (Client* client : {first.get(), &second}) {
    client->send("GET /healthz HTTP/1.1\r\nHost: ddns.example\r\n\r\n");
    EXPECT_TRUE(client->read_until("ok\n").ends_with("ok\n"));
  }
  third.send("GET /healthz HTTP/1.1\r\nHost: ddns.example\r\n\r\n");
  first.reset();
  EXPECT_TRUE(third.read_until("ok\n").ends_with("ok\n"));
}

TEST_F(HttpServerTest, a_port_that_is_taken_is_named) {
  start();
  config_.listen[0].port = port();
  try {
    const HttpServer second(config_, site_, {});
    FAIL() << "two servers on one port";
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(std::string(error.what()),
              "cannot listen on 127.0.0.1:" + std::to_string(port()) + ": Address already in use");
  }
}

TEST_F(HttpServerTest, every_second_runs_on_the_servers_thread) {
  server_ = std::make_unique<HttpServer>(config_, site_, HttpServer::Options{});
  int64_t seen = 0;
  server_->every_second([&](int64_t time_s) {
    seen = time_s;
    server_->stop();
  });
  server_->run();
  EXPECT_GT(seen, 1'700'000'000);
}

class HttpsTest : public HttpServerTest {
 protected:
  HttpsTest() {
    config_.listen_tls = {{net::mapped(endpoint("127.0.0.1:1").address), 0}};
    config_.certificate = certificate_.certificate;
    config_.key = certificate_.key;
  }
  // curl's answer: header and body; trusts the certificate first made and no other.
  std::string curl(const std::string& options, const std::string& path) {
    const std::string command = "curl -s -S -i -m 20 --cacert " + trusted_ + " " + options +
                                " 'https://localhost:" + std::to_string(server_->port(1)) + path + "' 2>&1";
    FILE* pipe = popen(command.c_str(), "r");
    std::string out;
    for (char octets[1024]; fgets(octets, sizeof octets, pipe) != nullptr;) out += octets;
    pclose(pipe);
    return out;
  }
  CertificateFiles certificate_{directory_.file(""), "ddnsd"};
  std::string trusted_ = certificate_.certificate;
};

TEST_F(HttpsTest, DDN_012_a_name_redirects_over_https_too) {
  start();
  EXPECT_NE(curl("-H 'Host: alice.example'", "/x?y=1").find("http://192.0.2.1:2000/x?y=1"), std::string::npos);
}

TEST_F(HttpsTest, DYN_017_updates_are_taken_over_https) {
  start();
  const std::string host = "-H 'Host: ddns.example' -u alice:",
                    query = "/nic/update?hostname=alice.example&myip=192.0.2.7";
  EXPECT_NE(curl(host + alice_token, query).find("good 192.0.2.7"), std::string::npos);
  EXPECT_NE(curl(host + bob_token, query).find("badauth"), std::string::npos);
}

TEST_F(HttpsTest, a_renewed_certificate_is_taken_over_without_a_restart) {
  start();
  EXPECT_NE(curl("-H 'Host: ddns.example'", "/healthz").find("ok"), std::string::npos);
  const CertificateFiles renewed(directory_.file(""), "renewed");
  trusted_ = renewed.certificate;
  std::filesystem::copy_file(renewed.key, certificate_.key, std::filesystem::copy_options::overwrite_existing);
  std::filesystem::copy_file(renewed.certificate, certificate_.certificate,
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_NE(curl("-H 'Host: ddns.example'", "/healthz").find("ok"), std::string::npos);
}

TEST_F(HttpsTest, who_says_nothing_in_the_handshake_is_let_go) {
  start({.request_timeout = std::chrono::milliseconds(200), .reply_timeout = std::chrono::milliseconds(200)});
  Client silent(server_->port(1)), rude(server_->port(1));
  rude.send("GET / HTTP/1.1\r\nHost: alice.example\r\n\r\n");
  silent.read_to_end(), rude.read_to_end();
  EXPECT_TRUE(silent.closed_by_server_ && rude.closed_by_server_);
  EXPECT_NE(curl("-H 'Host: ddns.example'", "/healthz").find("ok"), std::string::npos);
}

TEST_F(HttpsTest, a_certificate_that_cannot_be_used_is_named) {
  config_.certificate = directory_.file("nothing.pem");
  EXPECT_THROW(HttpServer(config_, site_, {}), std::runtime_error);
}

}  // namespace
}  // namespace portolan::ddnsd::test
