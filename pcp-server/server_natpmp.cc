// NAT-PMP (RFC 6886), for clients that know nothing else: a MAP without a nonce. Only IPv4 clients have it. What PCP
// made with a nonce is told and never touched; what NAT-PMP made the first PCP client of the same host may take over.
//
// The companion port (§3.3) is the subscriber's by construction: a port block is one subscriber's, for all protocols.
#include <algorithm>

#include "pcp-server/judgements.h"
#include "pcp-server/natpmp_codec.h"
#include "pcp-server/server.h"

namespace portolan::pcp {

namespace {

natpmp::Result result_of(Code code) {
  switch (code) {
    case Code::success:
      return natpmp::Result::success;
    case Code::network_failure:
      return natpmp::Result::network_failure;
    case Code::not_authorized:
    case Code::unsupp_protocol:
      return natpmp::Result::refused;
    default:
      return natpmp::Result::out_of_resources;
  }
}

constexpr unsigned announcements = 10;  // §3.2.1

net::Protocol protocol_of(uint8_t opcode) {
  return opcode == natpmp::map_udp ? net::Protocol::udp : net::Protocol::tcp;
}

}  // namespace

void Server::natpmp(const Exchange& exchange) {
  const uint8_t opcode = exchange.bytes[1];
  const Source& source = exchange.source;
  if (!source.inner) return drop(Event::drop_short);  // §3.3: the source is the internal address
  ++counters_[Event::natpmp_requests];
  if (opcode > natpmp::map_tcp) {  // §3.5
    Message copy(exchange.bytes.begin(), exchange.bytes.end());
    copy.resize(std::max(copy.size(), sizeof(natpmp::ResponseHeader)));
    natpmp::set_header(copy, natpmp::Result::unsupported_opcode, epoch_s(subscriber_of(source.b4), exchange.now_s));
    effects_.replies.push_back({source, std::move(copy)});
    return;
  }
  if (opcode != natpmp::address) {
    if (exchange.bytes.size() < sizeof(natpmp::MapRequest)) return drop(Event::drop_short);
    return natpmp_map(exchange, protocol_of(opcode));
  }
  const RecordKey key{{subscriber_of(source.b4), *source.inner, {}, {}}, {}};
  if (is_busy(key.mapping)) return drop(Event::drop_in_flight);
  Pending pending;
  pending.asker = Asker::natpmp;
  pending.source = source;
  pending.request.assign(exchange.bytes.begin(), exchange.bytes.end());
  pending.command.verb = Command::Verb::address;
  pending.command.key = key.mapping;
  effects_.commands.push_back(begin(key, std::move(pending)).command);
}

void Server::natpmp_map(const Exchange& exchange, net::Protocol protocol) {
  natpmp::MapRequest asked;
  std::copy_n(exchange.bytes.begin(), sizeof asked, reinterpret_cast<uint8_t*>(&asked));
  if (asked.internal_port == net::Port{} && asked.lifetime_s == 0) return natpmp_delete_all(exchange, protocol);
  const Options options;
  const auto inside = inside_of(exchange.source, options);
  if (!inside || asked.internal_port == net::Port{})
    return natpmp_refuse(exchange.source, exchange.bytes, Code::not_authorized, exchange.now_s);
  const RecordKey key{{inside->subscriber, inside->address, asked.internal_port, protocol}, {}};
  const auto touched = overlapping(key.mapping, 1);
  const bool is_anothers = !touched.empty() && touched.front()->first != key;  // in the middle of a PORT_SET
  if (is_busy(key.mapping)) return drop(Event::drop_in_flight);
  const Entry* entry = touched.empty() ? nullptr : &touched.front()->second;
  const bool is_pcps = is_anothers || (entry && !entry->granted->mapping.open_nonce && !entry->granted->mapping.ended);
  if (is_pcps && asked.lifetime_s == 0)
    return natpmp_refuse(exchange.source, exchange.bytes, Code::not_authorized, exchange.now_s);
  if (is_pcps && !is_anothers) {  // §3.3: told, as it is
    const Mapping& mapping = entry->granted->mapping;
    return natpmp_reply(exchange.source, exchange.bytes, 0, mapping.outside.port,
                        std::min(asked.lifetime_s, net::be32{remaining_s(mapping.expires_s, exchange.now_s)}),
                        exchange.now_s);
  }
  if (is_anothers) return natpmp_refuse(exchange.source, exchange.bytes, Code::no_resources, exchange.now_s);
  Request request;
  request.lifetime_s = asked.lifetime_s;
  request.map.protocol = static_cast<uint8_t>(protocol);
  request.map.internal_port = asked.internal_port;
  request.map.external_port = asked.suggested_port;
  request.map.external_address = any_ipv4;
  const Asked as_map{exchange, request, options, key, inside->b4, 1, Asker::natpmp};
  if (asked.lifetime_s == 0) return ask_for_deletion(as_map, entry);
  if (const auto full = entry ? std::nullopt : no_room_for(key, 1))
    return natpmp_refuse(exchange.source, exchange.bytes, full->code, exchange.now_s);
  ask_for_mapping(as_map, entry, {});
}

// §3.4: all of that protocol that are this host's; those that cannot be deleted stay, and the answer says so.
void Server::natpmp_delete_all(const Exchange& exchange, net::Protocol protocol) {
  const net::Ipv6 subscriber = subscriber_of(exchange.source.b4);
  bool all = true;
  std::vector<RecordKey> keys;
  for (auto at = first_of(subscriber); at != entries_.end() && at->first.mapping.subscriber == subscriber; ++at)
    if (at->first.mapping.inside_address == *exchange.source.inner && at->first.mapping.protocol == protocol &&
        !at->first.is_peer() && at->second.granted && !at->second.granted->mapping.ended)
      keys.push_back(at->first);
  for (const RecordKey& key : keys) {
    const auto at = entries_.find(key);
    if (!at->second.granted->mapping.open_nonce || at->second.pending) {
      all = false;
      continue;
    }
    Command command;
    command.verb = Command::Verb::end;
    command.key = key.mapping;
    command.pinned_s = pinned_s(key.mapping, exchange.now_s);
    command.ports = at->second.granted->mapping.ports;
    effects_.commands.push_back(std::move(command));
    let_rest(at, exchange.now_s);
    revoke(at);
  }
  if (!all) return natpmp_refuse(exchange.source, exchange.bytes, Code::not_authorized, exchange.now_s);
  natpmp_reply(exchange.source, exchange.bytes, 0, {}, 0, exchange.now_s);
}

void Server::natpmp_address(const Pending& pending, const CommandResult& result, uint64_t now_s) {
  const bool known = result.status == CommandResult::Status::done;
  effects_.replies.push_back(
      {pending.source, natpmp::build_address_response(known ? std::optional(result.outside.address) : std::nullopt,
                                                      epoch_s(subscriber_of(pending.source.b4), now_s))});
}

// §3.2.1, to one client instead of to all: his outside address, or that he has none until he asks again, and the epoch.
// Where he listens is told nowhere but in the RFC.
void Server::natpmp_announce(const net::Ipv6& subscriber, Source to, uint64_t now_s) {
  if (!to.inner) return;
  if (std::exchange(natpmp_told_at_s_, now_s) != now_s) natpmp_told_.clear();
  if (!natpmp_told_.emplace(to.b4, *to.inner).second) return;
  std::optional<net::Ipv4> outside;
  for (auto at = first_of(subscriber); at != entries_.end() && at->first.mapping.subscriber == subscriber; ++at)
    if (at->second.granted && !at->second.granted->mapping.ended) outside = at->second.granted->mapping.outside.address;
  to.port = client_port;
  effects_.notices.push_back({to, subscriber, natpmp::build_address_response(outside, epoch_s(subscriber, now_s)),
                              std::nullopt, announcements});
}

void Server::natpmp_reply(const Source& to, std::span<const uint8_t> request, uint16_t result, net::Port outside,
                          uint32_t lifetime_s, uint64_t now_s) {
  natpmp::MapRequest asked;
  std::copy_n(request.begin(), sizeof asked, reinterpret_cast<uint8_t*>(&asked));
  natpmp::MapResponse response{};
  response.header.opcode = static_cast<uint8_t>(asked.opcode | natpmp::response_bit);
  response.header.result = result;
  response.header.epoch_s = epoch_s(subscriber_of(to.b4), now_s);
  response.internal_port = asked.internal_port;
  response.external_port = outside;
  response.lifetime_s = lifetime_s;
  Message message;
  append(message, response);
  effects_.replies.push_back({to, std::move(message)});
}

void Server::natpmp_refuse(const Source& to, std::span<const uint8_t> request, Code code, uint64_t now_s) {
  natpmp_reply(to, request, static_cast<uint16_t>(result_of(code)), {}, 0, now_s);
}

}  // namespace portolan::pcp
