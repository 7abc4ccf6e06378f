#include "bench/generator/frames.h"

#include <algorithm>
#include <span>

namespace portolan::bench {

using net::header_at;

namespace {

constexpr size_t ethernet_bytes = sizeof(net::EthernetHeader);
constexpr uint8_t hop_limit = 64;

size_t datagram_bytes(size_t frame_bytes) { return frame_bytes - frame_check_bytes - ethernet_bytes; }

net::ChecksumSum raw_sum(const net::Endpoint& endpoint) {
  return net::ChecksumSum{endpoint.address.bits.raw()} + endpoint.port.number.raw();
}

net::ChecksumSum raw_sum(const Tag& tag) {
  return net::ChecksumSum{tag.flow} + tag.mark + (tag.sent_tsc & 0xffffffffU) + (tag.sent_tsc >> 32);
}

void write_ipv4(uint8_t* at, size_t bytes) {
  auto& ip = header_at<net::Ipv4Header>(at);
  ip.version_ihl = 0x45;
  ip.total_length = static_cast<uint16_t>(bytes);
  ip.flags_offset = 0x4000;  // DF: identifications mean nothing then (RFC 6864)
  ip.ttl = hop_limit;
  ip.protocol = static_cast<uint8_t>(net::Protocol::udp);
  header_at<net::UdpHeader>(at + sizeof ip).length = static_cast<uint16_t>(bytes - sizeof ip);
}

void write_ipv6(uint8_t* at, size_t payload_bytes) {
  auto& outer = header_at<net::Ipv6Header>(at);
  outer.version_class_flow = uint32_t{6} << 28;
  outer.payload_length = static_cast<uint16_t>(payload_bytes);
  outer.next_header = static_cast<uint8_t>(net::Protocol::ipv4);
  outer.hop_limit = hop_limit;
  outer.destination = aftr_address;
}

}  // namespace

FrameTemplate::FrameTemplate(bool tunnelled, size_t frame_bytes, const net::Mac& source, const net::Mac& destination)
    : bytes_(static_cast<uint16_t>(frame_bytes - frame_check_bytes + (tunnelled ? tunnel_bytes : 0))),
      tunnelled_(tunnelled) {
  image_.fill(filler);
  const size_t ip_bytes = datagram_bytes(frame_bytes), ip_at = ethernet_bytes + (tunnelled ? tunnel_bytes : 0);
  std::fill_n(image_.begin(), tag_offset(tunnelled), uint8_t{0});
  auto& ethernet = header_at<net::EthernetHeader>(image_.data());
  ethernet = {destination, source, static_cast<uint16_t>(tunnelled ? net::EtherType::ipv6 : net::EtherType::ipv4)};
  if (tunnelled) write_ipv6(image_.data() + ethernet_bytes, ip_bytes);
  write_ipv4(image_.data() + ip_at, ip_bytes);
  ip_sum_ = net::sum_of(std::span(image_).subspan(ip_at, sizeof(net::Ipv4Header)));
  const size_t udp_bytes = ip_bytes - sizeof(net::Ipv4Header);
  udp_sum_ = net::pseudo_header(net::Ipv4{}, net::Ipv4{}, net::Protocol::udp, udp_bytes) +
             net::be16(static_cast<uint16_t>(udp_bytes)).raw();
  for (size_t at = sizeof(net::UdpHeader) + sizeof(Tag); at < udp_bytes; at += 2)
    udp_sum_ += at + 1 < udp_bytes ? net::be16(filler << 8 | filler).raw() : net::be16(filler << 8).raw();
}

void FrameTemplate::write(uint8_t* frame, uint32_t subscriber, const net::Endpoint& source,
                          const net::Endpoint& destination, const Tag& tag) const {
  std::memcpy(frame, image_.data(), written_bytes);
  uint8_t* at = frame + ethernet_bytes;
  if (tunnelled_) {
    header_at<net::Ipv6Header>(at).source = b4_address(subscriber);
    at += sizeof(net::Ipv6Header);
  }
  auto& ip = header_at<net::Ipv4Header>(at);
  ip.source = source.address;
  ip.destination = destination.address;
  ip.checksum = net::finish(ip_sum_ + net::ChecksumSum{source.address.bits.raw()} + destination.address.bits.raw());
  auto& udp = header_at<net::UdpHeader>(at + sizeof ip);
  udp.source = source.port;
  udp.destination = destination.port;
  udp.checksum = net::finish(udp_sum_ + raw_sum(source) + raw_sum(destination) + raw_sum(tag));
  if (udp.checksum.raw() == 0) udp.checksum = 0xffff;  // RFC 768: zero says there is none
  std::memcpy(at + sizeof ip + sizeof udp, &tag, sizeof tag);
}

const char* to_text(Fault fault) {
  static constexpr const char* texts[] = {
#define X(name, help) help,
      PORTOLAN_BENCH_FAULTS(X)
#undef X
  };
  return texts[static_cast<size_t>(fault)];
}

namespace {

Fault find_tunnel_fault(const uint8_t* frame, const Expectation& expected) {
  const auto& outer = header_at<net::Ipv6Header>(frame + ethernet_bytes);
  if (outer.version() != 6 || outer.next_header != static_cast<uint8_t>(net::Protocol::ipv4) ||
      outer.payload_length != datagram_bytes(expected.frame_bytes))
    return Fault::framing;
  if (outer.source != expected.softwire_source || outer.destination != expected.softwire_destination)
    return Fault::softwire;
  return Fault::none;
}

Fault find_datagram_fault(std::span<const uint8_t> datagram, const Expectation& expected) {
  const auto& ip = header_at<net::Ipv4Header>(datagram.data());
  const auto& udp = header_at<net::UdpHeader>(datagram.data() + sizeof ip);
  const auto segment = datagram.subspan(sizeof ip);
  if (ip.version_ihl != 0x45 || ip.total_length != datagram.size() || udp.length != segment.size() ||
      ip.protocol != static_cast<uint8_t>(net::Protocol::udp) || ip.is_fragment())
    return Fault::framing;
  if (net::Endpoint{ip.source, udp.source} != expected.source) return Fault::source;
  if (net::Endpoint{ip.destination, udp.destination} != expected.destination) return Fault::destination;
  if (!net::checksum_is_right(ip)) return Fault::ip_checksum;
  const auto sum =
      net::pseudo_header(ip.source, ip.destination, net::Protocol::udp, segment.size()) + net::sum_of(segment);
  if (udp.checksum == 0 || net::fold(sum) != 0xffff) return Fault::udp_checksum;
  const auto rest = segment.subspan(sizeof udp + sizeof(Tag));
  return std::ranges::all_of(rest, [](uint8_t byte) { return byte == filler; }) ? Fault::none : Fault::payload;
}

}  // namespace

Fault find_fault(const uint8_t* frame, size_t bytes, const Expectation& expected) {
  const size_t outer_bytes = expected.tunnelled ? tunnel_bytes : 0;
  if (bytes != expected.frame_bytes - frame_check_bytes + outer_bytes) return Fault::length;
  const auto type = static_cast<net::EtherType>(uint16_t{header_at<net::EthernetHeader>(frame).type});
  if (type != (expected.tunnelled ? net::EtherType::ipv6 : net::EtherType::ipv4)) return Fault::framing;
  if (expected.tunnelled)
    if (const Fault fault = find_tunnel_fault(frame, expected); fault != Fault::none) return fault;
  return find_datagram_fault({frame + ethernet_bytes + outer_bytes, datagram_bytes(expected.frame_bytes)}, expected);
}

}  // namespace portolan::bench
