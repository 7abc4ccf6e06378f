#include "controlplane/state_dir.h"

#include <filesystem>
#include <sys/statfs.h>
#include <system_error>

#include "controlplane/engine_settings.h"
#include "dataplane/nat/slab_set.h"

namespace portolan::control {

namespace {

namespace fs = std::filesystem;

constexpr const char* fallback_dir = "/dev/shm/portolan";
constexpr long hugetlbfs_magic = 0x958458f6;

// The default names hugetlbfs; where none is mounted the same path would be an ordinary folder, which would not do harm
// but outlive a reboot for nothing.
bool default_is_usable(const std::string& dir) {
  struct statfs status;
  return statfs(fs::path(dir).parent_path().c_str(), &status) == 0 && status.f_type == hugetlbfs_magic;
}

net::Result<Shards, std::string> open_in(const Config& config, const std::string& dir, uint32_t now_s, const Say& say) {
  std::error_code error;
  fs::create_directories(dir, error);
  if (error)
    return tl::unexpected(dir + ": cannot be made: " + error.message() +
                          "; set dataplane.state-dir to a folder that can");
  fs::permissions(dir, fs::perms::owner_all, error);  // mappings are personal data
  const nat::Policy policy = policy_of(config);
  const nat::SlabSet files{dir, config.dataplane.workers,
                           static_cast<uint8_t>(config.softwire.subscriber_prefix_length),
                           static_cast<uint8_t>(config.nat44.subscriber_prefix_length), policy.statics.rows()};
  const auto pool = files.prepare(policy.pool, say);
  if (!pool) return tl::unexpected(pool.error());
  Shards shards;
  for (unsigned worker = 0; worker < config.dataplane.workers; ++worker) {
    nat::ShardSettings settings = shard_settings(config, worker, dir);
    settings.policy.pool = *pool;
    auto shard = nat::Shard::open(std::move(settings), now_s);
    if (!shard) return tl::unexpected(shard.error());
    shards.push_back(std::move(*shard));
  }
  return shards;
}

}  // namespace

net::Result<Shards, std::string> open_shards(const Config& config, uint32_t now_s, const Say& say) {
  std::string dir = config.dataplane.state_dir;
  const bool is_default = dir == Config{}.dataplane.state_dir;
  if (is_default && !default_is_usable(dir)) {
    say("no hugetlbfs at " + dir + ": mappings are kept in " + fallback_dir);
    dir = fallback_dir;
  }
  auto shards = open_in(config, dir, now_s, say);
  if (!shards && is_default && dir != fallback_dir) {
    say(shards.error() + "; mappings are kept in " + fallback_dir);
    dir = fallback_dir;
    shards = open_in(config, dir, now_s, say);
  }
  return shards;
}

}  // namespace portolan::control
