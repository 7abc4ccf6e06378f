// The JSON update API: services of a name put, ended and listed, one resource each. Every refusal has a code for
// programs and a sentence for people.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "dataplane/net/text.h"
#include "ddns-server/limits.h"
#include "ddns-server/updates.h"

namespace portolan::ddnsd {
namespace {

using nlohmann::json;

Reply json_reply(unsigned status, const json& body) {
  Reply reply;
  reply.status = status;
  reply.content_type = "application/json";
  reply.body = body.dump() + "\n";
  reply.headers = {{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}};
  return reply;
}

json to_json(const Service& service, int64_t now_s) {
  return {{"id", service.id},
          {"protocol", net::to_text(service.protocol)},
          {"address", net::to_text(service.outside.address)},
          {"port", uint16_t{service.outside.port.number}},
          {"scheme", service.scheme},
          {"path", service.path},
          {"title", service.title},
          {"type", service.type},
          {"uri", uri_of(service)},
          {"lifetime_s", service.expires_at_s - now_s},
          {"updated_at", service.updated_at_s}};
}

// One member of the body. Returns what it must be if it is not that.
struct Field {
  std::string_view name, must_be;
  bool (*take)(const json& value, Service& out, uint64_t& lifetime_s);
};

bool take_text(const json& value, std::string& out) {
  if (value.is_string()) out = value.get<std::string>();
  return value.is_string();
}

constexpr Field fields[] = {
    {"protocol", "\"tcp\" or \"udp\"",
     [](const json& value, Service& out, uint64_t&) {
       if (value != "tcp" && value != "udp") return false;
       out.protocol = value == "udp" ? net::Protocol::udp : net::Protocol::tcp;
       return true;
     }},
    {"address", "an IPv4 address as text",
     [](const json& value, Service& out, uint64_t&) {
       const auto address = value.is_string() ? net::parse_ipv4(value.get<std::string>()) : std::nullopt;
       if (address) out.outside.address = *address;
       return address.has_value();
     }},
    {"port", "the outside port, a number from 1 to 65535",
     [](const json& value, Service& out, uint64_t&) {
       if (!value.is_number_unsigned() || value.get<uint64_t>() - 1 >= 65535) return false;
       out.outside.port = {value.get<uint16_t>()};
       return true;
     }},
    {"scheme", "text", [](const json& value, Service& out, uint64_t&) { return take_text(value, out.scheme); }},
    {"path", "text", [](const json& value, Service& out, uint64_t&) { return take_text(value, out.path); }},
    {"title", "text", [](const json& value, Service& out, uint64_t&) { return take_text(value, out.title); }},
    {"type", "text", [](const json& value, Service& out, uint64_t&) { return take_text(value, out.type); }},
    {"lifetime_s", "seconds, a number of 1 or more",
     [](const json& value, Service&, uint64_t& lifetime_s) {
       if (!value.is_number_unsigned() || value.get<uint64_t>() == 0) return false;
       lifetime_s = std::min<uint64_t>(value.get<uint64_t>(), limits::lifetime_max_s);
       return true;
     }},
};

Reply invalid(std::string_view field, std::string_view text) {
  return api_error(400, "invalid_" + std::string(field), std::string(field) + ": " + std::string(text));
}

net::Result<Service, Reply> parse_service(UpdateContext& context, const Request& request, const std::string& id) {
  const json body = json::parse(request.body, nullptr, false);
  if (!body.is_object()) return tl::unexpected(api_error(400, "invalid_json", "the body is not a JSON object"));
  for (const auto& member : body.items())
    if (std::ranges::find(fields, member.key(), &Field::name) == std::end(fields))
      return tl::unexpected(api_error(400, "unknown_member",
                                      "no such member; known are protocol, address, port, scheme, "
                                      "path, title, type, lifetime_s"));
  Service out;
  out.id = id;
  out.scheme = default_scheme(id);
  uint64_t lifetime_s = limits::lifetime_default_s;
  // Without an address it is where the request came from.
  if (net::is_mapped(request.source)) out.outside.address = net::unmapped(request.source);
  for (const Field& field : fields)
    if (const auto member = body.find(field.name); member != body.end() && !field.take(*member, out, lifetime_s))
      return tl::unexpected(invalid(field.name, field.must_be));
  out.expires_at_s = context.now_s + static_cast<int64_t>(lifetime_s);
  if (const auto problem = check(out)) return tl::unexpected(invalid(problem->field, problem->text));
  if (!context.policy.allows(out.outside.address))
    return tl::unexpected(invalid("address", net::to_text(out.outside.address) + " is not a global address"));
  return out;
}

bool is_json(std::string_view content_type) {
  return lower_case(content_type.substr(0, std::min(content_type.find_first_of("; "), content_type.size()))) ==
         "application/json";
}

// What keeps the claim from being registered; nothing if nothing does.
std::optional<Reply> refuse_claim(UpdateContext& context, const std::string& account, const Request& request,
                                  const std::string& fqdn, Service& service) {
  const Judged judged = judge(context, account, request, service);
  if (judged.is_again) {
    Reply later;
    later.is_again = true;
    return later;
  }
  const std::string where = net::to_text(service.outside) + " (" + net::to_text(service.protocol) + ")";
  switch (judged.claim) {
    case Claim::theirs:
      return std::nullopt;
    case Claim::not_mapped:
      return api_error(409, "not_mapped", where + " is not mapped to this account's subscriber; map it by PCP first");
    case Claim::unbound:
      return api_error(403, "not_bound",
                       "whose mappings this account may name is not known; ask the operator to bind it, or send this "
                       "from an address of the subscriber's own");
    case Claim::unknown:
      break;
  }
  if (is_there(context, fqdn, service)) return std::nullopt;
  Reply reply = api_error(503, "authority_unreachable", "the AFTR that knows the mappings cannot be asked now");
  reply.headers.emplace_back("Retry-After", "10");
  return reply;
}

Reply put_service(UpdateContext& context, const std::string& account, const Request& request, const ApiPath& path) {
  if (!is_json(request.content_type))
    return api_error(415, "unsupported_media_type", "Content-Type must be application/json");
  auto service = parse_service(context, request, *path.service_id);
  if (!service) return service.error();
  if (auto refused = refuse_claim(context, account, request, path.fqdn, *service)) return *refused;
  const auto put = put_judged(context, path.fqdn, *service);
  if (put == Registry::Put::too_many)
    return api_error(
        409, "too_many_services",
        "a name has at most " + std::to_string(limits::services_per_name_max) + " services; DELETE one first");
  if (put == Registry::Put::changed) context.on_change();
  json body = to_json(*service, context.now_s);
  body.erase("updated_at");
  body["name"] = path.fqdn;
  body["changed"] = put == Registry::Put::changed;
  return json_reply(200, body);
}

Reply end_service(UpdateContext& context, const ApiPath& path) {
  if (context.registry.end(path.fqdn, *path.service_id, context.now_s)) context.on_change();
  Reply reply;  // gone either way, so that a repeated DELETE is no error
  reply.status = 204;
  return reply;
}

Reply list_services(UpdateContext& context, const ApiPath& path, const Registry::Entry& entry) {
  json body = {{"name", path.fqdn}, {"address", nullptr}, {"services", json::array()}};
  if (entry.address) body["address"] = net::to_text(*entry.address);
  for (const Service& each : entry.services) body["services"].push_back(to_json(each, context.now_s));
  body["waiting"] = json::array();  // for a mapping
  for (const Service& each : entry.away) body["waiting"].push_back(each.id);
  return json_reply(200, body);
}

}  // namespace

std::optional<ApiPath> parse_api_path(std::string_view path) {
  constexpr std::string_view prefix = "/api/v1/names/", infix = "/services/";
  if (!path.starts_with(prefix)) return std::nullopt;
  path.remove_prefix(prefix.size());
  const size_t slash = path.find('/');
  const auto name = percent_decoded(path.substr(0, slash));
  if (!name) return std::nullopt;
  // What is no name cannot be registered either: it will not be found.
  ApiPath out{parse_fqdn(*name).value_or(""), std::nullopt};
  if (slash == std::string_view::npos) return out;
  path.remove_prefix(slash);
  if (!path.starts_with(infix)) return std::nullopt;
  const auto id = percent_decoded(path.substr(infix.size()));
  if (!id || id->empty() || id->find('/') != std::string::npos) return std::nullopt;
  out.service_id = *id;
  return out;
}

Reply api_error(unsigned status, std::string_view code, std::string_view message) {
  return json_reply(status, {{"error", {{"code", code}, {"message", message}}}});
}

Reply api_refused(bool throttled) {
  Reply reply = throttled
                    ? api_error(429, "too_many_attempts", "too many failed attempts from this address; wait")
                    : api_error(401, "unauthorized", "send Authorization: Bearer ACCOUNT:TOKEN with a valid token");
  if (throttled) reply.headers.emplace_back("Retry-After", std::to_string(limits::failure_refill_s));
  if (!throttled) reply.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"DDNS update\"");
  return reply;
}

