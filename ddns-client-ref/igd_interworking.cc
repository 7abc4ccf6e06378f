// Section numbers are RFC 6970's; error numbers the UPnP Forum's.
#include "ddns-client-ref/igd_interworking.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "dataplane/net/text.h"

namespace portolan::ddns {
namespace {

using std::chrono::seconds;

constexpr uint32_t lease_max_s = 604800;  // IGD:2; 0 means this much there, and for ever in IGD:1 (§4.1)
constexpr uint32_t probe_lifetime_s = 120;
constexpr net::Port discard_port{uint16_t{9}};
constexpr size_t description_bytes_max = 64;
constexpr Duration unanswered_for = seconds(60);

enum Error : int {
  invalid_action = 401,
  invalid_arguments = 402,
  action_failed = 501,
  not_authorized = 606,
  no_such_index = 713,
  no_such_entry = 714,
  wildcard_external_port = 716,
  conflict = 718,
  remote_host_must_be_any = 726,
  no_port_maps = 728,
  not_found_in_range = 730,
  is_read_only = 731,
  wildcard_internal_port = 732,
  inconsistent = 733,
};
struct ErrorText {
  int number;
  std::string_view text;
};
constexpr ErrorText error_texts[] = {{invalid_action, "Invalid Action"},
                                     {invalid_arguments, "Invalid Args"},
                                     {action_failed, "Action Failed"},
                                     {not_authorized, "Action not authorized"},
                                     {no_such_index, "SpecifiedArrayIndexInvalid"},
                                     {no_such_entry, "NoSuchEntryInArray"},
                                     {wildcard_external_port, "WildCardNotPermittedInExtPort"},
                                     {conflict, "ConflictInMappingEntry"},
                                     {remote_host_must_be_any, "RemoteHostOnlySupportsWildcard"},
                                     {no_port_maps, "NoPortMapsAvailable"},
                                     {not_found_in_range, "PortMappingNotFound"},
                                     {is_read_only, "ReadOnly"},
                                     {wildcard_internal_port, "WildCardNotPermittedInIntPort"},
                                     {inconsistent, "InconsistentParameters"}};

std::string_view argument(const IgdCall& call, std::string_view name) {
  const auto found = call.arguments.find(name);
  return found == call.arguments.end() ? std::string_view{} : found->second;
}

std::optional<uint32_t> number_of(const IgdCall& call, std::string_view name, uint32_t max) {
  const auto number = net::parse_number(argument(call, name));
  if (!number || *number > max) return std::nullopt;
  return static_cast<uint32_t>(*number);
}

std::optional<net::Protocol> protocol_of(const IgdCall& call) {
  const std::string_view text = argument(call, "NewProtocol");
  if (text == "TCP") return net::Protocol::tcp;
  if (text == "UDP") return net::Protocol::udp;
  return std::nullopt;
}

std::string protocol_text(net::Protocol protocol) { return protocol == net::Protocol::tcp ? "TCP" : "UDP"; }
std::string port_text(net::Port port) { return std::to_string(uint16_t{port.number}); }

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

std::string lease_left(const Lease& lease, Time now) {
  if (lease.ends == never) return "0";
  return std::to_string(std::max<int64_t>(1, std::chrono::duration_cast<seconds>(lease.ends - now).count()));
}

std::vector<std::pair<std::string, std::string>> value_of(const Lease& lease, Time now) {
  return {{"NewInternalPort", port_text(lease.spec.inside.port)},
          {"NewInternalClient", net::to_text(lease.spec.inside.address)},
          {"NewEnabled", "1"},
          {"NewPortMappingDescription", lease.description},
          {"NewLeaseDuration", lease_left(lease, now)}};
}

std::string listing_of(const Lease& lease, Time now) {
  const auto element = [](const std::string& name, const std::string& text) {
    return "<p:" + name + ">" + xml_escaped(text) + "</p:" + name + ">";
  };
  return "<p:PortMappingEntry>" + element("NewRemoteHost", "") + element("NewExternalPort", port_text(lease.known_as)) +
         element("NewProtocol", protocol_text(lease.spec.protocol)) +
         element("NewInternalPort", port_text(lease.spec.inside.port)) +
         element("NewInternalClient", net::to_text(lease.spec.inside.address)) + element("NewEnabled", "1") +
         element("NewDescription", lease.description) + element("NewLeaseTime", lease_left(lease, now)) +
         "</p:PortMappingEntry>";
}

}  // namespace

// One label, told apart by what PCP tells mappings apart by.
Service Lease::service(const std::vector<std::string>& names) const {
  Service out;
  std::string address = net::to_text(spec.inside.address);
  std::ranges::replace(address, '.', '-');
  out.id = std::string("upnp-") + net::to_text(spec.protocol) + "-" + address + "-" + port_text(spec.inside.port);
  out.names = names;
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
  if (handler == std::end(handlers)) return fail(call.ticket, invalid_action);
  (this->*handler->run)(call, now);
}

// --- making a mapping (§5.6) ---

struct IgdInterworking::Wanted {
  net::Protocol protocol{};
  net::Endpoint inside;
  net::Port external;
  uint32_t lease_s = 0;
  std::string description;
};

void IgdInterworking::add_mapping(const IgdCall& call, Time now) { add(call, Pending::Kind::add, now); }
void IgdInterworking::add_any_mapping(const IgdCall& call, Time now) { add(call, Pending::Kind::add_any, now); }

void IgdInterworking::add(const IgdCall& call, Pending::Kind kind, Time now) {
  const auto protocol = protocol_of(call);
  const auto external = number_of(call, "NewExternalPort", 65535), internal = number_of(call, "NewInternalPort", 65535);
  const auto lease_s = number_of(call, "NewLeaseDuration", std::numeric_limits<uint32_t>::max());
  const auto host = net::parse_ipv4(argument(call, "NewInternalClient"));
  const std::string_view enabled = argument(call, "NewEnabled");
  // §4.1: a mapping that is there but does nothing is nothing PCP knows.
  if (!protocol || !external || !internal || !lease_s || !host || (enabled != "1" && enabled != "true"))
    return fail(call.ticket, invalid_arguments);
  if (!argument(call, "NewRemoteHost").empty()) return fail(call.ticket, remote_host_must_be_any);
  if (*internal == 0) return fail(call.ticket, wildcard_internal_port);
  if (*external == 0 && kind == Pending::Kind::add) return fail(call.ticket, wildcard_external_port);
  if (settings_.own_address && *host != call.from) return fail(call.ticket, not_authorized);
  if (!surroundings_.connected()) return fail(call.ticket, action_failed);  // §5.1
  Wanted wanted{*protocol,
                {*host, {static_cast<uint16_t>(*internal)}},
                {static_cast<uint16_t>(*external)},
                *lease_s,
                plain_description(argument(call, "NewPortMappingDescription"))};
  if (settings_.version >= 2) wanted.lease_s = *lease_s == 0 ? lease_max_s : std::min(*lease_s, lease_max_s);
  if (Entry* entry = find(wanted.protocol, wanted.inside)) return add_again(call, wanted, kind, *entry, now);
  add_new(call, wanted, kind, now);
}

void IgdInterworking::add_new(const IgdCall& call, const Wanted& wanted, Pending::Kind kind, Time now) {
  // What the configuration maps is there already, and stays whatever control points do.
  if (const auto id = surroundings_.configured(wanted.protocol, wanted.inside)) {
    const auto grant = pcp_.grant(*id);
    if (!grant) return fail(call.ticket, action_failed);
    if (kind == Pending::Kind::add_any)
      return answer(call.ticket, {{"NewReservedPort", port_text(grant->outside.port)}});
    if (!settings_.any_port && grant->outside.port != wanted.external) return fail(call.ticket, conflict);
    return answer(call.ticket);
  }
  const bool taken = find(wanted.protocol, wanted.external) != nullptr;
  if (taken && kind == Pending::Kind::add) return fail(call.ticket, conflict);
  if (entries_.size() >= settings_.leases_max) return fail(call.ticket, error_of(pcp::Code::no_resources));
  const MappingId id = next_id_++;
  Entry& entry = entries_[id];
  entry.lease = {id, {}, wanted.external, wanted.description, never};
  if (wanted.lease_s != 0) entry.lease.ends = now + seconds(wanted.lease_s);
  MappingSpec& spec = entry.lease.spec;
  spec.nonce = surroundings_.nonce();
  spec.protocol = wanted.protocol;
  spec.inside = wanted.inside;
  if (!taken) spec.suggested.port = wanted.external;
  spec.lifetime_s = wanted.lease_s == 0 ? std::numeric_limits<uint32_t>::max() : wanted.lease_s;  // §5.9
  spec.prefer_failure = kind == Pending::Kind::add && !settings_.any_port;                        // §5.6.2
  entry.pending = Pending{call.ticket, kind, now + answer_within};
  pcp_.add(id, spec, now);
}

// The same inside host and port: one PCP mapping, whatever a control point calls it.
void IgdInterworking::add_again(const IgdCall& call, const Wanted& wanted, Pending::Kind kind, Entry& entry, Time now) {
  if (entry.pending || entry.releasing) return fail(call.ticket, action_failed);
  Lease& lease = entry.lease;
  if (kind == Pending::Kind::add && wanted.external != lease.known_as) {
    const auto grant = pcp_.grant(lease.id);
    const bool is_so = grant && grant->outside.port == wanted.external;
    if ((!settings_.any_port && !is_so) || find(wanted.protocol, wanted.external) != nullptr)
      return fail(call.ticket, conflict);
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
  if (entry.pending) fail(std::exchange(entry.pending, std::nullopt)->ticket, error_of(event.code));
  if (entry.announced && !entry.releasing) return;
  if (!entry.releasing) pcp_.forget(id);
  entries_.erase(id);
}

int IgdInterworking::error_of(pcp::Code code) const {
  using pcp::Code;
  const bool igd_2 = settings_.version >= 2;
  switch (code) {
    case Code::not_authorized:
      return igd_2 ? not_authorized : conflict;
    case Code::no_resources:
    case Code::user_ex_quota:
      return igd_2 ? no_port_maps : action_failed;
    case Code::cannot_provide_external:
      return conflict;
    default:
      return action_failed;
  }
}

// --- ending one (§5.8) ---

void IgdInterworking::delete_mapping(const IgdCall& call, Time now) {
  const auto protocol = protocol_of(call);
  const auto external = number_of(call, "NewExternalPort", 65535);
  if (!protocol || !external) return fail(call.ticket, invalid_arguments);
  Entry* entry = find(*protocol, net::Port{static_cast<uint16_t>(*external)});
  if (entry == nullptr || !entry->announced) return fail(call.ticket, no_such_entry);
  if (!may_change(call, *entry)) return fail(call.ticket, not_authorized);
  if (entry->pending || entry->releasing) return fail(call.ticket, action_failed);
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
  if (bad) return fail(call.ticket, inconsistent);
  if (ids.empty()) return fail(call.ticket, not_found_in_range);
  for (const MappingId id : ids) end(id, now);
  answer(call.ticket);  // without waiting for each, as §5.8 allows
}

void IgdInterworking::end(MappingId id, Time now) {
  const Entry entry = std::move(entries_.at(id));
  entries_.erase(id);
  if (entry.announced && !entry.releasing) changes_.push_back({entry.lease, true});
  if (entry.pending) fail(entry.pending->ticket, action_failed);
  if (pcp_.grant(id))
    pcp_.release(id, now);
  else
    pcp_.forget(id);
}

void IgdInterworking::release_all(Time now) {
  while (!entries_.empty()) end(entries_.begin()->first, now);
  pcp_.release(probe_id, now);  // the next start has another nonce, which the server would refuse
}

// --- looking at them (§5.7) ---

void IgdInterworking::generic_entry(const IgdCall& call, Time now) {
  const auto index = number_of(call, "NewPortMappingIndex", 65535);
  const auto all = leases();
  if (!index) return fail(call.ticket, invalid_arguments);
  if (*index >= all.size()) return fail(call.ticket, no_such_index);
  const Lease& lease = all[*index];
  std::vector<std::pair<std::string, std::string>> values = {{"NewRemoteHost", ""},
                                                             {"NewExternalPort", port_text(lease.known_as)},
                                                             {"NewProtocol", protocol_text(lease.spec.protocol)}};
  for (auto& value : value_of(lease, now)) values.push_back(std::move(value));
  answer(call.ticket, std::move(values));
}

// A port that no lease has is not tried out at the PCP server: the answer would be negative either way, and a port open
// towards nobody for a minute would be the price.
void IgdInterworking::specific_entry(const IgdCall& call, Time now) {
  const auto protocol = protocol_of(call);
  const auto external = number_of(call, "NewExternalPort", 65535);
  if (!protocol || !external) return fail(call.ticket, invalid_arguments);
  const Entry* entry = find(*protocol, net::Port{static_cast<uint16_t>(*external)});
  if (entry == nullptr || !entry->announced || entry->releasing) return fail(call.ticket, no_such_entry);
  answer(call.ticket, value_of(entry->lease, now));
}

std::vector<const IgdInterworking::Entry*> IgdInterworking::in_range(const IgdCall& call, bool& bad) const {
  std::vector<const Entry*> out;
  const auto protocol = protocol_of(call);
  const auto from = number_of(call, "NewStartPort", 65535), to = number_of(call, "NewEndPort", 65535);
  bad = !protocol || !from || !to || *from > *to;
  if (bad) return out;
  for (const auto& [id, entry] : entries_) {
    const uint16_t port = entry.lease.known_as.number;
    if (entry.announced && !entry.releasing && entry.lease.spec.protocol == *protocol && port >= *from && port <= *to)
      out.push_back(&entry);
  }
  return out;
}

void IgdInterworking::list_mappings(const IgdCall& call, Time now) {
  bool bad = false;
  auto found = in_range(call, bad);
  const auto count = number_of(call, "NewNumberOfPorts", 65535);
  if (bad || !count) return fail(call.ticket, inconsistent);
  std::erase_if(found, [&](const Entry* entry) { return !may_change(call, *entry); });
  if (found.empty()) return fail(call.ticket, not_found_in_range);
  if (*count != 0) found.resize(std::min<size_t>(found.size(), *count));
  std::string listing =
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<p:PortMappingList "
      "xmlns:p=\"urn:schemas-upnp-org:gw:WANIPConnection\">";
  for (const Entry* entry : found) listing += listing_of(entry->lease, now);
  answer(call.ticket, {{"NewPortListing", listing + "</p:PortMappingList>"}});
}

// Whatever mapping there is says it; without one, a short one of the discard port (§4.2).
void IgdInterworking::external_address(const IgdCall& call, Time now) {
  if (const auto address = outside_address())
    return answer(call.ticket, {{"NewExternalIPAddress", net::to_text(*address)}});
  if (!surroundings_.connected() || address_calls_.size() >= settings_.leases_max)
    return answer(call.ticket, {{"NewExternalIPAddress", ""}});
  address_calls_.push_back({call.ticket, Pending::Kind::address, now + answer_within});
  if (pcp_.has(probe_id)) return;
  MappingSpec spec;
  spec.nonce = surroundings_.nonce();
  spec.protocol = net::Protocol::udp;
  spec.inside = {call.from, discard_port};
  spec.lifetime_s = probe_lifetime_s;
  spec.keep = false;
  pcp_.add(probe_id, spec, now);
}

std::optional<net::Ipv4> IgdInterworking::outside_address() const {
  for (const auto& [id, entry] : entries_)
    if (const auto grant = pcp_.grant(id)) return grant->outside.address;
  if (const auto grant = pcp_.grant(probe_id)) return grant->outside.address;
  return surroundings_.known_address();
}

// --- what every gateway answers ---

void IgdInterworking::connection_type(const IgdCall& call, Time) {
  answer(call.ticket, {{"NewConnectionType", "IP_Routed"}, {"NewPossibleConnectionTypes", "IP_Routed"}});
}

void IgdInterworking::status(const IgdCall& call, Time now) {
  const bool connected = surroundings_.connected();
  const auto up = connected && connected_since_ ? now - *connected_since_ : Duration{};
  answer(call.ticket, {{"NewConnectionStatus", connected ? "Connected" : "Disconnected"},
                       {"NewLastConnectionError", "ERROR_NONE"},
                       {"NewUptime", std::to_string(std::chrono::duration_cast<seconds>(up).count())}});
}

void IgdInterworking::nat_status(const IgdCall& call, Time) {
  answer(call.ticket, {{"NewRSIPAvailable", "0"}, {"NewNATEnabled", "1"}});
}

void IgdInterworking::request_connection(const IgdCall& call, Time) {
  surroundings_.connected() ? answer(call.ticket) : fail(call.ticket, action_failed);
}

void IgdInterworking::read_only(const IgdCall& call, Time) { fail(call.ticket, is_read_only); }

// Rates are not known here; 0 says so better than an invention.
void IgdInterworking::link_properties(const IgdCall& call, Time) {
  answer(call.ticket, {{"NewWANAccessType", "Ethernet"},
                       {"NewLayer1UpstreamMaxBitRate", "0"},
                       {"NewLayer1DownstreamMaxBitRate", "0"},
                       {"NewPhysicalLinkStatus", surroundings_.connected() ? "Up" : "Down"}});
}

// --- PCP and time ---

void IgdInterworking::observe(const PcpEvent& event) {
  using Kind = PcpEvent::Kind;
  if (event.id == probe_id) return observe_probe(event);
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
      return;
  }
}

void IgdInterworking::observe_probe(const PcpEvent& event) {
  using Kind = PcpEvent::Kind;
  const bool known = event.kind == Kind::granted || event.kind == Kind::renewed || event.kind == Kind::changed;
  if (!known && event.kind != Kind::refused) return;
  for (const Pending& each : std::exchange(address_calls_, {}))
    answer(each.ticket, {{"NewExternalIPAddress", known ? net::to_text(event.grant.outside.address) : ""}});
  if (!known) pcp_.forget(probe_id);
}

void IgdInterworking::tick(Time now) {
  if (!surroundings_.connected())
    connected_since_.reset();
  else if (!connected_since_)
    connected_since_ = now;
  std::vector<MappingId> over;
  for (auto& [id, entry] : entries_) {
    if (entry.pending && entry.pending->until <= now) {
      fail(std::exchange(entry.pending, std::nullopt)->ticket, action_failed);  // §5.1
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
}

Time IgdInterworking::next_timer() const {
  Time next = never;
  for (const auto& [id, entry] : entries_) {
    next = std::min(next, entry.lease.ends);
    if (entry.pending) next = std::min(next, entry.pending->until);
  }
  for (const Pending& each : address_calls_) next = std::min(next, each.until);
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

void IgdInterworking::fail(uint64_t ticket, int error) {
  const auto* const row = std::ranges::find(error_texts, error, &ErrorText::number);
  answers_.push_back({ticket, error, std::string(row->text), {}});
}

std::vector<IgdAnswer> IgdInterworking::take_answers() { return std::exchange(answers_, {}); }
std::vector<IgdInterworking::Change> IgdInterworking::take_changes() { return std::exchange(changes_, {}); }

}  // namespace portolan::ddns
