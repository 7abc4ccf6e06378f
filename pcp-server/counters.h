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
  X(overloaded, "refused: as many commands under way as the server holds")                     \
  X(table_full, "refused: as many mappings as the server holds")                               \
  X(wrong_nonce, "refused: the mapping was made with another nonce")                           \
  X(moved, "renewals answered with another outside endpoint than before")                      \
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

struct Counters {
  std::array<uint64_t, opcode_names.size()> requests{};  // version 2, header complete
  std::array<uint64_t, code_texts.size()> replies{};
  std::array<uint64_t, event_texts.size()> events{};

  uint64_t& operator[](Event event) { return events[static_cast<size_t>(event)]; }
  uint64_t& operator[](Code code) { return replies[static_cast<size_t>(code)]; }
  uint64_t& operator[](Opcode opcode) { return requests[row(opcode)]; }
  uint64_t operator[](Event event) const { return events[static_cast<size_t>(event)]; }
  uint64_t operator[](Code code) const { return replies[static_cast<size_t>(code)]; }
  uint64_t operator[](Opcode opcode) const { return requests[row(opcode)]; }

 private:
  static size_t row(Opcode opcode) {
    const auto number = static_cast<size_t>(opcode);
    return number < opcode_names.size() ? number : opcode_names.size() - 1;
  }
};

}  // namespace portolan::pcp
