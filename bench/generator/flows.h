// The flows of a benchmark: which subscriber's host speaks from which port with which remote. All but the outside
// endpoint follows from a flow's number by arithmetic, so ten million flows take 60 MB and no look-up ever searches.
// Ports are pseudo-random (RFC 4814 §4.5), the same in every run. Owner: the generator's only thread.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/generator/addresses.h"
#include "dataplane/net/types.h"

namespace portolan::bench {

struct FlowShape {
  uint32_t flows_max = 0;
  uint32_t flows_per_subscriber = 256;
  uint32_t hosts_per_subscriber = 4;
  bool softwires = true;  // each subscriber a B4 with private hosts behind; else each a host with an address of its own
};

struct Flow {
  uint32_t subscriber;
  net::Endpoint inside, remote;
};

class Flows {
 public:
  // Throws std::invalid_argument with the reason if there are not enough addresses or ports for such a shape.
  explicit Flows(const FlowShape& shape);

  [[nodiscard]] const FlowShape& shape() const { return shape_; }
  [[nodiscard]] Flow flow(uint32_t number) const;

  // What a subscriber beyond all others sends who means no good: frame after frame from another host and port of his.
  [[nodiscard]] Flow abusive(uint32_t number) const;

  // The outside endpoint the device translates to, as its packets have shown it; all zeros while unknown.
  [[nodiscard]] net::Endpoint outside(uint32_t number) const { return outside_[number]; }
  [[nodiscard]] bool learned(uint32_t number) const { return outside_[number].address != net::Ipv4{}; }
  void learn(uint32_t number, net::Endpoint outside) { outside_[number] = outside; }
  void forget() { outside_.assign(outside_.size(), {}); }
  [[nodiscard]] const void* outside_line(uint32_t number) const { return &outside_[number]; }  // to prefetch

 private:
  FlowShape shape_;
  std::vector<net::Endpoint> outside_;
  std::vector<uint16_t> source_ports_;  // shuffled: a host's flows take consecutive ones
};

// Numbers below a bound, uniform and independent (a linear congruential generator's high bits).
class Picker {
  uint64_t state_;

 public:
  explicit Picker(uint64_t seed) : state_(seed) {}
  uint32_t below(uint32_t bound) {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return static_cast<uint32_t>((state_ >> 32) * bound >> 32);
  }
};

// Each number of a range once, scattered over it: a step near the golden section, coprime to the range's size.
class Scatter {
  uint32_t first_, count_, step_, at_ = 0;

 public:
  Scatter(uint32_t first, uint32_t count);
  uint32_t next() {
    const uint32_t number = first_ + at_;
    at_ = at_ >= count_ - step_ ? at_ - (count_ - step_) : at_ + step_;
    return number;
  }
};

}  // namespace portolan::bench
