// Checked views of received packets: what a handler may look at without asking about lengths again. They point into
// the frame and own nothing. A worker has looked at these bytes before; nothing here relies on it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/net/checksum.h"
#include "dataplane/net/types.h"
#include "dataplane/net/wire.h"

namespace portolan::control {

using Bytes = std::span<const uint8_t>;

struct Ipv4View {
  const net::Ipv4Header& header;
  Bytes packet;   // header and payload, without padding behind
  Bytes payload;  // behind the header's options
  [[nodiscard]] net::Protocol protocol() const { return net::Protocol{header.protocol}; }
};

struct Ipv6View {
  const net::Ipv6Header& header;
  Bytes packet;
  // What follows the extension headers, if the chain could be followed to its end (`complete`).
  Bytes payload;
  net::Protocol protocol = net::Protocol::no_next_header;
  uint16_t next_header_at = 0;  // offset of the field that names `protocol`
  bool complete = false;
  bool fragment = false;        // a part of a packet; an atomic fragment is a whole one (RFC 6946)
  bool later_fragment = false;  // not the first part
};

// Empty unless version, lengths and header checksum are right.
std::optional<Ipv4View> view_ipv4(Bytes bytes);
// The same of a packet that an error quotes: it may be cut short behind eight octets of payload.
std::optional<Ipv4View> view_quoted_ipv4(Bytes bytes);
// Empty unless version and payload length are right; extension headers are followed as far as they go.
std::optional<Ipv6View> view_ipv6(Bytes bytes);

// `bytes` from `offset` on; none if it lies outside.
inline Bytes from(Bytes bytes, size_t offset) { return offset < bytes.size() ? bytes.subspan(offset) : Bytes{}; }

// Whether the checksum of `bytes`, a UDP datagram or an ICMPv6 message, is right.
template <class View>
bool transport_checksum_is_right(const View& view, net::Protocol protocol, Bytes bytes) {
  const auto pseudo = net::pseudo_header(view.header.source, view.header.destination, protocol, bytes.size());
  return net::fold(pseudo + net::sum_of(bytes)) == 0xffff;
}

// The traffic class of an answer: the packet's DSCP (RFC 5508 REQ-10 d), but not ECN-capable (RFC 3168 §5).
constexpr uint8_t dscp_of(uint8_t traffic_class) { return traffic_class & 0xfc; }

// A multicast or broadcast address of Ethernet.
inline bool is_group(const net::Mac& mac) { return (mac.bytes[0] & 1) != 0; }

// Addresses that name one host, which alone may be answered (RFC 1812 §4.3.2.7, RFC 4443 §2.4(e)).
bool is_single_host(net::Ipv4 address);
bool is_single_host(const net::Ipv6& address);

}  // namespace portolan::control
