// The HTTP a protocol speaks and the client carries, free of any library: protocols and their tests need no socket.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/net/result.h"

namespace portolan::ddns {

struct HttpRequest {
  std::string method;
  std::string target;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

struct HttpResponse {
  unsigned status = 0;
  std::string body;
  std::optional<uint32_t> retry_after_s;  // RFC 9110 §10.2.3, the seconds form
};

using HttpResult = net::Result<HttpResponse, std::string>;  // the error: why there was no answer

// http(s)://HOST[:PORT][/BASE/]
struct Url {
  bool tls = false;
  std::string host;  // an IPv6 literal without its brackets
  uint16_t port = 80;
  std::string base = "/";  // begins and ends with a slash

  [[nodiscard]] std::string authority() const;  // for the Host field (RFC 9110 §7.2)
  [[nodiscard]] std::string text() const;
};
std::optional<Url> parse_url(std::string_view text);

std::string percent_encoded(std::string_view text);                               // all but RFC 3986 §2.3 unreserved
std::string basic_credentials(std::string_view account, std::string_view token);  // RFC 7617 §2

}  // namespace portolan::ddns
