// A configuration key is one row here and one member of Config. The parser, the checks, --print-defaults, `show config`
// and the manual walk the rows. Constant; nobody owns state.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "controlplane/config.h"

namespace portolan::control {

enum class Unit : uint8_t { none, bytes, seconds, microseconds };
enum class Reload : uint8_t { live, restart };

// Where a row's value lies; the C++ type says how it is written. One prefix is an interface's address and keeps its
// host bits, a list of prefixes must have none; a list is a key that may be repeated.
using Field =
    std::variant<uint32_t*, bool*, std::string*, net::Ipv4*, net::Ipv6*, net::Ipv4Prefix*, net::Ipv6Prefix*, PortRange*,
                 MssClamp*, OptionalOctet*, DscpModel*, DfPolicy*, UnsolicitedSyn*, Filtering*, LogLevel*, LogTarget*,
                 LogEvents*, std::optional<LogTarget>*, std::vector<net::Ipv6>*, std::vector<net::Ipv4Prefix>*,
                 std::vector<net::Ipv6Prefix>*, std::vector<pipeline::PassThrough>*, std::vector<StaticMapping>*>;

struct Setting {
  std::string_view section, key, help;
  Field (*field)(Config&);
  Unit unit = Unit::none;
  uint32_t min = 0, max = 0;  // of a number, in the row's unit
  uint32_t values_max = 1;    // more than one: the key may be repeated
  Reload reload = Reload::restart;
  std::string_view example = {};  // set: the key is required, and this is what --print-defaults shows
  std::string_view later = {};    // set: what this version lacks, so that only the default is accepted

  [[nodiscard]] bool required() const { return !example.empty(); }
  [[nodiscard]] bool repeatable() const { return values_max > 1; }
  [[nodiscard]] std::string name() const { return std::string(section) + '.' + std::string(key); }
};

struct Section {
  std::string_view name, help;
};

std::span<const Section> sections();
std::span<const Setting> settings();  // in the order of the file
const Setting* find_setting(std::string_view section, std::string_view key);

// Takes one value; a list gets one element more. Returns what is wrong with the text, and then changes nothing.
[[nodiscard]] std::optional<std::string> set_value(const Setting& setting, Config& config, std::string_view text);
void clear_values(const Setting& setting,
                  Config& config);  // empties a list, so that the file's values replace defaults
// As the file would say them: one text for each line.
std::vector<std::string> value_texts(const Setting& setting, const Config& config);
// "1..64", "on|off", "an IPv6 address"
std::string accepted(const Setting& setting);
std::string_view text_of(Unit unit);      // "seconds"; empty for none
std::string_view text_of(Reload reload);  // "live", "restart"

}  // namespace portolan::control
