// Claims: whether an AFTR vouches for what a client registers (RFC 7393 §4).
#include "ddns-server/updates.h"

#include <algorithm>

#include "ddns-server/limits.h"

namespace portolan::ddnsd {

Judged judge(const UpdateContext& context, const std::string& account, const Request& request, Service& service) {
  if (context.authority == nullptr) return {};
  const auto known = context.registry.account(account);
  const std::string subscriber = known ? known->subscriber : "";
  Judged out;
  if (service.outside.port.number == 0) {
    out.claim = context.authority->judge_address(subscriber, request.source, service.outside.address, context.now_s);
  } else {
    auto judgement =
        context.authority->judge(subscriber, request.source, service.protocol, service.outside, context.now_s);
    out.claim = judgement.claim;
    if (out.claim == Claim::theirs) service.inside = std::move(judgement.inside);
  }
  out.is_again = out.claim == Claim::not_mapped && request.tries < limits::claim_tries_max;
  return out;
}

Registry::Put put_judged(UpdateContext& context, const std::string& fqdn, const Service& service) {
  const auto put = context.registry.put(fqdn, service, context.now_s);
  // The AFTR's news go into the mirror first and into the registry then: what was not there for them is seen here.
  if (service.inside && !context.authority->is_mapped(service.protocol, *service.inside, service.outside))
    context.registry.apply({{service.protocol, *service.inside, service.outside, true}}, context.now_s);
  return put;
}

bool is_there(UpdateContext& context, const std::string& fqdn, const Service& service) {
  const auto entry = context.registry.find(fqdn, context.now_s);
  return entry && std::ranges::any_of(entry->services, [&](const Service& each) {
           return each.id == service.id && each.protocol == service.protocol && each.outside == service.outside;
         });
}

}  // namespace portolan::ddnsd
