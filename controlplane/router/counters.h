// What the router counts. Every frame it was handed has exactly one outcome, so that
//   frames handled = Σ outcomes
// and everything it does of its own accord is an event. One enumerator = one counter = one help text.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/nat/counter.h"

namespace portolan::control {

#define PORTOLAN_ROUTER_OUTCOMES(X)                                                                               \
  X(arp_answered, "ARP requests for our addresses answered")                                                      \
  X(solicitation_answered, "neighbour solicitations for our addresses answered")                                  \
  X(neighbor_heard, "ARP and neighbour advertisements from a gateway taken in")                                   \
  X(echo_answered, "echo requests answered")                                                                      \
  X(error_sent, "ICMP and ICMPv6 errors sent")                                                                    \
  X(pcp_received, "PCP datagrams handed to the PCP server")                                                       \
  X(address_conflict, "ARP and neighbour discovery in which someone else uses an address of ours")                \
  X(error_not_due, "ICMP errors not sent because none may answer such a packet (RFC 1812 4.3.2.7, RFC 4443 2.4)") \
  X(error_switched_off, "ICMP errors not sent because icmp-errors is off for the side")                           \
  X(error_rate_limited, "ICMP errors not sent because the side's rate was spent")                                 \
  X(unresolved, "answers not sent because the gateway's link-layer address is not known")                         \
  X(too_long, "answers not sent because they exceed the MTU")                                                     \
  X(transmit_refused, "answers the device did not take")                                                          \
  X(tcp_ignored, "TCP segments to the router itself, never answered")                                             \
  X(icmp_ignored, "ICMP to the router itself that asks for no answer, errors included")                           \
  X(fragment_ignored, "fragments to the router itself, never reassembled")                                        \
  X(malformed, "headers, lengths, options or hop limit wrong")                                                    \
  X(bad_checksum, "ICMP or UDP checksum wrong or missing")                                                        \
  X(declined, "anything else that is not for the router to answer")

enum class Outcome : uint8_t {
#define X(name, help) name,
  PORTOLAN_ROUTER_OUTCOMES(X)
#undef X
};

#define PORTOLAN_ROUTER_EVENTS(X)                                                \
  X(probe_sent, "ARP requests and neighbour solicitations sent to the gateways") \
  X(announcement_sent, "gratuitous ARP and unsolicited advertisements sent")     \
  X(neighbor_changed, "times a gateway got another link-layer address")          \
  X(neighbor_lost, "times a gateway stopped answering and was forgotten")        \
  X(pcp_reply_sent, "PCP replies sent")                                          \
  X(pcp_reply_lost, "PCP replies not sent: gateway unresolved, too long or refused by the device")

enum class Event : uint8_t {
#define X(name, help) name,
  PORTOLAN_ROUTER_EVENTS(X)
#undef X
};

struct RouterCounterText {
  std::string_view name, help;
};
#define X(name, help) {#name, help},
inline constexpr RouterCounterText outcome_texts[] = {PORTOLAN_ROUTER_OUTCOMES(X)};
inline constexpr RouterCounterText event_texts[] = {PORTOLAN_ROUTER_EVENTS(X)};
#undef X

struct RouterCounters {  // writer: the control thread; readers: anyone
  std::array<nat::Counter, std::size(outcome_texts)> outcomes;
  std::array<nat::Counter, std::size(event_texts)> events;

  nat::Counter& operator[](Outcome outcome) { return outcomes[static_cast<size_t>(outcome)]; }
  nat::Counter& operator[](Event event) { return events[static_cast<size_t>(event)]; }
  const nat::Counter& operator[](Outcome outcome) const { return outcomes[static_cast<size_t>(outcome)]; }
  const nat::Counter& operator[](Event event) const { return events[static_cast<size_t>(event)]; }
};

// Whether the frame was of use; if not, its Context::verdict says what the punting worker would have counted.
constexpr bool taken(Outcome outcome) { return outcome <= Outcome::address_conflict; }

}  // namespace portolan::control
