// Static mappings as the configuration says them: for the checks, the shards and a reload. Pure.
#pragma once

#include <functional>
#include <string>

#include "controlplane/config.h"
#include "dataplane/nat/static_mapping.h"

namespace portolan::control {

// Whose one it is: his masked prefix, as shards know him.
net::Ipv6 subscriber_of(const Config& config, const StaticMapping& row);
nat::StaticMappings static_mappings_of(const Config& config);

// Tells of each one that cannot be: its place in nat.static-mapping, and what is wrong with the way out. `line_of` is
// where another one stands in the file. The keys they depend on must have been read without error.
void check_statics(const Config& config, const std::function<uint32_t(size_t at)>& line_of,
                   const std::function<void(size_t at, std::string text)>& report);

}  // namespace portolan::control
