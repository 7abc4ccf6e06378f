// Subscribers as commands name them and replies show them. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "controlplane/aftr.h"
#include "controlplane/reply.h"
#include "dataplane/net/text.h"

namespace portolan::control {

// A prefix of the subscribers' length, or an address in it: the subscriber, masked as shards know him.
inline std::optional<net::Ipv6> parse_subscriber(const Aftr& aftr, std::string_view text) {
  const auto& snapshot = aftr.snapshot();
  const bool has_length = text.find('/') != text.npos;
  if (text.find(':') == text.npos) {  // NAT44
    const auto prefix = has_length ? net::parse_ipv4_prefix(text) : std::nullopt;
    if (prefix && prefix->length != snapshot.inside.subscriber_prefix_length) return std::nullopt;
    const auto address = prefix ? std::optional(prefix->address) : net::parse_ipv4(text);
    return address ? std::optional(snapshot.subscriber_of(pipeline::Side::inside, net::mapped(*address)))
                   : std::nullopt;
  }
  const auto prefix = has_length ? net::parse_ipv6_prefix(text) : std::nullopt;
  if (prefix && prefix->length != snapshot.softwire.subscriber_prefix_length) return std::nullopt;
  const auto address = prefix ? std::optional(prefix->address) : net::parse_ipv6(text);
  return address ? std::optional(snapshot.subscriber_of(pipeline::Side::access, *address)) : std::nullopt;
}

// As parse_subscriber() reads it: "2001:db8:b:100::/56"; of NAT44 "100.64.1.2", "100.64.1.0/29".
inline std::string subscriber_text(const Aftr& aftr, const net::Ipv6& prefix) {
  const auto& snapshot = aftr.snapshot();
  if (!net::is_mapped(prefix)) return net::to_text(net::Ipv6Prefix{prefix, snapshot.softwire.subscriber_prefix_length});
  const uint8_t length = snapshot.inside.subscriber_prefix_length;
  return length == 32 ? net::to_text(net::unmapped(prefix))
                      : net::to_text(net::Ipv4Prefix{net::unmapped(prefix), length});
}

inline Reply bad_subscriber(std::string_view text) {
  return error_reply(Code::bad_argument, "'" + std::string(text) +
                                             "' is not a subscriber: give his prefix as show "
                                             "subscribers does, or an address in it");
}

}  // namespace portolan::control
