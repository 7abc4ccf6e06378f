// ICMPv6 errors about tunnel packets of ours (RFC 2473 §8): found among what comes to a softwire address, read, and
// checked as far as their octets go. Whether the packet they quote was ever sent, only its mapping's owner knows
// (Worker::take_tunnel_error).
#pragma once

#include "dataplane/pipeline/packet.h"
#include "dataplane/pipeline/snapshot.h"

namespace portolan::pipeline {

// An ICMPv6 message `offset` octets into the IPv6 packet. False: no error about a tunnel packet. Else its fate is
// decided, or `tunnel_error` is set; then b4, ip, transport, protocol and port are the quoted packet's, and code and
// mtu are what an ICMPv4 error to its sender would say of it, were there no tunnel.
bool parse_tunnel_error(Packet& packet, const Snapshot& config, unsigned worker, uint32_t offset);

}  // namespace portolan::pipeline
