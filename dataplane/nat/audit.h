// What an audit of a shard may find: one enumerator, one text. The audit (shard_audit.cc) compares the slab with the
// indexes, bitmaps and blocks, a slice at a time between bursts, while traffic goes on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>

namespace portolan::nat {

#define PORTOLAN_AUDIT_FAULTS(X)                                                                  \
  X(not_of_this_shard, "its outside endpoint is not of this shard")                               \
  X(outbound_index, "the outbound index does not lead to it, or leads to it though it rests")     \
  X(inbound_index, "the inbound index does not lead to it")                                       \
  X(port_not_taken, "its port is not marked taken")                                               \
  X(block_of_another, "its port block belongs to another subscriber")                             \
  X(subscriber, "its subscriber is another, or none")                                             \
  X(port_of_nobody, "a port is marked taken, but no mapping has it")                              \
  X(port_of_another, "the inbound index leads to a mapping with another outside endpoint")        \
  X(block_count, "a port block's number of ports taken is wrong")                                 \
  X(block_owner, "a port block's owner does not hold it")                                         \
  X(index_entry, "the outbound index leads to a record that is no live mapping, or to the wrong") \
  X(sessions_count, "it has no sessions, or should not have, or not as many as are counted")      \
  X(session_of_another, "a session of it is another mapping's")                                   \
  X(session_index, "the session index disagrees")                                                 \
  X(subscriber_counts, "a subscriber's mappings or sessions are counted wrong")                   \
  X(mappings_count, "a count of mappings differs from the mappings there are")

enum class AuditFault : uint16_t {
#define X(name, text) name,
  PORTOLAN_AUDIT_FAULTS(X)
#undef X
};
inline constexpr std::string_view audit_fault_texts[] = {
#define X(name, text) text,
    PORTOLAN_AUDIT_FAULTS(X)
#undef X
};
constexpr std::string_view to_text(AuditFault fault) { return audit_fault_texts[static_cast<size_t>(fault)]; }

}  // namespace portolan::nat
