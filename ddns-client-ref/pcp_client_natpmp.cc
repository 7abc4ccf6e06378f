// NAT-PMP (RFC 6886), where the gateway knows nothing else. Section numbers are that RFC's.
//
// The table, its phases and its events are PCP's; what differs is the exchange: one at a time, with a patience of its
// own, and the outside address is asked for apart. There is no nonce: whoever has this host's address may end or take
// what was mapped. There are no options: what needs THIRD_PARTY, FILTER or PREFER_FAILURE is refused here, for without
// them the gateway would do something else than was asked; a description is for people to read and is left out.
#include <algorithm>
#include <utility>

#include "ddns-client-ref/pcp_client.h"

namespace portolan::ddns {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
namespace natpmp = pcp::natpmp;

constexpr Duration first_wait = milliseconds(250);  // §3.1: doubled each time, so 64 s after the ninth attempt
constexpr unsigned attempts_max = 9, deletion_attempts_max = 4, version_attempts_max = 3;
constexpr Duration silence_retry = seconds(300);   // §3.1: silence is not remembered for too long
constexpr Duration restore_spread = seconds(5);    // §3.7
constexpr Duration address_fresh = seconds(10);    // one question is for all mappings made in this time
constexpr Duration version_retry = seconds(1800);  // RFC 6887 §9
constexpr uint32_t lifetime_max_s = 24 * 3600;     // RFC 6887 §15: a sane limit on what a gateway says

constexpr std::string_view no_answer = "no answer in nine attempts by NAT-PMP";
constexpr std::string_view switched_off = "the server speaks NAT-PMP alone, which is switched off here";
constexpr std::string_view ipv6_only =
    "the server speaks NAT-PMP alone, which exists over IPv4 only: it is to be asked at its IPv4 address";

pcp::Code code_of(natpmp::Result result) {
  switch (result) {
    case natpmp::Result::success:
      return pcp::Code::success;
    case natpmp::Result::unsupported_version:
      return pcp::Code::unsupp_version;
    case natpmp::Result::refused:
      return pcp::Code::not_authorized;
    case natpmp::Result::network_failure:
      return pcp::Code::network_failure;
    case natpmp::Result::out_of_resources:
      return pcp::Code::no_resources;
    case natpmp::Result::unsupported_opcode:
      return pcp::Code::unsupp_opcode;
  }
  return pcp::Code::malformed_request;  // §3.5: fatal to the request
}

std::string_view text_of(natpmp::Result result) {
  switch (result) {
    case natpmp::Result::refused:
      return "the NAT-PMP gateway refuses: not authorized, or switched off there";
    case natpmp::Result::network_failure:
      return "the NAT-PMP gateway has no outside address at present";
    case natpmp::Result::out_of_resources:
      return "the NAT-PMP gateway can make no more mappings at present";
    case natpmp::Result::unsupported_opcode:
      return "the NAT-PMP gateway does not map this protocol";
    default:
      return "the NAT-PMP gateway refuses for a reason RFC 6886 does not name";
  }
}

Duration wait_for(pcp::Code code) { return seconds(pcp::error_lifetime_s(code)); }

}  // namespace

bool NatPmpEpoch::valid(Time now, uint32_t server_s) {
  const auto last = std::exchange(last_, Seen{now, server_s});
  if (!last) return true;
  const int64_t elapsed_ms = std::chrono::duration_cast<milliseconds>(now - last->at).count();
  return int64_t{server_s} * 8000 >= int64_t{last->server_s} * 8000 + elapsed_ms * 7 - 2 * 8000;
}

// --- which protocol ---

// Only requests under way can have caused a refusal of the version. An announcement may come from any port (§3.2.1).
void PcpClient::receive_version_0(std::span<const uint8_t> datagram, bool may_answer, Time now) {
  const auto response = natpmp::parse_response(datagram);
  if (!response) return;
  const bool wrong = response->result == natpmp::Result::unsupported_version;
  if (!may_answer && (wrong || response->opcode != natpmp::address)) return;
  if (!natpmp_ && wrong) {
    const auto waits = [](const auto& entry) { return entry.second.awaiting; };
    if (!std::ranges::any_of(mappings_, waits)) return;
    if (!natpmp_allowed_) return wrong_version(version_retry, switched_off, now);
    if (!net::is_mapped(server().address)) return wrong_version(version_retry, ipv6_only, now);
    fall_back(response->epoch_s, now);
    return tick(now);
  }
  if (!natpmp_) {
    network_changed(now);  // it announces itself
    return;
  }
  silent_ = 0;
  if (wrong) {  // to PCP's question; or to a request from before, and then PCP was refused already
    if (natpmp_->asked && natpmp_->asked->what == NatPmp::What::version) {
      natpmp_->asked.reset();
      natpmp_->version_due = now + version_retry;
    }
    return tick(now);
  }
  const bool answered = natpmp_answers(*response);
  auto at = mappings_.end();
  if (answered && natpmp_->asked->what == NatPmp::What::mapping) at = mappings_.find(natpmp_->asked->id);
  natpmp_check_epoch(*response->epoch_s, now, at == mappings_.end() ? nullptr : &at->second);
  if (response->opcode == natpmp::address)
    natpmp_address(*response, now);
  else if (at != mappings_.end())
    natpmp_mapping(at, *response, now);
  tick(now);
}

