// Ethernet, in and out: which side of the device a frame belongs to, and the header of one that leaves. VLAN tags (IEEE
// 802.1Q, one a frame) are taken off and put on here and nowhere else: no other stage sees one.
#pragma once

#include "dataplane/pipeline/packet.h"
#include "dataplane/pipeline/snapshot.h"

namespace portolan::pipeline {

// A frame from a device, context.side any side of it. Sets the side, leaves an untagged Ethernet header at packet.data;
// or drops it.
void enter(Packet& packet, const Snapshot& config);

// Puts the Ethernet header before packet.data and decides that it is sent, or dropped while the gateway is unresolved.
void send_to(Side side, Packet& packet, const Snapshot& config, const Gateways& gateways);

}  // namespace portolan::pipeline
