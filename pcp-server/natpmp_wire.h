// RFC 6886's figures as structs the compiler checks, and its numbers as names; offsets appear nowhere else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/net/types.h"
#include "pcp-server/message.h"

namespace portolan::pcp::natpmp {

inline constexpr uint8_t version = 0;                            // §3
inline constexpr uint8_t address = 0, map_udp = 1, map_tcp = 2;  // opcodes, §3.2, §3.3
inline constexpr uint8_t response_bit = 0x80;                    // §3.5

enum class Result : uint16_t {  // §3.5
  success = 0,
  unsupported_version = 1,
  refused = 2,
  network_failure = 3,
  out_of_resources = 4,
  unsupported_opcode = 5,
};

struct MapRequest {  // §3.3
  uint8_t version, opcode;
  net::be16 reserved;
  net::Port internal_port, suggested_port;
  net::be32 lifetime_s;
};
static_assert(sizeof(MapRequest) == 12 && alignof(MapRequest) == 1);

struct ResponseHeader {  // §3.5
  uint8_t version, opcode;
  net::be16 result;
  net::be32 epoch_s;
};
static_assert(sizeof(ResponseHeader) == 8 && alignof(ResponseHeader) == 1);

struct AddressResponse {  // §3.2
  ResponseHeader header;
  net::Ipv4 address;
};
static_assert(sizeof(AddressResponse) == 12 && alignof(AddressResponse) == 1);

struct MapResponse {  // §3.3
  ResponseHeader header;
  net::Port internal_port, external_port;
  net::be32 lifetime_s;
};
static_assert(sizeof(MapResponse) == 16 && alignof(MapResponse) == 1);

constexpr uint8_t opcode_of(net::Protocol protocol) { return protocol == net::Protocol::udp ? map_udp : map_tcp; }

// Makes a copied request an error response; it has at least the header's octets.
inline void set_header(Message& message, Result result, uint32_t epoch_s) {
  const ResponseHeader header{0, static_cast<uint8_t>(message[1] | response_bit), static_cast<uint16_t>(result),
                              epoch_s};
  std::memcpy(message.data(), &header, sizeof header);
}

}  // namespace portolan::pcp::natpmp
