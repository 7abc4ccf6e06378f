// The rules of icmp_error.h.
#include "controlplane/router/icmp_error.h"

#include <algorithm>

namespace portolan::control {

namespace {

// Informational ICMPv4: echo, router discovery, timestamp, information, mask. Anything else counts as an error, so
// that two routers never answer each other for ever over a type one of them does not know.
bool is_query(uint8_t type) { return type == 0 || type == 8 || (type >= 9 && type <= 18 && type != 11 && type != 12); }

}  // namespace

bool error_is_due(const Ipv4View& packet) {
  if (!is_single_host(packet.header.source) || !is_single_host(packet.header.destination)) return false;
  if (packet.header.fragment_offset_bytes() != 0) return false;
  if (packet.protocol() != net::Protocol::icmp) return true;
  return !packet.payload.empty() && is_query(packet.payload[0]);
}

bool error_is_due(const Ipv6View& packet, const IcmpError& error) {
  if (!is_single_host(packet.header.source)) return false;
  // What a later fragment is part of cannot be seen; but its own lengths it answers for (RFC 8200 §4.5).
  const bool wrong_field = error.type == net::icmpv6::parameter_problem && error.code == 0;
  if (packet.later_fragment) return wrong_field && !net::is_multicast(packet.header.destination);
  // A multicast destination is answered only for an option that asks for it (RFC 4443 §2.4(e.3)).
  const bool asked_for = error.type == net::icmpv6::parameter_problem && error.code == net::icmpv6::unrecognized_option;
  if (net::is_multicast(packet.header.destination) && !asked_for) return false;
  if (!packet.complete || packet.protocol != net::Protocol::icmpv6) return true;
  constexpr uint8_t first_informational = 128, redirect = 137;
  return !packet.payload.empty() && packet.payload[0] >= first_informational && packet.payload[0] != redirect;
}

Bytes quoted(const Ipv4View& packet) {
  constexpr size_t room = icmp_error_bytes_max - sizeof(net::Ipv4Header) - sizeof(net::IcmpHeader);
  return packet.packet.first(std::min(room, packet.packet.size()));
}

Bytes quoted(const Ipv6View& packet) {
  constexpr size_t room = icmpv6_error_bytes_max - sizeof(net::Ipv6Header) - sizeof(net::IcmpHeader);
  return packet.packet.first(std::min(room, packet.packet.size()));
}

bool TokenBucket::take(uint64_t now_ms) {
  if (now_ms > filled_ms_) {
    const uint64_t to_full_ms = per_second_ == 0 ? 0 : (full() - level_) / per_second_ + 1;
    level_ = std::min(full(), level_ + std::min(now_ms - filled_ms_, to_full_ms) * per_second_);
    filled_ms_ = now_ms;
  }
  if (level_ < token) return false;
  level_ -= token;
  return true;
}

}  // namespace portolan::control
