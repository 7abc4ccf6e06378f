// A small translator for the PCP server's tests: endpoint-independent mappings with explicit and implicit life, a pool
// of one address, quotas, ports that rest. It answers commands as dataplane/nat does, with maps where that has a slab.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "pcp-server/commands.h"

namespace portolan::pcp::test {

class Translator {
 public:
  struct Record {
    net::Endpoint outside;
    net::Ipv6 b4;
    uint64_t explicit_until_s = 0, pinned_until_s = 0, traffic_until_s = 0;
    std::vector<Filter> let_in;
    [[nodiscard]] uint64_t until_s() const { return std::max({explicit_until_s, pinned_until_s, traffic_until_s}); }
  };
  static constexpr uint32_t idle_s = 300;
  static constexpr net::Ipv4 pool_address{0xc0000207};  // 192.0.2.7

  uint16_t ports_max = 60'000;  // of the pool, 0: there is no pool address
  bool full = false, subscriber_full = false;
  std::set<MappingKey> fixed;  // the operator's own
  uint32_t rest_s = 0;         // for so long a port that was freed is nobody else's

  CommandResult execute(const Command& command, uint64_t now_s) {
    expire(now_s);
    CommandResult result = run(command, now_s);
    result.ticket = command.ticket;
    return result;
  }

  // The inside host sends a packet from the port: makes the mapping if there is none.
  net::Endpoint outbound(const MappingKey& key, uint64_t now_s) {
    expire(now_s);
    auto at = records_.find(key);
    if (at == records_.end()) at = add(key, *choose(key, {}, false));
    at->second.traffic_until_s = now_s + idle_s;
    return at->second.outside;
  }

  void clear(const net::Ipv6& subscriber) {
    std::erase_if(records_, [&](const auto& item) { return item.first.subscriber == subscriber; });
  }
  void clear() { records_.clear(), rests_.clear(); }
  // The pool is renumbered: the mapping gets another port.
  void move(const MappingKey& key, net::Endpoint outside) { records_.at(key).outside = outside; }
  // Somebody else has that outside endpoint.
  void occupy(net::Protocol protocol, uint16_t port) { occupied_.insert({protocol, port}); }

  void expire(uint64_t now_s) {
    for (auto at = records_.begin(); at != records_.end();)
      at = at->second.until_s() <= now_s ? remove(at, at->second.until_s()) : std::next(at);
    std::erase_if(rests_, [&](const auto& item) { return item.second.until_s <= now_s; });
  }
  [[nodiscard]] const std::map<MappingKey, Record>& records() const { return records_; }

 private:
  CommandResult run(const Command& command, uint64_t now_s) {
    switch (command.verb) {
      case Command::Verb::open:
        return command.ports > 1 ? open_several(command, now_s) : open(command, now_s);
      case Command::Verb::open_outbound:
        return open_outbound(command, now_s);
      case Command::Verb::end: {
        Command one = command;
        for (uint16_t i = 1; i < command.ports; ++i) {
          one.key.inside_port = {static_cast<uint16_t>(command.key.inside_port.number + i)};
          end(one, now_s);
        }
        return end(command, now_s);
      }
      case Command::Verb::unpin: {
        const auto at = records_.find(command.key);
        if (at == records_.end()) return {0, CommandResult::Status::unknown, {}, 0};
        at->second.pinned_until_s = now_s + command.pinned_s;
        return {0, CommandResult::Status::done, at->second.outside, 0};
      }
      case Command::Verb::address: {
        const auto his = std::find_if(records_.begin(), records_.end(), [&](const auto& item) {
          return item.first.subscriber == command.key.subscriber;
        });
        if (his == records_.end()) return {0, CommandResult::Status::unknown, {}, 0};
        return {0, CommandResult::Status::done, {his->second.outside.address, {}}, 0};
      }
    }
    return {};
  }

