#include "controlplane/pcp_front.h"

#include <algorithm>
#include <map>
#include <sys/random.h>
#include <vector>

namespace portolan::control {

namespace {

uint64_t random_seed() {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = 1;
  return seed;
}

nat::Command to_nat(const pcp::Command& command, uint8_t softwire) {
  nat::Command out;
  out.verb =
      command.verb == pcp::Command::Verb::open ? nat::Command::Verb::open_explicit : nat::Command::Verb::end_explicit;
  out.exact = command.exact;
  out.softwire = softwire;
  out.key = {command.key.subscriber, command.key.inside_address, command.key.inside_port, command.key.protocol, 0};
  out.b4 = command.b4;
  out.suggested = command.suggested;
  out.lifetime_s = command.lifetime_s;
  return out;
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

pcp::Source source_of(const PcpDatagram& datagram) {
  return {datagram.b4, datagram.inner_source, datagram.inner_source ? net::mapped(datagram.server4) : datagram.server6,
          datagram.client_port};
}

// The datagram that a client's reply or announcement answers, when there is none at hand.
PcpDatagram datagram_to(const pcp::Source& client, const net::Ipv6& softwire) {
  PcpDatagram datagram;
  datagram.b4 = client.b4;
  datagram.inner_source = client.inner;
  if (client.inner)
    datagram.server4 = net::unmapped(client.server);
  else
    datagram.server6 = client.server;
  datagram.softwire = softwire;
  datagram.client_port = client.port;
  return datagram;
}

}  // namespace

PcpFront::PcpFront(pcp::Settings settings, const pipeline::Snapshot& snapshot, Translator& translator, Now now)
    : snapshot_(&snapshot),
      translator_(translator),
      now_(std::move(now)),
      server_(std::move(settings), now_(), random_seed()) {}

// Subscribers only: what arrived in a softwire was checked on its way, plain IPv6 is checked here (PCP-006).
bool PcpFront::may_ask(const PcpDatagram& datagram) const {
  return datagram.inner_source || std::ranges::any_of(snapshot_->softwire.allowed_prefixes, [&](const auto& prefix) {
           return net::contains(prefix, datagram.b4);
         });
}

uint8_t PcpFront::softwire_of(const PcpDatagram& datagram) const {
  const auto& ours = snapshot_->softwire.aftr_addresses;
  const auto at = std::ranges::find(ours, datagram.inner_source ? datagram.softwire : datagram.server6);
  return at == ours.end() ? uint8_t{0} : static_cast<uint8_t>(at - ours.begin());
}

void PcpFront::on_pcp(const PcpDatagram& datagram) {
  if (!may_ask(datagram)) return;
  const pcp::Source source = source_of(datagram);
  auto outcome = server_.handle(datagram.payload, source, now_());
  if (const auto* reply = std::get_if<pcp::Reply>(&outcome)) answer(*reply, datagram);
  if (const auto* command = std::get_if<pcp::Command>(&outcome)) submit(*command, datagram);
}

void PcpFront::submit(const pcp::Command& command, const PcpDatagram& asked) {
  PcpDatagram kept = asked;
  kept.payload = {};
  const auto complete = [this, kept, ticket = command.ticket](pcp::CommandResult::Status status,
                                                              const nat::CommandResult& result) {
    const pcp::CommandResult answer_of_translator{ticket, status, result.outside, result.lifetime_s};
    if (const auto reply = server_.complete(answer_of_translator, now_())) answer(*reply, kept);
  };
  const bool taken = translator_.submit(to_nat(command, softwire_of(asked)),
                                        [complete](const auto& result) { complete(to_pcp(result.status), result); });
  if (!taken) complete(pcp::CommandResult::Status::no_resources, {});
}

void PcpFront::answer(const pcp::Reply& reply, const PcpDatagram& asked) {
  router_->send_pcp(asked, {reply.message.data(), reply.message.size()});
}

void PcpFront::tick() { server_.expire(now_()); }

size_t PcpFront::forget(const net::Ipv6& subscriber) {
  const auto clients = clients_of(subscriber);
  const size_t forgotten = server_.forget(subscriber);
  tell(subscriber, clients);
  return forgotten;
}

size_t PcpFront::forget(const pcp::MappingKey& mapping) {
  const auto clients = clients_of(mapping.subscriber);
  const size_t forgotten = server_.forget(mapping);
  if (forgotten > 0) tell(mapping.subscriber, clients);
  return forgotten;
}

size_t PcpFront::forget_outside(const nat::Pool& pool) {
  std::vector<pcp::MappingKey> gone;
  std::map<net::Ipv6, std::vector<pcp::Source>> clients;  // by subscriber
  server_.for_each([&](const pcp::MappingKey& key, const pcp::Mapping& mapping) {
    if (pool.number_of(mapping.outside.address)) return;
    gone.push_back(key);
    auto& his = clients[key.subscriber];
    if (std::ranges::find(his, mapping.client) == his.end()) his.push_back(mapping.client);
  });
  for (const auto& key : gone) server_.forget(key);
  for (const auto& [subscriber, his] : clients) tell(subscriber, his);
  return gone.size();
}

std::vector<pcp::Source> PcpFront::clients_of(const net::Ipv6& subscriber) const {
  std::vector<pcp::Source> clients;
  server_.for_each([&](const pcp::MappingKey& key, const pcp::Mapping& mapping) {
    if (key.subscriber == subscriber && std::ranges::find(clients, mapping.client) == clients.end())
      clients.push_back(mapping.client);
  });
  return clients;
}

void PcpFront::tell(const net::Ipv6& subscriber, const std::vector<pcp::Source>& clients) {
  server_.restart_epoch(subscriber, now_());
  const pcp::Message announcement = server_.announce(subscriber, now_());
  const auto& softwires = snapshot_->softwire.aftr_addresses;
  for (const auto& client : clients)
    router_->send_pcp(datagram_to(client, softwires.empty() ? net::Ipv6{} : softwires.front()),
                      {announcement.data(), announcement.size()});
}

}  // namespace portolan::control
