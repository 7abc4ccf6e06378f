// An outside endpoint and its protocol as commands name them: "192.0.2.7:4321 tcp". Pure.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "controlplane/reply.h"
#include "dataplane/net/text.h"

namespace portolan::control {

struct OutsideEndpoint {
  net::Endpoint endpoint;
  net::Protocol protocol{};
};

inline std::optional<OutsideEndpoint> parse_outside(std::span<const std::string_view> words) {
  if (words.size() != 2) return std::nullopt;
  const auto endpoint = net::parse_endpoint(words[0]);
  if (!endpoint) return std::nullopt;
  for (const auto protocol : {net::Protocol::tcp, net::Protocol::udp, net::Protocol::icmp})
    if (net::to_text(protocol) == words[1]) return OutsideEndpoint{*endpoint, protocol};
  return std::nullopt;
}

inline Reply bad_outside(std::string_view command) {
  return error_reply(Code::bad_argument, "needs an outside endpoint and its protocol, like " + std::string(command) +
                                             " 192.0.2.1:4321 tcp");
}

}  // namespace portolan::control
