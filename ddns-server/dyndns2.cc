// The dyndns2 protocol as its clients speak it (rows DYN), with port, proto, service, scheme, path, title, type and
// lifetime as optional extras (RFC 7393 §2.1: "updated so that an alternate port number is signaled"). A body is
// nothing but codes, since clients look for "good" anywhere in it (DYN-007); the reason goes into a header.
#include <algorithm>

#include "dataplane/net/text.h"
#include "ddns-server/limits.h"
#include "ddns-server/pages.h"
#include "ddns-server/updates.h"

namespace portolan::ddnsd {
namespace {

Reply answer(unsigned status, std::string_view codes, std::string_view detail = "") {
  Reply reply = plain(status, std::string(codes) + "\n");
  if (!detail.empty()) reply.headers.emplace_back("Portolan-Detail", detail);
  return reply;
}

std::string value_of(const Query& query, std::string_view key) {
  const auto found = query.find(key);
  return found == query.end() ? "" : found->second;
}

// Dual-stack clients send "v4,v6" or a FritzBox "v6/64" (DYN-009, DYN-011): the IPv4 counts, IPv6 is read and left.
// Nothing given: where the request came from. Empty: something in the list is no address.
std::optional<net::Ipv4> parse_myip(std::string_view list, const net::Ipv6& source) {
  std::optional<net::Ipv4> out;
  bool any = false;
  while (!list.empty()) {
    const size_t end = std::min(list.find(','), list.size());
    std::string_view item = list.substr(0, end);
    list.remove_prefix(std::min(end + 1, list.size()));
    if (item.empty()) continue;
    any = true;
    const auto v4 = net::parse_ipv4(item);
    if (v4 && !out) out = v4;
    if (!v4 && !net::parse_ipv6(item.substr(0, item.find('/')))) return std::nullopt;
  }
  if (!any && net::is_mapped(source)) out = net::unmapped(source);
  return out;
}

struct Update {
  std::optional<Service> service;  // empty: no port was given, so only the address changes
  std::optional<std::string> service_id;
  net::Ipv4 address;
  int64_t expires_at_s = 0;
  bool offline = false;
  Claim claim = Claim::theirs;  // anything else: none of the names gets it
};

// A mapping may come, an AFTR come back: later. Whose mappings the account may name is for people to say.
std::string code_of(Claim claim) {
  return claim == Claim::unknown ? "911" : claim == Claim::unbound ? "!active" : "dnserr";
}

std::string_view detail_of(Claim claim) {
  switch (claim) {
    case Claim::theirs:
      return "";
    case Claim::not_mapped:
      return "not mapped to this account's subscriber; map it by PCP first";
    case Claim::unbound:
      return "whose mappings this account may name is not known; ask the operator";
    case Claim::unknown:
      return "the AFTR that knows the mappings cannot be asked now";
  }
  return "";
}

// The extras. A mistake here needs the user, not a retry: badagent (DYN-004) with the reason.
net::Result<Update, Invalid> parse_extras(const Query& query, int64_t now_s) {
  Update out;
  out.offline = lower_case(value_of(query, "offline")) == "yes";
  if (const std::string id = lower_case(value_of(query, "service")); !id.empty()) out.service_id = id;
  uint64_t lifetime_s = limits::lifetime_default_s;
  if (const std::string text = value_of(query, "lifetime"); !text.empty()) {
    const auto number = net::parse_number(text);
    if (!number || *number == 0) return tl::unexpected(Invalid{"lifetime", "seconds, 1 or more"});
    lifetime_s = std::min<uint64_t>(*number, limits::lifetime_max_s);
  }
  out.expires_at_s = now_s + static_cast<int64_t>(lifetime_s);
  const std::string port = value_of(query, "port"), protocol = lower_case(value_of(query, "proto"));
  if (out.offline || port.empty()) return out;

  Service service;
  const auto number = net::parse_number(port);
  if (!number || *number > 65535) return tl::unexpected(Invalid{"port", "the outside port, 1 to 65535"});
  if (!protocol.empty() && protocol != "tcp" && protocol != "udp")
    return tl::unexpected(Invalid{"proto", "tcp or udp"});
  service.protocol = protocol == "udp" ? net::Protocol::udp : net::Protocol::tcp;
  service.id = out.service_id.value_or(protocol == "udp" ? "udp" : "web");
  service.outside.port = {static_cast<uint16_t>(*number)};
  service.scheme = query.contains("scheme") ? lower_case(value_of(query, "scheme")) : default_scheme(service.id);
  service.path = value_of(query, "path");
  service.title = value_of(query, "title");
  service.type = lower_case(value_of(query, "type"));
  service.expires_at_s = out.expires_at_s;
  if (auto invalid = check(service)) return tl::unexpected(*invalid);
  out.service = service;
  return out;
}

// One line of the answer.
std::string update_host(UpdateContext& context, const std::string& account, const std::string& hostname,
                        const Update& update) {
  const auto fqdn = parse_fqdn(hostname);
  if (!fqdn) return "notfqdn";
  const auto entry = context.registry.find(*fqdn, context.now_s);
  if (!entry) return "nohost";
  if (entry->account != account) return "!yours";
  if (entry->suspended) return "!active";
  if (update.offline) {
    const bool ended = update.service_id ? context.registry.end(*fqdn, *update.service_id, context.now_s)
                                         : context.registry.end_all(*fqdn, context.now_s);
    if (ended) context.on_change();
    return ended ? "good" : "nochg";
  }
  Registry::Put put{};
  if (update.service) {
    if (update.claim != Claim::theirs && !is_there(context, *fqdn, *update.service)) return code_of(update.claim);
    put = put_judged(context, *fqdn, *update.service);
  } else if (update.claim != Claim::theirs) {
    return code_of(update.claim);
  } else {
    put = context.registry.put_address(*fqdn, update.address, update.expires_at_s, context.now_s);
  }
  if (put == Registry::Put::too_many) return "numhost";
  if (put == Registry::Put::changed) context.on_change();
  return (put == Registry::Put::changed ? "good " : "nochg ") + net::to_text(update.address);
}

std::vector<std::string> split_hosts(std::string_view list) {
  std::vector<std::string> out;
  while (!list.empty()) {
    const size_t end = std::min(list.find(','), list.size());
    out.emplace_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return out;
}

// What is wrong with the request as a whole, whatever the host: a code of one line; empty if nothing is.
std::string refusal_code(const Request& request, const Query& query, const std::vector<std::string>& hosts) {
  const bool method_is_right = request.method == "GET" || request.method == "POST";
  if (request.user_agent.empty() || !method_is_right) return "badagent";
  const std::string system = value_of(query, "system");
  if (!system.empty() && system != "dyndns" && system != "statdns" && system != "custom") return "badsys";
  if (hosts.empty()) return "notfqdn";
  return hosts.size() > limits::hosts_per_update_max ? "numhost" : "";
}

}  // namespace

Reply dyndns2_refused(bool throttled) {
  Reply reply = answer(401, "badauth", throttled ? "too many failed attempts from this address; wait" : "");
  reply.headers.emplace_back("WWW-Authenticate", "Basic realm=\"DDNS update\", charset=\"UTF-8\"");
  if (throttled) reply.headers.emplace_back("Retry-After", std::to_string(limits::failure_refill_s));
  return reply;
}

Reply dyndns2_update(UpdateContext& context, const std::string& account, const Request& request, const Query& query) {
  if (request.tries == 0 && !context.updates.take(account, context.now_s)) return answer(403, "abuse");
  const auto hosts = split_hosts(value_of(query, "hostname"));
  if (const std::string code = refusal_code(request, query, hosts); !code.empty()) return answer(200, code);
  auto update = parse_extras(query, context.now_s);
  if (!update) return answer(200, "badagent", std::string(update.error().field) + ": " + update.error().text);
  if (!update->offline) {
    const auto address = parse_myip(value_of(query, "myip"), request.source);
    if (!address) return answer(200, "dnserr", "myip: not an IPv4 address");
    if (!context.policy.allows(*address))
      return answer(200, "dnserr", "myip: " + net::to_text(*address) + " is not a global address");
    update->address = *address;
    if (update->service) update->service->outside.address = *address;
    Service claimed = update->service.value_or(Service{});
    claimed.outside.address = *address;
    const Judged judged = judge(context, account, request, claimed);
    if (judged.is_again) {
      Reply later;
      later.is_again = true;
      return later;
    }
    update->claim = judged.claim;
    if (update->service) update->service->inside = claimed.inside;
  }
  std::string lines;
  for (const auto& host : hosts) lines += (lines.empty() ? "" : "\n") + update_host(context, account, host, *update);
  return answer(200, lines, detail_of(update->claim));
}

}  // namespace portolan::ddnsd
