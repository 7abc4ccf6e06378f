// Both ends of the traffic through the device under test: opens mappings, learns and verifies their translations, and
// runs trials at given rates. Single-threaded: whoever calls a method polls both links until it returns. Owns what is
// on its way; flows and links belong to the caller.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "bench/generator/asker.h"
#include "bench/generator/device.h"
#include "bench/generator/flows.h"
#include "bench/generator/frames.h"
#include "bench/generator/histogram.h"
#include "bench/generator/station.h"

namespace portolan::bench {

// What is measured. `io` is a forwarder that changes nothing (testpmd), given the frames of DS-Lite.
enum class Dut : uint8_t { dslite, nat44, io };

struct Trial {
  std::array<bool, 2> sends{true, true};  // by Direction
  double rate_pps = 0;                    // of each direction that sends; 0: as fast as the device takes them
  double warm_up_s = 0.3, seconds = 2;
  uint32_t flows = 0;  // of the first so many, each frame's drawn at random
  size_t frame_bytes = frame_min_bytes;
  uint32_t fresh_every = 0;  // of this many frames from subscribers, one opens a mapping; 0: none does
  uint32_t window = 0;       // frames of a direction on their way at most; 0: any number
  bool latency = false;
  uint64_t frames_max = 0;  // each way, and then no more; 0: until the time is over
  // From drop_after_s on (0: never) the rate is another, and TrialResult::recovery_s says what gets lost since.
  double drop_after_s = 0, dropped_rate_pps = 0;
  double abuse_pps = 0;    // so many frames a second of one subscriber more, each of another host or port of his
  Asker* asker = nullptr;  // its requests go in beside the traffic,
  double asks_per_s = 0;   // so many a second,
  double flood_per_s = 0;  // and so many of one other subscriber
};

using FaultCounts = std::array<uint64_t, 16>;  // by Fault; `none`: those checked and found right

struct TrialResult {
  struct Way {
    uint64_t due = 0, sent = 0, received = 0;  // of the whole trial, warm-up included
    uint64_t received_measured = 0;            // without warm-up and drain
    uint64_t full = 0, tries = 0;              // bursts not taken whole; bursts
  };
  std::array<Way, 2> ways;                      // by Direction
  double seconds = 0;                           // that were measured
  uint64_t stale = 0;                           // frames of earlier trials
  uint64_t flooded = 0;                         // requests of the flood that were sent
  FaultCounts faults{};                         // of a sample
  uint64_t fresh_sent = 0, fresh_received = 0;  // among those from subscribers, abusive ones too
  std::array<Histogram, 2> latency;             // in TSC ticks, without the warm-up
  std::array<DelayVariation, 2> variation;      // likewise
  std::array<double, 2> recovery_s{};           // from the drop to the last millisecond of which frames were lost

  // Of the frames of flows that were there before; those that open mappings are counted apart.
  [[nodiscard]] uint64_t lost(Direction direction) const;
  // Nothing got lost, and the device took all that was due but for what a ring holds.
  [[nodiscard]] bool lossless() const;
  [[nodiscard]] double pps() const;  // received, both ways together
};

struct OpenResult {
  uint64_t sent = 0, opened = 0;
  double seconds = 0;
  FaultCounts faults{};
};

struct VerifyResult {
  std::array<uint64_t, 2> sent{}, right{};  // by Direction
  FaultCounts faults{};
};

class Tester {
 public:
  Tester(Link& access, Link& internet, Dut dut, Flows& flows);
  ~Tester();
  Tester(const Tester&) = delete;
  Tester& operator=(const Tester&) = delete;

  // Waits until the device and the two stations know each other's MAC addresses. Throws std::runtime_error when the
  // time is over.
  void meet(std::chrono::seconds patience);

  // RFC 9693's preliminary phase: one frame of each flow from subscribers, at a rate (0: as fast as they are taken),
  // and again for those whose translation did not become known, as long as that helps.
  OpenResult open(uint32_t first, uint32_t count, double rate_pps, size_t frame_bytes);

  // RFC 9693's trial of establishing connections: one frame of each flow, once, at a rate.
  OpenResult establish(uint32_t first, uint32_t count, double rate_pps, size_t frame_bytes);
  // And its validation: how many of one frame to each of their outside endpoints arrive inside, checked whole. At a
  // rate where none may; without one no more are sent at once than come back.
  uint64_t validate(uint32_t first, uint32_t count, double rate_pps, size_t frame_bytes);

  // One frame of each flow from subscribers again, as fast as none gets lost; how many came through.
  uint64_t stamp(uint32_t first, uint32_t count, size_t frame_bytes);

  // One frame of each of the first flows each way, at a rate; every one that comes back is checked whole.
  VerifyResult verify(uint32_t count, double rate_pps, size_t frame_bytes);

  TrialResult run(const Trial& trial);

 private:
  struct Sender {
    std::vector<FrameTemplate> frames;       // by class of FrameSizes
    std::array<uint32_t, burst_max> chosen;  // flows of the next burst, so that what it needs can be fetched meanwhile
    std::array<rte_mbuf*, burst_max> held;   // written, not yet taken
    uint16_t chosen_count = 0, held_first = 0, held_count = 0;
    [[nodiscard]] bool idle() const { return held_count == 0 && chosen_count == 0; }
    [[nodiscard]] uint32_t unsent_from(uint32_t first_flow) const;  // of flows with this number and higher ones
  };

  [[nodiscard]] bool tunnelled(Direction direction, bool coming_back) const;
  [[nodiscard]] uint32_t mark(Direction direction) const { return trial_ << 8 | static_cast<uint32_t>(direction); }
  [[nodiscard]] Flow flow_of(uint32_t number) const;
  [[nodiscard]] Expectation expectation(Direction direction, uint32_t flow) const;
  [[nodiscard]] Fault find_fault_in(Direction direction, const Tag& tag, const rte_mbuf& frame) const;

  void begin_trial(size_t frame_bytes);
  void choose(Direction direction, uint32_t count, auto&& next);
  void write_chosen(Direction direction);
  uint16_t push(Direction direction);
  uint16_t poll(Direction direction, auto&& take);
  uint64_t drain(auto&& take);
  uint64_t send_once(uint32_t first, uint32_t count, const std::array<bool, 2>& sends, double rate_pps, bool comes_back,
                     auto&& wanted, auto&& take);
  void learn(const Tag& tag, const rte_mbuf& frame, OpenResult& result);
  [[nodiscard]] uint32_t next_of(const Trial& trial, Direction direction);
  void start_drop(const Trial& trial, uint64_t now);
  void forget_unsent();
  bool choose_abusive(double due, uint32_t before);
  void handle_other(Direction arrived_at, const rte_mbuf& frame);
  void ask(Asker& asker);
  uint64_t flood(uint64_t due);
  void release_held();

  Flows& flows_;
  Dut dut_;
  std::array<Link*, 2> links_;       // by the Direction that enters there: access, internet
  std::array<Station, 2> stations_;  // likewise
  std::array<Sender, 2> senders_;    // by Direction
  FrameSizes sizes_{frame_min_bytes};
  uint32_t trial_;
  uint64_t stale_ = 0;
  Asker* asker_ = nullptr;                                // of the trial that runs
  uint32_t fresh_ = 0, until_fresh_ = 0;                  // the next flow never sent before; frames until it is due
  uint32_t abusive_ = 0;                                  // abusive frames until now, over all trials
  std::array<std::optional<LossTimeline>, 2> timelines_;  // by Direction, since the drop of the trial that runs
  Picker picker_{9693};
};

}  // namespace portolan::bench
