// From a frame to what the translator needs to know of it: which way it goes, its IPv4 header, its mapping's protocol
// and port. Reads only; a packet that is not to be translated leaves with its fate.
#pragma once

#include "dataplane/pipeline/packet.h"
#include "dataplane/pipeline/snapshot.h"

namespace portolan::pipeline {

// A frame that has come through enter() (link.h), for worker `worker`.
void parse_frame(Packet& packet, const Snapshot& config, unsigned worker);
// A hairpinned packet: data is its IPv4 header.
void parse_hairpin(Packet& packet, const Snapshot& config, unsigned worker);

// The walk over extension headers (RFC 8200 §4) of the IPv6 packet at `packet`, `bytes` long. Bounded.
struct HeaderChain {
  enum class End : uint8_t {
    payload,   // next_header at offset is no extension header
    cut,       // the packet ends within them
    refused,   // to be dropped silently
    answered,  // to be dropped with an ICMPv6 Parameter Problem: code, pointer
  };
  End end{};
  uint8_t next_header = 0;
  uint16_t offset = 0;
  uint8_t code = 0;
  uint16_t pointer = 0;  // to the field that names next_header, or to what is wrong
  unsigned count = 0;    // headers walked over
};
HeaderChain walk_headers(const uint8_t* packet, size_t bytes);

}  // namespace portolan::pipeline
