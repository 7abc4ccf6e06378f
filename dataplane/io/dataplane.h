// The face of the packet path to the control plane: devices, workers and the rings between them. One per process (EAL
// is). Owner: the control thread, which is EAL's main lcore: it alone calls anything here, from open() to the
// destructor.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/io/clock.h"
#include "dataplane/io/eal.h"
#include "dataplane/io/interface.h"
#include "dataplane/nat/command.h"
#include "dataplane/nat/shard.h"
#include "dataplane/net/result.h"
#include "dataplane/net/types.h"
#include "dataplane/pipeline/counters.h"
#include "dataplane/pipeline/packet.h"
#include "dataplane/pipeline/snapshot.h"

namespace portolan::io {

struct SideSettings {
  // DPDK devargs: net_af_packet0,iface=acc0 or 0000:03:00.0. Sides with the same text share it; empty: no such side.
  std::string device;
  uint16_t mtu_bytes = 1500;  // of layer 3
  uint16_t vlan = 0;          // 0: untagged
};

struct DataplaneSettings {
  std::string eal;  // EAL options beside ours; empty: memory is chosen by what the machine has
  unsigned workers = 1;
  std::vector<unsigned> cores;                           // one CPU per worker; empty: workers float over all
  std::array<SideSettings, pipeline::side_count> sides;  // by Side
  uint32_t fragments_max = 2048;  // that wait for others, and datagrams they belong to, all workers together
  uint32_t idle_sleep_us = 50;    // of a worker long without packets; 0: it never sleeps
  Log log;                        // ours and DPDK's lines, from any thread; empty: stderr
};

inline constexpr unsigned workers_max = 64;

class Dataplane {
 public:
  using PuntHandler = std::function<void(std::span<uint8_t> frame, const pipeline::Context& context)>;
  using ResultHandler = std::function<void(unsigned worker, const nat::CommandResult& result)>;

  // Starts EAL and finds the devices. Errors say what is wrong with which setting, and the way out.
  static net::Result<std::unique_ptr<Dataplane>, std::string> open(const DataplaneSettings& settings);
  ~Dataplane();  // stops, then gives everything back

  [[nodiscard]] unsigned workers() const;
  [[nodiscard]] bool has(pipeline::Side side) const;
  [[nodiscard]] net::Mac mac(pipeline::Side side) const;  // all zero if there is no such side
  [[nodiscard]] InterfaceInfo interface(pipeline::Side side) const;

  // Starts the devices and one worker per shard. All arguments outlive this object, the snapshot until it is replaced.
  // Once per object; what is below needs it.
  net::Result<void, std::string> run(std::span<nat::Shard* const> shards, const pipeline::Gateways& gateways,
                                     const pipeline::Snapshot& snapshot, const Clock& clock);
  // Receives no more, lets the workers finish what is on its way to them, ends them and stops the devices. Punts and
  // results that lie in the rings can still be polled, counters read.
  void stop();

  // Returns when no worker uses another snapshot any more.
  void swap_snapshot(const pipeline::Snapshot& snapshot);

  [[nodiscard]] const pipeline::WorkerCounters& counters(unsigned worker) const;

  [[nodiscard]] bool submit(unsigned worker, const nat::Command& command);  // false: its ring is full, try later
  // Both hand over at most `max` and return how many it were. The frame is the handler's until it returns.
  size_t poll_results(const ResultHandler& handle, size_t max = 256);
  size_t poll_punts(const PuntHandler& handle, size_t max = 64);
  // Sends a whole Ethernet frame, its tag included; false: no such side, no room, or too long.
  bool inject(pipeline::Side side, std::span<const uint8_t> frame);

 private:
  struct State;
  explicit Dataplane(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace portolan::io
