// The operator's commands that only look at a running AFTR: show …. They read what other threads write by copies only,
// and walk long tables a piece at a time.
#pragma once

#include "controlplane/aftr.h"
#include "controlplane/command.h"

namespace portolan::control {

void add_operator_commands(CommandTable& table, Aftr& aftr);  // `aftr` must outlive the table

}  // namespace portolan::control
