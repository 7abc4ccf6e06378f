// Deterministic allocation (RFC 7422): a subscriber's outside address and port range follow from his place in the
// inside prefix, so that address and port lead back to him without a log. Algorithm 0, sequential: the first C
// subscribers share the first outside address, the next C the next one. Pure and immutable; part of the pool.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/nat/port_layout.h"
#include "dataplane/net/result.h"
#include "dataplane/net/types.h"

namespace portolan::nat {

class Deterministic {
 public:
  struct Settings {
    net::Ipv6Prefix inside;                 // of IPv4 subscribers: IPv4-mapped
    uint8_t subscriber_prefix_length = 56;  // of IPv4 hosts: 128
    std::vector<net::Ipv4Prefix> outside;   // filled in this order
    PortRange ports;
    uint32_t block_ports = 256;   // of the dynamic pool
    uint32_t dynamic_factor = 1;  // D: the dynamic pool is as large as this many subscribers' ranges
    friend bool operator==(const Settings&, const Settings&) = default;
  };
  struct Range {
    net::Ipv4 address;
    PortRange ports;
    friend bool operator==(const Range&, const Range&) = default;
  };

  // Errors: one sentence with the numbers that do not fit, and the way out.
  static net::Result<Deterministic, std::string> make(const Settings& settings);

  [[nodiscard]] const Settings& settings() const { return settings_; }
  [[nodiscard]] uint32_t subscribers() const { return subscribers_; }
  // C ranges at the low end of each outside address, then blocks of the dynamic pool (RFC 7422 §2).
  [[nodiscard]] PortLayout layout() const {
    return {settings_.ports, settings_.block_ports, compression_, range_ports_};
  }
  // A (masked) subscriber's own range; none if he is not of the inside prefix.
  [[nodiscard]] std::optional<Range> range_of(const net::Ipv6& subscriber) const;
  // Whose the port is; none if it is of the dynamic pool, or nobody's.
  [[nodiscard]] std::optional<net::Ipv6> subscriber_of(net::Ipv4 address, net::Port port) const;
  friend bool operator==(const Deterministic&, const Deterministic&) = default;

 private:
  [[nodiscard]] std::optional<uint32_t> place_of(const net::Ipv6& subscriber) const;

  Settings settings_;
  uint32_t subscribers_ = 0, first_ = 0;  // the place of the first subscriber among the prefix's parts
  uint32_t compression_ = 0, range_ports_ = 0;
};

}  // namespace portolan::nat
