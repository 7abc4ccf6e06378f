// Which packets may be answered with an ICMP error, how much of them it quotes, and how many errors a second.
// Pure rules and a bucket; the router builds the frames.
#pragma once

#include <cstdint>

#include "controlplane/router/packet_view.h"

namespace portolan::control {

inline constexpr size_t icmp_error_bytes_max = 576;     // the whole IPv4 packet (RFC 1812 §4.3.2.3)
inline constexpr size_t icmpv6_error_bytes_max = 1280;  // the whole IPv6 packet (RFC 4443 §2.4(c))

struct IcmpError {
  uint8_t type = 0, code = 0;
  uint32_t rest = 0;  // MTU (RFC 1191 §4) or pointer (RFC 4443 §3.4)
};

// Whether an error may answer this packet at all (RFC 1812 §4.3.2.7; RFC 4443 §2.4(e)).
bool error_is_due(const Ipv4View& packet);
bool error_is_due(const Ipv6View& packet, const IcmpError& error);

// What the error carries of the packet.
Bytes quoted(const Ipv4View& packet);
Bytes quoted(const Ipv6View& packet);

// `per_second` a second, `burst` at once (RFC 4443 §2.4(f)).
class TokenBucket {
 public:
  TokenBucket(uint32_t per_second, uint32_t burst) : per_second_(per_second), burst_(burst), level_(full()) {}
  bool take(uint64_t now_ms);

 private:
  static constexpr uint64_t token = 1'000;  // so that a millisecond adds per_second_ of them
  [[nodiscard]] uint64_t full() const { return burst_ * token; }

  uint64_t per_second_, burst_, level_;
  uint64_t filled_ms_ = 0;
};

}  // namespace portolan::control
