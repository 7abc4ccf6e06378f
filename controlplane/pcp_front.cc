#include "controlplane/pcp_front.h"

#include <algorithm>
#include <sys/random.h>
#include <utility>
#include <vector>

#include "controlplane/pcp_loss.h"

namespace portolan::control {

namespace {

constexpr size_t reopened_per_poll = 64;  // so that the control thread and the rings have room for others

uint64_t random_seed() {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = 1;
  return seed;
}

nat::Command::Verb to_nat(pcp::Command::Verb verb) {
  switch (verb) {
    case pcp::Command::Verb::open:
      return nat::Command::Verb::open_explicit;
    case pcp::Command::Verb::open_outbound:
      return nat::Command::Verb::open_outbound;
    case pcp::Command::Verb::end:
      return nat::Command::Verb::end_explicit;
    case pcp::Command::Verb::unpin:
      return nat::Command::Verb::unpin;
    case pcp::Command::Verb::address:
      return nat::Command::Verb::tell_address;
  }
  return nat::Command::Verb::unpin;
}

pcp::CommandResult::Status to_pcp(nat::CommandResult::Status status) {
  using From = nat::CommandResult::Status;
  using To = pcp::CommandResult::Status;
  switch (status) {
    case From::done:
      return To::done;
    case From::table_full:
    case From::pool_exhausted:
      return To::no_resources;
    case From::over_quota:
      return To::over_quota;
    case From::not_available:
      return To::not_available;
    case From::not_explicit:
      return To::implicit;
    case From::unknown:
      return To::unknown;
  }
  return To::no_resources;
}

pcp::CommandResult to_pcp(uint64_t ticket, const nat::CommandResult& result) {
  const bool fixed = result.status == nat::CommandResult::Status::done && result.lifetime_s == nat::static_lifetime_s;
  return {ticket, fixed ? pcp::CommandResult::Status::fixed : to_pcp(result.status), result.outside, result.lifetime_s,
          result.ports};
}

pcp::Source source_of(const PcpDatagram& datagram) {
  return {datagram.b4, datagram.inner_source, datagram.inner_source ? net::mapped(datagram.server4) : datagram.server6,
          datagram.client_port};
}

net::Mac multicast_mac(const pcp::Source& to) {
  if (!to.inner) return {{0x33, 0x33, to.b4.bytes[12], to.b4.bytes[13], to.b4.bytes[14], to.b4.bytes[15]}};
  const uint32_t bits = to.inner->bits;
  return {{0x01, 0x00, 0x5e, static_cast<uint8_t>(bits >> 16 & 0x7f), static_cast<uint8_t>(bits >> 8),
           static_cast<uint8_t>(bits)}};
}

bool is_multicast(const pcp::Source& to) { return to.inner ? *to.inner == all_hosts : to.b4 == all_nodes; }

}  // namespace

PcpFront::PcpFront(pcp::Settings settings, const pipeline::Snapshot& snapshot, Translator& translator, Now now)
    : snapshot_(&snapshot),
      translator_(translator),
      now_(std::move(now)),
      server_(std::move(settings), now_(), random_seed()) {}

// --- start ---

PcpFront::Restored PcpFront::restore(std::optional<pcp::Store::Opened> store, const Execute& execute,
                                     const EachRecord& each_record) {
  Restored restored;
  const bool knows_before = store && !store->contents.epochs.empty();
  if (store) {
    store_ = std::move(store->store);
    for (const auto& epoch : store->contents.epochs) server_.restore_epoch(epoch);
  }
  if (!knows_before) {
    server_.restart_epoch(now_());
    if (server_.settings().enabled) restored.told = announce_loss(each_record);
  }
  carry_out(server_.take_effects());
  if (!store) return restored;
  for (const auto& [key, granted] : store->contents.records)
    if (server_.restore(key, granted, now_())) ++restored.records;
  carry_out(server_.take_effects());
  for (const auto& [key, granted] : store->contents.records) {
    server_.reopen(key, now_());
    pcp::Effects effects = server_.take_effects();
    const auto commands = std::exchange(effects.commands, {});
    carry_out(std::move(effects));
    for (const auto& command : commands)
      carry_out(server_.complete(to_pcp(command.ticket, execute(to_nat(command))), now_()));
  }
  restored.moved = server_.counters()[pcp::Event::moved];
  restored.lost = server_.counters()[pcp::Event::lost];
  return restored;
}

// Behind softwires only those are known who have a mapping that is still there.
size_t PcpFront::announce_loss(const EachRecord& each_record) {
  const bool natpmp = server_.settings().natpmp_enabled;
  announcer_.add(notices_to_links(*snapshot_, natpmp), 0);
  LostClients clients;
  each_record([&](const nat::Mapping& record) { clients.add(record, now_()); });
  auto notices = clients.notices(*snapshot_, natpmp);
  for (pcp::Notice& notice : notices) notice.subscriber = server_.subscriber_of(notice.to.b4);
  announcer_.add(std::move(notices), 0);
  for (const auto& [b4, softwire] : clients.softwires(*snapshot_))
    if (ways_.size() < ways_max) ways_.insert_or_assign(b4, Way{std::nullopt, softwire});
  return clients.size();
}

// --- requests ---

// Subscribers only: what arrived in a softwire was checked on its way, plain IPv6 is checked here (PCP-006).
bool PcpFront::may_ask(const PcpDatagram& datagram) const {
  const auto holds = [&](const net::Ipv6Prefix& prefix) { return net::contains(prefix, datagram.b4); };
  return datagram.inner_source || std::ranges::any_of(snapshot_->softwire.allowed_prefixes, holds) ||
         std::ranges::any_of(server_.settings().portal_from, holds);
}

void PcpFront::on_pcp(const PcpDatagram& datagram) {
  if (!may_ask(datagram)) return;
  remember_way(datagram);
  carry_out(server_.handle(datagram.payload, source_of(datagram), now_()));
}

void PcpFront::carry_out(pcp::Effects effects) {
  keep(std::move(effects.changes), std::move(effects.epochs));
  for (const auto& reply : effects.replies) send(reply);
  announcer_.add(std::move(effects.notices), 0);
  if (record_) std::ranges::for_each(effects.events, record_);
  for (const auto& answer : effects.answers)
    if (auto asked = wishes_.extract(answer.token)) asked.mapped()(answer);
  for (const auto& command : effects.commands) {
    if (submit(command)) continue;
    if (command.ticket == 0)
      deferred_.push_back(command);
    else
      carry_out(server_.complete({command.ticket, pcp::CommandResult::Status::no_resources, {}, 0}, now_()));
  }
}

bool PcpFront::submit(const pcp::Command& command) {
  return translator_.submit(to_nat(command), [this, ticket = command.ticket](const nat::CommandResult& result) {
    carry_out(server_.complete(to_pcp(ticket, result), now_()));
  });
}

void PcpFront::keep(std::vector<pcp::Change> changes, std::vector<pcp::EpochChange> epochs) {
  if (!store_) return;
  std::vector<pcp::Store::Item> items;
  items.reserve(changes.size() + epochs.size());
  std::move(epochs.begin(), epochs.end(), std::back_inserter(items));
  std::move(changes.begin(), changes.end(), std::back_inserter(items));
  store_->submit(std::move(items));
}

nat::Command PcpFront::to_nat(const pcp::Command& command) const {
  nat::Command out;
  out.verb = control::to_nat(command.verb);
  out.exact = command.exact;
  out.reclaim = command.reclaim;
  out.restored = command.restored;
  const auto& ours = snapshot_->softwire.aftr_addresses;
  const auto way = ways_.find(command.b4);
  const auto at = way == ways_.end() ? ours.end() : std::ranges::find(ours, way->second.softwire);
  out.softwire = at == ours.end() ? uint8_t{0} : static_cast<uint8_t>(at - ours.begin());
  out.key = {command.key.subscriber, command.key.inside_address, command.key.inside_port, command.key.protocol, 0};
  out.b4 = command.b4;
  out.suggested = command.suggested;
  out.remote = command.remote;
  out.lifetime_s = command.lifetime_s;
  out.pinned_s = command.pinned_s;
  out.ports = command.ports;
  out.keep_parity = command.keep_parity;
  for (const auto& filter : command.let_in)
    if (out.let_in.count < nat::FilterList::capacity)
      out.let_in.filters[out.let_in.count++] = {filter.from, filter.port};
  static_assert(nat::FilterList::capacity >= pcp::filters_max + pcp::peers_max);
  return out;
}

// --- replies ---

// Most clients are behind the gateway and use the first softwire address: nothing has to be remembered of them.
void PcpFront::remember_way(const PcpDatagram& datagram) {
  const auto& ours = snapshot_->softwire.aftr_addresses;
  const net::Ipv6 softwire = datagram.inner_source ? datagram.softwire : datagram.server6;
  const bool is_usual = !datagram.neighbor && (net::is_mapped(datagram.b4) || ours.empty() || softwire == ours.front());
  if (is_usual && ways_.empty()) return;
  if (is_usual) {
    ways_.erase(datagram.b4);
    return;
  }
  if (ways_.size() >= ways_max) ways_.clear();
  ways_.insert_or_assign(datagram.b4, Way{datagram.neighbor, softwire});
}

PcpDatagram PcpFront::datagram_to(const pcp::Source& client) const {
  PcpDatagram datagram;
  datagram.b4 = client.b4;
  datagram.inner_source = client.inner;
  if (client.inner)
    datagram.server4 = net::unmapped(client.server);
  else
    datagram.server6 = client.server;
  const auto& ours = snapshot_->softwire.aftr_addresses;
  if (!ours.empty()) datagram.softwire = ours.front();
  if (const auto way = ways_.find(client.b4); way != ways_.end()) {
    datagram.neighbor = way->second.neighbor;
    if (client.inner && !net::is_mapped(client.b4)) datagram.softwire = way->second.softwire;
  }
  if (is_multicast(client)) datagram.neighbor = multicast_mac(client);
  datagram.client_port = client.port;
  return datagram;
}

void PcpFront::send(const pcp::Reply& reply) {
  router_->send_pcp(datagram_to(reply.to), {reply.message.data(), reply.message.size()});
}

// --- time ---

void PcpFront::tick() {
  server_.expire(now_());
  carry_out(server_.take_effects());
}

size_t PcpFront::poll(uint64_t now_ms) {
  size_t done = 0;
  if (store_)
    for (const auto& outcome : store_->poll()) {
      carry_out(server_.stored(outcome.ticket, outcome.done, now_()));
      ++done;
    }
  for (; !deferred_.empty() && submit(deferred_.front()); ++done) deferred_.pop_front();
  for (size_t i = 0; i < reopened_per_poll && deferred_.empty() && !to_reopen_.empty(); ++i, ++done) {
    server_.reopen(to_reopen_.front(), now_());
    to_reopen_.pop_front();
    carry_out(server_.take_effects());
  }
  for (const auto& reply : announcer_.take(server_, now_(), now_ms, server_.settings().announcements_per_s)) {
    ++server_.counters()[pcp::Event::updates_sent];
    send(reply);
    ++done;
  }
  return done;
}

// --- what others change ---

size_t PcpFront::forget(const net::Ipv6& subscriber) {
  const auto clients = server_.clients_of(subscriber);
  const size_t forgotten = server_.forget(subscriber);
  tell(subscriber, clients);
  return forgotten;
}

size_t PcpFront::forget(const pcp::MappingKey& mapping) {
  const auto clients = server_.clients_of(mapping.subscriber);
  const size_t forgotten = server_.forget(mapping);
  if (forgotten > 0) tell(mapping.subscriber, clients);
  return forgotten;
}

size_t PcpFront::move_outside(const nat::Pool& pool) {
  size_t count = 0;
  server_.for_each([&](const pcp::RecordKey& key, const pcp::Mapping& mapping) {
    if (mapping.ended || pool.number_of(mapping.outside.address)) return;
    to_reopen_.push_back(key);
    ++count;
  });
  return count;
}

void PcpFront::wish(const pcp::Server::Wish& wish, Answered done) {
  wishes_.emplace(++token_, std::move(done));
  server_.wish(wish, token_, now_());
  carry_out(server_.take_effects());
}

void PcpFront::tell(const net::Ipv6& subscriber, const std::vector<pcp::Client>& clients) {
  server_.restart_epoch(subscriber, now_());
  server_.announce_to(subscriber, clients, now_());
  carry_out(server_.take_effects());
}

}  // namespace portolan::control
