// Checks of received packets; pure functions of their bytes.
#include "controlplane/router/packet_view.h"

#include <algorithm>

namespace portolan::control {

namespace {

constexpr unsigned extension_headers_max = 8;

// Moves `view` behind one extension header. False if it is none, ends the chain, or does not fit.
bool step_over_extension(Ipv6View& view) {
  if (view.protocol == net::Protocol::fragment) {
    if (view.payload.size() < sizeof(net::Ipv6Fragment)) return false;
    const auto& fragment = net::header_at<net::Ipv6Fragment>(view.payload.data());
    view.fragment = (fragment.offset_more & 0xfff9) != 0;
    view.later_fragment = fragment.offset_more >> 3 != 0;
    if (view.later_fragment) return false;
    view.protocol = net::Protocol{fragment.next_header};
    view.payload = view.payload.subspan(sizeof fragment);
    return true;
  }
  if (view.payload.size() < sizeof(net::Ipv6Extension)) return false;
  const auto& extension = net::header_at<net::Ipv6Extension>(view.payload.data());
  if (view.payload.size() < extension.bytes()) return false;
  view.protocol = net::Protocol{extension.next_header};
  view.payload = view.payload.subspan(extension.bytes());
  return true;
}

bool is_extension(net::Protocol protocol) {
  return protocol == net::Protocol::hop_by_hop || protocol == net::Protocol::routing ||
         protocol == net::Protocol::fragment || protocol == net::Protocol::destination_options;
}

}  // namespace

std::optional<Ipv4View> view_quoted_ipv4(Bytes bytes) {
  if (bytes.size() < sizeof(net::Ipv4Header)) return std::nullopt;
  const auto& header = net::header_at<net::Ipv4Header>(bytes.data());
  const size_t header_bytes = header.header_bytes(), total_bytes = header.total_length;
  if (header.version() != 4 || header_bytes < sizeof header || total_bytes < header_bytes) return std::nullopt;
  const Bytes packet = bytes.first(std::min(total_bytes, bytes.size()));
  if (packet.size() < std::min(header_bytes + 8, total_bytes) || !net::checksum_is_right(header)) return std::nullopt;
  return Ipv4View{header, packet, packet.subspan(header_bytes)};
}

std::optional<Ipv4View> view_ipv4(Bytes bytes) {
  const auto view = view_quoted_ipv4(bytes);
  return view && view->packet.size() == view->header.total_length ? view : std::nullopt;
}

std::optional<Ipv6View> view_ipv6(Bytes bytes) {
  if (bytes.size() < sizeof(net::Ipv6Header)) return std::nullopt;
  const auto& header = net::header_at<net::Ipv6Header>(bytes.data());
  const size_t packet_bytes = sizeof header + header.payload_length;
  if (header.version() != 6 || packet_bytes > bytes.size()) return std::nullopt;
  const Bytes packet = bytes.first(packet_bytes);
  Ipv6View view{.header = header,
                .packet = packet,
                .payload = packet.subspan(sizeof header),
                .protocol = net::Protocol{header.next_header},
                .next_header_at = offsetof(net::Ipv6Header, next_header)};
  for (unsigned i = 0; i < extension_headers_max && is_extension(view.protocol); ++i) {
    const auto at = static_cast<uint16_t>(view.payload.data() - packet.data());  // every one begins with its successor
    if (!step_over_extension(view)) break;
    view.next_header_at = at;
  }
  view.complete = !is_extension(view.protocol);
  return view;
}

bool is_single_host(net::Ipv4 address) {
  const uint32_t first = address.bits >> 24;
  return first != 0 && first != 127 && first < 224;  // this network, loopback, multicast, class E with broadcast
}

bool is_single_host(const net::Ipv6& address) {
  constexpr net::Ipv6 unspecified{}, loopback{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  return address != unspecified && address != loopback && !net::is_multicast(address) && !net::is_mapped(address);
}

}  // namespace portolan::control
