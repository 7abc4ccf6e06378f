// One worker's lcore: polls its queues and rings, runs its pipeline::Worker on what comes in, carries out each packet's
// fate and counts it. Owner of everything here: the worker's lcore once run() has begun, but for what is marked as the
// control thread's end. Internal to dataplane/io.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/io/mbuf.h"
#include "dataplane/io/punt_shares.h"
#include "dataplane/io/quick_clock.h"
#include "dataplane/io/ring.h"
#include "dataplane/nat/command.h"
#include "dataplane/pipeline/worker.h"

namespace portolan::io {

// Bounds of everything a worker queues.
inline constexpr unsigned commands_max = 1024, handovers_max = 1024, punts_max = 1024, injected_max = 512,
                          relayed_max = 1024;
inline constexpr unsigned punts_of_one_max = punts_max / 8;
inline constexpr size_t commands_per_round_max = 32;

enum class Phase : uint8_t {
  running,
  draining,  // no more is received; what is on its way still gets there
  ended,
};

// A worker's share of one side's device.
struct Way {
  uint16_t port = 0;
  std::optional<uint16_t> receive_queue, transmit_queue;  // one of several sides on a device receives for all
  unsigned sender = 0;                                    // the worker that transmits what this one sends
  bool takes_injected = false;                            // its transmit queue carries the control thread's frames
  bool takes_relayed = false;                             // and those of workers without one
  bool is_spread = false;                                 // its device deals packets to their owners by itself
};

struct WorkerSettings {
  unsigned index = 0, workers = 1;
  std::array<Way, pipeline::side_count> ways;  // by Side
  int socket = -1;
  rte_mempool* pool = nullptr;  // for fragments made and packets put together
  uint32_t idle_sleep_us = 0;   // 0: never
  uint32_t fragments_max = 0;   // that wait, and datagrams
};

class WorkerThread {
 public:
  WorkerThread(const WorkerSettings& settings, nat::Shard& shard, const pipeline::Gateways& gateways,
               const Clock& clock, const std::atomic<Phase>& phase);
  ~WorkerThread();  // frees what lies in its rings
  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;

  [[nodiscard]] bool complete() const;  // there was memory for all of its rings
  void connect(std::span<const std::unique_ptr<WorkerThread>> workers);
  void use(const pipeline::Snapshot& snapshot) { next_snapshot_.store(&snapshot, std::memory_order_release); }
  void run();  // on its lcore, until the phase is `ended`

  // --- the control thread's end ---
  Ring<nat::Command>& commands() { return commands_; }
  Ring<nat::CommandResult>& results() { return results_; }
  Ring<rte_mbuf*>& punts() { return punts_; }
  Ring<rte_mbuf*>& injected(pipeline::Side side) { return outlet(side).injected; }
  [[nodiscard]] bool uses(const pipeline::Snapshot& snapshot) const {  // and so no other any more
    return snapshot_.load(std::memory_order_acquire) == &snapshot;
  }
  [[nodiscard]] const pipeline::WorkerCounters& counters() const { return worker_.counters(); }

 private:
  // Frames with one destination, passed on together at the burst's end.
  struct Batch {
    std::array<rte_mbuf*, pipeline::burst_max + pipeline::released_max + pipeline::fragments_max> frames;
    size_t count = 0;
    void add(rte_mbuf& frame) { frames[count++] = &frame; }
    std::span<rte_mbuf*> take() { return {frames.data(), std::exchange(count, 0)}; }
  };
  struct Outlet {  // one side's way out
    Ring<rte_mbuf*> injected, relayed;
    Ring<rte_mbuf*>* relay = nullptr;  // without a transmit queue: the sender's `relayed`
    Batch batch;
    Batch waiting;  // of those injected, until the device has room
  };

  bool round();
  void adopt_snapshot();
  size_t execute_commands(uint32_t now_s);
  size_t receive(pipeline::Side side, uint32_t now_s);
  size_t take_handed_over(uint32_t now_s);
  size_t process_due(uint32_t now_s);
  size_t take_for_transmission(pipeline::Side side);
  bool make_linear(rte_mbuf& frame, pipeline::Side side);
  void forward(std::span<pipeline::Frame> frames, bool handed_over, uint32_t now_s);
  void process(uint32_t now_s);
  void carry_out(size_t from);
  void carry_out(pipeline::Packet& packet);
  void carry_out_send(pipeline::Packet& packet);
  void carry_out_punt(pipeline::Packet& packet);
  [[nodiscard]] PuntSource punt_source_of(const pipeline::Packet& packet) const;
  void carry_out_hand_over(pipeline::Packet& packet);
  [[nodiscard]] bool is_misplaced(const pipeline::Packet& packet) const;
  void pass_on();
  size_t send_injected(pipeline::Side side);
  void transmit(pipeline::Side side, std::span<rte_mbuf*> frames);
  size_t send(pipeline::Side side, std::span<rte_mbuf*> frames);
  void drop(std::span<rte_mbuf*> frames, nat::Verdict verdict);
  void rest(unsigned empty_rounds) const;
  Outlet& outlet(pipeline::Side side) { return outlets_[static_cast<size_t>(side)]; }
  [[nodiscard]] const Way& way(pipeline::Side side) const { return settings_.ways[static_cast<size_t>(side)]; }

  const WorkerSettings settings_;
  QuickClock clock_;
  const std::atomic<Phase>& phase_;
  MbufBuffers buffers_;
  pipeline::Worker worker_;
  std::array<pipeline::Frame, pipeline::burst_max> received_;  // here, for on a stack each burst would zero it first
  pipeline::Burst burst_;
  Ring<nat::Command> commands_;
  Ring<nat::CommandResult> results_;
  Ring<rte_mbuf*> handed_over_, punts_;
  PuntShares<punts_max, punts_of_one_max> punt_shares_;
  std::array<Outlet, pipeline::side_count> outlets_;                // by Side
  std::vector<Ring<rte_mbuf*>*> peers_;                             // by worker: its `handed_over_`
  std::vector<Batch> hand_overs_;                                   // by worker
  std::atomic<const pipeline::Snapshot*> next_snapshot_ = nullptr;  // writer: the control thread
  std::atomic<const pipeline::Snapshot*> snapshot_ = nullptr;       // writer: this worker
};

}  // namespace portolan::io
