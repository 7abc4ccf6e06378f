// Octet by octet; see frames.h.
#include "tests/unit/router/frames.h"

namespace portolan::control::testing {

namespace {

Octets pseudo_header(const Octets& source, const Octets& destination, unsigned protocol, size_t bytes) {
  return source + destination + u16(0) + u16(static_cast<unsigned>(bytes)) + u16(protocol);  // family's order: same sum
}

Octets with_checksum(Octets message, size_t at, const Octets& summed_before) {
  const uint16_t sum = checksum(summed_before + message);
  message[at] = static_cast<uint8_t>(sum >> 8), message[at + 1] = static_cast<uint8_t>(sum);
  return message;
}

}  // namespace

pipeline::Snapshot a_snapshot() {
  pipeline::Snapshot out;
  out.access = {.mac = link(our_access_mac),
                .address = net::parse_ipv6_interface(std::string(our_ipv6) + "/64").value(),
                .gateway = v6(access_gateway),
                .mtu_bytes = 1500};
  out.internet = {.mac = link(our_internet_mac),
                  .address = net::parse_ipv4_interface(std::string(our_ipv4) + "/24").value(),
                  .gateway = v4(internet_gateway),
                  .mtu_bytes = 1500};
  out.softwire.aftr_addresses = {v6(aftr), v6(aftr_on_link)};
  out.policy.pool = nat::Pool(
      {net::parse_ipv4_prefix("192.0.2.0/28").value(), net::parse_ipv4_prefix("198.51.100.16/30").value()}, {}, 256, 1);
  return out;
}

Octets operator+(Octets left, const Octets& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

Octets hex(std::string_view digits) {
  Octets out;
  std::string pair;
  for (const char digit : digits) {
    if (digit == ' ') continue;
    pair += digit;
    if (pair.size() == 2) out.push_back(static_cast<uint8_t>(std::stoul(pair, nullptr, 16))), pair.clear();
  }
  return out;
}

Octets u16(unsigned value) { return {static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)}; }
Octets u32(uint32_t value) { return u16(value >> 16) + u16(value & 0xffff); }
Octets text(std::string_view characters) { return {characters.begin(), characters.end()}; }

Octets mac(std::string_view address) {
  const auto parsed = link(address);
  return {parsed.bytes.begin(), parsed.bytes.end()};
}

Octets ip(std::string_view address) {
  if (address.find(':') == address.npos) return u32(v4(address).bits);
  const auto parsed = v6(address);
  return {parsed.bytes.begin(), parsed.bytes.end()};
}

uint16_t checksum(const Octets& bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? uint32_t{bytes[i]} << 8 : uint32_t{bytes[i]};
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<uint16_t>(~sum);
}

Octets ethernet(std::string_view to, std::string_view from, unsigned type, const Octets& payload) {
  return mac(to) + mac(from) + u16(type) + payload;
}

Octets arp(unsigned operation, std::string_view sender_mac, std::string_view sender, std::string_view target_mac,
           std::string_view target) {
  return hex("0001 0800 06 04") + u16(operation) + mac(sender_mac) + ip(sender) + mac(target_mac) + ip(target);
}

Octets ipv4(const Ip4& header, const Octets& payload) {
  const auto octet = [](unsigned value) { return Octets{static_cast<uint8_t>(value)}; };
  const Octets out = hex("45") + octet(header.tos) + u16(static_cast<unsigned>(20 + payload.size())) +
                     u16(header.identification) + u16(header.flags_offset) + octet(header.ttl) +
                     octet(header.protocol) + u16(0) + ip(header.source) + ip(header.destination);
  return with_checksum(out, 10, {}) + payload;
}

Octets ipv6(const Ip6& header, const Octets& payload) {
  return u32(6U << 28 | header.traffic_class << 20) + u16(static_cast<unsigned>(payload.size())) +
         Octets{static_cast<uint8_t>(header.next), static_cast<uint8_t>(header.hop_limit)} + ip(header.source) +
         ip(header.destination) + payload;
}

Octets icmp(unsigned type, unsigned code, uint32_t rest, const Octets& payload) {
  return with_checksum(u16(type << 8 | code) + u16(0) + u32(rest) + payload, 2, {});
}

Octets icmpv6(const Ip6& header, unsigned type, unsigned code, uint32_t rest, const Octets& payload) {
  return with_checksum(u16(type << 8 | code) + u16(0) + u32(rest) + payload, 2,
                       pseudo_header(ip(header.source), ip(header.destination), 58, 8 + payload.size()));
}

Octets udp(std::string_view source, std::string_view destination, unsigned from, unsigned to, const Octets& payload) {
  const auto bytes = 8 + payload.size();
  return with_checksum(u16(from) + u16(to) + u16(static_cast<unsigned>(bytes)) + u16(0) + payload, 6,
                       pseudo_header(ip(source), ip(destination), 17, bytes));
}

void PrintTo(const Sent& sent, std::ostream* out) {
  constexpr std::string_view digits = "0123456789abcdef";
  *out << to_text(sent.side) << ' ';
  for (const uint8_t octet : sent.frame) *out << digits[octet >> 4] << digits[octet & 15];
}

namespace {

pipeline::Snapshot ten_errors_a_second(pipeline::Snapshot snapshot) {
  snapshot.icmp_errors_per_second = 10;
  return snapshot;
}

}  // namespace

RouterTest::RouterTest(pipeline::Snapshot with)
    : snapshot(ten_errors_a_second(std::move(with))), router(snapshot, gateways, *this, *this, now_ms) {}

bool RouterTest::send(Side side, std::span<const uint8_t> frame) {
  if (device_takes) sent.push_back({side, Octets(frame.begin(), frame.end())});
  return device_takes;
}

void RouterTest::on_pcp(const PcpDatagram& datagram) {
  pcp.push_back(datagram);
  pcp_payloads.emplace_back(datagram.payload.begin(), datagram.payload.end());
}

void RouterTest::resolve_gateways() {
  gateways.access.set(link(access_gateway_mac));
  gateways.internet.set(link(internet_gateway_mac));
}

Outcome RouterTest::handle(Side side, pipeline::Punt punt, const Octets& frame) {
  Context context;
  context.side = side, context.punt = punt, context.fate = pipeline::Fate::punt;
  context.l3_offset = context.outer_offset = 14;
  return handle(frame, context);
}

Outcome RouterTest::handle(const Octets& frame, const Context& context) {
  ++handled_;
  return router.handle(frame, context, now_ms);
}

Outcome RouterTest::handle_in_softwire(pipeline::Punt punt, const Octets& inner, unsigned traffic_class) {
  Context context;
  context.side = Side::access, context.punt = punt, context.fate = pipeline::Fate::punt;
  context.in_softwire = true, context.b4 = v6(b4), context.softwire = v6(aftr);
  context.outer_offset = 14, context.l3_offset = 54, context.mtu = 1400;
  return handle(in_softwire(inner, traffic_class), context);
}

Octets RouterTest::in_softwire(const Octets& inner, unsigned traffic_class) {
  const Ip6 outer{
      .source = std::string(b4), .destination = std::string(aftr), .next = 4, .traffic_class = traffic_class};
  return ethernet(our_access_mac, access_gateway_mac, type_ipv6, ipv6(outer, inner));
}

Octets RouterTest::back_in_softwire(const Octets& inner, unsigned traffic_class) {
  const Ip6 outer{
      .source = std::string(aftr), .destination = std::string(b4), .next = 4, .traffic_class = traffic_class};
  return ethernet(access_gateway_mac, our_access_mac, type_ipv6, ipv6(outer, inner));
}

}  // namespace portolan::control::testing