  static bool prohibited(net::Protocol protocol, uint16_t port) {
    return port < 1024 || (protocol == net::Protocol::udp && (port == 5350 || port == 5351));
  }
  using Records = std::map<MappingKey, Record>;
  struct Rest {
    MappingKey of;
    uint64_t until_s;
  };
  Records::iterator add(const MappingKey& key, net::Endpoint outside) {
    rests_.erase({key.protocol, outside});
    return records_.emplace(key, Record{outside, {}, 0, 0, 0, {}}).first;
  }
  Records::iterator remove(Records::iterator at, uint64_t ended_s) {
    if (rest_s > 0)
      rests_.insert_or_assign({at->first.protocol, at->second.outside}, Rest{at->first, ended_s + rest_s});
    return records_.erase(at);
  }
  [[nodiscard]] bool taken(net::Protocol protocol, net::Endpoint outside) const {
    return rests_.contains({protocol, outside}) || occupied_.contains({protocol, outside.port.number}) ||
           std::any_of(records_.begin(), records_.end(), [&](const auto& item) {
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

  CommandResult make(const Command& command, std::map<MappingKey, Record>::iterator& at) {
    if (fixed.contains(command.key)) return {0, CommandResult::Status::fixed, {pool_address, {80}}, 0};
    at = records_.find(command.key);
    if (at != records_.end()) return {0, CommandResult::Status::done, at->second.outside, 0};
    if (ports_max == 0) return {0, CommandResult::Status::no_address, {}, 0};
    if (full) return {0, CommandResult::Status::no_resources, {}, 0};
    if (subscriber_full) return {0, CommandResult::Status::over_quota, {}, 0};
    const auto rest = rests_.find({command.key.protocol, command.suggested});
    const bool his = command.reclaim && rest != rests_.end() && rest->second.of == command.key;
    const auto outside = his ? std::optional(command.suggested) : choose(command.key, command.suggested, command.exact);
    if (!outside && command.exact) return {0, CommandResult::Status::not_available, {}, 0};
    if (!outside) return {0, CommandResult::Status::no_resources, {}, 0};
    at = add(command.key, *outside);
    return {0, CommandResult::Status::done, *outside, 0};
  }

  CommandResult open(const Command& command, uint64_t now_s) {
    const bool known = records_.contains(command.key);
    auto at = records_.end();
    const auto made = make(command, at);
    if (made.status != CommandResult::Status::done) return made;
    if (known && command.exact && at->second.outside.port != command.suggested.port)
      return {0, CommandResult::Status::not_available, {}, 0};
    Record& record = at->second;
    record.b4 = command.b4;
    record.let_in = command.let_in;
    record.pinned_until_s = command.pinned_s == 0 ? 0 : now_s + command.pinned_s;
    record.explicit_until_s = std::max(now_s + command.lifetime_s, command.restored ? 0 : record.traffic_until_s);
    return {0, CommandResult::Status::done, record.outside, static_cast<uint32_t>(record.explicit_until_s - now_s)};
  }

  // As many as lie together, of those asked for.
  CommandResult open_several(const Command& command, uint64_t now_s) {
    Command one = command;
    CommandResult first = open(one, now_s);
    if (first.status != CommandResult::Status::done) return first;
    first.ports = 1;
    const auto inside = [&](uint16_t i) { return static_cast<uint16_t>(command.key.inside_port.number + i); };
    for (uint16_t i = 1; i < command.ports; ++i) {
      one.key.inside_port = {inside(i)};
      one.suggested = {first.outside.address, {static_cast<uint16_t>(first.outside.port.number + i)}};
      one.exact = true;
      const auto next = open(one, now_s);
      if (next.status != CommandResult::Status::done) break;
      first.ports = static_cast<uint16_t>(i + 1);
      first.lifetime_s = std::max(first.lifetime_s, next.lifetime_s);
    }
    for (uint16_t i = 0; i < first.ports; ++i) {  // one lifetime, of each
      one.key.inside_port = {inside(i)};
      records_.at(one.key).explicit_until_s = now_s + first.lifetime_s;
    }
    return first;
  }

  CommandResult open_outbound(const Command& command, uint64_t now_s) {
    auto at = records_.end();
    const auto made = make(command, at);
    if (made.status != CommandResult::Status::done) return made;
    Record& record = at->second;
    record.b4 = command.b4;
    record.let_in = command.let_in;
    if (record.traffic_until_s == 0) record.traffic_until_s = now_s + idle_s;
    record.pinned_until_s = std::max(record.pinned_until_s, now_s + command.lifetime_s);
    return {0, CommandResult::Status::done, record.outside, static_cast<uint32_t>(record.until_s() - now_s)};
  }

  CommandResult end(const Command& command, uint64_t now_s) {
    if (fixed.contains(command.key)) return {0, CommandResult::Status::fixed, {}, 0};
    const auto at = records_.find(command.key);
    if (at == records_.end()) return {0, CommandResult::Status::unknown, {}, 0};
    Record& record = at->second;
    const auto left_s = static_cast<uint32_t>(record.traffic_until_s - std::min(record.traffic_until_s, now_s));
    if (record.explicit_until_s <= now_s) return {0, CommandResult::Status::implicit, {}, left_s};
    record.explicit_until_s = 0;
    record.let_in = command.let_in;
    record.pinned_until_s = command.pinned_s == 0 ? 0 : now_s + command.pinned_s;
    if (record.until_s() <= now_s) remove(at, now_s);
    return {0, CommandResult::Status::done, {}, left_s};
  }

  Records records_;
  std::map<std::pair<net::Protocol, net::Endpoint>, Rest> rests_;
  std::set<std::pair<net::Protocol, uint16_t>> occupied_;
};

}  // namespace portolan::pcp::test
