// Which worker serves which queue of which side. Where a device has fewer queues than there are workers, the two sides'
// queues go to different workers as far as there are any. Immutable once the ports are open.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "dataplane/pipeline/packet.h"

namespace portolan::io {

struct QueueMap {
  unsigned workers = 1;
  std::array<uint16_t, 2> queues{1, 1};  // by Side; 1..workers

  [[nodiscard]] uint16_t count(pipeline::Side side) const { return queues[static_cast<size_t>(side)]; }
  [[nodiscard]] unsigned worker_of(pipeline::Side side, uint16_t queue) const {
    return side == pipeline::Side::access ? queue : workers - count(side) + queue;
  }
  [[nodiscard]] std::optional<uint16_t> queue_of(pipeline::Side side, unsigned worker) const {
    const unsigned first = worker_of(side, 0);
    if (worker < first || worker - first >= count(side)) return std::nullopt;
    return static_cast<uint16_t>(worker - first);
  }
  // The worker whose queue carries what `worker` sends.
  [[nodiscard]] unsigned sender_for(pipeline::Side side, unsigned worker) const {
    if (queue_of(side, worker)) return worker;
    return worker_of(side, static_cast<uint16_t>(worker % count(side)));
  }
};

}  // namespace portolan::io
