// PCP messages built and taken apart, for server and client alike (RFC 6887 §7, §8, §11, §14). Pure functions of bytes:
// what a message means to whom is decided in server.cc and in the client.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/net/result.h"
#include "dataplane/net/types.h"
#include "pcp-server/message.h"
#include "pcp-server/options.h"
#include "pcp-server/pcp_wire.h"

namespace portolan::pcp {

// --- client side ---

// A MAP request as a client words it (§11.2), or with `remote` a PEER (§12.2). lifetime_s 0 asks for deletion (§15.1).
struct MapRequest {
  Nonce nonce{};
  net::Protocol protocol{};
  net::Port internal_port;
  net::Port suggested_port;                // 0: any
  net::Ipv6 suggested_address = any_ipv4;  // any_ipv4: any
  uint32_t lifetime_s = 0;
  std::optional<net::Ipv6> third_party;      // the inside host, if it is not the client (§13.1); IPv4 as mapped
  bool prefer_failure = false;               // the suggestion or nothing (§13.2)
  std::vector<FilterBody> filters{};         // §13.3
  std::optional<std::string> description{};  // RFC 7220
  std::optional<std::vector<uint8_t>> subscriber_id{};  // RFC 7843
  std::optional<PortSetBody> port_set{};                // RFC 7753
  std::optional<net::Endpoint> remote{};
};

// `client` is the source address the packet will leave with (§8.1); IPv4 as mapped.
Message build_map_request(const net::Ipv6& client, const MapRequest& request);
Message build_announce_request(const net::Ipv6& client);

// The opcode part of a MAP response (§11.1), with the options that identify it.
struct MapResponse {
  Nonce nonce{};
  net::Protocol protocol{};
  net::Port internal_port, assigned_port;
  net::Ipv6 assigned_address;
  std::optional<net::Ipv6> third_party{};
  std::optional<PortSetBody> port_set{};
  std::optional<net::Endpoint> remote{};  // of a PEER
  friend bool operator==(const MapResponse&, const MapResponse&) = default;
};

// Any response. With unsupp_version only `version` (the server's best) and, from 12 octets on, lifetime and epoch are
// meaningful (§9): version 0 is a NAT-PMP server's answer.
struct Response {
  uint8_t version = 0;
  Opcode opcode{};
  Code code{};
  uint32_t lifetime_s = 0;  // of the mapping, or how long the error lasts
  uint32_t epoch_s = 0;
  std::optional<MapResponse> map;  // present if and only if opcode is map or peer and code is not unsupp_version
};

// Why a datagram is no response and is ignored (§8.3).
enum class Ignored : uint8_t { too_short, not_a_response, bad_size, wrong_version, unknown_opcode, malformed_option };
std::string_view to_text(Ignored reason);

// The checks of §8.3 that need no knowledge of what was asked; the source address and port are the caller's to check.
// Options not understood are skipped, even those below 128 (§7.3).
net::Result<Response, Ignored> parse_response(std::span<const uint8_t> message);

// True if `response` belongs to `request`: same nonce, protocol, internal port and internal address (§11.4), and, where
// PREFER_FAILURE was asked, a success grants exactly the suggestion (§13.2).
bool answers(const Response& response, const MapRequest& request);

// --- server side ---

// A request of the right size; `options` points into the datagram.
struct Request {
  Opcode opcode{};
  uint32_t lifetime_s = 0;
  net::Ipv6 client{};
  MapBody map{};                       // opcodes map and peer
  net::Port remote_port{};             // opcode peer
  net::Ipv6 remote_address{};          // the same
  std::span<const uint8_t> options{};  // what follows the opcode part; empty for opcodes without one known here
};

enum class Malformed : uint8_t { too_long, not_a_multiple_of_4, too_short_for_opcode };

// Judges size and shape (§8.2). R bit, version and fewer than 24 octets are the caller's to judge before: they are not
// answered as malformed requests.
net::Result<Request, Malformed> parse_request(std::span<const uint8_t> message);

// The answer to a MAP: `map` is the request's with the external fields assigned, `options` the processed ones (§11.1).
Message build_map_response(const MapBody& map, const Options& options, uint32_t lifetime_s, uint32_t epoch_s);
Message build_peer_response(const PeerBody& peer, const Options& options, uint32_t lifetime_s, uint32_t epoch_s);
Message build_announce_response(uint32_t epoch_s);  // solicited or not (§14.1)

// What an error response says beyond the request it copies.
struct Refusal {
  Code code{};
  uint32_t lifetime_s = 0;
  bool parsed = false;  // octets 12 to 23 are zero; otherwise they stay the request's (§7.2)
};
// The request's copy, cut at 1100 octets and padded to 4 (§8.2); a request of 2 octets or more is needed.
Message build_error_response(std::span<const uint8_t> request, const Refusal& refusal, uint32_t epoch_s);

// Any response made before, NAT-PMP's too, as of now.
void set_epoch(Message& response, uint32_t epoch_s);

}  // namespace portolan::pcp
