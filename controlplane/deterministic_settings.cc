#include "controlplane/deterministic_settings.h"

#include "dataplane/net/text.h"

namespace portolan::control {

namespace {

constexpr unsigned mapped_bits = 96;

std::string text_of(const net::Ipv6Prefix& inside) {
  if (!net::is_mapped(inside.address)) return net::to_text(inside);
  return net::to_text(
      net::Ipv4Prefix{net::unmapped(inside.address), static_cast<uint8_t>(inside.length - mapped_bits)});
}

}  // namespace

net::Result<std::optional<nat::Deterministic>, std::string> deterministic_of(const Config& config) {
  const std::string& text = config.pool.deterministic_for;
  if (text.empty()) return std::nullopt;
  nat::Deterministic::Settings settings;
  if (const auto softwires = net::parse_ipv6_prefix(text)) {
    settings.inside = *softwires;
    settings.subscriber_prefix_length = static_cast<uint8_t>(config.softwire.subscriber_prefix_length);
  } else if (const auto plain = net::parse_ipv4_prefix(text)) {
    settings.inside = {net::mapped(plain->address), static_cast<uint8_t>(mapped_bits + plain->length)};
    settings.subscriber_prefix_length = static_cast<uint8_t>(mapped_bits + config.nat44.subscriber_prefix_length);
  } else {
    return tl::unexpected('"' + text + "\" is not a prefix; give one of the subscribers, like 2001:db8:b::/48");
  }
  settings.outside = config.pool.prefixes;
  settings.ports = {config.pool.port_range.first, config.pool.port_range.last};
  settings.block_ports = config.pool.block_ports;
  settings.dynamic_factor = config.pool.dynamic_factor;
  auto made = nat::Deterministic::make(settings);
  if (!made) return tl::unexpected(std::move(made.error()));
  return std::optional(std::move(*made));
}

std::string record_of(const nat::Deterministic& deterministic, const std::string& reserved_ports) {
  const auto& settings = deterministic.settings();
  std::string outside;
  for (const auto& prefix : settings.outside) outside += (outside.empty() ? "" : ",") + net::to_text(prefix);
  return "inside=" + text_of(settings.inside) + " outside=" + outside + " ports=" + std::to_string(settings.ports.low) +
         "-" + std::to_string(settings.ports.high) + " dynamic-factor=" + std::to_string(settings.dynamic_factor) +
         " ports-each=" + std::to_string(deterministic.layout().fixed_ports) + " algorithm=0 reserved=0-1023" +
         (reserved_ports.empty() ? "" : "," + reserved_ports);
}

}  // namespace portolan::control
