// A request and its reply as the handlers see them: plain values, no sockets, so that every rule is a function of
// registry, request and time.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "dataplane/net/types.h"

namespace portolan::ddnsd {

struct Request {
  std::string method = "GET", target = "/";
  std::vector<std::string> hosts;  // every Host field there was; more than one is an error (RFC 9112 §3.2)
  std::string authorization, content_type, user_agent, body;
  bool http_1_0 = false;
  net::Ipv6 source;    // IPv4 as IPv4-mapped
  unsigned tries = 0;  // how often it was asked before, and told to come again
};

struct Reply {
  unsigned status = 200;
  std::string content_type, body;
  std::vector<std::pair<std::string, std::string>> headers;
  bool is_again = false;  // no reply yet: the same request again in a moment
};

}  // namespace portolan::ddnsd
