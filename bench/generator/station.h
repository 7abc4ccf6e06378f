// One of the generator's two routers as the device under test sees it: it answers ARP and neighbour solicitations for
// its address, asks for the device's, and so learns the device's MAC address. Owner: the generator's only thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/net/types.h"
#include "dataplane/net/wire.h"

namespace portolan::bench {

// A link has one of the two: IPv6 towards B4s, IPv4 otherwise.
struct StationAddresses {
  std::optional<net::Ipv6> own_ipv6, device_ipv6;
  std::optional<net::Ipv4> own_ipv4, device_ipv4;
};

class Station {
 public:
  static constexpr size_t answer_bytes_max =
      sizeof(net::EthernetHeader) + sizeof(net::Ipv6Header) + sizeof(net::NeighborMessage);
  using Frame = std::array<uint8_t, answer_bytes_max>;

  Station(const StationAddresses& addresses, const net::Mac& mac) : addresses_(addresses), mac_(mac) {}

  [[nodiscard]] const net::Mac& mac() const { return mac_; }
  // Of the device; empty until it said anything.
  [[nodiscard]] const std::optional<net::Mac>& device_mac() const { return device_mac_; }

  // True once the device has asked for this station: it knows where to send then.
  [[nodiscard]] bool found() const { return found_; }

  // Takes ARP and neighbour messages, and returns the length of the answer put into `answer`; 0 is none.
  size_t handle(std::span<const uint8_t> frame, Frame& answer);
  // An ARP request or a neighbour solicitation for the device's address; returns its length.
  size_t ask(Frame& question) const;

 private:
  size_t handle_arp(const net::ArpPacket& request, Frame& answer);
  size_t handle_neighbor(const net::Ipv6Header& header, const net::NeighborMessage& message, Frame& answer);

  StationAddresses addresses_;
  net::Mac mac_;
  std::optional<net::Mac> device_mac_;
  bool found_ = false;
};

}  // namespace portolan::bench
