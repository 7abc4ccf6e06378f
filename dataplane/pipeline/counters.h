// What one worker counts. Every packet that came in is in exactly one of the ways out:
//   received + handed_in + injected + fragments_made + reassembled + syns_released
//     = sent + punted + handed_out + Σ dropped + joined + waiting
#pragma once

#include "dataplane/nat/counter.h"
#include "dataplane/pipeline/packet.h"

namespace portolan::pipeline {

struct alignas(64) SideCounters {
  nat::Counter received, received_bytes, sent, sent_bytes;
};

struct WorkerCounters {                        // writer: the worker; readers: anyone
  std::array<SideCounters, side_count> sides;  // by Side
  std::array<nat::Counter, punt_count> punted;
  nat::Counter misplaced;  // of those handed out: the device's own hash (RSS) is not that of their owner
  nat::Counter handed_in, handed_out, injected, fragments_made, syns_released;
  nat::Counter joined, reassembled;                // fragments, and the packets they became
  nat::Counter waiting, datagrams, fragments_max;  // now: fragments held, datagrams under way, and the most of each
  nat::Counter translated_outbound, translated_inbound, hairpinned, passed_through;  // of those sent or handed over
  nat::VerdictCounters dropped;
  nat::VerdictCounters punted_for;  // of those punted: what would have dropped them, so that refusals can be told apart
  nat::Counter polls, polls_idle;

  SideCounters& side(Side which) { return sides[static_cast<size_t>(which)]; }
  [[nodiscard]] const SideCounters& side(Side which) const { return sides[static_cast<size_t>(which)]; }
};

// Counts a packet's way out, once whoever owns its bytes has carried out its fate (or turned it into a drop).
inline void account(WorkerCounters& counters, const Packet& packet) {
  switch (packet.context.fate) {
    case Fate::send: {
      auto& side = counters.side(packet.way_out);
      side.sent.add();
      side.sent_bytes.add(packet.bytes);
      break;
    }
    case Fate::punt:
      counters.punted[static_cast<size_t>(packet.context.punt)].add();
      counters.punted_for[packet.context.verdict].add();
      break;
    case Fate::hand_over:
      counters.handed_out.add();
      break;
    case Fate::keep:
      break;
    case Fate::drop:
    case Fate::undecided:
      counters.dropped[packet.context.verdict].add();
      break;
  }
}

}  // namespace portolan::pipeline
