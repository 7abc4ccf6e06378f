// The outside addresses: which prefixes, how they are numbered, and which worker owns which address and ports.
// Immutable once built; part of the configuration snapshot.
//
// Ownership (docs/architecture.md §2): with at least as many addresses as workers every address has one owner, so that
// fragments and ICMP errors, which show no port, still find it. With fewer, each address is cut into one aligned port
// range per worker.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/net/types.h"

namespace portolan::nat {

struct PortRange {
  uint16_t low = 1024, high = 65535;  // inclusive
  [[nodiscard]] uint32_t count() const { return uint32_t{high} - low + 1; }
  friend bool operator==(const PortRange&, const PortRange&) = default;
};

class Pool {
 public:
  Pool() = default;
  // Prefixes must not overlap. `block_ports` aligns the cuts when addresses are shared between workers.
  Pool(std::vector<net::Ipv4Prefix> prefixes, PortRange ports, uint16_t block_ports, unsigned workers);

  friend bool operator==(const Pool&, const Pool&) = default;

  [[nodiscard]] std::span<const net::Ipv4Prefix> prefixes() const { return prefixes_; }
  [[nodiscard]] uint32_t address_count() const { return address_count_; }
  [[nodiscard]] PortRange ports() const { return ports_; }
  [[nodiscard]] uint16_t block_ports() const { return block_ports_; }

  // The number of an outside address, 0..address_count()-1; none if it is not in the pool.
  [[nodiscard]] std::optional<uint32_t> number_of(net::Ipv4 address) const;
  [[nodiscard]] net::Ipv4 address_of(uint32_t number) const;

  // The worker that owns port `port` (or ICMP identifier) of pool address `number`.
  [[nodiscard]] unsigned owner(uint32_t number, net::Port port) const {
    if (!shared_) return number % workers_;
    const uint32_t port_number = port.number;
    if (port_number < ports_.low) return 0;
    const uint32_t slice = (port_number - ports_.low) / slice_ports_;
    return slice < workers_ ? slice : workers_ - 1;
  }
  // Addresses of which `worker` owns a part, as local numbers 0..count-1.
  [[nodiscard]] uint32_t local_count(unsigned worker) const;
  [[nodiscard]] uint32_t local_of(uint32_t number) const { return shared_ ? number : number / workers_; }
  [[nodiscard]] uint32_t number_of_local(unsigned worker, uint32_t local) const {
    return shared_ ? local : local * workers_ + worker;
  }
  // The ports of each of its addresses that `worker` owns: whole blocks only.
  [[nodiscard]] PortRange local_ports(unsigned worker) const;

 private:
  std::vector<net::Ipv4Prefix> prefixes_;  // sorted by address
  std::vector<uint32_t> first_numbers_;    // number of each prefix's first address
  uint32_t address_count_ = 0;
  PortRange ports_;
  uint16_t block_ports_ = 256;
  unsigned workers_ = 1;
  bool shared_ = false;       // fewer addresses than workers
  uint32_t slice_ports_ = 1;  // shared: ports of an address per worker
};

// The worker a subscriber belongs to: a fixed public hash of his masked prefix, so that a restart finds him where he
// was.
unsigned owner_of_subscriber(const net::Ipv6& prefix, unsigned workers);

}  // namespace portolan::nat
