// What every measurement has at hand: the two sides, the flows, and how a trial is made of what was asked for.
#pragma once

#include "bench/generator/options.h"
#include "bench/generator/report.h"
#include "bench/generator/tester.h"

namespace portolan::bench {

struct Bench {
  Tester& tester;
  Flows& flows;
  const Options& options;
};

Trial trial_of(const Bench& bench, const Circumstances& at);  // saturated
// Throws std::runtime_error if a frame came back wrong.
TrialResult run(const Bench& bench, const Trial& trial);
// Packets a second of each direction that sends.
double rate_of(const TrialResult& result, const Trial& trial);

// Established traffic beside something else that the device does (disturbances.cc).
void expiry(const Bench& bench, const Circumstances& at);
void reads(const Bench& bench, const Circumstances& at);
void abuse(const Bench& bench, const Circumstances& at);

// Where no answer is expected, and so none can be waited for.
inline constexpr double probe_pps = 1e6;

}  // namespace portolan::bench
