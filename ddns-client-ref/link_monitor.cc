#include "ddns-client-ref/link_monitor.h"

#include <cerrno>
#include <cstring>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

namespace portolan::ddns {
namespace {

constexpr int reads_max = 64;  // in one go; the rest wakes us again

template <class Wire>
bool take(std::span<const std::byte> from, Wire& out) {
  if (from.size() < sizeof out) return false;
  std::memcpy(&out, from.data(), sizeof out);
  return true;
}

}  // namespace

net::Result<void, std::string> LinkMonitor::start() {
  const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE;
  if (fd < 0 || ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    auto error = tl::unexpected(std::string("cannot listen to rtnetlink: ") + std::strerror(errno));
    if (fd >= 0) ::close(fd);
    return error;
  }
  struct {
    nlmsghdr header;
    ifinfomsg link;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  socket_.assign(fd);
  if (::send(fd, &request, sizeof request, 0) < 0)
    return tl::unexpected(std::string("cannot list the links: ") + std::strerror(errno));
  wait();
  return {};
}

void LinkMonitor::wait() {
  socket_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code error) {
    if (error) return;
    drain();
    wait();
  });
}

void LinkMonitor::drain() {
  LinkEvent all;
  for (int i = 0; i < reads_max; ++i) {
    const ssize_t size = ::recv(socket_.native_handle(), buffer_.data(), buffer_.size(), 0);
    if (size < 0 && errno == ENOBUFS) {  // messages were lost: anything may have changed
      all = {true, true};
      continue;
    }
    if (size <= 0) break;
    const LinkEvent event = read(std::span(buffer_).first(static_cast<size_t>(size)));
    all = {all.link_up || event.link_up, all.path || event.path};
  }
  if (all != LinkEvent{}) changed_(all);
}

// A link that only reports statistics or a new name is no event: what counts is that it carries packets again.
LinkEvent LinkMonitor::read(std::span<const std::byte> messages) {
  LinkEvent out;
  nlmsghdr header{};
  while (take(messages, header) && header.nlmsg_len >= sizeof header && header.nlmsg_len <= messages.size()) {
    const auto body = messages.subspan(NLMSG_HDRLEN <= header.nlmsg_len ? NLMSG_HDRLEN : header.nlmsg_len);
    ifinfomsg link{};
    switch (header.nlmsg_type) {
      case RTM_NEWLINK:
        if (take(body, link)) {
          const bool running = (link.ifi_flags & IFF_RUNNING) != 0;
          bool& before = running_[link.ifi_index];
          out.link_up |= running && !before;
          out.path |= running != before;
          before = running;
        }
        break;
      case RTM_DELLINK:
        if (take(body, link)) running_.erase(link.ifi_index);
        out.path = true;
        break;
      case RTM_NEWADDR:
      case RTM_DELADDR:
      case RTM_NEWROUTE:
      case RTM_DELROUTE:
        out.path = true;
        break;
      case NLMSG_DONE:
        listed_ = true;
        out = {};
        break;
      default:
        break;
    }
    messages = messages.subspan(std::min<size_t>(NLMSG_ALIGN(header.nlmsg_len), messages.size()));
  }
  return listed_ ? out : LinkEvent{};
}

}  // namespace portolan::ddns
