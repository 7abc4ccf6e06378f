#include "ddns-client-ref/proxy_socket.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/multicast.hpp>

#include "pcp-server/pcp_wire.h"

namespace portolan::ddns {
namespace asio = boost::asio;
using boost::system::error_code;

net::Result<void, std::string> ProxySocket::open(net::Ipv4 address) {
  const asio::ip::address_v4 local(uint32_t{address.bits});
  error_code error;
  socket_.open(Udp::v4(), error);
  if (!error) socket_.bind({local, uint16_t{pcp::server_port.number}}, error);
  if (!error) socket_.set_option(asio::ip::multicast::outbound_interface(local), error);
  if (!error) socket_.non_blocking(true, error);
  if (error)
    return tl::unexpected(local.to_string() + " UDP port " + std::to_string(uint16_t{pcp::server_port.number}) + ": " +
                          error.message());
  receive();
  return {};
}

// Lost like any datagram if the kernel has no room: hosts ask again.
void ProxySocket::send(const PcpPeer& to, std::span<const uint8_t> datagram) {
  error_code ignored;
  const asio::ip::address_v4 address(uint32_t{net::unmapped(to.address).bits});
  socket_.send_to(asio::buffer(datagram.data(), datagram.size()), Udp::endpoint(address, to.port), 0, ignored);
}

void ProxySocket::receive() {
  socket_.async_receive_from(asio::buffer(buffer_), source_, [this](error_code error, size_t size) {
    if (error == asio::error::operation_aborted) return;
    if (!error)
      received_(std::span(buffer_).first(size),
                {net::mapped(net::Ipv4{source_.address().to_v4().to_uint()}), source_.port()});
    receive();
  });
}

}  // namespace portolan::ddns
