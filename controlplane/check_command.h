// `check`: every worker audits its own tables while traffic runs, and the reply says what was found.
#pragma once

#include "controlplane/aftr.h"
#include "controlplane/command.h"

namespace portolan::control {

void add_check_command(CommandTable& table, Aftr& aftr);  // `aftr` must outlive the table

}  // namespace portolan::control
