// The translator has answered, or the store: what is granted from now on, and what is told to whom.
#include <algorithm>
#include <cassert>

#include "pcp-server/judgements.h"
#include "pcp-server/server.h"

namespace portolan::pcp {

Server::Pending& Server::begin(const RecordKey& key, Pending pending) {
  pending.command.ticket = ++ticket_;
  if (pending.command.ports > 1) sets_seen_ = true;
  const auto at = entries_.try_emplace(key).first;
  tickets_.emplace(ticket_, at);
  at->second.pending = std::make_unique<Pending>(std::move(pending));
  count_held(at);
  return *at->second.pending;
}

std::unique_ptr<Server::Pending> Server::finish(Entries::iterator at) {
  tickets_.erase(at->second.pending->command.ticket);
  return std::move(at->second.pending);
}

void Server::forget_if_empty(Entries::iterator at) {
  if (at->second.granted || at->second.pending) return;
  count_held(at);
  entries_.erase(at);
}

Effects Server::complete(const CommandResult& result, uint64_t now_s) {
  if (result.ticket == 0) return take_effects();
  const auto ticket = tickets_.find(result.ticket);
  if (ticket == tickets_.end()) {
    ++counters_[Event::result_unknown];
    return take_effects();
  }
  const auto at = ticket->second;
  assert(at->second.pending);
  switch (at->second.pending->command.verb) {
    case Command::Verb::open:
    case Command::Verb::open_outbound:
      complete_open(at, result, now_s);
      break;
    case Command::Verb::address: {
      const auto pending = finish(at);
      forget_if_empty(at);
      natpmp_address(*pending, result, now_s);
      break;
    }
    case Command::Verb::end:
    case Command::Verb::unpin:
      complete_end(at, result, now_s);
      break;
  }
  return take_effects();
}

Effects Server::stored(uint64_t ticket, bool done, uint64_t now_s) {
  const auto known = tickets_.find(ticket);
  if (known == tickets_.end()) return take_effects();
  const auto at = known->second;
  assert(at->second.pending && at->second.pending->stage == Stage::storing);
  Pending& pending = *at->second.pending;
  const bool ends = pending.command.verb == Command::Verb::end;
  if (!done) {
    ++counters_[Event::store_failed];
    const auto held = finish(at);
    if (!ends) undo(at, *held, now_s);
    forget_if_empty(at);
    answer_refusal(*held, refusal_of(Code::no_resources), now_s);
  } else if (ends) {
    pending.stage = Stage::translating;
    effects_.commands.push_back(pending.command);
  } else {
    acknowledge(at, now_s);
  }
  return take_effects();
}

void Server::complete_open(Entries::iterator at, const CommandResult& result, uint64_t now_s) {
  Pending& pending = *at->second.pending;
  if (pending.asker == Asker::server) {
    const auto held = finish(at);
    return complete_reopen(at, *held, result, now_s);
  }
  const Code code = code_of(result.status, pending.command.exact);
  if (code != Code::success) {  // an error changes nothing (§7.3)
    const auto held = finish(at);
    forget_if_empty(at);
    return answer_refusal(*held, refusal_of(code), now_s);
  }
  if (result.status == CommandResult::Status::fixed) {  // the operator's own: no record, no nonce (§11.3, 2)
    const auto held = finish(at);
    forget_if_empty(at);
    return answer(*held, result.outside, lifetime_forever_s, 1, now_s);
  }
  const auto& before = at->second.granted;
  if (before && before->mapping.outside != result.outside) ++counters_[Event::moved];
  pending.lifetime_s = std::max(result.lifetime_s, uint32_t{1});  // 0 would say deleted
  if (!pending.next) {                                            // a PEER that only asked
    const auto held = finish(at);
    forget_if_empty(at);
    return answer(*held, result.outside, held->lifetime_s, 1, now_s);
  }
  Mapping& next = pending.next->mapping;
  next.outside = result.outside;
  next.ports = std::max(result.ports, uint16_t{1});
  next.expires_s = now_s + (at->first.is_peer() ? pending.command.lifetime_s : pending.lifetime_s);
  if (!settings_.durable) return acknowledge(at, now_s);
  pending.stage = Stage::storing;
  effects_.changes.push_back({pending.command.ticket, at->first, pending.next});
}

void Server::acknowledge(Entries::iterator at, uint64_t now_s) {
  const auto pending = finish(at);
  const net::Endpoint outside = pending->next->mapping.outside;
  const uint16_t ports = pending->next->mapping.ports;
  const std::string description = pending->next->mapping.description;
  if (pending->options.description) pending->options.description = description;  // as it was stored (RFC 7220 §3)
  grant(at, std::move(*pending->next));
  if (!at->first.is_peer()) resting_.forget(at->first.mapping);
  answer(*pending, outside, pending->lifetime_s, ports, now_s);
}

// The translator has done what the store could not keep: back to what is on record.
void Server::undo(Entries::iterator at, const Pending& pending, uint64_t now_s) {
  const auto& before = at->second.granted;
  const MappingKey& key = at->first.mapping;
  Command command = pending.command;
  command.ticket = 0;
  command.pinned_s = pinned_s(key, now_s);
  command.ports = pending.next->mapping.ports;
  if (at->first.is_peer()) {
    command.verb = Command::Verb::unpin;
    command.let_in = let_in(key, map_filters_of(key));
  } else if (before && !before->mapping.ended) {
    command.suggested = before->mapping.outside;
    command.exact = false;
    command.restored = true;  // for as long as the record says, whatever traffic there is
    command.lifetime_s = remaining_s(before->mapping.expires_s, now_s);
    command.let_in = let_in(key, &before->mapping.filters);
  } else {
    command.verb = Command::Verb::end;
    command.let_in = let_in(key, nullptr);
  }
  effects_.commands.push_back(std::move(command));
}

// Suggested fields come back as assigned ones (§15.1); the lifetime is what outbound traffic still keeps the mapping
// for, since no request may end it sooner (§15, D19).
void Server::complete_end(Entries::iterator at, const CommandResult& result, uint64_t now_s) {
  const auto pending = finish(at);
  const bool implicit = result.status == CommandResult::Status::implicit;
  const bool ended =
      implicit || result.status == CommandResult::Status::done || result.status == CommandResult::Status::unknown;
  if (!ended ||
      (implicit && !pending->known && !at->second.granted)) {  // outbound ones are not PCP's to delete (§15.1)
    const bool not_done = !ended && result.status != CommandResult::Status::fixed;
    if (settings_.durable && at->second.granted) effects_.changes.push_back({0, at->first, at->second.granted});
    forget_if_empty(at);
    return answer_refusal(*pending, refusal_of(not_done ? Code::no_resources : Code::not_authorized), now_s);
  }
  if (at->second.granted && result.lifetime_s > 0) {
    // Its nonce is kept, so that the deletion's duplicates are answered alike (§15.1).
    Granted granted = *at->second.granted;
    granted.mapping.expires_s = now_s + result.lifetime_s;
    granted.mapping.ended = true;
    granted.mapping.filters.clear();
    if (settings_.durable) effects_.changes.push_back({0, at->first, granted});
    grant(at, std::move(granted));
  } else {
    let_rest(at, now_s);
    revoke(at);
  }
  const net::Endpoint asked{
      is_mapped(pending->map.external_address) ? unmapped(pending->map.external_address) : net::Ipv4{},
      pending->map.external_port};
  answer(*pending, asked, result.lifetime_s, 1, now_s);
}

// A mapping that was there before: it is as it was, or elsewhere, or lost.
void Server::complete_reopen(Entries::iterator at, const Pending& pending, const CommandResult& result,
                             uint64_t now_s) {
  if (!at->second.granted) return forget_if_empty(at);  // its time was up meanwhile
  const RecordKey key = at->first;
  Granted granted = *at->second.granted;
  if (result.status == CommandResult::Status::fixed) return;
  if (result.status != CommandResult::Status::done) {
    ++counters_[Event::lost];
    const auto client = granted.mapping.known_client();
    const bool insisted = result.status == CommandResult::Status::not_available;
    const Message update =
        update_of(key, granted, insisted ? Code::cannot_provide_external : Code::no_resources, now_s);
    revoke(at);
    restart_epoch(key.mapping.subscriber, now_s);
    if (!client) return;
    if (insisted && !client->natpmp) effects_.notices.push_back({client->at, key.mapping.subscriber, update, key});
    announce_to(key.mapping.subscriber, {*client}, now_s);
    return;
  }
  if (granted.mapping.outside == result.outside) return;
  ++counters_[Event::moved];
  granted.mapping.outside = result.outside;
  granted.mapping.ports = std::max(result.ports, uint16_t{1});
  if (settings_.durable) effects_.changes.push_back({0, key, granted});
  grant(at, granted);
  restart_epoch(key.mapping.subscriber, now_s);  // §8.5: the outside address is another
  const auto client = granted.mapping.known_client();
  if (client && client->natpmp)
    announce_to(key.mapping.subscriber, {*client}, now_s);
  else if (client)
    effects_.notices.push_back(
        {client->at, key.mapping.subscriber, update_of(key, granted, Code::success, now_s), key});
  static_cast<void>(pending);
}

// What its client would be told if he asked now (§14.2): with the options that say which mapping it is and how it
// filters, not with the optional ones.
Message Server::update_of(const RecordKey& key, const Granted& granted, Code code, uint64_t now_s) const {
  const Mapping& mapping = granted.mapping;
  const MapBody body{granted.nonce,
                     static_cast<uint8_t>(key.mapping.protocol),
                     {},
                     key.mapping.inside_port,
                     mapping.outside.port,
                     mapped(mapping.outside.address)};
  Options options;
  if (mapping.third_party) options.third_party = mapped(key.mapping.inside_address);
  for (const Filter& filter : mapping.filters)
    options.filters.push_back(
        {0, static_cast<uint8_t>(filter.from.length + ipv4_prefix_bits), filter.port, mapped(filter.from.address)});
  const uint32_t lifetime_s = code == Code::success ? remaining_s(mapping.expires_s, now_s) : error_lifetime_s(code);
  Message message = key.is_peer() ? build_peer_response({body, key.remote.port, {}, mapped(key.remote.address)},
                                                        options, lifetime_s, 0)
                                  : build_map_response(body, options, lifetime_s, 0);
  message[offsetof(ResponseHeader, code)] = static_cast<uint8_t>(code);
  return message;
}

// --- what is told to whom ---

void Server::answer(const Pending& pending, net::Endpoint outside, uint32_t lifetime_s, uint16_t ports,
                    uint64_t now_s) {
  if (pending.asker == Asker::operators) {
    effects_.answers.push_back({pending.token, Code::success, outside, lifetime_s});
    return;
  }
  if (pending.asker == Asker::natpmp) {
    const net::Port told = pending.command.verb == Command::Verb::end ? net::Port{} : outside.port;
    return natpmp_reply(pending.source, pending.request, 0, told, lifetime_s, now_s);
  }
  if (pending.asker == Asker::server) return;
  const bool deletes = pending.command.verb == Command::Verb::end;
  const uint32_t epoch = epoch_s(subscriber_of(pending.source.b4), now_s);
  count(pending.request, Code::success);
  MapBody body = pending.map;
  if (!deletes) {
    body.external_address = mapped(outside.address);
    body.external_port = outside.port;
  }
  Options options = pending.options;
  const bool keeps_parity = pending.options.port_set && (pending.options.port_set->reserved_parity & 1) != 0;
  const uint16_t told_ports = deletes ? pending.command.ports : ports;
  options.port_set.reset();
  if (told_ports > 1)
    options.port_set = PortSetBody{told_ports, body.internal_port, static_cast<uint8_t>(keeps_parity ? 1 : 0)};
  if (pending.command.verb == Command::Verb::open_outbound)
    effects_.replies.push_back(
        {pending.source,
         build_peer_response({body, pending.command.remote.port, {}, mapped(pending.command.remote.address)}, options,
                             lifetime_s, epoch)});
  else
    effects_.replies.push_back({pending.source, build_map_response(body, options, lifetime_s, epoch)});
}

void Server::answer_refusal(const Pending& pending, const Refusal& refusal, uint64_t now_s) {
  switch (pending.asker) {
    case Asker::operators:
      effects_.answers.push_back({pending.token, refusal.code, {}, 0});
      break;
    case Asker::natpmp:
      natpmp_refuse(pending.source, pending.request, refusal.code, now_s);
      break;
    case Asker::client:
      effects_.replies.push_back({pending.source, error(pending.source, pending.request, refusal, now_s)});
      break;
    case Asker::server:
      break;
  }
}

}  // namespace portolan::pcp
