// The table: what is granted to whom and until when, since when epochs count, and what the operator does with it.
#include <algorithm>

#include "pcp-server/judgements.h"
#include "pcp-server/server.h"

namespace portolan::pcp {

void Server::grant(Entries::iterator at, Granted granted) {
  tell(at->first, at->second.granted ? &at->second.granted->mapping : nullptr, &granted.mapping);
  keep(at, std::move(granted));
}

// One that its client has deleted has ended, whatever traffic still keeps alive.
void Server::tell(const RecordKey& key, const Mapping* before, const Mapping* after) {
  if (!settings_.tells_mappings) return;
  const bool was = before != nullptr && !before->ended, is = after != nullptr && !after->ended;
  if (was && is && before->outside == after->outside && before->ports == after->ports) return;
  if (was) effects_.events.push_back({MappingEvent::Kind::ended, key, *before});
  if (is) effects_.events.push_back({MappingEvent::Kind::made, key, *after});
}

void Server::keep(Entries::iterator at, Granted granted) {
  auto& held = at->second.granted;
  if (held && held->mapping.expires_s != granted.mapping.expires_s) {
    by_expiry_.erase(at->second.expiry);
    held.reset();
  }
  // Most lifetimes are alike, so most new ones end last.
  if (!held) at->second.expiry = by_expiry_.emplace_hint(by_expiry_.end(), granted.mapping.expires_s, &at->first);
  held = std::move(granted);
  count_held(at);
}

void Server::count_held(Entries::iterator at) {
  Entry& entry = at->second;
  uint32_t now = 0;
  if (entry.granted)
    now = entry.granted->mapping.ports;
  else if (entry.pending && entry.pending->command.verb != Command::Verb::end)
    now = entry.pending->command.ports;
  if (now == entry.held) return;
  const auto his = held_.try_emplace(at->first.mapping.subscriber).first;
  his->second += now - entry.held;
  entry.held = now;
  if (his->second == 0) held_.erase(his);
}

void Server::revoke(Entries::iterator at) {
  if (at->second.granted) {
    tell(at->first, &at->second.granted->mapping, nullptr);
    by_expiry_.erase(at->second.expiry);
    at->second.granted.reset();
    count_held(at);
    if (settings_.durable) effects_.changes.push_back({0, at->first, std::nullopt});
  }
  forget_if_empty(at);
}

// A MAP that had one port has ended; a MAP of several is several ports again, which nobody gets back as one.
void Server::let_rest(Entries::iterator at, uint64_t now_s) {
  const RecordKey& key = at->first;
  const auto& granted = at->second.granted;
  if (key.is_peer() || !granted || granted->mapping.ports != 1) return;
  const uint32_t rest_s = key.mapping.protocol == net::Protocol::tcp ? settings_.rest_tcp_s : settings_.rest_s;
  resting_.put(key.mapping, *granted, now_s + rest_s, settings_.mappings_max);
}

void Server::expire(uint64_t now_s) {
  resting_.expire(now_s);
  std::vector<RecordKey> ended;  // all before any is settled: what goes on of a mapping is what is left then
  while (!by_expiry_.empty() && by_expiry_.begin()->first <= now_s) {
    ++counters_[Event::expired];
    const RecordKey key = *by_expiry_.begin()->second;
    const auto at = entries_.find(key);
    let_rest(at, now_s);
    revoke(at);
    ended.push_back(key);
  }
  for (const RecordKey& key : ended) settle(key, now_s);
}

// A record's time is up. The translator sees that by itself, unless another record of the same mapping goes on.
void Server::settle(const RecordKey& key, uint64_t now_s) {
  const auto first = entries_.lower_bound({key.mapping, {}});
  if (first == entries_.end() || first->first.mapping != key.mapping || is_busy(key.mapping)) return;
  Command command;
  command.key = key.mapping;
  command.pinned_s = pinned_s(key.mapping, now_s);
  const auto* filters = map_filters_of(key.mapping);
  command.let_in = let_in(key.mapping, filters);
  if (!key.is_peer()) {
    command.verb = Command::Verb::end;
  } else if (filters == nullptr) {
    command.verb = Command::Verb::unpin;
  } else {
    if (filters->empty()) return;
    const Mapping& map = first->second.granted->mapping;
    command.verb = Command::Verb::open;
    command.b4 = map.b4;
    command.suggested = map.outside;
    command.lifetime_s = remaining_s(map.expires_s, now_s);
  }
  effects_.commands.push_back(std::move(command));
}

bool Server::is_busy(const MappingKey& key) const {
  for (auto at = entries_.lower_bound({key, {}}); at != entries_.end() && at->first.mapping == key; ++at)
    if (at->second.pending) return true;
  return false;
}

uint32_t Server::pinned_s(const MappingKey& key, uint64_t now_s) const {
  uint32_t pinned = 0;
  for (auto at = entries_.lower_bound({key, {}}); at != entries_.end() && at->first.mapping == key; ++at)
    if (at->first.is_peer() && at->second.granted)
      pinned = std::max(pinned, remaining_s(at->second.granted->mapping.expires_s, now_s));
  return pinned;
}

const std::vector<Filter>* Server::map_filters_of(const MappingKey& key) const {
  const auto at = entries_.find({key, {}});
  if (at == entries_.end() || !at->second.granted || at->second.granted->mapping.ended) return nullptr;
  return &at->second.granted->mapping.filters;
}

// `map_filters`: of the mapping's MAP, null if it has none.
std::vector<Filter> Server::let_in(const MappingKey& key, const std::vector<Filter>* map_filters,
                                   net::Endpoint one_more) const {
  const bool shuts_out = map_filters ? !map_filters->empty() : settings_.filters_by_remote;
  if (!shuts_out) return {};
  std::vector<Filter> out;
  if (map_filters) out = *map_filters;
  const auto add = [&](net::Endpoint remote) {
    const Filter filter{{remote.address, 32}, remote.port};
    if (remote != net::Endpoint{} && std::ranges::find(out, filter) == out.end()) out.push_back(filter);
  };
  for (auto at = entries_.lower_bound({key, {}}); at != entries_.end() && at->first.mapping == key; ++at)
    if (at->second.granted) add(at->first.remote);
  add(one_more);
  return out;
}

// The MAPs, granted or asked for, that have some of the ports.
std::vector<Server::Entries::iterator> Server::overlapping(const MappingKey& key, uint16_t ports) {
  std::vector<Entries::iterator> out;
  const uint32_t first = uint16_t{key.inside_port.number}, end = first + ports;
  const uint32_t from = sets_seen_ ? first - std::min<uint32_t>(first, port_set_max - 1) : first;
  const MappingKey low{key.subscriber, key.inside_address, {static_cast<uint16_t>(from)}, {}};
  for (auto at = entries_.lower_bound({low, {}}); at != entries_.end(); ++at) {
    const MappingKey& other = at->first.mapping;
    const uint32_t other_first = uint16_t{other.inside_port.number};
    if (other.subscriber != key.subscriber || other.inside_address != key.inside_address || other_first >= end) break;
    if (other.protocol != key.protocol || at->first.is_peer()) continue;
    const uint32_t other_ports = std::max(at->second.granted ? at->second.granted->mapping.ports : uint16_t{1},
                                          at->second.pending ? at->second.pending->command.ports : uint16_t{1});
    if (other_first + other_ports > first) out.push_back(at);
  }
  return out;
}

const Mapping* Server::find(const RecordKey& key) const {
  const auto at = entries_.find(key);
  return at == entries_.end() || !at->second.granted ? nullptr : &at->second.granted->mapping;
}

// --- restarts and moves ---

bool Server::restore(const RecordKey& key, const Granted& granted, uint64_t now_s) {
  if (granted.mapping.expires_s <= now_s || entries_.size() >= settings_.mappings_max || entries_.contains(key)) {
    if (settings_.durable && !entries_.contains(key)) effects_.changes.push_back({0, key, std::nullopt});
    return false;
  }
  if (granted.mapping.ports > 1) sets_seen_ = true;
  keep(entries_.try_emplace(key).first, granted);
  ++counters_[Event::restored];
  return true;
}

void Server::restore_epoch(const EpochChange& epoch) {
  if (epoch.subscriber)
    epoch_starts_[*epoch.subscriber] = epoch.start_s;
  else
    epoch_start_s_ = epoch.start_s;
}

bool Server::reopen(const RecordKey& key, uint64_t now_s) {
  const auto at = entries_.find(key);
  if (at == entries_.end() || !at->second.granted || is_busy(key.mapping)) return false;
  const Mapping& mapping = at->second.granted->mapping;
  if (mapping.ended) return false;
  Pending pending;
  pending.asker = Asker::server;
  Command& command = pending.command;
  command.verb = key.is_peer() ? Command::Verb::open_outbound : Command::Verb::open;
  command.key = key.mapping;
  command.b4 = mapping.b4;
  command.suggested = mapping.outside;
  command.exact = mapping.prefer_failure;
  command.reclaim = command.restored = true;
  command.lifetime_s = remaining_s(mapping.expires_s, now_s);
  command.pinned_s = pinned_s(key.mapping, now_s);
  command.remote = key.remote;
  command.let_in = let_in(key.mapping, map_filters_of(key.mapping), key.remote);
  command.ports = mapping.ports;
  effects_.commands.push_back(begin(key, std::move(pending)).command);
  return true;
}

// --- the operator ---

void Server::wish(const Wish& wish, uint64_t token, uint64_t now_s) {
  const RecordKey key{wish.key, {}};
  const auto touched = overlapping(wish.key, 1);
  const bool is_anothers = !touched.empty() && touched.front()->first != key;
  if (is_busy(wish.key) || is_anothers) {
    effects_.answers.push_back({token, Code::no_resources, {}, 0});
    return;
  }
  const auto& before = touched.empty() ? std::nullopt : touched.front()->second.granted;
  Pending pending;
  pending.asker = Asker::operators;
  pending.token = token;
  pending.known = before.has_value();
  Command& command = pending.command;
  command.key = wish.key;
  command.b4 = wish.b4;
  command.pinned_s = pinned_s(wish.key, now_s);
  command.ports = before ? before->mapping.ports : uint16_t{1};
  if (wish.lifetime_s == 0) {
    command.verb = Command::Verb::end;
    command.let_in = let_in(wish.key, nullptr);
    const bool on_disk = settings_.durable && before && !before->mapping.ended;
    pending.stage = on_disk ? Stage::storing : Stage::translating;
    const Command asked = begin(key, std::move(pending)).command;
    if (on_disk)
      effects_.changes.push_back({asked.ticket, key, std::nullopt});
    else
      effects_.commands.push_back(asked);
    return;
  }
  Granted next = before && !before->mapping.ended ? *before : Granted{};
  if (!before || before->mapping.ended) next.mapping.open_nonce = true;
  next.mapping.b4 = wish.b4;
  if (!wish.description.empty()) next.mapping.description = wish.description;
  command.verb = Command::Verb::open;
  command.suggested = wish.suggested.port == net::Port{} && before ? before->mapping.outside : wish.suggested;
  command.exact = wish.suggested != net::Endpoint{};
  command.reclaim = true;
  command.lifetime_s = wish.lifetime_s;
  command.let_in = let_in(wish.key, &next.mapping.filters);
  pending.next = std::move(next);
  effects_.commands.push_back(begin(key, std::move(pending)).command);
}

size_t Server::forget(const net::Ipv6& subscriber) {
  resting_.forget(subscriber);
  const size_t before = size();
  for (auto at = first_of(subscriber); at != entries_.end() && at->first.mapping.subscriber == subscriber;)
    revoke(at++);
  return before - size();
}

size_t Server::forget(const MappingKey& mapping) {
  const size_t before = size();
  for (auto at = entries_.lower_bound({mapping, {}}); at != entries_.end() && at->first.mapping == mapping;)
    revoke(at++);
  return before - size();
}

size_t Server::forget_all() {
  resting_.clear();
  const size_t before = size();
  while (!by_expiry_.empty()) revoke(entries_.find(*by_expiry_.begin()->second));
  return before;
}

// --- epochs ---

uint32_t Server::epoch_s(const net::Ipv6& subscriber, uint64_t now_s) const {
  const auto own = epoch_starts_.empty() ? epoch_starts_.end() : epoch_starts_.find(subscriber);
  return static_cast<uint32_t>(now_s - (own == epoch_starts_.end() ? epoch_start_s_ : own->second));
}

void Server::restart_epoch(uint64_t now_s) {
  epoch_start_s_ = now_s;
  epoch_starts_.clear();
  if (settings_.durable) effects_.epochs.push_back({std::nullopt, now_s});
}

void Server::restart_epoch(const net::Ipv6& subscriber, uint64_t now_s) {
  if (epoch_starts_.size() == own_epochs_max && !epoch_starts_.contains(subscriber)) return restart_epoch(now_s);
  uint64_t& start = epoch_starts_[subscriber];
  if (start == now_s) return;
  start = now_s;
  if (settings_.durable) effects_.epochs.push_back({subscriber, now_s});
}

std::vector<Client> Server::clients_of(const net::Ipv6& subscriber) const {
  std::vector<Client> clients;
  for (auto at = entries_.lower_bound({{subscriber, {}, {}, {}}, {}});
       at != entries_.end() && at->first.mapping.subscriber == subscriber; ++at) {
    if (!at->second.granted) continue;
    const auto client = at->second.granted->mapping.known_client();
    if (client && std::ranges::find(clients, *client) == clients.end()) clients.push_back(*client);
  }
  return clients;
}

void Server::announce_to(const net::Ipv6& subscriber, const std::vector<Client>& clients, uint64_t now_s) {
  for (const Client& client : clients)
    if (client.natpmp)
      natpmp_announce(subscriber, client.at, now_s);
    else
      effects_.notices.push_back(
          {client.at, subscriber, build_announce_response(epoch_s(subscriber, now_s)), std::nullopt});
}

}  // namespace portolan::pcp
