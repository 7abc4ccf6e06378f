// Values of the configuration.
#include "ddns-client-ref/config_values.h"

#include <algorithm>
#include <cctype>

#include "dataplane/net/text.h"
#include "dns/idn.h"

namespace portolan::ddns {
namespace {

bool is_alnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

tl::unexpected<std::string> wrong(std::string_view text, const std::string& expected) {
  return tl::unexpected("\"" + std::string(text) + "\" is not " + expected);
}

// Letters, digits, inner hyphens (RFC 1123 §2.1); an underscore never, for a host answers to the name.
bool is_label(std::string_view label) {
  return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
         std::ranges::all_of(label, [](char c) { return is_alnum(c) || c == '-'; });
}

}  // namespace

Value<uint32_t> number_value(std::string_view text, uint32_t min, uint32_t max) {
  const auto number = net::parse_number(text);
  if (!number || *number < min || *number > max)
    return wrong(text, "a number from " + std::to_string(min) + " to " + std::to_string(max));
  return static_cast<uint32_t>(*number);
}

Value<bool> switch_value(std::string_view text) {
  if (text == "on") return true;
  if (text == "off") return false;
  return wrong(text, "on or off");
}

Value<Duration> duration_value(std::string_view text, Duration min, Duration max) {
  const auto seconds = [](Duration d) {
    return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(d).count()) + "s";
  };
  int64_t unit_s = 1;
  std::string_view digits = text;
  if (!text.empty() && !std::isdigit(static_cast<unsigned char>(text.back()))) {
    constexpr std::string_view units = "smhd";
    constexpr int64_t unit_seconds[] = {1, 60, 3600, 86400};
    const size_t unit = units.find(text.back());
    unit_s = unit == std::string_view::npos ? 0 : unit_seconds[unit];
    digits.remove_suffix(1);
  }
  const auto number = net::parse_number(digits);
  if (number && unit_s != 0 && *number <= 1'000'000'000) {
    const Duration value = std::chrono::seconds(static_cast<int64_t>(*number) * unit_s);
    if (value >= min && value <= max) return value;
  }
  return wrong(text, "a time from " + seconds(min) + " to " + seconds(max) + " (300s, 5m, 1h)");
}

Value<net::Ipv6> address_value(std::string_view text) {
  if (const auto v4 = net::parse_ipv4(text)) return net::mapped(*v4);
  if (const auto v6 = net::parse_ipv6(text)) return *v6;
  return wrong(text, "an IPv4 or IPv6 address");
}

Value<std::string> name_value(std::string_view text) {
  std::string name = dns::to_ascii(text).value_or("");
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (name.ends_with('.')) name.pop_back();
  bool good = name.size() <= 253 && name.find('.') != std::string::npos;
  for (size_t at = 0; good && at <= name.size();) {
    const size_t dot = std::min(name.find('.', at), name.size());
    good = is_label(std::string_view(name).substr(at, dot - at));
    at = dot + 1;
  }
  if (!good) return wrong(text, "a full domain name like home1.example");
  return name;
}

Value<std::string> plain_value(std::string_view text, size_t bytes_max) {
  const auto control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  if (text.size() > bytes_max) return tl::unexpected("longer than " + std::to_string(bytes_max) + " octets");
  if (std::ranges::any_of(text, control)) return tl::unexpected(std::string("has a control character in it"));
  return std::string(text);
}

bool is_service_id(std::string_view text) { return is_label(text); }

}  // namespace portolan::ddns
