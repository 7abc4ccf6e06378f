// Deterministic allocation as the configuration says it: for the checks, the pool and the commands. Pure.
#pragma once

#include <optional>
#include <string>

#include "controlplane/config.h"
#include "dataplane/nat/deterministic.h"
#include "dataplane/net/result.h"

namespace portolan::control {

// None if pool.deterministic-for is empty. Errors: what of it cannot be, and the way out.
net::Result<std::optional<nat::Deterministic>, std::string> deterministic_of(const Config& config);

// The record RFC 7422 §3 asks for: inside prefix and its length, outside prefixes, dynamic factor, ports of a
// subscriber, algorithm, reserved ports.
std::string record_of(const nat::Deterministic& deterministic, const std::string& reserved_ports);

}  // namespace portolan::control
