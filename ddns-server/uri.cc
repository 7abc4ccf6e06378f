#include "ddns-server/uri.h"

#include <algorithm>
#include <cstdint>

#include "dataplane/net/text.h"
#include "dns/idn.h"

namespace portolan::ddnsd {
namespace {

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> decoded(std::string_view text, bool plus_is_space) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
      if (high < 0 || low < 0) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

bool is_label(std::string_view label) {
  return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
         std::ranges::all_of(label, [](char c) { return is_alnum(c) || c == '-'; });
}

// The code point at text[i], advancing i; empty for anything that is not shortest-form UTF-8 (RFC 3629 §3).
std::optional<uint32_t> take_code_point(std::string_view text, size_t& i) {
  const auto first = static_cast<uint8_t>(text[i++]);
  if (first < 0x80) return first;
  const int extra = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc2 ? 1 : 0;
  if (extra == 0 || first > 0xf4 || i + static_cast<size_t>(extra) > text.size()) return std::nullopt;
  uint32_t point = first & (0x3fU >> extra);
  for (int k = 0; k < extra; ++k) {
    const auto next = static_cast<uint8_t>(text[i++]);
    if ((next & 0xc0) != 0x80) return std::nullopt;
    point = point << 6 | (next & 0x3fU);
  }
  const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
  if (point < least[extra] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return std::nullopt;
  return point;
}

}  // namespace

std::string address_text(const net::Ipv6& address) {
  return net::is_mapped(address) ? net::to_text(net::unmapped(address)) : net::to_text(address);
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::optional<Target> parse_target(std::string_view text) {
  Target out;
  if (lower_case(text.substr(0, 7)) == "http://") {  // a server must accept absolute-form (RFC 9112 §3.2.2)
    text.remove_prefix(7);
    const size_t end = std::min(text.find_first_of("/?"), text.size());
    out.host = std::string(text.substr(0, end));
    text.remove_prefix(end);
    if (text.empty() || text.front() == '?') {
      out.path = "/";
      if (!text.empty()) out.query = std::string(text.substr(1));
      return out;
    }
  }
  if (text.empty() || text.front() != '/') return std::nullopt;
  const size_t mark = text.find('?');
  out.path = std::string(text.substr(0, mark));
  if (mark != std::string_view::npos) out.query = std::string(text.substr(mark + 1));
  return out;
}

std::optional<Query> parse_query(std::string_view text) {
  Query out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('&'), text.size());
    const std::string_view pair = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    const auto key = decoded(pair.substr(0, equals), true);
    const auto value = decoded(equals < pair.size() ? pair.substr(equals + 1) : "", true);
    if (!key || !value) return std::nullopt;
    out[*key] = *value;
  }
  return out;
}

std::optional<std::string> percent_decoded(std::string_view text) { return decoded(text, false); }

std::string uri_safe(std::string_view text) {
  constexpr std::string_view allowed = "-._~:/?@!$&'()*+,;=";
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool escape = c == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0;
    if (is_alnum(c) || allowed.find(c) != std::string_view::npos || escape) {
      out += c;
    } else {
      const auto octet = static_cast<uint8_t>(c);
      out += {'%', digits[octet >> 4], digits[octet & 15]};
    }
  }
  return out;
}

std::optional<std::string> parse_fqdn(std::string_view name) {
  const auto ascii = dns::to_ascii(name);
  if (!ascii) return std::nullopt;
  std::string_view text = *ascii;
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.empty() || text.size() > 253) return std::nullopt;
  std::string_view rest = text;
  size_t labels = 0;
  std::string_view label;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('.'), rest.size());
    label = rest.substr(0, end);
    if (!is_label(label) || end + 1 == rest.size()) return std::nullopt;
    rest.remove_prefix(std::min(end + 1, rest.size()));
    ++labels;
  }
  // A last label of digits would be an address or a broken one (RFC 1123 §2.1).
  if (labels < 2 || net::parse_number(label)) return std::nullopt;
  return lower_case(text);
}

std::optional<Host> parse_host(std::string_view field) {
  if (field.starts_with('[')) {
    const size_t close = field.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    const std::string_view literal = field.substr(1, close - 1), rest = field.substr(close + 1);
    const bool port_is_right = rest.empty() || (rest.front() == ':' && net::parse_number(rest.substr(1)));
    if (!net::parse_ipv6(literal) || !port_is_right) return std::nullopt;
    return Host{lower_case(literal), true};
  }
  if (const size_t colon = field.find(':'); colon != std::string_view::npos) {
    const auto port = net::parse_number(field.substr(colon + 1));
    if (!port || *port > 65535) return std::nullopt;
    field = field.substr(0, colon);
  }
  if (net::parse_ipv4(field)) return Host{std::string(field), true};
  if (auto name = parse_fqdn(field)) return Host{*name, false};
  if (is_label(field) && !net::parse_number(field)) return Host{lower_case(field), false};  // "localhost"
  return std::nullopt;
}

bool is_within(std::string_view name, std::string_view zone) {
  return name == zone ||
         (name.size() > zone.size() && name.ends_with(zone) && name[name.size() - zone.size() - 1] == '.');
}

bool is_printable_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto point = take_code_point(text, i);
    if (!point || *point < 0x20 || (*point >= 0x7f && *point < 0xa0)) return false;
    // Directional controls and line separators could make a link read as something it is not.
    if ((*point >= 0x200e && *point <= 0x200f) || (*point >= 0x2028 && *point <= 0x202e) ||
        (*point >= 0x2066 && *point <= 0x2069))
      return false;
  }
  return true;
}

}  // namespace portolan::ddnsd
