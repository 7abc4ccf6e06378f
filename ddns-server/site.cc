#include "ddns-server/site.h"

#include <spdlog/spdlog.h>

#include "ddns-server/limits.h"
#include "ddns-server/pages.h"
#include "ddns-server/uri.h"

namespace portolan::ddnsd {
namespace {

bool is_read(const Request& request) { return request.method == "GET" || request.method == "HEAD"; }

bool is_update_path(std::string_view path) { return path == "/nic/update" || path == "/v3/update"; }

Reply read_only() {
  Reply reply = plain(405, "only GET and HEAD here\n");
  reply.headers.emplace_back("Allow", "GET, HEAD");
  return reply;
}

// Whom the request is for; an error text if it does not say.
net::Result<Host, std::string> host_of(const Request& request, const Target& target, const std::string& hostname) {
  if (request.hosts.size() > 1) return tl::unexpected<std::string>("There is more than one Host field.");
  if (request.hosts.empty() && !target.host) {
    if (request.http_1_0) return Host{hostname, false};  // HTTP/1.0 need not say (RFC 9112 §3.2)
    return tl::unexpected<std::string>("The Host field is missing: it says which name is wanted.");
  }
  const auto host = parse_host(target.host ? *target.host : request.hosts.front());
  if (!host) return tl::unexpected<std::string>("The Host field is not a host name.");
  return *host;
}

}  // namespace

Site::Site(const Config& config, Registry& registry, std::function<void()> on_change, const Authority* authority)
    : config_(config),
      policy_(config.allow_address),
      registry_(registry),
      updates_(limits::updates_burst, limits::update_refill_s, limits::rate_limiter_sources_max),
      on_change_(std::move(on_change)),
      authority_(authority) {
  decoy_hash();  // made now: the first unknown account must not be the slow one
}

Site::Outcome Site::handle(const Request& request, int64_t now_s) {
  const auto target = parse_target(request.target);
  if (!target) return bad_request_page("The request target is neither a path nor an http:// URI.");
  const auto host = host_of(request, *target, config_.hostname);
  if (!host) return bad_request_page(host.error());
  try {
    if (host->is_address || host->name == config_.hostname) return own_page(request, *target, now_s);
    return name_page(request, *target, host->name, now_s);
  } catch (const StoreError& error) {
    spdlog::error("registry: {}", error.what());
    if (is_update_path(target->path)) return plain(200, "911\n");  // "our fault, come back later" (DYN-004)
    return refusal(500, request.target);
  }
}

void Site::settle(const Verification& verification, bool right, int64_t now_s) {
  // Of an account that is not there not even the name: it may be a token in the wrong field.
  const bool is_known = verification.token_hash != decoy_hash();
  if (!right)
    spdlog::warn("wrong token for {} from {}", is_known ? "account " + verification.account : "an unknown account",
                 address_text(verification.source));
  gate_.settle(verification, right, now_s);
}

Site::Outcome Site::own_page(const Request& request, const Target& target, int64_t now_s) {
  if (is_update_path(target.path)) {
    return with_account(
        request, parse_basic(request.authorization), dyndns2_refused,
        [&](UpdateContext& context, const std::string& account) {
          const auto query = parse_query(target.query.value_or(""));
          return query ? dyndns2_update(context, account, request, *query) : plain(200, "badagent\n");
        },
        now_s);
  }
  if (target.path == "/api/v1/openapi.json" && is_read(request)) {
    Reply reply = plain(200, openapi());
    reply.content_type = "application/json";
    return reply;
  }
  if (target.path.starts_with("/api/")) {
    const auto path = parse_api_path(target.path);
    if (!path) return api_error(404, "no_such_resource", "there is /api/v1/names/NAME and …/NAME/services/ID");
    return with_account(
        request, parse_bearer(request.authorization), api_refused,
        [&](UpdateContext& context, const std::string& account) { return api_call(context, account, request, *path); },
        now_s);
  }
  if (!is_read(request)) return read_only();
  if (target.path == "/healthz") return plain(200, "ok\n");
  // What a client behind the translator cannot know by itself: the address it is seen with (DYN-016).
  if (target.path == "/checkip") return plain(200, address_text(request.source) + "\n");
  if (target.path == "/") return welcome_page(config_.hostname);
  return plain(404, "there is /nic/update, /api/v1/names/NAME, /checkip and /healthz\n");
}

Reply Site::name_page(const Request& request, const Target& target, const std::string& name, int64_t now_s) {
  const auto entry = registry_.find(name, now_s);
  if (!entry) return unknown_name_page(name);
  const auto& services = entry->services;
  if (entry->suspended || services.empty()) return nothing_here_page(name, config_.hostname);
  if (services.size() == 1 && is_web(services.front()))
    return redirect_to(services.front(), target, request.method, config_.redirect_code);
  return is_read(request) ? portal_page(name, services) : read_only();
}

Site::Outcome Site::with_account(const Request& request, const std::optional<Credentials>& credentials,
                                 Reply (*refused)(bool), const Serve& serve, int64_t now_s) {
  if (!credentials) return refused(false);
  const auto hash = registry_.token_hash(credentials->account);
  Verification verification{request.source, credentials->account, credentials->token, hash.value_or(decoy_hash())};
  UpdateContext context{config_, policy_, registry_, updates_, on_change_, authority_, now_s};
  switch (gate_.admit(verification, now_s)) {
    case Admission::right:
      return serve(context, credentials->account);
    case Admission::wrong:
      return refused(false);
    case Admission::throttled:
      return refused(true);
    case Admission::unknown:
      break;
  }
  return verification;
}

Reply Site::refusal(unsigned status, std::string_view target) {
  const std::string_view text = status == 413   ? "the body is larger than 16 KiB"
                                : status == 431 ? "the header is larger than 8 KiB"
                                : status == 503 ? "too busy, try again in a second"
                                : status == 500 ? "the registry failed; the operator's log says why"
                                                : "not HTTP as this server understands it";
  const std::string_view code = status == 413   ? "body_too_large"
                                : status == 431 ? "header_too_large"
                                : status == 503 ? "busy"
                                : status == 500 ? "internal"
                                                : "bad_request";
  Reply reply = target.starts_with("/api/") ? api_error(status, code, text) : plain(status, std::string(text) + "\n");
  if (status == 503) reply.headers.emplace_back("Retry-After", "1");
  return reply;
}

}  // namespace portolan::ddnsd
