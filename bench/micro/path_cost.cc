// path_cost WAY udp|tcp fast|stages|opening: sends a known number of packets along one way in measured(), so that
// callgrind, told to collect there alone, counts its instructions (bench/instructions). Prints the number of packets.
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>

#include "bench/micro/path.h"

namespace {

using portolan::bench::Path;

constexpr int bursts = 200;
constexpr uint32_t mappings = 2'000;
enum class By { fast, stages, opening };  // opening: each packet opens its mapping

std::optional<By> by_of(std::string_view text) {
  if (text == "fast") return By::fast;
  if (text == "stages") return By::stages;
  if (text == "opening") return By::opening;
  return std::nullopt;
}

}  // namespace

extern "C" [[gnu::noinline]] void measured(Path& path, By by) { path.forward(by != By::stages); }

int main(int argc, char** argv) {
  const auto by = argc == 4 ? by_of(argv[3]) : std::nullopt;
  if (!by) return std::fputs("usage: path_cost WAY udp|tcp fast|stages|opening\n", stderr), 2;
  for (const auto way : portolan::bench::ways) {
    if (to_text(way) != argv[1]) continue;
    const bool opening = *by == By::opening;
    Path path(way, opening ? bursts * Path::burst : mappings, std::strcmp(argv[2], "tcp") == 0, 18,
              opening ? Path::Flows::fresh : Path::Flows::opened);
    for (int i = 0; i < bursts; ++i) path.receive(), measured(path, *by);
    std::printf("%zu\n", bursts * Path::burst);
    return 0;
  }
  std::fprintf(stderr, "path_cost: no way %s\n", argv[1]);
  return 2;
}
