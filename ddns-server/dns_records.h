// Which DNS records a registered name should have: a pure function of the registry's entry, the settings and the time.
//
// In portal mode the name leads to this server, which redirects (RFC 7393 figure 4), so an SRV record needs another
// target: direct.<name>, whose A is the outside address (RFC 2782: the target must have an address record). In direct
// mode the name itself is that target. A service on another outside address than the name's first gets its own target,
// <id>.direct.<name>. direct.<name> also answers clients that compare DNS with their own address (DYN-013).
//
// Besides, by choice: URI; HTTPS where the name's only web service is an https one (it would move visitors of a plain
// one to a port where nobody speaks TLS, RFC 9460 §9.5), SVCB for other schemes; what DNS-SD needs to browse. A service
// whose mapping has ended says so with an SRV that leads nowhere (RFC 2782).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ddns-server/config.h"
#include "ddns-server/registry.h"

namespace portolan::ddnsd {

using dns::Record;

// RDATA of SVCB and HTTPS in the form every DNS library reads (RFC 3597): "\# 13 0001…". `target` without final dot,
// empty: the owner itself. Parameters in the order of their keys (RFC 9460 §2.2).
struct SvcParameters {
  std::string alpn;  // one protocol; empty: none
  uint16_t port = 0;
  std::vector<net::Ipv4> hints;
};
std::string svcb_data(uint16_t priority, std::string_view target, const SvcParameters& parameters);

std::vector<Record> records_of(std::string_view fqdn, const Registry::Entry& entry, const DnsConfig& config,
                               int64_t now_s);

// "_http._tcp.a.example SRV": a record set as the registry remembers it, sorted, each once.
std::vector<std::string> record_sets_of(const std::vector<Record>& records);

}  // namespace portolan::ddnsd
