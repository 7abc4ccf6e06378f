#include "controlplane/config_difference.h"

#include <algorithm>
#include <iterator>

namespace portolan::control {

namespace {

std::string text_of(const std::vector<std::string>& values) {
  std::string out;
  for (const auto& value : values) out += (out.empty() ? "" : ", ") + value;
  return out.empty() ? "none" : out;
}

}  // namespace

std::vector<Change> differences(const Config& was, const Config& is) {
  std::vector<Change> changes;
  for (const auto& setting : settings()) {
    const auto before = value_texts(setting, was), after = value_texts(setting, is);
    if (before != after) changes.push_back({&setting, text_of(before), text_of(after)});
  }
  return changes;
}

std::vector<Change> needing_restart(std::span<const Change> changes) {
  std::vector<Change> out;
  std::ranges::copy_if(changes, std::back_inserter(out),
                       [](const Change& change) { return change.setting->reload == Reload::restart; });
  return out;
}

std::string to_text(const Change& change) { return change.setting->name() + ": " + change.was + " -> " + change.is; }

}  // namespace portolan::control
