// Runs every tests/packets/*.pkt, one GoogleTest each, with 1, 2, 3 and 8 workers. A script's comments say what it
// shows and which row of docs/conformance.md that is. Its lines (packet_text.h has PACKET):
//
//   config KEY VALUE…; KEY VALUE…      before anything else; `setters` below has the keys
//   +SECONDS b4|net|in < PACKET        later by SECONDS, one comes in on a side; << : in one burst with the next
//   +SECONDS b4|net|in > PACKET        exactly this must have left
//   drop VERDICT / punt REASON [mtu N] [pointer N] [code N] [about IPV4] / nothing
//   counters NAME N…                   all others must be 0
//   check $x in A-B | $x == $y | $x != $y | mappings N | sessions N
//   change KEY VALUE…; KEY VALUE…      the same keys while it runs, those of the policy
//   pcp B4|IPV4 ADDRESS:PORT udp|tcp LIFETIME [$a:$p | A:P, the one asked for]
//
// Whatever leaves must be expected before the next comes in. At the end the counters' law and the audit must hold.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

#include "dataplane/net/text.h"
#include "tests/packets/network.h"

namespace portolan::packets {
namespace {

using pipeline::Fate;
using pipeline::Side;

constexpr uint32_t start_s = 100'000;

struct Line {
  int number;
  Words words;
};

std::vector<Line> read_script(const std::string& path) {
  std::ifstream in(path);
  std::vector<Line> lines;
  std::string text;
  for (int number = 1; std::getline(in, text); ++number)
    if (auto words = split(text.substr(0, text.find('#'))); !words.empty()) lines.push_back({number, std::move(words)});
  return lines;
}

// One row per setting a script may change.
using Setter = void (*)(Settings&, const Words&);
template <class T>
void set(T& field, const Words& words) {
  field = static_cast<T>(number(words.at(1)));
}
const std::map<std::string, Setter> setters{
    {"pool",
     [](Settings& s, const Words& w) {
       s.pool_prefixes.clear();
       for (size_t i = 1; i < w.size(); ++i) s.pool_prefixes.push_back(net::parse_ipv4_prefix(w[i]).value());
     }},
    {"ports",
     [](Settings& s, const Words& w) {
       const auto dash = w.at(1).find('-');
       s.ports = {static_cast<uint16_t>(number(w[1].substr(0, dash))),
                  static_cast<uint16_t>(number(w[1].substr(dash + 1)))};
     }},
    {"allowed",
     [](Settings& s, const Words& w) {
       s.snapshot.softwire.allowed_prefixes = {net::parse_ipv6_prefix(w.at(1)).value()};
     }},
    {"gateway",
     [](Settings& s, const Words& w) {
       (w.at(1) == "access"     ? s.access_gateway_known
        : w.at(1) == "internet" ? s.internet_gateway_known
                                : s.inside_gateway_known) = false;
     }},
    {"vlan",  // of the sides, in their order
     [](Settings& s, const Words& w) {
       s.snapshot.access.vlan = static_cast<uint16_t>(number(w.at(1)));
       s.snapshot.internet.vlan = static_cast<uint16_t>(number(w.at(2)));
       s.snapshot.inside.vlan = static_cast<uint16_t>(number(w.at(3)));
     }},
    {"devices",  // likewise
     [](Settings& s, const Words& w) {
       for (size_t i = 0; i < pipeline::side_count; ++i)
         s.snapshot.devices[i] = static_cast<uint8_t>(number(w.at(i + 1)));
     }},
    {"no-softwires", [](Settings& s, const Words&) { s.snapshot.softwire.aftr_addresses.clear(); }},
    {"inside",
     [](Settings& s, const Words& w) {
       for (size_t i = 1; i < w.size(); ++i) s.snapshot.inside.prefixes.push_back(net::parse_ipv4_prefix(w[i]).value());
     }},
    {"inside-length", [](Settings& s, const Words& w) { set(s.snapshot.inside.subscriber_prefix_length, w); }},
    {"inside-mtu", [](Settings& s, const Words& w) { set(s.snapshot.inside.mtu_bytes, w); }},
    {"inside-mss", [](Settings& s, const Words& w) { set(s.snapshot.inside.tcp_mss_max, w); }},
    {"hairpinning", [](Settings& s, const Words& w) { s.snapshot.hairpinning = w.at(1) == "on"; }},
    {"block", [](Settings& s, const Words& w) { set(s.block_ports, w); }},
    {"blocks", [](Settings& s, const Words& w) { set(s.snapshot.policy.limits.blocks_per_subscriber_max, w); }},
    {"mappings", [](Settings& s, const Words& w) { set(s.shard.mappings_max, w); }},
    {"subscribers", [](Settings& s, const Words& w) { set(s.shard.subscribers_max, w); }},
    {"sessions", [](Settings& s, const Words& w) { set(s.shard.sessions_max, w); }},
    {"filtering",
     [](Settings& s, const Words& w) {
       const bool address = w.at(1) == "address-dependent", port = w.at(1) == "address-and-port-dependent";
       s.snapshot.policy.filtering = address ? nat::Filtering::address_dependent
                                     : port  ? nat::Filtering::address_and_port_dependent
                                             : nat::Filtering::endpoint_independent;
     }},
    {"udp-inbound-refresh",
     [](Settings& s, const Words& w) { s.snapshot.policy.timeouts.udp_inbound_refresh = w.at(1) == "on"; }},
    {"tcp-opening", [](Settings& s, const Words& w) { set(s.snapshot.policy.timeouts.tcp_opening_s, w); }},
    {"subscriber-mappings", [](Settings& s, const Words& w) { set(s.snapshot.policy.limits.mappings_max, w); }},
    {"subscriber-sessions", [](Settings& s, const Words& w) { set(s.snapshot.policy.limits.sessions_max, w); }},
    {"mapping-sessions",
     [](Settings& s, const Words& w) { set(s.snapshot.policy.limits.sessions_per_mapping_max, w); }},
    {"inbound-sessions", [](Settings& s, const Words& w) { set(s.snapshot.policy.limits.inbound_sessions_max, w); }},
    {"mappings-per-second", [](Settings& s, const Words& w) { set(s.snapshot.policy.limits.mappings_per_second, w); }},
    {"b4-change-interval", [](Settings& s, const Words& w) { set(s.snapshot.policy.b4_change_interval_s, w); }},
    {"quarantine", [](Settings& s, const Words& w) { set(s.snapshot.policy.timeouts.quarantine_s, w); }},
    {"mtu", [](Settings& s, const Words& w) { set(s.snapshot.softwire.mtu_bytes, w); }},
    {"internet-mtu", [](Settings& s, const Words& w) { set(s.snapshot.internet.mtu_bytes, w); }},
    {"mss", [](Settings& s, const Words& w) { set(s.snapshot.softwire.tcp_mss_max, w); }},
    {"hop-limit", [](Settings& s, const Words& w) { set(s.snapshot.softwire.hop_limit, w); }},
    {"df-policy",
     [](Settings& s, const Words& w) {
       s.snapshot.softwire.df_policy =
           w.at(1) == "icmp" ? pipeline::DfPolicy::icmp : pipeline::DfPolicy::outer_fragment;
     }},
    {"limit", [](Settings& s, const Words& w) { set(s.snapshot.softwire.encapsulation_limit.emplace(), w); }},
    {"pipe", [](Settings& s, const Words& w) { set(s.snapshot.softwire.pipe_dscp.emplace(), w); }},
    {"remark", [](Settings& s, const Words& w) { set(s.snapshot.internet.remark_dscp.emplace(), w); }},
    {"pass",  // B4 INSIDE DESTINATION/LENGTH PORT PROTOCOL, both 0 for any
     [](Settings& s, const Words& w) {
       s.snapshot.pass_through.push_back({net::parse_ipv6(w.at(1)).value(),
                                          net::parse_ipv4(w.at(2)).value(),
                                          net::parse_ipv4_prefix(w.at(3)).value(),
                                          {static_cast<uint16_t>(number(w.at(4)))},
                                          net::Protocol{static_cast<uint8_t>(number(w.at(5)))}});
     }},
    {"answer-syns", [](Settings& s, const Words& w) { s.snapshot.answer_unsolicited_syns = w.at(1) == "on"; }},
    {"answer-echo", [](Settings& s, const Words& w) { s.snapshot.pool_answers_echo = w.at(1) == "on"; }},
    {"budget",
     [](Settings& s, const Words& w) {
       set(s.snapshot.opened_per_burst_max, w);
       s.snapshot.budgeted_burst = 1;
       s.snapshot.full_bursts_free = 0;
     }},
    {"fragments", [](Settings& s, const Words& w) { set(s.fragments_max, w); }},
    {"buffers", [](Settings& s, const Words& w) { set(s.buffers_max, w); }},
    {"workers", [](Settings& s, const Words& w) { set(s.workers, w); }},
};

// "config KEY VALUE…; KEY VALUE…"
void configure(Settings& settings, const Words& words) {
  std::string all;
  for (size_t i = 1; i < words.size(); ++i) all += words[i] + ' ';
  std::istringstream parts(all);
  for (std::string part; std::getline(parts, part, ';');)
    if (const Words row = split(part); !row.empty()) setters.at(row[0])(settings, row);
}

Side side_of(const std::string& word) {
  static const std::map<std::string, Side> words{{"b4", Side::access}, {"net", Side::internet}, {"in", Side::inside}};
  return words.at(word);
}

Bytes without_tag(Bytes frame) {
  constexpr std::ptrdiff_t tag = 12, after = 16;
  if (frame.size() > 16 && frame[12] == 0x81 && frame[13] == 0) frame.erase(frame.begin() + tag, frame.begin() + after);
  return frame;
}

const char* name_of(Fate fate) {
  constexpr const char* names[] = {"undecided", "sent", "punted", "handed over", "dropped", "kept"};
  return names[static_cast<size_t>(fate)];
}

std::string describe(const Outcome& outcome) {
  std::string out = name_of(outcome.fate);
  if (outcome.fate == Fate::drop)
    out += " " + std::string(nat::verdict_texts[static_cast<size_t>(outcome.context.verdict)].name);
  if (outcome.fate == Fate::punt)
    out += " " + std::string(pipeline::punt_texts[static_cast<size_t>(outcome.context.punt)].name);
  return out + " " + hex(outcome.bytes);
}

class Run {
 public:
  Run(const Settings& settings) : settings_(settings), network_(settings), workers_(settings.workers) {}

