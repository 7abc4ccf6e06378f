// NAT-PMP messages built and taken apart, for server and client alike (RFC 6886 §3.2 to §3.5). Pure functions of bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "dataplane/net/result.h"
#include "dataplane/net/types.h"
#include "pcp-server/message.h"
#include "pcp-server/natpmp_wire.h"

namespace portolan::pcp::natpmp {

// --- client side ---

Message build_address_request();  // §3.2
// lifetime_s 0 asks for deletion, and then no port may be suggested (§3.4). An inside port of 0 would delete all.
Message build_map_request(net::Protocol protocol, net::Port internal, net::Port suggested, uint32_t lifetime_s);

// Any response. With unsupported_version only `version`, the gateway's best, and `epoch_s` mean something.
struct Response {
  uint8_t version = 0, opcode = 0;  // without response_bit
  Result result{};
  std::optional<uint32_t> epoch_s{};
  net::Ipv4 address{};                  // opcode address, success
  std::optional<net::Port> internal{};  // of a mapping; an error may be too short to name it
  net::Port external{};                 // opcodes map_*, success
  uint32_t lifetime_s = 0;              // the same
};

enum class Ignored : uint8_t { too_short, not_a_response, wrong_version, unknown_opcode };  // why it is no response

// The source is the caller's to check (§3.2). A refusal of the version is one from 4 octets on, whatever its opcode:
// §3.5 draws it with 0, others set response_bit, and a PCP server's is PCP's header (RFC 6887 appendix A).
net::Result<Response, Ignored> parse_response(std::span<const uint8_t> message);

// --- server side ---

// To opcode 0, asked for or not; none: there is no outside address at present.
Message build_address_response(std::optional<net::Ipv4> outside, uint32_t epoch_s);

}  // namespace portolan::pcp::natpmp
