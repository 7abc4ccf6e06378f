#include "ddns-server/http_server.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <csignal>
#include <ctime>
#include <map>
#include <optional>
#include <spdlog/spdlog.h>
#include <stdexcept>
#include <string>
#include <vector>

#include "dataplane/net/tls_files.h"

namespace portolan::ddnsd {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;

net::Ipv6 address_of(const asio::ip::address& address) {
  return {address.is_v4() ? asio::ip::make_address_v6(asio::ip::v4_mapped, address.to_v4()).to_bytes()
                          : address.to_v6().to_bytes()};
}

tcp::endpoint endpoint_of(const SocketAddress& socket) {
  if (net::is_mapped(socket.address))
    return {asio::ip::address_v4(uint32_t{net::unmapped(socket.address).bits}), socket.port};
  return {asio::ip::address_v6(socket.address.bytes), socket.port};
}

Request to_request(const http::request<http::string_body>& message, const net::Ipv6& source) {
  const auto field = [&](http::field name) { return std::string(message[name]); };
  Request out;
  out.method = std::string(message.method_string());
  out.target = std::string(message.target());
  const auto [first, last] = message.equal_range(http::field::host);
  for (auto each = first; each != last; ++each) out.hosts.emplace_back(each->value());
  out.authorization = field(http::field::authorization);
  out.content_type = field(http::field::content_type);
  out.user_agent = field(http::field::user_agent);
  out.body = message.body();
  out.http_1_0 = message.version() < 11;
  out.source = source;
  return out;
}

http::response<http::string_body> to_message(const Reply& reply, unsigned version, bool keep_alive, bool is_head) {
  http::response<http::string_body> out(static_cast<http::status>(reply.status), version);
  out.set(http::field::server, "portolan-ddnsd");
  for (const auto& [name, value] : reply.headers) out.set(name, value);
  if (!reply.content_type.empty()) out.set(http::field::content_type, reply.content_type);
  out.keep_alive(keep_alive);
  if (!is_head) out.body() = reply.body;
  if (reply.status != 204) out.content_length(reply.body.size());  // for HEAD: what GET would have
  return out;
}

// What to answer when a request cannot be read; 0: nobody is there to answer.
unsigned status_of(const error_code& error) {
  if (error == http::error::header_limit) return 431;
  if (error == http::error::body_limit || error == http::error::buffer_overflow) return 413;
  if (error == http::error::end_of_stream || error == http::error::partial_message) return 0;
  return error.category() == http::make_error_code(http::error::bad_method).category() ? 400 : 0;
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(const Config& config, Site& site, const Options& options);

  struct Listener {
    tcp::acceptor acceptor;
    asio::steady_timer retry;
    bool is_tls = false;
    bool waiting = false;  // for a connection to end: all are taken
  };
  template <class Stream>
  class Session;

  void listen(const SocketAddress& socket, bool is_tls);
  void accept(Listener& listener);
  void begin(tcp::socket socket, const net::Ipv6& source, bool is_tls);
  void connection_ended(const net::Ipv6& source);
  bool verify(const Verification& verification, std::function<void()> then);
  void tick();

  Site& site_;
  Options options_;
  unsigned connections_max_;
  unsigned connections_ = 0;
  bool ending_ = false;  // the sessions left end with io_, when there is no listener any more
  std::map<net::Ipv6, unsigned> connections_by_source_;
  unsigned verifying_ = 0;
  std::vector<std::function<void(int64_t)>> tasks_;
  std::optional<net::TlsFiles> tls_;
  asio::io_context io_{1};
  std::vector<std::unique_ptr<Listener>> listeners_;
  asio::signal_set signals_{io_, SIGTERM, SIGINT};
  asio::steady_timer second_{io_};
  asio::thread_pool verifier_{1};  // after io_: joined before what it posts to is gone
};

using PlainStream = beast::tcp_stream;
using TlsStream = asio::ssl::stream<beast::tcp_stream>;

// One connection: read a request, answer it, read the next. Keeps itself alive by the handler it waits for.
template <class Stream>
class HttpServer::Impl::Session : public std::enable_shared_from_this<Session<Stream>> {
  static constexpr bool is_tls = std::is_same_v<Stream, TlsStream>;
  Impl& server_;
  net::TlsFiles::Context context_;  // which the stream uses
  Stream stream_;
  asio::steady_timer again_;
  net::Ipv6 source_;
  beast::flat_buffer buffer_{limits::header_bytes_max + limits::body_bytes_max};
  std::optional<http::request_parser<http::string_body>> parser_;
  std::optional<http::response<http::string_body>> message_;
  Request request_;
  bool keep_alive_ = false;
  size_t drained_bytes_ = 0;

