// The configuration as workers see it: immutable, swapped whole between bursts, so a burst never sees two. And the one
// thing that changes by itself, the gateways' link-layer addresses, as single atomic words.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <optional>
#include <vector>

#include "dataplane/nat/policy.h"
#include "dataplane/net/types.h"
#include "dataplane/pipeline/packet.h"
#include "dataplane/pipeline/pass_through.h"

namespace portolan::pipeline {

// A packet too big for the softwire that must not be cut: its sender is told (RFC 2473 §7.2(a)), or the IPv6 packet is
// cut around it whole (RFC 6333 §6.3).
enum class DfPolicy : uint8_t { icmp, outer_fragment };

struct Snapshot {
  struct Access {
    net::Mac mac;
    net::Ipv6Prefix address;  // our own, with the link's prefix length
    net::Ipv6 gateway;
    uint16_t mtu_bytes = 1500;
    uint16_t vlan = 0;  // 0: untagged
    friend bool operator==(const Access&, const Access&) = default;
  } access;
  struct Internet {
    net::Mac mac;
    net::Ipv4Prefix address;
    net::Ipv4 gateway;
    uint16_t mtu_bytes = 1500;
    uint16_t vlan = 0;
    std::optional<uint8_t> remark_dscp{};  // given to what comes from the internet
    bool icmp_errors = true;               // whether what was refused is told there (RFC 5508 REQ-9)
    friend bool operator==(const Internet&, const Internet&) = default;
  } internet;
  struct Inside {  // NAT44
    net::Mac mac;
    net::Ipv4Prefix address;
    net::Ipv4 gateway;
    uint16_t mtu_bytes = 1500;
    uint16_t vlan = 0;
    std::vector<net::Ipv4Prefix> prefixes{};  // whose sources are let in; empty: there is no such side
    uint8_t subscriber_prefix_length = 32;
    uint16_t tcp_mss_max = 0;
    bool icmp_errors = true;
    friend bool operator==(const Inside&, const Inside&) = default;
  } inside;
  std::array<uint8_t, side_count> devices{0, 1, 2};  // by Side: sides with one number share a device
  struct Softwire {
    std::vector<net::Ipv6> aftr_addresses;
    uint8_t subscriber_prefix_length = 56;          // RFC 7785 §3
    std::vector<net::Ipv6Prefix> allowed_prefixes;  // outer sources let in (RFC 6333 §11)
    uint16_t mtu_bytes = 1500;                      // path MTU of the IPv6 way to the B4s
    uint16_t tcp_mss_max = 1420;                    // 0: leave MSS alone
    uint8_t hop_limit = 64;                         // RFC 2473 §6.3
    DfPolicy df_policy{};
    bool icmp_errors = true;                       // likewise, to hosts and B4s inside
    std::optional<uint8_t> encapsulation_limit{};  // RFC 2473 §4.1.1; none: no option
    std::optional<uint8_t> pipe_dscp{};            // of the outer header; none: uniform model (RFC 2983 §3)

    // What a tunnel adds to a packet.
    [[nodiscard]] uint16_t overhead_bytes() const {
      return static_cast<uint16_t>(sizeof(net::Ipv6Header) +
                                   (encapsulation_limit ? net::encapsulation_limit_bytes : 0));
    }
    [[nodiscard]] uint8_t outer_class(uint8_t tos) const {  // ECN goes outside as it is (RFC 6040 §4.1)
      return pipe_dscp ? static_cast<uint8_t>(*pipe_dscp << 2 | (tos & 3)) : tos;
    }
    friend bool operator==(const Softwire&, const Softwire&) = default;
  } softwire;
  nat::Policy policy;
  std::vector<PassThrough> pass_through;
  bool hairpinning = true;
  bool answer_unsolicited_syns = false;   // RFC 5382 REQ-4
  bool pool_answers_echo = false;         // from outside (RFC 1812 §4.3.3.6)
  uint32_t icmp_errors_per_second = 100;  // to each side, and as many at once (RFC 4443 §2.4(f))
  // A flood of new flows must not starve established ones: where full bursts follow each other, which says that more
  // wait than the worker can do, each opens at most this many mappings. Where nothing waits there is no reason to
  // refuse.
  unsigned opened_per_burst_max = 32;
  size_t budgeted_burst = burst_max;  // packets in a burst from which on it counts as full
  unsigned full_bursts_free = 16;     // so many full ones after each other, a ring of 1024, open what they want
  friend bool operator==(const Snapshot&, const Snapshot&) = default;

  struct Link {
    net::Mac mac;
    uint16_t mtu_bytes = 0;  // of layer 3: without Ethernet's and a tag's octets
    uint16_t vlan = 0;
  };
  [[nodiscard]] Link link(Side side) const {
    switch (side) {
      case Side::access:
        return {access.mac, access.mtu_bytes, access.vlan};
      case Side::internet:
        return {internet.mac, internet.mtu_bytes, internet.vlan};
      case Side::inside:
        break;
    }
    return {inside.mac, inside.mtu_bytes, inside.vlan};
  }
  // Whom a mapping belongs to: the B4's prefix, or the inside address's, IPv4-mapped.
  [[nodiscard]] net::Ipv6 subscriber_of(Side side, const net::Ipv6& address) const {
    return masked(address,
                  side == Side::inside ? 96U + inside.subscriber_prefix_length : softwire.subscriber_prefix_length);
  }
  [[nodiscard]] bool serves(Side side) const {
    if (side == Side::access) return !softwire.aftr_addresses.empty();
    return side == Side::internet || !inside.prefixes.empty();
  }
};

// A MAC address as one word, so that it is learned and read without a lock; 0 while unresolved.
class GatewayMac {  // writer: the control thread
  std::atomic<uint64_t> word_{0};

 public:
  void set(const net::Mac& mac) {
    uint64_t word = 1;
    for (const uint8_t byte : mac.bytes) word = word << 8 | byte;
    word_.store(word, std::memory_order_relaxed);
  }
  void forget() { word_.store(0, std::memory_order_relaxed); }
  // Changes when the address does; 0: unresolved.
  [[nodiscard]] uint64_t word() const { return word_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::optional<net::Mac> get() const {
    const uint64_t word = word_.load(std::memory_order_relaxed);
    if (word == 0) return std::nullopt;
    net::Mac mac;
    for (unsigned i = 0; i < 6; ++i) mac.bytes[i] = static_cast<uint8_t>(word >> (40 - 8 * i));
    return mac;
  }
};

struct Gateways {
  GatewayMac access, internet, inside;

  GatewayMac& of(Side side) { return side == Side::access ? access : side == Side::internet ? internet : inside; }
  [[nodiscard]] const GatewayMac& of(Side side) const {
    return side == Side::access ? access : side == Side::internet ? internet : inside;
  }
};

}  // namespace portolan::pipeline
