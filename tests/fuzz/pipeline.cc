// libFuzzer entry: a story of softwires, NAT44, the internet, time, PCP and reloads, told by the input: first how the
// sides are wired (devices, VLANs), then step by step a frame, a command, some seconds or another configuration. A
// frame is a packet of the scripts' language (tests/packets/packet_text.h), so that most go somewhere; some are
// damaged. Two workers, new for each input. At the end the counters' law, the checksums and the audit must hold, and in
// time nothing may be left.
#include <array>
#include <cstring>
#include <optional>
#include <stdexcept>

#include "dataplane/net/text.h"
#include "dataplane/net/wire.h"
#include "tests/fuzz/input.h"
#include "tests/packets/random_frames.h"

namespace {

using namespace portolan;
using fuzz::Input;
using fuzz::require;
using packets::Bytes;
using pipeline::Side;
using Texts = const char* const[];

constexpr uint32_t start_s = 100'000;
constexpr size_t steps_max = 200;

constexpr uint32_t pauses_s[] = {1, 10, 61, 121, 241, 301, 7441, 90'000};
constexpr Texts b4s = {"2001:db8:b:100::1", "2001:db8:b:100::2", "2001:db8:b:200::1", "2001:db8:b:300::1"};
constexpr Texts hosts = {"10.0.0.2", "10.0.0.3", "192.0.0.2"};
constexpr Texts remotes = {"198.51.100.9", "203.0.113.1", "10.0.0.2"};
constexpr Texts ports = {":5000", ":5001", ":5002", ":53", ":80", ":2000"};
constexpr Texts tcp_flags = {"S", "SA", "A", "FA", "R", "F", "PA", "SF"};
constexpr Texts sizes = {"0", "1", "30", "1400", "1460", "1472", "3000"};
constexpr Texts outer_options = {"", " dstopt", " tc 3", " frag 0-24 7", " frag 24-48 7", " frag 0-1448 8", " tail 5"};
constexpr Texts inner_options = {"",          "",         " df",     " ttl 1", " nocsum",       " badcsum",
                                 " mss 1460", " frag 0+", " frag 1", " id 7",  " opts 01010100"};

constexpr Texts customers = {"100.64.1.2", "100.64.1.3", "100.64.2.2", "100.64.0.2", "10.0.0.2"};
constexpr Texts tags = {"", "", "", "vlan 0x6000 ", "vlan 7 ", "vlan 101 ", "vlan 102 "};

// How the sides are told apart: by device, by VLAN, or by both.
packets::Settings settings(uint8_t wiring) {
  auto settings = packets::default_settings();
  auto& snapshot = settings.snapshot;
  if ((wiring & 1) != 0) snapshot.inside.prefixes = {*net::parse_ipv4_prefix("100.64.0.0/16")};
  if ((wiring & 2) != 0) snapshot.access.vlan = 100, snapshot.internet.vlan = 101, snapshot.inside.vlan = 102;
  if ((wiring & 6) == 6) snapshot.devices = {0, 0, 0};
  if ((wiring & 8) != 0) snapshot.inside.subscriber_prefix_length = 24;
  settings.workers = 2;
  settings.ports = {2000, 2255};
  settings.block_ports = 64;
  settings.snapshot.policy.limits.blocks_per_subscriber_max = 2;
  settings.shard.mappings_max = 60;
  settings.shard.subscribers_max = 6;
  settings.buffers_max = 500;
  return settings;
}

class Story {
 public:
  explicit Story(Input input) : input_(input), settings_(settings(input_.octet())), network_(settings_) {}

  void tell() {
    for (size_t step = 0; step < steps_max && !input_.empty(); ++step) take_step();
    deliver();
    require(network_.contradictions());
    auto last = network_.settings().snapshot;
    last.policy.statics = {};
    network_.use(last);
    for (int i = 0; i < 2; ++i) pass(100'000);  // the mappings, then their quarantine
    require(network_.contradictions());
    if (!network_.empty()) require("something is left");
  }

 private:
  void take_step() {
    switch (input_.below(12)) {
      case 8:
      case 9:
        return add(Side::inside, input_.one_of(tags), from_customer());
      case 10:
        return add(Side::inside, "", std::string(input_.one_of(customers)) + " > 198.51.100.9 icmp " + error());
      case 11:
        return reload();
      case 0:
        return pass(input_.one_of(pauses_s));
      case 1:
        return ask();
      case 2:
        return add(Side::internet, "", from_internet());
      case 3:
        return add(Side::internet, "", std::string("203.0.113.1 > ") + outside_address() + " icmp " + error());
      case 4:
        return add(Side::access, softwire(), std::string(input_.one_of(hosts)) + " > 198.51.100.9 icmp " + error());
      default:
        return add(Side::access, softwire(), from_b4());
    }
  }

  // Other rules, another pool, other static mappings; each as the configuration's checks let it pass.
  void reload() {
    deliver();
    auto next = network_.settings().snapshot;
    auto& policy = next.policy;
    const uint8_t what = input_.octet();
    policy.filtering = static_cast<nat::Filtering>(what % 3);
    policy.limits.sessions_max = (what & 4) != 0 ? 3 : 0;
    policy.limits.mappings_max = (what & 8) != 0 ? 5 : 0;
    next.hairpinning = (what & 16) == 0;
    next.answer_unsolicited_syns = (what & 32) != 0;
    policy.timeouts.quarantine_s = (what & 64) != 0 ? 0 : 120;
    policy.records_required = (what & 128) != 0;
    if (input_.below(2) == 0) {
      std::vector<net::Ipv4Prefix> prefixes = {*net::parse_ipv4_prefix("192.0.2.0/31")}, draining;
      const uint8_t other = input_.below(3);
      if (other > 0) prefixes.push_back(*net::parse_ipv4_prefix("192.0.2.2/31"));
      if (other > 1) draining.push_back(prefixes.back());
      policy.pool = policy.pool.successor(prefixes, draining);
    }
    policy.statics = statics();
    network_.use(next);
    network_.expire(now_s_);
  }
  // Each subscriber one in a block of his own.
  nat::StaticMappings statics() {
    std::vector<nat::StaticMapping> rows;
    const uint8_t which = input_.octet();
    const auto add_row = [&](const net::Ipv6& subscriber, const net::Ipv6& b4, net::Ipv4 inside, uint32_t block) {
      const uint8_t at = input_.octet();
      rows.push_back({{subscriber, inside, {static_cast<uint16_t>(5000 + at % 3)}, net::Protocol::udp, 0},
                      b4,
                      {{0xc0000200 + (at >> 4) % 2}, {static_cast<uint16_t>(2000 + 64 * block + at % 64)}}});
    };
    const net::Ipv6 home = *net::parse_ipv6(b4s[0]), other = *net::parse_ipv6(b4s[2]);
    if ((which & 1) != 0) add_row(net::masked(home, 56), home, *net::parse_ipv4(hosts[0]), 0);
    if ((which & 2) != 0) add_row(net::masked(other, 56), {}, *net::parse_ipv4(hosts[1]), 1);
    const net::Ipv6 customer = net::mapped(*net::parse_ipv4(customers[0]));
    const unsigned length = 96U + settings_.snapshot.inside.subscriber_prefix_length;
    if ((which & 4) != 0 && settings_.snapshot.serves(Side::inside))
      add_row(net::masked(customer, length), customer, net::unmapped(customer), 2);
    return nat::StaticMappings(std::move(rows));
  }

  void pass(uint32_t seconds) {
    deliver();
    now_s_ += seconds;
    network_.expire(now_s_);
  }

  void ask() {
    deliver();
    nat::Command command;
    command.verb = static_cast<nat::Command::Verb>(input_.below(4));
    command.b4 = *net::parse_ipv6(input_.one_of(b4s));
    command.exact = input_.below(4) == 0;
    const net::Protocol protocols[] = {net::Protocol::udp, net::Protocol::tcp, net::Protocol::icmp, net::Protocol{132}};
    const auto inside = *net::parse_endpoint(input_.one_of(hosts) + std::string(input_.one_of(ports)));
    command.key = {net::masked(command.b4, 56), inside.address, inside.port, input_.one_of(protocols), 0};
    if (input_.below(2) == 0) command.suggested = {{0xc0000200 + input_.below(5)}, {uint16_t(1990 + input_.octet())}};
    command.lifetime_s = input_.one_of(pauses_s);
    network_.execute(command, now_s_);
  }

  std::string softwire() {
    std::string text = input_.one_of(b4s);
    text += input_.below(4) == 0 ? " > 2001:db8:a::2" : " > 2001:db8:a::1";
    return text + input_.one_of(outer_options) + " / ";
  }
  // The endpoints that have been seen outside come up again and again; sometimes it is any other.
  std::string outside_endpoint() {
    const uint8_t choice = input_.octet();
    if (choice < outside_.size()) return net::to_text(outside_[choice]);
    return "192.0.2." + std::to_string(choice % 5) + ":" + std::to_string(1990 + input_.octet());
  }
  std::string outside_address() {
    const auto endpoint = outside_endpoint();
    return endpoint.substr(0, endpoint.find(':'));
  }
  std::string from_b4() {
    const bool hairpin = input_.below(4) == 0;
    const std::string source = input_.one_of(hosts), port = input_.one_of(ports);
    const std::string remote = hairpin ? outside_endpoint() : input_.one_of(remotes) + std::string(":53");
    return transport(source + port, remote, port.substr(1));
  }
  std::string from_customer() {
    const std::string source = input_.one_of(customers), port = input_.one_of(ports);
    const bool hairpin = input_.below(4) == 0;
    const std::string remote = hairpin ? outside_endpoint() : input_.one_of(remotes) + std::string(":53");
    return transport(source + port, remote, port.substr(1));
  }
  std::string from_internet() {
    const auto endpoint = outside_endpoint();
    return transport(input_.one_of(remotes) + std::string(":53"), endpoint, endpoint.substr(endpoint.find(':') + 1));
  }
  std::string transport(const std::string& source, const std::string& destination, const std::string& identifier) {
    const auto address = [](const std::string& endpoint) { return endpoint.substr(0, endpoint.find(':')); };
    const std::string size = input_.one_of(sizes);
    switch (input_.below(5)) {
      case 0:
      case 1:
        return source + " > " + destination + " udp " + size + input_.one_of(inner_options);
      case 2:
      case 3:
        return source + " > " + destination + " tcp " + input_.one_of(tcp_flags) + " " + size +
               input_.one_of(inner_options);
      default:
        return address(source) + " > " + address(destination) +
               (input_.below(2) == 0 ? " icmp echo " : " icmp reply ") + identifier + " 1 " + size +
               input_.one_of(inner_options);
    }
  }
  std::string error() {
    constexpr Texts kinds = {"3 3", "3 4 mtu 1400", "11 0", "12 0", "5 1", "3 1 extended", "3 1 quote 28"};
    const std::string kind = input_.one_of(kinds);
    const bool inside_is_source = input_.below(2) == 0;
    const std::string host = input_.one_of(hosts) + std::string(input_.one_of(ports)), outside = outside_endpoint();
    const std::string one = inside_is_source ? outside : "198.51.100.9:53";
    return kind + " about " + transport(one, inside_is_source ? "198.51.100.9:53" : host, "5000");
  }

  // One frame, perhaps damaged, perhaps in one burst with the next.
  void add(Side side, const std::string& outer, const std::string& inner) {
    packets::Variables none;
    Bytes frame;
    try {
      frame = packets::incoming(packets::split(outer + inner), side, none);
    } catch (const std::exception&) {
      return;  // no such packet
    }
    if (const uint16_t vlan = settings_.snapshot.link(side).vlan; vlan != 0 && outer.find("vlan") == outer.npos) {
      const uint8_t tag[] = {0x81, 0, static_cast<uint8_t>(vlan >> 8), static_cast<uint8_t>(vlan)};
      frame.insert(frame.begin() + 12, std::begin(tag), std::end(tag));
    }
    const uint8_t manner = input_.octet();
    for (int i = manner >> 6; i > 0; --i) {
      const size_t at = input_.octet();
      if (at < frame.size()) frame[at] = input_.octet();
    }
    if ((manner & 0x30) == 0x30) frame.resize(frame.size() - std::min<size_t>(frame.size(), input_.octet()));
    if (side != side_ || waiting_.size() == pipeline::burst_max) deliver();
    side_ = side;
    waiting_.push_back(std::move(frame));
    if ((manner & 1) == 0) deliver();
  }
  void deliver() {
    if (waiting_.empty()) return;
    for (const auto& outcome : network_.deliver(entry_++ % settings_.workers, side_, waiting_, now_s_)) {
      require(fault_of(untagged(outcome), settings_));
      if (outcome.fate == pipeline::Fate::send && outcome.side == Side::internet) remember(untagged(outcome).bytes);
    }
    waiting_.clear();
  }
  // What leaves has its side's tag, and no other.
  packets::Outcome untagged(packets::Outcome outcome) {
    const uint16_t vlan = settings_.snapshot.link(outcome.side).vlan;
    if (outcome.fate != pipeline::Fate::send || vlan == 0) return outcome;
    auto& frame = outcome.bytes;
    constexpr size_t tag_at = 12;
    const bool is_tagged = frame.size() > tag_at + 4 && frame[tag_at] == 0x81 && frame[tag_at + 1] == 0 &&
                           frame[tag_at + 2] == vlan >> 8 && frame[tag_at + 3] == (vlan & 0xff);
    if (!is_tagged) require("a frame without its side's tag");
    frame.erase(frame.begin() + tag_at, frame.begin() + tag_at + 4);
    return outcome;
  }
  void remember(const Bytes& frame) {
    const auto& ip = net::header_at<net::Ipv4Header>(frame.data() + sizeof(net::EthernetHeader));
    const size_t start = sizeof(net::EthernetHeader) + ip.header_bytes();
    const size_t at = ip.protocol == static_cast<uint8_t>(net::Protocol::icmp) ? start + 4 : start;
    if (frame.size() < at + 2) return;
    const net::Endpoint seen{ip.source, {static_cast<uint16_t>(frame[at] << 8 | frame[at + 1])}};
    if (outside_.size() < 64 && std::ranges::find(outside_, seen) == outside_.end()) outside_.push_back(seen);
  }

  Input input_;
  packets::Settings settings_;
  packets::Network network_;
  uint32_t now_s_ = start_s;
  unsigned entry_ = 0;
  Side side_ = Side::access;
  std::vector<Bytes> waiting_;
  std::vector<net::Endpoint> outside_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Story(Input(data, size)).tell();
  return 0;
}
