#include "ddns-server/service.h"

#include <algorithm>

#include "dataplane/net/text.h"
#include "ddns-server/limits.h"
#include "ddns-server/uri.h"
#include "dns/service_type.h"

namespace portolan::ddnsd {
namespace {

constexpr Scheme schemes[] = {
    {"http", "://", "http", "Web site"},
    {"https", "://", "https", "Web site (encrypted)"},
    {"ws", "://", "ws", "WebSocket"},
    {"wss", "://", "wss", "WebSocket (encrypted)"},
    {"rtsp", "://", "rtsp", "Video stream"},
    {"rtsps", "://", "rtsps", "Video stream (encrypted)"},
    {"ftp", "://", "ftp", "File transfer"},
    {"ftps", "://", "ftps", "File transfer (encrypted)"},
    {"sftp", "://", "sftp-ssh", "File transfer over SSH"},
    {"ssh", "://", "ssh", "Secure shell"},
    {"sip", ":", "sip", "Telephony"},
    {"sips", ":", "sips", "Telephony (encrypted)"},
    {"stun", ":", "stun", "STUN server"},
    {"turn", ":", "turn", "TURN server"},
    {"mqtt", "://", "mqtt", "MQTT broker"},
    {"mqtts", "://", "secure-mqtt", "MQTT broker (encrypted)"},
    {"xmpp", ":", "xmpp-client", "Chat server"},
    {"imap", "://", "imap", "Mailbox"},
    {"imaps", "://", "imaps", "Mailbox (encrypted)"},
    {"ldap", "://", "ldap", "Directory"},
    {"vnc", "://", "rfb", "Remote desktop"},
    {"git", "://", "git", "Git repositories"},
};

// IANA IPv4 Special-Purpose Address Registry (RFC 6890), "Globally Reachable" false, and multicast and class E.
constexpr net::Ipv4Prefix prefix(uint8_t a, uint8_t b, uint8_t c, uint8_t length) {
  return {{(uint32_t{a} << 24) | (uint32_t{b} << 16) | (uint32_t{c} << 8)}, length};
}
constexpr net::Ipv4Prefix not_global[] = {
    prefix(0, 0, 0, 8),      prefix(10, 0, 0, 8),     prefix(100, 64, 0, 10), prefix(127, 0, 0, 8),
    prefix(169, 254, 0, 16), prefix(172, 16, 0, 12),  prefix(192, 0, 0, 24),  prefix(192, 0, 2, 24),
    prefix(192, 88, 99, 24), prefix(192, 168, 0, 16), prefix(198, 18, 0, 15), prefix(198, 51, 100, 24),
    prefix(203, 0, 113, 24), prefix(224, 0, 0, 3),
};

bool is_id(std::string_view id) {
  const bool charset =
      std::ranges::all_of(id, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
  return charset && !id.empty() && id.size() <= limits::service_id_bytes_max && id.front() != '-' && id.back() != '-';
}

}  // namespace

const Scheme* find_scheme(std::string_view name) {
  const auto* found = std::ranges::find(schemes, name, &Scheme::name);
  return found == std::end(schemes) ? nullptr : found;
}

std::string default_scheme(std::string_view id) {
  if (id == "web") return "http";
  return find_scheme(id) != nullptr ? std::string(id) : "";
}

std::string uri_of(const Service& service) {
  const Scheme* scheme = find_scheme(service.scheme);
  if (scheme == nullptr) return "";
  const bool has_path = scheme->separator == "://";
  return std::string(scheme->name) + std::string(scheme->separator) + net::to_text(service.outside) +
         (has_path ? uri_safe(service.path) : "");
}

std::string title_of(const Service& service) {
  if (!service.title.empty()) return service.title;
  const Scheme* scheme = find_scheme(service.scheme);
  return scheme != nullptr ? std::string(scheme->what) : service.id;
}

std::optional<Invalid> check(const Service& service) {
  if (!is_id(service.id)) return Invalid{"service", "1 to 32 of a-z, 0-9 and '-', not beginning or ending with '-'"};
  if (service.outside.port.number == 0) return Invalid{"port", "the outside port, 1 to 65535"};
  if (service.protocol != net::Protocol::tcp && service.protocol != net::Protocol::udp)
    return Invalid{"protocol", "tcp or udp"};
  if (!service.scheme.empty() && find_scheme(service.scheme) == nullptr)
    return Invalid{"scheme", "not one a portal may link to; http, https, rtsp, ftp, sip, ssh and the like, or none"};
  if (!service.path.empty() && service.path.front() != '/') return Invalid{"path", "begins with '/'"};
  if (service.path.size() > limits::path_bytes_max || !is_printable_utf8(service.path))
    return Invalid{"path", "at most 512 octets of printable UTF-8"};
  if (service.title.size() > limits::title_bytes_max || !is_printable_utf8(service.title))
    return Invalid{"title", "at most 120 octets of printable UTF-8"};
  if (!service.type.empty() && !dns::is_service_type(service.type))
    return Invalid{"type", std::string(dns::service_type_rule)};
  return std::nullopt;
}

bool AddressPolicy::allows(net::Ipv4 address) const {
  const auto covers = [&](const net::Ipv4Prefix& each) { return net::contains(each, address); };
  return std::ranges::any_of(allowed_, covers) || std::ranges::none_of(not_global, covers);
}

}  // namespace portolan::ddnsd
