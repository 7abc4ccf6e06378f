// PCP clients behind softwires: MAP requests that create, renew and delete mappings in turn, and the time until each is
// answered. Makes and reads frames; sending is the tester's. Owner: one trial.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "bench/generator/histogram.h"
#include "dataplane/net/types.h"

namespace portolan::bench {

class Asker {
 public:
  static constexpr size_t frame_bytes_max = 256;
  using Frame = std::array<uint8_t, frame_bytes_max>;

  static constexpr uint32_t subscribers = 200;  // who send no other traffic, so that their ports are PCP's

  // The next request's frame; returns its length. It is next until sent() says that it has gone.
  size_t write_next(Frame& frame, const net::Mac& source, const net::Mac& destination) const;
  // A request of a subscriber who sends nothing else, for a flood: the same each time, and its answers are not counted.
  static size_t write_flood(Frame& frame, const net::Mac& source, const net::Mac& destination);
  // A request that is still unanswered when its mapping's turn comes again is given up: it stays among those asked.
  void sent(uint64_t now_tsc);
  // False: the frame is no answer to anything asked.
  bool hear(std::span<const uint8_t> frame, uint64_t now_tsc);

  uint64_t asked = 0, answered = 0, refused = 0;  // refused: of those answered, with another code than SUCCESS
  Histogram latency;                              // in TSC ticks

 private:
  static constexpr uint32_t mappings_per_subscriber = 8;
  // Of each mapping's request; 0: none is under way.
  std::vector<uint64_t> sent_tsc_ = std::vector<uint64_t>(size_t{subscribers} * mappings_per_subscriber);
};

}  // namespace portolan::bench
