// What no single value tells: keys that must be there, and keys that must fit each other. No state.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "controlplane/config.h"
#include "controlplane/setting.h"

namespace portolan::control {

// Where a value was given; what the file's reader knows and the checks need.
struct Origin {
  // The line of the key's value number `at`; if the file does not have it, of its section, else of the file's end.
  std::function<uint32_t(const Setting&, size_t at)> line;
  std::function<bool(const Setting&)> given;   // the file has a value that could be read
  std::function<bool(const Setting&)> broken;  // has an error already, so its value says nothing
};

using Report = std::function<void(const Setting&, size_t at, std::string text)>;

void check_config(const Config& config, const Origin& origin, const Report& report);

}  // namespace portolan::control
