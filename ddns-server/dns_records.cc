#include "ddns-server/dns_records.h"

#include <algorithm>
#include <cstdio>

#include "dataplane/net/text.h"

namespace portolan::ddnsd {
namespace {

// No longer than the mapping behind it lives (DDN-019).
uint32_t ttl_of(const DnsConfig& config, int64_t expires_at_s, int64_t now_s) {
  return static_cast<uint32_t>(std::clamp<int64_t>(expires_at_s - now_s, 1, config.ttl_s));
}

std::string type_owner(const Service& service, std::string_view fqdn) {  // "_http._tcp.a.example"
  const Scheme* scheme = find_scheme(service.scheme);
  const std::string label = !service.type.empty() ? service.type
                            : scheme != nullptr   ? std::string(scheme->srv_service)
                                                  : service.id;
  return "_" + label + "._" + net::to_text(service.protocol) + "." + std::string(fqdn);
}

class Records {
  const DnsConfig& config_;
  const std::string name_;
  const int64_t now_s_;
  std::vector<Record> out_;

 public:
  Records(const DnsConfig& config, std::string_view fqdn, int64_t now_s)
      : config_(config), name_(fqdn), now_s_(now_s) {}
  std::vector<Record> take() { return std::move(out_); }

  void add(std::string owner, std::string type, uint32_t ttl_s, std::string data) {
    Record record{std::move(owner), std::move(type), ttl_s, std::move(data)};
    if (std::ranges::find(out_, record) == out_.end()) out_.push_back(std::move(record));
  }
  [[nodiscard]] bool has(const std::string& owner, std::string_view type) const {
    return std::ranges::any_of(out_, [&](const Record& each) { return each.owner == owner && each.type == type; });
  }

  // What one service needs: the address record of its target, unless it is there, and what names its port.
  void add_service(const Service& service, const std::string& target) {
    const uint32_t ttl_s = ttl_of(config_, service.expires_at_s, now_s_);
    if (!has(target, "A")) add(target, "A", ttl_s, net::to_text(service.outside.address));
    const std::string owner = type_owner(service, name_), uri = uri_of(service);
    add(owner, "SRV", ttl_s, srv_data(service, target));
    if (config_.uri && !uri.empty()) add(owner, "URI", ttl_s, "0 0 \"" + uri + "\"");
    if (config_.svcb && !service.scheme.empty() && !is_web(service))
      add("_" + service.scheme + "." + name_, "SVCB", ttl_s, svcb_data_of(service, target));
    if (config_.dns_sd) add_instance(service, target, ttl_s);
  }

  // Firefox follows the port, Chromium and curl leave the record alone: they come by the portal (SVC-007, SVC-008).
  void add_https(const Service& service, const std::string& target) {
    const uint32_t ttl_s = ttl_of(config_, service.expires_at_s, now_s_);
    add(name_, "HTTPS", ttl_s, svcb_data_of(service, target == name_ ? "" : target));
  }

  void add_away(const Service& service) {
    const std::string owner = type_owner(service, name_);
    if (!has(owner, "SRV")) add(owner, "SRV", config_.ttl_s, "0 0 0 .");
  }

 private:
  static std::string srv_data(const Service& service, const std::string& target) {
    return "0 0 " + std::to_string(uint16_t{service.outside.port.number}) + " " + target + ".";
  }
  static std::string svcb_data_of(const Service& service, const std::string& target) {
    return svcb_data(1, target, {"", service.outside.port.number, {service.outside.address}});
  }

  void add_instance(const Service& service, const std::string& target, uint32_t ttl_s) {  // RFC 6763
    const std::string type = type_owner(service, name_), browse = "_dns-sd._udp." + name_;
    std::string label = instance_label(title_of(service));
    if (has(label + "." + type, "SRV")) label = instance_label(title_of(service), " (" + service.id + ")");
    const std::string instance = label + "." + type;
    for (const char* domains : {"b.", "db.", "lb."}) add(domains + browse, "PTR", ttl_s, name_ + ".");  // §11
    add("_services." + browse, "PTR", ttl_s, type + ".");                                               // §9
    add(type, "PTR", ttl_s, instance + ".");                                                            // §4
    add(instance, "SRV", ttl_s, srv_data(service, target));
    const std::string path = service.path.empty() ? "" : txt_escaped("path=" + service.path);
    add(instance, "TXT", ttl_s, "\"" + path + "\"");  // never without a string, be it an empty one (§6.1)
  }

