#include "bench/generator/report.h"

#include <iostream>
#include <numeric>

namespace portolan::bench {

namespace {

Json faults_of(const FaultCounts& faults) {
  Json json = Json::object();
  for (size_t at = 1; at < faults.size(); ++at)
    if (faults[at] != 0) json[to_text(static_cast<Fault>(at))] = faults[at];
  return json;
}

void say(const std::string& measurement, const Circumstances& at, const Json& values, const std::string& text) {
  Json line{{"measurement", measurement},
            {"dut", at.dut},
            {"mappings", at.mappings},
            {"frame_bytes", at.frame_bytes},
            {"directions", at.directions}};
  line.update(values);
  std::cout << line.dump() << std::endl;
  std::cerr << at.dut << ' ' << at.mappings << " mappings, " << at.frame_bytes << " bytes, " << at.directions << ": "
            << text << std::endl;
}

std::string rounded(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", value);
  return text;
}

}  // namespace

uint64_t wrong(const FaultCounts& faults) { return std::accumulate(faults.begin() + 1, faults.end(), uint64_t{0}); }

void report_open(const Circumstances& at, const OpenResult& result) {
  const double rate = result.seconds > 0 ? static_cast<double>(result.opened) / result.seconds : 0;
  say("open", at,
      {{"sent", result.sent},
       {"opened", result.opened},
       {"seconds", result.seconds},
       {"mappings_per_s", rate},
       {"wrong", faults_of(result.faults)}},
      std::to_string(result.opened) + " opened, " + rounded(rate / 1e6) + " M/s");
}

void report_verify(const Circumstances& at, const VerifyResult& result) {
  say("verify", at, {{"sent", result.sent}, {"right", result.right}, {"wrong", faults_of(result.faults)}},
      std::to_string(result.right[0]) + " of " + std::to_string(result.sent[0]) + " right upstream, " +
          std::to_string(result.right[1]) + " of " + std::to_string(result.sent[1]) + " downstream, " +
          std::to_string(wrong(result.faults)) + " wrong");
}

void report_saturated(const Circumstances& at, const TrialResult& result) {
  Json ways = Json::object();
  double total = 0;
  bool generator_limits = false;
  for (const Direction direction : directions) {
    const auto& way = result.ways[index_of(direction)];
    if (way.sent == 0) continue;
    const double pps = static_cast<double>(way.received_measured) / result.seconds;
    const double full = way.tries == 0 ? 0 : static_cast<double>(way.full) / static_cast<double>(way.tries);
    total += pps;
    generator_limits |= full < 0.1;
    ways[direction == Direction::upstream ? "upstream" : "downstream"] = {{"pps", pps},
                                                                          {"sent", way.sent},
                                                                          {"received", way.received},
                                                                          {"lost", way.sent - way.received},
                                                                          {"full", full}};
  }
  say("saturated", at,
      {{"pps", total},
       {"ways", ways},
       {"seconds", result.seconds},
       {"generator_limits", generator_limits},
       {"sampled_right", result.faults[0]},
       {"wrong", faults_of(result.faults)},
       {"stale", result.stale}},
      rounded(total / 1e6) + " Mpps" + (generator_limits ? " (as fast as the generator is)" : "") +
          (wrong(result.faults) != 0 ? ", " + std::to_string(wrong(result.faults)) + " WRONG" : ""));
}

}  // namespace portolan::bench
