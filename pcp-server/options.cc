#include "pcp-server/options.h"

#include <algorithm>
#include <array>

namespace portolan::pcp {

namespace {

struct OptionRule {
  OptionCode code;
  size_t bytes;
  uint8_t count_max;
  Opcode opcode;  // the one it may accompany; PEER is not implemented
};
constexpr OptionRule option_rules[] = {
    {OptionCode::third_party, sizeof(net::Ipv6), 1, Opcode::map},  // §13.1
    {OptionCode::prefer_failure, 0, 1, Opcode::map},               // §13.2
};

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
    if ((code & option_optional_bit) != 0) continue;
    const auto* rule = std::ranges::find(option_rules, OptionCode{code}, &OptionRule::code);
    // Known, but not with this opcode (ANNOUNCE takes none, §13): as unimplemented for it.
    if (rule == std::end(option_rules) || rule->opcode != opcode) return tl::unexpected(Code::unsupp_option);
    if (body.size() != rule->bytes || ++seen[static_cast<size_t>(rule - option_rules)] > rule->count_max)
      return tl::unexpected(Code::malformed_option);
    if (rule->code == OptionCode::third_party) out.third_party = body.read<net::Ipv6>();
    if (rule->code == OptionCode::prefer_failure) out.prefer_failure = true;
  }
  return out;
}

void append_options(Message& message, const Options& options) {
  if (options.third_party) {
    append(message, OptionHeader{static_cast<uint8_t>(OptionCode::third_party), 0, uint16_t{sizeof(net::Ipv6)}});
    append(message, *options.third_party);
  }
  if (options.prefer_failure) append(message, OptionHeader{static_cast<uint8_t>(OptionCode::prefer_failure), 0, {}});
}

}  // namespace portolan::pcp
