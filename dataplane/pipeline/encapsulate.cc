#include "dataplane/pipeline/encapsulate.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace portolan::pipeline {

namespace {

net::Ipv6Fragment fragment_header(uint8_t next_header, size_t offset, bool more, uint32_t identification) {
  return {next_header, 0, static_cast<uint16_t>(offset | (more ? 1 : 0)), identification};
}

}  // namespace

void encapsulate(Packet& packet, const Snapshot::Softwire& config, const net::Ipv6& local, const net::Ipv6& b4) {
  const uint8_t outer_class = config.outer_class(packet.ip->tos);
  auto next = net::Protocol::ipv4;
  if (config.encapsulation_limit) {
    packet.push(sizeof(net::EncapsulationLimit));
    net::header_at<net::EncapsulationLimit>(packet.data) = {.next_header = static_cast<uint8_t>(next),
                                                            .limit = *config.encapsulation_limit};
    next = net::Protocol::destination_options;
  }
  const auto payload_bytes = static_cast<uint16_t>(packet.bytes);
  packet.push(sizeof(net::Ipv6Header));
  net::header_at<net::Ipv6Header>(packet.data) = {uint32_t{6} << 28 | uint32_t{outer_class} << 20,  // flow label 0
                                                  payload_bytes,
                                                  static_cast<uint8_t>(next),
                                                  config.hop_limit,
                                                  local,
                                                  b4};
}

bool fragment(Packet& packet, Burst& burst, Buffers& buffers, uint16_t mtu_bytes, uint32_t identification) {
  constexpr size_t header = sizeof(net::Ipv6Header), both = header + sizeof(net::Ipv6Fragment);
  const size_t payload = packet.bytes - header;
  const size_t chunk = (mtu_bytes - both) & ~size_t{7};  // every fragment but the last: a multiple of 8 (RFC 8200 §4.5)
  const size_t count = (payload + chunk - 1) / chunk;
  const size_t first_new = burst.fragment_count;
  if (first_new + count - 1 > burst.fragments.size()) return false;

  net::Ipv6Header ip = net::header_at<net::Ipv6Header>(packet.data);
  const uint8_t fragmented = std::exchange(ip.next_header, static_cast<uint8_t>(net::Protocol::fragment));
  const auto write_headers = [&](uint8_t* at, size_t offset, size_t bytes) {
    ip.payload_length = static_cast<uint16_t>(sizeof(net::Ipv6Fragment) + bytes);
    const auto extension = fragment_header(fragmented, offset, offset + bytes < payload, identification);
    std::memcpy(at, &ip, header);
    std::memcpy(at + header, &extension, sizeof extension);
  };
  for (size_t i = 1; i < count; ++i) {
    Packet& next = burst.fragments[burst.fragment_count];
    next = Packet{};
    if (!buffers.allocate(next)) {  // all or none: what was made for this packet is dropped with it
      for (size_t made = first_new; made < burst.fragment_count; ++made)
        burst.fragments[made].drop(nat::Verdict::no_buffer);
      return false;
    }
    ++burst.fragment_count;
    const size_t offset = i * chunk, bytes = std::min(chunk, payload - offset);
    write_headers(next.data, offset, bytes);
    std::memcpy(next.data + both, packet.data + header + offset, bytes);
    next.bytes = static_cast<uint32_t>(both + bytes);
    next.context = packet.context;
  }
  packet.trim(static_cast<uint32_t>(payload - chunk));
  write_headers(packet.push(sizeof(net::Ipv6Fragment)), 0, chunk);
  return true;
}

}  // namespace portolan::pipeline
