// Identifications of packets that may be cut on their way, or that we cut ourselves: unique between two addresses as
// far as the bits go, and of no help in guessing another pair's. Owner: one worker.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/nat/hash.h"
#include "dataplane/net/types.h"

namespace portolan::pipeline {

class Identifications {
 public:
  // `seed`: of the choices, as nat::Random takes it.
  Identifications(unsigned worker, unsigned workers, uint64_t seed = 0);

  // Of a packet that leaves for `destination` (RFC 6864 §5.3.1). If the workers share outside addresses, each has the
  // numbers that leave its own remainder.
  uint16_t next(net::Ipv4 source, net::Ipv4 destination, net::Protocol protocol, bool shared);
  // Of an IPv6 packet about to be cut (RFC 7739 §5.3). Only its own subscriber's worker sends to a B4.
  uint32_t next(const net::Ipv6& source, const net::Ipv6& destination);

 private:
  static constexpr unsigned ipv4_bits = 12, ipv6_bits = 10;
  struct Pair {
    net::Ipv6 source, destination;
  };

  const uint32_t worker_, workers_;
  nat::Random random_;
  uint64_t ipv4_key_;
  nat::Hasher ipv6_place_, ipv6_start_;
  // Pairs that fall on one counter take turns at its numbers: sooner used up, never given twice.
  std::array<uint16_t, 1 << ipv4_bits> ipv4_;
  std::array<uint32_t, 1 << ipv6_bits> ipv6_;
};

}  // namespace portolan::pipeline
