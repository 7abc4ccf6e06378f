// Frames as a neighbour would send and expect them, built octet by octet and independently of the code under test (the
// frames written in hexadecimal are scapy's), and
// the fixture every router test stands on: one router between an access and an internet gateway, with a clock of its
// own.
#pragma once

#include <algorithm>
#include <gtest/gtest.h>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/router/router.h"
#include "dataplane/net/text.h"

namespace portolan::control::testing {

using Octets = std::vector<uint8_t>;

Octets operator+(Octets left, const Octets& right);
Octets hex(std::string_view digits);  // blanks ignored
Octets u16(unsigned value);
Octets u32(uint32_t value);
Octets text(std::string_view characters);
Octets mac(std::string_view text);
Octets ip(std::string_view text);        // either family
uint16_t checksum(const Octets& bytes);  // RFC 1071, the slow way

inline net::Ipv4 v4(std::string_view address) { return net::parse_ipv4(address).value(); }
inline net::Ipv6 v6(std::string_view address) { return net::parse_ipv6(address).value(); }
inline net::Mac link(std::string_view address) { return net::parse_mac(address).value(); }

Octets ethernet(std::string_view to, std::string_view from, unsigned type, const Octets& payload);
Octets arp(unsigned operation, std::string_view sender_mac, std::string_view sender, std::string_view target_mac,
           std::string_view target);

struct Ip4 {
  std::string source{}, destination{};
  unsigned protocol = 17, tos = 0, ttl = 64, identification = 0, flags_offset = 0x4000;
};
Octets ipv4(const Ip4& header, const Octets& payload);
struct Ip6 {
  std::string source{}, destination{};
  unsigned next = 58, traffic_class = 0, hop_limit = 64;
};
Octets ipv6(const Ip6& header, const Octets& payload);
Octets icmp(unsigned type, unsigned code, uint32_t rest, const Octets& payload);
// Checksummed over the pseudo-header of `source` and `destination`, of either family.
Octets icmpv6(const Ip6& header, unsigned type, unsigned code, uint32_t rest, const Octets& payload);
Octets udp(std::string_view source, std::string_view destination, unsigned from, unsigned to, const Octets& payload);

// Who is who.
inline constexpr std::string_view our_access_mac = "02:00:00:00:00:01", our_internet_mac = "02:00:00:00:00:02";
inline constexpr std::string_view access_gateway_mac = "02:aa:00:00:00:01", internet_gateway_mac = "02:bb:00:00:00:01";
inline constexpr std::string_view neighbor_mac = "02:cc:00:00:00:07", broadcast_mac = "ff:ff:ff:ff:ff:ff";
inline constexpr std::string_view our_ipv6 = "2001:db8:0:1::1", our_link_local = "fe80::ff:fe00:1";
inline constexpr std::string_view access_gateway = "2001:db8:0:1::2";
inline constexpr std::string_view aftr = "2001:db8:a::1", aftr_on_link = "2001:db8:0:1::a";
inline constexpr std::string_view our_ipv4 = "198.51.100.1", internet_gateway = "198.51.100.254";
inline constexpr std::string_view b4 = "2001:db8:b4::1", remote = "203.0.113.9", inside = "10.0.0.10";
inline constexpr unsigned type_ipv4 = 0x0800, type_arp = 0x0806, type_ipv6 = 0x86dd;

struct Sent {
  Side side;
  Octets frame;
  friend bool operator==(const Sent&, const Sent&) = default;
  friend void PrintTo(const Sent& sent, std::ostream* out);  // in hexadecimal, for GoogleTest
};

inline long times(const std::vector<Sent>& sent, const Sent& one) { return std::count(sent.begin(), sent.end(), one); }

pipeline::Snapshot a_snapshot();  // an access and an internet side, untagged

class RouterTest : public ::testing::Test, public Transmit, public PcpService {
 public:
  explicit RouterTest(pipeline::Snapshot with = a_snapshot());

  bool send(Side side, std::span<const uint8_t> frame) override;
  void on_pcp(const PcpDatagram& datagram) override;

  void resolve_gateways();  // as if both had answered long ago
  Outcome handle(Side side, pipeline::Punt punt, const Octets& frame);
  Outcome handle(const Octets& frame, const Context& context);
  // An IPv4 packet inside the softwire b4 -> aftr, punted for `punt`.
  Outcome handle_in_softwire(pipeline::Punt punt, const Octets& inner, unsigned traffic_class = 0);
  static Octets in_softwire(const Octets& inner, unsigned traffic_class = 0);       // as the B4 sends it
  static Octets back_in_softwire(const Octets& inner, unsigned traffic_class = 0);  // as it wants it back
  std::vector<Sent> take_sent() { return std::exchange(sent, {}); }
  uint64_t count(Outcome outcome) const { return router.counters()[outcome].read(); }
  uint64_t count(Event event) const { return router.counters()[event].read(); }
  uint64_t handled() const { return handled_; }

  pipeline::Snapshot snapshot;
  pipeline::Gateways gateways;
  uint64_t now_ms = 1'000'000;
  bool device_takes = true;
  std::vector<Sent> sent;
  std::vector<PcpDatagram> pcp;
  std::vector<Octets> pcp_payloads;
  Router router;

 private:
  uint64_t handled_ = 0;
};

}  // namespace portolan::control::testing
