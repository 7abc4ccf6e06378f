#include "bench/generator/flows.h"

#include <numeric>
#include <stdexcept>
#include <string>

namespace portolan::bench {

namespace {

constexpr uint32_t source_ports_count = 16384;                            // 32 KB: stays in the cache
constexpr uint32_t source_port_min = 1024, destination_port_max = 49151;  // RFC 4814 §4.5
constexpr uint64_t ports_seed = 4814;

constexpr uint64_t mix(uint64_t number) {  // splitmix64's finish
  number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9U;
  number = (number ^ (number >> 27)) * 0x94d049bb133111ebU;
  return number ^ (number >> 31);
}

std::vector<uint16_t> shuffled_ports() {
  std::vector<uint16_t> ports(65536 - source_port_min);
  std::iota(ports.begin(), ports.end(), static_cast<uint16_t>(source_port_min));
  Picker picker(ports_seed);
  for (size_t at = 0; at < source_ports_count; ++at)
    std::swap(ports[at], ports[at + picker.below(static_cast<uint32_t>(ports.size() - at))]);
  ports.resize(source_ports_count);
  return ports;
}

}  // namespace

Flows::Flows(const FlowShape& shape) : shape_(shape), source_ports_(shuffled_ports()) {
  if (shape.flows_per_subscriber == 0 || shape.hosts_per_subscriber == 0)
    throw std::invalid_argument("a subscriber has at least one host and one flow");
  if (!shape.softwires && shape.hosts_per_subscriber != 1)
    throw std::invalid_argument("without softwires a subscriber is one host");
  const uint32_t subscribers = (shape.flows_max + shape.flows_per_subscriber - 1) / shape.flows_per_subscriber;
  const uint64_t hosts = shape.softwires ? shape.hosts_per_subscriber : subscribers;
  if (hosts > size(inside_prefix) - 2)
    throw std::invalid_argument(std::to_string(hosts) + " hosts do not fit into a /16: give each more flows");
  if (shape.flows_per_subscriber / shape.hosts_per_subscriber >= source_ports_count)
    throw std::invalid_argument("a host has at most " + std::to_string(source_ports_count) + " flows");
  outside_.resize(shape.flows_max);
}

Flow Flows::flow(uint32_t number) const {
  const uint32_t subscriber = number / shape_.flows_per_subscriber;
  const uint32_t within = number % shape_.flows_per_subscriber;
  const uint32_t host = within % shape_.hosts_per_subscriber;
  const uint32_t nth = within / shape_.hosts_per_subscriber;
  const uint16_t source_port = source_ports_[(nth + subscriber * 7919) % source_ports_count];
  const uint64_t random = mix(number);
  const uint32_t remote = remotes.address.bits + static_cast<uint32_t>(random & (size(remotes) - 1));
  const auto port = static_cast<uint16_t>(1 + ((random >> 48) * destination_port_max >> 16));
  const uint32_t inside =
      shape_.softwires ? private_prefix.address.bits + 1 + host : inside_prefix.address.bits + 1 + subscriber;
  return {subscriber, {{inside}, {source_port}}, {{remote}, {port}}};
}

Flow Flows::abusive(uint32_t number) const {
  const uint32_t subscriber = (shape_.flows_max + shape_.flows_per_subscriber - 1) / shape_.flows_per_subscriber;
  const uint32_t hosts = static_cast<uint32_t>(size(private_prefix)) - 2;
  const uint32_t host = shape_.softwires ? private_prefix.address.bits + 1 + (number >> 16) % hosts
                                         : inside_prefix.address.bits + 1 + subscriber;
  const uint32_t remote = remotes.address.bits + static_cast<uint32_t>(mix(number) & (size(remotes) - 1));
  return {subscriber, {{host}, {static_cast<uint16_t>(number)}}, {{remote}, {443}}};
}

Scatter::Scatter(uint32_t first, uint32_t count) : first_(first), count_(count), step_(1) {
  if (count < 3) return;
  step_ = static_cast<uint32_t>(count * 0.618033988749895);
  while (std::gcd(step_, count) != 1) --step_;
}

}  // namespace portolan::bench
