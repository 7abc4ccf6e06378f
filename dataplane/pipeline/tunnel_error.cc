#include "dataplane/pipeline/tunnel_error.h"

#include <algorithm>
#include <optional>
#include <span>

#include "dataplane/net/checksum.h"
#include "dataplane/pipeline/path_mtu.h"
#include "dataplane/pipeline/translate.h"
#include "dataplane/pipeline/worker.h"

namespace portolan::pipeline {

using nat::Verdict;

namespace {

using Bytes = std::span<const uint8_t>;

constexpr size_t ipv6_bytes = sizeof(net::Ipv6Header);

bool is_error(uint8_t type) { return type >= net::icmpv6::unreachable && type <= net::icmpv6::parameter_problem; }

struct Quote {              // of a tunnel packet
  size_t limit_offset = 0;  // of its Tunnel Encapsulation Limit's value; 0: it has none
  size_t inner_offset = 0;  // 0: what it carries cannot be seen, for it is a later fragment
};

// Nothing but a fragment header and a limit ever stands between our outer header and the packet inside.
std::optional<Quote> read_quote(Bytes quoted) {
  if (quoted.size() < ipv6_bytes) return std::nullopt;
  const auto& ip = net::header_at<net::Ipv6Header>(quoted.data());
  if (ip.version() != 6) return std::nullopt;
  net::Protocol next{ip.next_header};
  Quote quote;
  size_t at = ipv6_bytes;
  if (next == net::Protocol::fragment && quoted.size() >= at + sizeof(net::Ipv6Fragment)) {
    const auto& fragment = net::header_at<net::Ipv6Fragment>(quoted.data() + at);
    if ((fragment.offset_more & 0xfff8) != 0) return quote;
    next = net::Protocol{fragment.next_header};
    at += sizeof fragment;
  }
  if (next == net::Protocol::destination_options && quoted.size() >= at + sizeof(net::EncapsulationLimit)) {
    const auto& options = net::header_at<net::EncapsulationLimit>(quoted.data() + at);
    next = net::Protocol{options.next_header};
    quote.limit_offset = at + offsetof(net::EncapsulationLimit, limit);
    at += sizeof options;
  }
  if (next != net::Protocol::ipv4) return std::nullopt;
  quote.inner_offset = at;
  return quote;
}

// Protocol and port of the mapping through which the quoted packet came; it may be cut short behind eight octets.
bool parse_inner(Packet& packet, size_t bytes) {
  const auto& ip = *packet.ip;
  if (bytes < sizeof ip || ip.version() != 4 || ip.header_bytes() < sizeof ip || bytes < ip.header_bytes() + 8U)
    return false;
  if (!net::checksum_is_right(ip) || ip.fragment_offset_bytes() != 0) return false;
  packet.transport = reinterpret_cast<uint8_t*>(packet.ip) + ip.header_bytes();
  packet.protocol = net::Protocol{ip.protocol};
  if (packet.protocol == net::Protocol::icmp) {
    const auto& icmp = net::header_at<net::IcmpHeader>(packet.transport);
    packet.port = {icmp.identifier};
    return icmp.type == net::icmp::echo_reply;  // no error answers an error
  }
  packet.port = net::header_at<net::UdpHeader>(packet.transport).destination;
  return packet.protocol == net::Protocol::tcp || packet.protocol == net::Protocol::udp;
}

// Sets what to tell the sender (RFC 2473 §8.3); false if the error says nothing of the tunnel.
bool read_report(Context& context, const net::IcmpHeader& error, Bytes quoted, const Quote& quote) {
  const uint32_t rest = uint32_t{error.identifier} << 16 | error.sequence;
  context.code = net::icmp::host_unreachable;
  switch (error.type) {
    case net::icmpv6::unreachable:
      return true;
    case net::icmpv6::time_exceeded:
      return error.code == 0;  // the hop limit; a fragment that never came is the path's affair
    case net::icmpv6::packet_too_big:
      context.code = net::icmp::fragmentation_needed;
      context.mtu = static_cast<uint16_t>(std::min<uint32_t>(rest, UINT16_MAX));
      return rest >= ipv6_mtu_min_bytes;  // RFC 8201 §4: less is discarded
    default:                              // parameter problem: more tunnels than the limit allows
      return error.code == 0 && quote.limit_offset != 0 && rest == quote.limit_offset && quoted[rest] == 0;
  }
}

}  // namespace

bool parse_tunnel_error(Packet& packet, const Snapshot& config, unsigned worker, uint32_t offset) {
  auto* const message = packet.data + packet.context.outer_offset + offset;
  const size_t bytes = packet.bytes - packet.context.outer_offset - offset;
  if (bytes < sizeof(net::IcmpHeader) || !is_error(message[0])) return false;
  auto* const quoted = message + sizeof(net::IcmpHeader);
  const size_t quoted_bytes = bytes - sizeof(net::IcmpHeader);
  const auto quote = read_quote({quoted, quoted_bytes});
  if (!quote) return false;  // about something the host said
  const auto& ip = net::header_at<net::Ipv6Header>(packet.data + packet.context.outer_offset);
  const auto& sent = net::header_at<net::Ipv6Header>(quoted);
  if (sent.source != ip.destination || quote->inner_offset == 0)
    return packet.drop(Verdict::tunnel_error_ignored), true;
  const auto subscriber = net::masked(sent.destination, config.softwire.subscriber_prefix_length);
  if (const unsigned owner = config.policy.pool.owner_of(subscriber); owner != worker) {
    packet.context.fate = Fate::hand_over;
    packet.context.target = static_cast<uint8_t>(owner);
    return true;
  }
  packet.context.b4 = sent.destination;
  const auto sum = net::pseudo_header(ip.source, ip.destination, net::Protocol::icmpv6, bytes);
  packet.ip = &net::header_at<net::Ipv4Header>(quoted + quote->inner_offset);
  if (net::fold(sum + net::sum_of({message, bytes})) != 0xffff ||
      !parse_inner(packet, quoted_bytes - quote->inner_offset) ||
      !read_report(packet.context, net::header_at<net::IcmpHeader>(message), {quoted, quoted_bytes}, *quote))
    return packet.drop(Verdict::tunnel_error_ignored), true;
  packet.tunnel_error = true;
  return true;
}

// Nothing here ends a mapping or keeps one alive (RFC 4787 REQ-12).
void Worker::take_tunnel_error(Packet& packet, uint32_t now_s) {
  const auto& config = snapshot_->softwire;
  auto& context = packet.context;
  const nat::OutboundKey key{net::masked(context.b4, config.subscriber_prefix_length), packet.ip->destination,
                             packet.port, packet.protocol, 0};
  const auto found = shard_.find(key, shard_.hash(key));
  const bool translated = found != nat::null_mapping && shard_[found].b4 == context.b4;
  const auto* passed = find_inbound(snapshot_->pass_through, *packet.ip, {packet.transport, sizeof(net::UdpHeader)});
  if (!translated && (passed == nullptr || passed->b4 != context.b4)) return packet.drop(Verdict::tunnel_error_ignored);
  auto otherwise = Verdict::router_declined;
  if (context.code == net::icmp::fragmentation_needed) {
    if (context.mtu >= config.mtu_bytes) return packet.drop(Verdict::tunnel_error_ignored);
    otherwise = path_mtus_.note(context.b4, context.mtu, now_s) ? Verdict::path_mtu_learned : Verdict::path_mtu_full;
    // What may be cut will be cut from now on.
    if (!packet.ip->dont_fragment() || config.df_policy == DfPolicy::outer_fragment) return packet.drop(otherwise);
    context.mtu = static_cast<uint16_t>(context.mtu - config.overhead_bytes());
  }
  if (translated) restore_inbound(packet, shard_[found]);
  packet.pull(packet.offset_of(packet.ip));
  context.l3_offset = context.outer_offset = 0;
  packet.punt(Punt::tunnel_error, otherwise);
}

}  // namespace portolan::pipeline
