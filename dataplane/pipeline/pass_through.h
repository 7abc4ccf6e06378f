// Packets that are tunnelled but not translated (RFC 6333 §11, RFC 6888 REQ-6): what the configuration names, and
// whether a packet is of it. Stateless.
#pragma once

#include <optional>
#include <span>

#include "dataplane/net/types.h"
#include "dataplane/net/wire.h"

namespace portolan::pipeline {

struct PassThrough {
  net::Ipv6 b4;
  net::Ipv4 inside;             // authorised behind that B4 for this alone
  net::Ipv4Prefix destination;  // whom it may talk to
  net::Port port;               // of the destination; 0: any
  net::Protocol protocol{};     // any: any
  static constexpr net::Protocol any{};

  friend bool operator==(const PassThrough&, const PassThrough&) = default;
};

// The row a packet is of, if any. `bytes`: those that follow the IPv4 header, perhaps cut short. An ICMP error belongs
// to the packet it quotes. A later fragment has no port, so only a row without one is about it.
const PassThrough* find_outbound(std::span<const PassThrough> rows, const net::Ipv6& b4, const net::Ipv4Header& ip,
                                 std::span<const uint8_t> bytes);
const PassThrough* find_inbound(std::span<const PassThrough> rows, const net::Ipv4Header& ip,
                                std::span<const uint8_t> bytes);

}  // namespace portolan::pipeline
