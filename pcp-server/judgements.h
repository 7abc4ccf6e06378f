// Small judgements that the server's parts share. Pure.
#pragma once

#include <algorithm>
#include <cstdint>

#include "pcp-server/codec.h"
#include "pcp-server/commands.h"

namespace portolan::pcp {

constexpr Refusal refusal_of(Code code, bool parsed = true) { return {code, error_lifetime_s(code), parsed}; }

constexpr bool is_mappable(net::Protocol protocol) {
  return protocol == net::Protocol::tcp || protocol == net::Protocol::udp;
}

// What is left of a record that has not expired: 1 s at least.
constexpr uint32_t remaining_s(uint64_t expires_s, uint64_t now_s) {
  return static_cast<uint32_t>(std::clamp<uint64_t>(expires_s - std::min(expires_s, now_s), 1, lifetime_forever_s));
}

constexpr Code code_of(CommandResult::Status status, bool exact) {
  switch (status) {
    case CommandResult::Status::done:
    case CommandResult::Status::fixed:
      return Code::success;
    case CommandResult::Status::no_address:
      return Code::network_failure;
    case CommandResult::Status::over_quota:
      return Code::user_ex_quota;
    // A suggestion alone never makes a request fail, and 11 is for PREFER_FAILURE and PEER only (§7.4).
    case CommandResult::Status::not_available:
      return exact ? Code::cannot_provide_external : Code::no_resources;
    case CommandResult::Status::no_resources:
    case CommandResult::Status::implicit:
    case CommandResult::Status::unknown:
      return Code::no_resources;
  }
  return Code::no_resources;
}

}  // namespace portolan::pcp
