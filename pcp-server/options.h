// PCP options (RFC 6887 §7.3, §13; RFC 7220, 7753, 7843): what this server processes, and the walk that server and
// client share. Pure, so an error can leave no state behind.
//
// PREFIX64 (RFC 7225) is for translators between IPv4 and IPv6 and is left out of every answer, as §4.2 there says of
// one that has no prefix. Options of RFC 7652 are refused as unsupported.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/net/reader.h"
#include "dataplane/net/result.h"
#include "dataplane/net/types.h"
#include "pcp-server/message.h"
#include "pcp-server/pcp_wire.h"

namespace portolan::pcp {

struct Options {
  std::optional<net::Ipv6> third_party;                 // the inside host the request is for (§13.1)
  bool prefer_failure = false;                          // the suggestion or nothing (§13.2)
  std::vector<FilterBody> filters{};                    // in their order; prefix length 0 removes all before (§13.3)
  std::optional<std::string> description{};             // UTF-8; empty: no description any more (RFC 7220)
  std::optional<std::vector<uint8_t>> subscriber_id{};  // THIRD_PARTY_ID (RFC 7843)
  std::optional<PortSetBody> port_set{};                // (RFC 7753)
  friend bool operator==(const Options&, const Options&) = default;
};

struct Option {
  uint8_t code;
  net::Reader body;
};

// The next option, its padding consumed; `in` fails if it runs past the end.
Option take_option(net::Reader& in);

// True if every option lies within the message.
bool well_formed(net::Reader in);

// Judges structure first, then each option in order of appearance; the first fault found is the answer (§7.3), so one
// unsupported and one malformed option give the code of whichever comes first.
net::Result<Options, Code> parse_options(net::Reader in, Opcode opcode);

void append_options(Message& message, const Options& options);

// The text's longest beginning of at most `bytes_max` octets that ends between characters (RFC 7220 §3).
std::string cut_utf8(std::string_view text, size_t bytes_max);

}  // namespace portolan::pcp
