#include "pcp-server/server.h"

#include <algorithm>
#include <cassert>

#include "pcp-server/judgements.h"

namespace portolan::pcp {

namespace {

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

constexpr net::Ipv4 b4_itself{0xc0000002};  // 192.0.0.2 (RFC 6333 §5.7)
constexpr uint8_t natpmp_version = 0;

bool is_one_of(const std::vector<net::Ipv6Prefix>& prefixes, const net::Ipv6& address) {
  return std::ranges::any_of(prefixes, [&](const net::Ipv6Prefix& prefix) { return contains(prefix, address); });
}

net::Ipv6 sender_of(const Source& source) { return source.inner ? mapped(*source.inner) : source.b4; }

}  // namespace

Server::Server(Settings settings, uint64_t epoch_start_s, uint64_t seed)
    : settings_(std::move(settings)),
      epoch_start_s_(epoch_start_s),
      rate_limit_(seed, settings_.allowances_log2),
      probe_limit_(~seed, settings_.allowances_log2) {}

net::Ipv6 Server::subscriber_of(const net::Ipv6& b4) const {
  return is_mapped(b4) ? b4 : masked(b4, settings_.subscriber_prefix_length);  // NAT44: the address is the subscriber
}

Effects Server::handle(std::span<const uint8_t> request, const Source& source, uint64_t now_s) {
  expire(now_s);
  const uint32_t per_s_all = settings_.requests_per_s_all;
  if (!settings_.enabled)
    drop(Event::drop_disabled);
  else if (!rate_limit_.admit(subscriber_of(source.b4), now_s, settings_.requests_per_s, settings_.requests_burst))
    drop(Event::drop_rate);
  else if (per_s_all != 0 && !allowance_of_all_.admit(now_s, per_s_all, per_s_all))
    drop(Event::drop_rate_all);
  else
    judge({request, source, now_s});
  return take_effects();
}

// The order of the checks is §8.2's.
void Server::judge(const Exchange& exchange) {
  const auto bytes = exchange.bytes;
  if (bytes.size() < 2) return drop(Event::drop_short);
  if ((bytes[1] & response_bit) != 0) return drop(Event::drop_response);
  if (bytes[0] == natpmp_version && settings_.natpmp_enabled) return natpmp(exchange);
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
  if (request->client != sender_of(exchange.source)) return refuse(exchange, Code::address_mismatch);
  const bool served = request->opcode == Opcode::announce ||
                      (request->opcode == Opcode::map && settings_.map_enabled) ||
                      (request->opcode == Opcode::peer && settings_.peer_enabled);
  if (!served) return refuse(exchange, Code::unsupp_opcode);
  if (request->opcode == Opcode::announce) return announce_requested(exchange, *request);
  mapping_requested(exchange, *request);
}

void Server::announce_requested(const Exchange& exchange, const Request& request) {
  if (const auto options = options_of(request); !options) return refuse(exchange, options.error());
  count(exchange.bytes, Code::success);
  const net::Ipv6 subscriber = subscriber_of(exchange.source.b4);
  effects_.replies.push_back({exchange.source, build_announce_response(epoch_s(subscriber, exchange.now_s))});
}

void Server::mapping_requested(const Exchange& exchange, const Request& request) {
  const auto options = options_of(request);
  if (!options) return refuse(exchange, options.error());
  const auto inside = inside_of(exchange.source, *options);
  if (!inside) return refuse(exchange, inside.error(), true);
  const MappingKey key{inside->subscriber, inside->address, request.map.internal_port,
                       net::Protocol{request.map.protocol}};
  if (request.opcode == Opcode::peer)
    return judge_peer(
        {exchange, request, *options, {key, {unmapped(request.remote_address), request.remote_port}}, inside->b4});
  const Asked asked{exchange, request, *options, {key, {}}, inside->b4};
  const bool as_set = options->port_set && settings_.port_set_max > 1;
  if (as_set || sets_seen_) return judge_port_set(asked);
  judge_map(asked);
}

net::Result<Options, Code> Server::options_of(const Request& request) {
  const net::Reader in{request.options};
  auto options = parse_options(in, request.opcode);
  if (well_formed(in))
    for (net::Reader rest = in; rest.size() > 0;) counters_.count_option(take_option(rest).code);
  if (!options && options.error() == Code::malformed_option)
    ++counters_[well_formed(in) ? Event::bad_option_content : Event::bad_option_structure];
  return options;
}

// Whose mapping it is, if the sender may ask for it (§13.1, D04).
net::Result<Server::Inside, Code> Server::inside_of(const Source& source, const Options& options) {
  const net::Ipv6 own = subscriber_of(source.b4);
  const bool is_portal = !source.inner && is_one_of(settings_.portal_from, source.b4);
  if (options.subscriber_id) {  // RFC 7843 §5.2
    const auto& id = *options.subscriber_id;
    if (!is_portal) return tl::unexpected(Code::unsupp_option);
    if (!options.third_party) return tl::unexpected(Code::third_party_missing_option);
    if (id.size() != sizeof(net::Ipv6)) return tl::unexpected(Code::unsupp_third_party_id_length);
    net::Ipv6 b4;
    std::ranges::copy(id, b4.bytes.begin());
    if (!is_one_of(settings_.subscribers, b4)) return tl::unexpected(Code::third_party_id_unknown);
    const net::Ipv6& host = *options.third_party;
    const bool is_his = is_mapped(b4) ? host == b4 : is_mapped(host) && may_be_inside(unmapped(host));
    if (!is_his) return tl::unexpected(Code::unsupp_option);
    return Inside{subscriber_of(b4), b4, unmapped(host)};
  }
  if (is_portal) return tl::unexpected(options.third_party ? Code::unsupp_option : Code::not_authorized);
  if (!options.third_party) {
    // A B4's own IPv6 address has no place on an IPv4 NAT's inside (PCD-003).
    if (!source.inner && settings_.plain_self) return Inside{own, source.b4, b4_itself};
    if (!source.inner) return tl::unexpected(Code::not_authorized);
    if (!is_mapped(source.b4) && !may_be_inside(*source.inner)) return tl::unexpected(Code::not_authorized);
    return Inside{own, source.b4, *source.inner};
  }
  const net::Ipv6& host = *options.third_party;
  if (host == sender_of(source)) {
    ++counters_[Event::bad_third_party_self];
    return tl::unexpected(Code::malformed_request);
  }
  const bool trusted = !source.inner || is_one_of(settings_.third_party_from, source.b4);
  // A NAT44 subscriber is his address: every other host is somebody else's (PCP-103).
  if (!trusted || is_mapped(source.b4) || !is_mapped(host) || !may_be_inside(unmapped(host)))
    return tl::unexpected(Code::unsupp_option);
  return Inside{own, source.b4, unmapped(host)};
}

// --- replies ---

void Server::drop(Event event) { ++counters_[event]; }

void Server::refuse(const Exchange& exchange, const Refusal& refusal) {
  effects_.replies.push_back({exchange.source, error(exchange.source, exchange.bytes, refusal, exchange.now_s)});
}

void Server::refuse(const Exchange& exchange, Code code, bool parsed) { refuse(exchange, refusal_of(code, parsed)); }

void Server::count(std::span<const uint8_t> request, Code code) {
  ++counters_[code];
  if (request[0] == version && request[1] < counters_.results.size())
    ++counters_.results[request[1]][static_cast<size_t>(code)];
}

Message Server::error(const Source& to, std::span<const uint8_t> request, const Refusal& refusal, uint64_t now_s) {
  count(request, refusal.code);
  return build_error_response(request, refusal, epoch_s(subscriber_of(to.b4), now_s));
}

}  // namespace portolan::pcp
