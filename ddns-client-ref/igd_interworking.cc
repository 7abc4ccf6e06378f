// Section numbers are RFC 6970's; error numbers the UPnP Forum's.
#include "ddns-client-ref/igd_interworking.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "dataplane/net/text.h"
#include "ddns-client-ref/igd_values.h"

namespace portolan::ddns {
namespace {

using std::chrono::seconds;

constexpr uint32_t lease_max_s = 604800;  // IGD:2; 0 means this much there, and for ever in IGD:1 (§4.1)
constexpr size_t description_bytes_max = 64;
constexpr Duration unanswered_for = seconds(60);

// For pages and logs: no control characters, and cut where a character begins.
std::string plain_description(std::string_view text) {
  std::string out;
  for (const char c : text)
    if (const auto byte = static_cast<unsigned char>(c); byte >= 0x20 && byte != 0x7f) out += c;
  if (out.size() <= description_bytes_max) return out;
  size_t end = description_bytes_max;
  while (end > 0 && (static_cast<unsigned char>(out[end]) & 0xc0) == 0x80) --end;
  return out.substr(0, end);
}

// UPnP says nothing of schemes. The usual ports do, and for others a page shows address and port.
std::string scheme_of(net::Endpoint inside) {
  struct Usual {
    uint16_t port;
    const char* scheme;
  };
  constexpr Usual usual[] = {{21, "ftp"},    {22, "ssh"},    {80, "http"},   {443, "https"}, {554, "rtsp"},
                             {8000, "http"}, {8008, "http"}, {8080, "http"}, {8081, "http"}, {8443, "https"}};
  const auto* const found = std::ranges::find(usual, uint16_t{inside.port.number}, &Usual::port);
  return found == std::end(usual) ? "" : found->scheme;
}

}  // namespace

// One label, told apart by what PCP tells mappings apart by.
Service Lease::service(const std::vector<std::string>& names) const {
  Service out;
  std::string address = net::to_text(spec.inside.address);
  std::ranges::replace(address, '.', '-');
  out.id = std::string("upnp-") + net::to_text(spec.protocol) + "-" + address + "-" + port_text(spec.inside.port);
  if (!spec.remote) out.names = names;  // a name for all of what one host is let in to would lead nowhere
  out.protocol = spec.protocol;
  out.inside = spec.inside;
  out.scheme = scheme_of(spec.inside);
  out.path = out.scheme.empty() ? "" : "/";
  out.title = description.empty() ? out.id : description;
  return out;
}

IgdInterworking::IgdInterworking(IgdSettings settings, IgdSurroundings surroundings, PcpClient& pcp)
    : settings_(std::move(settings)), surroundings_(std::move(surroundings)), pcp_(pcp) {}

const IgdInterworking::Handler IgdInterworking::handlers[] = {
    {"AddPortMapping", &IgdInterworking::add_mapping},
    {"AddAnyPortMapping", &IgdInterworking::add_any_mapping},
    {"DeletePortMapping", &IgdInterworking::delete_mapping},
    {"DeletePortMappingRange", &IgdInterworking::delete_range},
    {"GetGenericPortMappingEntry", &IgdInterworking::generic_entry},
    {"GetSpecificPortMappingEntry", &IgdInterworking::specific_entry},
    {"GetListOfPortMappings", &IgdInterworking::list_mappings},
    {"GetExternalIPAddress", &IgdInterworking::external_address},
    {"GetConnectionTypeInfo", &IgdInterworking::connection_type},
    {"GetStatusInfo", &IgdInterworking::status},
    {"GetNATRSIPStatus", &IgdInterworking::nat_status},
    {"RequestConnection", &IgdInterworking::request_connection},
    {"SetConnectionType", &IgdInterworking::read_only},
    {"ForceTermination", &IgdInterworking::read_only},
    {"GetCommonLinkProperties", &IgdInterworking::link_properties},
};

void IgdInterworking::call(const IgdCall& call, Time now) {
  const auto* const handler = std::ranges::find(handlers, std::string_view(call.action), &Handler::action);
  if (handler == std::end(handlers)) return fail(call.ticket, IgdError::invalid_action);
  (this->*handler->run)(call, now);
}

// --- making a mapping (§5.6) ---

struct IgdInterworking::Wanted {
  net::Protocol protocol{};
  net::Endpoint inside;
  net::Port external;
  uint32_t lease_s = 0;
  std::optional<net::Ipv4> remote;
  std::string description;
};

void IgdInterworking::add_mapping(const IgdCall& call, Time now) { add(call, Pending::Kind::add, now); }
void IgdInterworking::add_any_mapping(const IgdCall& call, Time now) { add(call, Pending::Kind::add_any, now); }

void IgdInterworking::add(const IgdCall& call, Pending::Kind kind, Time now) {
  const auto protocol = protocol_of(call);
  const auto external = number_of(call, "NewExternalPort", 65535), internal = number_of(call, "NewInternalPort", 65535);
  const auto lease_s = number_of(call, "NewLeaseDuration", std::numeric_limits<uint32_t>::max());
  const auto host = net::parse_ipv4(argument(call, "NewInternalClient"));
  const RemoteHost remote = remote_host_of(call);
  const std::string_view enabled = argument(call, "NewEnabled");
  // §4.1: a mapping that is there but does nothing is nothing PCP knows.
  if (!protocol || !external || !internal || !lease_s || !host || !remote.valid ||
      (enabled != "1" && enabled != "true"))
    return fail(call.ticket, IgdError::invalid_arguments);
  if (*internal == 0) return fail(call.ticket, IgdError::wildcard_internal_port);
  if (*external == 0 && kind == Pending::Kind::add) return fail(call.ticket, IgdError::wildcard_external_port);
  if (settings_.own_address && *host != call.from) return fail(call.ticket, IgdError::not_authorized);
  if (!surroundings_.connected()) return fail(call.ticket, IgdError::action_failed);  // §5.1
  Wanted wanted{*protocol,
                {*host, {static_cast<uint16_t>(*internal)}},
                {static_cast<uint16_t>(*external)},
                *lease_s,
                remote.address,
                plain_description(argument(call, "NewPortMappingDescription"))};
  if (settings_.version >= 2) wanted.lease_s = *lease_s == 0 ? lease_max_s : std::min(*lease_s, lease_max_s);
  if (Entry* entry = find(wanted.protocol, wanted.inside)) return add_again(call, wanted, kind, *entry, now);
  add_new(call, wanted, kind, now);
}

void IgdInterworking::add_new(const IgdCall& call, const Wanted& wanted, Pending::Kind kind, Time now) {
  // What the configuration maps is there already, and stays whatever control points do.
  if (const auto id = surroundings_.configured(wanted.protocol, wanted.inside)) {
    const auto grant = pcp_.grant(*id);
    if (!grant) return fail(call.ticket, IgdError::action_failed);
    if (kind == Pending::Kind::add_any)
      return answer(call.ticket, {{"NewReservedPort", port_text(grant->outside.port)}});
    if (!settings_.any_port && grant->outside.port != wanted.external) return fail(call.ticket, IgdError::conflict);
    return answer(call.ticket);
  }
  const bool taken = find(wanted.protocol, wanted.external) != nullptr;
  if (taken && kind == Pending::Kind::add) return fail(call.ticket, IgdError::conflict);
  if (entries_.size() >= settings_.leases_max) return fail(call.ticket, error_of(pcp::Code::no_resources));
  const MappingId id = next_id_++;
  Entry& entry = entries_[id];
  entry.lease = {id, {}, wanted.external, wanted.description, never};
  if (wanted.lease_s != 0) entry.lease.ends = now + seconds(wanted.lease_s);
  MappingSpec& spec = entry.lease.spec;
  spec.nonce = surroundings_.nonce();
  spec.protocol = wanted.protocol;
  spec.inside = wanted.inside;
  spec.remote = wanted.remote;
  spec.description = wanted.description;
  if (!taken) spec.suggested.port = wanted.external;
  spec.lifetime_s = wanted.lease_s == 0 ? std::numeric_limits<uint32_t>::max() : wanted.lease_s;  // §5.9
  spec.prefer_failure = kind == Pending::Kind::add && !settings_.any_port;                        // §5.6.2
  entry.pending = Pending{call.ticket, kind, now + answer_within};
  pcp_.add(id, spec, now);
}

// The same inside host and port: one PCP mapping, whatever a control point calls it.
void IgdInterworking::add_again(const IgdCall& call, const Wanted& wanted, Pending::Kind kind, Entry& entry, Time now) {
  if (entry.pending || entry.releasing) return fail(call.ticket, IgdError::action_failed);
  Lease& lease = entry.lease;
  // To PCP whom it lets in is a property of the mapping, to UPnP a part of its name.
  if (lease.spec.remote != wanted.remote) return fail(call.ticket, IgdError::conflict);
  if (kind == Pending::Kind::add && wanted.external != lease.known_as) {
    const auto grant = pcp_.grant(lease.id);
    const bool is_so = grant && grant->outside.port == wanted.external;
    if ((!settings_.any_port && !is_so) || find(wanted.protocol, wanted.external) != nullptr)
      return fail(call.ticket, IgdError::conflict);
    lease.known_as = wanted.external;
  }
  lease.description = wanted.description;
  lease.ends = wanted.lease_s == 0 ? never : now + seconds(wanted.lease_s);
  entry.pending = Pending{call.ticket, kind, now + answer_within};
  if (entry.outside) settle(entry);
}

// The PCP server has answered with a mapping, and a control point waits for it.
void IgdInterworking::settle(Entry& entry) {
  const Pending pending = *std::exchange(entry.pending, std::nullopt);
  Lease& lease = entry.lease;
  if (pending.kind == Pending::Kind::add_any && !entry.announced) {
    const net::Port port = entry.outside->port;
    const Entry* other = find(lease.spec.protocol, port);
    if (other == nullptr || other == &entry) lease.known_as = port;
  }
  if (pending.kind == Pending::Kind::add_any)
    answer(pending.ticket, {{"NewReservedPort", port_text(lease.known_as)}});
  else
    answer(pending.ticket);
  entry.announced = true;
  changes_.push_back({lease, false});
}

// §4.3. Only a lease nobody was told of goes; others live as long as the server lets them.
void IgdInterworking::refused(MappingId id, const PcpEvent& event) {
  Entry& entry = entries_.at(id);
  if (entry.pending) {
    const bool removes = entry.pending->kind == Pending::Kind::remove;
    const bool is_not_there = removes && event.code == pcp::Code::cannot_provide_external;
    fail(std::exchange(entry.pending, std::nullopt)->ticket,
         is_not_there ? IgdError::no_such_entry : error_of(event.code));
  }
  if (entry.announced && !entry.releasing) return;
  if (!entry.releasing) pcp_.forget(id);
  entries_.erase(id);
}

IgdError IgdInterworking::error_of(pcp::Code code) const {
  using pcp::Code;
  const bool igd_2 = settings_.version >= 2;
  switch (code) {
    case Code::not_authorized:
      return igd_2 ? IgdError::not_authorized : IgdError::conflict;
    case Code::no_resources:
    case Code::user_ex_quota:
      return igd_2 ? IgdError::no_port_maps : IgdError::action_failed;
    case Code::cannot_provide_external:
      return IgdError::conflict;
    default:
      return IgdError::action_failed;
  }
}

// --- ending one (§5.8) ---

void IgdInterworking::delete_mapping(const IgdCall& call, Time now) {
  const auto protocol = protocol_of(call);
  const auto external = number_of(call, "NewExternalPort", 65535);
  const RemoteHost remote = remote_host_of(call);
  if (!protocol || !external || !remote.valid) return fail(call.ticket, IgdError::invalid_arguments);
  Entry* entry = find(*protocol, net::Port{static_cast<uint16_t>(*external)});
  if (entry == nullptr || !entry->announced || entry->lease.spec.remote != remote.address)
    return fail(call.ticket, IgdError::no_such_entry);
  if (!may_change(call, *entry)) return fail(call.ticket, IgdError::not_authorized);
  if (entry->pending || entry->releasing) return fail(call.ticket, IgdError::action_failed);
  const MappingId id = entry->lease.id;
  entry->releasing = true;
  entry->pending = Pending{call.ticket, Pending::Kind::remove, now + answer_within};
  changes_.push_back({entry->lease, true});  // the name goes first
  pcp_.release(id, now);
  if (pcp_.has(id)) return;
  answer(call.ticket);
  entries_.erase(id);
}

void IgdInterworking::delete_range(const IgdCall& call, Time now) {
  bool bad = false;
  std::vector<MappingId> ids;
  for (const Entry* entry : in_range(call, bad))
    if (may_change(call, *entry)) ids.push_back(entry->lease.id);
  if (bad) return fail(call.ticket, IgdError::inconsistent);
  if (ids.empty()) return fail(call.ticket, IgdError::not_found_in_range);
  for (const MappingId id : ids) end(id, now);
  answer(call.ticket);  // without waiting for each, as §5.8 allows
}

void IgdInterworking::end(MappingId id, Time now) {
  const Entry entry = std::move(entries_.at(id));
  entries_.erase(id);
  if (entry.announced && !entry.releasing) changes_.push_back({entry.lease, true});
  if (entry.pending) fail(entry.pending->ticket, IgdError::action_failed);
  if (pcp_.grant(id))
    pcp_.release(id, now);
  else
    pcp_.forget(id);
}

void IgdInterworking::release_all(Time now) {
  while (!entries_.empty()) end(entries_.begin()->first, now);
  pcp_.release(query_id, now);
  pcp_.release(probe_id, now);  // the next start has another nonce, which the server would refuse
}

// --- PCP and time ---

void IgdInterworking::observe(const PcpEvent& event) {
  using Kind = PcpEvent::Kind;
  if (event.id == probe_id) return observe_probe(event);
  if (event.id == query_id) return observe_query(event);
  const auto at = entries_.find(event.id);
  if (at == entries_.end()) return;
  Entry& entry = at->second;
  switch (event.kind) {
    case Kind::granted:
    case Kind::changed:
    case Kind::renewed:
      entry.outside = event.grant.outside;
      if (entry.pending && entry.pending->kind != Pending::Kind::remove) settle(entry);
      return;
    case Kind::released:
      if (entry.pending) answer(entry.pending->ticket);
      entries_.erase(at);
      return;
    case Kind::refused:
      return refused(event.id, event);
    case Kind::lost:            // it is asked for again by itself
    case Kind::server_restart:  // of no single mapping
    case Kind::protocol:        // the same
      return;
  }
}

void IgdInterworking::tick(Time now) {
  if (!surroundings_.connected())
    connected_since_.reset();
  else if (!connected_since_)
    connected_since_ = now;
  std::vector<MappingId> over;
  for (auto& [id, entry] : entries_) {
    if (entry.pending && entry.pending->until <= now) {
      fail(std::exchange(entry.pending, std::nullopt)->ticket, IgdError::action_failed);  // §5.1
      // The server may have it nevertheless. It is kept a while: the next attempt needs its nonce.
      if (!entry.announced) entry.lease.ends = std::min(entry.lease.ends, now + unanswered_for);
      if (entry.releasing) over.push_back(id);
    }
    if (entry.lease.ends <= now) over.push_back(id);
  }
  for (const MappingId id : over)
    if (entries_.contains(id)) end(id, now);
  const auto late = [&](const Pending& each) { return each.until <= now; };
  for (const Pending& each : address_calls_)
    if (late(each)) answer(each.ticket, {{"NewExternalIPAddress", ""}});
  if (std::erase_if(address_calls_, late) > 0 && address_calls_.empty() && !pcp_.grant(probe_id)) pcp_.forget(probe_id);
  if (query_ && query_->until <= now) {
    fail(std::exchange(query_, std::nullopt)->ticket, IgdError::action_failed);  // §5.1
    pcp_.release(query_id, now);
  } else if (!query_ && pcp_.grant(query_id)) {
    pcp_.release(query_id, now);
  }
}

Time IgdInterworking::next_timer() const {
  Time next = never;
  for (const auto& [id, entry] : entries_) {
    next = std::min(next, entry.lease.ends);
    if (entry.pending) next = std::min(next, entry.pending->until);
  }
  for (const Pending& each : address_calls_) next = std::min(next, each.until);
  if (query_) next = std::min(next, query_->until);
  return next;
}

// --- pieces ---

IgdInterworking::Entry* IgdInterworking::find(net::Protocol protocol, net::Port known_as) {
  for (auto& [id, entry] : entries_)
    if (entry.lease.spec.protocol == protocol && entry.lease.known_as == known_as) return &entry;
  return nullptr;
}

IgdInterworking::Entry* IgdInterworking::find(net::Protocol protocol, net::Endpoint inside) {
  for (auto& [id, entry] : entries_)
    if (entry.lease.spec.protocol == protocol && entry.lease.spec.inside == inside) return &entry;
  return nullptr;
}

bool IgdInterworking::may_change(const IgdCall& call, const Entry& entry) const {
  return !settings_.own_address || call.from == entry.lease.spec.inside.address;
}

void IgdInterworking::restore(const Lease& lease) {
  const MappingId id = next_id_++;
  Entry& entry = entries_[id];
  entry.lease = lease;
  entry.lease.id = id;
  entry.announced = true;
}

std::vector<Lease> IgdInterworking::leases() const {
  std::vector<Lease> out;
  for (const auto& [id, entry] : entries_)
    if (entry.announced && !entry.releasing) out.push_back(entry.lease);
  return out;
}

void IgdInterworking::answer(uint64_t ticket, std::vector<std::pair<std::string, std::string>> values) {
  answers_.push_back({ticket, 0, {}, std::move(values)});
}

void IgdInterworking::fail(uint64_t ticket, IgdError error) {
  answers_.push_back({ticket, static_cast<int>(error), std::string(to_text(error)), {}});
}

std::vector<IgdAnswer> IgdInterworking::take_answers() { return std::exchange(answers_, {}); }
std::vector<IgdInterworking::Change> IgdInterworking::take_changes() { return std::exchange(changes_, {}); }

}  // namespace portolan::ddns
