// Subscribers as commands name them and replies show them. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "controlplane/aftr.h"
#include "controlplane/reply.h"
#include "dataplane/net/text.h"

namespace portolan::control {

// "2001:db8:b:100::/56", or an address in it: the subscriber, masked as shards know him. Another length is no
// subscriber.
inline std::optional<net::Ipv6> parse_subscriber(const Aftr& aftr, std::string_view text) {
  const unsigned length = aftr.config().softwire.subscriber_prefix_length;
  if (text.find('/') != text.npos) {
    const auto prefix = net::parse_ipv6_prefix(text);
    return prefix && prefix->length == length ? std::optional(prefix->address) : std::nullopt;
  }
  const auto address = net::parse_ipv6(text);
  return address ? std::optional(net::masked(*address, length)) : std::nullopt;
}

inline std::string subscriber_text(const Aftr& aftr, const net::Ipv6& prefix) {
  return net::to_text(net::Ipv6Prefix{prefix, static_cast<uint8_t>(aftr.config().softwire.subscriber_prefix_length)});
}

inline Reply bad_subscriber(std::string_view text) {
  return error_reply(Code::bad_argument, "'" + std::string(text) +
                                             "' is not a subscriber: give his prefix as show "
                                             "subscribers does, or an address in it");
}

}  // namespace portolan::control
