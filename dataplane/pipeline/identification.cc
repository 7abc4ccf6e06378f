#include "dataplane/pipeline/identification.h"

namespace portolan::pipeline {

namespace {

constexpr uint32_t ipv4_count = 1 << 16;
constexpr uint32_t ipv6_step_max = 128;  // so that not even a B4 that sees its own can tell the next

}  // namespace

Identifications::Identifications(unsigned worker, unsigned workers, uint64_t seed)
    : worker_(worker),
      workers_(workers),
      random_(seed),
      ipv4_key_(uint64_t{random_.next()} << 32 | random_.next() | 1) {
  for (auto& counter : ipv4_) counter = static_cast<uint16_t>(random_.below(ipv4_count / workers));
  for (auto& counter : ipv6_) counter = random_.next();
}

uint16_t Identifications::next(net::Ipv4 source, net::Ipv4 destination, net::Protocol protocol, bool shared) {
  const uint64_t addresses = uint64_t{source.bits.raw()} << 32 | destination.bits.raw();
  // Multiply and shift: a bad pair of addresses costs only turns, so a strong hash would buy nothing.
  const uint64_t mixed = (addresses + (uint64_t{static_cast<uint8_t>(protocol)} << 24)) * ipv4_key_;
  uint16_t& counter = ipv4_[mixed >> (64 - ipv4_bits)];
  const uint16_t turn = counter;
  counter = turn + 1U == ipv4_count / (shared ? workers_ : 1) ? uint16_t{0} : static_cast<uint16_t>(turn + 1);
  return static_cast<uint16_t>(shared ? turn * workers_ + worker_ : turn);
}

uint32_t Identifications::next(const net::Ipv6& source, const net::Ipv6& destination) {
  const Pair pair{source, destination};
  uint32_t& counter = ipv6_[ipv6_place_(pair) >> (32 - ipv6_bits)];
  counter += 1 + random_.below(ipv6_step_max);
  return counter + ipv6_start_(pair);
}

}  // namespace portolan::pipeline
