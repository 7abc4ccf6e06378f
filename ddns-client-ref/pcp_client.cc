// Exchanges, renewals and responses. Section numbers are RFC 6887's.
#include "ddns-client-ref/pcp_client.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace portolan::ddns {
namespace {

using std::chrono::seconds;

constexpr Duration retransmit_first = seconds(3);   // IRT, §8.1.1
constexpr Duration retransmit_max = seconds(1024);  // MRT
constexpr Duration renewal_gap_min = seconds(4);    // §11.2.1
constexpr uint32_t lifetime_max_s = 24 * 3600;      // §15: a sane limit on what a server says, errors too
constexpr Duration restore_spread = seconds(5);     // §14.1.3
constexpr uint8_t one_host_bits = 128;
constexpr Duration version_wait_max = seconds(1800);  // §9
constexpr unsigned attempts_max = 4;                  // RFC 7488 §3(3): MRC
constexpr Duration addresses_retry = seconds(900);    // RFC 7488 §3(5)

Duration sane_lifetime(uint32_t lifetime_s) { return seconds(std::min(lifetime_s, lifetime_max_s)); }

uint32_t whole_seconds(Duration d) { return static_cast<uint32_t>(std::chrono::duration_cast<seconds>(d).count()); }

}  // namespace

bool EpochCheck::valid(uint32_t client_s, uint32_t server_s) {
  const auto last = std::exchange(last_, Seen{client_s, server_s});
  if (!last) return true;
  const int64_t server_delta = int64_t{server_s} - last->server_s;
  const int64_t client_delta = int64_t{client_s} - last->client_s;
  if (server_delta < -1) return false;
  return client_delta + 2 >= server_delta - server_delta / 16 && server_delta + 2 >= client_delta - client_delta / 16;
}

PcpClient::PcpClient(PcpPeer server, net::Ipv6 client_address, Random random)
    : PcpClient(std::vector{server}, client_address, std::move(random)) {}

PcpClient::PcpClient(std::vector<PcpPeer> addresses, net::Ipv6 client_address, Random random)
    : addresses_(std::move(addresses)), client_address_(client_address), random_(std::move(random)) {}

void PcpClient::add(MappingId id, const MappingSpec& spec, Time now) {
  natpmp_drop(id);
  Mapping& mapping = mappings_[id] = {};
  mapping.spec = spec;
  ask(mapping, now);
  tick(now);
}

void PcpClient::renew(MappingId id, Time now) {
  const auto at = mappings_.find(id);
  if (at == mappings_.end() || at->second.phase != Phase::held) return;  // others ask already, or may not
  ask(at->second, now);
  tick(now);
}

void PcpClient::release(MappingId id, Time now) {
  const auto at = mappings_.find(id);
  if (at == mappings_.end()) return;
  Mapping& mapping = at->second;
  if (!mapping.grant && !mapping.awaiting && !mapping.spec.is_known) {  // the server never heard of it
    mappings_.erase(at);
    return;
  }
  natpmp_drop(id);
  mapping.assigned.reset();
  mapping.phase = Phase::releasing;
  mapping.overtaken = mapping.awaiting;
  mapping.due = now;
  mapping.retransmit = {};
  mapping.unanswered = 0;
  tick(now);
}

void PcpClient::forget(MappingId id) {
  natpmp_drop(id);
  mappings_.erase(id);
}

void PcpClient::move_to(const net::Ipv6& client_address, Time now) {
  if (std::exchange(needs_path_, false)) {  // the server is the same, and the exchanges have begun anew
    client_address_ = client_address;
    return tick(now);
  }
  if (client_address == client_address_) return;
  client_address_ = client_address;
  epoch_.forget();  // a server may count per client
  natpmp_.reset();  // the way may lead to another gateway now
  for (auto at = mappings_.begin(); at != mappings_.end();) {
    if (at->second.phase == Phase::releasing) {
      at = mappings_.erase(at);
      continue;
    }
    ask((at++)->second, now);
  }
  tick(now);
}

void PcpClient::ask(Mapping& mapping, Time at) {
  mapping.phase = Phase::asking;
  mapping.due = at;
  mapping.retransmit = {};
  mapping.unanswered = 0;
  mapping.assigned.reset();
}

void PcpClient::unreachable(Time now) {
  if (addresses_.size() > 1) try_next_address(now);
}

void PcpClient::port_unreachable(Time now) {
  if (!natpmp_) return unreachable(now);
  if (natpmp_->asked) natpmp_give_up("the gateway's NAT-PMP port is closed", now);
}

