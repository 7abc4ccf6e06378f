// The AFTR as a host: what the control thread answers of the packets workers punt, and what it says by itself (ARP,
// neighbour discovery, echo, ICMP errors, the datagrams of PCP). No socket, no thread, no clock: the caller brings
// frames and the time in milliseconds, and sends what comes out. Owner of all state: the control thread.
//
// Frames come without VLAN tags, the worker took them off; those sent carry their side's.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "controlplane/router/counters.h"
#include "controlplane/router/frame.h"
#include "controlplane/router/icmp_error.h"
#include "controlplane/router/neighbor.h"
#include "controlplane/router/packet_view.h"
#include "dataplane/pipeline/packet.h"
#include "dataplane/pipeline/snapshot.h"

namespace portolan::control {

using pipeline::Context;
using pipeline::Side;

inline constexpr net::Ipv4 softwire_ipv4{0xc0000001};     // 192.0.0.1, the AFTR in every softwire (RFC 6333 §5.7)
inline constexpr net::Ipv4 pcp_anycast_ipv4{0xc0000009};  // 192.0.0.9 (RFC 7723 §4)
inline constexpr net::Ipv6 pcp_anycast_ipv6{{0x20, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};  // 2001:1::1
inline constexpr uint16_t pcp_server_port = 5351;                                                  // RFC 6887 §19.1

// The way out to a device.
class Transmit {
 public:
  virtual ~Transmit() = default;
  virtual bool send(Side side, std::span<const uint8_t> frame) = 0;  // false: not taken, not to be retried
};

// One PCP request, and all that is needed to answer it: a copy (its payload aside) may be kept for a later reply.
struct PcpDatagram {
  net::Ipv6 b4;  // who asks: the softwire's remote end, or the plain IPv6 source; NAT44: the subscriber, IPv4-mapped
  std::optional<net::Ipv4> inner_source;  // set if it came as IPv4, inside the softwire or plain
  net::Ipv6 server6;                      // plain IPv6: the address it was sent to
  net::Ipv4 server4;                      // in the softwire: likewise
  net::Ipv6 softwire;                     // in the softwire: its local end
  net::Port client_port;
  std::span<const uint8_t> payload;  // valid during on_pcp() only
  std::optional<net::Mac> neighbor;  // set if the asker is on the link itself, and not behind the gateway
};

class PcpService {
 public:
  virtual ~PcpService() = default;
  virtual void on_pcp(const PcpDatagram& datagram) = 0;  // may call Router::send_pcp()
};

struct NeighborRow {  // for `show neighbors`
  Side side{};
  net::Ipv6 address;  // IPv4 in mapped form
  std::optional<net::Mac> mac;
  NeighborState state{};
  uint64_t since_ms = 0, probes = 0;
  unsigned unanswered = 0;  // probes since the last answer
};

class Router {
 public:
  // All references outlive the router; the snapshot until use() replaces it.
  Router(const pipeline::Snapshot& snapshot, pipeline::Gateways& gateways, Transmit& transmit, PcpService& pcp,
         uint64_t now_ms);

  // A new configuration: what changed on a link is announced and resolved anew.
  void use(const pipeline::Snapshot& snapshot, uint64_t now_ms);

  // Answers a punted packet. `frame` is as it was received: headers not yet rewritten, TTL not yet lowered; the
  // Ethernet header is there unless context.outer_offset leaves no room for it (hairpin).
  Outcome handle(std::span<const uint8_t> frame, const Context& context, uint64_t now_ms);

  // Sends the probes and announcements that are due; at most a few frames a call. Returns next_tick_ms().
  uint64_t tick(uint64_t now_ms);
  [[nodiscard]] uint64_t next_tick_ms() const;  // handle() may bring it forward

  // The reply to a datagram, from the address and port it was sent to. False (and counted) if it cannot be sent.
  bool send_pcp(const PcpDatagram& to, std::span<const uint8_t> reply);

  [[nodiscard]] std::vector<NeighborRow> neighbors() const;
  [[nodiscard]] const RouterCounters& counters() const { return counters_; }
  [[nodiscard]] net::Ipv6 link_local() const;  // of the access side, from its MAC (RFC 4291 appendix A)

 private:
  struct Softwire {
    net::Ipv6 remote, local;
  };
  // Where an answer goes: through which side, to which neighbour, inside which softwire.
  struct Route {
    Side side{};
    std::optional<net::Mac> neighbor;  // none: the gateway is unresolved
    std::optional<Softwire> softwire;
  };
  struct Arrival {  // a frame in hand()ling
    Bytes frame;
    const Context& context;
    uint64_t now_ms;
    std::optional<net::EthernetHeader> ethernet;  // none: hairpin

    [[nodiscard]] bool group_addressed() const { return ethernet && is_group(ethernet->destination); }
  };

  Outcome dispatch(const Arrival& arrival);

  // arp.cc
  Outcome on_arp(const Arrival& arrival);
  void ask_for_gateway_ipv4(Side side, const std::optional<net::Mac>& known);
  void announce_ipv4(Side side);
  [[nodiscard]] bool answers_arp_for(Side side, net::Ipv4 address) const;

  // neighbor_discovery.cc
  Outcome on_solicitation(const Arrival& arrival, const Ipv6View& packet);
  Outcome on_advertisement(const Arrival& arrival, const Ipv6View& packet);
  void ask_for_gateway_ipv6(const std::optional<net::Mac>& known);
  void announce_ipv6();
  [[nodiscard]] bool answers_solicitation_for(const net::Ipv6& address) const;
  Outcome send_advertisement(const net::Ipv6& target, const net::Ipv6& to, const net::Mac& to_mac, uint32_t flags);

  // host.cc
  Outcome on_ipv4(const Arrival& arrival);
  Outcome on_ipv6(const Arrival& arrival);
  Outcome on_icmp(const Arrival& arrival, const Ipv4View& packet);
  Outcome on_icmpv6(const Arrival& arrival, const Ipv6View& packet);
  Outcome on_udp(const Arrival& arrival, const Ipv4View& packet);
  Outcome on_udp(const Arrival& arrival, const Ipv6View& packet);

  // errors.cc
  [[nodiscard]] bool errors_wanted(Side side) const;
  Outcome on_punted_for_error(const Arrival& arrival);
  Outcome send_error(const Arrival& arrival, const Ipv4View& about, const IcmpError& error);
  Outcome send_error(const Arrival& arrival, const Ipv6View& about, const IcmpError& error);

  // router.cc: what they share
  [[nodiscard]] bool is_own(net::Ipv4 address, bool in_softwire) const;
  [[nodiscard]] bool is_own(const net::Ipv6& address) const;
  // What an IPv4 side is to its neighbours.
  struct Ipv4Link {
    net::Mac mac;
    net::Ipv4Prefix address;
    net::Ipv4 gateway;
  };
  [[nodiscard]] Ipv4Link ipv4_link(Side side) const;
  [[nodiscard]] bool is_on_link(Side side, net::Ipv4 address) const;
  [[nodiscard]] bool is_on_link(const net::Ipv6& address) const;
  [[nodiscard]] std::optional<net::Mac> on_link_sender(const Arrival& arrival, const net::Ipv6& sender) const;
  [[nodiscard]] Route route_back(const Arrival& arrival, net::Ipv4 to) const;
  [[nodiscard]] Route route_back(const Arrival& arrival, const net::Ipv6& to) const;
  // Adds the headers below the transport's and sends; `sent` if that went well.
  Outcome send_ipv4(Frame& frame, const Route& route, net::Ipv4 source, net::Ipv4 destination, net::Protocol protocol,
                    uint8_t tos, Outcome sent);
  Outcome send_ipv6(Frame& frame, const Route& route, const net::Ipv6& source, const net::Ipv6& destination,
                    net::Protocol protocol, uint8_t traffic_class, Outcome sent);
  Outcome send_frame(Frame& frame, const Route& route, net::EtherType type, Outcome sent);
  void originate(Frame& frame, const Route& route, net::EtherType type, Event event);
  Neighbor& gateway(Side side) { return *neighbors_[static_cast<size_t>(side)]; }
  Outcome learned(bool changed);
  Neighbor::Step step(Neighbor& neighbor, uint64_t now_ms);
  void announce(uint64_t now_ms);

  const pipeline::Snapshot* snapshot_;
  pipeline::Gateways& gateways_;
  Transmit& transmit_;
  PcpService& pcp_;
  std::array<std::optional<Neighbor>, pipeline::side_count> neighbors_;  // by Side: the gateways of those there are
  std::array<TokenBucket, pipeline::side_count> error_buckets_;          // by Side
  unsigned announcements_left_;
  uint64_t announce_at_ms_;
  RouterCounters counters_;
};

}  // namespace portolan::control
