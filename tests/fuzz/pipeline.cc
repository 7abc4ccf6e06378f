// libFuzzer entry: a story of softwires, the internet, time and PCP, told by the input: each step is a frame, a command
// or some seconds. A frame is a packet of the scripts' language (tests/packets/packet_text.h), so that most go
// somewhere; some are damaged. Two workers, new for each input. At the end the counters' law, the checksums and the
// audit must hold, and in time nothing may be left.
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

packets::Settings settings() {
  auto settings = packets::default_settings();
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
  explicit Story(Input input) : input_(input), settings_(settings()), network_(settings_) {}

  void tell() {
    for (size_t step = 0; step < steps_max && !input_.empty(); ++step) take_step();
    deliver();
    require(network_.contradictions());
    for (int i = 0; i < 2; ++i) pass(100'000);  // the mappings, then their quarantine
    require(network_.contradictions());
    if (!network_.empty()) require("something is left");
  }

 private:
  void take_step() {
    switch (input_.below(8)) {
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
      require(fault_of(outcome, settings_));
      if (outcome.fate == pipeline::Fate::send && outcome.side == Side::internet) remember(outcome.bytes);
    }
    waiting_.clear();
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
