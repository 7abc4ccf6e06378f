#include "dataplane/nat/deterministic.h"

#include <algorithm>

namespace portolan::nat {

namespace {

constexpr unsigned parts_bits_max = 24;
constexpr unsigned mapped_bits = 96;  // of an IPv4-mapped address before the IPv4 one

// Bits [from, to) of an address as a number; at most 32 of them.
uint32_t bits_of(const net::Ipv6& address, unsigned from, unsigned to) {
  uint32_t out = 0;
  for (unsigned bit = from; bit < to; ++bit) out = out << 1 | (uint32_t{address.bytes[bit / 8]} >> (7 - bit % 8) & 1);
  return out;
}

net::Ipv6 with_bits(net::Ipv6 address, unsigned from, unsigned to, uint32_t value) {
  for (unsigned bit = to; bit-- > from; value >>= 1)
    if ((value & 1) != 0) address.bytes[bit / 8] = static_cast<uint8_t>(address.bytes[bit / 8] | 0x80 >> bit % 8);
  return address;
}

}  // namespace

net::Result<Deterministic, std::string> Deterministic::make(const Settings& settings) {
  Deterministic out;
  out.settings_ = settings;
  const unsigned from = settings.inside.length, to = settings.subscriber_prefix_length;
  if (to < from || to - from > parts_bits_max)
    return tl::unexpected("a /" + std::to_string(from) + " holds no number of /" + std::to_string(to) +
                          " subscribers from 1 to " + std::to_string(1U << parts_bits_max) +
                          "; give a longer or a shorter prefix");
  out.subscribers_ = uint32_t{1} << (to - from);
  // Of IPv4 hosts the network's and the broadcast address are nobody's, as in RFC 7422 §2.3.
  if (net::is_mapped(settings.inside.address) && from >= mapped_bits && to == 128 && to - from >= 2) {
    out.subscribers_ -= 2;
    out.first_ = 1;
  }
  uint64_t addresses = 0;
  for (const auto& prefix : settings.outside) addresses += net::size(prefix);
  if (addresses == 0) return tl::unexpected(std::string("there is no outside address; give a pool.prefix"));
  out.compression_ = static_cast<uint32_t>((out.subscribers_ + addresses - 1) / addresses);
  out.range_ports_ = settings.ports.count() / (out.compression_ + settings.dynamic_factor);
  if (out.range_ports_ == 0)
    return tl::unexpected(std::to_string(out.subscribers_) + " subscribers over " + std::to_string(addresses) +
                          " addresses leave less than a port for each; give more addresses or ports");
  return out;
}

std::optional<uint32_t> Deterministic::place_of(const net::Ipv6& subscriber) const {
  if (!net::contains(settings_.inside, subscriber)) return std::nullopt;
  const uint32_t part = bits_of(subscriber, settings_.inside.length, settings_.subscriber_prefix_length);
  if (part < first_ || part - first_ >= subscribers_) return std::nullopt;
  return part - first_;
}

std::optional<Deterministic::Range> Deterministic::range_of(const net::Ipv6& subscriber) const {
  const auto place = place_of(subscriber);
  if (!place) return std::nullopt;
  uint32_t address = *place / compression_;
  for (const auto& prefix : settings_.outside) {
    if (address < net::size(prefix))
      return Range{{uint32_t{prefix.address.bits} + address}, layout().ports_of(*place % compression_)};
    address -= static_cast<uint32_t>(net::size(prefix));
  }
  return std::nullopt;
}

std::optional<net::Ipv6> Deterministic::subscriber_of(net::Ipv4 address, net::Port port) const {
  const uint32_t block = layout().block_of(port);
  if (block == PortLayout::no_block || !layout().is_fixed(block)) return std::nullopt;
  uint64_t number = 0;
  const auto prefix = std::ranges::find_if(settings_.outside, [&](const net::Ipv4Prefix& each) {
    if (net::contains(each, address)) return true;
    number += net::size(each);
    return false;
  });
  if (prefix == settings_.outside.end()) return std::nullopt;
  number += uint32_t{address.bits} - uint32_t{prefix->address.bits};
  const uint64_t place = number * compression_ + block;
  if (place >= subscribers_) return std::nullopt;
  return with_bits(settings_.inside.address, settings_.inside.length, settings_.subscriber_prefix_length,
                   static_cast<uint32_t>(place) + first_);
}

}  // namespace portolan::nat
