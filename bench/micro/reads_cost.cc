// reads_cost MAPPINGS ROUNDS: what reading all mappings again and again from another core, as `show mappings` does on
// the control thread, costs a worker. Clocks a packet of the path alone, with a thread beside it that does nothing but
// compute, and with one that reads records, in turn, a tenth of a second each; the worker has CPU 1, the thread CPU 0.
//
// The reader copies records and does nothing with them, so it is faster than a command that makes text of them, and its
// cost is an upper bound. Each second the first packet of each mapping stamps its record, as in a running worker.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <pthread.h>
#include <string>
#include <thread>
#include <vector>

#include "bench/micro/path.h"

namespace {

using portolan::bench::Path;
using portolan::bench::Way;
using std::chrono::steady_clock;

constexpr size_t worker_cpu = 1, other_cpu = 0;
constexpr std::chrono::milliseconds slice{100};
enum Beside : uint8_t { nothing, computing, reading };
constexpr const char* names[] = {"nothing", "computing", "reading"};

uint64_t read_tsc() { return __builtin_ia32_rdtsc(); }

void pin(size_t cpu) {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(cpu, &cpus);
  if (pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus) != 0) std::exit(1);
}

// Does one thing or the other until `phase` says something else.
class Neighbour {
 public:
  explicit Neighbour(const portolan::nat::Shard& shard) : shard_(shard), thread_([this] { run(); }) {}
  ~Neighbour() {
    ended_ = true;
    thread_.join();
  }
  Neighbour(const Neighbour&) = delete;
  Neighbour& operator=(const Neighbour&) = delete;
  void be(Beside what) { what_ = what; }
  [[nodiscard]] uint64_t records() const { return records_; }

 private:
  void run() {
    pin(other_cpu);
    portolan::nat::MappingIndex at = 1;
    uint64_t sum = 0;
    while (!ended_) {
      switch (what_.load()) {
        case nothing:
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
          break;
        case computing:
          for (int i = 0; i < 10'000; ++i) sum = sum * 6364136223846793005U + 1442695040888963407U;
          break;
        case reading:
          for (int i = 0; i < 10'000; ++i) {
            if (const auto mapping = shard_.read(at)) sum += mapping->last_seen_s;
            at = at + 1 < shard_.record_end() ? at + 1 : 1;
          }
          records_ += 10'000;
      }
      sink_ = sum;
    }
  }

  const portolan::nat::Shard& shard_;
  std::atomic<Beside> what_{nothing};
  std::atomic<bool> ended_{false};
  std::atomic<uint64_t> records_{0}, sink_{0};
  std::thread thread_;  // last: it uses the others
};

// Of a worker that never waits. What bringing the frames costs is in it, as a driver's share would be.
double clocks_a_packet(Path& path) {
  const uint64_t start = read_tsc();
  const auto until = steady_clock::now() + slice;
  uint64_t packets = 0;
  for (; steady_clock::now() < until; packets += Path::burst) {
    path.set_now(static_cast<uint32_t>(steady_clock::now().time_since_epoch() / std::chrono::seconds(1)));
    path.receive();
    path.forward(true);
  }
  return static_cast<double>(read_tsc() - start) / static_cast<double>(packets);
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// Of each round's three slices the ratios to the first.
void measure(Way way, uint32_t mappings, int rounds) {
  Path path(way, mappings, false);
  Neighbour neighbour(path.shard());
  std::vector<double> clocks[3], ratios[3];
  uint64_t records = 0;
  for (int round = 0; round < rounds; ++round)
    for (const Beside beside : {nothing, computing, reading}) {
      neighbour.be(beside);
      const uint64_t before = neighbour.records();
      clocks[beside].push_back(clocks_a_packet(path));
      ratios[beside].push_back(clocks[beside].back() / clocks[nothing].back());
      records += neighbour.records() - before;
    }
  for (const Beside beside : {nothing, computing, reading})
    std::printf("%s, %u mappings, beside %s: %.1f clocks a packet, %.4f of those beside nothing (%.4f to %.4f)\n",
                std::string(to_text(way)).c_str(), mappings, names[beside], median(clocks[beside]),
                median(ratios[beside]), *std::ranges::min_element(ratios[beside]),
                *std::ranges::max_element(ratios[beside]));
  std::printf("%.1f million records read a second\n",
              static_cast<double>(records) / rounds / std::chrono::duration<double>(slice).count() / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: reads_cost MAPPINGS ROUNDS\n", stderr), 2;
  pin(worker_cpu);
  for (const Way way : {Way::softwire_outbound, Way::softwire_inbound})
    measure(way, static_cast<uint32_t>(std::strtoul(argv[1], nullptr, 10)), std::atoi(argv[2]));
}
