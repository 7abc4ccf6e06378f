// Asio's side of PCP.
#include "ddns-client-ref/pcp_socket.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <utility>

#include "pcp-server/pcp_wire.h"

namespace portolan::ddns {
namespace asio = boost::asio;
using boost::system::error_code;

namespace {

asio::ip::address to_asio(const net::Ipv6& address) {
  if (net::is_mapped(address)) return asio::ip::address_v4(uint32_t{net::unmapped(address).bits});
  return asio::ip::address_v6(address.bytes);
}

net::Ipv6 from_asio(const asio::ip::address& address) {
  if (address.is_v4()) return net::mapped(net::Ipv4{address.to_v4().to_uint()});
  return {address.to_v6().to_bytes()};
}

}  // namespace

PcpSocket::PcpSocket(asio::io_context& io, PcpPeer server, std::optional<net::Ipv6> source, Received received)
    : io_(io),
      server_(to_asio(server.address), server.port),
      source_(source),
      received_(std::move(received)),
      unicast_{Udp::socket(io), 0, {}},
      multicast_{Udp::socket(io), 0, {}} {}

void PcpSocket::set_server(const PcpPeer& server) { server_ = {to_asio(server.address), server.port}; }

// The source port is the kernel's random choice (PCC-001).
net::Result<net::Ipv6, std::string> PcpSocket::connect(Udp::socket& socket) const {
  error_code error;
  socket.open(server_.protocol(), error);
  if (!error && source_) socket.bind({to_asio(*source_), 0}, error);
  if (error) return tl::unexpected("cannot bind to pcp.source: " + error.message());
  socket.connect(server_, error);
  const auto local = error ? Udp::endpoint{} : socket.local_endpoint(error);
  if (error) return tl::unexpected("no route to " + server_.address().to_string() + ": " + error.message());
  return from_asio(local.address());
}

net::Result<net::Ipv6, std::string> PcpSocket::open() {
  Udp::socket socket(io_);
  auto local = connect(socket);
  if (!local) return local;
  error_code error;
  unicast_.socket.close(error);  // ends the receive that waits on it
  unicast_.socket = std::move(socket);
  ++unicast_.generation;
  receive(unicast_);
  return local;
}

net::Result<net::Ipv6, std::string> PcpSocket::route() const {
  Udp::socket socket(io_);
  return connect(socket);
}

bool PcpSocket::send(std::span<const uint8_t> datagram) {
  error_code error;
  unicast_.socket.send(asio::buffer(datagram.data(), datagram.size()), 0, error);
  // An ICMP error to an earlier datagram says that nobody listens there at present, not that the path is gone.
  return !error || error == asio::error::connection_refused;
}

// Every interface is in 224.0.0.1 and ff02::1 anyway (RFC 1112 §7.2, RFC 4291 §2.8): no group has to be joined.
net::Result<void, std::string> PcpSocket::listen_for_announcements() {
  const Udp::endpoint any(server_.protocol(), uint16_t{pcp::client_port.number});
  auto& socket = multicast_.socket;
  error_code error;
  socket.open(any.protocol(), error);
  if (!error) socket.set_option(Udp::socket::reuse_address(true), error);  // other PCP clients listen too (§14.1.3)
  if (!error && any.protocol() == Udp::v6()) socket.set_option(asio::ip::v6_only(true), error);
  if (!error) socket.bind(any, error);
  if (error) return tl::unexpected("cannot listen on UDP port 5350: " + error.message());
  receive(multicast_);
  return {};
}

void PcpSocket::receive(Inbox& inbox) {
  const auto received = [this, &inbox, generation = inbox.generation](error_code error, size_t size) {
    if (error == asio::error::operation_aborted || generation != inbox.generation) return;
    if (error == asio::error::connection_refused && &inbox == &unicast_ && unreachable_)
      unreachable_();
    else if (!error)
      received_(std::span(inbox.buffer).first(size), {from_asio(inbox.source.address()), inbox.source.port()},
                &inbox == &multicast_);
    if (generation == inbox.generation) receive(inbox);
  };
  inbox.socket.async_receive_from(asio::buffer(inbox.buffer), inbox.source, received);
}

}  // namespace portolan::ddns
