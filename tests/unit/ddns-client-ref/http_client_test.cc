// The HTTP client against a Beast server in the same io_context; certificates are made by the test.
#include "ddns-client-ref/http_client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <fstream>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <optional>

namespace portolan::ddns {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;

// Takes one connection, keeps the request, writes raw octets back. Without an answer it keeps silent.
template <class Stream>
class OneShotServer {
  std::optional<Stream> stream_;
  beast::flat_buffer buffer_;
  std::string answer_;

 public:
  http::request<http::string_body> request;
  tcp::acceptor acceptor;
  uint16_t port;

  template <class... Args>
  OneShotServer(asio::io_context& io, std::string answer, Args&... tls)
      : answer_(std::move(answer)),
        acceptor(io, {asio::ip::address_v4::loopback(), 0}),
        port(acceptor.local_endpoint().port()) {
    acceptor.async_accept([this, &tls...](error_code error, tcp::socket socket) {
      if (error) return;
      stream_.emplace(std::move(socket), tls...);
      begin();
    });
  }
  void close() {
    acceptor.close();
    if (stream_) beast::get_lowest_layer(*stream_).close();
  }

 private:
  void begin() {
    if constexpr (std::is_same_v<Stream, beast::tcp_stream>)
      read();
    else
      stream_->async_handshake(asio::ssl::stream_base::server, [this](error_code error) {
        if (!error) read();
      });
  }
  void read() {
    http::async_read(*stream_, buffer_, request, [this](error_code error, size_t) {
      if (error || answer_.empty()) return;
      asio::async_write(*stream_, asio::buffer(answer_), [this](error_code, size_t) { close(); });
    });
  }
};
using PlainServer = OneShotServer<beast::tcp_stream>;
using TlsServer = OneShotServer<beast::ssl_stream<beast::tcp_stream>>;

HttpResult send(asio::io_context& io, const std::string& url, const HttpRequest& request, HttpSettings settings = {},
                const std::function<void()>& then = {}) {
  auto client = HttpClient::make(io, *parse_url(url), std::move(settings));
  if (!client) return tl::unexpected(client.error());
  HttpResult result = tl::unexpected(std::string("never called"));
  client->send(request, [&](const HttpResult& answer) {
    result = answer;
    if (then) then();
  });
  io.run();
  return result;
}

TEST(HttpClient, carries_request_and_answer) {
  asio::io_context io;
  PlainServer server(io, "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 120\r\nContent-Length: 5\r\n\r\nhello");
  const auto result = send(io, "http://127.0.0.1:" + std::to_string(server.port) + "/",
                           {"PUT", "/api/v1/x?y=1", {{"Authorization", "Bearer a:t"}}, "{\"port\":1}"});
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->status, 429U);
  EXPECT_EQ(result->body, "hello");
  EXPECT_EQ(result->retry_after_s, 120U);
  EXPECT_EQ(server.request.method_string(), "PUT");
  EXPECT_EQ(server.request.target(), "/api/v1/x?y=1");
  EXPECT_EQ(server.request["Authorization"], "Bearer a:t");
  EXPECT_EQ(server.request[http::field::host], "127.0.0.1:" + std::to_string(server.port));
  EXPECT_FALSE(server.request[http::field::user_agent].empty());
  EXPECT_EQ(server.request.body(), "{\"port\":1}");
}

TEST(HttpClient, a_silent_server_meets_the_deadline) {
  asio::io_context io;
  PlainServer server(io, "");
  HttpSettings settings;
  settings.deadline = std::chrono::milliseconds(50);
  const auto result = send(io, "http://127.0.0.1:" + std::to_string(server.port) + "/", {"GET", "/", {}, {}}, settings,
                           [&] { server.close(); });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error(), "no answer in time");
}

TEST(HttpClient, nobody_there_is_an_error) {
  asio::io_context io;
  uint16_t port = 0;
  {
    tcp::acceptor gone(io, {asio::ip::address_v4::loopback(), 0});
    port = gone.local_endpoint().port();
  }
  const auto result = send(io, "http://127.0.0.1:" + std::to_string(port) + "/", {"GET", "/", {}, {}});
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().find("cannot connect to 127.0.0.1"), std::string::npos) << result.error();
}

