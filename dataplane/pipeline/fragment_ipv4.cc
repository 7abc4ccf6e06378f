#include "dataplane/pipeline/fragment_ipv4.h"

#include <algorithm>
#include <cstring>

#include "dataplane/net/checksum.h"

namespace portolan::pipeline {

namespace {

constexpr uint16_t more_fragments = 0x2000, flags_mask = 0xe000, offset_mask = 0x1fff;
constexpr size_t header_bytes_max = 60;

// Copies the header a later fragment has: of the options only those marked so (RFC 791 §3.1). Returns its length.
size_t copy_header(uint8_t* to, const net::Ipv4Header& from) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&from);
  std::memcpy(to, bytes, sizeof from);
  size_t written = sizeof from;
  for (size_t at = sizeof from; at + 1 < from.header_bytes() && bytes[at] != 0;) {
    const size_t length = bytes[at] == 1 ? 1 : bytes[at + 1];
    if (length == 0 || at + length > from.header_bytes()) break;
    if ((bytes[at] & 0x80) != 0) {
      std::memcpy(to + written, bytes + at, length);
      written += length;
    }
    at += length;
  }
  while (written % 4 != 0) to[written++] = 0;  // end of options
  net::header_at<net::Ipv4Header>(to).version_ihl = static_cast<uint8_t>(0x40 | written / 4);
  return written;
}

void set_extent(net::Ipv4Header& ip, size_t payload_bytes, uint16_t flags_offset) {
  ip.total_length = static_cast<uint16_t>(ip.header_bytes() + payload_bytes);
  ip.flags_offset = flags_offset;
  net::set_checksum(ip);
}

}  // namespace

bool fragment_ipv4(Packet& packet, Burst& burst, Buffers& buffers, uint16_t mtu_bytes) {
  auto& ip = net::header_at<net::Ipv4Header>(packet.data);
  const size_t header = ip.header_bytes(), payload = packet.bytes - header;
  const size_t chunk = (mtu_bytes - header) & ~size_t{7};
  uint8_t later_header[header_bytes_max];
  const size_t later_bytes = copy_header(later_header, ip);
  const uint16_t flags_offset = ip.flags_offset;
  const auto extent = [&](size_t offset, bool more) {  // whatever follows the last octet here followed it before
    return static_cast<uint16_t>((flags_offset & flags_mask) | (more ? more_fragments : 0) |
                                 ((flags_offset & offset_mask) + offset / 8));
  };
  const size_t first_new = burst.fragment_count;
  for (size_t offset = chunk; offset < payload; offset += chunk) {
    Packet next;
    if (burst.fragment_count == burst.fragments.size() || !buffers.allocate(next)) {
      for (size_t made = first_new; made < burst.fragment_count; ++made)
        burst.fragments[made].drop(nat::Verdict::no_buffer);
      return false;
    }
    const size_t bytes = std::min(chunk, payload - offset);
    std::memcpy(next.data, later_header, later_bytes);
    std::memcpy(next.data + later_bytes, packet.data + header + offset, bytes);
    set_extent(net::header_at<net::Ipv4Header>(next.data), bytes, extent(offset, offset + bytes < payload));
    next.bytes = static_cast<uint32_t>(later_bytes + bytes);
    next.context = packet.context;
    burst.fragments[burst.fragment_count++] = next;
  }
  packet.trim(static_cast<uint32_t>(payload - chunk));
  set_extent(ip, chunk, extent(0, true));
  return true;
}

}  // namespace portolan::pipeline
