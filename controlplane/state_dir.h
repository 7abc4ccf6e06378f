// The folder of the mapping slabs: hugetlbfs where there are free huge pages, else memory. Used at start only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/config.h"
#include "dataplane/nat/shard.h"
#include "dataplane/net/result.h"

namespace portolan::control {

using Shards = std::vector<std::unique_ptr<nat::Shard>>;
using Say = std::function<void(std::string_view)>;

// Opens one shard a worker in dataplane.state-dir, making the folder. If that is the default and cannot be used (no
// huge pages), /dev/shm/portolan is, and `say` is told. Errors: one sentence with the path and the way out.
net::Result<Shards, std::string> open_shards(const Config& config, uint32_t now_s, const Say& say);

}  // namespace portolan::control
