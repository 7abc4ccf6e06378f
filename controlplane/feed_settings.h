// [feed] of a configuration, typed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "controlplane/config.h"
#include "dataplane/net/types.h"

namespace portolan::control {

struct ListenAddress {
  net::Ipv6 address;  // IPv4 as IPv4-mapped
  uint16_t port = 0;
};
// "192.0.2.1:7393", "[2001:db8::1]:7393"; none if it is neither.
std::optional<ListenAddress> parse_listen(std::string_view text);

struct FeedSettings {
  std::string socket, group;            // socket empty: no unix socket
  std::optional<ListenAddress> listen;  // none: no TCP
  std::string certificate, key, token_file;
};
// None if the feed is off.
std::optional<FeedSettings> feed_of(const Config& config);

struct FeedError {
  std::string setting;  // "feed.listen"
  std::string text;     // what is wrong, and the way out
};

}  // namespace portolan::control
