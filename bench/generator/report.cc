#include "bench/generator/report.h"

#include <iostream>
#include <numeric>

#include "bench/generator/measurements.h"
#include "bench/generator/tsc.h"

namespace portolan::bench {

namespace {

constexpr double limiting_full_share = 0.1;  // where the device refuses less of the bursts, it waits for the generator

}  // namespace

void report(const std::string& measurement, const Circumstances& at, const Json& values, const std::string& text) {
  Json line{{"measurement", measurement},
            {"dut", at.dut},
            {"mappings", at.mappings},
            {"frame_bytes", at.frame_bytes == FrameSizes::imix ? Json("imix") : Json(at.frame_bytes)},
            {"directions", at.directions}};
  if (const auto rows = rows_of(measurement); !rows.empty()) line["rows"] = rows;
  line.update(values);
  std::cout << line.dump() << std::endl;
  std::cerr << at.dut << ' ' << at.mappings << " mappings, " << line["frame_bytes"] << " bytes, " << at.directions
            << ", " << measurement << ": " << text << std::endl;
}

Json json_of(const FaultCounts& faults) {
  Json json = Json::object();
  for (size_t at = 1; at < faults.size(); ++at)
    if (faults[at] != 0) json[to_text(static_cast<Fault>(at))] = faults[at];
  return json;
}

Json json_of(const Histogram& latency) {
  const auto us = [](uint64_t tsc) { return static_cast<double>(tsc) * 1e6 / static_cast<double>(tsc_hz()); };
  const uint64_t high = latency.percentile(99.9);
  return {{"frames", latency.count()},         {"min", us(latency.min())}, {"p50", us(latency.percentile(50))},
          {"p99", us(latency.percentile(99))}, {"p99.9", us(high)},        {"max", us(latency.max())},
          {"pdv", us(high - latency.min())}};  // RFC 8219 §7.3.1
}

Json json_of(const DelayVariation& variation) {
  const auto us = [](int64_t tsc) { return static_cast<double>(tsc) * 1e6 / static_cast<double>(tsc_hz()); };
  return {{"min", us(variation.min())}, {"median", us(variation.median())}, {"max", us(variation.max())}};
}

Json json_of(const TrialResult& result) {
  Json json{{"pps", result.pps()}, {"seconds", result.seconds}};
  bool generator_limits = false;
  for (const Direction direction : directions) {
    const auto& way = result.ways[index_of(direction)];
    if (way.sent == 0) continue;
    const double full = way.tries == 0 ? 0 : static_cast<double>(way.full) / static_cast<double>(way.tries);
    generator_limits |= full < limiting_full_share;
    Json& of_way = json[direction == Direction::upstream ? "upstream" : "downstream"];
    of_way = {{"pps", static_cast<double>(way.received_measured) / result.seconds},
              {"sent", way.sent},
              {"received", way.received},
              {"lost", result.lost(direction)},
              {"full", full}};
    if (const auto& latency = result.latency[index_of(direction)]; latency.count() > 0) {
      of_way["latency_us"] = json_of(latency);
      of_way["ipdv_us"] = json_of(result.variation[index_of(direction)]);
    }
  }
  if (result.fresh_sent > 0) json["fresh"] = {{"sent", result.fresh_sent}, {"received", result.fresh_received}};
  json["generator_limits"] = generator_limits;
  json["sampled_right"] = result.faults[0];
  json["wrong"] = json_of(result.faults);
  json["stale"] = result.stale;
  return json;
}

std::string millions(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", value / 1e6);
  return text;
}

uint64_t wrong(const FaultCounts& faults) { return std::accumulate(faults.begin() + 1, faults.end(), uint64_t{0}); }

}  // namespace portolan::bench
