// The commands about PCP: what it has granted, and what the operator grants, extends and ends himself.
#pragma once

#include "controlplane/aftr.h"
#include "controlplane/command.h"

namespace portolan::control {

void add_pcp_commands(CommandTable& table, Aftr& aftr);

}  // namespace portolan::control
