// What was measured, as one JSON object a line on standard output and as text for people on standard error.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "bench/generator/tester.h"

namespace portolan::bench {

using Json = nlohmann::ordered_json;

struct Circumstances {
  std::string dut;
  uint32_t mappings = 0;
  size_t frame_bytes = 0;  // or FrameSizes::imix
  std::string directions;  // both, upstream, downstream
};

// One line each way: `values` after what `at` says, and `text`.
void report(const std::string& measurement, const Circumstances& at, const Json& values, const std::string& text);

Json json_of(const Histogram& latency);         // in microseconds
Json json_of(const DelayVariation& variation);  // likewise
Json json_of(const TrialResult& result);
Json json_of(const FaultCounts& faults);  // what was wrong, by name
std::string millions(double value);       // "1.234"

// Frames that were checked and found wrong.
uint64_t wrong(const FaultCounts& faults);

}  // namespace portolan::bench
