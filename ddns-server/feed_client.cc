#include "ddns-server/feed_client.h"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <ctime>
#include <fstream>
#include <spdlog/spdlog.h>
#include <thread>

#include "dataplane/net/text.h"

namespace portolan::ddnsd {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using asio::local::stream_protocol;
using boost::system::error_code;

constexpr size_t line_bytes_max = 4096, read_bytes = 65536;
constexpr auto silence_max = std::chrono::seconds(Authority::silence_max_s);
constexpr auto retry_min = std::chrono::milliseconds(250), retry_max = std::chrono::milliseconds(10'000);

// One connection, whatever it runs over.
class Connection {
 public:
  using Handler = std::function<void(error_code, size_t)>;
  virtual ~Connection() = default;
  virtual void connect(std::function<void(error_code)> then) = 0;
  virtual void write(const std::string& text, Handler then) = 0;
  virtual void read(asio::mutable_buffer room, Handler then) = 0;
  virtual void close() = 0;
};

class LocalConnection : public Connection {
  stream_protocol::socket socket_;
  stream_protocol::endpoint endpoint_;

 public:
  LocalConnection(asio::io_context& io, const std::string& path) : socket_(io), endpoint_(path) {}
  void connect(std::function<void(error_code)> then) override { socket_.async_connect(endpoint_, std::move(then)); }
  void write(const std::string& text, Handler then) override {
    asio::async_write(socket_, asio::buffer(text), std::move(then));
  }
  void read(asio::mutable_buffer room, Handler then) override { socket_.async_read_some(room, std::move(then)); }
  void close() override {
    error_code ignored;
    socket_.close(ignored);
  }
};

class TlsConnection : public Connection {
  asio::ssl::stream<tcp::socket> stream_;
  tcp::endpoint endpoint_;

 public:
  TlsConnection(asio::io_context& io, asio::ssl::context& context, const SocketAddress& server, const std::string& name)
      : stream_(io, context) {
    endpoint_ = net::is_mapped(server.address)
                    ? tcp::endpoint{asio::ip::address_v4(uint32_t{net::unmapped(server.address).bits}), server.port}
                    : tcp::endpoint{asio::ip::address_v6(server.address.bytes), server.port};
    stream_.set_verify_mode(asio::ssl::verify_peer);
    stream_.set_verify_callback(
        asio::ssl::host_name_verification(name.empty() ? endpoint_.address().to_string() : name));
  }
  void connect(std::function<void(error_code)> then) override {
    stream_.lowest_layer().async_connect(endpoint_, [this, then = std::move(then)](error_code error) {
      if (error) return then(error);
      stream_.async_handshake(asio::ssl::stream_base::client, then);
    });
  }
  void write(const std::string& text, Handler then) override {
    asio::async_write(stream_, asio::buffer(text), std::move(then));
  }
  void read(asio::mutable_buffer room, Handler then) override { stream_.async_read_some(room, std::move(then)); }
  void close() override {
    error_code ignored;
    stream_.lowest_layer().close(ignored);
  }
};

std::string first_line_of(const std::string& file) {
  std::ifstream in(file);
  std::string line;
  if (!std::getline(in, line) || line.empty())
    throw std::runtime_error("authority.token-file " + file + " cannot be read, or is empty");
  return line;
}

}  // namespace

class FeedClient::Impl {
 public:
  Impl(const AuthorityConfig& config, Authority& authority) : config_(config), authority_(authority) {
    if (!config.token_file.empty()) token_ = first_line_of(config.token_file);
    if (config.server) {
      error_code error;
      if (config.ca_file.empty())
        context_.set_default_verify_paths(error);
      else
        context_.load_verify_file(config.ca_file, error);
      if (error) throw std::runtime_error("authority.ca-file " + config.ca_file + ": " + error.message());
    }
    begin();
    tick();
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Impl() {
    io_.stop();
    thread_.join();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

 private:
  void begin() {
    in_.clear();
    is_heard_ = false;
    if (config_.server)
      connection_ = std::make_shared<TlsConnection>(io_, context_, *config_.server, config_.name);
    else
      connection_ = std::make_shared<LocalConnection>(io_, config_.socket);
    end_after(silence_max);
    connection_->connect([this, mine = connection_](error_code error) {
      if (mine != connection_) return;
      if (error) return failed(error.message());
      out_ = authority_.hello(token_);
      connection_->write(out_, [this, mine](error_code problem, size_t) {
        if (mine != connection_) return;
        if (problem) return failed(problem.message());
        read();
      });
    });
  }

  void read() {
    connection_->read(asio::buffer(room_), [this, mine = connection_](error_code error, size_t bytes) {
      if (mine != connection_) return;
      if (error) return failed(error == asio::error::eof ? "it has closed the connection" : error.message());
      end_after(silence_max);
      in_.append(room_.data(), bytes);
      std::string why;
      const bool good = take_lines(why);
      authority_.flush(std::time(nullptr));
      if (!good) return failed(why);
      read();
    });
  }

  bool take_lines(std::string& why) {
    size_t begin = 0;
    for (size_t end = 0; (end = in_.find('\n', begin)) != in_.npos; begin = end + 1)
      if (!authority_.take(std::string_view(in_).substr(begin, end - begin), std::time(nullptr), why)) return false;
    in_.erase(0, begin);
    if (begin > 0 && !std::exchange(is_heard_, true)) heard();
    if (in_.size() > line_bytes_max) return why = "a line longer than any of a feed's", false;
    return true;
  }

  void heard() {
    spdlog::info("authority: reading the feed of {}", where());
    wait_ = retry_min;
    is_down_told_ = false;
  }

  // Said once, until it is back.
  void failed(const std::string& why) {
    if (!std::exchange(is_down_told_, true))
      spdlog::error("authority: {}: {}; names stay as they are, claims wait", where(), why);
    authority_.lost();
    connection_->close();
    connection_.reset();
    timer_.expires_after(wait_);
    wait_ = std::min<std::chrono::milliseconds>(wait_ * 2, retry_max);
    timer_.async_wait([this](error_code stopped) {
      if (!stopped) begin();
    });
  }

  void end_after(std::chrono::seconds time) {
    timer_.expires_after(time);
    timer_.async_wait([this, mine = connection_](error_code stopped) {
      if (!stopped && mine == connection_) failed("no answer");
    });
  }

  void tick() {
    second_.expires_after(std::chrono::seconds(1));
    second_.async_wait([this](error_code stopped) {
      if (stopped) return;
      authority_.look_at_rules(std::time(nullptr));
      authority_.flush(std::time(nullptr));  // if the registry did not take it before
      tick();
    });
  }

  [[nodiscard]] std::string where() const { return config_.server ? to_text(*config_.server) : config_.socket; }

  AuthorityConfig config_;
  Authority& authority_;
  std::string token_, in_, out_;
  std::array<char, read_bytes> room_{};
  bool is_heard_ = false, is_down_told_ = false;
  std::chrono::milliseconds wait_ = retry_min;
  asio::io_context io_{1};
  asio::ssl::context context_{asio::ssl::context::tls_client};
  asio::steady_timer timer_{io_}, second_{io_};
  std::shared_ptr<Connection> connection_;
  std::thread thread_;
};

FeedClient::FeedClient(const AuthorityConfig& config, Authority& authority)
    : impl_(std::make_unique<Impl>(config, authority)) {}
FeedClient::~FeedClient() = default;

}  // namespace portolan::ddnsd