 public:
  template <class... Arguments>
  Session(Impl& server, const net::Ipv6& source, net::TlsFiles::Context context, tcp::socket socket,
          Arguments&... arguments)
      : server_(server),
        context_(std::move(context)),
        stream_(std::move(socket), arguments...),
        again_(server.io_),
        source_(source) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() { server_.connection_ended(source_); }

  void start() {
    if constexpr (is_tls) {
      layer().expires_after(server_.options_.request_timeout);
      stream_.async_handshake(asio::ssl::stream_base::server,
                              [self = this->shared_from_this()](const error_code& error) {
                                if (!error) self->read();
                              });
    } else {
      read();
    }
  }

 private:
  beast::tcp_stream& layer() { return beast::get_lowest_layer(stream_); }

  void read() {
    parser_.emplace();
    parser_->header_limit(limits::header_bytes_max);
    parser_->body_limit(limits::body_bytes_max);
    layer().expires_after(server_.options_.request_timeout);
    http::async_read(stream_, buffer_, *parser_,
                     [self = this->shared_from_this()](const error_code& error, size_t) { self->on_read(error); });
  }

  void on_read(const error_code& error) {
    if (!error) {
      keep_alive_ = parser_->keep_alive();
      request_ = to_request(parser_->get(), source_);
      return answer();
    }
    keep_alive_ = false;
    request_ = {};
    request_.target = std::string(parser_->get().target());
    if (const unsigned status = status_of(error); status != 0) write(Site::refusal(status, request_.target));
  }

  void answer() {
    const auto outcome = server_.site_.handle(request_, std::time(nullptr));
    if (const auto* reply = std::get_if<Reply>(&outcome)) return reply->is_again ? answer_later() : write(*reply);
    const auto again = [self = this->shared_from_this()] { self->answer(); };
    if (!server_.verify(std::get<Verification>(outcome), again)) write(Site::refusal(503, request_.target));
  }

  void answer_later() {
    ++request_.tries;
    again_.expires_after(limits::claim_retry);
    again_.async_wait([self = this->shared_from_this()](const error_code& stopped) {
      if (!stopped) self->answer();
    });
  }

  void write(const Reply& reply) {
    message_ = to_message(reply, request_.http_1_0 ? 10 : 11, keep_alive_, request_.method == "HEAD");
    layer().expires_after(server_.options_.reply_timeout);
    http::async_write(stream_, *message_, [self = this->shared_from_this()](const error_code& error, size_t) {
      if (error) return;
      if (self->keep_alive_) return self->read();
      self->finish();
    });
  }

  void finish() {
    if constexpr (is_tls) {
      stream_.async_shutdown([self = this->shared_from_this()](const error_code&) {});
    } else {
      error_code ignored;
      layer().socket().shutdown(tcp::socket::shutdown_send, ignored);
      drain();
    }
  }

