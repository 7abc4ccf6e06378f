// The PCP client's sockets on loopback; for IPv6 multicast, which loopback does not carry, on a link of our own.
#include "ddns-client-ref/pcp_socket.h"

#include <arpa/inet.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/multicast.hpp>
#include <chrono>
#include <cstdlib>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <set>

#include "dataplane/net/text.h"

namespace portolan::ddns::test {
namespace {

namespace asio = boost::asio;
using Udp = asio::ip::udp;

// A PCP server's socket and what it has got.
struct Server {
  asio::io_context& io;
  Udp::socket socket;
  Server(asio::io_context& context, const char* address)
      : io(context), socket(context, Udp::endpoint(asio::ip::make_address(address), 0)) {}
  [[nodiscard]] PcpPeer peer(const net::Ipv6& address) const { return {address, socket.local_endpoint().port()}; }
};

const net::Ipv6 loopback4 = net::mapped(net::parse_ipv4("127.0.0.1").value());
const net::Ipv6 loopback6 = net::parse_ipv6("::1").value();

TEST(PcpSocket, PCC_001_the_source_port_is_another_and_unforeseeable_one_each_time) {
  asio::io_context io;
  Server server(io, "127.0.0.1");
  std::set<uint16_t> ports;
  std::set<int> steps;
  int before = 0;
  for (int i = 0; i < 12; ++i) {
    PcpSocket client(io, server.peer(loopback4), std::nullopt, [](auto, const auto&, bool) {});
    ASSERT_EQ(client.open().value(), loopback4) << "the address a request names (RFC 6887 8.1)";
    const uint8_t octet = 1;
    ASSERT_TRUE(client.send({&octet, 1}));
    Udp::endpoint from;
    std::array<uint8_t, 16> buffer{};
    ASSERT_EQ(server.socket.receive_from(asio::buffer(buffer), from), 1U);
    EXPECT_EQ(from.address().to_string(), "127.0.0.1");
    ports.insert(from.port());
    steps.insert(from.port() - before);
    before = from.port();
  }
  EXPECT_GE(ports.size(), 10U);
  EXPECT_GE(steps.size(), 10U) << "a row of ports would be foreseen";
}

void announces_arrive(const char* address, const net::Ipv6& server_address, const char* group, const char* link) {
  asio::io_context io;
  Server server(io, address);
  std::vector<PcpPeer> heard;
  PcpSocket client(io, server.peer(server_address), std::nullopt,
                   [&](std::span<const uint8_t> datagram, const auto& from, bool unasked) {
                     if (datagram.size() == 24 && unasked) heard.push_back(from);
                     io.stop();
                   });
  const auto listening = client.listen_for_announcements();
  ASSERT_TRUE(listening) << listening.error();
  auto to = asio::ip::make_address(group);
  if (to.is_v6()) {
    auto scoped = to.to_v6();
    scoped.scope_id(if_nametoindex(link));
    to = scoped;
    server.socket.set_option(asio::ip::multicast::outbound_interface(if_nametoindex(link)));
  } else {
    server.socket.set_option(asio::ip::multicast::outbound_interface(asio::ip::make_address_v4("127.0.0.1")));
  }
  const std::array<uint8_t, 24> announce{2, 0x80};
  server.socket.send_to(asio::buffer(announce), {to, 5350});
  io.run_for(std::chrono::seconds(20));
  ASSERT_EQ(heard.size(), 1U);
  EXPECT_EQ(heard.front(), server.peer(server_address)) << "by whose address the client knows its server";
}

TEST(PcpSocket, PCC_010_announcements_to_all_hosts_are_heard) {
  announces_arrive("127.0.0.1", loopback4, "224.0.0.1", "lo");
}
TEST(PcpSocket, PCC_014_a_port_nobody_listens_on_is_told_and_another_server_can_be_reached) {
  asio::io_context io;
  PcpPeer gone;
  {
    Server server(io, "127.0.0.1");
    gone = server.peer(loopback4);
  }
  Server server(io, "::1");
  int told = 0;
  PcpSocket client(io, gone, std::nullopt, [](auto, const auto&, bool) {});
  client.on_unreachable([&] {
    ++told;
    io.stop();
  });
  ASSERT_TRUE(client.open());
  const uint8_t octet = 1;
  ASSERT_TRUE(client.send({&octet, 1}));
  io.run_for(std::chrono::seconds(20));
  ASSERT_EQ(told, 1);
  client.set_server(server.peer(loopback6));
  ASSERT_EQ(client.open().value(), loopback6);
  ASSERT_TRUE(client.send({&octet, 1}));
  std::array<uint8_t, 16> buffer{};
  EXPECT_EQ(server.socket.receive(asio::buffer(buffer)), 1U);
}

// The last one: this process has another network from here on.
TEST(PcpSocket, PCC_010_announcements_to_all_nodes_are_heard) {
  if (unshare(CLONE_NEWNET) != 0) GTEST_SKIP() << "a network namespace needs root";
  ASSERT_EQ(std::system("ip link set lo up && ip link add near type veth peer name far && ip link set near up && "
                        "ip link set far up && ip addr add 2001:db8:a::1/64 dev near nodad"),
            0);
  announces_arrive("2001:db8:a::1", net::parse_ipv6("2001:db8:a::1").value(), "ff02::1", "near");
}

}  // namespace
}  // namespace portolan::ddns::test
