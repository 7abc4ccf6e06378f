#include "capture.h"

#include <fstream>

#include "dataplane/net/checksum.h"
#include "dataplane/net/text.h"
#include "dataplane/net/wire.h"

namespace portolan::io::test {

namespace {

struct FileHeader {  // host byte order, as libpcap writes it
  uint32_t magic = 0xa1b2c3d4;
  uint16_t major = 2, minor = 4;
  uint32_t zone = 0, accuracy = 0, bytes_max = 65535, link_type = 1;
};
struct FrameHeader {
  uint32_t seconds = 0, microseconds = 0, bytes = 0, original_bytes = 0;
};
static_assert(sizeof(FileHeader) == 24 && sizeof(FrameHeader) == 16);

template <class T>
void append(Frame& frame, const T& value) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
  frame.insert(frame.end(), bytes, bytes + sizeof value);
}

void append_udp(Frame& frame, net::Endpoint from, net::Endpoint to, std::string_view payload) {
  const auto udp_bytes = static_cast<uint16_t>(sizeof(net::UdpHeader) + payload.size());
  net::Ipv4Header ip{0x45,
                     0,
                     static_cast<uint16_t>(sizeof(net::Ipv4Header) + udp_bytes),
                     1,
                     0,
                     64,
                     static_cast<uint8_t>(net::Protocol::udp),
                     0,
                     from.address,
                     to.address};
  net::set_checksum(ip);
  append(frame, ip);
  Frame segment;
  append(segment, net::UdpHeader{from.port, to.port, udp_bytes, 0});
  segment.insert(segment.end(), payload.begin(), payload.end());
  const auto sum = net::pseudo_header(from.address, to.address, net::Protocol::udp, udp_bytes);
  net::header_at<net::UdpHeader>(segment.data()).checksum = net::finish(sum + net::sum_of(segment));
  frame.insert(frame.end(), segment.begin(), segment.end());
}

void append_ethernet(Frame& frame, const net::Mac& to, const net::Mac& from, net::EtherType type) {
  append(frame, net::EthernetHeader{to, from, static_cast<uint16_t>(type)});
}

}  // namespace

void write_capture(const std::filesystem::path& path, const std::vector<Frame>& frames) {
  std::ofstream out(path, std::ios::binary);
  const auto write = [&out](const void* bytes, size_t count) {
    out.write(static_cast<const char*>(bytes), static_cast<std::streamsize>(count));
  };
  const FileHeader file;
  write(&file, sizeof file);
  for (const auto& frame : frames) {
    const auto bytes = static_cast<uint32_t>(frame.size());
    const FrameHeader header{0, 0, bytes, bytes};
    write(&header, sizeof header);
    write(frame.data(), frame.size());
  }
}

std::vector<Frame> read_capture(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  const auto read = [&in](void* bytes, size_t count) {
    return static_cast<bool>(in.read(static_cast<char*>(bytes), static_cast<std::streamsize>(count)));
  };
  std::vector<Frame> frames;
  FileHeader file;
  if (!read(&file, sizeof file)) return frames;
  for (FrameHeader header; read(&header, sizeof header);) {
    Frame frame(header.bytes);
    if (read(frame.data(), frame.size())) frames.push_back(std::move(frame));
  }
  return frames;
}

net::Ipv6 b4_of(unsigned subscriber) {
  net::Ipv6 address = *net::parse_ipv6("2001:db8:b4::1");
  address.bytes[6] = static_cast<uint8_t>(subscriber);
  address.bytes[5] = static_cast<uint8_t>(0xb4 + (subscriber >> 8));
  return address;
}

Frame softwire_udp(unsigned subscriber, net::Port inside_port, net::Endpoint remote, std::string_view payload) {
  Frame inner, frame;
  append_udp(inner, {*net::parse_ipv4("10.0.0.2"), inside_port}, remote, payload);
  append_ethernet(frame, access_mac, access_gateway_mac, net::EtherType::ipv6);
  append(frame, net::Ipv6Header{uint32_t{6} << 28, static_cast<uint16_t>(inner.size()),
                                static_cast<uint8_t>(net::Protocol::ipv4), 64, b4_of(subscriber),
                                *net::parse_ipv6("2001:db8:a::1")});
  frame.insert(frame.end(), inner.begin(), inner.end());
  return frame;
}

Frame internet_udp(net::Endpoint from, net::Endpoint to, std::string_view payload) {
  Frame frame;
  append_ethernet(frame, internet_mac, internet_gateway_mac, net::EtherType::ipv4);
  append_udp(frame, from, to, payload);
  return frame;
}

Frame arp_request(net::Ipv4 sender, net::Ipv4 target) {
  Frame frame;
  append_ethernet(frame, net::mac_broadcast, internet_gateway_mac, net::EtherType::arp);
  append(frame, net::ArpPacket{1, 0x0800, 6, 4, net::arp_request, internet_gateway_mac, sender, {}, target});
  return frame;
}

}  // namespace portolan::io::test
