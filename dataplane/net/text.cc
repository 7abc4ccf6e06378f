#include "dataplane/net/text.h"

#include <arpa/inet.h>
#include <charconv>
#include <cstdio>

namespace portolan::net {

namespace {

template <class Address, int family>
std::optional<Address> parse_address(std::string_view text) {
  char copy[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof copy || text.find('\0') != text.npos) return std::nullopt;
  copy[text.copy(copy, sizeof copy - 1)] = 0;
  Address address;
  if (inet_pton(family, copy, &address) != 1) return std::nullopt;
  return address;
}

template <class Prefix, class Parse>
std::optional<Prefix> parse_with_length(std::string_view text, Parse parse, unsigned length_max) {
  const auto slash = text.find('/');
  if (slash == text.npos) return std::nullopt;
  const auto address = parse(text.substr(0, slash));
  const auto length = parse_number(text.substr(slash + 1));
  if (!address || !length || *length > length_max) return std::nullopt;
  return Prefix{*address, static_cast<uint8_t>(*length)};
}

template <class Prefix>
std::optional<Prefix> without_host_bits(std::optional<Prefix> prefix) {
  if (prefix && masked(prefix->address, prefix->length) != prefix->address) return std::nullopt;
  return prefix;
}

template <int family>
std::string address_text(const void* address) {
  char out[INET6_ADDRSTRLEN];
  return inet_ntop(family, address, out, sizeof out);
}

}  // namespace

std::optional<Ipv4> parse_ipv4(std::string_view text) { return parse_address<Ipv4, AF_INET>(text); }
std::optional<Ipv6> parse_ipv6(std::string_view text) { return parse_address<Ipv6, AF_INET6>(text); }

std::optional<Mac> parse_mac(std::string_view text) {
  if (text.size() != 17) return std::nullopt;
  Mac mac;
  for (size_t i = 0; i < 6; ++i) {
    const char* at = text.data() + 3 * i;
    if (i < 5 && at[2] != ':') return std::nullopt;
    const auto [end, error] = std::from_chars(at, at + 2, mac.bytes[i], 16);
    if (error != std::errc{} || end != at + 2) return std::nullopt;
  }
  return mac;
}

std::optional<uint64_t> parse_number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<Ipv4Prefix> parse_ipv4_interface(std::string_view text) {
  return parse_with_length<Ipv4Prefix>(text, parse_ipv4, 32);
}
std::optional<Ipv6Prefix> parse_ipv6_interface(std::string_view text) {
  return parse_with_length<Ipv6Prefix>(text, parse_ipv6, 128);
}
std::optional<Ipv4Prefix> parse_ipv4_prefix(std::string_view text) {
  return without_host_bits(parse_ipv4_interface(text));
}
std::optional<Ipv6Prefix> parse_ipv6_prefix(std::string_view text) {
  return without_host_bits(parse_ipv6_interface(text));
}

std::optional<Endpoint> parse_endpoint(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == text.npos) return std::nullopt;
  const auto address = parse_ipv4(text.substr(0, colon));
  const auto port = parse_number(text.substr(colon + 1));
  if (!address || !port || *port > 65535) return std::nullopt;
  return Endpoint{*address, Port{static_cast<uint16_t>(*port)}};
}

std::string to_text(Ipv4 address) { return address_text<AF_INET>(&address); }
std::string to_text(const Ipv6& address) { return address_text<AF_INET6>(&address); }

std::string to_text_unmapped(const Ipv6& address) {
  return is_mapped(address) ? to_text(unmapped(address)) : to_text(address);
}

std::string to_text(const Mac& mac) {
  char out[18];
  const auto& b = mac.bytes;
  std::snprintf(out, sizeof out, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
  return out;
}

std::string to_text(const Ipv4Prefix& prefix) { return to_text(prefix.address) + '/' + std::to_string(prefix.length); }
std::string to_text(const Ipv6Prefix& prefix) { return to_text(prefix.address) + '/' + std::to_string(prefix.length); }
std::string to_text(const Endpoint& endpoint) {
  return to_text(endpoint.address) + ':' + std::to_string(uint16_t{endpoint.port.number});
}

std::string to_text(Protocol protocol) {
  switch (protocol) {
    case Protocol::tcp:
      return "tcp";
    case Protocol::udp:
      return "udp";
    case Protocol::icmp:
      return "icmp";
    default:
      return std::to_string(static_cast<unsigned>(protocol));
  }
}

}  // namespace portolan::net
