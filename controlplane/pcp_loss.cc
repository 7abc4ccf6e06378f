#include "controlplane/pcp_loss.h"

#include "controlplane/router/router.h"
#include "pcp-server/codec.h"
#include "pcp-server/natpmp_codec.h"

namespace portolan::control {

namespace {

constexpr unsigned copies = 10;  // RFC 6887 §14.1.3, RFC 6886 §3.2.1

pcp::Notice pcp_notice(const pcp::Source& to) { return {to, {}, pcp::build_announce_response(0)}; }

void add_to_all(std::vector<pcp::Notice>& notices, const pcp::Source& to) {
  notices.push_back(pcp_notice(to));
  notices.back().copies = copies;
}

void add_natpmp(std::vector<pcp::Notice>& notices, const pcp::Source& to, net::Ipv4 outside) {
  notices.push_back({to, {}, pcp::natpmp::build_address_response(outside, 0), std::nullopt, copies});
}

net::Ipv6 softwire_address(const pipeline::Snapshot& snapshot, uint8_t number) {
  const auto& ours = snapshot.softwire.aftr_addresses;
  if (ours.empty()) return {};
  return number < ours.size() ? ours[number] : ours.front();
}

}  // namespace

std::vector<pcp::Notice> notices_to_links(const pipeline::Snapshot& snapshot, bool natpmp) {
  std::vector<pcp::Notice> notices;
  for (const net::Ipv6& server : snapshot.softwire.aftr_addresses)
    add_to_all(notices, {all_nodes, std::nullopt, server, pcp::client_port});
  if (snapshot.inside.prefixes.empty()) return notices;
  const pcp::Source inside{net::mapped(all_hosts), all_hosts, net::mapped(snapshot.inside.address.address),
                           pcp::client_port};
  add_to_all(notices, inside);
  const nat::Pool& pool = snapshot.policy.pool;
  if (natpmp && pool.address_count() == 1) add_natpmp(notices, inside, pool.address_of(0));
  return notices;
}

void LostClients::add(const nat::Mapping& record, uint64_t now_s) {
  using nat::Mapping;
  if (!record.has(Mapping::in_use) || !record.has(Mapping::explicit_life) || record.is_static()) return;
  if (record.expiry_s <= now_s) return;
  hosts_.insert_or_assign({record.b4, record.inside_address},
                          Host{record.outside_address, record.softwire, record.has(Mapping::plain)});
}

std::vector<pcp::Notice> LostClients::notices(const pipeline::Snapshot& snapshot, bool natpmp) const {
  std::vector<pcp::Notice> notices;
  const net::Ipv6* told = nullptr;  // the hosts of a B4 follow each other
  for (const auto& [key, host] : hosts_) {
    const auto& [b4, inside] = key;
    const net::Ipv4 server = host.plain ? snapshot.inside.address.address : softwire_ipv4;
    const pcp::Source to{b4, inside, net::mapped(server), pcp::client_port};
    notices.push_back(pcp_notice(to));
    if (natpmp) add_natpmp(notices, to, host.outside);
    if (host.plain || (told != nullptr && *told == b4)) continue;
    notices.push_back(pcp_notice({b4, std::nullopt, softwire_address(snapshot, host.softwire), pcp::client_port}));
    told = &b4;
  }
  return notices;
}

std::map<net::Ipv6, net::Ipv6> LostClients::softwires(const pipeline::Snapshot& snapshot) const {
  std::map<net::Ipv6, net::Ipv6> out;
  for (const auto& [key, host] : hosts_)
    if (!host.plain && host.softwire != 0) out.emplace(key.first, softwire_address(snapshot, host.softwire));
  return out;
}

}  // namespace portolan::control
