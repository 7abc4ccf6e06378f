// libFuzzer entry: any octets through the PCP parsers and the server. First octet: plain mode or softwire, and whether
// the client field is set right, so that the checks behind it are reached.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "pcp-server/natpmp_codec.h"
#include "pcp-server/server.h"

namespace {

using namespace portolan;

void require(bool holds) {
  if (!holds) std::abort();
}

void check(std::span<const uint8_t> request, const pcp::Message& reply) {
  require(reply.size() >= sizeof(pcp::ResponseHeader) && reply.size() <= pcp::message_bytes_max);
  require(reply.size() % pcp::unit_bytes == 0);
  constexpr size_t port_set_bytes = 12;  // told of a set, if one of its ports is asked for
  require(reply.size() <= std::max(pcp::padded(request.size()) + port_set_bytes, sizeof(pcp::ResponseHeader)));
  require(reply[0] == pcp::version && reply[1] == (request[1] | pcp::response_bit));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint8_t mode = data[0];
  std::vector<uint8_t> request(data + 1, data + size);
  static_cast<void>(pcp::parse_response(request));
  static_cast<void>(pcp::natpmp::parse_response(request));

  const net::Ipv6 b4{{0x20, 1, 0xd, 0xb8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  pcp::Source source{b4, std::nullopt, {}, {uint16_t{40000}}};
  if ((mode & 1) != 0) source.inner = net::Ipv4{uint32_t{0x0a00000a}};
  if ((mode & 2) != 0 && request.size() >= sizeof(pcp::RequestHeader)) {
    const net::Ipv6 client = source.inner ? net::mapped(*source.inner) : b4;
    std::memcpy(request.data() + offsetof(pcp::RequestHeader, client), &client, sizeof client);
  }

  static pcp::Server server{{}, 0, 1};
  static uint64_t now_s = 0;
  now_s += 10;  // so that the rate limit never hides the parser
  const pcp::Effects effects = server.handle(request, source, now_s);
  for (const auto& reply : effects.replies) check(request, reply.message);
  for (const auto& command : effects.commands) {
    const net::Endpoint outside{{uint32_t{0xc0000207}}, {uint16_t{4321}}};
    const auto completed =
        server.complete({command.ticket, pcp::CommandResult::Status::done, outside, command.lifetime_s}, now_s);
    require(command.ticket == 0 || completed.replies.size() == 1);
    for (const auto& reply : completed.replies) check(request, reply.message);
  }
  return 0;
}
