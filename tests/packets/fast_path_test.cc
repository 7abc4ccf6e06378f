// The fast path against the stages it spares: two networks alike but for it, fed the same bursts, must send, drop and
// punt the same packets in the same order and count and remember the same. Sound and damaged frames, answers to what
// left, under every configuration that the fast path reads.
#include <gtest/gtest.h>

#include "dataplane/net/checksum.h"
#include "dataplane/net/text.h"
#include "tests/packets/random_frames.h"

namespace portolan::packets {
namespace {

using pipeline::Fate;
using pipeline::Side;

constexpr size_t frames_max = 15'000;
constexpr uint32_t start_s = 100'000;

struct Variant {
  const char* name;
  void (*set)(Settings&);
};

const Variant variants[] = {
    {"defaults", [](Settings&) {}},
    {"address_and_port_dependent",
     [](Settings& s) { s.snapshot.policy.filtering = nat::Filtering::address_and_port_dependent; }},
    {"address_dependent", [](Settings& s) { s.snapshot.policy.filtering = nat::Filtering::address_dependent; }},
    {"limits",
     [](Settings& s) {
       s.snapshot.policy.limits.sessions_max = 40;
       s.snapshot.policy.limits.inbound_sessions_max = 10;
       s.snapshot.policy.limits.mappings_max = 30;
     }},
    {"inbound_refresh", [](Settings& s) { s.snapshot.policy.timeouts.udp_inbound_refresh = true; }},
    {"tunnel_options",
     [](Settings& s) {
       s.snapshot.softwire.encapsulation_limit = 4;
       s.snapshot.softwire.pipe_dscp = 10;
       s.snapshot.internet.remark_dscp = 12;
     }},
    {"narrow",
     [](Settings& s) {
       s.snapshot.softwire.mtu_bytes = 1280;
       s.snapshot.internet.mtu_bytes = 1300;
       s.snapshot.inside.mtu_bytes = 1200;
       s.snapshot.softwire.df_policy = pipeline::DfPolicy::outer_fragment;
     }},
    {"vlans",
     [](Settings& s) {
       s.snapshot.access.vlan = 10, s.snapshot.internet.vlan = 20, s.snapshot.inside.vlan = 30;
       s.snapshot.devices = {0, 0, 0};
     }},
    {"one_device",
     [](Settings& s) {
       s.snapshot.inside.vlan = 30;
       s.snapshot.devices = {0, 0, 0};
     }},
    {"pass_through",
     [](Settings& s) {
       s.snapshot.pass_through.push_back({*net::parse_ipv6("2001:db8:b:100::1"),
                                          *net::parse_ipv4("10.0.0.1"),
                                          *net::parse_ipv4_prefix("198.51.100.0/24"),
                                          {},
                                          net::Protocol::udp});
     }},
    {"any_b4_but_ours", [](Settings& s) { s.snapshot.softwire.allowed_prefixes = {*net::parse_ipv6_prefix("::/0")}; }},
    {"no_hairpinning", [](Settings& s) { s.snapshot.hairpinning = false; }},
    {"no_gateway", [](Settings& s) { s.access_gateway_known = false; }},
    {"plain_subnets", [](Settings& s) { s.snapshot.inside.subscriber_prefix_length = 31; }},
    {"scattered_pool",
     [](Settings& s) {
       s.pool_prefixes = {*net::parse_ipv4_prefix("192.0.2.0/31"), *net::parse_ipv4_prefix("192.0.2.3/32")};
     }},
};

Settings settings_for(const Variant& variant, unsigned workers) {
  Settings settings = default_settings();
  settings.workers = workers;
  settings.snapshot.inside.prefixes = {*net::parse_ipv4_prefix("100.64.1.0/30")};
  settings.ports = {2000, 2511};
  settings.block_ports = 64;
  settings.shard.mappings_max = 600;
  settings.shard.seed = 7;
  variant.set(settings);
  return settings;
}

// As it comes on the side's VLAN.
Bytes tagged(Bytes frame, uint16_t vlan) {
  if (vlan == 0 || frame.size() < sizeof(net::EthernetHeader)) return frame;
  const net::VlanTag tag{vlan, net::header_at<net::EthernetHeader>(frame.data()).type};
  frame.insert(frame.begin() + sizeof(net::EthernetHeader), sizeof tag, 0);
  net::header_at<net::EthernetHeader>(frame.data()).type = static_cast<uint16_t>(net::EtherType::vlan);
  net::header_at<net::VlanTag>(frame.data() + sizeof(net::EthernetHeader)) = tag;
  return frame;
}

constexpr uint8_t later_flags[] = {
    net::tcp_ack, net::tcp_ack, net::tcp_syn | net::tcp_ack, net::tcp_syn, net::tcp_fin | net::tcp_ack, net::tcp_rst};

// What a remote would answer to a packet that left; empty if it is none of TCP and UDP.
Bytes answer_to(const Outcome& outcome, RandomFrames& random) {
  Bytes frame = outcome.bytes;
  if (outcome.fate != Fate::send || outcome.side != Side::internet) return {};
  const size_t link_bytes = frame.size() > 16 && frame[12] == 0x81 ? 18 : 14;
  if (frame.size() < link_bytes + sizeof(net::Ipv4Header) + sizeof(net::TcpHeader)) return {};
  auto& ethernet = net::header_at<net::EthernetHeader>(frame.data());
  auto& ip = net::header_at<net::Ipv4Header>(frame.data() + link_bytes);
  if (ip.header_bytes() != sizeof ip || ip.is_fragment()) return {};
  std::swap(ethernet.destination, ethernet.source);
  std::swap(ip.source, ip.destination);
  if (random.below(8) == 0) ip.source = {uint32_t{ip.source.bits} ^ 1U};
  ip.ttl = static_cast<uint8_t>(random.below(4) == 0 ? random.below(4) : 60);
  ip.tos = static_cast<uint8_t>(random.below(4) == 0 ? random.below(256) : ip.tos);
  set_checksum(ip);
  auto& ports = net::header_at<net::UdpHeader>(frame.data() + link_bytes + sizeof ip);
  if (ip.protocol != 6 && ip.protocol != 17) return {};
  std::swap(ports.source, ports.destination);
  if (random.below(8) == 0) ports.source = {static_cast<uint16_t>(ports.source.number ^ 1U)};
  if (ip.protocol == 6)
    net::header_at<net::TcpHeader>(frame.data() + link_bytes + sizeof ip).flags =
        later_flags[random.below(std::size(later_flags))];
  return frame;
}

// What a host sends after this frame from the same port: to the same remote or another.
Bytes after(Bytes frame, Side side, RandomFrames& random) {
  size_t at = sizeof(net::EthernetHeader) + (frame.size() > 12 && frame[12] == 0x81 ? sizeof(net::VlanTag) : 0);
  if (side == Side::access) {
    if (frame.size() < at + sizeof(net::Ipv6Header)) return frame;
    const auto& outer = net::header_at<net::Ipv6Header>(frame.data() + at);
    if (outer.next_header != static_cast<uint8_t>(net::Protocol::ipv4)) return frame;
    at += sizeof outer;
  }
  if (frame.size() < at + sizeof(net::Ipv4Header) + sizeof(net::TcpHeader)) return frame;
  auto& ip = net::header_at<net::Ipv4Header>(frame.data() + at);
  if (ip.version() != 4 || ip.header_bytes() != sizeof ip || ip.is_fragment()) return frame;
  if (random.below(4) == 0) ip.destination = {uint32_t{ip.destination.bits} ^ 1U};
  set_checksum(ip);
  if (ip.protocol == static_cast<uint8_t>(net::Protocol::tcp))
    net::header_at<net::TcpHeader>(frame.data() + at + sizeof ip).flags =
        later_flags[random.below(std::size(later_flags))];
  return frame;
}

// Two ways give packets to one remote their identifications in different order, each new one all the same. The header's
// checksum, which is right (checksum_law.h), goes with it.
Bytes without_identification(Bytes frame) {
  size_t at = 12;
  if (frame[at] == 0x81) at += 4;
  const bool ipv6 = frame[at] == 0x86;
  at += 2;
  if (ipv6) {
    uint8_t next = frame[at + offsetof(net::Ipv6Header, next_header)];
    for (at += sizeof(net::Ipv6Header); next == 60 || next == 44; at += 8) {
      if (next == 44) std::fill_n(frame.begin() + static_cast<std::ptrdiff_t>(at) + 4, 4, uint8_t{0});
      if (next == 44 && (frame[at + 2] != 0 || frame[at + 3] > 1)) return frame;  // shows no IPv4 header
      next = frame[at];
    }
  }
  if (frame.size() < at + sizeof(net::Ipv4Header)) return frame;
  auto& ip = net::header_at<net::Ipv4Header>(frame.data() + at);
  if (!ip.is_atomic()) ip.identification = ip.checksum = uint16_t{0};
  return frame;
}

std::string text_of(const Outcome& outcome) {
  std::string out = std::to_string(static_cast<int>(outcome.fate)) + " ";
  if (outcome.fate == Fate::send) out += pipeline::to_text(outcome.side);
  if (outcome.fate == Fate::drop)
    return out + std::string(nat::verdict_texts[static_cast<size_t>(outcome.context.verdict)].name);
  if (outcome.fate == Fate::punt) out += pipeline::punt_texts[static_cast<size_t>(outcome.context.punt)].name;
  return out + " " + hex(outcome.fate == Fate::send ? without_identification(outcome.bytes) : outcome.bytes);
}

std::string text_of(const std::map<std::string, uint64_t>& counters) {
  std::string out;
  for (const auto& [name, count] : counters) out += name + " " + std::to_string(count) + "\n";
  return out;
}

std::string texts_of(const std::vector<Outcome>& outcomes) {
  std::string out;
  for (const auto& outcome : outcomes) out += text_of(outcome) + "\n";
  return out;
}

// One of our softwires for all of a burst: a subscriber who uses two within one is served as two B4s that fight.
void send_to(uint8_t softwire, Bytes& frame) {
  const size_t at = sizeof(net::EthernetHeader) + (frame.size() > 12 && frame[12] == 0x81 ? sizeof(net::VlanTag) : 0);
  if (frame.size() < at + sizeof(net::Ipv6Header)) return;
  uint8_t& last = net::header_at<net::Ipv6Header>(frame.data() + at).destination.bytes[15];
  if (last == 1 || last == 2) last = softwire;
}

// Where two B4s of one prefix fight within a burst, it is chance which of them is served: not compared.
bool has_another_b4(const Bytes& frame) {
  constexpr size_t interface_id = sizeof(net::EthernetHeader) + offsetof(net::Ipv6Header, source) + 7;
  static constexpr std::array<uint8_t, 9> usual{0, 0, 0, 0, 0, 0, 0, 0, 1};
  const size_t at = interface_id + (frame.size() > 12 && frame[12] == 0x81 ? sizeof(net::VlanTag) : 0);
  return frame.size() >= at + usual.size() &&
         !std::equal(usual.begin(), usual.end(), frame.begin() + static_cast<std::ptrdiff_t>(at));
}

class FastPath : public testing::TestWithParam<std::tuple<size_t, unsigned>> {};

TEST_P(FastPath, decides_as_the_stages_do) {
  const auto& [number, workers] = GetParam();
  Settings settings = settings_for(variants[number], workers);
  Network fast(settings);
  settings.fast_path = false;
  Network slow(settings);
  RandomFrames random(4711);
  std::vector<Bytes> answers;
  std::array<std::vector<Bytes>, pipeline::side_count> history;  // by Side, of hosts: what they have sent
  uint32_t now_s = start_s;
  for (size_t count = 0; count < frames_max / workers;) {
    Side side = std::array{Side::access, Side::access, Side::internet, Side::inside}[random.below(4)];
    if (!answers.empty() && random.below(2) == 0) side = Side::internet;
    std::vector<Bytes> burst;
    const auto softwire = static_cast<uint8_t>(random.below(4) == 0 ? 2 : 1);
    for (uint32_t i = random.below(pipeline::burst_max) + 1; i > 0; --i) {
      if (side == Side::internet && !answers.empty() && random.below(8) != 0)
        burst.push_back(answers[random.below(static_cast<uint32_t>(answers.size()))]);
      else if (auto& sent = history[static_cast<size_t>(side)]; !sent.empty() && random.below(2) == 0)
        burst.push_back(after(sent[random.below(static_cast<uint32_t>(sent.size()))], side, random));
      else
        burst.push_back(
            tagged(random.below(2) == 0 ? random.sound(side) : random.next(side), settings.snapshot.link(side).vlan));
      if (auto& sent = history[static_cast<size_t>(side)]; side != Side::internet && sent.size() < 400)
        sent.push_back(burst.back());
      else if (side != Side::internet)
        sent[random.below(400)] = burst.back();
      if (side == Side::access) send_to(softwire, burst.back());
      if (random.below(32) == 0) random.damage(burst.back());
      if (side == Side::access && has_another_b4(burst.back())) burst.pop_back();
    }
    if (burst.empty()) continue;
    count += burst.size();
    const unsigned worker = random.below(workers);
    const auto outcomes = fast.deliver(worker, side, burst, now_s);
    ASSERT_EQ(texts_of(outcomes), texts_of(slow.deliver(worker, side, burst, now_s))) << "after " << count;
    ASSERT_EQ(text_of(fast.counters()), text_of(slow.counters())) << "after " << count;
    for (const auto& outcome : outcomes)
      if (Bytes answer = answer_to(outcome, random); !answer.empty()) answers.push_back(std::move(answer));
    if (answers.size() > 400) answers.erase(answers.begin(), answers.begin() + 200);
    if (random.below(8) == 0) now_s += random.below(40);
    ASSERT_EQ(texts_of(fast.expire(now_s)), texts_of(slow.expire(now_s))) << "after " << count;
    ASSERT_EQ(fast.mappings(), slow.mappings());
    ASSERT_EQ(fast.sessions(), slow.sessions());
  }
  EXPECT_EQ(fast.contradictions(), "");
  EXPECT_EQ(fast.records(), slow.records());
  if (settings.access_gateway_known) {
    EXPECT_GT(fast.forwarded(), frames_max / workers / 20);
  }
  EXPECT_EQ(slow.forwarded(), 0U);
}

INSTANTIATE_TEST_SUITE_P(packets, FastPath,
                         testing::Combine(testing::Range(size_t{0}, std::size(variants)), testing::Values(1U, 3U)),
                         [](const auto& test) {
                           return std::string(variants[std::get<0>(test.param)].name) + "_" +
                                  std::to_string(std::get<1>(test.param)) + "_workers";
                         });

}  // namespace
}  // namespace portolan::packets
