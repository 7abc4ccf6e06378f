// A small translator for the PCP server's tests: endpoint-independent mappings with explicit and implicit life, a pool
// of one address, quotas. It answers commands as dataplane/nat does, with maps where that has a slab.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "pcp-server/commands.h"

namespace portolan::pcp::test {

class Translator {
 public:
  struct Record {
    net::Endpoint outside;
    net::Ipv6 b4;
    uint64_t explicit_until_s = 0, traffic_until_s = 0;
  };
  static constexpr uint32_t idle_s = 300;
  static constexpr net::Ipv4 pool_address{0xc0000207};  // 192.0.2.7

  uint16_t ports_max = 60'000;  // of the pool, 0: there is no pool address
  bool full = false, subscriber_full = false;

  CommandResult execute(const Command& command, uint64_t now_s) {
    expire(now_s);
    CommandResult result = command.verb == Command::Verb::open ? open(command, now_s) : end(command, now_s);
    result.ticket = command.ticket;
    return result;
  }

  // The inside host sends a packet from the port: makes the mapping if there is none.
  net::Endpoint outbound(const MappingKey& key, uint64_t now_s) {
    expire(now_s);
    auto at = records_.find(key);
    if (at == records_.end()) at = records_.emplace(key, Record{*choose(key, {}, false), {}, 0, 0}).first;
    at->second.traffic_until_s = now_s + idle_s;
    return at->second.outside;
  }

  void clear(const net::Ipv6& subscriber) {
    std::erase_if(records_, [&](const auto& item) { return item.first.subscriber == subscriber; });
  }
  // The pool is renumbered: the mapping gets another port.
  void move(const MappingKey& key, net::Endpoint outside) { records_.at(key).outside = outside; }

  void expire(uint64_t now_s) {
    std::erase_if(records_, [&](const auto& item) {
      return item.second.explicit_until_s <= now_s && item.second.traffic_until_s <= now_s;
    });
  }
  [[nodiscard]] const std::map<MappingKey, Record>& records() const { return records_; }

 private:
  static bool prohibited(net::Protocol protocol, uint16_t port) {
    return port < 1024 || (protocol == net::Protocol::udp && (port == 5350 || port == 5351));
  }
  [[nodiscard]] bool taken(net::Protocol protocol, net::Endpoint outside) const {
    return std::any_of(records_.begin(), records_.end(), [&](const auto& item) {
      return item.first.protocol == protocol && item.second.outside == outside;
    });
  }

  std::optional<net::Endpoint> choose(const MappingKey& key, net::Endpoint suggested, bool exact) const {
    const bool ours = suggested.address == net::Ipv4{} || suggested.address == pool_address;
    const net::Endpoint wanted{pool_address, suggested.port};
    if (ours && !prohibited(key.protocol, suggested.port.number) && !taken(key.protocol, wanted)) return wanted;
    if (exact) return std::nullopt;
    for (uint16_t i = 0; i < ports_max; ++i) {
      const net::Endpoint candidate{pool_address, {static_cast<uint16_t>(1024 + i)}};
      if (!prohibited(key.protocol, candidate.port.number) && !taken(key.protocol, candidate)) return candidate;
    }
    return std::nullopt;
  }

  CommandResult open(const Command& command, uint64_t now_s) {
    auto at = records_.find(command.key);
    if (at == records_.end()) {
      if (ports_max == 0) return {0, CommandResult::Status::no_address, {}, 0};
      if (full) return {0, CommandResult::Status::no_resources, {}, 0};
      if (subscriber_full) return {0, CommandResult::Status::over_quota, {}, 0};
      const auto outside = choose(command.key, command.suggested, command.exact);
      if (!outside && command.exact) return {0, CommandResult::Status::not_available, {}, 0};
      if (!outside) return {0, CommandResult::Status::no_resources, {}, 0};
      at = records_.emplace(command.key, Record{*outside, {}, 0, 0}).first;
    } else if (command.exact && at->second.outside.port != command.suggested.port) {
      return {0, CommandResult::Status::not_available, {}, 0};
    }
    Record& record = at->second;
    record.b4 = command.b4;
    record.explicit_until_s = std::max(now_s + command.lifetime_s, record.traffic_until_s);
    return {0, CommandResult::Status::done, record.outside, static_cast<uint32_t>(record.explicit_until_s - now_s)};
  }

  CommandResult end(const Command& command, uint64_t now_s) {
    const auto at = records_.find(command.key);
    if (at == records_.end()) return {0, CommandResult::Status::unknown, {}, 0};
    Record& record = at->second;
    const auto left_s = static_cast<uint32_t>(record.traffic_until_s - std::min(record.traffic_until_s, now_s));
    if (record.explicit_until_s <= now_s) return {0, CommandResult::Status::implicit, {}, left_s};
    record.explicit_until_s = 0;
    if (left_s == 0) records_.erase(at);
    return {0, CommandResult::Status::done, {}, left_s};
  }

  std::map<MappingKey, Record> records_;
};

}  // namespace portolan::pcp::test
