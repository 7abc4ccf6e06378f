#include "ddns-server/dns_records.h"

#include <algorithm>

#include "dataplane/net/text.h"

namespace portolan::ddnsd {
namespace {

// No longer than the mapping behind it lives (DDN-019).
uint32_t ttl_of(const DnsConfig& config, int64_t expires_at_s, int64_t now_s) {
  return static_cast<uint32_t>(std::clamp<int64_t>(expires_at_s - now_s, 1, config.ttl_s));
}

std::string srv_owner(const Service& service, std::string_view fqdn) {
  const Scheme* scheme = find_scheme(service.scheme);
  const std::string label = scheme != nullptr ? std::string(scheme->srv_service) : service.id;
  return "_" + label + "._" + net::to_text(service.protocol) + "." + std::string(fqdn);
}

// Adds what one service needs: the address record of its target, unless it is there, SRV and URI.
void add_service(const Service& service, std::string_view fqdn, const std::string& target, uint32_t ttl_s,
                 std::vector<Record>& out) {
  const Record address{target, "A", ttl_s, net::to_text(service.outside.address)};
  const auto same =
      std::ranges::find_if(out, [&](const Record& each) { return each.owner == target && each.type == "A"; });
  if (same == out.end()) out.push_back(address);
  const std::string owner = srv_owner(service, fqdn);
  const std::string port = std::to_string(uint16_t{service.outside.port.number});
  out.push_back({owner, "SRV", ttl_s, "0 0 " + port + " " + target + "."});
  if (const std::string uri = uri_of(service); !uri.empty())
    out.push_back({owner, "URI", ttl_s, "0 0 \"" + uri + "\""});
}

}  // namespace

std::vector<Record> records_of(std::string_view fqdn, const Registry::Entry& entry, const DnsConfig& config,
                               int64_t now_s) {
  std::vector<Record> out;
  if (entry.services.empty() && !entry.address) return out;
  const net::Ipv4 first = entry.services.empty() ? *entry.address : entry.services.front().outside.address;
  const bool is_portal = config.mode == DnsConfig::Mode::portal;
  const std::string name(fqdn), direct = "direct." + name, target = is_portal ? direct : name;
  if (is_portal) out.push_back({name, "A", config.ttl_s, net::to_text(config.portal_address)});
  uint32_t ttl_s = config.ttl_s;
  for (const Service& each : entry.services) ttl_s = std::min(ttl_s, ttl_of(config, each.expires_at_s, now_s));
  out.push_back({target, "A", ttl_s, net::to_text(first)});
  for (const Service& each : entry.services)
    add_service(each, fqdn, each.outside.address == first ? target : each.id + "." + direct, ttl_s, out);
  return out;
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
