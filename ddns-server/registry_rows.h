// How services lie in the registry's tables: what its two source files share.
#pragma once

#include <cstdint>
#include <string_view>

#include "ddns-server/service.h"
#include "ddns-server/sqlite.h"

namespace portolan::ddnsd {

inline constexpr std::string_view service_columns =
    "s.id, s.protocol, s.address, s.port, s.scheme, s.path, s.title, s.expires_at, s.updated_at, s.subscriber, "
    "s.inside_address, s.inside_port, s.by_operator, s.type";
inline constexpr int service_column_count = 14;

Service read_service(const Statement& row);  // of service_columns
void write_service(Database& database, std::string_view fqdn, const Service& service);

inline int64_t number_of(net::Ipv4 address) { return int64_t{uint32_t{address.bits}}; }
inline int64_t number_of(net::Port port) { return int64_t{uint16_t{port.number}}; }

}  // namespace portolan::ddnsd
