// The operator's commands that change a running AFTR: reload, clear.
#pragma once

#include "controlplane/aftr.h"
#include "controlplane/command.h"

namespace portolan::control {

void add_change_commands(CommandTable& table, Aftr& aftr);  // `aftr` must outlive the table

}  // namespace portolan::control