// All that was asked by PCP is asked again: this gateway has none of it.
void PcpClient::fall_back(std::optional<uint32_t> epoch_s, Time now) {
  natpmp_ = NatPmp{};
  natpmp_silent_ = false;
  natpmp_->version_due = now + version_retry;
  if (epoch_s) static_cast<void>(natpmp_->epoch.valid(now, *epoch_s));
  report(PcpEvent::Kind::protocol, 0, {});
  for (auto& [id, mapping] : mappings_) {
    mapping.awaiting = false;
    const bool releasing = mapping.phase == Phase::releasing;
    ask(mapping, now);
    if (releasing) mapping.phase = Phase::releasing;
  }
}

// A server that refuses both is not asked in a circle.
void PcpClient::version_0_refused(Time now) {
  if (now < next_return_) {
    natpmp_->asked.reset();
    return wrong_version(version_retry, "the server refuses both PCP and NAT-PMP", now);
  }
  next_return_ = now + version_retry;
  return_to_pcp(now);
}

void PcpClient::return_to_pcp(Time at) {
  natpmp_.reset();
  epoch_.forget();
  report(PcpEvent::Kind::protocol, 0, {});
  for (auto& [id, mapping] : mappings_) {
    mapping.awaiting = false;
    const bool releasing = mapping.phase == Phase::releasing;
    ask(mapping, at);
    if (releasing) mapping.phase = Phase::releasing;
  }
}

void PcpClient::network_changed(Time now) {
  if (!std::exchange(natpmp_silent_, false)) return;
  addresses_due_ = Time::min();
  for (auto& [id, mapping] : mappings_)
    if (mapping.phase == Phase::asking) ask(mapping, now);
  tick(now);
}

// --- exchanges (§3.1) ---

void PcpClient::natpmp_run(Time now) {
  for (auto at = mappings_.begin(); at != mappings_.end();) {
    if (expire(at->first, at->second, now)) {
      ++at;
      continue;
    }
    natpmp_drop(at->first);
    at = mappings_.erase(at);
  }
  if (needs_path_) return;
  if (natpmp_->asked && natpmp_->asked->due <= now) natpmp_repeat(now);
  while (natpmp_ && !natpmp_->asked && natpmp_begin(now)) {
  }
}

Time PcpClient::natpmp_next_timer() const {
  if (needs_path_) return never;
  if (natpmp_->asked) return natpmp_->asked->due;
  Time next = never;
  for (const auto& [id, mapping] : mappings_) next = std::min(next, mapping.assigned ? Time::min() : mapping.due);
  return next == never ? never : std::max(next, natpmp_->quiet_until);
}

