#include "controlplane/state_dir.h"

#include <filesystem>
#include <sys/statfs.h>
#include <system_error>

#include "controlplane/engine_settings.h"

namespace portolan::control {

namespace {

namespace fs = std::filesystem;

constexpr const char* fallback_dir = "/dev/shm/portolan";
constexpr unsigned workers_limit = 64;
constexpr long hugetlbfs_magic = 0x958458f6;

// The default names hugetlbfs; where none is mounted the same path would be an ordinary folder, which would not do harm
// but outlive a reboot for nothing.
bool default_is_usable(const std::string& dir) {
  struct statfs status;
  return statfs(fs::path(dir).parent_path().c_str(), &status) == 0 && status.f_type == hugetlbfs_magic;
}

net::Result<Shards, std::string> open_in(const Config& config, const std::string& dir, uint32_t now_s) {
  std::error_code error;
  fs::create_directories(dir, error);
  if (error)
    return tl::unexpected(dir + ": cannot be made: " + error.message() +
                          "; set dataplane.state-dir to a folder that can");
  fs::permissions(dir, fs::perms::owner_all, error);  // mappings are personal data
  Shards shards;
  for (unsigned worker = 0; worker < config.dataplane.workers; ++worker) {
    auto shard = nat::Shard::open(shard_settings(config, worker, dir), now_s);
    if (!shard) return tl::unexpected(shard.error());
    shards.push_back(std::move(*shard));
  }
  return shards;
}

// Slabs of workers that are no more: their subscribers belong to others now.
void remove_surplus(const std::string& dir, unsigned workers, const Say& say) {
  for (unsigned worker = workers; worker < workers_limit; ++worker) {
    const fs::path path = dir + "/mappings." + std::to_string(worker);
    std::error_code error;
    fs::remove(dir + "/sessions." + std::to_string(worker), error);
    if (fs::remove(path, error))
      say(path.string() + ": removed, there are fewer workers than before; its mappings end");
  }
}

}  // namespace

net::Result<Shards, std::string> open_shards(const Config& config, uint32_t now_s, const Say& say) {
  std::string dir = config.dataplane.state_dir;
  const bool is_default = dir == Config{}.dataplane.state_dir;
  if (is_default && !default_is_usable(dir)) {
    say("no hugetlbfs at " + dir + ": mappings are kept in " + fallback_dir);
    dir = fallback_dir;
  }
  auto shards = open_in(config, dir, now_s);
  if (!shards && is_default && dir != fallback_dir) {
    say(shards.error() + "; mappings are kept in " + fallback_dir);
    dir = fallback_dir;
    shards = open_in(config, dir, now_s);
  }
  if (shards) remove_surplus(dir, config.dataplane.workers, say);
  return shards;
}

}  // namespace portolan::control
