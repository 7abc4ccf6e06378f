// Text that crosses a trust boundary: request targets, queries, host names. Pure functions over strings.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/net/types.h"

namespace portolan::ddnsd {

// A request target (RFC 9112 §3.2) in origin-form or absolute-form; the latter carries its own host.
struct Target {
  std::optional<std::string> host;
  std::string path;                  // begins with '/', still percent-encoded
  std::optional<std::string> query;  // without '?', still percent-encoded
};
std::optional<Target> parse_target(std::string_view text);

using Query = std::map<std::string, std::string, std::less<>>;
// "a=1&b=x%20y+z"; the last of repeated keys counts. Empty if an escape is broken.
std::optional<Query> parse_query(std::string_view text);
std::optional<std::string> percent_decoded(std::string_view text);

// Octets that RFC 3986 does not allow in a path or query are percent-encoded; existing escapes stay.
std::string uri_safe(std::string_view text);

// A fully qualified host name in lower case without its final dot, what is Unicode in its ASCII form; empty if it is
// not one (RFC 1123 §2.1, two labels or more, not an address).
std::optional<std::string> parse_fqdn(std::string_view text);

// The Host field without its port, lower case, no final dot: a name or an address literal. Empty if malformed.
struct Host {
  std::string name;
  bool is_address = false;
};
std::optional<Host> parse_host(std::string_view field);

// Whether `name` is `zone` or below it; both as parse_fqdn gives them.
bool is_within(std::string_view name, std::string_view zone);

std::string address_text(const net::Ipv6& address);  // an IPv4-mapped one as IPv4

std::string lower_case(std::string_view text);
bool is_printable_utf8(std::string_view text);  // well-formed, and no control or direction-changing characters

}  // namespace portolan::ddnsd