TEST(HttpClient, an_answer_that_is_no_http_or_too_large_is_an_error) {
  for (const std::string& answer :
       {std::string("SSH-2.0-x\r\n\r\n"), "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + std::string(9000, 'x'),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5dc\r\n" + std::string(1500, 'x') + "\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n" + std::string(9000, 'x'),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut short")}) {
    asio::io_context io;
    PlainServer server(io, answer);
    HttpSettings settings;
    settings.body_bytes_max = 1000;
    const auto result =
        send(io, "http://127.0.0.1:" + std::to_string(server.port) + "/", {"GET", "/", {}, {}}, settings);
    ASSERT_FALSE(result) << answer.substr(0, 60);
    EXPECT_NE(result.error().find("no good answer from"), std::string::npos) << result.error();
  }
}

// A self-signed certificate for the address 127.0.0.1.
class Certificate {
 public:
  std::string pem, key_pem;
  Certificate() {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME* name = X509_get_subject_name(certificate);
    const std::string common_name = "portolan test";
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(common_name.data()),
                               static_cast<int>(common_name.size()), -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_EXTENSION* alternative = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1");
    X509_add_ext(certificate, alternative, -1);
    X509_sign(certificate, key, EVP_sha256());
    pem = text([&](BIO* out) { PEM_write_bio_X509(out, certificate); });
    key_pem = text([&](BIO* out) { PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr); });
    X509_EXTENSION_free(alternative);
    X509_free(certificate);
    EVP_PKEY_free(key);
  }

 private:
  static std::string text(const std::function<void(BIO*)>& write) {
    BIO* out = BIO_new(BIO_s_mem());
    write(out);
    char* bytes = nullptr;
    const auto size = static_cast<size_t>(BIO_ctrl(out, BIO_CTRL_INFO, 0, &bytes));
    std::string copy(bytes, size);
    BIO_free(out);
    return copy;
  }
};

struct Tls : ::testing::Test {
  Certificate certificate;
  asio::ssl::context context{asio::ssl::context::tls_server};
  std::string ca_file = ::testing::TempDir() + "portolan_ddns_ca_" + std::to_string(::getpid()) + ".pem";
  void SetUp() override {
    std::ofstream(ca_file) << certificate.pem;
    context.use_certificate(asio::buffer(certificate.pem), asio::ssl::context::pem);
    context.use_private_key(asio::buffer(certificate.key_pem), asio::ssl::context::pem);
  }
  void TearDown() override { std::remove(ca_file.c_str()); }
  const std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
};

TEST_F(Tls, a_trusted_certificate_for_this_host_is_accepted) {
  asio::io_context io;
  TlsServer server(io, answer, context);
  HttpSettings settings;
  settings.ca_file = ca_file;
  const auto result =
      send(io, "https://127.0.0.1:" + std::to_string(server.port) + "/", {"GET", "/", {}, {}}, settings);
  ASSERT_TRUE(result) << result.error();
  EXPECT_EQ(result->body, "ok");
}

TEST_F(Tls, an_unknown_certificate_is_refused_before_the_token_is_sent) {
  asio::io_context io;
  TlsServer server(io, answer, context);
  const auto result = send(io, "https://127.0.0.1:" + std::to_string(server.port) + "/",
                           {"GET", "/", {{"Authorization", "Bearer a:t"}}, {}});
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().find("TLS with"), std::string::npos) << result.error();
  EXPECT_TRUE(server.request["Authorization"].empty());
}

TEST_F(Tls, a_certificate_for_another_host_is_refused) {
  asio::io_context io;
  TlsServer server(io, answer, context);
  HttpSettings settings;
  settings.ca_file = ca_file;
  const auto result =
      send(io, "https://localhost:" + std::to_string(server.port) + "/", {"GET", "/", {}, {}}, settings);
  ASSERT_FALSE(result);
}

TEST_F(Tls, a_ca_file_that_cannot_be_read_is_an_error) {
  asio::io_context io;
  const auto client = HttpClient::make(io, *parse_url("https://a.example/"), {.ca_file = "/nonexistent.pem"});
  ASSERT_FALSE(client);
  EXPECT_NE(client.error().find("/nonexistent.pem"), std::string::npos);
}

}  // namespace
}  // namespace portolan::ddns
