// Addresses, prefixes and endpoints as people write them. Parsing is strict (no leading zeros, no host bits in a
// prefix unless asked for); an empty optional means "not one".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "dataplane/net/types.h"

namespace portolan::net {

std::optional<Ipv4> parse_ipv4(std::string_view text);
std::optional<Ipv6> parse_ipv6(std::string_view text);
std::optional<Mac> parse_mac(std::string_view text);
std::optional<uint64_t> parse_number(std::string_view text);  // decimal, digits only

// "192.0.2.0/28". Host bits must be zero.
std::optional<Ipv4Prefix> parse_ipv4_prefix(std::string_view text);
std::optional<Ipv6Prefix> parse_ipv6_prefix(std::string_view text);
// "198.51.100.1/24": an interface's own address and the length of its link's prefix; host bits are kept.
std::optional<Ipv4Prefix> parse_ipv4_interface(std::string_view text);
std::optional<Ipv6Prefix> parse_ipv6_interface(std::string_view text);
// "192.0.2.1:4321"
std::optional<Endpoint> parse_endpoint(std::string_view text);

std::string to_text(Ipv4 address);
std::string to_text(const Ipv6& address);           // RFC 5952
std::string to_text_unmapped(const Ipv6& address);  // an IPv4-mapped one as the IPv4 address it stands for
std::string to_text(const Mac& mac);
std::string to_text(const Ipv4Prefix& prefix);
std::string to_text(const Ipv6Prefix& prefix);
std::string to_text(const Endpoint& endpoint);
std::string to_text(Protocol protocol);  // "tcp", "udp", "icmp", else the number

}  // namespace portolan::net
