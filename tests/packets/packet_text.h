// Packets as the scripts write them, turned into octets field by field from the RFCs: nothing of the pipeline is used,
// so a fault there cannot hide here. Stateless; the variables belong to the script that runs.
//
//   packet = [to MAC] [vlan CONTROL] (frame HEX… | [OUTER /] IPV4 | TUNNEL_ERROR)
//   OUTER  = IPV6 > IPV6 [tc N] [hl N] [dstopt] [limit N] [nh N] [ext HEX] [len N] [tail N]
//            [frag FIRST-END ID [after HEX]] / (IPV4 | raw HEX…)
//   IPV4   = A[:PORT] > A[:PORT] (udp N | tcp FLAGS N | icmp echo|reply ID SEQ N | icmp TYPE CODE [N] | proto P N)
//            [ttl N] [tos N] [df] [id N] [frag N|N+|FIRST-END] [opts HEX] [ver N] [ihl N] [len N] [badip] [pad N]
//            [nocsum] [badcsum] [udplen N] [mss N] [oddmss N] [tcpoff N] [mtu N] [quote N] [extended] [about IPV4]
//            [seq N] [urg N] [tcpopts HEX] [data HEX]
//   TUNNEL_ERROR = IPV6 > IPV6 icmp6 TYPE CODE N [quote N] [badcsum] about OUTER / IPV4
// ext: headers before that of a fragment; after: destination options behind it, in the part that is cut.
// frag FIRST-END: those octets of what the packet would be whole. What leaves from an outside address (on the internet
// side, or hairpinned from $a) without DF has a new identification: any, unless one is given.
// N octets of payload are numbered, so that a moved one shows. A word may be $name: on the way in it must be known, on
// the way out an unknown one is bound to what the packet has there.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "dataplane/pipeline/packet.h"

namespace portolan::packets {

using Bytes = std::vector<uint8_t>;
using Words = std::vector<std::string>;
using Variables = std::map<std::string, uint32_t>;

// By Side.
inline constexpr net::Mac our_macs[] = {{{2, 0, 0, 0, 0, 0xa}}, {{2, 0, 0, 0, 0, 0xb}}, {{2, 0, 0, 0, 0, 0xc}}};
inline constexpr net::Mac gateway_macs[] = {
    {{2, 0, 0, 0, 0xff, 0xa}}, {{2, 0, 0, 0, 0xff, 0xb}}, {{2, 0, 0, 0, 0xff, 0xc}}};

// The frame that comes in on `side`. Throws std::runtime_error on what it does not understand.
Bytes incoming(const Words& words, pipeline::Side side, Variables& variables);
// The frame that should have left on `side`, to be compared with `actual`.
Bytes outgoing(const Words& words, pipeline::Side side, Variables& variables, const Bytes& actual);

// An IPv4 packet as its sender sent it and an error quotes it.
Bytes quoted(const Words& words, Variables& variables);

uint32_t number(const std::string& word);  // decimal or 0x…
Words split(const std::string& line);
std::string hex(const Bytes& bytes);

}  // namespace portolan::packets