  void line(const Words& words) {
    if (words[0] == "config") return;
    if (words[0] == "drop") return expect_drop(words.at(1));
    if (words[0] == "punt") return expect_punt(words);
    if (words[0] == "nothing") return expect_nothing();
    if (words[0] == "counters") return expect_counters(words);
    if (words[0] == "check") return check(words);
    if (words[0] == "change") return change(words);
    if (words[0] == "pcp") return pcp(words);
    if (words[0][0] != '+') throw std::runtime_error("no such line: " + words[0]);
    advance(number(words[0].substr(1)));
    if (words.size() == 1) return;
    const Side side = side_of(words.at(1));
    const Words packet(words.begin() + 3, words.end());
    if (words[2] == ">") return expect_sent(side, packet);
    waiting_.push_back(incoming(packet, side, variables_));
    if (words[2] == "<<") return;  // in one burst with the next
    expect_nothing();
    sent_in_.insert(sent_in_.end(), waiting_.begin(), waiting_.end());
    for (auto& outcome : network_.deliver(entry_++ % workers_, side, waiting_, now_s_))
      outcomes_.push_back(std::move(outcome));
    waiting_.clear();
  }

  void end() {
    expect_nothing();
    EXPECT_EQ(network_.contradictions(), "");
  }

 private:
  void advance(uint32_t seconds) {
    if (seconds == 0) return;
    now_s_ += seconds;
    expect_nothing();
    outcomes_ = network_.expire(now_s_);
  }

