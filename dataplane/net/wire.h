// The packet headers of RFC 791, 768, 9293, 792, 8200, 4443, 4861, 826 as structs that lie on the wire byte for byte.
// Every field is a byte or a Be<>, so a pointer into a packet may be cast once its length has been checked.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>

#include "dataplane/net/types.h"

namespace portolan::net {

enum class EtherType : uint16_t { ipv4 = 0x0800, arp = 0x0806, vlan = 0x8100, ipv6 = 0x86dd };

struct EthernetHeader {
  Mac destination, source;
  be16 type;
};
static_assert(sizeof(EthernetHeader) == 14 && alignof(EthernetHeader) == 1);

struct VlanTag {  // IEEE 802.1Q, after the source address
  be16 control;   // priority 3, DEI 1, VLAN identifier 12
  be16 type;
};
static_assert(sizeof(VlanTag) == 4);
constexpr uint16_t vlan_mask = 0x0fff;  // of `control`

struct ArpPacket {  // RFC 826 for Ethernet and IPv4
  be16 hardware, protocol;
  uint8_t hardware_bytes, protocol_bytes;
  be16 operation;
  Mac sender_mac;
  Ipv4 sender;
  Mac target_mac;
  Ipv4 target;
};
static_assert(sizeof(ArpPacket) == 28);
constexpr uint16_t arp_request = 1, arp_reply = 2;

struct Ipv4Header {
  uint8_t version_ihl, tos;
  be16 total_length, identification, flags_offset;
  uint8_t ttl, protocol;
  be16 checksum;
  Ipv4 source, destination;

  [[nodiscard]] unsigned version() const { return version_ihl >> 4; }
  [[nodiscard]] size_t header_bytes() const { return size_t{version_ihl & 0xfU} * 4; }
  [[nodiscard]] bool dont_fragment() const { return (flags_offset & 0x4000) != 0; }
  [[nodiscard]] bool more_fragments() const { return (flags_offset & 0x2000) != 0; }
  [[nodiscard]] unsigned fragment_offset_bytes() const { return (flags_offset & 0x1fffU) * 8; }
  [[nodiscard]] bool is_fragment() const { return (flags_offset & 0x3fff) != 0; }
  [[nodiscard]] bool is_atomic() const { return (flags_offset & 0x7fff) == 0x4000; }  // nobody cuts it (RFC 6864 §4)
};
static_assert(sizeof(Ipv4Header) == 20 && alignof(Ipv4Header) == 1);
constexpr size_t ipv4_payload_bytes_max = 65535 - sizeof(Ipv4Header);

struct Ipv6Header {
  be32 version_class_flow;
  be16 payload_length;
  uint8_t next_header, hop_limit;
  Ipv6 source, destination;

  [[nodiscard]] unsigned version() const { return version_class_flow >> 28; }
  [[nodiscard]] uint8_t traffic_class() const { return static_cast<uint8_t>(version_class_flow >> 20); }
};
static_assert(sizeof(Ipv6Header) == 40 && alignof(Ipv6Header) == 1);

struct Ipv6Extension {                // hop-by-hop, routing and destination options begin so
  uint8_t next_header, length_units;  // length in 8-octet units, the first not counted
  [[nodiscard]] size_t bytes() const { return (size_t{length_units} + 1) * 8; }
};

// A destination options header with a Tunnel Encapsulation Limit and padding (RFC 2473 §4.1.1, §5.1).
struct EncapsulationLimit {
  uint8_t next_header, length_units = 0;
  uint8_t type = 4, option_bytes = 1, limit;
  std::array<uint8_t, 3> padding{1, 1, 0};
};
static_assert(sizeof(EncapsulationLimit) == 8);
constexpr size_t encapsulation_limit_bytes = sizeof(EncapsulationLimit);

struct Ipv6Fragment {  // RFC 8200 §4.5
  uint8_t next_header, reserved;
  be16 offset_more;  // offset 13 (8-octet units), reserved 2, more 1
  be32 identification;
};
static_assert(sizeof(Ipv6Fragment) == 8);

struct UdpHeader {
  Port source, destination;
  be16 length, checksum;
};
static_assert(sizeof(UdpHeader) == 8);

struct TcpHeader {
  Port source, destination;
  be32 sequence, acknowledgement;
  uint8_t offset, flags;
  be16 window, checksum, urgent;

  [[nodiscard]] size_t header_bytes() const { return size_t{static_cast<unsigned>(offset) >> 4} * 4; }
};
static_assert(sizeof(TcpHeader) == 20);
constexpr uint8_t tcp_fin = 0x01, tcp_syn = 0x02, tcp_rst = 0x04, tcp_psh = 0x08, tcp_ack = 0x10;

struct IcmpHeader {  // ICMPv4 and ICMPv6 alike
  uint8_t type, code;
  be16 checksum;
  be16 identifier, sequence;  // of echo; of errors: unused, or the MTU in `sequence` (RFC 1191)
};
static_assert(sizeof(IcmpHeader) == 8);

namespace icmp {
constexpr uint8_t echo_reply = 0, unreachable = 3, echo_request = 8, time_exceeded = 11, parameter_problem = 12;
constexpr uint8_t host_unreachable = 1, protocol_unreachable = 2, port_unreachable = 3, fragmentation_needed = 4;
}  // namespace icmp
namespace icmpv6 {
constexpr uint8_t unreachable = 1, packet_too_big = 2, time_exceeded = 3, parameter_problem = 4;
constexpr uint8_t echo_request = 128, echo_reply = 129;
constexpr uint8_t reassembly_time_exceeded = 1;  // of time_exceeded
constexpr uint8_t neighbor_solicitation = 135, neighbor_advertisement = 136;
constexpr uint8_t unrecognized_next_header = 1, unrecognized_option = 2, incomplete_header_chain = 3;
}  // namespace icmpv6

struct NeighborMessage {  // NS and NA (RFC 4861 §4.3, §4.4), with the link-layer address option both carry
  uint8_t type, code;
  be16 checksum;
  be32 flags;  // NA: router 31, solicited 30, override 29
  Ipv6 target;
  uint8_t option_type, option_units;  // 1 source, 2 target link-layer address; 1 unit of 8 octets
  Mac mac;
};
static_assert(sizeof(NeighborMessage) == 32 && alignof(NeighborMessage) == 1);

// A header at `bytes`; the caller has checked that sizeof(Header) octets are there.
template <class Header>
requires(alignof(Header) == 1 && std::is_trivially_copyable_v<Header>) Header& header_at(uint8_t* bytes) {
  return *reinterpret_cast<Header*>(bytes);
}
template <class Header>
requires(alignof(Header) == 1 && std::is_trivially_copyable_v<Header>) const Header& header_at(const uint8_t* bytes) {
  return *reinterpret_cast<const Header*>(bytes);
}

}  // namespace portolan::net
