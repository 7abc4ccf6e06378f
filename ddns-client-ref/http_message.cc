// URL and header texts.
#include "ddns-client-ref/http_message.h"

#include <algorithm>
#include <cctype>

#include "dataplane/net/text.h"

namespace portolan::ddns {
namespace {

bool unreserved(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' || c == '_' || c == '~';
}

// HOST, HOST:PORT, [V6] or [V6]:PORT into url; what is no authority: false.
bool read_authority(std::string_view text, Url& url) {
  std::string_view port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos || !net::parse_ipv6(text.substr(1, end - 1))) return false;
    url.host = text.substr(1, end - 1);
    text.remove_prefix(end + 1);
    if (!text.empty() && text.front() != ':') return false;
    has_port = !text.empty();
    if (has_port) port = text.substr(1);
  } else {
    const size_t colon = text.find(':');
    url.host = text.substr(0, colon);
    has_port = colon != std::string_view::npos;
    if (has_port) port = text.substr(colon + 1);
    if (url.host.empty() || !std::ranges::all_of(url.host, unreserved)) return false;
  }
  if (!has_port) return true;
  const auto number = net::parse_number(port);
  if (!number || *number == 0 || *number > 65535) return false;
  url.port = static_cast<uint16_t>(*number);
  return true;
}

}  // namespace

std::string Url::authority() const {
  const std::string shown = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return port == (tls ? 443 : 80) ? shown : shown + ":" + std::to_string(port);
}

std::string Url::text() const { return (tls ? "https://" : "http://") + authority() + base; }

std::optional<Url> parse_url(std::string_view text) {
  Url url;
  if (text.starts_with("https://")) {
    url.tls = true;
    url.port = 443;
    text.remove_prefix(8);
  } else if (text.starts_with("http://")) {
    text.remove_prefix(7);
  } else {
    return std::nullopt;
  }
  const size_t slash = text.find('/');
  if (!read_authority(text.substr(0, slash), url)) return std::nullopt;
  if (slash != std::string_view::npos) url.base = text.substr(slash);
  if (!url.base.ends_with('/')) url.base += '/';
  const bool plain = std::ranges::all_of(url.base, [](char c) { return unreserved(c) || c == '/' || c == '%'; });
  if (!plain) return std::nullopt;  // a query, a fragment or a space has no place in a base
  return url;
}

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (unreserved(c))
      out += c;
    else
      out.append({'%', digits[byte >> 4], digits[byte & 15]});
  }
  return out;
}

std::string basic_credentials(std::string_view account, std::string_view token) {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::string clear = std::string(account) + ":" + std::string(token);
  std::string out = "Basic ";
  for (size_t at = 0; at < clear.size(); at += 3) {
    const size_t count = std::min<size_t>(3, clear.size() - at);
    uint32_t bits = 0;
    for (size_t i = 0; i < 3; ++i) bits = bits << 8 | (i < count ? static_cast<unsigned char>(clear[at + i]) : 0U);
    for (size_t i = 0; i < 4; ++i) out += i <= count ? alphabet[bits >> (18 - 6 * i) & 63] : '=';
  }
  return out;
}

}  // namespace portolan::ddns
