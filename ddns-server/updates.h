// What both update protocols share, so that neither can forget a check: the parts they act on, and the reading of an
// address and a lifetime. The protocols themselves are dyndns2.cc and api.cc; authentication is over when they start.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ddns-server/authority.h"
#include "ddns-server/config.h"
#include "ddns-server/gate.h"
#include "ddns-server/message.h"
#include "ddns-server/registry.h"
#include "ddns-server/service.h"
#include "ddns-server/uri.h"

namespace portolan::ddnsd {

struct UpdateContext {
  const Config& config;
  const AddressPolicy& policy;
  Registry& registry;
  RateLimiter& updates;                    // by account
  const std::function<void()>& on_change;  // the publisher's bell
  const Authority* authority = nullptr;    // none: a client is believed
  int64_t now_s = 0;
};

// What the AFTR says of a service about to be registered; `theirs` notes the mapping in it, so that it follows. A
// mapping made a moment ago may not have been told yet: `is_again` asks for another look soon, a few times.
struct Judged {
  Claim claim = Claim::theirs;
  bool is_again = false;
};
Judged judge(const UpdateContext& context, const std::string& account, const Request& request, Service& service);
// Puts it, and takes it back if its mapping has ended at that very moment.
Registry::Put put_judged(UpdateContext& context, const std::string& fqdn, const Service& service);
// Whether it is there already, just so: what was granted stays while the AFTR cannot be asked.
bool is_there(UpdateContext& context, const std::string& fqdn, const Service& service);

// DYN-002 … DYN-007. Without `account` the answer is badauth.
Reply dyndns2_refused(bool throttled);
Reply dyndns2_update(UpdateContext& context, const std::string& account, const Request& request, const Query& query);

struct ApiPath {
  std::string fqdn;
  std::optional<std::string> service_id;
};
// "/api/v1/names/{fqdn}" or "…/services/{id}", segments decoded and lower-cased.
std::optional<ApiPath> parse_api_path(std::string_view path);
Reply api_error(unsigned status, std::string_view code, std::string_view message);
Reply api_refused(bool throttled);
Reply api_call(UpdateContext& context, const std::string& account, const Request& request, const ApiPath& path);

}  // namespace portolan::ddnsd
