// PEER (RFC 6887 §12.3). The translator maps endpoints, not connections, so whatever mapping the inside endpoint has is
// the one the remote is reached through; each remote has a record of its own, with its nonce and its time.
#include <algorithm>

#include "pcp-server/judgements.h"
#include "pcp-server/server.h"

namespace portolan::pcp {

namespace {

constexpr net::Ipv4 nobody{0xffffffff};  // suggested where what was suggested cannot be: only a mapping there is helps

// §12.3: what no host has.
bool can_be_remote(const net::Ipv6& address) {
  if (!is_mapped(address)) return false;
  const uint32_t top = unmapped(address).bits >> 24;
  return top != 0 && top != 127 && top < 224;
}

}  // namespace

std::optional<Refusal> Server::peer_refusal(const Asked& asked, const Entry* entry) {
  const Request& request = asked.request;
  const bool is_whole = request.map.protocol != 0 && request.map.internal_port != net::Port{} &&
                        request.remote_port != net::Port{} && can_be_remote(request.remote_address);
  if (!is_whole) {
    ++counters_[Event::bad_peer];
    return refusal_of(Code::malformed_request);
  }
  if (!is_mappable(net::Protocol{request.map.protocol})) return refusal_of(Code::unsupp_protocol);
  if (auto refused = nonce_refusal(asked, entry)) return refused;
  if (entry) return std::nullopt;
  size_t peers = 0;
  for (auto at = entries_.lower_bound({asked.key.mapping, {}});
       at != entries_.end() && at->first.mapping == asked.key.mapping; ++at)
    if (at->first.is_peer()) ++peers;
  if (peers >= peers_max) return refusal_of(Code::user_ex_quota);
  return no_room_for(asked.key, 1);
}

void Server::judge_peer(const Asked& asked) {
  const auto at = entries_.find(asked.key);
  const Entry* entry = at == entries_.end() ? nullptr : &at->second;
  const MappingKey& key = asked.key.mapping;
  const uint64_t now_s = asked.exchange.now_s;
  if (is_busy(key)) return drop(Event::drop_in_flight);
  if (const auto refused = peer_refusal(asked, entry)) return refuse(asked.exchange, *refused);
  const auto& before = entry ? entry->granted : std::nullopt;
  const MapBody& body = asked.request.map;
  const bool suggests =
      body.external_port != net::Port{} || (body.external_address != any_ipv4 && body.external_address != any_ipv6);
  Command command;
  command.verb = Command::Verb::open_outbound;
  command.key = key;
  command.b4 = asked.b4;
  command.remote = asked.key.remote;
  command.exact = suggests && !before;
  command.suggested = before ? before->mapping.outside : suggestion(body);
  const bool cannot_be = command.suggested.port != body.external_port ||
                         (!is_mapped(body.external_address) && body.external_address != any_ipv6);
  if (command.exact && cannot_be) command.suggested = {nobody, {}};
  // It never shortens; lifetime 0 asks what is left (§15).
  if (asked.request.lifetime_s > 0) command.lifetime_s = lifetime_granted_s(asked.request.lifetime_s);
  if (before) command.lifetime_s = std::max(command.lifetime_s, remaining_s(before->mapping.expires_s, now_s));
  command.pinned_s = pinned_s(key, now_s);
  command.let_in = let_in(key, map_filters_of(key), asked.key.remote);

  Granted next{before ? before->mapping : Mapping{}, body.nonce};
  next.mapping.client = asked.exchange.source;
  next.mapping.b4 = asked.b4;
  next.mapping.third_party = asked.options.third_party.has_value();
  if (asked.options.description)
    next.mapping.description = cut_utf8(*asked.options.description, settings_.description_bytes_max);
  const auto bytes = asked.exchange.bytes;
  Pending pending;
  pending.source = asked.exchange.source;
  pending.request.assign(bytes.begin(), bytes.end());
  pending.map = body;
  pending.options = asked.options;
  pending.command = std::move(command);
  if (pending.command.lifetime_s > 0) pending.next = std::move(next);
  effects_.commands.push_back(begin(asked.key, std::move(pending)).command);
}

}  // namespace portolan::pcp
