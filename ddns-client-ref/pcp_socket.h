// The two UDP sockets of a PCP client: one towards the server, one where restart announcements arrive. Owns no PCP
// state; what comes in goes to the agent.
#pragma once

#include <array>
#include <boost/asio/ip/udp.hpp>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "dataplane/net/result.h"
#include "ddns-client-ref/pcp_client.h"

namespace portolan::ddns {

class PcpSocket {
 public:
  using Unreachable = std::function<void()>;
  // `unasked`: at the port for announcements.
  using Received = std::function<void(std::span<const uint8_t> datagram, const PcpPeer& source, bool unasked)>;
  PcpSocket(boost::asio::io_context& io, PcpPeer server, std::optional<net::Ipv6> source, Received received);

  // From the next open() on.
  void set_server(const PcpPeer& server);
  // Called when an ICMP error says that nobody listens there (RFC 7488 §3: a hard one).
  void on_unreachable(Unreachable unreachable) { unreachable_ = std::move(unreachable); }
  // Connects, so that the kernel fixes the source address PCP must name (RFC 6887 §8.1) and drops what others send.
  net::Result<net::Ipv6, std::string> open();
  // The source address a new socket would get now: another one after the CPE was renumbered.
  [[nodiscard]] net::Result<net::Ipv6, std::string> route() const;
  bool send(std::span<const uint8_t> datagram);  // false: the path is broken, see route()
  net::Result<void, std::string> listen_for_announcements();

 private:
  using Udp = boost::asio::ip::udp;
  struct Inbox {
    Udp::socket socket;
    unsigned generation = 0;  // counts sockets: a handler of a replaced one starts no second receive
    Udp::endpoint source;
    std::array<uint8_t, 2048> buffer{};  // more than the 1100 octets a message may have, so that longer ones show
  };
  net::Result<net::Ipv6, std::string> connect(Udp::socket& socket) const;
  void receive(Inbox& inbox);

  boost::asio::io_context& io_;
  Udp::endpoint server_;
  std::optional<net::Ipv6> source_;
  Received received_;
  Unreachable unreachable_;
  Inbox unicast_, multicast_;
};

}  // namespace portolan::ddns
