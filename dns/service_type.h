// Names of services in the DNS: what stands in _http._tcp, without the underscore.
#pragma once

#include <string_view>

namespace portolan::dns {

// A service name of RFC 6335 §5.1, in small letters: 1 to 15 letters, digits and single hyphens inside, one letter at
// least.
bool is_service_type(std::string_view text);
inline constexpr std::string_view service_type_rule =
    "a service name like ipp, without underscore: 1 to 15 of a-z, 0-9 and single '-' inside, with a letter";

}  // namespace portolan::dns
