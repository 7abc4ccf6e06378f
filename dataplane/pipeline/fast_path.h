// The short way for packets that need nothing but translation: whole TCP and UDP packets without options, whose mapping
// exists or may be opened, on a way that takes them as they are. It decides such a packet exactly as the stages of
// worker.cc do and leaves every other one untouched to them; tests/packets/fast_path_test.cc holds the two against each
// other. Two loops over a burst, the first starting the loads that the second uses. Owner: one worker.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "dataplane/nat/shard.h"
#include "dataplane/pipeline/counters.h"
#include "dataplane/pipeline/fast_config.h"
#include "dataplane/pipeline/held_syns.h"
#include "dataplane/pipeline/identification.h"
#include "dataplane/pipeline/openings.h"
#include "dataplane/pipeline/path_mtu.h"
#include "dataplane/pipeline/snapshot.h"

namespace portolan::pipeline {

// A frame as a device brought it, and as it leaves.
struct Frame {
  uint8_t* data = nullptr;  // the Ethernet header, with headroom_min_bytes before it
  uint32_t bytes = 0;       // 0: nothing for the fast path
  uint16_t vlan = 0;        // received: the tag, where the device took it off the frame
  Side side{};              // it came from, any of its device; sent: it leaves through
  bool sent = false;
  void* handle = nullptr;  // the owner's
};

class FastPath {
 public:
  FastPath(unsigned index, nat::Shard& shard, const Gateways& gateways, WorkerCounters& counters,
           Identifications& identifications, const PathMtus& path_mtus, HeldSyns& held_syns, Openings& openings);

  // The configuration from the next burst on, kept alive as Worker::use() says.
  void use(const Snapshot& snapshot);

  // At most burst_max frames. Those it sends are counted as received, unless another worker handed them over, which
  // counted them; the others are as they were. Returns how many it sent.
  size_t run(std::span<Frame> frames, bool handed_over, uint32_t now_s);

 private:
  class Pass;

  const unsigned index_;
  nat::Shard& shard_;
  const Gateways& gateways_;
  WorkerCounters& counters_;
  Identifications& identifications_;
  const PathMtus& path_mtus_;
  HeldSyns& held_syns_;
  Openings& openings_;
  const Snapshot* config_ = nullptr;
  FastConfig fast_;
};

}  // namespace portolan::pipeline
