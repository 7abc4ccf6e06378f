// IPv6 around an IPv4 packet (RFC 6333 §6.2, RFC 2473), and its fragmentation after encapsulation (RFC 6333 §6.3).
#pragma once

#include "dataplane/nat/mapping.h"
#include "dataplane/pipeline/packet.h"
#include "dataplane/pipeline/snapshot.h"

namespace portolan::pipeline {

// packet.data is the IPv4 header; afterwards the IPv6 header, from `local` to `b4`.
void encapsulate(Packet& packet, const Snapshot::Softwire& config, const net::Ipv6& local, const net::Ipv6& b4);

// Cuts the IPv6 packet at packet.data into fragments of at most mtu_bytes: `packet` becomes the first, the others are
// added to the burst. False, and nothing added, if there were not buffers enough.
bool fragment(Packet& packet, Burst& burst, Buffers& buffers, uint16_t mtu_bytes, uint32_t identification);

}  // namespace portolan::pipeline
