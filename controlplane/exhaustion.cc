#include "controlplane/exhaustion.h"

#include <algorithm>

namespace portolan::control {

namespace {

bool reaches(const ResourceReading& reading, unsigned percent) {
  return reading.capacity > 0 && reading.used * 100 >= reading.capacity * percent;
}

std::string use_text(const ResourceReading& reading) {
  return std::to_string(reading.used * 100 / reading.capacity) + "% used (" + std::to_string(reading.used) + " of " +
         std::to_string(reading.capacity) + ")";
}

}  // namespace

std::string to_text(const ResourceChange& change) {
  const auto& reading = change.reading;
  switch (change.state) {
    case ResourceState::high:
      return reading.name + ": " + use_text(reading);
    case ResourceState::full:
      return reading.name + ": full" + (reading.capacity > 0 ? ", " + use_text(reading) : "") +
             (change.refused > 0 ? ", " + std::to_string(change.refused) + " refused" : "");
    case ResourceState::available:
      break;
  }
  return reading.name + ": available again" + (reading.capacity > 0 ? ", " + use_text(reading) : "") +
         (change.refused > 0 ? ", " + std::to_string(change.refused) + " were refused" : "");
}

std::optional<ResourceChange> Exhaustion::step(Known& known, const ResourceReading& reading, unsigned high_percent,
                                               uint64_t now_ms) {
  const uint64_t refused = reading.refused - std::min(reading.refused, known.refused);
  const bool is_full = refused > 0 || reaches(reading, 100);
  const unsigned low_percent = high_percent - std::min(high_percent, hysteresis_percent);
  if (is_full || reaches(reading, low_percent)) known.troubled_ms = now_ms;
  const uint64_t refused_before = known.refused;
  known.refused = reading.refused;

  if (is_full && known.state != ResourceState::full) {
    known.state = ResourceState::full;
    known.refused_before = refused_before;
    return ResourceChange{reading, ResourceState::full, refused};
  }
  if (known.state == ResourceState::available && reaches(reading, high_percent)) {
    known.state = ResourceState::high;
    known.refused_before = reading.refused;
    return ResourceChange{reading, ResourceState::high, 0};
  }
  if (known.state != ResourceState::available && now_ms - known.troubled_ms >= quiet_ms) {
    known.state = ResourceState::available;
    return ResourceChange{reading, ResourceState::available, reading.refused - known.refused_before};
  }
  return std::nullopt;
}

std::vector<ResourceChange> Exhaustion::look(std::span<const ResourceReading> readings, unsigned high_percent,
                                             uint64_t now_ms) {
  std::vector<ResourceChange> changes;
  for (auto& [name, known] : resources_) known.seen = false;
  for (const auto& reading : readings) {
    const auto [at, is_new] = resources_.try_emplace(reading.name);
    if (is_new) at->second.refused = reading.refused;
    at->second.seen = true;
    if (auto change = step(at->second, reading, high_percent, now_ms)) changes.push_back(std::move(*change));
  }
  std::erase_if(resources_, [](const auto& each) { return !each.second.seen; });
  return changes;
}

std::vector<Exhaustion::Alarm> Exhaustion::alarms() const {
  std::vector<Alarm> out;
  for (const auto& [name, known] : resources_)
    if (known.state != ResourceState::available) out.push_back({name, known.state});
  return out;
}

}  // namespace portolan::control
