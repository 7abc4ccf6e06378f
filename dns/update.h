// One RFC 2136 UPDATE, signed (TSIG, RFC 8945), or a few queries, over TCP; blocks until the server has answered or the
// time is up. Stateless, and safe in any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>  // here for update.cc: ldns.h makes bool a macro, which <optional> cannot stand after it
#include <span>
#include <string>
#include <vector>

#include "dataplane/net/result.h"
#include "dataplane/net/types.h"
#include "dns/tsig_key.h"

namespace portolan::dns {

inline constexpr std::chrono::seconds timeout{5};  // of a connection, and of each answer

struct SocketAddress {  // IPv4 as IPv4-mapped
  net::Ipv6 address;
  uint16_t port = 0;
  friend bool operator==(const SocketAddress&, const SocketAddress&) = default;
};

// Where updates of a zone go, and what signs them.
struct Primary {
  SocketAddress server;
  std::string zone;  // without final dot
  TsigKey key;
};

struct Record {
  std::string owner, type;  // owner without final dot, as in a zone file; "A", "SRV", "URI", "HTTPS" …
  uint32_t ttl_s = 0;
  std::string data;  // as in a zone file
  friend bool operator==(const Record&, const Record&) = default;
};

struct Failure {
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
net::Result<void, Failure> send_update(const Primary& primary, const Update& update);

// What send_update() makes of the octets that came as an answer to this update.
net::Result<void, Failure> judge_answer(const Primary& primary, const Update& update, std::span<const uint8_t> answer);

// Whether the server has exactly these records in these record sets, TTLs aside.
net::Result<bool, Failure> has_records(const Primary& primary, const std::vector<std::string>& record_sets,
                                       const std::vector<Record>& records);

}  // namespace portolan::dns