  // Closing with octets unread makes the kernel reset the connection, and the client may lose the reply (RFC 9112
  // §9.6). So read on for as long as one more request would have been allowed to take, and throw it away.
  void drain() {
    buffer_.clear();
    layer().async_read_some(buffer_.prepare(4096),
                            [self = this->shared_from_this()](const error_code& error, size_t bytes) {
                              self->drained_bytes_ += bytes;
                              if (!error && self->drained_bytes_ < 64 * limits::body_bytes_max) self->drain();
                            });
  }
};

HttpServer::Impl::Impl(const Config& config, Site& site, const Options& options)
    : site_(site), options_(options), connections_max_(config.connections_max) {
  if (!config.listen_tls.empty()) {
    auto files = net::TlsFiles::load(config.certificate, config.key,
                                     [](std::string_view text) { spdlog::warn("tls: {}", text); });
    if (!files) throw std::runtime_error("server.certificate: " + files.error());
    tls_ = std::move(*files);
  }
  for (const SocketAddress& socket : config.listen) listen(socket, false);
  for (const SocketAddress& socket : config.listen_tls) listen(socket, true);
  for (const auto& each : listeners_) accept(*each);
  signals_.async_wait([this](const error_code& error, int) {
    if (!error) io_.stop();
  });
  tick();
}

void HttpServer::Impl::listen(const SocketAddress& socket, bool is_tls) {
  const tcp::endpoint endpoint = endpoint_of(socket);
  auto listener = std::make_unique<Listener>(Listener{tcp::acceptor(io_), asio::steady_timer(io_), is_tls});
  try {
    listener->acceptor.open(endpoint.protocol());
    listener->acceptor.set_option(tcp::acceptor::reuse_address(true));
    if (endpoint.address().is_v6()) listener->acceptor.set_option(asio::ip::v6_only(true));
    listener->acceptor.bind(endpoint);
    listener->acceptor.listen();
  } catch (const boost::system::system_error& error) {
    throw std::runtime_error("cannot listen on " + to_text(socket) + ": " + error.code().message());
  }
  listeners_.push_back(std::move(listener));
}

void HttpServer::Impl::begin(tcp::socket socket, const net::Ipv6& source, bool is_tls) {
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  if (!is_tls) return std::make_shared<Session<PlainStream>>(*this, source, nullptr, std::move(socket))->start();
  auto context = tls_->current();
  std::make_shared<Session<TlsStream>>(*this, source, context, std::move(socket), *context)->start();
}

void HttpServer::Impl::accept(Listener& listener) {
  listener.waiting = connections_ >= connections_max_;
  if (listener.waiting) return;  // others wait in the kernel's backlog until connection_ended()
  listener.acceptor.async_accept([this, &listener](const error_code& error, tcp::socket socket) {
    if (error) {  // out of descriptors: trying again at once would spin
      spdlog::warn("accept: {}", error.message());
      listener.retry.expires_after(std::chrono::milliseconds(100));
      return listener.retry.async_wait([this, &listener](const error_code& stopped) {
        if (!stopped) accept(listener);
      });
    }
    error_code gone;
    const auto peer = socket.remote_endpoint(gone);
    const net::Ipv6 source = gone ? net::Ipv6{} : address_of(peer.address());
    const unsigned share = std::max(2U, connections_max_ / limits::connections_per_source_divisor);
    ++connections_;
    if (++connections_by_source_[source] <= share && !gone) {
      begin(std::move(socket), source, listener.is_tls);
    } else {
      connection_ended(source);
    }
    accept(listener);
  });
}

void HttpServer::Impl::connection_ended(const net::Ipv6& source) {
  --connections_;
  if (const auto found = connections_by_source_.find(source); --found->second == 0) connections_by_source_.erase(found);
  if (ending_) return;
  for (const auto& each : listeners_)
    if (each->waiting) accept(*each);
}

bool HttpServer::Impl::verify(const Verification& verification, std::function<void()> then) {
  if (verifying_ >= limits::verifications_waiting_max) return false;
  ++verifying_;
  asio::post(verifier_, [this, verification, then = std::move(then)]() mutable {
    const bool right = is_right(verification);
    asio::post(io_, [this, verification, right, then = std::move(then)] {
      --verifying_;
      site_.settle(verification, right, std::time(nullptr));
      then();
    });
  });
  return true;
}

void HttpServer::Impl::tick() {
  second_.expires_after(std::chrono::seconds(1));
  second_.async_wait([this](const error_code& stopped) {
    if (stopped) return;
    for (const auto& task : tasks_) task(std::time(nullptr));
    tick();
  });
}

HttpServer::HttpServer(const Config& config, Site& site, const Options& options)
    : impl_(std::make_unique<Impl>(config, site, options)) {}
HttpServer::~HttpServer() {
  impl_->verifier_.stop();
  impl_->verifier_.join();
  impl_->ending_ = true;
}
void HttpServer::every_second(std::function<void(int64_t)> task) { impl_->tasks_.push_back(std::move(task)); }
void HttpServer::run() { impl_->io_.run(); }
void HttpServer::stop() { impl_->io_.stop(); }
uint16_t HttpServer::port(size_t listener) const {
  return impl_->listeners_.at(listener)->acceptor.local_endpoint().port();
}

}  // namespace portolan::ddnsd
