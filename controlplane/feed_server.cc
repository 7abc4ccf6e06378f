#include "controlplane/feed_server.h"

#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <fstream>
#include <grp.h>
#include <list>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "dataplane/net/text.h"
#include "dataplane/net/tls_files.h"

namespace portolan::control {

namespace asio = boost::asio;
using asio::ip::tcp;
using asio::local::stream_protocol;
using boost::system::error_code;

namespace {

constexpr size_t request_bytes_max = 1024, lines_per_chunk = 256, token_bytes_min = 16;
constexpr auto greeting_max = std::chrono::seconds(10);  // handshake and request together
constexpr auto stall_max = std::chrono::seconds(60);     // with lines the reader does not take
constexpr auto alive_every = std::chrono::seconds(5);    // so that a reader knows that silence is no news

struct Hello {
  std::string token, instance;
  std::optional<uint64_t> after;
};

std::optional<Hello> parse_hello(const std::string& line) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object() || !json.contains("feed") || json["feed"] != 1) return std::nullopt;
  Hello hello;
  for (const auto& [name, out] : {std::pair{"token", &hello.token}, std::pair{"instance", &hello.instance}}) {
    const auto member = json.find(name);
    if (member == json.end()) continue;
    if (!member->is_string()) return std::nullopt;
    *out = member->get<std::string>();
  }
  if (const auto after = json.find("after"); after != json.end()) {
    if (!after->is_number_unsigned()) return std::nullopt;
    hello.after = after->get<uint64_t>();
  }
  return hello;
}

bool same_secret(const std::string& a, const std::string& b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string refusal(std::string_view text) {
  return "{\"event\":\"refused\",\"text\":\"" + std::string(text) + "\"}\n";
}

net::Result<std::string, std::string> read_token(const std::string& file) {
  struct stat found {};
  if (stat(file.c_str(), &found) != 0) return tl::unexpected(file + " cannot be read; make it with a random token");
  if ((found.st_mode & (S_IRWXO | S_IWGRP)) != 0)
    return tl::unexpected(file + " is open to others; chmod 0600 (or 0640)");
  std::ifstream in(file);
  std::string token;
  if (!std::getline(in, token) || token.size() < token_bytes_min)
    return tl::unexpected(file + " must hold one line with a token of at least 16 characters");
  return token;
}

}  // namespace

class FeedServer::Impl {
 public:
  Impl(const MappingFeed& feed, Say say) : feed_(feed), say_(std::move(say)) {}
  std::optional<FeedError> listen(const FeedSettings& settings);
  void run() {
    accept_local();
    accept_tcp();
    thread_ = std::thread([this] { io_.run(); });
  }
  void end();
  void wake();
  [[nodiscard]] std::vector<FeedReader> readers() const;
  [[nodiscard]] uint16_t port() const { return tcp_.is_open() ? tcp_.local_endpoint().port() : uint16_t{0}; }

 private:
  class Reader;
  template <class Stream>
  class StreamReader;
  using Readers = std::list<std::shared_ptr<Reader>>;

  std::optional<std::string> listen_local(const FeedSettings& settings);
  std::optional<FeedError> listen_tcp(const FeedSettings& settings);
  void accept_local();
  void accept_tcp();
  void begin(std::shared_ptr<Reader> reader);
  void again_later(void (Impl::*accept)());
  void gone(const Reader& reader);

  const MappingFeed& feed_;
  Say say_;
  asio::io_context io_{1};
  stream_protocol::acceptor local_{io_};
  tcp::acceptor tcp_{io_};
  asio::steady_timer retry_{io_};
  std::optional<net::TlsFiles> tls_;
  std::string token_, path_;
  ino_t inode_ = 0;  // of the socket's file made here
  Readers strangers_, readers_;
  mutable std::mutex shown_mutex_;  // guards shown_: readers_ for the eyes of other threads
  std::map<const Reader*, FeedReader> shown_;
  std::atomic<bool> woken_ = false;
  std::thread thread_;
};

