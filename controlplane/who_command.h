// `who`: an outside port's subscriber, from the live table.
#pragma once

#include "controlplane/aftr.h"
#include "controlplane/command.h"

namespace portolan::control {

void add_who_command(CommandTable& table, const Aftr& aftr);  // `aftr` must outlive the table

}  // namespace portolan::control
