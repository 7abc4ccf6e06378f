// What a visitor of a registered name sees: the redirect (RFC 7393 §3.2), the portal (§3.3, figure 5), and pages that
// say what is wrong and what to do. HTML without scripts, under a policy that would not run any.
#pragma once

#include <string_view>
#include <vector>

#include "ddns-server/message.h"
#include "ddns-server/service.h"
#include "ddns-server/uri.h"

namespace portolan::ddnsd {

Reply redirect_to(const Service& service, const Target& target, std::string_view method, unsigned redirect_code);
Reply portal_page(std::string_view fqdn, const std::vector<Service>& services);
Reply nothing_here_page(std::string_view fqdn, std::string_view hostname);  // registered, no service
Reply unknown_name_page(std::string_view name);
Reply welcome_page(std::string_view hostname);
Reply bad_request_page(std::string_view what);
Reply plain(unsigned status, std::string_view text);

std::string_view openapi();  // the JSON API's description

}  // namespace portolan::ddnsd
