#include "bench/micro/path.h"

#include <algorithm>
#include <bit>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>

#include "dataplane/net/checksum.h"
#include "dataplane/net/text.h"

namespace portolan::bench {

using pipeline::Fate;
using pipeline::Side;

namespace {

constexpr uint32_t ports_per_host = 200;
constexpr net::Mac ours[] = {{{2, 0, 0, 0, 0, 1}}, {{2, 0, 0, 0, 0, 2}}, {{2, 0, 0, 0, 0, 3}}};
constexpr net::Mac gateways[] = {{{2, 0, 0, 0, 1, 1}}, {{2, 0, 0, 0, 1, 2}}, {{2, 0, 0, 0, 1, 3}}};
constexpr net::Ipv4 remote{0xc6130001};  // 198.19.0.1 (RFC 2544)

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "bench: %s\n", what);
  std::exit(1);
}

net::Ipv6 b4_of(uint32_t host) {
  net::Ipv6 b4 = *net::parse_ipv6("2001:2::1");
  b4.bytes[4] = static_cast<uint8_t>(host >> 16);
  b4.bytes[5] = static_cast<uint8_t>(host >> 8);
  b4.bytes[6] = static_cast<uint8_t>(host);
  return b4;
}

template <class Header>
void append(std::vector<uint8_t>& frame, const Header& header) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&header);
  frame.insert(frame.end(), bytes, bytes + sizeof header);
}

}  // namespace

std::string_view to_text(Way way) {
  constexpr std::string_view texts[] = {"softwire_outbound", "softwire_inbound", "plain_outbound", "plain_inbound"};
  return texts[static_cast<size_t>(way)];
}

