// `show sessions`: the remotes remembered one by one.
#pragma once

#include "controlplane/aftr.h"
#include "controlplane/command.h"

namespace portolan::control {

void add_show_sessions(CommandTable& table, const Aftr& aftr);  // `aftr` must outlive the table

}  // namespace portolan::control
