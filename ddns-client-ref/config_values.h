// One value of the configuration from its text; the error says what was expected.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "dataplane/net/result.h"
#include "dataplane/net/types.h"
#include "ddns-client-ref/boot_time.h"

namespace portolan::ddns {

template <class T>
using Value = net::Result<T, std::string>;

Value<uint32_t> number_value(std::string_view text, uint32_t min, uint32_t max);
Value<bool> switch_value(std::string_view text);                                    // on, off
Value<Duration> duration_value(std::string_view text, Duration min, Duration max);  // 300, 300s, 5m, 1h, 1d
Value<net::Ipv6> address_value(std::string_view text);                              // either family
Value<std::string> name_value(std::string_view text);                     // two labels or more; Unicode becomes ASCII
Value<std::string> plain_value(std::string_view text, size_t bytes_max);  // no control characters

bool is_service_id(std::string_view text);  // letters, digits, hyphens; at most 63

}  // namespace portolan::ddns
