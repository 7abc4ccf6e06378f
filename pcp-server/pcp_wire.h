// RFC 6887's figures as structs the compiler checks, and its numbers as names; offsets appear nowhere else. The result
// and option codes of RFC 7652, 7753, 7220, 7225 and 7843 are named so that logs and clients can print what they meet.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "dataplane/net/types.h"

namespace portolan::pcp {

inline constexpr uint8_t version = 2;                         // §7
inline constexpr size_t message_bytes_max = 1100;             // §7
inline constexpr size_t unit_bytes = 4;                       // §7: every message is a multiple of it
inline constexpr uint8_t response_bit = 0x80;                 // §7.1: R, in the octet it shares with the opcode
inline constexpr net::Port server_port{uint16_t{5351}};       // §19.1
inline constexpr net::Port client_port{uint16_t{5350}};       // §19.1: where multicast ANNOUNCE is heard
inline constexpr uint32_t lifetime_forever_s = ~uint32_t{0};  // §11.3: static mappings

enum class Opcode : uint8_t { announce = 0, map = 1, peer = 2, authentication = 3 };  // §19.2, RFC 7652

// X(name, number, what it tells an operator), §7.4 and the extensions' registries.
#define PORTOLAN_PCP_CODES(X)                                                                  \
  X(success, 0, "done")                                                                        \
  X(unsupp_version, 1, "version is not 2")                                                     \
  X(not_authorized, 2, "refused by policy, or the mapping has another nonce")                  \
  X(malformed_request, 3, "the request could not be parsed")                                   \
  X(unsupp_opcode, 4, "opcode not implemented or disabled")                                    \
  X(unsupp_option, 5, "a mandatory option is not implemented, disabled or not permitted")      \
  X(malformed_option, 6, "an option could not be parsed or makes no sense")                    \
  X(network_failure, 7, "no outside address at present")                                       \
  X(no_resources, 8, "the server or its pool is full")                                         \
  X(unsupp_protocol, 9, "transport protocol, or all ports, not supported")                     \
  X(user_ex_quota, 10, "the subscriber holds all he may")                                      \
  X(cannot_provide_external, 11, "the outside endpoint asked for is not available")            \
  X(address_mismatch, 12, "the source is not the client named: a NAT lies between")            \
  X(excessive_remote_peers, 13, "more filters than the server holds")                          \
  X(initiation, 14, "authentication: begin (RFC 7652)")                                        \
  X(authentication_required, 15, "authentication: required (RFC 7652)")                        \
  X(authentication_failed, 16, "authentication: failed (RFC 7652)")                            \
  X(authentication_succeeded, 17, "authentication: succeeded (RFC 7652)")                      \
  X(authorization_failed, 18, "authentication: known, not permitted (RFC 7652)")               \
  X(session_terminated, 19, "authentication: session ended (RFC 7652)")                        \
  X(unknown_session_id, 20, "authentication: no such session (RFC 7652)")                      \
  X(downgrade_attack_detected, 21, "authentication: algorithms were tampered with (RFC 7652)") \
  X(authentication_request, 22, "authentication: request of the server (RFC 7652)")            \
  X(authentication_reply, 23, "authentication: reply of the client (RFC 7652)")                \
  X(third_party_id_unknown, 24, "THIRD_PARTY_ID names nobody (RFC 7843)")                      \
  X(third_party_missing_option, 25, "THIRD_PARTY_ID without THIRD_PARTY (RFC 7843)")           \
  X(unsupp_third_party_id_length, 26, "THIRD_PARTY_ID has a length not supported (RFC 7843)")

#define X(name, number, help) name = number,
enum class Code : uint8_t { PORTOLAN_PCP_CODES(X) };
#undef X
struct CodeText {
  std::string_view name, help;
};
#define X(name, number, help) CodeText{#name, help},
inline constexpr auto code_texts = std::to_array<CodeText>({PORTOLAN_PCP_CODES(X)});
#undef X
static_assert(code_texts.size() == 27 && static_cast<size_t>(Code::unsupp_third_party_id_length) == 26);

constexpr std::string_view to_text(Code code) {
  const auto number = static_cast<size_t>(code);
  return number < code_texts.size() ? code_texts[number].name : "unknown";
}

enum class OptionCode : uint8_t {  // below 128: mandatory to process (§7.3)
  third_party = 1,
  prefer_failure = 2,
  filter = 3,
  nonce = 4,  // 4..12: RFC 7652
  authentication_tag = 5,
  pa_authentication_tag = 6,
  eap_payload = 7,
  prf = 8,
  mac_algorithm = 9,
  session_lifetime = 10,
  received_pak = 11,
  id_indicator = 12,
  third_party_id = 13,  // RFC 7843
  description = 128,    // RFC 7220
  prefix64 = 129,       // RFC 7225
  port_set = 130,       // RFC 7753
};
inline constexpr uint8_t option_optional_bit = 0x80;
inline constexpr size_t option_bytes_max = 1016;  // RFC 7220 §3, RFC 7843 §4
inline constexpr uint8_t ipv4_prefix_bits = 96;   // §13.3: before an IPv4 prefix's own length

using Nonce = std::array<uint8_t, 12>;

struct RequestHeader {  // §7.1
  uint8_t version, r_opcode;
  net::be16 reserved;
  net::be32 lifetime_s;
  net::Ipv6 client;
};
static_assert(sizeof(RequestHeader) == 24 && offsetof(RequestHeader, client) == 8 && alignof(RequestHeader) == 1);

struct ResponseHeader {  // §7.2
  uint8_t version, r_opcode, reserved, code;
  net::be32 lifetime_s, epoch_s;
  std::array<uint8_t, 12> unparsed;  // zero, or these octets of a request that could not be parsed
};
static_assert(sizeof(ResponseHeader) == 24 && offsetof(ResponseHeader, unparsed) == 12);
static_assert(alignof(ResponseHeader) == 1);

struct MapBody {  // §11.1; `external` is suggested in a request, assigned in a response
  Nonce nonce;
  uint8_t protocol;
  std::array<uint8_t, 3> reserved;
  net::Port internal_port, external_port;
  net::Ipv6 external_address;
};
static_assert(sizeof(MapBody) == 36 && offsetof(MapBody, internal_port) == 16 && alignof(MapBody) == 1);

struct PeerBody {  // §12.1
  MapBody map;
  net::Port remote_port;
  net::be16 reserved;
  net::Ipv6 remote_address;
};
static_assert(sizeof(PeerBody) == 56 && alignof(PeerBody) == 1);

struct FilterBody {  // §13.3
  uint8_t reserved, prefix_length;
  net::Port remote_port;  // 0: all
  net::Ipv6 remote_address;
  friend bool operator==(const FilterBody&, const FilterBody&) = default;
};
static_assert(sizeof(FilterBody) == 20 && alignof(FilterBody) == 1);

struct PortSetBody {  // RFC 7753 §4.1
  net::be16 size;
  net::Port first_internal;
  uint8_t reserved_parity;  // lowest bit: P
  friend bool operator==(const PortSetBody&, const PortSetBody&) = default;
};
static_assert(sizeof(PortSetBody) == 5 && alignof(PortSetBody) == 1);

struct OptionHeader {  // §7.3; `bytes` does not count the padding to 4
  uint8_t code, reserved;
  net::be16 bytes;
};
static_assert(sizeof(OptionHeader) == 4 && alignof(OptionHeader) == 1);

inline constexpr size_t map_bytes = sizeof(RequestHeader) + sizeof(MapBody);
inline constexpr size_t peer_bytes = sizeof(RequestHeader) + sizeof(PeerBody);
static_assert(map_bytes == 60 && peer_bytes == 80);

constexpr size_t padded(size_t bytes) { return (bytes + unit_bytes - 1) / unit_bytes * unit_bytes; }

inline constexpr net::Ipv6 any_ipv4 = net::mapped(net::Ipv4{});  // §5: "no preference" where IPv4 is wanted
inline constexpr net::Ipv6 any_ipv6{};                           // §5: the same for IPv6

// §7.4: how long a client shall not repeat a request that failed so.
inline constexpr uint32_t error_lifetime_long_s = 1800, error_lifetime_short_s = 30;
constexpr uint32_t error_lifetime_s(Code code) {
  const bool transient = code == Code::network_failure || code == Code::no_resources || code == Code::user_ex_quota;
  return transient ? error_lifetime_short_s : error_lifetime_long_s;
}

}  // namespace portolan::pcp