// One connection. What it needs of its stream is the few virtual functions of StreamReader.
class FeedServer::Impl::Reader : public std::enable_shared_from_this<Reader> {
 public:
  Reader(Impl& server, std::string name, bool needs_token)
      : server_(server), timer_(server.io_), name_(std::move(name)), needs_token_(needs_token) {}
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  virtual ~Reader() = default;
  virtual void start() = 0;
  [[nodiscard]] const std::string& name() const { return name_; }

  void close() {
    if (std::exchange(closed_, true)) return;
    timer_.cancel();
    close_stream();
    server_.gone(*this);
  }
  void pump() {  // whatever there is for him, if he is not busy with what he was sent before
    if (closed_ || writing_ || !admitted_) return;
    out_.clear();
    server_.feed_.read(cursor_, out_, lines_per_chunk);
    show();
    if (!out_.empty()) return write(false);
    timer_.expires_after(alive_every);
    timer_.async_wait([self = shared_from_this()](error_code stopped) {
      if (stopped || self->closed_ || self->writing_) return;
      self->out_ = self->server_.feed_.alive_line();
      self->write(false);
    });
  }

 protected:
  virtual void read_line() = 0;
  virtual void write_out(std::function<void(error_code)> then) = 0;
  virtual void close_stream() = 0;

  void end_after(std::chrono::seconds time) {
    timer_.expires_after(time);
    timer_.async_wait([self = shared_from_this()](error_code stopped) {
      if (!stopped) self->close();
    });
  }

  void greeted(const std::string& line) {
    const auto hello = parse_hello(line);
    if (!hello) return refuse("the first line must be a JSON object with \\\"feed\\\":1");
    if (needs_token_ && !same_secret(hello->token, server_.token_)) {
      server_.say_("feed: " + name_ + " has a wrong token");
      return refuse("wrong token");
    }
    if (server_.readers_.size() >= readers_max) return refuse("there are as many readers as there may be; close one");
    admitted_ = true;
    cursor_ = server_.feed_.attach(hello->instance, hello->after);
    std::erase(server_.strangers_, shared_from_this());
    server_.readers_.push_back(shared_from_this());
    since_ = std::chrono::steady_clock::now();
    server_.say_("feed: " + name_ + " reads");
    read_line();  // he has nothing more to say: this tells when he goes
    pump();
  }

  void heard(error_code error, const std::string& line) {
    if (closed_) return;
    if (error || admitted_) {
      if (error == asio::error::not_found && !admitted_) return refuse("the first line is too long");
      return close();
    }
    greeted(line);
  }

 private:
  void show() const {
    const std::lock_guard lock(server_.shown_mutex_);
    server_.shown_[this] = {name_, since_, cursor_.sequence(), !cursor_.is_live()};
  }
  void refuse(std::string_view text) {
    out_ = refusal(text);
    write(true);
  }
  void write(bool is_last) {
    writing_ = true;
    end_after(stall_max);
    write_out([self = shared_from_this(), is_last](error_code error) {
      self->writing_ = false;
      if (error || is_last) return self->close();
      self->timer_.cancel();
      self->pump();
    });
  }

 protected:
  Impl& server_;
  asio::steady_timer timer_;
  std::string name_;
  bool needs_token_, admitted_ = false, writing_ = false, closed_ = false;
  FeedCursor cursor_;
  std::chrono::steady_clock::time_point since_;  // admitted
  std::string in_, out_;
};

template <class Stream>
class FeedServer::Impl::StreamReader : public Reader {
 public:
  StreamReader(Impl& server, Stream stream, std::string name, net::TlsFiles::Context context = nullptr)
      : Reader(server, std::move(name), context != nullptr), context_(std::move(context)), stream_(std::move(stream)) {}