  Outcome next() {
    if (outcomes_.empty()) throw std::runtime_error("no packet is left");
    Outcome outcome = std::move(outcomes_.front());
    outcomes_.erase(outcomes_.begin());
    return outcome;
  }
  void expect_nothing() {
    for (const auto& outcome : outcomes_) ADD_FAILURE() << "not expected: " << describe(outcome);
    outcomes_.clear();
  }
  void expect_sent(Side side, const Words& packet) {
    const Outcome outcome = next();
    ASSERT_EQ(outcome.fate, Fate::send) << describe(outcome);
    ASSERT_EQ(outcome.side, side);
    EXPECT_EQ(hex(outcome.bytes), hex(outgoing(packet, side, variables_, outcome.bytes)));
  }
  void expect_drop(const std::string& verdict) {
    const Outcome outcome = next();
    ASSERT_EQ(outcome.fate, Fate::drop) << describe(outcome);
    EXPECT_EQ(nat::verdict_texts[static_cast<size_t>(outcome.context.verdict)].name, verdict);
  }
  // "punt REASON [mtu N] [pointer N] [code N]": what the control thread answers must still be as it came in but for a
  // VLAN tag, or the packet it is `about`, perhaps cut short.
  void expect_punt(const Words& words) {
    const Outcome outcome = next();
    ASSERT_EQ(outcome.fate, Fate::punt) << describe(outcome);
    const auto& context = outcome.context;
    EXPECT_EQ(pipeline::punt_texts[static_cast<size_t>(context.punt)].name, words.at(1));
    std::map<std::string, uint32_t> said;
    const auto about = std::ranges::find(words, "about");
    for (auto word = words.begin() + 2; word < about && word + 1 < words.end(); word += 2)
      said[*word] = number(word[1]);
    EXPECT_EQ(context.mtu, said["mtu"]);
    EXPECT_EQ(context.pointer, said["pointer"]);
    EXPECT_EQ(context.code, said["code"]);
    const std::string bytes = hex(outcome.bytes);
    if (about != words.end()) {
      EXPECT_TRUE(hex(quoted({about + 1, words.end()}, variables_)).starts_with(bytes)) << bytes;
      return;
    }
    EXPECT_TRUE(std::ranges::any_of(sent_in_, [&](const Bytes& in) {
      return hex(without_tag(in)).find(bytes) != bytes.npos;
    })) << bytes;
  }
  void expect_counters(const Words& words) {
    std::map<std::string, uint64_t> expected;
    for (size_t i = 1; i + 1 < words.size(); i += 2) expected[words[i]] = number(words[i + 1]);
    EXPECT_EQ(network_.counters(), expected);
  }
  [[nodiscard]] uint32_t value(const std::string& word) const {
    return word[0] == '$' ? variables_.at(word) : number(word);
  }
  // "check $p in LOW-HIGH", "check $p == $q", "check $p != $q", "check mappings N"
  void check(const Words& words) {
    if (words.at(1) == "mappings") {
      EXPECT_EQ(network_.mappings(), number(words.at(2)));
      return;
    }
    if (words.at(1) == "sessions") {
      EXPECT_EQ(network_.sessions(), number(words.at(2)));
      return;
    }
    const uint32_t left = value(words.at(1));
    const auto& right = words.at(3);
    const uint32_t low = value(right.substr(0, right.find('-'))), high = value(right.substr(right.find('-') + 1));
    const bool holds = words[2] == "==" ? left == low : words[2] == "!=" ? left != low : left >= low && left <= high;
    EXPECT_TRUE(holds) << words[1] << " is " << left;
  }
  void change(const Words& words) {
    Settings settings = network_.settings();
    configure(settings, words);
    network_.use(settings.snapshot);
  }
  // "pcp B4 A:PORT PROTOCOL LIFETIME $a:$p [from PREFIX]": an explicit mapping, as the PCP server asks for it.
  void pcp(const Words& words) {
    nat::Command command;
    command.verb = number(words.at(4)) > 0 ? nat::Command::Verb::open_explicit : nat::Command::Verb::end_explicit;
    const auto plain = net::parse_ipv4(words.at(1));  // NAT44
    command.b4 = plain ? subscriber_of(Side::inside, net::mapped(*plain)) : net::parse_ipv6(words.at(1)).value();
    const auto inside = net::parse_endpoint(words.at(2)).value();
    command.key = {plain ? command.b4 : subscriber_of(Side::access, command.b4), inside.address, inside.port,
                   words.at(3) == "tcp" ? net::Protocol::tcp : net::Protocol::udp, 0};
    command.lifetime_s = number(words.at(4));
    if (words.size() > 7) command.let_in = {{nat::RemoteFilter{net::parse_ipv4_prefix(words[7]).value(), {}}}, 1};
    const bool asks = words.size() > 5 && words[5][0] != '$';
    if (asks) command.suggested = net::parse_endpoint(words[5]).value();
    const auto result = network_.execute(command, now_s_);
    ASSERT_EQ(result.status, nat::CommandResult::Status::done);
    EXPECT_TRUE(!asks || result.outside == command.suggested);
    if (words.size() < 6 || asks) return;
    const auto colon = words[5].find(':');
    variables_[words[5].substr(0, colon)] = result.outside.address.bits;
    variables_[words[5].substr(colon + 1)] = result.outside.port.number;
  }

