// Whether a record is a packet's and the packet changes nothing of it but the time of last use: what the fast path asks
// of each one, in compares of 16 octets where asking field by field costs three times the instructions. A yes is what
// the shard would say; a no says nothing, and the shard is asked.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/nat/mapping.h"
#include "dataplane/net/wire.h"
#include "dataplane/pipeline/octets.h"

namespace portolan::pipeline {

// The layout of records and packets that the compares rest on.
namespace steady {

using Values = std::array<uint8_t, 16>;
inline constexpr size_t udp = 0, tcp = 1;  // bool is_tcp

// The quarters of the record that are looked at, and the octets of the packet from TTL to ports.
inline constexpr size_t first = 0, second = 16, last = 48, packet_at = offsetof(net::Ipv4Header, ttl);
static_assert(offsetof(nat::Mapping, b4) == first && offsetof(nat::Mapping, softwire) < second + 16);
static_assert(offsetof(nat::Mapping, first_remote) >= last);
inline constexpr size_t source_at = offsetof(net::Ipv4Header, source) - packet_at,
                        destination_at = offsetof(net::Ipv4Header, destination) - packet_at,
                        protocol_at = offsetof(net::Ipv4Header, protocol) - packet_at,
                        ports_at = sizeof(net::Ipv4Header) - packet_at, port = sizeof(net::Port);

inline constexpr Picture inside =
    Picture{}
        .take(offsetof(nat::Mapping, inside_address) - second, source_at, sizeof(net::Ipv4))
        .take(offsetof(nat::Mapping, inside_port) - second, ports_at, port)
        .take(offsetof(nat::Mapping, protocol) - second, protocol_at, 1);
inline constexpr size_t remote_at = offsetof(nat::Mapping, first_remote) - last;
inline constexpr Picture outbound_remote = Picture{}
                                               .take(remote_at, destination_at, sizeof(net::Ipv4))
                                               .take(remote_at + sizeof(net::Ipv4), ports_at + port, port);
inline constexpr Picture inbound_remote =
    Picture{}.take(remote_at, source_at, sizeof(net::Ipv4)).take(remote_at + sizeof(net::Ipv4), ports_at, port);

// Flags that make no difference to a packet. A flag that these do not know is one that does.
inline constexpr uint8_t indifferent = nat::Mapping::explicit_life | nat::Mapping::plain | nat::Mapping::untracked;
constexpr Values with_state(uint8_t flags, nat::TcpState state) {
  Values values{};
  values[offsetof(nat::Mapping, flags) - second] = flags;
  values[offsetof(nat::Mapping, tcp_state) - second] = static_cast<uint8_t>(state);
  return values;
}
constexpr Values with_state_mask(Values mask, uint8_t flags) {
  mask[offsetof(nat::Mapping, flags) - second] = static_cast<uint8_t>(~flags);
  mask[offsetof(nat::Mapping, tcp_state) - second] = 0xff;
  return mask;
}
constexpr Values with_softwire(Values mask) {
  mask[offsetof(nat::Mapping, softwire) - second] = 0xff;
  return mask;
}
alignas(16) inline constexpr std::array<Values, 2> steady_outbound{
    with_state(nat::Mapping::in_use | nat::Mapping::implicit_life, nat::TcpState::none),
    with_state(nat::Mapping::in_use | nat::Mapping::implicit_life, nat::TcpState::established)};
alignas(16) inline constexpr std::array<Values, 2> steady_inbound{
    with_state(nat::Mapping::in_use, nat::TcpState::none),
    with_state(nat::Mapping::in_use, nat::TcpState::established)};
alignas(16) inline constexpr Values outbound_mask = with_softwire(with_state_mask(inside.taken(), indifferent));
alignas(16) inline constexpr Values inbound_mask = with_state_mask({}, indifferent | nat::Mapping::implicit_life);

}  // namespace steady

class Steady {
 public:
  // `knows_remotes`: as nat::Policy's. Without, UDP of any remote is steady.
  explicit Steady(bool knows_remotes) {
    if (!knows_remotes) remote_masks_[steady::udp] = {};
  }

  // `ip`: a TCP or UDP packet without options, of TCP one without SYN, FIN and RST; `b4`: where it came from, as the
  // record has it.
  [[nodiscard]] bool outbound(const nat::Mapping& mapping, const uint8_t* ip, bool is_tcp, Octets b4,
                              uint8_t softwire) const {
    using namespace steady;
    const auto* record = reinterpret_cast<const uint8_t*>(&mapping);
    const Octets packet = octets_at(ip + packet_at);
    const Octets wanted =
        _mm_or_si128(inside.of(packet), _mm_insert_epi8(octets_at(steady_outbound[is_tcp].data()), softwire,
                                                        offsetof(nat::Mapping, softwire) - second));
    return all_zero(
        _mm_xor_si128(octets_at(record + first), b4) |
        differences(octets_at(record + second), wanted, octets_at(outbound_mask.data())) |
        differences(octets_at(record + last), outbound_remote.of(packet), octets_at(remote_masks_[is_tcp].data())));
  }

  // The same of a packet to the mapping's outside endpoint.
  [[nodiscard]] bool inbound(const nat::Mapping& mapping, const uint8_t* ip, bool is_tcp) const {
    using namespace steady;
    const auto* record = reinterpret_cast<const uint8_t*>(&mapping);
    const Octets packet = octets_at(ip + packet_at);
    return all_zero(
        differences(octets_at(record + second), octets_at(steady_inbound[is_tcp].data()),
                    octets_at(inbound_mask.data())) |
        differences(octets_at(record + last), inbound_remote.of(packet), octets_at(remote_masks_[is_tcp].data())));
  }

 private:
  alignas(16) std::array<steady::Values, 2> remote_masks_{steady::outbound_remote.taken(),
                                                          steady::outbound_remote.taken()};
};

}  // namespace portolan::pipeline
