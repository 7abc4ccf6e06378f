// What a Config means to the layers below: a shard's settings, the workers' snapshot, the PCP server's settings. Pure.
#pragma once

#include <array>
#include <string>

#include "controlplane/config.h"
#include "dataplane/nat/shard.h"
#include "dataplane/pipeline/snapshot.h"
#include "pcp-server/server.h"

namespace portolan::control {

nat::Policy policy_of(const Config& config);
nat::ShardSettings shard_settings(const Config& config, unsigned worker, const std::string& state_dir);
using Macs = std::array<net::Mac, pipeline::side_count>;  // by Side
pipeline::Snapshot snapshot_of(const Config& config, const Macs& macs);
pcp::Settings pcp_settings(const Config& config);

}  // namespace portolan::control
