// Why a packet was dropped. One enumerator = one counter = one help text, so a new reason cannot lack any of them.
// A packet that is not in this list was sent, punted to the control thread or handed to its owner.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace portolan::nat {

#define PORTOLAN_VERDICTS(X)                                                                                           \
  X(not_ours, "frame or packet addressed to none of our addresses")                                                    \
  X(vlan_refused, "frame with a VLAN tag, or without one, that no side of its device has")                             \
  X(unknown_ethertype, "neither ARP, IPv4 nor IPv6")                                                                   \
  X(malformed_ipv6, "IPv6 header wrong or longer than the frame")                                                      \
  X(extension_header_refused, "IPv6 extension header chain broken, too long or not to be passed")                      \
  X(not_a_softwire, "IPv6 packet to a softwire address that carries no IPv4 and is not for the host")                  \
  X(malformed_ipv4, "IPv4 header wrong, or its length disagrees with what carries it")                                 \
  X(bad_ipv4_checksum, "IPv4 header checksum wrong")                                                                   \
  X(malformed_transport, "TCP, UDP or ICMP header cut short")                                                          \
  X(congestion_mark_refused, "outer CE on an inner packet that cannot carry it (RFC 6040 4.2)")                        \
  X(outer_source_refused, "B4 address not a host or outside allowed-prefix")                                           \
  X(ipv4_source_refused,                                                                                               \
    "IPv4 source that may not come from that side: inside neither private nor 192.0.0.2-7 (RFC 6333 11), outside no "  \
    "host or one of ours")                                                                                             \
  X(destination_refused, "IPv4 destination that is never forwarded (multicast, this network, loopback)")               \
  X(fragment_unsupported, "fragment for the router itself, or ICMP error about a later fragment")                      \
  X(fragment_table_full, "fragment, of more datagrams or pieces than there is room for")                               \
  X(fragment_share_spent, "fragment of a sender whose share of the room is used up")                                   \
  X(fragment_overlap, "fragment that overlaps another one; of IPv6 all of the datagram")                               \
  X(fragment_duplicate, "fragment that was there already")                                                             \
  X(fragment_timeout, "fragment that waited in vain for the others (60 s) or for the first (2 s)")                     \
  X(fragment_unmatched, "outbound fragment whose datagram's first was not translated")                                 \
  X(reassembled_too_long, "fragments of an IPv6 packet longer than a buffer")                                          \
  X(protocol_unsupported, "transport protocol other than TCP, UDP and ICMP")                                           \
  X(icmp_unsupported, "ICMP type that is neither echo nor an error about a live mapping")                              \
  X(source_route_refused, "outbound ICMP with a source route, its own or quoted: it would show inside addresses")      \
  X(bad_icmp_checksum, "ICMP error with a wrong checksum")                                                             \
  X(no_mapping, "inbound, no mapping")                                                                                 \
  X(syn_held, "TCP SYN for nobody, answered in six seconds unless the inside opens the same connection")               \
  X(not_a_syn, "outbound TCP segment without a mapping that opens none (RFC 7857 2)")                                  \
  X(budget_spent, "new mapping refused: the burst had opened its share already")                                       \
  X(subscribers_full, "new mapping refused: no room for another subscriber")                                           \
  X(table_full, "new mapping refused: the mapping table is full")                                                      \
  X(pool_exhausted, "new mapping refused: no free port block")                                                         \
  X(boot_hold, "new mapping refused: the machine is not up for pool.hold-after-boot yet")                              \
  X(record_refused, "new mapping refused: the record of its port block could not be kept (log.events-required)")       \
  X(over_quota, "new mapping refused: the subscriber's port blocks are all used")                                      \
  X(mapping_limit, "new mapping refused: the subscriber has nat.max-mappings-per-subscriber")                          \
  X(mapping_rate, "new mapping refused: the subscriber opened nat.new-mappings-per-second already")                    \
  X(session_limit, "remote refused: the subscriber or the mapping has as many sessions as it may")                     \
  X(inbound_session_limit, "inbound from a new remote, refused: nat.max-inbound-sessions-per-subscriber")              \
  X(session_table_full, "remote refused: the session table is full")                                                   \
  X(filtered, "inbound from a remote the mapping lets nothing in from (nat.filtering)")                                \
  X(b4_change_refused, "from another B4 of the subscriber sooner than softwire.b4-change-interval (RFC 7785 5)")       \
  X(too_big, "hairpinned with DF above the softwire's MTU, and not to be answered: an ICMP error")                     \
  X(path_mtu_learned, "ICMPv6 Packet Too Big about a tunnel packet: taken in, and nobody else to tell")                \
  X(path_mtu_full, "ICMPv6 Packet Too Big about a tunnel packet: no room for the path MTU of another B4")              \
  X(tunnel_error_ignored, "ICMPv6 error about a tunnel packet: wrong, about none that was sent, or nothing to act on") \
  X(neighbor_unresolved, "the gateway's link-layer address is not known")                                              \
  X(no_buffer, "no packet buffer for a fragment")                                                                      \
  X(punt_full, "for the control thread, whose ring was full")                                                          \
  X(handover_full, "for another worker, whose ring was full")                                                          \
  X(transmit_full, "the device's transmit queue was full")                                                             \
  X(router_declined, "for the control thread, which had nothing to answer")

enum class Verdict : uint8_t {
#define X(name, help) name,
  PORTOLAN_VERDICTS(X)
#undef X
};

struct VerdictText {
  std::string_view name, help;
};
inline constexpr VerdictText verdict_texts[] = {
#define X(name, help) {#name, help},
    PORTOLAN_VERDICTS(X)
#undef X
};
inline constexpr size_t verdict_count = std::size(verdict_texts);

}  // namespace portolan::nat
