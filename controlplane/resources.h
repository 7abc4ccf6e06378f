// How full everything is that can be full: one reading per bounded resource, and for what is shared out among workers
// that of the fullest, who refuses first. Pure.
#pragma once

#include <vector>

#include "controlplane/event_log.h"
#include "controlplane/exhaustion.h"
#include "controlplane/state_dir.h"
#include "dataplane/io/dataplane.h"
#include "pcp-server/server.h"

namespace portolan::control {

// `events` may be null.
std::vector<ResourceReading> read_resources(const Shards& shards, const io::Dataplane& dataplane,
                                            const pcp::Server& pcp, const EventLog* events);

}  // namespace portolan::control
