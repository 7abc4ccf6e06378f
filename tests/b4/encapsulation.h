// The B4 element's packets (RFC 6333 §5): IPv4 into IPv6 and back, as functions of bytes. Why apart from main.cc: the
// AFTR is tested against this end of the softwire, so this end is tested first, without a TUN or root. No state.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/net/types.h"

namespace portolan::b4 {

using Packet = std::vector<uint8_t>;

struct Tunnel {
  net::Ipv6 local, aftr;
  size_t path_mtu = 1500;           // of the IPv6 path to the AFTR
  bool encapsulation_limit = true;  // RFC 2473 §4.1.1: eight more octets; Linux ip6tnl adds them by default
};

constexpr size_t path_mtu_min = 1280;  // RFC 8200 §5
constexpr size_t path_mtu_max = 65535;

// What encapsulation adds, and so the largest inner packet that needs no outer fragments (RFC 2473 §7).
constexpr size_t overhead(const Tunnel& tunnel) { return tunnel.encapsulation_limit ? 48 : 40; }
constexpr size_t tunnel_mtu(const Tunnel& tunnel) { return tunnel.path_mtu - overhead(tunnel); }

// A packet's fate; every packet read from either side has exactly one.
#define PORTOLAN_B4_VERDICTS(X)                                          \
  X(sent, "encapsulated and sent to the AFTR")                           \
  X(fragmented, "encapsulated and sent as outer fragments")              \
  X(received, "decapsulated and delivered")                              \
  X(too_big, "inner DF set and too big: ICMP 3/4 sent back")             \
  X(not_ipv4, "read from the TUN, not IPv4")                             \
  X(malformed, "inner header or length wrong")                           \
  X(not_from_aftr, "protocol 4 from somebody other than the AFTR")       \
  X(congestion_unmarked, "outer CE on a Not-ECT packet (RFC 6040 §4.2)") \
  X(refused, "the kernel refused to send or deliver it")

#define X(name, help) name,
enum class Verdict : uint8_t { PORTOLAN_B4_VERDICTS(X) };
#undef X
#define X(name, help) {#name, help},
inline constexpr struct { std::string_view name, help; } verdict_texts[] = {PORTOLAN_B4_VERDICTS(X)};
#undef X

struct Upstream {
  Verdict verdict;
  std::vector<Packet> outer;  // whole IPv6 packets, in order
  Packet error;               // ICMPv4 for the inner source; empty if none is due
};
// `fragment_id` is used only if the result is fragmented (RFC 8200 §4.5).
Upstream encapsulate(const Tunnel& tunnel, std::span<const uint8_t> inner, uint32_t fragment_id);

struct Downstream {
  Verdict verdict;
  std::span<uint8_t> inner;  // within `payload`
};
// `payload` is what followed the IPv6 headers, reassembled; its TOS octet is rewritten in place.
Downstream decapsulate(const Tunnel& tunnel, const net::Ipv6& source, uint8_t traffic_class,
                       std::span<uint8_t> payload);

// RFC 6040 §4.2, figure 4: the ECN field after decapsulation; none means drop.
std::optional<uint8_t> decapsulated_ecn(uint8_t inner, uint8_t outer);

}  // namespace portolan::b4
