// PCP options (RFC 6887 §7.3, §13): what this server processes, and the walk that server and client share. Pure, so an
// error can leave no state behind.
//
// Processed: THIRD_PARTY, PREFER_FAILURE. FILTER is refused as unsupported because nothing in the data plane enforces
// it yet: a SUCCESS would promise a protection that is not there (§13.3).
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/net/reader.h"
#include "dataplane/net/result.h"
#include "dataplane/net/types.h"
#include "pcp-server/message.h"
#include "pcp-server/pcp_wire.h"

namespace portolan::pcp {

struct Options {
  std::optional<net::Ipv6> third_party;  // the inside host the request is for (§13.1)
  bool prefer_failure = false;           // the suggestion or nothing (§13.2)
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

}  // namespace portolan::pcp
