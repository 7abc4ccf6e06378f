#include "tests/packets/random_frames.h"

#include <algorithm>

#include "dataplane/net/checksum.h"
#include "dataplane/net/wire.h"
#include "tests/packets/packet_text.h"

namespace portolan::packets {

namespace {

// One of each kind; "%" becomes a port, "@" a host.
constexpr const char* from_b4[] = {
    "2001:db8:b:@00::1 > 2001:db8:a::1 / 10.0.0.@:4% > 198.51.100.@:53 udp 30",
    "2001:db8:b:@00::1 > 2001:db8:a::2 dstopt / 10.0.0.@:4% > 198.51.100.9:80 tcp S 0 mss 1460",
    "2001:db8:b:@00::1 > 2001:db8:a::1 / 10.0.0.@:4% > 198.51.100.9:80 tcp FA 0 oddmss 1460",
    "2001:db8:b:@00::1 > 2001:db8:a::1 / 10.0.0.@:4% > 198.51.100.9:80 tcp R 7",
    "2001:db8:b:@00::1 > 2001:db8:a::1 tc 3 / 10.0.0.@ > 198.51.100.9 icmp echo 4% 1 30",
    "2001:db8:b:@00::1 > 2001:db8:a::1 / 10.0.0.@:4% > 192.0.2.@:2% udp 1500",
    "2001:db8:b:@00::1 > 2001:db8:a::1 / 10.0.0.@ > 198.51.100.9 icmp 3 3 about 198.51.100.9:53 > 10.0.0.@:4% udp 9",
    "2001:db8:b:@00::1 > 2001:db8:a::1 frag 0-32 @ / 10.0.0.@:4% > 198.51.100.9:53 udp 60",
    "2001:db8:b:@00::1 > 2001:db8:a::1 frag 32-88 @ / 10.0.0.@:4% > 198.51.100.9:53 udp 60",
    "2001:db8:b:@00::1 > 2001:db8:a::1 frag 0-800 @ after 0400040104010100 / 10.0.0.2:400 > 198.51.100.9:53 udp 1500",
    ("2001:db8:b:@00::1 > 2001:db8:a::1 frag 800-1536 @ after 0400040104010100 / 10.0.0.2:400 > 198.51.100.9:53 udp "
     "1500"),
    "2001:db8:b:@00::1 > 2001:db8:a::1 / 10.0.0.2:401 > 198.51.100.9:53 udp 3000 id @ frag 0-1000",
    "2001:db8:b:@00::1 > 2001:db8:a::1 / 10.0.0.2:401 > 198.51.100.9:53 udp 3000 id @ frag 1000-2000",
    "2001:db8:b:@00::1 > 2001:db8:a::1 / 10.0.0.2:401 > 198.51.100.9:53 udp 3000 id @ frag 2000-3008",
    "2001:db8:b:@00::1 > 2001:db8:a::1 / 10.0.0.2:402 > 192.0.2.@:2% udp 3000 id @ frag 0-1000",
    "2001:db8:b:@00::1 > 2001:db8:a::1 / 10.0.0.2:402 > 192.0.2.@:2% udp 3000 id @ frag 1000-3008",
    "2001:db8:b:@00::1 > 2001:db8:a::1 nh 43 ext 0400000100000000 / 10.0.0.@:4% > 198.51.100.9:53 udp 1",
};
constexpr const char* from_inside[] = {
    "100.64.1.@:4% > 198.51.100.@:53 udp 30",
    "100.64.1.@:4% > 198.51.100.9:80 tcp S 0 mss 1460",
    "100.64.1.@ > 198.51.100.9 icmp echo 4% 1 30",
    "100.64.1.@:4% > 192.0.2.@:2% udp 1473",
    "100.64.0.7 > 198.51.100.9 icmp 11 0 about 198.51.100.9:53 > 100.64.1.@:4% udp 9",
    "vlan 0x6000 100.64.1.@:4% > 198.51.100.@:53 udp 30 opts 01010100",
};
constexpr const char* from_internet[] = {
    "198.51.100.@:53 > 192.0.2.@:2% udp 30 opts 01010100",
    "198.51.100.9:80 > 192.0.2.@:2% tcp SA 0 mss 1460",
    "198.51.100.9:80 > 192.0.2.@:2% tcp RA 0",
    "198.51.100.9 > 192.0.2.@ icmp reply 2% 1 30",
    "203.0.113.1 > 192.0.2.@ icmp 3 4 mtu 1400 about 192.0.2.@:2% > 198.51.100.9:53 udp 40",
    "203.0.113.1 > 192.0.2.@ icmp 11 0 extended about 192.0.2.@:2% > 198.51.100.9:80 tcp A 40",
    "198.51.100.@:53 > 192.0.2.@:2% udp 3000",
    "198.51.100.9:53 > 192.0.2.@:2% udp 3000 id @ frag 0-1504",
    "198.51.100.9:53 > 192.0.2.@:2% udp 3000 id @ frag 1504-3008",
};

std::string fault_of_ipv4(const uint8_t* at, size_t bytes, bool is_cut) {
  if (bytes < sizeof(net::Ipv4Header)) return "no room for an IPv4 header";
  const auto& ip = net::header_at<net::Ipv4Header>(at);
  if (ip.version() != 4 || (is_cut ? ip.total_length < bytes : ip.total_length != bytes)) return "IPv4 length";
  return net::checksum_is_right(ip) ? "" : "IPv4 checksum";
}

// A right header checksum again, so that damage gets past it.
void mend(Bytes& frame) {
  for (const size_t at : {size_t{14}, size_t{54}}) {
    if (frame.size() < at + 60 || frame[at] >> 4 != 4) continue;
    set_checksum(net::header_at<net::Ipv4Header>(frame.data() + at));
  }
}

}  // namespace

Bytes RandomFrames::sound(pipeline::Side side) {
  using pipeline::Side;
  std::string text = side == Side::access     ? from_b4[below(std::size(from_b4))]
                     : side == Side::internet ? from_internet[below(std::size(from_internet))]
                                              : from_inside[below(std::size(from_inside))];
  const char port[] = {static_cast<char>('0' + below(2)), static_cast<char>('0' + below(10)),
                       static_cast<char>('0' + below(10)), 0};
  const std::string host = std::to_string(below(4));
  for (size_t at; (at = text.find_first_of("%@")) != text.npos;) text.replace(at, 1, text[at] == '%' ? port : host);
  Variables none;
  return incoming(split(text), side, none);
}

Bytes RandomFrames::next(pipeline::Side side) {
  Bytes frame = sound(side);
  if (below(3) != 0) damage(frame);
  return frame;
}

void RandomFrames::damage(Bytes& frame) {
  for (uint32_t i = below(4) + 1; i > 0 && !frame.empty(); --i) {
    const size_t at = below(static_cast<uint32_t>(std::min<size_t>(frame.size(), 160)));
    switch (below(6)) {
      case 0:
        frame[at] = static_cast<uint8_t>(frame[at] ^ 1U << below(8));
        break;
      case 1:
        frame[at] = static_cast<uint8_t>(random_());
        break;
      case 2:
        frame.resize(at);
        break;
      case 3:
        frame.insert(frame.begin() + static_cast<std::ptrdiff_t>(at), below(9), static_cast<uint8_t>(random_()));
        break;
      case 4:
        frame.erase(frame.begin() + static_cast<std::ptrdiff_t>(at));
        break;
      case 5:
        frame[at] = below(2) != 0 ? 0xff : 0;
        break;
    }
  }
  if (below(2) != 0) mend(frame);
}

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
