// Mappings that the configuration names: they are there without traffic, never end by themselves, and nobody but the
// configuration ends them. Immutable; part of the policy. Each shard makes those of its own subscribers
// (shard_static.cc).
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <string_view>
#include <tuple>
#include <vector>

#include "dataplane/nat/command.h"
#include "dataplane/nat/mapping.h"

namespace portolan::nat {

struct StaticMapping {
  OutboundKey key;
  net::Ipv6 b4;  // where the subscriber is until a packet of his tells; zero: not known. NAT44: inside, IPv4-mapped
  net::Endpoint outside;
  friend bool operator==(const StaticMapping&, const StaticMapping&) = default;
};

class StaticMappings {
 public:
  StaticMappings() = default;
  explicit StaticMappings(std::vector<StaticMapping> rows) : rows_(std::move(rows)) {
    std::ranges::sort(rows_, {}, place_of_row);
  }

  [[nodiscard]] const std::vector<StaticMapping>& rows() const { return rows_; }
  // The mapping is one of them: both ends are as they say.
  [[nodiscard]] bool has(const OutboundKey& key, net::Endpoint outside) const {
    const auto at = std::ranges::lower_bound(rows_, place(outside, key.protocol), {}, place_of_row);
    return at != rows_.end() && at->outside == outside && at->key == key;
  }
  friend bool operator==(const StaticMappings&, const StaticMappings&) = default;

 private:
  using Place = std::tuple<uint32_t, uint16_t, net::Protocol>;
  static Place place(net::Endpoint outside, net::Protocol protocol) {
    return {outside.address.bits, outside.port.number, protocol};
  }
  static Place place_of_row(const StaticMapping& row) { return place(row.outside, row.key.protocol); }

  std::vector<StaticMapping> rows_;  // sorted by outside endpoint and protocol, which is of one row only
};

// Why one of them is not there yet: one enumerator, one text.
#define PORTOLAN_STATIC_OBSTACLES(X)                                                                             \
  X(none, "nothing")                                                                                             \
  X(port_in_use, "its outside port is in use by another mapping; clear that, or wait until it ends")             \
  X(port_rests, "its outside port was another subscriber's and rests (pool.quarantine)")                         \
  X(block_of_another, "its port block is another subscriber's; clear him, or wait until he has given it back")   \
  X(blocks_spent, "its subscriber has as many port blocks as one can have; clear him, or give a port of one")    \
  X(another_worker, "its outside port belongs to another worker than its subscriber; a restart puts that right") \
  X(no_room, "the table of mappings or of subscribers is full")

enum class StaticObstacle : uint8_t {
#define X(name, text) name,
  PORTOLAN_STATIC_OBSTACLES(X)
#undef X
};
inline constexpr std::string_view static_obstacle_texts[] = {
#define X(name, text) text,
    PORTOLAN_STATIC_OBSTACLES(X)
#undef X
};
constexpr std::string_view to_text(StaticObstacle obstacle) {
  return static_obstacle_texts[static_cast<size_t>(obstacle)];
}

}  // namespace portolan::nat
