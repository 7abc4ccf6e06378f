// Latencies, counted in buckets no wider than a thirty-second of their value, so that recording one costs an increment
// and percentiles of hundreds of millions need no list. Owner: one trial.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace portolan::bench {

class Histogram {
  static constexpr unsigned fine_bits = 5;  // buckets an octave: 32
  static constexpr uint64_t fine = uint64_t{1} << fine_bits;
  std::vector<uint64_t> counts_ = std::vector<uint64_t>((64 - fine_bits + 1) * fine);
  uint64_t count_ = 0, min_ = ~uint64_t{0}, max_ = 0;

  static constexpr size_t bucket_of(uint64_t value) {
    if (value < fine) return value;
    const auto octave = static_cast<unsigned>(std::bit_width(value)) - fine_bits - 1;
    return octave * fine + (value >> octave);
  }
  static constexpr uint64_t last_of(size_t bucket) {
    if (bucket < 2 * fine) return bucket;
    const size_t octave = bucket / fine - 1;
    return ((bucket - octave * fine + 1) << octave) - 1;
  }

 public:
  void add(uint64_t value) {
    ++counts_[bucket_of(value)];
    ++count_;
    min_ = std::min(min_, value);
    max_ = std::max(max_, value);
  }
  [[nodiscard]] uint64_t count() const { return count_; }
  [[nodiscard]] uint64_t min() const { return count_ == 0 ? 0 : min_; }
  [[nodiscard]] uint64_t max() const { return max_; }

  // The smallest bucket's end that at least `percent` of the values do not exceed; 0 without values.
  [[nodiscard]] uint64_t percentile(double percent) const {
    const auto wanted = static_cast<uint64_t>(static_cast<double>(count_) * percent / 100 + 0.999999);
    uint64_t seen = 0;
    for (size_t bucket = 0; bucket < counts_.size(); ++bucket) {
      seen += counts_[bucket];
      if (seen >= std::max<uint64_t>(wanted, 1)) return std::min(last_of(bucket), max_);
    }
    return max_;
  }

  // How many are above a limit, but for those in its own bucket.
  [[nodiscard]] uint64_t count_over(uint64_t limit) const {
    uint64_t over = 0;
    for (size_t bucket = bucket_of(limit) + 1; bucket < counts_.size(); ++bucket) over += counts_[bucket];
    return over;
  }
};

// How one frame's delay differs from that of the one before it (IPDV, RFC 8219 §7.3.2).
class DelayVariation {
  Histogram longer_, shorter_;  // or equal; shorter
  uint64_t before_ = 0;
  bool first_ = true;

 public:
  void add(uint64_t delay) {
    if (!first_ && delay >= before_) longer_.add(delay - before_);
    if (!first_ && delay < before_) shorter_.add(before_ - delay);
    before_ = delay, first_ = false;
  }
  [[nodiscard]] uint64_t count() const { return longer_.count() + shorter_.count(); }
  // The largest steps down and up, and the median of all steps, signed.
  [[nodiscard]] int64_t min() const { return -static_cast<int64_t>(shorter_.max()); }
  [[nodiscard]] int64_t max() const { return static_cast<int64_t>(longer_.max()); }
  [[nodiscard]] int64_t median() const {
    if (count() == 0) return 0;
    const double below = static_cast<double>(shorter_.count()) / static_cast<double>(count());
    if (below > 0.5) return -static_cast<int64_t>(shorter_.percentile((below - 0.5) / below * 100));
    return static_cast<int64_t>(longer_.percentile((0.5 - below) / (1 - below) * 100));
  }
};

// When frames were lost, by the time they were sent: what was sent and what arrived of each millisecond.
class LossTimeline {
  uint64_t start_, slot_;  // in ticks
  std::vector<uint64_t> sent_, received_;

  static void count(std::vector<uint64_t>& slots, uint64_t slot, uint64_t frames) {
    if (slot >= slots.size()) slots.resize(slot + 1);
    slots[slot] += frames;
  }

 public:
  LossTimeline(uint64_t start, uint64_t ticks_a_slot) : start_(start), slot_(ticks_a_slot) {}
  // Frames of before the start count nowhere.
  void sent(uint64_t at, uint64_t frames) {
    if (at >= start_) count(sent_, (at - start_) / slot_, frames);
  }
  void unsent(uint64_t at, uint64_t frames) {  // what sent() was told of and did not leave
    if (at >= start_) sent_[(at - start_) / slot_] -= frames;
  }
  void received(uint64_t sent_at) {
    if (sent_at >= start_) count(received_, (sent_at - start_) / slot_, 1);
  }
  // So many slots after the start the last one ended in which a frame was lost; 0: none was.
  [[nodiscard]] size_t slots_until_lossless() const {
    for (size_t slot = sent_.size(); slot > 0; --slot)
      if ((slot > received_.size() ? 0 : received_[slot - 1]) < sent_[slot - 1]) return slot;
    return 0;
  }
};

}  // namespace portolan::bench
