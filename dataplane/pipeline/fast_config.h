// The configuration as the fast path reads it: what a packet is compared with and what goes before it, laid out for
// that and made anew from each snapshot. Nothing here allocates, so that a worker may make it between bursts.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "dataplane/pipeline/octets.h"
#include "dataplane/pipeline/snapshot.h"
#include "dataplane/pipeline/steady.h"

namespace portolan::pipeline {

// An IPv6 address or mask as it lies in memory.
using Ipv6Words = std::array<uint64_t, 2>;
inline Ipv6Words words_of(const net::Ipv6& address) { return std::bit_cast<Ipv6Words>(address.bytes); }
inline Ipv6Words words_of(Octets address) { return std::bit_cast<Ipv6Words>(address); }
// Not std::array's operator==, which g++ 12 makes a call of memcmp.
inline bool same(const Ipv6Words& a, const Ipv6Words& b) { return ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0; }

struct FastConfig {
  // Of more, none has B4s that take the fast path. A configured prefix may be two.
  static constexpr size_t softwires_max = 8, prefixes_max = 16;

  static constexpr uint64_t no_mac = ~uint64_t{0};
  struct Door {  // a side of a device
    Side side{};
    uint16_t vlan = 0;
    uint64_t mac = no_mac;  // as it lies in memory; no_mac: there is none
  };
  using Doors = std::array<Door, 2>;
  struct Prefix {
    Ipv6Words address{~uint64_t{0}, ~uint64_t{0}}, mask{};  // at first: nobody's
  };
  static constexpr size_t tunnel_bytes_usual = sizeof(net::EthernetHeader) + sizeof(net::Ipv6Header);
  struct alignas(64) Way {             // what goes before a packet that leaves through a side
    std::array<uint8_t, 80> header{};  // link layer; access: then IPv6, of which each packet changes some
    uint32_t link_bytes = 0;           // of it
    uint32_t bytes = 0;                // all of it
    uint32_t fits_bytes = 0;           // of packets: the MTU less what goes before; 0: not open
    bool open = false;                 // there is such a side, and its gateway is known
  };
  // What its first octet tells of an address; few need a closer look.
  enum Octet : uint8_t {
    inner_source = 1,    // any such host may be behind a B4 (RFC 6333 §11)
    look_at_source = 2,  // some may
    never_remote = 4,    // no such address is a remote's (RFC 1812 §5.3.7, RFC 6890)
    look_at_remote = 8,  // some are not
  };

  FastConfig() = default;
  explicit FastConfig(const Snapshot& snapshot);
  // Takes over the gateways' addresses, which come and go by themselves.
  void open_ways(const Snapshot& snapshot, const Gateways& gateways);

  std::array<uint8_t, 256> octets{};                         // of Octet
  std::array<Doors, side_count> ipv6_doors{}, ipv4_doors{};  // of a side's device, by Side
  std::array<Ipv6Words, softwires_max> softwires{};
  std::array<Prefix, prefixes_max> prefixes{};      // that B4s have, cut to addresses of hosts
  std::array<Ipv6Words, softwires_max + 1> ours{};  // addresses that no B4 has; at least two are set
  uint32_t softwire_count = 0, prefix_count = 0, ours_count = 0;
  Ipv6Words softwire_mask{}, plain_mask{};  // of a subscriber
  uint32_t overhead_bytes = 0;              // of a tunnel
  struct Shape {                            // of a frame's first 16 octets: for us, and IPv6 or IPv4 without options
    std::array<uint8_t, 16> octets{}, mask{};
    bool known = false;
  };
  std::array<Shape, side_count> shapes{};  // of what usually comes, by Side: untagged, on a device of its own
  struct Block {                           // of addresses
    uint32_t first, last;
  };
  static constexpr size_t blocks_max = 8;
  std::array<Block, blocks_max> ours_ipv4{};  // what look_at_remote finds; too many: none is a remote's then
  uint32_t ours_ipv4_count = 0;
  std::array<bool, 256> second_octets{};  // of theirs
  struct {
    uint32_t first = 0, count = 0;  // a pool of one span: its addresses, numbered from 0; else none
  } pool;
  uint32_t internet_address = 0, inside_address = 0;
  Block inside{};                                    // the first of the prefixes of subscribers without a softwire
  uint8_t outer_class_mask = 0xff, outer_class = 0;  // what stays of the traffic class, and what comes in
  bool remarks = false;                              // inbound the DSCP becomes another
  uint32_t internet_mtu_bytes = 0, softwire_fits_bytes = 0, inside_mtu_bytes = 0;
  bool many_workers = false;
  bool udp_inbound_refresh = false;  // of the policy
  Steady steady{false};
  std::array<Way, softwires_max> into_softwire;
  Way to_internet, to_inside;

 private:
  void open_doors(const Snapshot& snapshot);
  void list_softwires(const Snapshot& snapshot);
  void classify_octets(const Snapshot& snapshot);
  void list_ours(const Snapshot& snapshot);
  std::array<uint64_t, side_count> gateway_words_{};  // those the ways have
};

}  // namespace portolan::pipeline
