// The configuration file: INI, read whole, every error told with its line. A Config comes out complete and consistent
// or not at all. No state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/config.h"
#include "dataplane/net/result.h"

namespace portolan::control {

struct ConfigError {
  std::string file;
  uint32_t line = 0;  // 0: the file as a whole
  std::string name;   // "section.key", "[section]"; may be empty
  std::string text;
};
std::string to_text(const ConfigError& error);  // FILE:LINE: section.key: text

using ConfigResult = net::Result<Config, std::vector<ConfigError>>;  // errors in the order of the lines

ConfigResult read_config(const std::string& path);
ConfigResult parse_config(std::string_view text, std::string_view file);  // file: what errors call it

// Where the file sets a key, first time: for errors found after it was read. 0: nowhere, the default holds.
uint32_t find_line(const std::string& path, std::string_view section, std::string_view key);

// A complete file: every key with its help, range and value. Required keys of a default Config show an example, so that
// what --print-defaults prints is a file that parses.
std::string print_config(const Config& config);

}  // namespace portolan::control
