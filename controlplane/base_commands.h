// The commands that need nothing but the table and the configuration: help, show config.
#pragma once

#include <functional>
#include <memory>

#include "controlplane/command.h"
#include "controlplane/config.h"

namespace portolan::control {

using CurrentConfig = std::function<std::shared_ptr<const Config>()>;

void add_base_commands(CommandTable& table, CurrentConfig config);  // `table` must stay where it is

}  // namespace portolan::control