// What waits for an answer begins anew at the next address, with the nonces it has: it is the same server (RFC 7488
// §3).
void PcpClient::try_next_address(Time now) {
  natpmp_.reset();
  current_ = (current_ + 1) % addresses_.size();
  needs_path_ = true;
  if (std::exchange(asked_, false) && ++silent_ >= addresses_.size()) {
    silent_ = 0;
    addresses_due_ = now + addresses_retry;
  }
  for (auto& [id, mapping] : mappings_) {
    if (mapping.phase == Phase::barred || (mapping.phase == Phase::held && !mapping.awaiting)) continue;
    const Phase phase = mapping.phase;
    ask(mapping, std::max(now, addresses_due_));
    if (phase == Phase::releasing) mapping.phase = phase;
  }
}

// THIRD_PARTY names the inside host wherever it is not the one that sends: always over plain IPv6 to an AFTR, whose
// mappings are for IPv4 hosts behind the softwire (§13.1).
pcp::MapRequest PcpClient::request_of(const Mapping& mapping) const {
  const MappingSpec& spec = mapping.spec;
  const net::Endpoint suggested = mapping.grant ? mapping.grant->outside : spec.suggested;
  pcp::MapRequest request;
  request.nonce = spec.nonce;
  request.protocol = spec.protocol;
  request.internal_port = spec.inside.port;
  request.lifetime_s = mapping.phase == Phase::releasing ? 0 : spec.lifetime_s;
  request.suggested_port = suggested.port;
  request.suggested_address = net::mapped(suggested.address);
  if (const net::Ipv6 inside = net::mapped(spec.inside.address); inside != client_address_)
    request.third_party = inside;
  if (mapping.phase == Phase::releasing) return request;  // a deletion has no other options (§13.2, §13.3)
  request.prefer_failure = spec.prefer_failure && !mapping.grant;
  if (spec.remote) request.filters = {{0, one_host_bits, {}, net::mapped(*spec.remote)}};
  if (!spec.description.empty()) request.description = spec.description;
  return request;
}

// RT = (1+RAND) × IRT, then (1+RAND) × min(2 × RTprev, MRT); RAND in ±0.1 (§8.1.1).
Duration PcpClient::next_retransmit(Duration previous) {
  const Duration base = previous == Duration{} ? retransmit_first : std::min(2 * previous, retransmit_max);
  return scaled(base, 0.9 + 0.2 * random_());
}

void PcpClient::send(Mapping& mapping, Time now) {
  datagrams_.push_back(pcp::build_map_request(client_address_, request_of(mapping)));
  mapping.last_sent = now;
  ++mapping.unanswered;
  asked_ = true;
  mapping.awaiting = true;
}

// The n-th renewal at 1-2^-n of the lifetime plus up to 2^-(n+2) of it: 1/2..5/8, 3/4..13/16 and so on (§11.2.1). When
// that is too close to the one before, no more is sent until the mapping has expired.
Time PcpClient::next_renewal(const Mapping& mapping) {
  const Grant& grant = *mapping.grant;
  if (!mapping.spec.keep) return grant.expires;
  if (natpmp_) return grant.since + (grant.expires - grant.since) / 2;  // RFC 6886 §3.3
  const Duration left_share = (grant.expires - grant.since) / (int64_t{1} << std::min(mapping.renewals + 1, 30U));
  Time at = grant.expires - left_share + scaled(left_share, random_() / 4);
  if (mapping.renewals > 0) at = std::max(at, *mapping.last_sent + renewal_gap_min);
  return std::min(at, grant.expires);
}

// Before this moment an error forbids the mapping's next request.
Time PcpClient::earliest(const Mapping& mapping) const {
  const bool new_one = !mapping.grant && mapping.phase != Phase::releasing;
  return std::max({silent_before_, addresses_due_, new_one ? none_new_before_ : Time::min()});
}

bool PcpClient::expire(MappingId id, Mapping& mapping, Time now) {
  if (!mapping.grant || mapping.grant->expires > now) return true;
  if (mapping.phase == Phase::releasing) {
    report(PcpEvent::Kind::released, id, *mapping.grant);
    return false;
  }
  if (!mapping.spec.keep) return false;
  lose(id, mapping);
  if (mapping.phase == Phase::held) ask(mapping, now);
  return true;
}

