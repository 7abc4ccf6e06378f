// Which worker a packet belongs to by the one address in it that a NIC may hash (docs/architecture.md §2): the IPv6
// source of a softwire packet, the IPv4 destination of one from the internet. It is the NIC's own receive-side scaling
// (Toeplitz over source and destination, then a table of 128 slots), computed here for whoever has no such NIC, with a
// key whose zeros blind it to the other address. Immutable once built.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "dataplane/net/types.h"

namespace portolan::nat {

class Spread {
 public:
  static constexpr unsigned slots_count = 128;  // the smallest redirection table that NICs have
  static constexpr size_t key_bytes = 40;
  using Key = std::array<uint8_t, key_bytes>;

  Spread() : Spread({}, 1, 56) {}
  // Chooses key and slots so that each worker gets its share of `pool` if that can be (see covers_all()).
  // Subscribers are told apart by the first `subscriber_prefix_length` bits of their IPv6 address.
  Spread(std::span<const net::Ipv4> pool, unsigned workers, unsigned subscriber_prefix_length);

  [[nodiscard]] unsigned slot_of(net::Ipv4 address) const;
  [[nodiscard]] unsigned slot_of(const net::Ipv6& address) const;  // IPv4-mapped: as the IPv4 address
  [[nodiscard]] unsigned worker_of_slot(unsigned slot) const { return workers_of_slots_[slot]; }
  template <class Address>
  [[nodiscard]] unsigned worker_of(const Address& address) const {
    return workers_of_slots_[slot_of(address)];
  }
  friend bool operator==(const Spread&, const Spread&) = default;
  // Every worker has an address of the pool it was built for.
  [[nodiscard]] bool covers_all() const { return covers_all_; }

  // For a NIC: of IPv4 packets it hashes the destination, of IPv6 packets the source.
  [[nodiscard]] const Key& key() const { return key_; }
  // For a NIC that faces plain subscribers: of IPv4 packets it hashes the source. As slot_of() does for subscriber
  // prefixes up to /64; with longer ones packets cross to their owner.
  [[nodiscard]] Key source_key() const;

 private:
  void make_key(uint64_t seed, unsigned bit_last);
  void deal_slots(std::span<const net::Ipv4> pool, unsigned workers);
  [[nodiscard]] unsigned window(unsigned bit) const;

  Key key_{};
  std::array<std::array<uint8_t, 256>, 4> ipv4_{};   // slot bits of each octet of an IPv4 destination
  std::array<std::array<uint8_t, 256>, 16> ipv6_{};  // and of an IPv6 source
  std::array<uint8_t, slots_count> workers_of_slots_{};
  bool covers_all_ = true;
};

}  // namespace portolan::nat
