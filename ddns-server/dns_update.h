// One RFC 2136 UPDATE, signed (TSIG, RFC 8945), or a few queries, over TCP; blocks until the server has answered or the
// time is up. Stateless: the publisher's thread calls it.
#pragma once

#include <string>
#include <vector>

#include "dataplane/net/result.h"
#include "ddns-server/config.h"
#include "ddns-server/dns_records.h"

namespace portolan::ddnsd {

struct DnsFailure {
  enum class Kind : uint8_t {
    server,    // not reached, not trusted or not ready: true of every name
    name,      // this update was refused: others may do
    not_ours,  // it was refused because record sets are there that were not made here
  };
  Kind kind{};
  std::string text;     // what happened and what to look at
  bool is_sent = true;  // false: it cannot have been carried out
};

struct Update {
  std::vector<std::string> must_not_exist;  // record sets, "owner type": prerequisites (RFC 2136 §2.4.3)
  std::vector<std::string> remove;          // record sets
  std::vector<Record> add;
};

// All of the update or nothing (RFC 2136 §3.7). Success means: NOERROR, and the answer was signed with our key.
net::Result<void, DnsFailure> send_update(const DnsConfig& config, const Update& update);

// Whether the server has exactly these records in these record sets, TTLs aside.
net::Result<bool, DnsFailure> has_records(const DnsConfig& config, const std::vector<std::string>& record_sets,
                                          const std::vector<Record>& records);

}  // namespace portolan::ddnsd
