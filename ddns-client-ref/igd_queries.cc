// The interworking's answers to questions: which mappings there are, what the outside address is, and what every
// gateway says of itself. Section numbers are RFC 6970's.
#include <algorithm>

#include "dataplane/net/markup.h"
#include "dataplane/net/text.h"
#include "ddns-client-ref/igd_interworking.h"
#include "ddns-client-ref/igd_values.h"

namespace portolan::ddns {
namespace {

using std::chrono::seconds;

constexpr uint32_t probe_lifetime_s = 120, query_lifetime_s = 60;
constexpr net::Port discard_port{uint16_t{9}};
constexpr net::Port query_port{uint16_t{1}};  // nobody listens there, and the probe does not use it

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
    return "<p:" + name + ">" + net::escaped_markup(text) + "</p:" + name + ">";
  };
  return "<p:PortMappingEntry>" + element("NewRemoteHost", remote_text(lease.spec.remote)) +
         element("NewExternalPort", port_text(lease.known_as)) +
         element("NewProtocol", protocol_text(lease.spec.protocol)) +
         element("NewInternalPort", port_text(lease.spec.inside.port)) +
         element("NewInternalClient", net::to_text(lease.spec.inside.address)) + element("NewEnabled", "1") +
         element("NewDescription", lease.description) + element("NewLeaseTime", lease_left(lease, now)) +
         "</p:PortMappingEntry>";
}

}  // namespace

// --- looking at them (§5.7) ---

void IgdInterworking::generic_entry(const IgdCall& call, Time now) {
  const auto index = number_of(call, "NewPortMappingIndex", 65535);
  const auto all = leases();
  if (!index) return fail(call.ticket, IgdError::invalid_arguments);
  if (*index >= all.size()) return fail(call.ticket, IgdError::no_such_index);
  const Lease& lease = all[*index];
  std::vector<std::pair<std::string, std::string>> values = {{"NewRemoteHost", remote_text(lease.spec.remote)},
                                                             {"NewExternalPort", port_text(lease.known_as)},
                                                             {"NewProtocol", protocol_text(lease.spec.protocol)}};
  for (auto& value : value_of(lease, now)) values.push_back(std::move(value));
  answer(call.ticket, std::move(values));
}

void IgdInterworking::specific_entry(const IgdCall& call, Time now) {
  const auto protocol = protocol_of(call);
  const auto external = number_of(call, "NewExternalPort", 65535);
  const RemoteHost remote = remote_host_of(call);
  if (!protocol || !external || !remote.valid) return fail(call.ticket, IgdError::invalid_arguments);
  const net::Port port{static_cast<uint16_t>(*external)};
  const Entry* entry = find(*protocol, port);
  if (entry != nullptr && entry->announced && !entry->releasing && entry->lease.spec.remote == remote.address)
    return answer(call.ticket, value_of(entry->lease, now));
  if (entry != nullptr || port == net::Port{}) return fail(call.ticket, IgdError::no_such_entry);
  query(call, *protocol, port, now);
}

// A port no lease has: the server is asked whether it could be had (§5.7). The answer is negative either way, so only
// one port at a time is tried: a program that walks through all of them would put the subscriber's ports to rest.
void IgdInterworking::query(const IgdCall& call, net::Protocol protocol, net::Port port, Time now) {
  if (!surroundings_.connected()) return fail(call.ticket, IgdError::action_failed);  // §5.1
  if (query_ || pcp_.has(query_id)) return fail(call.ticket, IgdError::no_such_entry);
  query_ = Pending{call.ticket, Pending::Kind::query, now + answer_within};
  MappingSpec spec;
  spec.nonce = surroundings_.nonce();
  spec.protocol = protocol;
  spec.inside = {call.from, query_port};
  spec.suggested.port = port;
  spec.lifetime_s = query_lifetime_s;
  spec.keep = false;
  spec.prefer_failure = true;
  pcp_.add(query_id, spec, now);
}

// A port that could be had is given back at once, by the next tick: nobody asked for it to be open.
void IgdInterworking::observe_query(const PcpEvent& event) {
  using Kind = PcpEvent::Kind;
  const bool refused = event.kind == Kind::refused;
  if (!refused && event.kind != Kind::granted) return;
  if (refused) pcp_.forget(query_id);
  if (!query_) return;
  const bool failed = refused && event.code != pcp::Code::cannot_provide_external;
  fail(std::exchange(query_, std::nullopt)->ticket, failed ? error_of(event.code) : IgdError::no_such_entry);
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
  if (bad || !count) return fail(call.ticket, IgdError::inconsistent);
  std::erase_if(found, [&](const Entry* entry) { return !may_change(call, *entry); });
  if (found.empty()) return fail(call.ticket, IgdError::not_found_in_range);
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
  surroundings_.connected() ? answer(call.ticket) : fail(call.ticket, IgdError::action_failed);
}

void IgdInterworking::read_only(const IgdCall& call, Time) { fail(call.ticket, IgdError::is_read_only); }

// Rates are not known here; 0 says so better than an invention.
void IgdInterworking::link_properties(const IgdCall& call, Time) {
  answer(call.ticket, {{"NewWANAccessType", "Ethernet"},
                       {"NewLayer1UpstreamMaxBitRate", "0"},
                       {"NewLayer1DownstreamMaxBitRate", "0"},
                       {"NewPhysicalLinkStatus", surroundings_.connected() ? "Up" : "Down"}});
}

void IgdInterworking::observe_probe(const PcpEvent& event) {
  using Kind = PcpEvent::Kind;
  const bool known = event.kind == Kind::granted || event.kind == Kind::renewed || event.kind == Kind::changed;
  if (!known && event.kind != Kind::refused) return;
  for (const Pending& each : std::exchange(address_calls_, {}))
    answer(each.ticket, {{"NewExternalIPAddress", known ? net::to_text(event.grant.outside.address) : ""}});
  if (!known) pcp_.forget(probe_id);
}

}  // namespace portolan::ddns