bool PcpClient::run(MappingId id, Mapping& mapping, Time now) {
  if (!expire(id, mapping, now)) return false;
  if (mapping.due > now || needs_path_) return true;
  if (const Time allowed = earliest(mapping); allowed > now) {
    mapping.due = allowed;
    return true;
  }
  if (mapping.unanswered >= attempts_max && addresses_.size() > 1) {
    try_next_address(now);
    return true;
  }
  if (mapping.phase == Phase::barred) mapping.phase = Phase::asking;
  send(mapping, now);
  if (mapping.phase == Phase::held) {
    ++mapping.renewals;
    mapping.due = next_renewal(mapping);
  } else {
    mapping.retransmit = next_retransmit(mapping.retransmit);
    mapping.due = now + mapping.retransmit;
  }
  return true;
}

void PcpClient::tick(Time now) {
  if (natpmp_) natpmp_run(now);
  if (natpmp_) return;  // it was not given up just now
  for (auto at = mappings_.begin(); at != mappings_.end();)
    at = run(at->first, at->second, now) ? std::next(at) : mappings_.erase(at);
}

Time PcpClient::next_timer() const {
  Time next = natpmp_ ? natpmp_next_timer() : never;
  for (const auto& [id, mapping] : mappings_) {
    if (!needs_path_ && !natpmp_) next = std::min(next, mapping.due);
    if (mapping.grant) next = std::min(next, mapping.grant->expires);
  }
  return next;
}

void PcpClient::receive(std::span<const uint8_t> datagram, const PcpPeer& source, Time now, bool unasked) {
  // §8.3; what an address says once it is given up is late
  if (source.address != server().address || needs_path_ || datagram.empty()) return;
  if (datagram[0] == pcp::natpmp::version) return receive_version_0(datagram, source == server() && !unasked, now);
  if (source != server()) return;
  const auto response = pcp::parse_response(datagram);
  if (!response) return;
  if (natpmp_) {  // it does not speak NAT-PMP alone any more
    const bool answered = natpmp_->asked && natpmp_->asked->what == NatPmp::What::version;
    if (response->code == pcp::Code::unsupp_version) {
      if (!unasked) version_0_refused(now);
    } else if (response->opcode == pcp::Opcode::announce) {
      return_to_pcp(answered ? now : now + scaled(restore_spread, random_()));
    }
    return tick(now);
  }
  if (response->code == pcp::Code::unsupp_version) {
    if (unasked) return;
    const bool is_ours = response->version == pcp::version;
    return wrong_version(is_ours ? std::min(version_wait_max, sane_lifetime(response->lifetime_s)) : version_wait_max,
                         {}, now);
  }
  if (response->opcode == pcp::Opcode::announce) {
    if (response->code == pcp::Code::success) check_epoch(*response, now, nullptr);
    return tick(now);
  }
  if (!response->map) return;
  const auto at = std::ranges::find_if(
      mappings_, [&](const auto& entry) { return pcp::answers(*response, request_of(entry.second)); });
  if (at == mappings_.end() || (!at->second.awaiting && !at->second.grant)) return;
  silent_ = 0;
  natpmp_silent_ = false;
  at->second.unanswered = 0;
  check_epoch(*response, now, &at->second);
  if (response->code == pcp::Code::success)
    succeed(at, *response, now);
  else
    fail(at, response->code, sane_lifetime(response->lifetime_s), now);
  tick(now);
}

// The server may have lost everything but what it has just confirmed: ask for all of it again, spread over 5 s. The
// grants stay: the names are not withdrawn while the server is asked (§8.5, §14.1.3).
void PcpClient::check_epoch(const pcp::Response& response, Time now, const Mapping* answered) {
  const auto client_s = whole_seconds(now.time_since_epoch());
  if (epoch_.valid(client_s, response.epoch_s)) return;
  report(PcpEvent::Kind::server_restart, 0, {});
  for (auto& [id, mapping] : mappings_) {
    if (&mapping == answered || mapping.phase == Phase::releasing || !mapping.spec.keep) continue;
    if (mapping.phase == Phase::held || mapping.phase == Phase::asking)
      ask(mapping, now + scaled(restore_spread, random_()));
  }
}

