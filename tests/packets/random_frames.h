// Frames that no one would send, and what may leave whatever comes in.
#pragma once

#include <random>
#include <string>

#include "tests/packets/network.h"

namespace portolan::packets {

// Frames of every kind, sound or damaged, of a few hosts and ports. The same ones for the same seed.
class RandomFrames {
 public:
  explicit RandomFrames(uint32_t seed) : random_(seed) {}
  uint32_t below(uint32_t count) { return static_cast<uint32_t>(random_()) % count; }

  Bytes sound(pipeline::Side side);
  Bytes next(pipeline::Side side);  // two of three are damaged
  void damage(Bytes& frame);

 private:
  std::mt19937 random_;
};

// The first thing wrong with a sent frame: lengths, checksums, a source that is not ours. Empty if it is sound.
std::string fault_of(const Outcome& outcome, const Settings& settings);

}  // namespace portolan::packets
