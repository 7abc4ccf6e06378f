// The proxy's UDP port in the home's network. Owns the socket and no PCP state.
#pragma once

#include <array>
#include <boost/asio/ip/udp.hpp>
#include <functional>
#include <span>
#include <string>

#include "dataplane/net/result.h"
#include "ddns-client-ref/pcp_client.h"

namespace portolan::ddns {

class ProxySocket {
 public:
  using Received = std::function<void(std::span<const uint8_t> datagram, const PcpPeer& source)>;
  ProxySocket(boost::asio::io_context& io, Received received) : socket_(io), received_(std::move(received)) {}

  net::Result<void, std::string> open(net::Ipv4 address);  // PCP's port of this address
  void send(const PcpPeer& to, std::span<const uint8_t> datagram);

 private:
  using Udp = boost::asio::ip::udp;
  void receive();

  Udp::socket socket_;
  Received received_;
  Udp::endpoint source_;
  std::array<uint8_t, 2048> buffer_{};  // more than a message may have, so that longer ones show
};

}  // namespace portolan::ddns
