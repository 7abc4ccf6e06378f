// What the PCP server counts: requests by opcode, replies by result code, and why the rest was dropped or malformed.
// One row is one counter, its name and its help. Owner and only user: the control thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "pcp-server/pcp_wire.h"

namespace portolan::pcp {

#define PORTOLAN_PCP_EVENTS(X)                                                                 \
  X(drop_disabled, "dropped: the server is switched off")                                      \
  X(drop_rate, "dropped: the subscriber asks faster than he may")                              \
  X(drop_rate_all, "dropped: all subscribers together ask faster than pcp.max-requests")       \
  X(drop_short, "dropped: fewer than 2 octets, or of version 2 fewer than 24")                 \
  X(drop_response, "dropped: R bit set, a response sent to a server")                          \
  X(drop_in_flight, "dropped: the mapping has a request under way; the client will ask again") \
  X(bad_version, "refused: version is not 2 (0 is NAT-PMP)")                                   \
  X(bad_too_long, "refused: above 1100 octets")                                                \
  X(bad_alignment, "refused: size not a multiple of 4")                                        \
  X(bad_too_short, "refused: too short for its opcode")                                        \
  X(bad_option_structure, "refused: an option runs past the end")                              \
  X(bad_option_content, "refused: an option of wrong length, given twice or senseless here")   \
  X(bad_protocol_zero, "refused: a port, but for all protocols")                               \
  X(bad_third_party_self, "refused: THIRD_PARTY names the sender himself")                     \
  X(bad_peer, "refused: PEER without protocol or ports, or with a remote nobody can have")     \
  X(probes_refused, "refused: PREFER_FAILURE tried more often than a subscriber may")          \
  X(overloaded, "refused: as many commands under way as the server holds")                     \
  X(table_full, "refused: as many mappings as the server holds")                               \
  X(wrong_nonce, "refused: the mapping was made with another nonce")                           \
  X(moved, "renewals answered with another outside endpoint than before")                      \
  X(restored, "mappings brought back from the store")                                          \
  X(lost, "mappings that could not be brought back, or not with the port they insist on")      \
  X(store_failed, "refused: the mapping could not be written to the store")                    \
  X(natpmp_requests, "requests of NAT-PMP (RFC 6886)")                                         \
  X(updates_sent, "messages sent unasked: ANNOUNCE and changed mappings")                      \
  X(expired, "mappings forgotten at the end of their lifetime")                                \
  X(result_unknown, "results of the translator that nobody waits for")

#define X(name, help) name,
enum class Event : uint8_t { PORTOLAN_PCP_EVENTS(X) };
#undef X
struct EventText {
  std::string_view name, help;
};
#define X(name, help) EventText{#name, help},
inline constexpr auto event_texts = std::to_array<EventText>({PORTOLAN_PCP_EVENTS(X)});
#undef X

inline constexpr std::array<std::string_view, 5> opcode_names = {"announce", "map", "peer", "authentication", "other"};

inline constexpr std::array<std::string_view, 10> option_names = {
    "third_party", "prefer_failure", "filter",   "authentication",  "third_party_id",
    "description", "prefix64",       "port_set", "other_mandatory", "other_optional"};

struct Counters {
  std::array<uint64_t, opcode_names.size()> requests{};  // version 2, header complete
  std::array<uint64_t, code_texts.size()> replies{};
  std::array<std::array<uint64_t, code_texts.size()>, 3> results{};  // of ANNOUNCE, MAP and PEER
  std::array<uint64_t, option_names.size()> options{};               // in requests that could be taken apart
  std::array<uint64_t, event_texts.size()> events{};

  uint64_t& operator[](Event event) { return events[static_cast<size_t>(event)]; }
  uint64_t& operator[](Code code) { return replies[static_cast<size_t>(code)]; }
  uint64_t& operator[](Opcode opcode) { return requests[row(opcode)]; }
  void count_option(uint8_t code) { ++options[option_row(code)]; }
  uint64_t operator[](Event event) const { return events[static_cast<size_t>(event)]; }
  uint64_t operator[](Code code) const { return replies[static_cast<size_t>(code)]; }
  uint64_t operator[](Opcode opcode) const { return requests[row(opcode)]; }

 private:
  static size_t option_row(uint8_t code) {
    switch (OptionCode{code}) {
      case OptionCode::third_party:
        return 0;
      case OptionCode::prefer_failure:
        return 1;
      case OptionCode::filter:
        return 2;
      case OptionCode::third_party_id:
        return 4;
      case OptionCode::description:
        return 5;
      case OptionCode::prefix64:
        return 6;
      case OptionCode::port_set:
        return 7;
      default:
        if (code > static_cast<uint8_t>(OptionCode::filter) && code < static_cast<uint8_t>(OptionCode::third_party_id))
          return 3;
        return (code & option_optional_bit) == 0 ? 8 : 9;
    }
  }
  static size_t row(Opcode opcode) {
    const auto number = static_cast<size_t>(opcode);
    return number < opcode_names.size() ? number : opcode_names.size() - 1;
  }
};

}  // namespace portolan::pcp
