#include "tests/packets/random_frames.h"

#include <algorithm>

#include "dataplane/net/checksum.h"
#include "dataplane/net/wire.h"

namespace portolan::packets {

namespace {

std::string fault_of_ipv4(const uint8_t* at, size_t bytes, bool is_cut) {
  if (bytes < sizeof(net::Ipv4Header)) return "no room for an IPv4 header";
  const auto& ip = net::header_at<net::Ipv4Header>(at);
  if (ip.version() != 4 || (is_cut ? ip.total_length < bytes : ip.total_length != bytes)) return "IPv4 length";
  return net::checksum_is_right(ip) ? "" : "IPv4 checksum";
}

}  // namespace

std::string fault_of(const Outcome& outcome, const Settings& settings) {
  if (outcome.fate != pipeline::Fate::send) return {};
  const auto side = static_cast<size_t>(outcome.side);
  const auto& frame = outcome.bytes;
  if (frame.size() < sizeof(net::EthernetHeader) + sizeof(net::Ipv4Header)) return "runt";
  const auto& ethernet = net::header_at<net::EthernetHeader>(frame.data());
  if (ethernet.source != our_macs[side] || ethernet.destination != gateway_macs[side]) return "Ethernet addresses";
  const uint8_t* packet = frame.data() + sizeof ethernet;
  const size_t bytes = frame.size() - sizeof ethernet;
  if (outcome.side != pipeline::Side::access) {
    if (outcome.side == pipeline::Side::inside) {
      const net::Ipv4 to = net::header_at<net::Ipv4Header>(packet).destination;
      const auto& prefixes = settings.snapshot.inside.prefixes;
      const bool known = std::ranges::any_of(prefixes, [&](const auto& prefix) { return contains(prefix, to); });
      return known ? fault_of_ipv4(packet, bytes, false) : "to an inside host that is none";
    }
    const net::Ipv4 source = net::header_at<net::Ipv4Header>(packet).source;
    if (std::ranges::none_of(settings.pool_prefixes, [&](const auto& prefix) { return contains(prefix, source); }))
      return "a source that is not of the pool";
    return fault_of_ipv4(packet, bytes, false);
  }
  if (bytes < sizeof(net::Ipv6Header)) return "no room for an IPv6 header";
  const auto& ip = net::header_at<net::Ipv6Header>(packet);
  if (ip.version() != 6 || ip.payload_length != bytes - sizeof ip) return "IPv6 length";
  if (std::ranges::count(settings.snapshot.softwire.aftr_addresses, ip.source) == 0) return "a source that is not ours";
  const bool is_fragment = net::Protocol{ip.next_header} == net::Protocol::fragment;
  const auto& fragment = net::header_at<net::Ipv6Fragment>(packet + sizeof ip);
  if (is_fragment && (fragment.offset_more & 0xfff8) != 0) return {};
  const size_t headers = sizeof ip + (is_fragment ? sizeof fragment : 0);
  return fault_of_ipv4(packet + headers, bytes - headers, is_fragment);
}

}  // namespace portolan::packets
