// Whom a PCP server can tell that what it had granted is gone (RFC 6887 §14.1.3, RFC 6886 §3.2.1): everybody on our
// links, and whoever has a mapping that outlived its record. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "dataplane/nat/mapping.h"
#include "dataplane/pipeline/snapshot.h"
#include "pcp-server/server.h"

namespace portolan::control {

inline constexpr net::Ipv6 all_nodes{{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
inline constexpr net::Ipv4 all_hosts{0xe0000001};

// To the links, by multicast. NAT-PMP's announcement names an outside address, so it is right for all where the pool
// has no second one.
std::vector<pcp::Notice> notices_to_links(const pipeline::Snapshot& snapshot, bool natpmp);

// Who holds mappings that PCP made, as the records of the shards tell. Who asked for them they do not: the host itself,
// or for it the B4. Both are told, where clients listen.
class LostClients {
 public:
  void add(const nat::Mapping& record, uint64_t now_s);
  [[nodiscard]] std::vector<pcp::Notice> notices(const pipeline::Snapshot& snapshot, bool natpmp) const;
  // B4s that use another softwire address than the first.
  [[nodiscard]] std::map<net::Ipv6, net::Ipv6> softwires(const pipeline::Snapshot& snapshot) const;
  [[nodiscard]] size_t size() const { return hosts_.size(); }

 private:
  struct Host {
    net::Ipv4 outside;
    uint8_t softwire;
    bool plain;
  };
  std::map<std::pair<net::Ipv6, net::Ipv4>, Host> hosts_;  // by B4 and inside address
};

}  // namespace portolan::control
