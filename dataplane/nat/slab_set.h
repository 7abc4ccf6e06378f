// The slab files of all workers, before a shard is opened: a file that cannot be read is moved aside, and every record
// comes to lie with the worker that owns it by now, whatever number of workers or pool it was written under. What is in
// use keeps its owner: a subscriber is pinned to the worker of his address. Start-up only.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "dataplane/nat/pool.h"
#include "dataplane/nat/static_mapping.h"
#include "dataplane/net/result.h"

namespace portolan::nat {

struct SlabSet {
  std::string dir;
  unsigned workers = 1;
  uint8_t subscriber_prefix_length = 56, plain_prefix_length = 32;  // as in ShardSettings
  std::span<const StaticMapping> statics{};                         // whose subscribers go where their addresses are

  static constexpr unsigned files_max = 64;
  [[nodiscard]] std::string mappings_path(unsigned worker) const { return dir + "/mappings." + std::to_string(worker); }
  [[nodiscard]] std::string sessions_path(unsigned worker) const { return dir + "/sessions." + std::to_string(worker); }

  // Puts the files right and returns `pool` with its pins. A move that a crash interrupts is finished or undone by the
  // next call, so that no record is lost or there twice. `say` is told what was moved. Errors: one sentence with the
  // path and the way out; nothing is changed then.
  net::Result<Pool, std::string> prepare(const Pool& pool, const std::function<void(std::string_view)>& say) const;
};

}  // namespace portolan::nat
