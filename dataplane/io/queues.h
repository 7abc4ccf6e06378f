// Which worker serves which queue of which device. Where a device has fewer queues than there are workers, the devices'
// queues go to different workers as far as there are any. Immutable once the ports are open.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace portolan::io {

struct QueueMap {
  unsigned workers = 1;
  std::vector<uint16_t> queues;  // by device; 1..workers

  [[nodiscard]] uint16_t count(size_t device) const { return queues[device]; }
  [[nodiscard]] unsigned worker_of(size_t device, uint16_t queue) const {
    const size_t others = queues.size() - 1;  // the first device's are at the front, the last one's at the end
    const auto spare = static_cast<size_t>(workers - count(device));
    return static_cast<unsigned>(others == 0 ? 0 : spare * device / others) + queue;
  }
  [[nodiscard]] std::optional<uint16_t> queue_of(size_t device, unsigned worker) const {
    const unsigned first = worker_of(device, 0);
    if (worker < first || worker - first >= count(device)) return std::nullopt;
    return static_cast<uint16_t>(worker - first);
  }
  // The worker whose queue carries what `worker` sends.
  [[nodiscard]] unsigned sender_for(size_t device, unsigned worker) const {
    if (queue_of(device, worker)) return worker;
    return worker_of(device, static_cast<uint16_t>(worker % count(device)));
  }
};

}  // namespace portolan::io
