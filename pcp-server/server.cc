#include "pcp-server/server.h"

#include <algorithm>
#include <cassert>

namespace portolan::pcp {

namespace {

constexpr Refusal refusal(Code code, bool parsed) { return {code, error_lifetime_s(code), parsed}; }

Event event_of(Malformed malformed) {
  switch (malformed) {
    case Malformed::too_long:
      return Event::bad_too_long;
    case Malformed::not_a_multiple_of_4:
      return Event::bad_alignment;
    case Malformed::too_short_for_opcode:
      return Event::bad_too_short;
  }
  return Event::bad_too_short;
}

// What may lie behind a B4: RFC 1918, and of 192.0.0.0/29 all but the network and the AFTR (RFC 6333 §5.7, §11).
bool may_be_inside(net::Ipv4 address) {
  const auto in = [address](uint32_t prefix, uint8_t length) {
    return contains(net::Ipv4Prefix{{prefix}, length}, address);
  };
  if (in(0xc0000000, 29)) return (address.bits & 7U) >= 2;
  return in(0x0a000000, 8) || in(0xac100000, 12) || in(0xc0a80000, 16);
}

// All ports, or a protocol other than these, cannot be met "in its entirety" where addresses are shared (§11.3).
bool can_be_mapped(const MapBody& map) {
  const net::Protocol protocol{map.protocol};
  return map.internal_port != net::Port{} && (protocol == net::Protocol::tcp || protocol == net::Protocol::udp);
}

net::Endpoint suggestion(const MapBody& map) {  // an IPv6 suggestion is a hint that cannot be followed (§10)
  return {is_mapped(map.external_address) ? unmapped(map.external_address) : net::Ipv4{}, map.external_port};
}

// PREFER_FAILURE against the mapping there is (§11.3, 1): an address of all zeros is none suggested.
bool contradicts(const MapBody& map, net::Endpoint outside) {
  const bool any_address = map.external_address == any_ipv4;
  return map.external_port != outside.port || (!any_address && map.external_address != mapped(outside.address));
}

uint32_t remaining_s(uint64_t expires_s, uint64_t now_s) {
  return static_cast<uint32_t>(std::clamp<uint64_t>(expires_s - std::min(expires_s, now_s), 1, lifetime_forever_s));
}

Code code_of(CommandResult::Status status, bool exact) {
  switch (status) {
    case CommandResult::Status::done:
      return Code::success;
    case CommandResult::Status::no_address:
      return Code::network_failure;
    case CommandResult::Status::over_quota:
      return Code::user_ex_quota;
    // A suggestion alone never makes a request fail, and 11 is for PREFER_FAILURE only (§7.4).
    case CommandResult::Status::not_available:
      return exact ? Code::cannot_provide_external : Code::no_resources;
    case CommandResult::Status::no_resources:
    case CommandResult::Status::implicit:
    case CommandResult::Status::unknown:
      return Code::no_resources;
  }
  return Code::no_resources;
}

}  // namespace

Server::Server(Settings settings, uint64_t epoch_start_s, uint64_t seed)
    : settings_(std::move(settings)), epoch_start_s_(epoch_start_s), rate_limit_(seed) {}

net::Ipv6 Server::subscriber_of(const net::Ipv6& b4) const {
  return is_mapped(b4) ? b4 : masked(b4, settings_.subscriber_prefix_length);  // NAT44: the address is the subscriber
}

// --- a request comes in ---

Outcome Server::handle(std::span<const uint8_t> request, const Source& source, uint64_t now_s) {
  expire(now_s);
  if (!settings_.enabled) return drop(Event::drop_disabled);
  const net::Ipv6 subscriber = subscriber_of(source.b4);
  if (!rate_limit_.admit(subscriber, now_s, settings_.requests_per_s, settings_.requests_burst))
    return drop(Event::drop_rate);
  return judge({request, source, now_s});
}

// The order of the checks is §8.2's.
Outcome Server::judge(const Exchange& exchange) {
  const auto bytes = exchange.bytes;
  if (bytes.size() < 2) return drop(Event::drop_short);
  if ((bytes[1] & response_bit) != 0) return drop(Event::drop_response);
  if (bytes[0] != version) {
    ++counters_[Event::bad_version];
    return refuse(exchange, Code::unsupp_version);
  }
  if (bytes.size() < sizeof(RequestHeader)) return drop(Event::drop_short);
  ++counters_[Opcode{bytes[1]}];
  if (tickets_.size() >= settings_.in_flight_max) {
    ++counters_[Event::overloaded];
    return refuse(exchange, Code::no_resources);
  }
  const auto request = parse_request(bytes);
  if (!request) {
    ++counters_[event_of(request.error())];
    return refuse(exchange, Code::malformed_request);
  }
  const Source& source = exchange.source;
  if (request->client != (source.inner ? mapped(*source.inner) : source.b4))
    return refuse(exchange, Code::address_mismatch);
  if (request->opcode == Opcode::announce) return announce_requested(exchange, *request);
  if (request->opcode == Opcode::map && settings_.map_enabled) return map_requested(exchange, *request);
  return refuse(exchange, Code::unsupp_opcode);
}

Outcome Server::announce_requested(const Exchange& exchange, const Request& request) {
  if (const auto options = options_of(request); !options) return refuse(exchange, options.error());
  ++counters_[Code::success];
  return Reply{exchange.source, announce(subscriber_of(exchange.source.b4), exchange.now_s)};
}

Outcome Server::map_requested(const Exchange& exchange, const Request& request) {
  const auto options = options_of(request);
  if (!options) return refuse(exchange, options.error());
  const auto inside = inside_host(exchange.source, *options);
  if (!inside) return refuse(exchange, inside.error(), true);
  return judge_map(
      {exchange,
       request,
       *options,
       {subscriber_of(exchange.source.b4), *inside, request.map.internal_port, net::Protocol{request.map.protocol}}});
}

net::Result<Options, Code> Server::options_of(const Request& request) {
  const net::Reader in{request.options};
  auto options = parse_options(in, request.opcode);
  if (!options && options.error() == Code::malformed_option)
    ++counters_[well_formed(in) ? Event::bad_option_content : Event::bad_option_structure];
  return options;
}

// Whose mapping it is, if the sender may ask for it (§13.1, D04).
net::Result<net::Ipv4, Code> Server::inside_host(const Source& source, const Options& options) {
  if (!options.third_party) {
    // A B4's own IPv6 address has no place on an IPv4 NAT's inside (PCD-003).
    if (!source.inner) return tl::unexpected(Code::not_authorized);
    if (!is_mapped(source.b4) && !may_be_inside(*source.inner)) return tl::unexpected(Code::not_authorized);
    return *source.inner;
  }
  const net::Ipv6& host = *options.third_party;
  if (host == (source.inner ? mapped(*source.inner) : source.b4)) {
    ++counters_[Event::bad_third_party_self];
    return tl::unexpected(Code::malformed_request);
  }
  const bool trusted =
      !source.inner || std::ranges::any_of(settings_.third_party_from,
                                           [&](const net::Ipv6Prefix& prefix) { return contains(prefix, source.b4); });
  // A NAT44 subscriber is his address: every other host is somebody else's (PCP-103).
  if (!trusted || is_mapped(source.b4) || !is_mapped(host) || !may_be_inside(unmapped(host)))
    return tl::unexpected(Code::unsupp_option);
  return unmapped(host);
}

// --- a MAP, in the order of §11.3 ---

Outcome Server::judge_map(const MapExchange& map) {
  const auto at = entries_.find(map.key);
  const Entry* entry = at == entries_.end() ? nullptr : &at->second;
  if (entry && entry->pending) return drop(Event::drop_in_flight);
  if (const auto refused = refusal_of(map, entry)) return refuse(map.exchange, *refused);
  // Deleting what cannot exist, all ports included (PCP-175): it is gone.
  if (!can_be_mapped(map.request.map))
    return Reply{map.exchange.source,
                 success(map.exchange.source, map.request.map, map.options, 0, map.exchange.now_s)};
  return send(map, entry);
}

std::optional<Refusal> Server::refusal_of(const MapExchange& map, const Entry* entry) {
  const MapBody& body = map.request.map;
  const bool deletes = map.request.lifetime_s == 0;
  if (body.protocol == 0 && body.internal_port != net::Port{}) {
    ++counters_[Event::bad_protocol_zero];
    return refusal(Code::malformed_request, true);
  }
  if (!deletes && !can_be_mapped(body)) return refusal(Code::unsupp_protocol, true);
  // An ended mapping is anybody's of this inside host to take up again, a client that lost its nonce included.
  if (entry && !entry->granted->mapping.ended && entry->granted->nonce != body.nonce) {
    ++counters_[Event::wrong_nonce];
    const uint64_t expires_s = entry->granted->mapping.expires_s;
    return Refusal{Code::not_authorized, remaining_s(expires_s, map.exchange.now_s), true};
  }
  if (map.options.prefer_failure) {
    if (deletes || body.external_port == net::Port{}) {  // nothing to prefer (§11.3, PCP-106)
      ++counters_[Event::bad_option_content];
      return refusal(Code::malformed_option, true);
    }
    // No IPv6 outside here, so asking for one or nothing gets nothing.
    if (!is_mapped(body.external_address) || (entry && contradicts(body, entry->granted->mapping.outside)))
      return refusal(Code::cannot_provide_external, true);
  }
  return deletes || entry ? std::nullopt : no_room_for(map.key);
}

std::optional<Refusal> Server::no_room_for(const MappingKey& key) {
  uint32_t held = 0;
  for (auto at = entries_.lower_bound({key.subscriber, {}, {}, {}});
       at != entries_.end() && at->first.subscriber == key.subscriber; ++at)
    if (at->second.granted || at->second.pending->command.verb == Command::Verb::open) ++held;
  if (held >= settings_.mappings_per_subscriber_max) return refusal(Code::user_ex_quota, true);
  if (entries_.size() < settings_.mappings_max) return std::nullopt;
  ++counters_[Event::table_full];
  return refusal(Code::no_resources, true);
}

Command Server::send(const MapExchange& map, const Entry* entry) {
  const Source& source = map.exchange.source;
  const bool deletes = map.request.lifetime_s == 0;
  Command command;
  command.ticket = ++ticket_;
  command.verb = deletes ? Command::Verb::end : Command::Verb::open;
  command.key = map.key;
  command.b4 = source.b4;
  if (!deletes) {
    // A renewal keeps what it has whatever it suggests (§11.3, 3).
    command.suggested = entry ? entry->granted->mapping.outside : suggestion(map.request.map);
    command.exact = map.options.prefer_failure;
    command.lifetime_s = lifetime_granted_s(map.request.lifetime_s);
  }
  const bool known = entry && entry->granted->nonce == map.request.map.nonce;
  const auto bytes = map.exchange.bytes;
  tickets_.emplace(command.ticket, map.key);
  entries_[map.key].pending = std::make_unique<Pending>(
      Pending{source, Message(bytes.begin(), bytes.end()), map.request.map, map.options, command, known});
  return command;
}

uint32_t Server::lifetime_granted_s(uint32_t requested_s) const {
  return std::max(std::min(requested_s, settings_.lifetime_max_s), settings_.lifetime_min_s);
}

// --- the translator has answered ---

std::optional<Reply> Server::complete(const CommandResult& result, uint64_t now_s) {
  const auto ticket = tickets_.find(result.ticket);
  if (ticket == tickets_.end()) {
    ++counters_[Event::result_unknown];
    return std::nullopt;
  }
  const auto at = entries_.find(ticket->second);
  tickets_.erase(ticket);
  assert(at != entries_.end() && at->second.pending);
  const auto pending = std::move(at->second.pending);
  Message message = pending->command.verb == Command::Verb::open ? complete_open(at, *pending, result, now_s)
                                                                 : complete_end(at, *pending, result, now_s);
  return Reply{pending->source, std::move(message)};
}

Message Server::complete_open(Entries::iterator at, const Pending& pending, const CommandResult& result,
                              uint64_t now_s) {
  const Code code = code_of(result.status, pending.command.exact);
  if (code != Code::success) {  // an error changes nothing (§7.3)
    if (!at->second.granted) entries_.erase(at);
    return error(pending.source, pending.request, refusal(code, true), now_s);
  }
  const auto& before = at->second.granted;
  if (before && before->mapping.outside != result.outside) ++counters_[Event::moved];
  const uint32_t lifetime_s = std::max(result.lifetime_s, uint32_t{1});  // 0 would say deleted
  grant(at, {{result.outside, now_s + lifetime_s, pending.source, false}, pending.map.nonce});
  MapBody map = pending.map;
  map.external_address = mapped(result.outside.address);
  map.external_port = result.outside.port;
  return success(pending.source, map, pending.options, lifetime_s, now_s);
}

// Suggested fields come back as assigned ones (§15.1); the lifetime is what outbound traffic still keeps the mapping
// for, since no request may end it sooner (§15, D19).
Message Server::complete_end(Entries::iterator at, const Pending& pending, const CommandResult& result,
                             uint64_t now_s) {
  const bool implicit = result.status == CommandResult::Status::implicit;
  const bool ended =
      implicit || result.status == CommandResult::Status::done || result.status == CommandResult::Status::unknown;
  if (!ended || (implicit && !pending.known)) {  // outbound mappings are not PCP's to delete (§15.1)
    if (!at->second.granted) entries_.erase(at);
    return error(pending.source, pending.request, refusal(ended ? Code::not_authorized : Code::no_resources, true),
                 now_s);
  }
  if (at->second.granted && result.lifetime_s > 0) {
    // Its nonce is kept, so that the deletion's duplicates are answered alike (§15.1).
    Granted granted = *at->second.granted;
    granted.mapping.expires_s = now_s + result.lifetime_s;
    granted.mapping.ended = true;
    grant(at, granted);
  } else {
    revoke(at);
  }
  return success(pending.source, pending.map, pending.options, result.lifetime_s, now_s);
}

// --- the table ---

void Server::grant(Entries::iterator at, const Granted& granted) {
  auto& held = at->second.granted;
  if (held) by_expiry_.erase({held->mapping.expires_s, at->first});
  by_expiry_.emplace(granted.mapping.expires_s, at->first);
  held = granted;
}

void Server::revoke(Entries::iterator at) {
  if (at->second.granted) by_expiry_.erase({at->second.granted->mapping.expires_s, at->first});
  at->second.granted.reset();
  if (!at->second.pending) entries_.erase(at);
}

void Server::expire(uint64_t now_s) {
  while (!by_expiry_.empty() && by_expiry_.begin()->first <= now_s) {
    ++counters_[Event::expired];
    revoke(entries_.find(by_expiry_.begin()->second));
  }
}

size_t Server::forget(const net::Ipv6& subscriber) {
  const size_t before = size();
  auto at = entries_.lower_bound({subscriber, {}, {}, {}});
  while (at != entries_.end() && at->first.subscriber == subscriber) revoke(at++);
  return before - size();
}

size_t Server::forget(const MappingKey& mapping) {
  const size_t before = size();
  if (const auto at = entries_.find(mapping); at != entries_.end()) revoke(at);
  return before - size();
}

uint32_t Server::epoch_s(const net::Ipv6& subscriber, uint64_t now_s) const {
  const auto own = epoch_starts_.find(subscriber);
  return static_cast<uint32_t>(now_s - (own == epoch_starts_.end() ? epoch_start_s_ : own->second));
}

void Server::restart_epoch(uint64_t now_s) {
  epoch_start_s_ = now_s;
  epoch_starts_.clear();
}

void Server::restart_epoch(const net::Ipv6& subscriber, uint64_t now_s) {
  if (epoch_starts_.size() == own_epochs_max) return restart_epoch(now_s);
  epoch_starts_[subscriber] = now_s;
}

size_t Server::forget_all() {
  const size_t before = size();
  while (!by_expiry_.empty()) revoke(entries_.find(by_expiry_.begin()->second));
  return before;
}

// --- replies ---

Outcome Server::drop(Event event) {
  ++counters_[event];
  return {};
}

Outcome Server::refuse(const Exchange& exchange, const Refusal& refusal) {
  return Reply{exchange.source, error(exchange.source, exchange.bytes, refusal, exchange.now_s)};
}

Outcome Server::refuse(const Exchange& exchange, Code code, bool parsed) {
  return refuse(exchange, refusal(code, parsed));
}

Message Server::error(const Source& to, std::span<const uint8_t> request, const Refusal& refusal, uint64_t now_s) {
  ++counters_[refusal.code];
  return build_error_response(request, refusal, epoch_s(subscriber_of(to.b4), now_s));
}

Message Server::success(const Source& to, const MapBody& map, const Options& options, uint32_t lifetime_s,
                        uint64_t now_s) {
  ++counters_[Code::success];
  return build_map_response(map, options, lifetime_s, epoch_s(subscriber_of(to.b4), now_s));
}

}  // namespace portolan::pcp
