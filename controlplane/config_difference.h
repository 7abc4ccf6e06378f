// What differs between two configurations, row by row, and what of it a running portoland can take over. Pure.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "controlplane/setting.h"

namespace portolan::control {

struct Change {
  const Setting* setting;
  std::string was, is;  // as the file would say them; a list's values with commas between, "none" if it has none
};

std::vector<Change> differences(const Config& was, const Config& is);  // in the order of the file
// The changes a running portoland cannot take over.
std::vector<Change> needing_restart(std::span<const Change> changes);
std::string to_text(const Change& change);  // "nat.udp-timeout: 300s -> 120s"

}  // namespace portolan::control
