// Configuration values as text, type by type: parse(), show() and accepts() are overloaded on what a Field points to.
#include <algorithm>
#include <charconv>
#include <limits>
#include <type_traits>

#include "controlplane/setting.h"
#include "dataplane/net/text.h"

namespace portolan::control {

namespace {

using Problem = std::optional<std::string>;

std::string quoted(std::string_view text) { return '"' + std::string(text) + '"'; }

// -- numbers, with units --

struct Suffix {
  std::string_view text;
  uint64_t factor;
};
constexpr Suffix time_suffixes[] = {{"us", 1},         {"ms", 1000},         {"s", 1'000'000},
                                    {"m", 60'000'000}, {"h", 3'600'000'000}, {"d", 86'400'000'000}};  // microseconds
constexpr Suffix byte_suffixes[] = {{"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}};

struct Scale {
  std::string_view written;  // what a bare number means and a shown one ends with
  uint64_t factor;           // of the row's unit, in units of the suffixes
  std::span<const Suffix> suffixes;
};
Scale scale_of(Unit unit) {
  switch (unit) {
    case Unit::seconds:
      return {"s", 1'000'000, time_suffixes};
    case Unit::microseconds:
      return {"us", 1, time_suffixes};
    case Unit::bytes:
      return {"", 1, byte_suffixes};
    case Unit::none:
      break;
  }
  return {"", 1, {}};
}

std::string show(const Setting& setting, uint32_t value) {
  return std::to_string(value) + std::string(scale_of(setting.unit).written);
}
std::string accepts(const Setting& setting, uint32_t /*type*/) {
  return show(setting, setting.min) + ".." + show(setting, setting.max);
}

Problem parse(const Setting& setting, std::string_view text, uint32_t& out) {
  const auto range = [&] { return "; give " + accepts(setting, 0); };
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto scale = scale_of(setting.unit);
  const std::string_view suffix(end, text.data() + text.size());
  uint64_t factor = scale.factor;
  if (!suffix.empty()) {
    const auto known = std::ranges::find(scale.suffixes, suffix, &Suffix::text);
    if (error == std::errc::invalid_argument || known == scale.suffixes.end())
      return quoted(text) + " is not a number" + (scale.suffixes.empty() ? "" : " with a unit known here") + range();
    factor = known->factor;
  }
  if (text.empty()) return "the value is empty" + range();
  if (error != std::errc{} || value > std::numeric_limits<uint64_t>::max() / factor)
    return quoted(text) + " is out of range" + range();
  if (value * factor % scale.factor != 0)
    return quoted(text) + " is not a whole number of " + std::string(text_of(setting.unit)) + range();
  value = value * factor / scale.factor;
  if (value < setting.min || value > setting.max) return quoted(text) + " is out of range" + range();
  out = static_cast<uint32_t>(value);
  return std::nullopt;
}

std::string show(const Setting& /*setting*/, const PortRange& value) {
  return std::to_string(value.first) + '-' + std::to_string(value.last);
}
std::string accepts(const Setting& setting, const PortRange& /*type*/) {
  return "FIRST-LAST within " + accepts(setting, uint32_t{});
}
Problem parse(const Setting& setting, std::string_view text, PortRange& out) {
  const auto dash = text.find('-');
  uint32_t first = 0;
  uint32_t last = 0;
  if (dash == text.npos || parse(setting, text.substr(0, dash), first) || parse(setting, text.substr(dash + 1), last) ||
      first > last)
    return quoted(text) + " is not a range of ports; give " + accepts(setting, out);
  out = {static_cast<uint16_t>(first), static_cast<uint16_t>(last)};
  return std::nullopt;
}

std::string show(const Setting& /*setting*/, const MssClamp& value) {
  if (value.mode == MssClamp::Mode::automatic) return "auto";
  return value.mode == MssClamp::Mode::off ? "off" : std::to_string(value.bytes);
}
std::string accepts(const Setting& setting, const MssClamp& /*type*/) {
  return "auto, off or " + accepts(setting, uint32_t{});
}
Problem parse(const Setting& setting, std::string_view text, MssClamp& out) {
  if (text == "auto" || text == "off") {
    out = {text == "auto" ? MssClamp::Mode::automatic : MssClamp::Mode::off, 0};
    return std::nullopt;
  }
  uint32_t bytes = 0;
  if (parse(setting, text, bytes)) return quoted(text) + " is no MSS clamp; give " + accepts(setting, out);
  out = {MssClamp::Mode::fixed, static_cast<uint16_t>(bytes)};
  return std::nullopt;
}

std::string show(const Setting& /*setting*/, const OptionalOctet& value) {
  return value ? std::to_string(*value) : "off";
}
std::string accepts(const Setting& setting, const OptionalOctet& /*type*/) {
  return "off or " + accepts(setting, uint32_t{});
}
Problem parse(const Setting& setting, std::string_view text, OptionalOctet& out) {
  uint32_t value = 0;
  if (text == "off") {
    out.reset();
  } else if (parse(setting, text, value)) {
    return quoted(text) + " is not known; give " + accepts(setting, out);
  } else {
    out = static_cast<uint8_t>(value);
  }
  return std::nullopt;
}

constexpr std::string_view pipe_prefix = "pipe:";
std::string show(const Setting& /*setting*/, const DscpModel& value) {
  return value.pipe ? std::string(pipe_prefix) + std::to_string(*value.pipe) : "uniform";
}
std::string accepts(const Setting& setting, const DscpModel& /*type*/) {
  return "uniform, or pipe: and " + accepts(setting, uint32_t{});
}
Problem parse(const Setting& setting, std::string_view text, DscpModel& out) {
  uint32_t value = 0;
  if (text == "uniform") {
    out.pipe.reset();
  } else if (!text.starts_with(pipe_prefix) || parse(setting, text.substr(pipe_prefix.size()), value)) {
    return quoted(text) + " is no DSCP model; give " + accepts(setting, out);
  } else {
    out.pipe = static_cast<uint8_t>(value);
  }
  return std::nullopt;
}

// -- one word out of a few --

template <class T>
struct Word {
  std::string_view text;
  T value;
};
template <class T>
constexpr std::nullptr_t words = nullptr;
template <>
constexpr Word<bool> words<bool>[] = {{"on", true}, {"off", false}};
template <>
constexpr Word<Filtering> words<Filtering>[] = {{"endpoint-independent", Filtering::endpoint_independent},
                                                {"address-dependent", Filtering::address_dependent},
                                                {"address-and-port-dependent", Filtering::address_and_port_dependent}};
template <>
constexpr Word<DfPolicy> words<DfPolicy>[] = {{"icmp", DfPolicy::icmp}, {"outer-fragment", DfPolicy::outer_fragment}};
template <>
constexpr Word<UnsolicitedSyn> words<UnsolicitedSyn>[] = {{"drop", UnsolicitedSyn::drop},
                                                          {"icmp-after-6s", UnsolicitedSyn::icmp_after_6s}};
template <>
constexpr Word<LogLevel> words<LogLevel>[] = {
    {"debug", LogLevel::debug}, {"info", LogLevel::info}, {"warning", LogLevel::warning}, {"error", LogLevel::error}};
template <>
constexpr Word<LogEvents> words<LogEvents>[] = {{"off", LogEvents::off}, {"blocks", LogEvents::blocks}};
template <class T>
concept Worded = std::is_array_v<decltype(words<T>)>;

template <Worded T>
std::string show(const Setting& /*setting*/, const T& value) {
  return std::string(std::ranges::find(words<T>, value, &Word<T>::value)->text);
}
template <Worded T>
std::string accepts(const Setting& /*setting*/, const T& /*type*/) {
  std::string out;
  for (const auto& word : words<T>) out += (out.empty() ? "" : "|") + std::string(word.text);
  return out;
}
template <Worded T>
Problem parse(const Setting& setting, std::string_view text, T& out) {
  const auto* word = std::ranges::find(words<T>, text, &Word<T>::text);
  if (word == std::end(words<T>)) return quoted(text) + " is not known; give " + accepts(setting, out);
  out = word->value;
  return std::nullopt;
}

// -- texts --

std::string show(const Setting& /*setting*/, const std::string& value) { return value; }
std::string accepts(const Setting& /*setting*/, const std::string& /*type*/) { return "text"; }
Problem parse(const Setting& setting, std::string_view text, std::string& out) {
  if (text.empty() && setting.required())
    return "the value is empty; give one, for example " + std::string(setting.example);
  out = text;
  return std::nullopt;
}

std::string show(const Setting& /*setting*/, const LogTarget& value) {
  if (value.kind == LogTarget::Kind::standard_error) return "stderr";
  return value.kind == LogTarget::Kind::syslog ? "syslog" : "file:" + value.path;
}
std::string accepts(const Setting& /*setting*/, const LogTarget& /*type*/) { return "stderr, syslog or file:/PATH"; }
Problem parse(const Setting& setting, std::string_view text, LogTarget& out) {
  constexpr std::string_view file = "file:";
  if (text == "stderr") {
    out = {LogTarget::Kind::standard_error, {}};
  } else if (text == "syslog") {
    out = {LogTarget::Kind::syslog, {}};
  } else if (text.starts_with("file:/")) {  // relative paths would depend on where portoland was started
    out = {LogTarget::Kind::file, std::string(text.substr(file.size()))};
  } else {
    return quoted(text) + " is no log target; give " + accepts(setting, out);
  }
  return std::nullopt;
}

template <class T>
std::string show(const Setting& setting, const std::optional<T>& value) {
  return value ? show(setting, *value) : "";
}
template <class T>
std::string accepts(const Setting& setting, const std::optional<T>& /*type*/) {
  return accepts(setting, T{});
}
template <class T>
Problem parse(const Setting& setting, std::string_view text, std::optional<T>& out) {
  out.reset();
  return text.empty() ? std::nullopt : parse(setting, text, out.emplace());
}

// -- addresses --

template <class T>
concept Prefix = std::same_as<T, net::Ipv4Prefix> || std::same_as<T, net::Ipv6Prefix>;
template <class T>
concept Address = Prefix<T> || std::same_as<T, net::Ipv4> || std::same_as<T, net::Ipv6>;

std::optional<net::Ipv4> read(std::string_view text, net::Ipv4) { return net::parse_ipv4(text); }
std::optional<net::Ipv6> read(std::string_view text, net::Ipv6) { return net::parse_ipv6(text); }
std::optional<net::Ipv4Prefix> read(std::string_view text, net::Ipv4Prefix) { return net::parse_ipv4_interface(text); }
std::optional<net::Ipv6Prefix> read(std::string_view text, net::Ipv6Prefix) { return net::parse_ipv6_interface(text); }

template <Address T>
std::string show(const Setting& /*setting*/, const T& value) {
  return value == T{} ? "" : net::to_text(value);
}
std::string accepts(const Setting& /*setting*/, const net::Ipv4& /*type*/) { return "an IPv4 address"; }
std::string accepts(const Setting& /*setting*/, const net::Ipv6& /*type*/) { return "an IPv6 address"; }
std::string accepts(const Setting& /*setting*/, const net::Ipv4Prefix& /*type*/) { return "IPV4-ADDRESS/LENGTH"; }
std::string accepts(const Setting& /*setting*/, const net::Ipv6Prefix& /*type*/) { return "IPV6-ADDRESS/LENGTH"; }
template <Address T>
Problem parse(const Setting& setting, std::string_view text, T& out) {
  const auto value = read(text, T{});
  if (!value) {
    const std::string example = setting.example.empty() ? "" : ", for example " + std::string(setting.example);
    return quoted(text) + " is not valid; give " + accepts(setting, out) + example;
  }
  out = *value;
  return std::nullopt;
}

// -- packets passed through --

std::string show(const Setting& /*setting*/, const pipeline::PassThrough& value) {
  const bool any = value.protocol == pipeline::PassThrough::any;
  return net::to_text(value.b4) + ' ' + net::to_text(value.inside) + ' ' + net::to_text(value.destination) +
         (value.port == net::Port{} ? "" : ':' + std::to_string(value.port.number)) + ' ' +
         (any ? "any" : net::to_text(value.protocol));
}
std::string accepts(const Setting& /*setting*/, const pipeline::PassThrough& /*type*/) {
  return "B4-ADDRESS INSIDE-ADDRESS DESTINATION[/LENGTH][:PORT] tcp|udp|icmp|any";
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> out;
  for (size_t at = 0; (at = text.find_first_not_of(" \t", at)) != text.npos;) {
    const size_t end = std::min(text.find_first_of(" \t", at), text.size());
    out.push_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

std::optional<net::Protocol> read_protocol(std::string_view text) {
  for (const auto protocol : {net::Protocol::tcp, net::Protocol::udp, net::Protocol::icmp})
    if (text == net::to_text(protocol)) return protocol;
  return text == "any" ? std::optional(pipeline::PassThrough::any) : std::nullopt;
}

// DESTINATION[/LENGTH][:PORT]
bool read_destination(std::string_view text, pipeline::PassThrough& out) {
  if (const size_t colon = text.find(':'); colon != text.npos) {
    const auto port = net::parse_number(text.substr(colon + 1));
    if (!port || *port == 0 || *port > 65535) return false;
    out.port = {static_cast<uint16_t>(*port)};
    text = text.substr(0, colon);
  }
  const auto one = net::parse_ipv4(text);
  const auto many = net::parse_ipv4_prefix(text);
  if (one) out.destination = {*one, 32};
  if (many) out.destination = *many;
  return one || many;
}

Problem parse(const Setting& setting, std::string_view text, pipeline::PassThrough& out) {
  const auto fail = [&](std::string_view why) {
    return quoted(text) + std::string(why) + "; give " + accepts(setting, out);
  };
  const auto words = words_of(text);
  if (words.size() != 4) return fail(" is not four words");
  const auto b4 = net::parse_ipv6(words[0]);
  const auto inside = net::parse_ipv4(words[1]);
  const auto protocol = read_protocol(words[3]);
  pipeline::PassThrough row;
  if (!b4 || !inside || !protocol || !read_destination(words[2], row)) return fail(" is not understood");
  if (row.port != net::Port{} && *protocol != net::Protocol::tcp && *protocol != net::Protocol::udp)
    return fail(" has a port, which only tcp and udp have");
  row.b4 = *b4, row.inside = *inside, row.protocol = *protocol;
  out = row;
  return std::nullopt;
}

// -- static mappings --

std::string show(const Setting& /*setting*/, const StaticMapping& value) {
  const auto& [address, length] = value.subscriber;
  const bool plain = net::is_mapped(address);
  return (plain ? "" : (length == 128 ? net::to_text(address) : net::to_text(value.subscriber)) + ' ') +
         net::to_text(value.inside) + ' ' + net::to_text(value.outside) + ' ' + net::to_text(value.protocol);
}
std::string accepts(const Setting& /*setting*/, const StaticMapping& /*type*/) {
  return "[B4-ADDRESS|PREFIX] INSIDE-ADDRESS:PORT OUTSIDE-ADDRESS:PORT tcp|udp";
}
Problem parse(const Setting& setting, std::string_view text, StaticMapping& out) {
  const auto fail = [&](std::string_view why) {
    return quoted(text) + std::string(why) + "; give " + accepts(setting, out);
  };
  auto words = words_of(text);
  if (words.size() != 3 && words.size() != 4) return fail(" is neither three words (NAT44) nor four");
  StaticMapping row;
  const bool plain = words.size() == 3;
  if (!plain) {
    const auto b4 = net::parse_ipv6(words[0]);
    const auto prefix = net::parse_ipv6_prefix(words[0]);
    if (!b4 && !prefix) return fail(": \"" + std::string(words[0]) + "\" is no IPv6 address or prefix");
    row.subscriber = b4 ? net::Ipv6Prefix{*b4, 128} : *prefix;
    words.erase(words.begin());
  }
  const auto inside = net::parse_endpoint(words[0]), outside = net::parse_endpoint(words[1]);
  const auto protocol = read_protocol(words[2]);
  if (!inside || inside->port == net::Port{}) return fail(": \"" + std::string(words[0]) + "\" is no endpoint");
  if (!outside || outside->port == net::Port{}) return fail(": \"" + std::string(words[1]) + "\" is no endpoint");
  if (protocol != net::Protocol::tcp && protocol != net::Protocol::udp)
    return fail(": \"" + std::string(words[2]) + "\" is neither tcp nor udp");
  if (plain) row.subscriber = {net::mapped(inside->address), 128};
  row.inside = *inside, row.outside = *outside, row.protocol = *protocol;
  out = row;
  return std::nullopt;
}

// -- lists --

template <class T>
constexpr bool is_list = false;
template <class T>
constexpr bool is_list<std::vector<T>> = true;

template <class T>
std::string accepts(const Setting& setting, const std::vector<T>& /*type*/) {
  return accepts(setting, T{});
}
template <class T>
Problem parse(const Setting& setting, std::string_view text, std::vector<T>& out) {
  T value;
  if (auto problem = parse(setting, text, value)) return problem;
  if constexpr (Prefix<T>) {
    const T whole{net::masked(value.address, value.length), value.length};
    if (whole != value)
      return quoted(text) + " has bits beyond the prefix's length; give " + net::to_text(whole) + " if that is meant";
  }
  if (out.size() >= setting.values_max)
    return quoted(text) + " is one too many; give at most " + std::to_string(setting.values_max);
  out.push_back(value);
  return std::nullopt;
}

}  // namespace

Problem set_value(const Setting& setting, Config& config, std::string_view text) {
  return std::visit([&](auto* out) { return parse(setting, text, *out); }, setting.field(config));
}

void clear_values(const Setting& setting, Config& config) {
  std::visit(
      [](auto* out) {
        if constexpr (is_list<std::remove_pointer_t<decltype(out)>>) out->clear();
      },
      setting.field(config));
}

std::vector<std::string> value_texts(const Setting& setting, const Config& config) {
  Config copy = config;  // rows name places in a Config that may be written
  return std::visit(
      [&]<class T>(T* value) -> std::vector<std::string> {
        if constexpr (is_list<T>) {
          std::vector<std::string> out;
          for (const auto& element : *value) {
            if constexpr (requires { net::to_text(element); })
              out.push_back(net::to_text(element));
            else
              out.push_back(show(setting, element));
          }
          return out;
        } else {
          return {show(setting, *value)};
        }
      },
      setting.field(copy));
}

std::string accepted(const Setting& setting) {
  Config config;
  return std::visit([&](const auto* value) { return accepts(setting, *value); }, setting.field(config));
}

std::string_view text_of(Unit unit) {
  switch (unit) {
    case Unit::bytes:
      return "bytes";
    case Unit::seconds:
      return "seconds";
    case Unit::microseconds:
      return "microseconds";
    case Unit::none:
      break;
  }
  return "";
}

namespace {

// "2-3,6" as pairs of first and last; none if it is no such list or a number exceeds `max`.
std::optional<std::vector<std::pair<uint64_t, uint64_t>>> parse_ranges(std::string_view text, uint64_t max) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    const size_t dash = part.find('-');
    const auto first = net::parse_number(part.substr(0, dash));
    const auto last = dash == part.npos ? first : net::parse_number(part.substr(dash + 1));
    if (!first || !last || *first > *last || *last > max) return std::nullopt;
    ranges.emplace_back(*first, *last);
  }
  return ranges;
}

}  // namespace

std::optional<std::vector<PortRange>> parse_ports(std::string_view text) {
  const auto ranges = parse_ranges(text, UINT16_MAX);
  if (!ranges) return std::nullopt;
  std::vector<PortRange> ports;
  for (const auto& [first, last] : *ranges)
    ports.push_back({static_cast<uint16_t>(first), static_cast<uint16_t>(last)});
  return ports;
}

std::optional<std::vector<unsigned>> parse_cores(std::string_view text) {
  constexpr uint64_t cpus_max = 4096;
  const auto ranges = parse_ranges(text, cpus_max - 1);
  if (!ranges) return std::nullopt;
  std::vector<unsigned> cores;
  for (const auto& [first, last] : *ranges)
    for (uint64_t core = first; core <= last; ++core) cores.push_back(static_cast<unsigned>(core));
  return cores;
}

std::string_view text_of(Reload reload) { return reload == Reload::live ? "live" : "restart"; }

}  // namespace portolan::control
