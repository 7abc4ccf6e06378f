#include "ddns-client-ref/status_socket.h"

#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

namespace portolan::ddns {
namespace asio = boost::asio;
using boost::system::error_code;
using Local = asio::local::stream_protocol;

namespace {

constexpr auto reader_time = std::chrono::seconds(5);
constexpr size_t path_bytes_max = 107;  // sockaddr_un

struct Reader {
  Local::socket socket;
  asio::steady_timer deadline;
  std::string text;
};

}  // namespace

StatusSocket::StatusSocket(asio::io_context& io, std::string path, Content content)
    : io_(io), path_(std::move(path)), content_(std::move(content)), acceptor_(io) {}

StatusSocket::~StatusSocket() {
  if (bound_) ::unlink(path_.c_str());
}

net::Result<void, std::string> StatusSocket::start() {
  const auto failed = [&](const std::string& why) { return tl::unexpected("status-socket " + path_ + ": " + why); };
  if (path_.size() > path_bytes_max) return failed("longer than " + std::to_string(path_bytes_max) + " octets");
  error_code error;
  Local::socket other(io_);
  if (!other.connect(Local::endpoint(path_), error)) return failed("another process listens there");
  if (error == asio::error::connection_refused) ::unlink(path_.c_str());
  const mode_t before = ::umask(0117);  // before anybody can connect
  error.clear();
  acceptor_.open(Local(), error);
  if (!error) acceptor_.bind(Local::endpoint(path_), error);
  ::umask(before);
  bound_ = !error;
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) return failed(error.message());
  accept();
  return {};
}

void StatusSocket::accept() {
  acceptor_.async_accept([this](error_code error, Local::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (!error && readers_ < readers_max) {
      auto reader = std::make_shared<Reader>(Reader{std::move(socket), asio::steady_timer(io_), content_()});
      ++readers_;
      reader->deadline.expires_after(reader_time);
      reader->deadline.async_wait([reader](error_code stopped) {
        if (!stopped) reader->socket.close();
      });
      asio::async_write(reader->socket, asio::buffer(reader->text), [this, reader](error_code, size_t) {
        --readers_;
        reader->deadline.cancel();
      });
    }
    accept();
  });
}

net::Result<std::string, std::string> read_status(const std::string& path) {
  asio::io_context io;
  Local::socket socket(io);
  error_code error;
  std::string out;
  if (socket.connect(Local::endpoint(path), error))
    return tl::unexpected(path + ": " + error.message() + "; is portolan-ddns running, with ddns.status-socket set?");
  asio::read(socket, asio::dynamic_buffer(out), error);
  if (error != asio::error::eof) return tl::unexpected(path + ": " + error.message());
  return out;
}

}  // namespace portolan::ddns
