// libFuzzer entry: any frames through two workers that keep their state from run to run. First octet of the input: side
// and worker; then frames, each behind two octets of length. Ends the process on a lost packet or an unsound frame.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "dataplane/net/text.h"
#include "tests/packets/random_frames.h"

namespace {

using namespace portolan;

void require(const std::string& fault) {
  if (fault.empty()) return;
  std::fprintf(stderr, "%s\n", fault.c_str());
  std::abort();
}

packets::Settings settings() {
  auto settings = packets::default_settings();
  settings.workers = 2;
  settings.block_ports = 64;
  settings.shard.mappings_max = 200;
  settings.snapshot.inside.prefixes = {*net::parse_ipv4_prefix("100.64.0.0/10")};
  return settings;
}

std::vector<packets::Bytes> frames_of(const uint8_t* data, size_t size) {
  std::vector<packets::Bytes> frames;
  while (size > 2 && frames.size() < pipeline::burst_max) {
    const size_t bytes = std::min<size_t>(size_t{data[0]} << 8 | data[1], size - 2);
    frames.emplace_back(data + 2, data + 2 + bytes);
    data += 2 + bytes, size -= 2 + bytes;
  }
  return frames;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static packets::Network network{settings()};
  static const packets::Settings ours = settings();
  static uint32_t now_s = 0;
  if (size < 4) return 0;
  const auto side = (data[0] & 4) != 0   ? pipeline::Side::inside
                    : (data[0] & 1) != 0 ? pipeline::Side::access
                                         : pipeline::Side::internet;
  network.expire(++now_s);
  for (const auto& outcome : network.deliver((data[0] & 2) != 0 ? 1 : 0, side, frames_of(data + 1, size - 1), now_s))
    require(fault_of(outcome, ours));
  if (now_s % 64 == 0) require(network.contradictions());
  return 0;
}
