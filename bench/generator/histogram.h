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
};

}  // namespace portolan::bench
