// A translator neither mends nor spoils a checksum (RFC 1624, RFC 6333 §5.3): how far a packet's is off when it comes
// in, it is off by when it leaves. Reckoned over all octets as RFC 1071 says; nothing of dataplane/net is used. No
// state.
#pragma once

#include <string>

#include "tests/packets/packet_text.h"

namespace portolan::packets {

// What is wrong with the checksums of a frame that left, given the one it came in as; empty if nothing is. Outer
// fragments and packets cut or put together on the way have no counterpart: of those only the IPv4 header is judged.
std::string checksum_fault(const Bytes& in, const Bytes& out);

}  // namespace portolan::packets