  void start() override {
    end_after(greeting_max);
    if constexpr (requires { stream_.handshake(asio::ssl::stream_base::server); }) {
      stream_.async_handshake(asio::ssl::stream_base::server, [self = shared_from_this(), this](error_code error) {
        if (error) return close();
        read_line();
      });
    } else {
      read_line();
    }
  }

 private:
  void read_line() override {
    asio::async_read_until(stream_, asio::dynamic_buffer(in_, request_bytes_max), '\n',
                           [self = shared_from_this(), this](error_code error, size_t bytes) {
                             const std::string line = in_.substr(0, bytes);
                             in_.erase(0, bytes);
                             heard(error, line);
                           });
  }
  void write_out(std::function<void(error_code)> then) override {
    asio::async_write(stream_, asio::buffer(out_),
                      [self = shared_from_this(), then = std::move(then)](error_code error, size_t) { then(error); });
  }
  void close_stream() override {
    error_code ignored;
    stream_.lowest_layer().close(ignored);
  }

  net::TlsFiles::Context context_;  // which the stream uses
  Stream stream_;
};

void FeedServer::Impl::begin(std::shared_ptr<Reader> reader) {
  if (strangers_.size() >= strangers_max) {
    const auto oldest = strangers_.front();  // so that no number of silent connections keeps the others out
    oldest->close();
  }
  strangers_.push_back(reader);
  reader->start();
}

void FeedServer::Impl::gone(const Reader& reader) {
  const auto is_it = [&](const std::shared_ptr<Reader>& each) { return each.get() == &reader; };
  std::erase_if(strangers_, is_it);
  {
    const std::lock_guard lock(shown_mutex_);
    shown_.erase(&reader);
  }
  if (std::erase_if(readers_, is_it) > 0) say_("feed: " + reader.name() + " has gone");
}

void FeedServer::Impl::again_later(void (Impl::*accept)()) {
  retry_.expires_after(std::chrono::seconds(1));  // out of descriptors, most likely: trying at once would only spin
  retry_.async_wait([this, accept](error_code stopped) {
    if (!stopped) (this->*accept)();
  });
}

void FeedServer::Impl::accept_local() {
  if (!local_.is_open()) return;
  local_.async_accept([this](error_code error, stream_protocol::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (error) return again_later(&Impl::accept_local);
    begin(
        std::make_shared<StreamReader<stream_protocol::socket>>(*this, std::move(socket), "a program on this machine"));
    accept_local();
  });
}

void FeedServer::Impl::accept_tcp() {
  if (!tcp_.is_open()) return;
  tcp_.async_accept([this](error_code error, tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (error) return again_later(&Impl::accept_tcp);
    error_code gone;
    const auto peer = socket.remote_endpoint(gone);
    if (!gone) {
      socket.set_option(tcp::no_delay(true), gone);
      auto context = tls_->current();
      asio::ssl::stream<tcp::socket> stream(std::move(socket), *context);
      begin(std::make_shared<StreamReader<asio::ssl::stream<tcp::socket>>>(
          *this, std::move(stream), peer.address().to_string(), std::move(context)));
    }
    accept_tcp();
  });
}

std::optional<FeedError> FeedServer::Impl::listen(const FeedSettings& settings) {
  if (settings.listen)
    if (auto error = listen_tcp(settings)) return error;
  if (settings.socket.empty()) return std::nullopt;
  if (const auto error = listen_local(settings)) return FeedError{"feed.socket", settings.socket + ": " + *error};
  return std::nullopt;
}

