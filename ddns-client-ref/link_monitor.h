// What the kernel says about links, addresses and routes (rtnetlink), so that a changed way to the PCP server is
// noticed when it changes and not at the next check. Owns one socket.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <map>
#include <span>
#include <string>

#include "dataplane/net/result.h"

namespace portolan::ddns {

struct LinkEvent {
  bool link_up = false;  // a link carries again
  bool path = false;     // an address or a route is another one, or a link
  friend bool operator==(const LinkEvent&, const LinkEvent&) = default;
};

class LinkMonitor {
 public:
  using Changed = std::function<void(const LinkEvent&)>;
  LinkMonitor(boost::asio::io_context& io, Changed changed) : socket_(io), changed_(std::move(changed)) {}
  net::Result<void, std::string> start();

  // What a datagram of rtnetlink messages says. What is cut or unknown says nothing; nor does anything before the end
  // of the list that start() asks for, which tells how the links are.
  LinkEvent read(std::span<const std::byte> messages);

 private:
  void wait();
  void drain();

  boost::asio::posix::stream_descriptor socket_;
  Changed changed_;
  bool listed_ = false;
  std::map<int, bool> running_;  // by interface index; there are as many as links
  alignas(16) std::array<std::byte, 16 * 1024> buffer_{};
};

}  // namespace portolan::ddns
