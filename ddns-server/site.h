// Which answer a request gets: by its Host it is for the server itself (update API, health) or for a registered name
// (redirect, portal). Never blocks: where a token has to be verified it hands that work out and is asked again.
// Owned by the HTTP thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "ddns-server/config.h"
#include "ddns-server/gate.h"
#include "ddns-server/message.h"
#include "ddns-server/registry.h"
#include "ddns-server/updates.h"

namespace portolan::ddnsd {

class Site {
  const Config& config_;
  AddressPolicy policy_;
  Registry& registry_;
  Gate gate_;
  RateLimiter updates_;
  std::function<void()> on_change_;
  const Authority* authority_;

 public:
  // With an authority what clients register is what it vouches for.
  Site(const Config& config, Registry& registry, std::function<void()> on_change, const Authority* authority = nullptr);

  // The reply; or a token to verify, after which settle() and the same request again give the reply.
  using Outcome = std::variant<Reply, Verification>;
  Outcome handle(const Request& request, int64_t now_s);
  void settle(const Verification& verification, bool right, int64_t now_s);

  // For what HTTP itself refuses (413, 431, 400, 503), in the form the client understands.
  static Reply refusal(unsigned status, std::string_view target);

 private:
  Outcome own_page(const Request& request, const Target& target, int64_t now_s);
  Reply name_page(const Request& request, const Target& target, const std::string& name, int64_t now_s);
  using Serve = std::function<Reply(UpdateContext& context, const std::string& account)>;
  Outcome with_account(const Request& request, const std::optional<Credentials>& credentials, Reply (*refused)(bool),
                       const Serve& serve, int64_t now_s);
};

}  // namespace portolan::ddnsd
