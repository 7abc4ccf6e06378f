#include "pcp-server/codec.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "pcp-server/natpmp_wire.h"

namespace portolan::pcp {

namespace {

uint8_t r_opcode(Opcode opcode, uint8_t r) { return static_cast<uint8_t>(static_cast<uint8_t>(opcode) | r); }

Message request_of(Opcode opcode, uint32_t lifetime_s, const net::Ipv6& client) {
  Message out;
  append(out, RequestHeader{version, r_opcode(opcode, 0), {}, lifetime_s, client});
  return out;
}

Message success_of(Opcode opcode, uint32_t lifetime_s, uint32_t epoch_s) {
  Message out;
  append(out,
         ResponseHeader{
             version, r_opcode(opcode, response_bit), 0, static_cast<uint8_t>(Code::success), lifetime_s, epoch_s, {}});
  return out;
}

size_t bytes_min(Opcode opcode) {
  switch (opcode) {
    case Opcode::map:
      return map_bytes;
    case Opcode::peer:
      return peer_bytes;
    default:
      return sizeof(RequestHeader);
  }
}

// What tells a client which of his mappings is meant; all else is skipped, even what is mandatory to process (§7.3).
void take_identity(net::Reader options, MapResponse& out) {
  while (options.size() > 0) {
    auto [code, body] = take_option(options);
    if (OptionCode{code} == OptionCode::third_party && body.size() == sizeof(net::Ipv6))
      out.third_party = body.read<net::Ipv6>();
    if (OptionCode{code} == OptionCode::port_set && body.size() == sizeof(PortSetBody))
      out.port_set = body.read<PortSetBody>();
  }
}

net::Result<MapResponse, Ignored> parse_map(net::Reader in, Opcode opcode) {
  const auto map = in.read<MapBody>();
  MapResponse out{map.nonce, net::Protocol{map.protocol}, map.internal_port, map.external_port, map.external_address};
  if (opcode == Opcode::peer) {
    const auto remote_port = in.read<net::Port>();
    in.read<net::be16>();
    const auto remote_address = in.read<net::Ipv6>();
    out.remote = net::Endpoint{unmapped(remote_address), remote_port};
  }
  if (in.failed()) return tl::unexpected(Ignored::bad_size);
  if (!well_formed(in)) return tl::unexpected(Ignored::malformed_option);
  take_identity(in, out);
  return out;
}

}  // namespace

Message build_map_request(const net::Ipv6& client, const MapRequest& request) {
  Message out = request_of(request.remote ? Opcode::peer : Opcode::map, request.lifetime_s, client);
  append(out, MapBody{request.nonce,
                      static_cast<uint8_t>(request.protocol),
                      {},
                      request.internal_port,
                      request.suggested_port,
                      request.suggested_address});
  if (request.remote) {
    append(out, request.remote->port);
    append(out, net::be16{});
    append(out, net::mapped(request.remote->address));
  }
  append_options(out, {request.third_party, request.prefer_failure, request.filters, request.description,
                       request.subscriber_id, request.port_set});
  return out;
}

Message build_announce_request(const net::Ipv6& client) { return request_of(Opcode::announce, 0, client); }

std::string_view to_text(Ignored reason) {
  switch (reason) {
    case Ignored::too_short:
      return "fewer than 4 octets";
    case Ignored::not_a_response:
      return "not a response";
    case Ignored::bad_size:
      return "a size no response has";
    case Ignored::wrong_version:
      return "a version not asked for";
    case Ignored::unknown_opcode:
      return "an opcode not asked for";
    case Ignored::malformed_option:
      return "options that run past its end";
  }
  return "unknown";
}

net::Result<Response, Ignored> parse_response(std::span<const uint8_t> message) {
  if (message.size() < 4) return tl::unexpected(Ignored::too_short);
  ResponseHeader header{};
  std::memcpy(&header, message.data(), std::min(message.size(), sizeof header));
  if ((header.r_opcode & response_bit) == 0) return tl::unexpected(Ignored::not_a_response);
  Response out{header.version,    Opcode{static_cast<uint8_t>(header.r_opcode & ~response_bit)},
               Code{header.code}, header.lifetime_s,
               header.epoch_s,    std::nullopt};
  if (out.code == Code::unsupp_version) return out;  // judged before size and version (§8.3, §9)
  if (header.version != version) return tl::unexpected(Ignored::wrong_version);
  if (message.size() < sizeof header || message.size() > message_bytes_max || message.size() % unit_bytes != 0)
    return tl::unexpected(Ignored::bad_size);
  if (out.opcode == Opcode::announce) return out;
  if (out.opcode != Opcode::map && out.opcode != Opcode::peer) return tl::unexpected(Ignored::unknown_opcode);
  auto map = parse_map(net::Reader{message.subspan(sizeof header)}, out.opcode);
  if (!map) return tl::unexpected(map.error());
  out.map = *map;
  return out;
}

bool answers(const Response& response, const MapRequest& request) {
  if (!response.map) return false;
  const MapResponse& map = *response.map;
  if (map.nonce != request.nonce || map.protocol != request.protocol || map.internal_port != request.internal_port ||
      map.third_party != request.third_party || map.remote != request.remote)
    return false;
  if (!request.prefer_failure || response.code != Code::success) return true;
  const bool any_address = request.suggested_address == any_ipv4 || request.suggested_address == any_ipv6;
  return map.assigned_port == request.suggested_port &&
         (any_address || map.assigned_address == request.suggested_address);
}

net::Result<Request, Malformed> parse_request(std::span<const uint8_t> message) {
  if (message.size() > message_bytes_max) return tl::unexpected(Malformed::too_long);
  if (message.size() % unit_bytes != 0) return tl::unexpected(Malformed::not_a_multiple_of_4);
  net::Reader in{message};
  const auto header = in.read<RequestHeader>();
  Request out{Opcode{header.r_opcode}, header.lifetime_s, header.client};
  if (in.failed() || message.size() < bytes_min(out.opcode)) return tl::unexpected(Malformed::too_short_for_opcode);
  if (out.opcode == Opcode::map || out.opcode == Opcode::peer) out.map = in.read<MapBody>();
  if (out.opcode == Opcode::peer) {
    out.remote_port = in.read<net::Port>();
    in.read<net::be16>();
    out.remote_address = in.read<net::Ipv6>();
  }
  if (out.opcode <= Opcode::peer) out.options = in.rest();
  return out;
}

Message build_map_response(const MapBody& map, const Options& options, uint32_t lifetime_s, uint32_t epoch_s) {
  Message out = success_of(Opcode::map, lifetime_s, epoch_s);
  MapBody body = map;
  body.reserved = {};
  append(out, body);
  append_options(out, options);
  return out;
}

Message build_peer_response(const PeerBody& peer, const Options& options, uint32_t lifetime_s, uint32_t epoch_s) {
  Message out = success_of(Opcode::peer, lifetime_s, epoch_s);
  PeerBody body = peer;
  body.map.reserved = {};
  body.reserved = {};
  append(out, body);
  append_options(out, options);
  return out;
}

void set_epoch(Message& response, uint32_t epoch_s) {
  const net::be32 field = epoch_s;
  const size_t at = response[0] == 0 ? offsetof(natpmp::ResponseHeader, epoch_s) : offsetof(ResponseHeader, epoch_s);
  std::memcpy(response.data() + at, &field, sizeof field);
}

Message build_announce_response(uint32_t epoch_s) { return success_of(Opcode::announce, 0, epoch_s); }

Message build_error_response(std::span<const uint8_t> request, const Refusal& refusal, uint32_t epoch_s) {
  assert(request.size() >= 2);
  request = request.first(std::min(request.size(), message_bytes_max));
  Message out(request.begin(), request.end());
  out.resize(std::max(padded(out.size()), sizeof(ResponseHeader)));
  ResponseHeader header{};
  std::memcpy(&header, out.data(), sizeof header);
  header.version = version;
  header.r_opcode |= response_bit;
  header.reserved = 0;
  header.code = static_cast<uint8_t>(refusal.code);
  header.lifetime_s = refusal.lifetime_s;
  header.epoch_s = epoch_s;
  if (refusal.parsed) header.unparsed = {};
  std::memcpy(out.data(), &header, sizeof header);
  return out;
}

}  // namespace portolan::pcp
