// MAP: what is refused and what the translator is asked for, in the order of RFC 6887 §11.3, and PORT_SET (RFC 7753).
#include <algorithm>

#include "pcp-server/judgements.h"
#include "pcp-server/server.h"

namespace portolan::pcp {

namespace {

constexpr size_t answers_per_request_max = 16;  // RFC 7753 §7

// All ports, or a protocol other than these, cannot be met "in its entirety" where addresses are shared (§11.3).
bool can_be_mapped(const MapBody& map) {
  return map.internal_port != net::Port{} && is_mappable(net::Protocol{map.protocol});
}

// PREFER_FAILURE against the mapping there is (§11.3, 1): an address of all zeros is none suggested.
bool contradicts(const MapBody& map, net::Endpoint outside) {
  const bool any_address = map.external_address == any_ipv4;
  return map.external_port != outside.port || (!any_address && map.external_address != mapped(outside.address));
}

Filter filter_of(const FilterBody& body) {
  const auto length = static_cast<uint8_t>(body.prefix_length - ipv4_prefix_bits);
  return {{masked(unmapped(body.remote_address), length), length}, body.remote_port};
}

}  // namespace

void Server::judge_map(const Asked& asked) {
  const auto at = entries_.find(asked.key);
  const Entry* entry = at == entries_.end() ? nullptr : &at->second;
  if (is_busy(asked.key.mapping)) return drop(Event::drop_in_flight);
  if (const auto refused = map_refusal(asked, entry)) return refuse(asked.exchange, *refused);
  if (!can_be_mapped(asked.request.map)) {  // deleting what cannot exist, all ports included (PCP-175): it is gone
    count(asked.exchange.bytes, Code::success);
    const net::Ipv6 subscriber = subscriber_of(asked.exchange.source.b4);
    effects_.replies.push_back({asked.exchange.source, build_map_response(asked.request.map, asked.options, 0,
                                                                          epoch_s(subscriber, asked.exchange.now_s))});
    return;
  }
  if (asked.request.lifetime_s == 0) return ask_for_deletion(asked, entry);
  auto filters = filters_after(asked, entry);
  if (!filters) return refuse(asked.exchange, filters.error(), true);
  ask_for_mapping(asked, entry, std::move(*filters));
}

// Several ports are one mapping with one record, found by its first. A request that touches some of them refreshes
// each, and each is answered for itself (RFC 7753 §4.4.1).
void Server::judge_port_set(const Asked& asked) {
  const auto& set = asked.options.port_set;
  const uint32_t room = 65'536U - uint16_t{asked.key.mapping.inside_port.number};
  const auto wanted =
      set && asked.key.mapping.inside_port != net::Port{}
          ? static_cast<uint16_t>(std::min<uint32_t>({uint16_t{set->size}, settings_.port_set_max, room}))
          : uint16_t{1};
  if (set && asked.options.prefer_failure && asked.request.lifetime_s != 0) {  // RFC 7753 §4.2
    ++counters_[Event::bad_option_content];
    return refuse(asked.exchange, Code::malformed_option, true);
  }
  const auto touched = overlapping(asked.key.mapping, wanted);
  if (touched.empty()) {
    Asked alone = asked;
    alone.ports = wanted;
    return judge_map(alone);
  }
  if (std::ranges::any_of(touched, [](auto at) { return at->second.pending != nullptr; }))
    return drop(Event::drop_in_flight);
  for (size_t i = 0; i < std::min(touched.size(), answers_per_request_max); ++i) {
    const RecordKey key = touched[i]->first;
    const uint16_t ports = touched[i]->second.granted->mapping.ports;
    Request request = asked.request;
    request.map.internal_port = key.mapping.inside_port;
    Options options = asked.options;
    options.port_set.reset();
    Message bytes(asked.exchange.bytes.begin(), asked.exchange.bytes.end());
    const auto body = request.map;
    std::copy_n(reinterpret_cast<const uint8_t*>(&body), sizeof body, bytes.begin() + sizeof(RequestHeader));
    const Exchange exchange{bytes, asked.exchange.source, asked.exchange.now_s};
    judge_map({exchange, request, options, key, asked.b4, ports});
  }
}

std::optional<Refusal> Server::nonce_refusal(const Asked& asked, const Entry* entry) {
  if (!entry || !entry->granted) return std::nullopt;
  const Mapping& mapping = entry->granted->mapping;
  // An ended mapping is anybody's of this inside host to take up again, a client that lost its nonce included.
  if (mapping.ended || entry->granted->nonce == asked.request.map.nonce) return std::nullopt;
  if (mapping.open_nonce) return std::nullopt;
  ++counters_[Event::wrong_nonce];
  return Refusal{Code::not_authorized, remaining_s(mapping.expires_s, asked.exchange.now_s), true};
}

std::optional<Refusal> Server::map_refusal(const Asked& asked, const Entry* entry) {
  const MapBody& body = asked.request.map;
  const bool deletes = asked.request.lifetime_s == 0;
  if (body.protocol == 0 && body.internal_port != net::Port{}) {
    ++counters_[Event::bad_protocol_zero];
    return refusal_of(Code::malformed_request);
  }
  if (!deletes && !can_be_mapped(body)) return refusal_of(Code::unsupp_protocol);
  if (deletes && entry && entry->granted->mapping.ended && entry->granted->nonce != body.nonce) {
    ++counters_[Event::wrong_nonce];
    return Refusal{Code::not_authorized, remaining_s(entry->granted->mapping.expires_s, asked.exchange.now_s), true};
  }
  if (auto refused = nonce_refusal(asked, entry)) return refused;
  const bool senseless_filter = deletes && !asked.options.filters.empty();  // §13.3
  const bool senseless_preference = asked.options.prefer_failure && (deletes || body.external_port == net::Port{});
  if (senseless_filter || senseless_preference) {  // nothing to prefer, nothing to filter (§11.3, PCP-106)
    ++counters_[Event::bad_option_content];
    return refusal_of(Code::malformed_option);
  }
  if (asked.options.prefer_failure) {
    // No IPv6 outside here, so asking for one or nothing gets nothing.
    const bool contradicted = entry && contradicts(body, entry->granted->mapping.outside);
    if (!is_mapped(body.external_address) || contradicted || suggestion(body).port != body.external_port)
      return refusal_of(Code::cannot_provide_external);
    const net::Ipv6& subscriber = asked.key.mapping.subscriber;
    if (!entry &&
        !probe_limit_.admit(subscriber, asked.exchange.now_s, settings_.probes_per_s, settings_.probes_burst)) {
      ++counters_[Event::probes_refused];
      return refusal_of(Code::no_resources);
    }
  }
  return deletes || entry ? std::nullopt : no_room_for(asked.key, 1);
}

// §17.2: of the subscriber, not the host; what is under way counts.
std::optional<Refusal> Server::no_room_for(const RecordKey& key, uint32_t ports) {
  const auto his = held_.find(key.mapping.subscriber);
  const uint32_t held = his == held_.end() ? 0 : his->second;
  if (held + ports > settings_.mappings_per_subscriber_max) return refusal_of(Code::user_ex_quota);
  if (entries_.size() < settings_.mappings_max) return std::nullopt;
  ++counters_[Event::table_full];
  return refusal_of(Code::no_resources);
}

// New filters are added to those there are; length 0 removes all before it (§13.3).
net::Result<std::vector<Filter>, Code> Server::filters_after(const Asked& asked, const Entry* entry) const {
  std::vector<Filter> filters;
  if (entry && !entry->granted->mapping.ended) filters = entry->granted->mapping.filters;
  for (const FilterBody& body : asked.options.filters) {
    if (body.prefix_length == 0) {
      filters.clear();
      continue;
    }
    const Filter filter = filter_of(body);
    if (std::ranges::find(filters, filter) != filters.end()) continue;  // a retransmission adds nothing
    if (filters.size() == filters_max) return tl::unexpected(Code::excessive_remote_peers);
    filters.push_back(filter);
  }
  return filters;
}

// An IPv6 suggestion is a hint that cannot be followed (§10), as is a port that policy does not give on request.
net::Endpoint Server::suggestion(const MapBody& map) const {
  const uint16_t port = map.external_port.number;
  const auto holds = [port](const PortRange& range) { return range.first <= port && port <= range.last; };
  const bool may = holds(settings_.suggested_ports) && std::ranges::none_of(settings_.reserved_ports, holds);
  return {is_mapped(map.external_address) ? unmapped(map.external_address) : net::Ipv4{},
          may ? map.external_port : net::Port{}};
}

uint32_t Server::lifetime_granted_s(uint32_t requested_s) const {
  return std::max(std::min(requested_s, settings_.lifetime_max_s), settings_.lifetime_min_s);
}

void Server::ask_for_mapping(const Asked& asked, const Entry* entry, std::vector<Filter> filters) {
  const MappingKey& key = asked.key.mapping;
  const auto& before = entry ? entry->granted : std::nullopt;
  const auto& options = asked.options;
  Granted next{before ? before->mapping : Mapping{}, asked.request.map.nonce};
  if (next.mapping.ended) {  // all but its place is forgotten
    Mapping anew;
    anew.outside = next.mapping.outside;
    anew.ports = next.mapping.ports;
    next.mapping = std::move(anew);
  }
  next.mapping.client = asked.exchange.source;
  next.mapping.b4 = asked.b4;
  next.mapping.prefer_failure = options.prefer_failure;
  next.mapping.third_party = options.third_party.has_value();
  next.mapping.open_nonce = asked.asker == Asker::natpmp;
  next.mapping.filters = std::move(filters);
  if (options.description) next.mapping.description = cut_utf8(*options.description, settings_.description_bytes_max);

  Command command;
  command.verb = Command::Verb::open;
  command.key = key;
  command.b4 = asked.b4;
  // A renewal keeps what it has whatever it suggests (§11.3, 3).
  command.suggested = before ? before->mapping.outside : suggestion(asked.request.map);
  const bool any_address = command.suggested.address == net::Ipv4{};
  if (const auto his = before || asked.ports > 1 ? std::nullopt : resting_.of(key, asked.request.map.nonce);
      his && command.suggested.port == his->port && (any_address || command.suggested.address == his->address)) {
    command.suggested = *his;
    command.reclaim = true;
  }
  command.exact = options.prefer_failure;
  command.lifetime_s = asked.asker == Asker::natpmp ? std::min(asked.request.lifetime_s, settings_.lifetime_max_s)
                                                    : lifetime_granted_s(asked.request.lifetime_s);
  command.pinned_s = pinned_s(key, asked.exchange.now_s);
  command.let_in = let_in(key, &next.mapping.filters, {});
  command.ports = before ? before->mapping.ports : asked.ports;
  if (!before && asked.ports > 1)  // as many as his quota allows (RFC 7753 §4.2); map_refusal() has found room for one
    while (command.ports > 1 && no_room_for(asked.key, command.ports))
      command.ports = static_cast<uint16_t>(command.ports / 2);
  command.keep_parity = options.port_set && (options.port_set->reserved_parity & 1) != 0;

  const auto bytes = asked.exchange.bytes;
  Pending pending;
  pending.asker = asked.asker;
  pending.source = asked.exchange.source;
  pending.request.assign(bytes.begin(), bytes.end());
  pending.map = asked.request.map;
  pending.options = options;
  pending.command = std::move(command);
  pending.known = before && before->nonce == asked.request.map.nonce;
  pending.next = std::move(next);
  effects_.commands.push_back(begin(asked.key, std::move(pending)).command);
}

// With a store, the record goes first: a mapping that has ended never comes back.
void Server::ask_for_deletion(const Asked& asked, const Entry* entry) {
  const auto& before = entry ? entry->granted : std::nullopt;
  const auto bytes = asked.exchange.bytes;
  Pending pending;
  pending.asker = asked.asker;
  pending.source = asked.exchange.source;
  pending.request.assign(bytes.begin(), bytes.end());
  pending.map = asked.request.map;
  pending.options = asked.options;
  pending.command.verb = Command::Verb::end;
  pending.command.key = asked.key.mapping;
  pending.command.b4 = asked.b4;
  pending.command.pinned_s = pinned_s(asked.key.mapping, asked.exchange.now_s);
  pending.command.let_in = let_in(asked.key.mapping, nullptr, {});
  pending.command.ports = before ? before->mapping.ports : uint16_t{1};
  pending.known = before && before->nonce == asked.request.map.nonce;
  const bool on_disk = settings_.durable && before && !before->mapping.ended;
  pending.stage = on_disk ? Stage::storing : Stage::translating;
  const Command command = begin(asked.key, std::move(pending)).command;
  if (on_disk)
    effects_.changes.push_back({command.ticket, asked.key, std::nullopt});
  else
    effects_.commands.push_back(command);
}

}  // namespace portolan::pcp
