// A session is one request: it lives in its own handlers and ends by calling done exactly once.
#include "ddns-client-ref/http_client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/rfc2818_verification.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <type_traits>
#include <utility>

#include "dataplane/net/text.h"

namespace portolan::ddns {
namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;
using TlsStream = beast::ssl_stream<beast::tcp_stream>;

struct HttpClient::Shared {
  asio::io_context& io;
  Url server;
  HttpSettings settings;
  asio::ssl::context tls{asio::ssl::context::tls_client};
  unsigned resolving = 0;
};

namespace {

http::request<http::string_body> to_beast(const HttpRequest& request, const Url& server) {
  http::request<http::string_body> out;
  out.version(11);
  out.method_string(request.method);
  out.target(request.target);
  out.set(http::field::host, server.authority());
  out.set(http::field::user_agent, "portolan-ddns/0.1");
  out.set(http::field::connection, "close");
  for (const auto& [name, value] : request.headers) out.set(name, value);
  out.body() = request.body;
  out.prepare_payload();
  return out;
}

HttpResponse from_beast(const http::response<http::string_body>& answer) {
  HttpResponse out{answer.result_int(), answer.body(), {}};
  const auto retry_after = answer[http::field::retry_after];
  if (const auto seconds = net::parse_number({retry_after.data(), retry_after.size()}); seconds && *seconds <= 86400)
    out.retry_after_s = static_cast<uint32_t>(*seconds);
  return out;
}

template <class Shared, class Stream>
class Session : public std::enable_shared_from_this<Session<Shared, Stream>> {
  static constexpr bool tls = std::is_same_v<Stream, TlsStream>;
  std::shared_ptr<Shared> shared_;
  HttpClient::Done done_;
  Stream stream_;
  tcp::resolver resolver_;
  asio::steady_timer deadline_;
  http::request<http::string_body> request_;
  http::response_parser<http::string_body> answer_;
  beast::flat_buffer buffer_;

 public:
  template <class... StreamArgs>
  Session(std::shared_ptr<Shared> shared, HttpRequest request, HttpClient::Done done, StreamArgs&&... stream)
      : shared_(std::move(shared)),
        done_(std::move(done)),
        stream_(std::forward<StreamArgs>(stream)...),
        resolver_(shared_->io),
        deadline_(shared_->io),
        request_(to_beast(request, shared_->server)) {
    answer_.body_limit(shared_->settings.body_bytes_max);
  }

  void start() {
    deadline_.expires_after(shared_->settings.deadline);
    deadline_.async_wait([self = this->shared_from_this()](error_code error) {
      if (!error) self->finish(tl::unexpected(std::string("no answer in time")));
    });
    ++shared_->resolving;
    resolver_.async_resolve(
        shared_->server.host, std::to_string(shared_->server.port), tcp::resolver::numeric_service,
        [self = this->shared_from_this()](error_code error, const tcp::resolver::results_type& found) {
          --self->shared_->resolving;
          if (self->ok(error, "cannot resolve")) self->connect(found);
        });
  }

 private:
  beast::tcp_stream& transport() { return beast::get_lowest_layer(stream_); }

  void connect(const tcp::resolver::results_type& found) {
    transport().async_connect(found, [self = this->shared_from_this()](error_code error, const tcp::endpoint&) {
      if (self->ok(error, "cannot connect to")) self->secure();
    });
  }

  void secure() {
    if constexpr (tls) {
      const auto& host = shared_->server.host;
      stream_.set_verify_callback(asio::ssl::host_name_verification(host));
      // Server name indication is for names (RFC 6066 §3); a failure here shows as a failed handshake.
      if (!net::parse_ipv4(host) && !net::parse_ipv6(host))
        SSL_ctrl(stream_.native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 const_cast<char*>(host.c_str()));
      stream_.async_handshake(asio::ssl::stream_base::client, [self = this->shared_from_this()](error_code error) {
        if (self->ok(error, "TLS with")) self->write();
      });
    } else {
      write();
    }
  }

  void write() {
    http::async_write(stream_, request_, [self = this->shared_from_this()](error_code error, size_t) {
      if (self->ok(error, "cannot write to")) self->read_header();
    });
  }

  // Beast 1.74 looks at its body limit for chunked and unsized answers, not at Content-Length.
  void read_header() {
    http::async_read_header(stream_, buffer_, answer_, [self = this->shared_from_this()](error_code error, size_t) {
      if (!error && self->answer_.content_length().value_or(0) > self->shared_->settings.body_bytes_max)
        error = http::error::body_limit;
      if (self->ok(error, "no good answer from")) self->read();
    });
  }

  // A TLS server that cuts the connection after a whole answer has answered.
  void read() {
    http::async_read(stream_, buffer_, answer_, [self = this->shared_from_this()](error_code error, size_t) {
      if (error == asio::ssl::error::stream_truncated && self->answer_.is_done()) error = {};
      if (self->ok(error, "no good answer from")) self->finish(from_beast(self->answer_.get()));
    });
  }

  bool ok(error_code error, const char* what) {
    if (!done_) return false;
    if (error) finish(tl::unexpected(std::string(what) + " " + shared_->server.authority() + ": " + error.message()));
    return !error;
  }

  void finish(const HttpResult& result) {
    if (!done_) return;
    deadline_.cancel();
    resolver_.cancel();
    transport().close();
    std::exchange(done_, nullptr)(result);
  }
};

}  // namespace

net::Result<HttpClient, std::string> HttpClient::make(asio::io_context& io, const Url& server, HttpSettings settings) {
  auto shared = std::make_shared<Shared>(Shared{io, server, std::move(settings)});
  if (server.tls) {
    error_code error;
    const auto& ca_file = shared->settings.ca_file;
    if (ca_file.empty())
      shared->tls.set_default_verify_paths(error);
    else
      shared->tls.load_verify_file(ca_file, error);
    if (error)
      return tl::unexpected("certificates of " + (ca_file.empty() ? "the system" : ca_file) + ": " + error.message());
    shared->tls.set_verify_mode(asio::ssl::verify_peer);
    SSL_CTX_set_min_proto_version(shared->tls.native_handle(), TLS1_2_VERSION);
  }
  return HttpClient(std::move(shared));
}

void HttpClient::send(const HttpRequest& request, Done done) {
  if (shared_->server.tls)
    std::make_shared<Session<Shared, TlsStream>>(shared_, request, std::move(done), shared_->io, shared_->tls)->start();
  else
    std::make_shared<Session<Shared, beast::tcp_stream>>(shared_, request, std::move(done), shared_->io)->start();
}

bool HttpClient::resolving() const { return shared_->resolving > 0; }

}  // namespace portolan::ddns
