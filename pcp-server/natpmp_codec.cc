#include "pcp-server/natpmp_codec.h"

#include "dataplane/net/reader.h"

namespace portolan::pcp::natpmp {

Message build_address_request() { return {version, address}; }

Message build_map_request(net::Protocol protocol, net::Port internal, net::Port suggested, uint32_t lifetime_s) {
  Message out;
  append(out, MapRequest{version, opcode_of(protocol), {}, internal, suggested, lifetime_s});
  return out;
}

Message build_address_response(std::optional<net::Ipv4> outside, uint32_t epoch_s) {
  const Result result = outside ? Result::success : Result::network_failure;
  Message out;
  append(out, AddressResponse{{version, response_bit, static_cast<uint16_t>(result), epoch_s},
                              outside.value_or(net::Ipv4{})});
  return out;
}

net::Result<Response, Ignored> parse_response(std::span<const uint8_t> message) {
  net::Reader in{message};
  const auto version_read = in.read<uint8_t>(), opcode_read = in.read<uint8_t>();
  const auto result = in.read<net::be16>();
  if (in.failed()) return tl::unexpected(Ignored::too_short);
  Response out{version_read, static_cast<uint8_t>(opcode_read & ~response_bit), Result{uint16_t{result}}};
  const auto epoch_s = in.read<net::be32>();
  if (!in.failed()) out.epoch_s = epoch_s;
  if (out.result == Result::unsupported_version) return out;
  if (out.version != version) return tl::unexpected(Ignored::wrong_version);
  if ((opcode_read & response_bit) == 0) return tl::unexpected(Ignored::not_a_response);
  if (out.opcode > map_tcp) return tl::unexpected(Ignored::unknown_opcode);
  if (in.failed()) return tl::unexpected(Ignored::too_short);
  const bool done = out.result == Result::success;
  if (out.opcode == address) {
    const auto outside = in.read<net::Ipv4>();
    if (done && in.failed()) return tl::unexpected(Ignored::too_short);
    if (done) out.address = outside;  // §3.2: else undefined
    return out;
  }
  const auto internal = in.read<net::Port>();
  if (!in.failed()) out.internal = internal;
  const auto external = in.read<net::Port>();
  const auto lifetime_s = in.read<net::be32>();
  if (!done) return out;
  if (in.failed()) return tl::unexpected(Ignored::too_short);
  out.external = external;
  out.lifetime_s = lifetime_s;
  return out;
}

}  // namespace portolan::pcp::natpmp
