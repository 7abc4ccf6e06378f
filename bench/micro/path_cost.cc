// path_cost WAY udp|tcp fast|stages: sends a known number of packets along one way in measured(), so that callgrind,
// told to collect there alone, counts its instructions (bench/instructions). Prints the number of packets.
#include <cstdio>
#include <cstring>

#include "bench/micro/path.h"

namespace {

using portolan::bench::Path;

constexpr int bursts = 200;

}  // namespace

extern "C" [[gnu::noinline]] void measured(Path& path, bool fast) { path.forward(fast); }

int main(int argc, char** argv) {
  if (argc != 4) return std::fputs("usage: path_cost WAY udp|tcp fast|stages\n", stderr), 2;
  for (const auto way : portolan::bench::ways) {
    if (to_text(way) != argv[1]) continue;
    Path path(way, 2'000, std::strcmp(argv[2], "tcp") == 0);
    const bool fast = std::strcmp(argv[3], "fast") == 0;
    for (int i = 0; i < bursts; ++i) path.receive(), measured(path, fast);
    std::printf("%zu\n", bursts * Path::burst);
    return 0;
  }
  std::fprintf(stderr, "path_cost: no way %s\n", argv[1]);
  return 2;
}