// Deletions first: they are what the end of a program waits for.
bool PcpClient::natpmp_begin(Time now) {
  if (natpmp_->quiet_until > now) return false;
  if (std::ranges::any_of(mappings_, [](const auto& entry) { return entry.second.assigned.has_value(); })) {
    if (natpmp_->address && now - natpmp_->address_at < address_fresh)
      natpmp_settle(now);
    else
      natpmp_ask({NatPmp::What::address, 0, {}, {}, attempts_max, 0, {}, natpmp::build_address_request()}, now);
    return true;
  }
  auto next = mappings_.end();
  for (auto at = mappings_.begin(); at != mappings_.end(); ++at) {
    Mapping& mapping = at->second;
    if (mapping.due > now) continue;
    if (const Time allowed = earliest(mapping); allowed > now) {
      mapping.due = allowed;
      continue;
    }
    const auto rank = [](const Mapping& each) { return std::pair(each.phase != Phase::releasing, each.due); };
    if (next == mappings_.end() || rank(mapping) < rank(next->second)) next = at;
  }
  if (next == mappings_.end()) return false;
  if (natpmp_->version_due <= now) {
    natpmp_ask(
        {NatPmp::What::version, 0, {}, {}, version_attempts_max, 0, {}, pcp::build_announce_request(client_address_)},
        now);
    return true;
  }
  auto& [id, mapping] = *next;
  const bool releasing = mapping.phase == Phase::releasing;
  if (const auto unfit = natpmp_unfit(mapping)) {
    if (releasing)
      mappings_.erase(next);  // it was never made here
    else
      bar(id, mapping, unfit->code, wait_for(unfit->code), now, unfit->text);
    return true;
  }
  if (!releasing) mapping.phase = Phase::asking;
  mapping.due = never;
  mapping.awaiting = true;
  mapping.last_sent = now;
  const MappingSpec& spec = mapping.spec;
  const net::Port suggested = releasing       ? net::Port{}
                              : mapping.grant ? mapping.grant->outside.port  // §3.3: for a gateway that was restarted
                                              : spec.suggested.port;
  natpmp_ask({NatPmp::What::mapping,
              id,
              spec.protocol,
              spec.inside.port,
              releasing ? deletion_attempts_max : attempts_max,
              0,
              {},
              natpmp::build_map_request(spec.protocol, spec.inside.port, suggested, releasing ? 0 : spec.lifetime_s)},
             now);
  return true;
}

std::optional<PcpClient::Unfit> PcpClient::natpmp_unfit(const Mapping& mapping) const {
  const MappingSpec& spec = mapping.spec;
  if (net::mapped(spec.inside.address) != client_address_)
    return Unfit{pcp::Code::unsupp_option,
                 "the gateway speaks NAT-PMP alone and maps ports of this very address only: for another host a server "
                 "of PCP with THIRD_PARTY is needed, or the program has to run on that host"};
  if (spec.protocol != net::Protocol::tcp && spec.protocol != net::Protocol::udp)
    return Unfit{pcp::Code::unsupp_protocol, "the gateway speaks NAT-PMP alone and maps TCP and UDP only"};
  if (spec.inside.port == net::Port{})  // §3.4: with a lifetime of 0 it would mean all mappings of this host
    return Unfit{pcp::Code::unsupp_protocol, "the gateway speaks NAT-PMP alone and maps single ports only"};
  if (mapping.phase == Phase::releasing) return std::nullopt;
  if (spec.remote)
    return Unfit{
        pcp::Code::unsupp_option,
        "the gateway speaks NAT-PMP alone and would let everybody in: for one remote host a server of PCP with "
        "FILTER is needed"};
  if (spec.prefer_failure)
    return Unfit{pcp::Code::unsupp_option,
                 "the gateway speaks NAT-PMP alone and may give any outside port: for this one or none a server of PCP "
                 "with PREFER_FAILURE is needed"};
  return std::nullopt;
}

void PcpClient::natpmp_ask(NatPmp::Asked asked, Time now) {
  natpmp_->asked = std::move(asked);
  natpmp_->asked->due = now;
  natpmp_repeat(now);
}

void PcpClient::natpmp_repeat(Time now) {
  NatPmp::Asked& asked = *natpmp_->asked;
  if (asked.sent == asked.sent_max) return natpmp_give_up(no_answer, now);
  datagrams_.push_back(asked.message);
  asked_ = true;
  asked.due = now + first_wait * (int64_t{1} << asked.sent++);
}

// Silence to PCP's question leaves what is known; to a deletion it costs nothing (§3.1). To anything else it says that
// nobody is there to speak NAT-PMP.
void PcpClient::natpmp_give_up(std::string_view text, Time now) {
  const NatPmp::Asked asked = *std::exchange(natpmp_->asked, std::nullopt);
  if (asked.what == NatPmp::What::version) {
    natpmp_->version_due = now + version_retry;
    return;
  }
  const auto at = mappings_.find(asked.id);
  if (asked.what == NatPmp::What::mapping && at != mappings_.end() && at->second.phase == Phase::releasing) {
    report(PcpEvent::Kind::refused, asked.id, at->second.grant.value_or(Grant{}), pcp::Code::network_failure, 0, text);
    mappings_.erase(at);
    return;
  }
  if (addresses_.size() > 1) return try_next_address(now);
  natpmp_.reset();
  natpmp_silent_ = true;
  addresses_due_ = now + silence_retry;
  for (auto& [id, mapping] : mappings_) {
    mapping.awaiting = false;
    if (mapping.phase != Phase::asking) continue;
    ask(mapping, addresses_due_);
    report(PcpEvent::Kind::refused, id, mapping.grant.value_or(Grant{}), pcp::Code::network_failure,
           static_cast<uint32_t>(std::chrono::duration_cast<seconds>(silence_retry).count()), text);
  }
}