void PcpClient::succeed(Table::iterator at, const pcp::Response& response, Time now) {
  auto& [id, mapping] = *at;
  // A deletion is confirmed by lifetime 0; anything else is the late answer to an earlier request, and the deletion
  // goes on being retransmitted (§15), the first time at once.
  if (mapping.phase == Phase::releasing) {
    if (response.lifetime_s != 0) {
      if (std::exchange(mapping.overtaken, false)) mapping.due = now;
      return;
    }
    report(PcpEvent::Kind::released, id, mapping.grant.value_or(Grant{}));
    mappings_.erase(at);
    return;
  }
  mapping.awaiting = false;
  if (response.lifetime_s == 0) {  // the server ended it (§14.2)
    if (mapping.grant) lose(id, mapping);
    return ask(mapping, now + next_retransmit({}));
  }
  const auto& map = *response.map;
  const net::Endpoint outside{net::unmapped(map.assigned_address), map.assigned_port};
  if (!net::is_mapped(map.assigned_address))  // nothing an IPv4 service could be reached at
    return bar(id, mapping, pcp::Code::network_failure, sane_lifetime(response.lifetime_s), now);
  hold(id, mapping, {outside, now, now + sane_lifetime(response.lifetime_s)});
}

void PcpClient::hold(MappingId id, Mapping& mapping, const Grant& grant) {
  const auto kind = !mapping.grant                            ? PcpEvent::Kind::granted
                    : mapping.grant->outside != grant.outside ? PcpEvent::Kind::changed
                                                              : PcpEvent::Kind::renewed;
  mapping.grant = grant;
  mapping.spec.prefer_failure = false;  // once it is ours, another port is better than none
  mapping.phase = Phase::held;
  mapping.renewals = 0;
  mapping.retransmit = {};
  mapping.due = next_renewal(mapping);
  report(kind, id, *mapping.grant);
}

void PcpClient::fail(Table::iterator at, pcp::Code code, Duration wait, Time now, std::string_view text) {
  auto& [id, mapping] = *at;
  mapping.awaiting = false;
  if (mapping.phase == Phase::releasing) {
    if (code == pcp::Code::no_resources) silent_before_ = std::max(silent_before_, now + wait);
    if (std::exchange(mapping.overtaken, false)) {  // it may be the earlier request's
      mapping.due = now;
      return;
    }
    report(PcpEvent::Kind::refused, id, mapping.grant.value_or(Grant{}), code, whole_seconds(wait), text);
    mappings_.erase(at);  // it expires by itself
    return;
  }
  if (code == pcp::Code::no_resources) none_new_before_ = std::max(none_new_before_, now + wait);
  // Somebody else's nonce holds it or policy has changed: it is not ours. Other errors leave a mapping its lifetime.
  if (code == pcp::Code::not_authorized && mapping.grant) lose(id, mapping);
  bar(id, mapping, code, wait, now, text);
}

// Only requests under way can have caused it (§9). Version 2 is the only one of PCP spoken here.
void PcpClient::wrong_version(Duration wait, std::string_view text, Time now) {
  for (auto& [id, mapping] : mappings_)
    if (mapping.awaiting && mapping.phase != Phase::releasing)
      bar(id, mapping, pcp::Code::unsupp_version, wait, now, text);
}

// Never sooner than a retransmission would have come: a server that says 0 s is not asked in a loop.
void PcpClient::bar(MappingId id, Mapping& mapping, pcp::Code code, Duration wait, Time now, std::string_view text) {
  mapping.awaiting = false;
  const Duration backoff = mapping.retransmit == Duration{} ? next_retransmit({}) : mapping.retransmit;
  mapping.phase = Phase::barred;
  mapping.due = now + std::max(wait, backoff);
  mapping.retransmit = wait < backoff ? backoff : Duration{};
  report(PcpEvent::Kind::refused, id, mapping.grant.value_or(Grant{}), code, whole_seconds(mapping.due - now), text);
}

void PcpClient::lose(MappingId id, Mapping& mapping) {
  mapping.spec.suggested = mapping.grant->outside;  // the same again, if the server can
  report(PcpEvent::Kind::lost, id, *mapping.grant);
  mapping.grant.reset();
}

void PcpClient::report(PcpEvent::Kind kind, MappingId id, const Grant& grant, pcp::Code code, uint32_t wait_s,
                       std::string_view text) {
  events_.push_back({kind, id, grant, code, wait_s, text});
}

std::optional<Grant> PcpClient::grant(MappingId id) const {
  const auto at = mappings_.find(id);
  return at == mappings_.end() ? std::nullopt : at->second.grant;
}

bool PcpClient::releasing() const {
  return std::ranges::any_of(mappings_, [](const auto& entry) { return entry.second.phase == Phase::releasing; });
}

std::vector<pcp::Message> PcpClient::take_datagrams() { return std::exchange(datagrams_, {}); }
std::vector<PcpEvent> PcpClient::take_events() { return std::exchange(events_, {}); }

}  // namespace portolan::ddns
