// Exhaustion is a normal state, and one an operator hears of three times: when a bounded resource nears its end, when
// it refuses, and when it is available again. Each is said once, however many packets meet it (RFC 6888 REQ-11c). No
// clock: the time is an argument. Owner: the control thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace portolan::control {

struct ResourceReading {
  std::string name;                 // "port blocks of 192.0.2.0/28"; the same for the same resource every time
  uint64_t used = 0, capacity = 0;  // capacity 0: only refusals tell (a ring that fills and empties within a second)
  uint64_t refused = 0;             // counts up since the start
};

enum class ResourceState : uint8_t { available, high, full };
constexpr std::string_view to_text(ResourceState state) {
  return state == ResourceState::full ? "full" : state == ResourceState::high ? "high" : "available";
}

struct ResourceChange {
  ResourceReading reading;
  ResourceState state{};  // now
  uint64_t refused = 0;   // full: since the last look; available: since it became full
};
std::string to_text(const ResourceChange& change);

class Exhaustion {
 public:
  static constexpr uint64_t quiet_ms = 10'000;        // without a refusal, before a resource is called available again
  static constexpr unsigned hysteresis_percent = 10;  // below the high threshold, likewise

  // What became of the resources since the last look. A resource seen for the first time is available, and its refusals
  // so far are old news; one that is not read any more is forgotten.
  std::vector<ResourceChange> look(std::span<const ResourceReading> readings, unsigned high_percent, uint64_t now_ms);

  struct Alarm {
    std::string name;
    ResourceState state{};
  };
  [[nodiscard]] std::vector<Alarm> alarms() const;  // what is not available, by name

 private:
  struct Known {
    ResourceState state = ResourceState::available;
    uint64_t refused = 0;         // at the last look
    uint64_t refused_before = 0;  // when it became full
    uint64_t troubled_ms = 0;     // when it last was refused or above where it would be available
    bool seen = false;
  };
  static std::optional<ResourceChange> step(Known& known, const ResourceReading& reading, unsigned high_percent,
                                            uint64_t now_ms);

  std::map<std::string, Known> resources_;
};

}  // namespace portolan::control
