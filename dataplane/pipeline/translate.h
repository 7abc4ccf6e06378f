// The rewriting of one packet between its inside and its outside endpoint, with incremental checksums from the deltas
// the mapping record carries (RFC 3022 §4.2, RFC 1624). Nothing here looks anything up or decides a fate.
#pragma once

#include "dataplane/nat/mapping.h"
#include "dataplane/pipeline/packet.h"

namespace portolan::pipeline {

// Inside -> outside: source of the packet, or of what an ICMP error answers. `tos`: the byte the packet leaves with.
void rewrite_outbound(Packet& packet, const nat::Mapping& mapping, uint8_t tos);
// Neither: one hop further (RFC 1812 §5.3.1).
void forward(net::Ipv4Header& ip, uint8_t tos);
// Outside -> inside: destination.
void rewrite_inbound(Packet& packet, const nat::Mapping& mapping, bool decrement_ttl, uint8_t tos);
// The reverse of rewrite_inbound for a packet that an error quotes, its transport header perhaps cut short.
void restore_inbound(Packet& packet, const nat::Mapping& mapping);
// A hairpinned packet becomes again what its sender sent: an error about it must quote that (RFC 1812 §4.3.2.3).
void restore_hairpinned(Packet& packet);
void set_identification(net::Ipv4Header& ip, uint16_t identification);

// The inner DSCP and ECN after decapsulation: DSCP of the outer header in the uniform model, of the inner one in the
// pipe model (RFC 2983 §3.1), ECN by RFC 6040 §4.2's table. (Not-ECT, CE) has been dropped before.
uint8_t decapsulated_tos(uint8_t inner_tos, uint8_t outer_class, bool pipe);

// Lowers the MSS option of a SYN to mss_max if it is larger; adds none (RFC 6333 §5.3's remedy). mss_max 0: nothing.
void clamp_mss(net::TcpHeader& tcp, uint16_t mss_max);

}  // namespace portolan::pipeline
