// Established traffic beside something else that the device does: mappings that expire at once, all mappings read again
// and again, a subscriber who means no good. Each beside the same traffic without it, for a machine disturbs by itself.
#include <ctime>
#include <stdexcept>

#include "bench/generator/bench.h"
#include "bench/generator/reader.h"
#include "bench/generator/tsc.h"

namespace portolan::bench {

namespace {

constexpr double late_us = 100;
constexpr double window_s = 6;  // from a second before mappings expire until those of the next second have

double boot_time_s() {  // what portoland's seconds are of
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Latencies and losses of a trial's established flows, and how many frames were late.
Json told(const TrialResult& result) {
  Json values = json_of(result);
  for (const Direction direction : directions) {
    const auto& latency = result.latency[index_of(direction)];
    const auto limit = static_cast<uint64_t>(late_us * 1e-6 * static_cast<double>(tsc_hz()));
    if (latency.count() > 0)
      values[direction == Direction::upstream ? "upstream" : "downstream"]["latency_us"]["over_100"] =
          latency.count_over(limit);
  }
  return values;
}

std::string in_words(const TrialResult& result) {
  std::string text;
  for (const Direction direction : directions) {
    const auto& latency = result.latency[index_of(direction)];
    text += std::string(direction == Direction::upstream ? "up " : ", down ") + json_of(latency).dump() + ", lost " +
            std::to_string(result.lost(direction));
  }
  return text;
}

Trial half_load(const Bench& bench, const Circumstances& at) {
  Trial trial = trial_of(bench, at);
  trial.rate_pps = rate_of(run(bench, trial), trial) * bench.options.load;
  trial.latency = true;
  trial.window = bench.options.descriptors / 8 * 7;  // so that none gets lost where the generator itself has to wait
  return trial;
}

}  // namespace

// As many mappings as asked for get their last frame within a second, after a second's first moment; the traffic of the
// others runs until those expire, and is measured right after the one and around the other.
void expiry(const Bench& bench, const Circumstances& at) {
  const uint32_t first = at.mappings, count = bench.options.expiring;
  if (bench.flows.shape().flows_max < first + count) throw std::runtime_error("expiry needs --fresh-max for its flows");
  Trial trial = half_load(bench, at);
  const auto opened = bench.tester.open(first, count, 0, at.frame_bytes);
  while (boot_time_s() - static_cast<uint64_t>(boot_time_s()) > 0.05) continue;  // at most a second
  const double stamped_s = boot_time_s();
  const uint64_t stamped = bench.tester.stamp(first, count, at.frame_bytes);
  const double took_s = boot_time_s() - stamped_s;
  if (opened.opened != count || stamped != count) throw std::runtime_error("not every mapping could be opened");

  trial.seconds = window_s;
  const auto before = run(bench, trial);
  Trial waiting = trial;
  waiting.latency = false;
  waiting.seconds =
      stamped_s + bench.options.idle_timeout_s - 0.5 - trial.warm_up_s - waiting.warm_up_s - boot_time_s();
  if (waiting.seconds > 0) run(bench, waiting);
  const auto around = run(bench, trial);
  const uint64_t still_there = bench.tester.validate(first, count, probe_pps, at.frame_bytes);
  const auto say = [&](const char* window, const TrialResult& result) {
    Json values = told(result);
    values["window"] = window;
    values["expiring"] = count;
    values["stamped_within_s"] = took_s;
    values["still_there"] = still_there;
    report("expiry", at, values, std::string(window) + ": " + in_words(result));
  };
  say("none expires", before);
  say("all expire", around);
  if (still_there != 0) throw std::runtime_error(std::to_string(still_there) + " mappings had not expired");
}

// `show mappings` over the whole table again and again; then as much CPU time taken by what reads nothing, for the
// device's control thread and whoever asks it share the generator's core here.
void reads(const Bench& bench, const Circumstances& at) {
  if (bench.options.cli_socket.empty()) throw std::runtime_error("reads needs --cli-socket");
  Trial trial = half_load(bench, at);
  const auto say = [&](const char* beside, const TrialResult& result, double cpu_share, const ReplyCounter& replies) {
    Json values = told(result);
    values["beside"] = beside;
    values["cpu_share"] = cpu_share;
    values["rows_per_s"] = static_cast<double>(replies.lines()) / (trial.warm_up_s + trial.seconds);
    values["listings"] = replies.replies();
    report("reads", at, values,
           std::string("beside ") + beside + ": " + std::to_string(cpu_share) + " of the CPU, " +
               std::to_string(replies.lines()) + " rows, " + in_words(result));
  };
  say("nothing", run(bench, trial), 0, {});
  double share = 0;
  {
    Reader reader(bench.options.cli_socket, "show mappings");
    const auto result = run(bench, trial);
    reader.stop();
    share = reader.cpu_share();
    say("reads", result, share, reader.replies());
  }
  Burner burner(share);
  const auto result = run(bench, trial);
  burner.stop();
  say("as much computing", result, burner.cpu_share(), {});
}

void abuse(const Bench& bench, const Circumstances& at) {
  if (bench.options.dut != Dut::dslite) return;  // one subscriber of many hosts is behind a softwire
  Trial trial = half_load(bench, at);
  trial.window = 0;  // most abusive frames do not come back
  for (const double abuse_pps : {0.0, bench.options.abuse_pps}) {
    trial.abuse_pps = abuse_pps;
    const auto result = run(bench, trial);
    Json values = told(result);
    values["abuse"] = millions(abuse_pps) + " million a second";
    report("abuse", at, values, "beside " + millions(abuse_pps) + " M/s: " + in_words(result));
  }
}

}  // namespace portolan::bench