Reply api_call(UpdateContext& context, const std::string& account, const Request& request, const ApiPath& path) {
  const bool is_read = request.method == "GET" || request.method == "HEAD";
  const bool is_known = path.service_id ? request.method == "PUT" || request.method == "DELETE" : is_read;
  if (!is_known) {
    Reply reply = api_error(405, "method_not_allowed", "a service takes PUT and DELETE, a name takes GET");
    reply.headers.emplace_back("Allow", path.service_id ? "PUT, DELETE" : "GET, HEAD");
    return reply;
  }
  if (!is_read && request.tries == 0 && !context.updates.take(account, context.now_s)) {
    Reply reply = api_error(429, "too_many_updates", "this account updates too often; wait");
    reply.headers.emplace_back("Retry-After", std::to_string(limits::update_refill_s));
    return reply;
  }
  const auto entry = context.registry.find(path.fqdn, context.now_s);
  if (!entry) return api_error(404, "no_such_name", "this name is not registered; ask the operator to add it");
  if (entry->account != account) return api_error(403, "not_yours", "this name belongs to another account");
  if (entry->suspended) return api_error(403, "suspended", "the operator has suspended this name or account");
  if (is_read) return list_services(context, path, *entry);
  return request.method == "PUT" ? put_service(context, account, request, path) : end_service(context, path);
}

}  // namespace portolan::ddnsd
