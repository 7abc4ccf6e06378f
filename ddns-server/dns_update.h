// One RFC 2136 UPDATE, signed (TSIG, RFC 8945) and sent over TCP; blocks until the server has answered or the time is
// up. Stateless: the publisher's thread calls it.
#pragma once

#include <string>
#include <vector>

#include "dataplane/net/result.h"
#include "ddns-server/config.h"
#include "ddns-server/dns_records.h"

namespace portolan::ddnsd {

struct DnsFailure {
  enum class Kind : uint8_t {
    server,  // not reached, not trusted or not ready: true of every name
    name,    // this update was refused: others may do
  };
  Kind kind{};
  std::string text;  // what happened and what to look at
};

// Deletes the record sets ("owner type") and adds the records, atomically: there are no prerequisites, the registry
// knows what is right (UPT-019). Success means: NOERROR, and the answer was signed with our key.
net::Result<void, DnsFailure> send_update(const DnsConfig& config, const std::vector<std::string>& delete_sets,
                                          const std::vector<Record>& add);

}  // namespace portolan::ddnsd
