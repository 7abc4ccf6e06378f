// Cutting an IPv4 packet that the way out does not take whole (RFC 791 §3.2, RFC 4787 REQ-13). Stateless.
#pragma once

#include "dataplane/pipeline/packet.h"

namespace portolan::pipeline {

// Cuts the IPv4 packet at packet.data, itself perhaps a fragment, into fragments of at most mtu_bytes: `packet` becomes
// the first, the others are added to the burst, their IPv4 header at data. False, and nothing to send added, if there
// were not buffers enough.
bool fragment_ipv4(Packet& packet, Burst& burst, Buffers& buffers, uint16_t mtu_bytes);

}  // namespace portolan::pipeline
