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
  size_t frame_bytes = 0;
  std::string directions;  // both, upstream, downstream
};

void report_open(const Circumstances& at, const OpenResult& result);
void report_verify(const Circumstances& at, const VerifyResult& result);
void report_saturated(const Circumstances& at, const TrialResult& result);

// Frames that were checked and found wrong.
uint64_t wrong(const FaultCounts& faults);

}  // namespace portolan::bench
