// `show counters`: every counter of the box under one name, from the workers, the shards, the router and the PCP
// server.
#pragma once

#include "controlplane/aftr.h"
#include "controlplane/reply.h"

namespace portolan::control {

Reply show_counters(const Aftr& aftr, const Request& request);

}  // namespace portolan::control
