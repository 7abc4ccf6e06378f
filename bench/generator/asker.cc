#include "bench/generator/asker.h"

#include <algorithm>
#include <cstring>

#include "bench/generator/addresses.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/wire.h"
#include "pcp-server/codec.h"

namespace portolan::bench {

using net::header_at;

namespace {

constexpr net::Ipv4 host{0x0a00fffe};    // 10.0.255.254
constexpr net::Ipv4 server{0xc0000001};  // 192.0.0.1 (RFC 6333 §5.7)
constexpr net::Port client_port{40000}, server_port{5351};
constexpr uint32_t first_subscriber = 1'000'000;
constexpr uint16_t first_inside_port = 20'000;
constexpr uint32_t lifetime_s = 600;
constexpr uint8_t hop_limit = 64;
constexpr size_t ip_at = sizeof(net::EthernetHeader) + sizeof(net::Ipv6Header);
constexpr size_t udp_at = ip_at + sizeof(net::Ipv4Header), message_at = udp_at + sizeof(net::UdpHeader);
enum Round : uint64_t { create, renew, remove, rounds };

pcp::Nonce nonce_of(uint32_t mapping) {
  pcp::Nonce nonce{};
  std::memcpy(nonce.data(), &mapping, sizeof mapping);
  return nonce;
}

// In the softwire of a subscriber; 0: it does not fit.
size_t write_request(Asker::Frame& frame, const net::Mac& source, const net::Mac& destination, uint32_t subscriber,
                     const pcp::MapRequest& map) {
  const pcp::Message message = pcp::build_map_request(net::mapped(host), map);
  const size_t udp_bytes = sizeof(net::UdpHeader) + message.size(), ip_bytes = sizeof(net::Ipv4Header) + udp_bytes;
  if (message_at + message.size() > frame.size()) return 0;

  frame.fill(0);
  header_at<net::EthernetHeader>(frame.data()) = {destination, source, static_cast<uint16_t>(net::EtherType::ipv6)};
  auto& outer = header_at<net::Ipv6Header>(frame.data() + sizeof(net::EthernetHeader));
  outer.version_class_flow = uint32_t{6} << 28;
  outer.payload_length = static_cast<uint16_t>(ip_bytes);
  outer.next_header = static_cast<uint8_t>(net::Protocol::ipv4);
  outer.hop_limit = hop_limit;
  outer.source = b4_address(subscriber);
  outer.destination = aftr_address;
  auto& ip = header_at<net::Ipv4Header>(frame.data() + ip_at);
  ip.version_ihl = 0x45;
  ip.total_length = static_cast<uint16_t>(ip_bytes);
  ip.ttl = hop_limit;
  ip.protocol = static_cast<uint8_t>(net::Protocol::udp);
  ip.source = host;
  ip.destination = server;
  net::set_checksum(ip);
  auto& udp = header_at<net::UdpHeader>(frame.data() + udp_at);
  udp.source = client_port;
  udp.destination = server_port;
  udp.length = static_cast<uint16_t>(udp_bytes);
  std::ranges::copy(message, frame.begin() + message_at);
  udp.checksum = net::finish(net::pseudo_header(host, server, net::Protocol::udp, udp_bytes) +
                             net::sum_of(std::span(frame).subspan(udp_at, udp_bytes)));
  if (udp.checksum.raw() == 0) udp.checksum = 0xffff;  // RFC 768: zero says there is none

  return message_at + message.size();
}

}  // namespace

size_t Asker::write_next(Frame& frame, const net::Mac& source, const net::Mac& destination) const {
  const auto mapping = static_cast<uint32_t>(asked % sent_tsc_.size());
  pcp::MapRequest map;
  map.nonce = nonce_of(mapping);
  map.protocol = net::Protocol::udp;
  map.internal_port = {static_cast<uint16_t>(first_inside_port + mapping % mappings_per_subscriber)};
  map.lifetime_s = asked / sent_tsc_.size() % rounds == remove ? 0 : lifetime_s;
  return write_request(frame, source, destination, first_subscriber + mapping / mappings_per_subscriber, map);
}

size_t Asker::write_flood(Frame& frame, const net::Mac& source, const net::Mac& destination) {
  pcp::MapRequest map;
  map.nonce.fill(0xff);
  map.protocol = net::Protocol::udp;
  map.internal_port = {first_inside_port};
  map.lifetime_s = lifetime_s;
  return write_request(frame, source, destination, first_subscriber - 1, map);
}

void Asker::sent(uint64_t now_tsc) {
  sent_tsc_[asked % sent_tsc_.size()] = now_tsc;
  ++asked;
}

bool Asker::hear(std::span<const uint8_t> frame, uint64_t now_tsc) {
  if (frame.size() <= message_at) return false;
  const auto& ip = header_at<net::Ipv4Header>(frame.data() + ip_at);
  const auto& udp = header_at<net::UdpHeader>(frame.data() + udp_at);
  if (ip.source != server || ip.protocol != static_cast<uint8_t>(net::Protocol::udp) || udp.source != server_port ||
      udp.length <= sizeof udp || udp.length > frame.size() - udp_at)
    return false;
  const auto response = pcp::parse_response(frame.subspan(message_at, udp.length - sizeof udp));
  if (!response || !response->map) return false;
  uint32_t mapping = 0;
  std::memcpy(&mapping, response->map->nonce.data(), sizeof mapping);
  if (mapping >= sent_tsc_.size() || sent_tsc_[mapping] == 0) return false;
  latency.add(now_tsc - sent_tsc_[mapping]);
  sent_tsc_[mapping] = 0;
  ++answered;
  if (response->code != pcp::Code::success) ++refused;
  return true;
}

}  // namespace portolan::bench