void PcpClient::natpmp_drop(MappingId id) {
  if (natpmp_ && natpmp_->asked && natpmp_->asked->what == NatPmp::What::mapping && natpmp_->asked->id == id)
    natpmp_->asked.reset();
}

// --- responses ---

// §3.5: a response says of itself what it answers; there are no transaction identifiers.
bool PcpClient::natpmp_answers(const natpmp::Response& response) const {
  if (!natpmp_->asked) return false;
  const NatPmp::Asked& asked = *natpmp_->asked;
  if (asked.what != NatPmp::What::mapping)
    return asked.what == NatPmp::What::address && response.opcode == natpmp::address;
  if (response.opcode != natpmp::opcode_of(asked.protocol)) return false;
  return response.internal ? *response.internal == asked.inside : response.result != natpmp::Result::success;
}

// §3.6, §3.7. A gateway that was restarted may be a newer one: PCP is tried first.
void PcpClient::natpmp_check_epoch(uint32_t epoch_s, Time now, const Mapping* answered) {
  if (natpmp_->epoch.valid(now, epoch_s)) return;
  report(PcpEvent::Kind::server_restart, 0, {});
  natpmp_->quiet_until = now + scaled(restore_spread, random_());
  natpmp_->version_due = now;
  natpmp_->address.reset();
  if (!answered) natpmp_->asked.reset();
  for (auto& [id, mapping] : mappings_) {
    if (&mapping == answered) continue;
    if (mapping.phase == Phase::releasing)
      mapping.due = now;
    else if (mapping.phase == Phase::asking || (mapping.phase == Phase::held && mapping.spec.keep))
      ask(mapping, now);
  }
}

// Asked for or announced (§3.2.1).
void PcpClient::natpmp_address(const natpmp::Response& response, Time now) {
  if (natpmp_answers(response)) natpmp_->asked.reset();
  const bool is_known = response.result == natpmp::Result::success && response.address != net::Ipv4{};
  if (!is_known) {
    const auto result = response.result == natpmp::Result::success ? natpmp::Result::network_failure : response.result;
    natpmp_->address.reset();
    for (auto at = mappings_.begin(); at != mappings_.end();) {
      const auto each = at++;
      if (!each->second.assigned) continue;
      each->second.assigned.reset();
      fail(each, code_of(result), wait_for(code_of(result)), now, text_of(result));
    }
    return;
  }
  natpmp_->address = response.address;
  natpmp_->address_at = now;
  for (auto& [id, mapping] : mappings_) {
    if (!mapping.grant || mapping.assigned || mapping.phase == Phase::releasing ||
        mapping.grant->outside.address == response.address)
      continue;
    mapping.grant->outside.address = response.address;
    report(PcpEvent::Kind::changed, id, *mapping.grant);
  }
  natpmp_settle(now);
}

void PcpClient::natpmp_mapping(Table::iterator at, const natpmp::Response& response, Time now) {
  Mapping& mapping = at->second;
  if (response.result != natpmp::Result::success) {
    natpmp_->asked.reset();
    const pcp::Code code = code_of(response.result);
    return fail(at, code, wait_for(code), now, text_of(response.result));
  }
  // A mapping where a deletion was asked for, or the other way round, is the late answer to what was asked before.
  if ((mapping.phase == Phase::releasing) != (response.lifetime_s == 0)) return;
  natpmp_->asked.reset();
  mapping.awaiting = false;
  if (mapping.phase == Phase::releasing) {
    report(PcpEvent::Kind::released, at->first, mapping.grant.value_or(Grant{}));
    mappings_.erase(at);
    return;
  }
  mapping.assigned = {response.external, now, seconds(std::min(response.lifetime_s, lifetime_max_s))};
}

void PcpClient::natpmp_settle(Time now) {
  for (auto& [id, mapping] : mappings_) {
    if (!mapping.assigned) continue;
    const auto assigned = *std::exchange(mapping.assigned, std::nullopt);
    const Time expires = assigned.since + assigned.lifetime;
    std::string_view fault;
    if (assigned.outside == net::Port{}) fault = "the NAT-PMP gateway gave outside port 0";
    if (expires <= now) fault = "the NAT-PMP gateway's mapping was over before its address was known";
    if (!fault.empty()) {
      bar(id, mapping, pcp::Code::network_failure, wait_for(pcp::Code::network_failure), now, fault);
      continue;
    }
    hold(id, mapping, {{*natpmp_->address, assigned.outside}, assigned.since, expires});
  }
}

}  // namespace portolan::ddns
