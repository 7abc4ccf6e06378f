#include "pcp-server/options.h"

#include <algorithm>
#include <array>

namespace portolan::pcp {

namespace {

struct OptionRule {
  OptionCode code;
  size_t bytes_min, bytes_max;
  uint8_t count_max;
  // What comes of it with a PEER; with ANNOUNCE all are unsupported (§13).
  Code with_peer;
};
constexpr uint8_t many = 255;
constexpr OptionRule option_rules[] = {
    {OptionCode::third_party, sizeof(net::Ipv6), sizeof(net::Ipv6), 1, Code::success},           // §13.1
    {OptionCode::prefer_failure, 0, 0, 1, Code::malformed_request},                              // §12.1, §13.2
    {OptionCode::filter, sizeof(FilterBody), sizeof(FilterBody), many, Code::malformed_option},  // §13.3
    {OptionCode::third_party_id, 0, option_bytes_max, 1, Code::success},                         // RFC 7843 §4
    {OptionCode::description, 0, option_bytes_max, 1, Code::success},                            // RFC 7220 §3
    {OptionCode::port_set, sizeof(PortSetBody), sizeof(PortSetBody), 1, Code::success},  // RFC 7753 §4.1: MAP only
};

// Of the first character of `text`: how many octets it has, 0 if it is none (RFC 3629 §4).
size_t character_bytes(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = at(0);
  if (first < 0x80) return 1;
  const size_t bytes = first >= 0xc2 && first < 0xe0   ? 2
                       : (first & 0xf0) == 0xe0        ? 3
                       : first >= 0xf0 && first < 0xf5 ? 4
                                                       : 0;
  if (bytes == 0 || text.size() < bytes) return 0;
  for (size_t i = 1; i < bytes; ++i)
    if ((at(i) & 0xc0) != 0x80) return 0;
  const bool too_long = (first == 0xe0 && at(1) < 0xa0) || (first == 0xf0 && at(1) < 0x90);
  const bool surrogate = first == 0xed && at(1) >= 0xa0;
  const bool too_high = first == 0xf4 && at(1) >= 0x90;
  return too_long || surrogate || too_high ? 0 : bytes;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t bytes = character_bytes(text);
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

// An IPv4 filter's length counts the 96 bits before (§13.3). IPv6 remotes send nothing through an IPv4 mapping.
bool makes_sense(const FilterBody& filter) {
  if (filter.prefix_length == 0) return true;
  return is_mapped(filter.remote_address) && filter.prefix_length >= ipv4_prefix_bits && filter.prefix_length <= 128;
}

std::vector<uint8_t> bytes_of(net::Reader body) {
  const auto rest = body.rest();
  return {rest.begin(), rest.end()};
}

// False if its content makes no sense.
bool take_content(Options& out, OptionCode code, net::Reader body) {
  switch (code) {
    case OptionCode::third_party:
      out.third_party = body.read<net::Ipv6>();
      return true;
    case OptionCode::prefer_failure:
      out.prefer_failure = true;
      return true;
    case OptionCode::filter:
      out.filters.push_back(body.read<FilterBody>());
      return makes_sense(out.filters.back());
    case OptionCode::third_party_id:
      out.subscriber_id = bytes_of(body);
      return true;
    case OptionCode::description: {
      const auto bytes = bytes_of(body);
      std::string text(bytes.begin(), bytes.end());
      if (is_utf8(text)) out.description = std::move(text);  // else as if it were not there (RFC 7220 §3)
      return true;
    }
    case OptionCode::port_set:
      out.port_set = body.read<PortSetBody>();
      return out.port_set->size != 0;
    default:
      return true;
  }
}

template <class Body>
void append_option(Message& message, OptionCode code, const Body& body) {
  append(message, OptionHeader{static_cast<uint8_t>(code), 0, static_cast<uint16_t>(sizeof body)});
  append(message, body);
  message.resize(padded(message.size()));
}

}  // namespace

Option take_option(net::Reader& in) {
  const auto header = in.read<OptionHeader>();
  const net::Reader body = in.take(header.bytes);
  in.take(padded(header.bytes) - header.bytes);
  return {header.code, body};
}

bool well_formed(net::Reader in) {
  while (in.size() > 0) take_option(in);
  return !in.failed();
}

net::Result<Options, Code> parse_options(net::Reader in, Opcode opcode) {
  if (!well_formed(in)) return tl::unexpected(Code::malformed_option);
  Options out;
  std::array<uint8_t, std::size(option_rules)> seen{};
  while (in.size() > 0) {
    auto [code, body] = take_option(in);
    const bool optional = (code & option_optional_bit) != 0;
    const auto* rule = std::ranges::find(option_rules, OptionCode{code}, &OptionRule::code);
    // Known, but not with this opcode: as unimplemented for it.
    if (rule == std::end(option_rules) || opcode == Opcode::announce) {
      if (optional) continue;
      return tl::unexpected(Code::unsupp_option);
    }
    if (opcode == Opcode::peer && rule->code == OptionCode::port_set) continue;
    if (opcode == Opcode::peer && rule->with_peer != Code::success) return tl::unexpected(rule->with_peer);
    auto& count = seen[static_cast<size_t>(rule - option_rules)];
    if (body.size() < rule->bytes_min || body.size() > rule->bytes_max || count >= rule->count_max)
      return tl::unexpected(Code::malformed_option);
    ++count;
    if (!take_content(out, rule->code, body)) return tl::unexpected(Code::malformed_option);
  }
  return out;
}

void append_options(Message& message, const Options& options) {
  if (options.third_party) append_option(message, OptionCode::third_party, *options.third_party);
  if (options.prefer_failure) append(message, OptionHeader{static_cast<uint8_t>(OptionCode::prefer_failure), 0, {}});
  for (const auto& filter : options.filters)
    append_option(message, OptionCode::filter,
                  FilterBody{0, filter.prefix_length, filter.remote_port, filter.remote_address});
  const auto append_bytes = [&](OptionCode code, const auto& bytes) {
    append(message, OptionHeader{static_cast<uint8_t>(code), 0, static_cast<uint16_t>(bytes.size())});
    message.insert(message.end(), bytes.begin(), bytes.end());
    message.resize(padded(message.size()));
  };
  if (options.subscriber_id) append_bytes(OptionCode::third_party_id, *options.subscriber_id);
  if (options.description) append_bytes(OptionCode::description, *options.description);
  if (options.port_set) append_option(message, OptionCode::port_set, *options.port_set);
}

std::string cut_utf8(std::string_view text, size_t bytes_max) {
  size_t end = std::min(text.size(), bytes_max);
  while (end > 0 && end < text.size() && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80) --end;
  return std::string(text.substr(0, end));
}

}  // namespace portolan::pcp
