#include "bench/generator/measurements.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <stdexcept>

#include "bench/generator/bench.h"
#include "bench/generator/search.h"

namespace portolan::bench {

Trial trial_of(const Bench& bench, const Circumstances& at) {
  Trial trial;
  trial.sends = {at.directions != "downstream", at.directions != "upstream"};
  trial.seconds = bench.options.seconds;
  trial.flows = at.mappings;
  trial.frame_bytes = at.frame_bytes;
  return trial;
}

TrialResult run(const Bench& bench, const Trial& trial) {
  auto result = bench.tester.run(trial);
  if (wrong(result.faults) != 0) throw std::runtime_error("frames came back wrong: " + json_of(result.faults).dump());
  return result;
}

// Of each direction that sends.
double rate_of(const TrialResult& result, const Trial& trial) {
  return result.pps() / (trial.sends[0] && trial.sends[1] ? 2 : 1);
}

namespace {

constexpr double search_resolution = 0.01;  // of where it begins
constexpr double loss_step = 0.1;           // RFC 2544 §26.3

constexpr double overload = 1.1, recovered = 0.5;  // RFC 2544 §26.5

constexpr double pcp_loads[] = {0.9, 0.5};  // of the saturated throughput
constexpr double pcp_rates[] = {0, 100, 1'000, 10'000};
constexpr double flood_per_s = 1e6, asked_beside_flood_per_s = 1'000;  // PCP-023

void verify(const Bench& bench, const Circumstances& at) {
  const auto result = bench.tester.verify(at.mappings, 0, at.frame_bytes);
  report("verify", at, {{"sent", result.sent}, {"right", result.right}, {"wrong", json_of(result.faults)}},
         std::to_string(result.right[0]) + " right upstream, " + std::to_string(result.right[1]) + " downstream, of " +
             std::to_string(result.sent[0]) + " each");
  if (result.right != result.sent || wrong(result.faults) != 0)
    throw std::runtime_error("not every frame came back right");
}

void saturated(const Bench& bench, const Circumstances& at) {
  const auto result = run(bench, trial_of(bench, at));
  report("saturated", at, json_of(result), millions(result.pps()) + " Mpps");
}

// RFC 8219 §7.1: the highest rate without a single frame lost.
void zero_loss(const Bench& bench, const Circumstances& at) {
  Trial trial = trial_of(bench, at);
  const double most = rate_of(run(bench, trial), trial);
  TrialResult best;
  best.seconds = 1;
  const double rate = find_highest_rate(most, search_resolution, [&](double tried) {
    trial.rate_pps = tried;
    auto result = run(bench, trial);
    const bool passes = result.lossless();
    if (passes) best = std::move(result);
    return passes;
  });
  Json values = json_of(best);
  values["rate_pps"] = rate;
  report("zero-loss", at, values, millions(rate) + " Mpps each way");
}

// RFC 8219 §7.4: down from the highest rate until two trials in a row lose nothing.
void frame_loss(const Bench& bench, const Circumstances& at) {
  Trial trial = trial_of(bench, at);
  const double most = rate_of(run(bench, trial), trial);
  unsigned lossless = 0;
  for (double share = 1; share > loss_step / 2 && lossless < 2; share -= loss_step) {
    trial.rate_pps = most * share;
    const auto result = run(bench, trial);
    lossless = result.lossless() ? lossless + 1 : 0;
    Json values = json_of(result);
    values["share"] = share;
    report("frame-loss", at, values,
           std::to_string(static_cast<int>(share * 100 + 0.5)) + " %: " +
               std::to_string(result.lost(Direction::upstream) + result.lost(Direction::downstream)) + " lost");
  }
}

// RFC 8219 §7.2 and §7.3.1 at a share of the saturated throughput.
void latency(const Bench& bench, const Circumstances& at) {
  Trial trial = trial_of(bench, at);
  trial.rate_pps = rate_of(run(bench, trial), trial) * bench.options.load;
  trial.latency = true;
  Json values = json_of(run(bench, trial));
  values["load"] = bench.options.load;
  values["rate_pps"] = trial.rate_pps;
  std::string text = "at " + millions(trial.rate_pps) + " Mpps each way, us:";
  for (const char* way : {"upstream", "downstream"})
    if (values.contains(way) && values[way].contains("latency_us"))
      text += std::string(" ") + way + ' ' + values[way]["latency_us"].dump();
  report("latency", at, values, text);
}

// RFC 8219 §7.5: the longest burst each way, as fast as the device takes it, of which nothing is lost; at most that of
// a trial's time at the saturated throughput.
void back_to_back(const Bench& bench, const Circumstances& at) {
  Trial trial = trial_of(bench, at);
  const double most = rate_of(run(bench, trial), trial) * trial.seconds;
  trial.warm_up_s = 0;
  trial.seconds *= 2;  // it ends with its last frame
  double sum = 0;
  for (unsigned repetition = 0; repetition < bench.options.repetitions; ++repetition)
    sum += find_highest_rate(most, search_resolution, [&](double frames) {
      trial.frames_max = static_cast<uint64_t>(frames) + 1;
      return run(bench, trial).lossless();
    });
  const double frames = sum / bench.options.repetitions;
  report("back-to-back", at,
         {{"frames", frames},
          {"repetitions", bench.options.repetitions},
          {"searched_up_to", most},
          {"resolution", search_resolution * most}},
         std::to_string(static_cast<uint64_t>(frames)) + " frames each way, of at most " +
             std::to_string(static_cast<uint64_t>(most)));
}

// RFC 8219 §7.6: from 110 % of the throughput down to half of it, the time until the last frame is lost.
void recovery(const Bench& bench, const Circumstances& at) {
  Trial trial = trial_of(bench, at);
  const double most = rate_of(run(bench, trial), trial);
  trial.rate_pps = most * overload;
  trial.drop_after_s = trial.warm_up_s + trial.seconds;
  trial.dropped_rate_pps = most * recovered;
  trial.seconds *= 2;
  const auto result = run(bench, trial);
  const double seconds = std::max(result.recovery_s[0], result.recovery_s[1]);
  Json values = json_of(result);
  values["recovery_s"] = seconds;
  report("recovery", at, values, std::to_string(seconds * 1e3) + " ms until the last loss");
}

// PCP beside forwarding at shares of what the device can: how soon requests are answered, and what is lost meanwhile
// and without any.
void pcp_at(const Bench& bench, const Circumstances& at, Trial trial, double load, double asks_per_s) {
  Asker asker;
  trial.asker = &asker;
  trial.asks_per_s = asks_per_s;
  const auto result = run(bench, trial);
  Json values = json_of(result);
  values["load"] = load;
  values["flood_per_s"] = trial.flood_per_s;
  values["flooded"] = result.flooded;
  values["rate_pps"] = trial.rate_pps;
  values["pcp"] = {{"asks_per_s", asks_per_s},
                   {"asked", asker.asked},
                   {"answered", asker.answered},
                   {"refused", asker.refused},
                   {"latency_us", json_of(asker.latency)}};
  report("pcp", at, values,
         std::to_string(asker.answered) + " of " + std::to_string(asker.asked) + " requests answered, " +
             std::to_string(asker.refused) + " refused, us: " + json_of(asker.latency).dump() + ", frames lost " +
             std::to_string(values["upstream"].value("lost", 0)) + " up, " +
             std::to_string(values["downstream"].value("lost", 0)) + " down");
}

void pcp(const Bench& bench, const Circumstances& at) {
  if (bench.options.dut != Dut::dslite) return;  // the clients are behind softwires
  Trial trial = trial_of(bench, at);
  const double most = rate_of(run(bench, trial), trial);
  trial.window = bench.options.descriptors / 8 * 7;  // the rest is for answers
  for (const double load : pcp_loads) {
    trial.rate_pps = most * load;
    for (const double asks_per_s : pcp_rates) pcp_at(bench, at, trial, load, asks_per_s);
  }
  trial.flood_per_s = flood_per_s;
  pcp_at(bench, at, trial, pcp_loads[1], asked_beside_flood_per_s);
}

// Established traffic at a share of the load, with some of the frames opening mappings.
void mix(const Bench& bench, const Circumstances& at) {
  Trial trial = trial_of(bench, at);
  const double most = rate_of(run(bench, trial), trial);
  for (const double share : bench.options.fresh_shares) {
    trial.rate_pps = most * bench.options.load;
    trial.fresh_every = static_cast<uint32_t>(1 / share + 0.5);
    const auto result = run(bench, trial);
    Json values = json_of(result);
    values["fresh_share"] = share;
    values["load"] = bench.options.load;
    report("mix", at, values,
           std::to_string(result.fresh_received) + " of " + std::to_string(result.fresh_sent) + " new mappings, " +
               std::to_string(result.lost(Direction::upstream) + result.lost(Direction::downstream)) +
               " frames of established ones lost");
  }
}

double timed(const std::string& command) {
  const auto start = std::chrono::steady_clock::now();
  if (std::system(command.c_str()) != 0) throw std::runtime_error("'" + command + "' failed");
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Empties the device's table by the command given, and takes back what was learned. Returns how long that took; the
// ports' rest after it is not counted.
double clear(const Bench& bench) {
  if (bench.options.clear_command.empty())
    throw std::runtime_error("this measurement empties the device's table: --clear-command says how");
  const double seconds = timed(bench.options.clear_command);
  bench.flows.forget();
  if (!bench.options.rested_command.empty()) timed(bench.options.rested_command);
  return seconds;
}

// As clear(); a forwarder has no table.
void empty(const Bench& bench) {
  if (bench.options.dut != Dut::io)
    clear(bench);
  else
    bench.flows.forget();
}

// What came of one frame of each flow at a rate.
struct Establishing {
  uint64_t wanted = 0, opened = 0, validated = 0;
  double due_s = 0, seconds = 0;

  // A mapping by each frame but for a share of them, all there afterwards, in the time the rate says.
  [[nodiscard]] bool passes(double loss) const {
    const auto enough = static_cast<uint64_t>(static_cast<double>(wanted) * (1 - loss));
    return opened >= enough && validated >= enough && seconds < due_s * 1.05 + 0.01;
  }
};

Establishing establish(const Bench& bench, const Circumstances& at, double rate) {
  empty(bench);
  const auto result = bench.tester.establish(0, at.mappings, rate, at.frame_bytes);
  if (wrong(result.faults) != 0) throw std::runtime_error("frames came back wrong");
  return {at.mappings, result.opened, bench.tester.validate(0, at.mappings, 0, at.frame_bytes),
          static_cast<double>(at.mappings) / rate, result.seconds};
}

// RFC 9693: the highest rate at which every frame of as many new flows establishes a mapping that is there afterwards;
// and before that, beside the RFC, at which all but a few do, for a machine that loses frames by itself. A forwarder
// opens nothing: its rate is the limit of the generator and the links.
void new_rate(const Bench& bench, const Circumstances& at) {
  empty(bench);
  const auto fastest = bench.tester.open(0, at.mappings, 0, at.frame_bytes);
  double most = std::min(bench.options.new_rate_max, static_cast<double>(fastest.opened) / fastest.seconds * 1.5);
  for (const double loss : {bench.options.loss, 0.0}) {
    unsigned trials = 0;
    Establishing failed;
    const double rate = find_highest_rate(most, search_resolution, [&](double tried) {
      ++trials;
      const auto result = establish(bench, at, tried);
      if (!result.passes(loss)) failed = result;
      return result.passes(loss);
    });
    report("new-rate", at,
           {{"loss", loss},
            {"mappings_per_s", rate},
            {"trials", trials},
            {"searched_up_to", most},
            {"resolution", search_resolution * most},
            {"last_failed",
             {{"opened", failed.opened},
              {"validated", failed.validated},
              {"seconds", failed.seconds},
              {"due_s", failed.due_s}}}},
           millions(rate) + " M mappings a second, each validated but " + std::to_string(loss * 100) + " %");
    if (rate == 0) break;
    most = rate;  // without loss it is no faster
  }
  empty(bench);
  if (bench.options.dut != Dut::io) bench.tester.open(0, at.mappings, 0, at.frame_bytes);
}

// RFC 9693: how fast the table of so many is emptied; that nothing is translated afterwards is tried.
void tear_down(const Bench& bench, const Circumstances& at) {
  const Flows before = bench.flows;
  const double seconds = clear(bench);
  bench.flows = before;
  const uint64_t still_there = bench.tester.validate(0, at.mappings, probe_pps, at.frame_bytes);
  bench.flows.forget();
  const double rate = static_cast<double>(at.mappings) / seconds;
  report("tear-down", at, {{"mappings_per_s", rate}, {"seconds", seconds}, {"still_there", still_there}},
         millions(rate) + " M mappings a second");
  bench.tester.open(0, at.mappings, 0, at.frame_bytes);
}

struct Measurement {
  const char* name;
  void (*make)(const Bench&, const Circumstances&);
  bool per_size;     // and per choice of directions; else once a rung
  const char* rows;  // of docs/conformance.md that it answers
};
constexpr Measurement measurements[] = {
    {"verify", verify, false, "BEN-040"},
    {"saturated", saturated, true, "BEN-005 BEN-018 BEN-019 BEN-022 BEN-031 BEN-045 BEN-049"},
    {"zero-loss", zero_loss, true, "BEN-010"},
    {"frame-loss", frame_loss, true, "BEN-014"},
    {"latency", latency, true, "BEN-011 BEN-012 BEN-013"},
    {"back-to-back", back_to_back, true, "BEN-015"},
    {"recovery", recovery, true, "BEN-016"},
    {"mix", mix, true, "BEN-042"},
    {"pcp", pcp, true, "BEN-032"},
    {"reads", reads, false, ""},
    {"expiry", expiry, false, "BEN-046"},
    {"abuse", abuse, false, "BEN-033"},
    {"new-rate", new_rate, false, "BEN-041 BEN-043 BEN-044"},
    {"tear-down", tear_down, false, "BEN-046"},
};

void make(const Bench& bench, const Measurement& measurement, Circumstances at) {
  if (!measurement.per_size) return measurement.make(bench, at);
  for (const size_t frame_bytes : bench.options.frame_bytes)
    for (const auto& way : bench.options.directions) {
      at.frame_bytes = frame_bytes;
      at.directions = way;
      measurement.make(bench, at);
    }
}

void open(const Bench& bench, const Circumstances& at, uint32_t opened) {
  if (bench.options.dut == Dut::io || at.mappings <= opened) return;
  const auto result = bench.tester.open(opened, at.mappings - opened, bench.options.open_rate, at.frame_bytes);
  const double rate = result.seconds > 0 ? static_cast<double>(result.opened) / result.seconds : 0;
  report("open", at,
         {{"sent", result.sent},
          {"opened", result.opened},
          {"seconds", result.seconds},
          {"mappings_per_s", rate},
          {"wrong", json_of(result.faults)}},
         std::to_string(result.opened) + " opened, " + millions(rate) + " M/s");
  if (result.opened != at.mappings - opened) throw std::runtime_error("not every mapping could be opened");
}

}  // namespace

std::string rows_of(std::string_view measurement) {
  const auto* found = std::ranges::find(measurements, measurement, &Measurement::name);
  return found == std::end(measurements) ? "" : found->rows;
}

std::vector<std::string> measurement_names() {
  std::vector<std::string> names;
  for (const auto& measurement : measurements) names.emplace_back(measurement.name);
  return names;
}

void climb(Tester& tester, Flows& flows, const Options& options) {
  const Bench bench{tester, flows, options};
  uint32_t opened = 0;
  for (const uint32_t mappings : options.mappings) {
    const Circumstances at{options.dut_name, mappings, options.frame_bytes.front(), "both"};
    open(bench, at, opened);
    opened = mappings;
    for (const auto& name : options.measurements)
      make(bench, *std::ranges::find(measurements, name, &Measurement::name), at);
  }
}

}  // namespace portolan::bench
