// A frame built from the inside out: the payload first, then each header in front of what is there already, its lengths
// and checksums taken from it. So no length is ever computed twice and an encapsulation is one more call.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "dataplane/net/types.h"
#include "dataplane/net/wire.h"

namespace portolan::control {

inline constexpr uint8_t host_ttl = 64;  // of packets the router itself originates (RFC 1700)

class Frame {
 public:
  static constexpr size_t payload_bytes_max = 9216;  // a jumbo frame's; the caller checks

  explicit Frame(std::span<const uint8_t> payload);
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;

  // `rest`: the second word of the ICMP header: identifier and sequence, MTU, pointer or flags.
  Frame& icmp(uint8_t type, uint8_t code, uint32_t rest);
  Frame& icmpv6(uint8_t type, uint8_t code, uint32_t rest, const net::Ipv6& source, const net::Ipv6& destination);
  Frame& udp(net::Port from, net::Port to, net::Ipv4 source, net::Ipv4 destination);
  Frame& udp(net::Port from, net::Port to, const net::Ipv6& source, const net::Ipv6& destination);
  // Atomic (DF, identification 0), so that the identification need not be unique (RFC 6864 §4.1).
  Frame& ipv4(net::Ipv4 source, net::Ipv4 destination, net::Protocol protocol, uint8_t tos);
  Frame& ipv6(const net::Ipv6& source, const net::Ipv6& destination, net::Protocol next, uint8_t traffic_class,
              uint8_t hop_limit);
  Frame& encapsulation_limit(uint8_t limit, net::Protocol next);  // RFC 2473 §4.1.1
  // With an 802.1Q tag unless `vlan` is 0.
  Frame& ethernet(const net::Mac& destination, const net::Mac& source, uint16_t vlan, net::EtherType type);

  [[nodiscard]] std::span<const uint8_t> bytes() const { return std::span(buffer_).subspan(begin_, end_ - begin_); }
  [[nodiscard]] size_t size() const { return end_ - begin_; }

 private:
  static constexpr size_t headroom_bytes =
      128;  // Ethernet 14 and tag 4, IPv6 40 + 8, IPv4 20, UDP or ICMP 8, and to spare

  template <class Header>
  Header& push();

  std::array<uint8_t, headroom_bytes + payload_bytes_max> buffer_;
  size_t begin_ = headroom_bytes, end_ = headroom_bytes;
};

// The bytes of a wire struct.
template <class Wire>
requires(alignof(Wire) == 1) std::span<const uint8_t> bytes_of(const Wire& wire) {
  return {reinterpret_cast<const uint8_t*>(&wire), sizeof wire};
}

}  // namespace portolan::control
