#include "dataplane/pipeline/pass_through.h"

#include <algorithm>

namespace portolan::pipeline {

namespace {

using Bytes = std::span<const uint8_t>;

struct Flow {
  net::Ipv4 inside, remote;
  net::Protocol protocol{};
  net::Port remote_port;  // 0: not to be seen
};

bool is_icmp_error(net::Protocol protocol, Bytes bytes) {
  return protocol == net::Protocol::icmp && !bytes.empty() &&
         (bytes[0] == net::icmp::unreachable || bytes[0] == net::icmp::time_exceeded ||
          bytes[0] == net::icmp::parameter_problem);
}

Flow flow_of(const net::Ipv4Header& ip, Bytes bytes, bool outbound) {
  Flow flow{
      outbound ? ip.source : ip.destination, outbound ? ip.destination : ip.source, net::Protocol{ip.protocol}, {}};
  const bool has_ports = flow.protocol == net::Protocol::tcp || flow.protocol == net::Protocol::udp;
  if (!has_ports || ip.fragment_offset_bytes() != 0 || bytes.size() < sizeof(net::UdpHeader)) return flow;
  const auto& ports = net::header_at<net::UdpHeader>(bytes.data());
  flow.remote_port = outbound ? ports.destination : ports.source;
  return flow;
}

// What the packet is about: itself, or the one that an error quotes, which went the other way.
std::optional<Flow> subject_of(const net::Ipv4Header& ip, Bytes bytes, bool outbound) {
  const Flow own = flow_of(ip, bytes, outbound);
  if (!is_icmp_error(own.protocol, bytes) || ip.fragment_offset_bytes() != 0) return own;
  if (bytes.size() < sizeof(net::IcmpHeader) + sizeof(net::Ipv4Header)) return std::nullopt;
  const Bytes quoted = bytes.subspan(sizeof(net::IcmpHeader));
  const auto& quoted_ip = net::header_at<net::Ipv4Header>(quoted.data());
  if (quoted_ip.version() != 4 || quoted_ip.header_bytes() < sizeof quoted_ip) return std::nullopt;
  const Flow flow = flow_of(quoted_ip, quoted.subspan(std::min(quoted_ip.header_bytes(), quoted.size())), !outbound);
  if (flow.inside != own.inside) return std::nullopt;
  return flow;
}

bool is_of(const Flow& flow, const PassThrough& row) {
  return flow.inside == row.inside && net::contains(row.destination, flow.remote) &&
         (row.protocol == PassThrough::any || row.protocol == flow.protocol) &&
         (row.port == net::Port{} || row.port == flow.remote_port);
}

const PassThrough* find(std::span<const PassThrough> rows, const net::Ipv6* b4, const net::Ipv4Header& ip,
                        Bytes bytes) {
  const bool outbound = b4 != nullptr;
  const net::Ipv4 inside = outbound ? ip.source : ip.destination;
  std::optional<Flow> flow;
  for (const auto& row : rows) {
    if (row.inside != inside || (outbound && row.b4 != *b4)) continue;
    if (!flow) flow = subject_of(ip, bytes, outbound);  // only for what may be of a row: nothing else pays for it
    if (!flow) return nullptr;
    if (is_of(*flow, row)) return &row;
  }
  return nullptr;
}

}  // namespace

const PassThrough* find_outbound(std::span<const PassThrough> rows, const net::Ipv6& b4, const net::Ipv4Header& ip,
                                 Bytes bytes) {
  return find(rows, &b4, ip, bytes);
}

const PassThrough* find_inbound(std::span<const PassThrough> rows, const net::Ipv4Header& ip, Bytes bytes) {
  return find(rows, nullptr, ip, bytes);
}

}  // namespace portolan::pipeline
