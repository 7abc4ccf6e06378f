// A unix socket that says how things stand: whoever connects is sent a text and nothing is read from him. Owns the
// file.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <functional>
#include <string>

#include "dataplane/net/result.h"

namespace portolan::ddns {

class StatusSocket {
 public:
  static constexpr unsigned readers_max = 8;  // at a time; more are closed at once
  using Content = std::function<std::string()>;

  StatusSocket(boost::asio::io_context& io, std::string path, Content content);
  ~StatusSocket();
  StatusSocket(const StatusSocket&) = delete;
  StatusSocket& operator=(const StatusSocket&) = delete;

  // The socket is readable for the owner and his group. A socket left by a dead process is replaced.
  net::Result<void, std::string> start();

 private:
  void accept();

  boost::asio::io_context& io_;
  std::string path_;
  Content content_;
  boost::asio::local::stream_protocol::acceptor acceptor_;
  unsigned readers_ = 0;
  bool bound_ = false;
};

// The other end: all that the socket says.
net::Result<std::string, std::string> read_status(const std::string& path);

}  // namespace portolan::ddns