  // One label of a zone file: at most 63 octets, not cut within a character; what has a meaning there is escaped.
  static std::string instance_label(std::string_view title, const std::string& suffix = "") {
    size_t bytes = std::min<size_t>(title.size(), 63 - suffix.size());
    while (bytes < title.size() && bytes > 0 && (static_cast<uint8_t>(title[bytes]) & 0xc0U) == 0x80U) --bytes;
    std::string out;
    for (const char c : std::string(title.substr(0, bytes)) + suffix) {
      const bool is_plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-';
      char escaped[5];
      std::snprintf(escaped, sizeof escaped, "\\%03u", unsigned{static_cast<uint8_t>(c)});
      out += is_plain ? std::string(1, c) : escaped;
    }
    return out;
  }

  static std::string txt_escaped(std::string_view text) {  // at most 255 octets of it (§6.1)
    std::string out;
    for (const char c : text.substr(0, 255)) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    return out;
  }
};

void append_hex(std::string& out, std::string_view bytes) {
  for (const char c : bytes) {
    constexpr std::string_view digits = "0123456789abcdef";
    out += digits[static_cast<uint8_t>(c) >> 4U];
    out += digits[static_cast<uint8_t>(c) & 15U];
  }
}

void append_16(std::string& out, size_t value) { out += {static_cast<char>(value >> 8U), static_cast<char>(value)}; }

void append_parameter(std::string& out, uint16_t key, const std::string& value) {
  append_16(out, key), append_16(out, value.size());
  out += value;
}

}  // namespace

std::string svcb_data(uint16_t priority, std::string_view target, const SvcParameters& parameters) {
  std::string wire;
  append_16(wire, priority);
  while (!target.empty()) {  // uncompressed (RFC 9460 §2.2)
    const size_t dot = std::min(target.find('.'), target.size());
    wire += static_cast<char>(dot);
    wire += target.substr(0, dot);
    target.remove_prefix(std::min(dot + 1, target.size()));
  }
  wire += '\0';
  if (!parameters.alpn.empty()) append_parameter(wire, 1, static_cast<char>(parameters.alpn.size()) + parameters.alpn);
  std::string value;
  append_16(value, parameters.port);
  if (parameters.port != 0) append_parameter(wire, 3, value);
  std::string hints;
  for (const net::Ipv4 each : parameters.hints)
    append_16(hints, uint32_t{each.bits} >> 16U), append_16(hints, uint32_t{each.bits} & 0xffffU);
  if (!hints.empty()) append_parameter(wire, 4, hints);
  std::string out = "\\# " + std::to_string(wire.size()) + " ";
  append_hex(out, wire);
  return out;
}

std::vector<Record> records_of(std::string_view fqdn, const Registry::Entry& entry, const DnsConfig& config,
                               int64_t now_s) {
  Records records(config, fqdn, now_s);
  const auto& services = entry.services;
  if (entry.suspended || (services.empty() && entry.away.empty() && !entry.address)) return {};
  const bool is_portal = entry.mode.empty() ? config.mode == DnsConfig::Mode::portal : entry.mode == "portal";
  const std::string name(fqdn), direct = "direct." + name, target = is_portal ? direct : name;
  if (is_portal) records.add(name, "A", config.ttl_s, net::to_text(config.portal_address));
  if (!services.empty() || entry.address) {
    const net::Ipv4 first = services.empty() ? *entry.address : services.front().outside.address;
    uint32_t ttl_s = config.ttl_s;
    for (const Service& each : services) ttl_s = std::min(ttl_s, ttl_of(config, each.expires_at_s, now_s));
    records.add(target, "A", ttl_s, net::to_text(first));
    const auto target_of = [&](const Service& service) {
      return service.outside.address == first ? target : service.id + "." + direct;
    };
    for (const Service& each : services) records.add_service(each, target_of(each));
    const auto web = std::ranges::find_if(services, is_web);
    if (config.svcb && std::ranges::count_if(services, is_web) == 1 && web->scheme == "https")
      records.add_https(*web, target_of(*web));
  }
  for (const Service& each : entry.away) records.add_away(each);
  return records.take();
}

std::vector<std::string> record_sets_of(const std::vector<Record>& records) {
  std::vector<std::string> out;
  out.reserve(records.size());
  for (const Record& each : records) out.push_back(each.owner + " " + each.type);
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace portolan::ddnsd
