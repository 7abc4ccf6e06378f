// Time a packet takes in the pipeline, by the way it goes and the number of mappings. "copied" is what bringing the
// frames costs, and is in all others: subtract it.
#include <benchmark/benchmark.h>
#include <optional>
#include <string>

#include "bench/micro/path.h"

namespace {

using portolan::bench::Path;
using portolan::bench::Way;

enum class What { copied, fast, stages };

void path(benchmark::State& state, Way way, bool tcp, What what) {
  Path path(way, static_cast<uint32_t>(state.range(0)), tcp);
  for (auto _ : state) {
    path.receive();
    if (what != What::copied) path.forward(what == What::fast);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(Path::burst));
}

// Every frame opens a mapping, with its subscriber, block, log record and index entries, from an empty table until it
// is full. `copied` is in it.
void fresh(benchmark::State& state, Way way, bool tcp) {
  std::optional<Path> path;
  const auto flows = static_cast<uint32_t>(state.range(0) / int64_t{Path::burst}) * uint32_t{Path::burst};
  for (auto _ : state) {
    state.PauseTiming();
    path.emplace(way, flows, tcp, 18, Path::Flows::fresh);
    state.ResumeTiming();
    for (uint32_t sent = 0; sent < flows; sent += Path::burst) path->receive(), path->forward(true);
  }
  state.SetItemsProcessed(state.iterations() * flows);
}

}  // namespace

int main(int argc, char** argv) {
  for (const Way way : portolan::bench::ways)
    for (const bool tcp : {false, true})
      for (const What what : {What::copied, What::fast, What::stages}) {
        const std::string name = std::string(to_text(way)) + (tcp ? "/tcp" : "/udp") +
                                 (what == What::copied ? "/copied"
                                  : what == What::fast ? "/fast"
                                                       : "/stages");
        benchmark::RegisterBenchmark(name.c_str(), path, way, tcp, what)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);
      }
  for (const Way way : {Way::softwire_outbound, Way::plain_outbound})
    for (const bool tcp : {false, true}) {
      const std::string name = std::string(to_text(way)) + (tcp ? "/tcp" : "/udp") + "/fresh";
      benchmark::RegisterBenchmark(name.c_str(), fresh, way, tcp)->Arg(100'000)->Arg(1'000'000)->Iterations(3);
    }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