Path::Path(Way way, uint32_t mappings, bool tcp, uint32_t payload_bytes, Flows flows)
    : plain_(way == Way::plain_outbound || way == Way::plain_inbound),
      payload_bytes_(payload_bytes),
      side_(way == Way::softwire_inbound || way == Way::plain_inbound ? Side::internet
            : plain_                                                  ? Side::inside
                                                                      : Side::access),
      frames_(size_t{mappings} * frame_bytes_max),
      buffers_(burst * buffer_bytes) {
  snapshot_.access = {ours[0], *net::parse_ipv6_interface("2001:db8:0:1::1/64"), *net::parse_ipv6("2001:db8:0:1::2")};
  snapshot_.internet = {ours[1], *net::parse_ipv4_interface("203.0.113.1/24"), *net::parse_ipv4("203.0.113.2")};
  snapshot_.inside = {ours[2], *net::parse_ipv4_interface("100.64.0.1/10"), *net::parse_ipv4("100.64.0.2")};
  snapshot_.inside.prefixes = {*net::parse_ipv4_prefix("100.64.0.0/10")};
  snapshot_.softwire.aftr_addresses = {*net::parse_ipv6("2001:db8:a::1")};
  snapshot_.softwire.allowed_prefixes = {*net::parse_ipv6_prefix("::/0")};
  const unsigned addresses = std::bit_ceil(std::max(16U, mappings / 30'000));
  const auto length = static_cast<uint8_t>(32 - std::countr_zero(addresses));
  if (flows == Flows::fresh) snapshot_.full_bursts_free = UINT_MAX;
  snapshot_.policy.pool = nat::Pool({net::Ipv4Prefix{net::Ipv4{0xc6120000}, length}}, {}, 256, 1);  // 198.18.0.0
  gateways_.access.set(gateways[0]), gateways_.internet.set(gateways[1]), gateways_.inside.set(gateways[2]);
  nat::ShardSettings settings;
  settings.mappings_max = mappings + 1;
  settings.subscribers_max = mappings / ports_per_host + 2;
  settings.sessions_max = 1000;
  settings.seed = 1;  // the same instructions each time
  settings.policy = snapshot_.policy;
  auto shard = nat::Shard::open(settings, now_s_);
  if (!shard) fail(shard.error().c_str());
  shard_ = std::move(*shard);
  worker_ = std::make_unique<pipeline::Worker>(0, *shard_, gateways_, *this, 16);
  worker_->use(snapshot_);
  for (uint32_t flow = 0; flow < mappings; ++flow)
    if (flows == Flows::opened)
      open(flow, tcp);
    else
      keep(flow, outbound_frame(flow, tcp, net::tcp_syn));
  order_.resize(mappings);
  std::iota(order_.begin(), order_.end(), 0U);
  std::shuffle(order_.begin(), order_.end(), std::mt19937(1));
}

std::vector<uint8_t> Path::outbound_frame(uint32_t flow, bool tcp, uint8_t flags) const {
  const uint32_t host = flow / ports_per_host, port = 1024 + flow % ports_per_host * 7;
  const auto transport_bytes = static_cast<uint16_t>(tcp ? sizeof(net::TcpHeader) : sizeof(net::UdpHeader));
  net::Ipv4Header ip{};
  ip.version_ihl = 0x45;
  ip.total_length = static_cast<uint16_t>(sizeof ip + transport_bytes + payload_bytes_);
  ip.flags_offset = uint16_t{0x4000};
  ip.ttl = 64;
  ip.protocol = static_cast<uint8_t>(tcp ? net::Protocol::tcp : net::Protocol::udp);
  ip.source = plain_ ? net::Ipv4{0x64400100 + host} : net::Ipv4{0x0a000002};
  ip.destination = remote;
  set_checksum(ip);
  std::vector<uint8_t> frame;
  const auto side = static_cast<size_t>(plain_ ? Side::inside : Side::access);
  append(frame, net::EthernetHeader{ours[side], gateways[side],
                                    static_cast<uint16_t>(plain_ ? net::EtherType::ipv4 : net::EtherType::ipv6)});
  if (!plain_)
    append(frame, net::Ipv6Header{uint32_t{6} << 28, ip.total_length, static_cast<uint8_t>(net::Protocol::ipv4), 64,
                                  b4_of(host), snapshot_.softwire.aftr_addresses[0]});
  append(frame, ip);
  const net::Port from{static_cast<uint16_t>(port)}, to{uint16_t{443}};
  if (tcp) {
    net::TcpHeader header{};
    header.source = from, header.destination = to, header.flags = flags, header.checksum = uint16_t{0x1234};
    header.offset = 0x50;
    append(frame, header);
  } else {
    append(frame, net::UdpHeader{from, to, static_cast<uint16_t>(transport_bytes + payload_bytes_), uint16_t{0x1234}});
  }
  frame.resize(frame.size() + payload_bytes_);
  return frame;
}

// The answer of the remote to what was sent to it.
std::vector<uint8_t> Path::inbound_frame(const std::vector<uint8_t>& sent, uint8_t flags) const {
  std::vector<uint8_t> frame = sent;
  auto& ethernet = net::header_at<net::EthernetHeader>(frame.data());
  std::swap(ethernet.source, ethernet.destination);
  auto& ip = net::header_at<net::Ipv4Header>(frame.data() + sizeof ethernet);
  std::swap(ip.source, ip.destination);
  auto& ports = net::header_at<net::UdpHeader>(frame.data() + sizeof ethernet + sizeof ip);
  std::swap(ports.source, ports.destination);
  if (net::Protocol{ip.protocol} == net::Protocol::tcp)
    net::header_at<net::TcpHeader>(frame.data() + sizeof ethernet + sizeof ip).flags = flags;
  return frame;
}

std::vector<uint8_t> Path::pass(const std::vector<uint8_t>& frame, Side side) {
  std::memcpy(buffers_.data() + headroom_bytes, frame.data(), frame.size());
  pipeline::Packet& packet = burst_->packets[0];
  packet = {};
  packet.data = buffers_.data() + headroom_bytes;
  packet.bytes = static_cast<uint32_t>(frame.size());
  packet.headroom = headroom_bytes;
  packet.context.side = side;
  burst_->count = 1;
  burst_->fragment_count = 0;
  worker_->process(*burst_, now_s_);
  if (packet.context.fate != Fate::send) fail("a packet was not sent");
  return {packet.data, packet.data + packet.bytes};
}

void Path::open(uint32_t flow, bool tcp) {
  const Side from = plain_ ? Side::inside : Side::access;
  const auto sent = pass(outbound_frame(flow, tcp, net::tcp_syn), from);
  if (tcp) pass(inbound_frame(sent, net::tcp_syn | net::tcp_ack), Side::internet);
  const auto frame =
      side_ == Side::internet ? inbound_frame(sent, net::tcp_ack) : outbound_frame(flow, tcp, net::tcp_ack);
  keep(flow, frame);
}

void Path::keep(uint32_t flow, const std::vector<uint8_t>& frame) {
  frame_bytes_ = frame.size();
  if (frame_bytes_ > frame_bytes_max) fail("payload_bytes is more than there is room for");
  std::memcpy(frames_.data() + flow * frame_bytes_max, frame.data(), frame_bytes_);
}

void Path::receive() {
  for (size_t i = 0; i < burst; ++i) {
    std::memcpy(buffers_.data() + i * buffer_bytes + headroom_bytes, frames_.data() + order_[at_] * frame_bytes_max,
                frame_bytes_);
    at_ = at_ + 1 < order_.size() ? at_ + 1 : 0;
  }
}

size_t Path::forward_plain() {
  std::array<pipeline::Frame, burst> frames;
  for (size_t i = 0; i < burst; ++i)
    frames[i] = {.data = buffers_.data() + i * buffer_bytes + headroom_bytes,
                 .bytes = static_cast<uint32_t>(frame_bytes_),
                 .vlan = 0,
                 .side = side_};
  return worker_->forward_plain(frames, false, now_s_);
}

void Path::forward(bool fast) {
  if (!fast) return forward_by_stages();
  if (forward_plain() != burst) fail("the fast path left a packet");
}

void Path::forward_by_stages() {
  for (size_t i = 0; i < burst; ++i) {
    pipeline::Packet& packet = burst_->packets[i];
    packet = {};
    packet.data = buffers_.data() + i * buffer_bytes + headroom_bytes;
    packet.bytes = static_cast<uint32_t>(frame_bytes_);
    packet.headroom = headroom_bytes;
    packet.context.side = side_;
  }
  burst_->count = burst;
  burst_->fragment_count = 0;
  worker_->process(*burst_, now_s_);
  for (size_t i = 0; i < burst; ++i)
    if (burst_->packets[i].context.fate != Fate::send) fail("a packet was not sent");
}

}  // namespace portolan::bench