  [[nodiscard]] net::Ipv6 subscriber_of(Side side, const net::Ipv6& address) const {
    return settings_.snapshot.subscriber_of(side, address);
  }

  const Settings settings_;
  Network network_;
  unsigned workers_, entry_ = 0;  // frames come in at each worker in turn, so that most are handed over
  uint32_t now_s_ = start_s;
  Variables variables_;
  std::vector<Bytes> waiting_, sent_in_;
  std::vector<Outcome> outcomes_;
};

void run(const std::vector<Line>& script, const std::string& path, unsigned workers) {
  Settings settings = default_settings();
  settings.workers = 0;
  for (const Line& line : script)
    if (line.words[0] == "config") configure(settings, line.words);
  if (settings.workers != 0 && settings.workers != workers) return;  // the script is about that many
  settings.workers = workers;
  Run run(settings);
  for (const Line& line : script) {
    SCOPED_TRACE(path + ":" + std::to_string(line.number) + " with " + std::to_string(workers) + " workers");
    try {
      run.line(line.words);
    } catch (const std::exception& fault) {
      FAIL() << fault.what();
    }
    if (testing::Test::HasFailure()) return;
  }
  SCOPED_TRACE(path + " with " + std::to_string(workers) + " workers, at the end");
  run.end();
}

std::vector<std::string> scripts() {
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(PORTOLAN_PACKETS))
    if (file.path().extension() == ".pkt") names.push_back(file.path().stem());
  std::ranges::sort(names);
  return names;
}

class Script : public testing::TestWithParam<std::string> {};

TEST_P(Script, runs) {
  const std::string path = std::string(PORTOLAN_PACKETS) + "/" + GetParam() + ".pkt";
  const auto script = read_script(path);
  ASSERT_FALSE(script.empty());
  for (const unsigned workers : {1U, 2U, 3U, 8U}) run(script, path, workers);
}

INSTANTIATE_TEST_SUITE_P(packets, Script, testing::ValuesIn(scripts()), [](const auto& test) { return test.param; });

}  // namespace
}  // namespace portolan::packets
