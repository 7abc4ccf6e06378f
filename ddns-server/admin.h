// The administrator's commands: accounts and names. They write the registry's file, which the running server sees at
// once; there is nothing to reload.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "ddns-server/config.h"
#include "ddns-server/gate.h"

namespace portolan::ddnsd {

struct AdminIo {
  std::istream& in;
  std::ostream &out, &err;
  Strength strength = Strength::normal;
};

// The commands of admin_usage().
// Returns the exit status: 0 done, 1 not done and why on err, 2 no such command.
int run_admin(const Config& config, const std::vector<std::string>& words, const AdminIo& io);

// Usage of all commands, one a line.
std::string admin_usage();

}  // namespace portolan::ddnsd