std::optional<FeedError> FeedServer::Impl::listen_tcp(const FeedSettings& settings) {
  auto token = read_token(settings.token_file);
  if (!token) return FeedError{"feed.token-file", token.error()};
  token_ = *token;
  auto tls = net::TlsFiles::load(settings.certificate, settings.key,
                                 [this](std::string_view text) { say_("feed: " + std::string(text)); });
  if (!tls) return FeedError{"feed.certificate", tls.error()};
  tls_ = std::move(*tls);
  const auto& [address, port] = *settings.listen;
  const tcp::endpoint endpoint = net::is_mapped(address)
                                     ? tcp::endpoint{asio::ip::address_v4(uint32_t{net::unmapped(address).bits}), port}
                                     : tcp::endpoint{asio::ip::address_v6(address.bytes), port};
  error_code error;
  tcp_.open(endpoint.protocol(), error);
  if (!error) tcp_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error && endpoint.address().is_v6()) tcp_.set_option(asio::ip::v6_only(true), error);
  if (!error) tcp_.bind(endpoint, error);
  if (!error) tcp_.listen(asio::socket_base::max_listen_connections, error);
  if (error) return FeedError{"feed.listen", "cannot listen there: " + error.message()};
  return std::nullopt;
}

std::optional<std::string> FeedServer::Impl::listen_local(const FeedSettings& settings) {
  path_ = settings.socket;
  struct stat there {};
  if (lstat(path_.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode)) return "exists and is not a socket; remove it or choose another path";
    stream_protocol::socket probe(io_);
    error_code refused;
    probe.connect(stream_protocol::endpoint(path_), refused);
    if (!refused) return "another program answers there; stop it or choose another path";
    unlink(path_.c_str());  // left behind by one that was killed
  }
  error_code error;
  local_.open(stream_protocol(), error);
  // Linux makes the file with the descriptor's mode: at no moment may anybody else connect.
  if (!error && fchmod(local_.native_handle(), 0600) != 0) return "fchmod fails";
  if (!error) local_.bind(stream_protocol::endpoint(path_), error);
  if (!error) local_.listen(asio::socket_base::max_listen_connections, error);
  if (error) return "cannot be made: " + error.message();
  if (lstat(path_.c_str(), &there) == 0) inode_ = there.st_ino;
  if (settings.group.empty()) return std::nullopt;
  const auto* group = getgrnam(settings.group.c_str());  // at start-up, one thread
  if (group == nullptr) return "there is no group \"" + settings.group + "\"; create it or correct feed.group";
  if (chown(path_.c_str(), static_cast<uid_t>(-1), group->gr_gid) != 0 || chmod(path_.c_str(), 0660) != 0)
    return "cannot be given to group \"" + settings.group + '"';
  return std::nullopt;
}

void FeedServer::Impl::end() {
  io_.stop();
  if (thread_.joinable()) thread_.join();
  for (auto* list : {&strangers_, &readers_})
    for (const auto& each : Readers(*list)) each->close();
  struct stat now {};
  if (inode_ != 0 && lstat(path_.c_str(), &now) == 0 && now.st_ino == inode_) unlink(path_.c_str());
}

void FeedServer::Impl::wake() {
  if (woken_.exchange(true)) return;
  asio::post(io_, [this] {
    woken_ = false;
    for (const auto& each : Readers(readers_)) each->pump();
  });
}

std::vector<FeedReader> FeedServer::Impl::readers() const {
  std::vector<FeedReader> out;
  const std::lock_guard lock(shown_mutex_);
  for (const auto& [reader, shown] : shown_) out.push_back(shown);
  return out;
}

net::Result<std::unique_ptr<FeedServer>, FeedError> FeedServer::start(const MappingFeed& feed,
                                                                      const FeedSettings& settings, Say say) {
  auto impl = std::make_unique<Impl>(feed, std::move(say));
  if (auto error = impl->listen(settings)) {
    impl->end();
    return tl::unexpected(std::move(*error));
  }
  impl->run();
  return std::unique_ptr<FeedServer>(new FeedServer(std::move(impl)));
}

FeedServer::FeedServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FeedServer::~FeedServer() { impl_->end(); }
void FeedServer::wake() { impl_->wake(); }
std::vector<FeedReader> FeedServer::readers() const { return impl_->readers(); }
uint16_t FeedServer::port() const { return impl_->port(); }

}  // namespace portolan::control
