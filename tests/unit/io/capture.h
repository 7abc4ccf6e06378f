// Capture files (pcap, microseconds, Ethernet) and the frames the dataplane tests put into them. No state.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "dataplane/net/types.h"

namespace portolan::io::test {

using Frame = std::vector<uint8_t>;

void write_capture(const std::filesystem::path& path, const std::vector<Frame>& frames);
std::vector<Frame> read_capture(const std::filesystem::path& path);

inline constexpr net::Mac access_mac{{2, 0, 0, 0, 0, 1}}, internet_mac{{2, 0, 0, 0, 0, 2}};
inline constexpr net::Mac access_gateway_mac{{2, 0, 0, 0, 1, 1}}, internet_gateway_mac{{2, 0, 0, 0, 1, 2}};

net::Ipv6 b4_of(unsigned subscriber);  // 2001:db8:b4:N00::1, each in a /56 of its own

// UDP from 10.0.0.2 behind a B4, as the AFTR receives it on the access side.
Frame softwire_udp(unsigned subscriber, net::Port inside_port, net::Endpoint remote, std::string_view payload);
Frame internet_udp(net::Endpoint from, net::Endpoint to, std::string_view payload);
Frame arp_request(net::Ipv4 sender, net::Ipv4 target);

}  // namespace portolan::io::test
