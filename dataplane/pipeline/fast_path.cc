#include "dataplane/pipeline/fast_path.h"

#include <algorithm>
#include <emmintrin.h>

#include "dataplane/pipeline/plain_packet.h"
#include "dataplane/pipeline/translate.h"

namespace portolan::pipeline {

namespace {

// What Linux B4s put between: a destination options header with an encapsulation limit (RFC 2473 §4.1.1), then IPv4.
constexpr uint64_t limit_option = net::swap_if_little(uint64_t{0x0400'0401'0001'0100});
constexpr uint64_t limit_option_mask = net::swap_if_little(uint64_t{0xffff'ffff'00ff'ffff});
constexpr uint64_t mac_mask = net::swap_if_little(uint64_t{0xffff'ffff'ffff'0000});

constexpr uint8_t tcp_turns = net::tcp_syn | net::tcp_fin | net::tcp_rst;  // flags that move a connection's state
constexpr uint32_t shortest_ipv4 = ipv4_bytes + sizeof(net::UdpHeader);
constexpr uint32_t shortest_frame = sizeof(net::EthernetHeader) + sizeof(net::VlanTag) + shortest_ipv4;

uint16_t raw(net::EtherType type) { return net::be16(static_cast<uint16_t>(type)).raw(); }

net::Port port_at(const uint8_t* ip, bool source) {
  return load<net::Port>(ip + ipv4_bytes + (source ? 0 : sizeof(net::Port)));
}

EndpointWord remote_of(const uint8_t* ip, bool outbound) {
  const uint64_t address =
      load<uint32_t>(ip + (outbound ? offsetof(net::Ipv4Header, destination) : offsetof(net::Ipv4Header, source)));
  return address | uint64_t{load<uint16_t>(ip + ipv4_bytes + (outbound ? sizeof(net::Port) : 0))} << 32;
}

net::Endpoint endpoint_of(EndpointWord word) {
  return {{net::be32::from_raw(static_cast<uint32_t>(word))}, {net::be16::from_raw(static_cast<uint16_t>(word >> 32))}};
}

bool is_first_remote(const nat::Mapping& mapping, EndpointWord remote) {
  static_assert(offsetof(nat::Mapping, first_remote) + sizeof remote == sizeof mapping);
  const auto* at = reinterpret_cast<const uint8_t*>(&mapping) + offsetof(nat::Mapping, first_remote);
  return ((load<EndpointWord>(at) ^ remote) & endpoint_mask) == 0;
}

// The packet's inside endpoint as OutboundKey's last word.
uint64_t inside_word_of(const uint8_t* ip) {
  const uint64_t address = load<uint32_t>(ip + offsetof(net::Ipv4Header, source));
  const uint64_t port = load<uint16_t>(ip + ipv4_bytes), protocol = ip[offsetof(net::Ipv4Header, protocol)];
  return address | port << 32 | protocol << 48;
}

bool is_of(const nat::Mapping& mapping, const uint8_t* ip) {
  return mapping.inside_address.bits.raw() == load<uint32_t>(ip + offsetof(net::Ipv4Header, source)) &&
         mapping.inside_port.number.raw() == load<uint16_t>(ip + ipv4_bytes) &&
         static_cast<uint8_t>(mapping.protocol) == ip[offsetof(net::Ipv4Header, protocol)];
}

// Puts what goes before an IPv4 packet there; returns the frame's start.
uint8_t* write_link(uint8_t* at, const FastConfig::Way& way, uint32_t link_bytes) {
  constexpr uint32_t untagged = sizeof(net::EthernetHeader);
  uint8_t* start = at - link_bytes;
  std::memcpy(start, way.header.data(), untagged);
  if (link_bytes != untagged) [[unlikely]]
    std::memcpy(start + untagged, way.header.data() + untagged, sizeof(net::VlanTag));
  return start;
}

struct Work {  // a packet between the loops
  uint8_t* ip;
  const nat::MappingIndex* slot;  // inbound
  Ipv6Words b4;                   // outbound
  uint32_t frame, hash;
  nat::MappingIndex mapping;
  PlainPacket packet;
  Side side;
  uint8_t softwire, tos;  // tos: to leave with
};

using KeyWords = std::array<uint64_t, 3>;  // an OutboundKey as it lies in memory
KeyWords key_of(const Work& work, const Ipv6Words& mask) {
  return {work.b4[0] & mask[0], work.b4[1] & mask[1], inside_word_of(work.ip)};
}

}  // namespace

// One burst on its way. The loops are functions of their own, so that each has the registers to itself; what a packet
// usually needs is inlined into them, what is rare is called.
class FastPath::Pass {
 public:
  Pass(FastPath& path, std::span<Frame> frames, bool handed_over, uint32_t now_s)
      : path_(path),
        shard_(path.shard_),
        config_(*path.config_),
        fast_(path.fast_),
        frames_(frames),
        handed_over_(handed_over),
        now_s_(now_s) {}

  size_t forward() {
    if (!frames_.empty()) sort();
    while (outbound_looked_up_ < outbound_count_) look_up_outbound();
    while (inbound_looked_up_ < inbound_count_) look_up_inbound();
    if (outbound_count_ > 0 && fast_.to_internet.open) send_outbound();
    const size_t sent_outbound = sent_;
    if (inbound_count_ > 0) send_inbound();
    count(sent_outbound);
    return sent_;
  }

 private:
  // First loop: whose packet it is, and where its mapping would be found; so many packets behind it, which record that
  // is. Evenly spread, for a core keeps but some twenty lines under way: whoever asks for 64 at once waits for most.
  static constexpr size_t lag = 8;
  void sort() {
    if (handed_over_) return sort_any();
    switch (frames_.front().side) {
      case Side::access:
        return sort_from<Side::access>();
      case Side::internet:
        return sort_from<Side::internet>();
      case Side::inside:
        return sort_from<Side::inside>();
    }
  }
  [[gnu::always_inline]] void look_up_outbound() {
    Work& work = outbound_[outbound_looked_up_++];
    shard_.prefetch_record(work.mapping = shard_.candidate(work.hash));
    if (work.mapping == nat::null_mapping) [[unlikely]]
      path_.openings_.expect(std::bit_cast<nat::OutboundKey>(key_of(work, mask_of(work))));
  }
  [[gnu::always_inline]] void look_up_inbound() {
    Work& work = inbound_[inbound_looked_up_++];
    shard_.prefetch_record(work.mapping = *work.slot);
  }

  // All from one device, whose frames mostly have one shape.
  template <Side side>
  [[gnu::noinline, gnu::flatten]] void sort_from() {
    const auto& shape = fast_.shapes[static_cast<size_t>(side)];
    const auto octets = load<__m128i>(shape.octets.data()), mask = load<__m128i>(shape.mask.data());
    const int fits = shape.fits;
    for (uint32_t i = 0; i < frames_.size(); ++i) {
      const Frame& frame = frames_[i];
      if (frame.bytes < shortest_frame) {
        leave(i);
        continue;
      }
      const __m128i differs = _mm_and_si128(_mm_xor_si128(load<__m128i>(frame.data), octets), mask);
      if (_mm_movemask_epi8(_mm_cmpeq_epi8(differs, _mm_setzero_si128())) == fits && frame.vlan == 0) [[likely]]
        take<side>(frame, i, sizeof(net::EthernetHeader));
      else
        sort_by_door(frame, i);
    }
  }

  template <Side side>
  void take(const Frame& frame, uint32_t number, uint32_t link_bytes) {
    uint8_t* at = frame.data + link_bytes;
    const uint32_t bytes = frame.bytes - link_bytes;
    Work& work = side == Side::internet ? inbound_[inbound_count_] : outbound_[outbound_count_];
    work.frame = number;
    work.side = side;
    if constexpr (side == Side::internet) {
      inbound_count_ += take_internet(at, bytes, work) ? 1U : 0U;
      if (inbound_count_ > inbound_looked_up_ + lag) look_up_inbound();
    } else {
      const bool taken = side == Side::access ? take_softwire(at, bytes, work) : take_inside(at, bytes, work);
      if (!taken) return leave(number);
      if (++outbound_count_ > outbound_looked_up_ + lag) look_up_outbound();
    }
  }

  bool take_softwire(uint8_t* at, uint32_t bytes, Work& work) const {
    const auto first = load<uint64_t>(at);  // version, class, flow, payload length, next header, hop limit
    uint32_t room = net::swap_if_little(static_cast<uint16_t>(first >> 32));
    const net::Protocol next{static_cast<uint8_t>(first >> 48)};
    if (room + ipv6_bytes > bytes) return false;
    work.ip = at + ipv6_bytes;
    if (next != net::Protocol::ipv4) {
      if (next != net::Protocol::destination_options || room < sizeof(net::EncapsulationLimit) ||
          (load<uint64_t>(work.ip) & limit_option_mask) != limit_option)
        return false;
      work.ip += sizeof(net::EncapsulationLimit);
      room -= static_cast<uint32_t>(sizeof(net::EncapsulationLimit));
    }
    const auto to = load<Ipv6Words>(at + offsetof(net::Ipv6Header, destination));
    const auto b4 = load<Ipv6Words>(at + offsetof(net::Ipv6Header, source));
    work.softwire = 0;
    if (!same(fast_.softwires[0], to) && !find_softwire(to, work.softwire)) return false;
    if (room < shortest_ipv4 || !allowed(b4) || !is_plain(work.ip, room, work.packet)) return false;
    const auto outer_class = static_cast<uint8_t>(first << 4 | (first >> 12 & 0xf));
    work.tos = work.ip[offsetof(net::Ipv4Header, tos)];
    if (outer_class != work.tos && !take_class(outer_class, work.tos)) return false;
    if (!may_be_behind_b4(work.ip + offsetof(net::Ipv4Header, source)) ||
        !is_remote(work.ip + offsetof(net::Ipv4Header, destination)) || work.packet.total > fast_.internet_mtu_bytes)
      return false;
    work.b4 = b4;
    return look_up(work, {b4[0] & fast_.softwire_mask[0], b4[1] & fast_.softwire_mask[1], inside_word_of(work.ip)});
  }

  bool take_inside(uint8_t* at, uint32_t bytes, Work& work) const {
    if (!is_plain(at, bytes, work.packet) || work.packet.total > fast_.internet_mtu_bytes) return false;
    const auto& ip = net::header_at<net::Ipv4Header>(at);
    if (!is_subscriber(ip.source) || !is_remote(at + offsetof(net::Ipv4Header, destination))) return false;
    work.ip = at;
    const uint64_t mapped = net::swap_if_little(uint64_t{0xffff'0000'0000}) | uint64_t{ip.source.bits.raw()} << 32;
    work.b4 = {0, mapped & fast_.plain_mask[1]};
    work.softwire = 0;
    work.tos = ip.tos;
    return look_up(work, {0, work.b4[1], inside_word_of(at)});
  }

  bool look_up(Work& work, const KeyWords& key) const {
    if (fast_.many_workers && !handed_over_ && !is_my_subscriber(key)) return false;
    work.hash = shard_.hash(key);
    shard_.prefetch(work.hash);
    return true;
  }

  bool take_internet(uint8_t* at, uint32_t bytes, Work& work) const {
    if (!is_plain(at, bytes, work.packet)) return false;
    const auto& ip = net::header_at<net::Ipv4Header>(at);
    const uint32_t destination = ip.destination.bits;
    uint32_t number = destination - fast_.pool.first;
    if (number >= fast_.pool.count && !find_number(ip.destination, number)) return false;
    if (destination == fast_.internet_address) return false;
    if (!is_remote(at + offsetof(net::Ipv4Header, source))) return false;
    const net::Port port = port_at(at, false);
    const net::Protocol protocol = work.packet.tcp ? net::Protocol::tcp : net::Protocol::udp;
    if (!fast_.many_workers)
      work.slot = &shard_.inbound_place(number, protocol, port);
    else if (!(work.slot = my_place(number, protocol, port)))
      return false;
    work.ip = at;
    work.tos = static_cast<uint8_t>((ip.tos & fast_.inbound_tos_mask) | fast_.inbound_tos);
    __builtin_prefetch(work.slot);
    return true;
  }

  // As b4_allowed() of parse.cc, but for addresses out of the ordinary.
  [[nodiscard]] bool allowed(const Ipv6Words& b4) const {
    const auto& [address, mask] = fast_.prefixes[0];
    const bool of_first = (((b4[0] & mask[0]) ^ address[0]) | ((b4[1] & mask[1]) ^ address[1])) == 0;
    if (!of_first && !allowed_by_another(b4)) return false;
    const bool like_ours = b4[0] == fast_.ours[0][0] || b4[0] == fast_.ours[1][0] || fast_.ours_count > 2;
    return !like_ours || !is_ours(b4);
  }

  [[nodiscard]] bool may_be_behind_b4(const uint8_t* address) const {
    const uint8_t octet = fast_.octets[address[0]];
    return (octet & FastConfig::inner_source) != 0 ||
           ((octet & FastConfig::look_at_source) != 0 && is_private(load<net::Ipv4>(address)));
  }

  [[nodiscard]] bool is_subscriber(net::Ipv4 address) const {
    const uint32_t bits = address.bits;
    const auto& [first, last] = fast_.inside;
    return (bits - first <= last - first || is_of_another_inside(address)) && bits != fast_.inside_address;
  }

  // Whether it is an address out there, and nobody's here.
  [[nodiscard]] bool is_remote(const uint8_t* address) const {
    const uint8_t octet = fast_.octets[address[0]];
    if ((octet & (FastConfig::never_remote | FastConfig::look_at_remote)) == 0) return true;
    if ((octet & FastConfig::never_remote) != 0) return false;
    return !fast_.second_octets[address[1]] || is_nobodys(load<net::Ipv4>(address));
  }

  // Third loop, of what comes from inside. What cannot go is for the stages, and untouched.
  [[gnu::noinline, gnu::flatten]] void send_outbound() {
    const FastConfig::Way& way = fast_.to_internet;
    const uint32_t link_bytes = way.link_bytes;
    path_.openings_.start();
    for (size_t i = 0; i < outbound_count_; ++i) {
      Work& work = outbound_[i];
      const nat::Mapping* mapping = &shard_[work.mapping];
      const bool found = is_of(*mapping, work.ip) && same(words_of(mapping->b4), work.b4);
      const bool usual =
          found && (work.packet.tcp_flags & tcp_turns) == 0 && mapping->softwire == work.softwire &&
          mapping->is_steady_outbound(is_first_remote(*mapping, remote_of(work.ip, true)), fast_.knows_remotes);
      if (!usual) {
        if (!admit_outbound(work, found)) {
          leave(work.frame);
          continue;
        }
        mapping = &shard_[work.mapping];
      } else if (mapping->last_seen_s != now_s_) {
        shard_.stamp(work.mapping, now_s_);
      }
      const auto& ip = net::header_at<net::Ipv4Header>(work.ip);
      if (!ip.is_atomic() || work.tos != ip.tos) rewrite_rest_outbound(work, *mapping);
      rewrite_plain<true>(work.ip, work.packet.tcp, mapping->outside_address.bits.raw(),
                          mapping->outside_port.number.raw(), mapping->address_delta, mapping->endpoint_delta);
      Frame& frame = frames_[work.frame];
      note_sent(work.side, frame.bytes);
      frame.data = write_link(work.ip, way, link_bytes);
      frame.bytes = work.packet.total + link_bytes;
      frame.side = Side::internet;
      frame.sent = true;
    }
  }

  // The same of what comes from the internet.
  [[gnu::noinline, gnu::flatten]] void send_inbound() {
    for (size_t i = 0; i < inbound_count_; ++i) {
      Work& work = inbound_[i];
      const nat::Mapping& mapping = shard_[work.mapping];  // that of none is free
      const bool plain = mapping.has(nat::Mapping::plain);
      const uint32_t total = work.packet.total;
      if (!mapping.has(nat::Mapping::in_use) || !(plain ? fits_inside(total) : fits_softwire(mapping, total))) continue;
      const bool refreshes = fast_.udp_inbound_refresh && !work.packet.tcp && mapping.last_seen_s != now_s_;
      const bool usual =
          (work.packet.tcp_flags & tcp_turns) == 0 && !refreshes &&
          mapping.is_steady_inbound(is_first_remote(mapping, remote_of(work.ip, false)), fast_.knows_remotes);
      if (!usual && !admit_inbound(work, plain)) continue;
      const auto& ip = net::header_at<net::Ipv4Header>(work.ip);
      if (work.tos != ip.tos) rewrite_rest(work.ip, work.tos, ip.identification);
      // Backwards is the ones-complement negative.
      rewrite_plain<false>(work.ip, work.packet.tcp, mapping.inside_address.bits.raw(),
                           mapping.inside_port.number.raw(), static_cast<uint16_t>(~mapping.address_delta),
                           static_cast<uint16_t>(~mapping.endpoint_delta));
      Frame& frame = frames_[work.frame];
      note_sent(Side::internet, frame.bytes);
      frame.data =
          plain ? write_link(work.ip, fast_.to_inside, fast_.to_inside.link_bytes) : encapsulate(work, mapping);
      frame.bytes = total + static_cast<uint32_t>(work.ip - frame.data);
      frame.side = plain ? Side::inside : Side::access;
      frame.sent = true;
    }
  }

  [[nodiscard]] bool fits_inside(uint32_t total) const {
    return fast_.to_inside.open && total <= fast_.inside_mtu_bytes;
  }

  [[nodiscard]] bool fits_softwire(const nat::Mapping& mapping, uint32_t total) const {
    if (mapping.softwire >= fast_.softwire_count || total > fast_.softwire_fits_bytes) return false;
    if (!fast_.into_softwire[mapping.softwire].open) return false;
    return total <= ipv6_mtu_min_bytes - fast_.overhead_bytes || !path_.path_mtus_.any(now_s_) ||
           fits_path(mapping, total);
  }

  [[nodiscard]] uint8_t* encapsulate(const Work& work, const nat::Mapping& mapping) const {
    const FastConfig::Way& way = fast_.into_softwire[mapping.softwire];
    uint8_t* start = work.ip - fast_.overhead_bytes - way.link_bytes;
    constexpr size_t before_destination = FastConfig::tunnel_bytes_usual - sizeof(net::Ipv6);
    std::memcpy(start, way.header.data(), before_destination);
    if (fast_.overhead_bytes + way.link_bytes != FastConfig::tunnel_bytes_usual) [[unlikely]]
      std::memcpy(start, way.header.data(), fast_.overhead_bytes + way.link_bytes);
    auto& outer = net::header_at<net::Ipv6Header>(start + way.link_bytes);
    const auto outer_class = static_cast<uint8_t>((work.tos & fast_.outer_class_mask) | fast_.outer_class);
    outer.version_class_flow = uint32_t{6} << 28 | uint32_t{outer_class} << 20;  // flow label 0
    outer.payload_length = static_cast<uint16_t>(work.packet.total + fast_.overhead_bytes - ipv6_bytes);
    outer.destination = mapping.b4;
    return start;
  }

  void note_sent(Side received_from, uint32_t bytes) {
    ++sent_;
    received_[static_cast<size_t>(received_from)] += one_packet | bytes;
  }

  void count(size_t sent_outbound) {
    auto& counters = path_.counters_;
    counters.translated_outbound.add(sent_outbound);
    counters.translated_inbound.add(sent_ - sent_outbound);
    for (size_t side = 0; side < side_count && !handed_over_; ++side) {
      if (received_[side] == 0) continue;
      counters.sides[side].received.add(received_[side] / one_packet);
      counters.sides[side].received_bytes.add(received_[side] % one_packet);
    }
  }

  // What is rare.

  // To the stages, which open mappings after this pass: to keep the order, none is opened here for a later frame.
  void leave(uint32_t frame) { left_from_ = std::min(left_from_, frame); }

  [[gnu::noinline]] void sort_any() {
    for (uint32_t i = 0; i < frames_.size(); ++i)
      if (frames_[i].bytes >= shortest_frame)
        sort_by_door(frames_[i], i);
      else
        leave(i);
  }

  // On a device that several sides share, or tagged, or handed over.
  [[gnu::noinline]] void sort_by_door(const Frame& frame, uint32_t number) {
    uint32_t link_bytes = sizeof(net::EthernetHeader);
    unsigned vlan = frame.vlan & net::vlan_mask;
    uint16_t type = load<uint16_t>(frame.data + offsetof(net::EthernetHeader, type));
    if (type == raw(net::EtherType::vlan) && vlan == 0) {
      const auto& tag = net::header_at<net::VlanTag>(frame.data + link_bytes);
      vlan = tag.control & net::vlan_mask;
      type = tag.type.raw();
      link_bytes += sizeof tag;
    }
    const bool ipv6 = type == raw(net::EtherType::ipv6);
    if ((!ipv6 && type != raw(net::EtherType::ipv4)) || (ipv6 && frame.data[link_bytes] >> 4 != 6))
      return leave(number);
    const auto& doors = (ipv6 ? fast_.ipv6_doors : fast_.ipv4_doors)[static_cast<size_t>(frame.side)];
    const auto& door = doors[0].vlan == vlan ? doors[0] : doors[1];
    if (door.vlan != vlan || (load<uint64_t>(frame.data) & mac_mask) != door.mac) return leave(number);
    if (door.side == Side::access) return take<Side::access>(frame, number, link_bytes);
    if (door.side == Side::internet) return take<Side::internet>(frame, number, link_bytes);
    take<Side::inside>(frame, number, link_bytes);
  }

  [[gnu::noinline]] bool find_softwire(const Ipv6Words& to, uint8_t& softwire) const {
    while (softwire < fast_.softwire_count && !same(fast_.softwires[softwire], to)) ++softwire;
    return softwire < fast_.softwire_count;
  }

  [[gnu::noinline]] bool allowed_by_another(const Ipv6Words& b4) const {
    for (uint32_t i = 1; i < fast_.prefix_count; ++i) {
      const auto& [address, mask] = fast_.prefixes[i];
      if ((((b4[0] & mask[0]) ^ address[0]) | ((b4[1] & mask[1]) ^ address[1])) == 0) return true;
    }
    return false;
  }

  [[gnu::noinline]] bool is_ours(const Ipv6Words& b4) const {
    const auto ours = std::span(fast_.ours).first(fast_.ours_count);
    return std::ranges::any_of(ours, [&](const Ipv6Words& each) { return same(each, b4); });
  }

  // The type of service to leave with where the two differ; false for what must be dropped (RFC 6040 §4.2).
  [[gnu::noinline]] bool take_class(uint8_t outer_class, uint8_t& tos) const {
    constexpr unsigned ecn = 3, not_ect = 0, ce = 3;
    if ((outer_class & ecn) == ce && (tos & ecn) == not_ect) return false;
    tos = decapsulated_tos(tos, outer_class, config_.softwire.pipe_dscp.has_value());
    return true;
  }

  [[gnu::noinline]] bool is_private(net::Ipv4 source) const {
    for (const auto& row : config_.pass_through)  // goes the long way
      if (row.inside == source) return false;
    return net::contains({{0x0a000000}, 8}, source) || net::contains({{0xac100000}, 12}, source) ||
           net::contains({{0xc0a80000}, 16}, source);
  }

  [[gnu::noinline]] bool is_of_another_inside(net::Ipv4 address) const {
    for (const auto& prefix : config_.inside.prefixes)
      if (net::contains(prefix, address)) return true;
    return false;
  }

  [[gnu::noinline]] bool is_nobodys(net::Ipv4 address) const {
    for (uint32_t i = 0; i < fast_.ours_ipv4_count; ++i)
      if (address.bits - fast_.ours_ipv4[i].first <= fast_.ours_ipv4[i].last - fast_.ours_ipv4[i].first) return false;
    return true;
  }

  // In a pool of several spans.
  [[gnu::noinline]] bool find_number(net::Ipv4 address, uint32_t& number) const {
    const auto found = config_.policy.pool.number_of(address);
    if (found) number = *found;
    return found.has_value();
  }

  [[gnu::noinline]] const nat::MappingIndex* my_place(uint32_t number, net::Protocol protocol, net::Port port) const {
    const nat::Pool& pool = config_.policy.pool;
    if (pool.owner(number, port) != path_.index_) return nullptr;
    return &shard_.inbound_place(pool.local_of(number), protocol, port);
  }

  [[gnu::noinline]] bool is_my_subscriber(const KeyWords& key) const {
    return config_.policy.pool.owner_of(std::bit_cast<nat::OutboundKey>(key).subscriber) == path_.index_;
  }

  [[gnu::noinline]] bool fits_path(const nat::Mapping& mapping, uint32_t total) const {
    return total + fast_.overhead_bytes <= path_.path_mtus_.to(mapping.b4, config_.softwire.mtu_bytes, now_s_);
  }

  [[gnu::noinline]] void rewrite_rest_outbound(const Work& work, const nat::Mapping& mapping) {
    const auto& ip = net::header_at<net::Ipv4Header>(work.ip);
    const bool shared = config_.policy.pool.is_shared();
    rewrite_rest(work.ip, work.tos,
                 ip.is_atomic() ? ip.identification
                                : net::be16(path_.identifications_.next(mapping.outside_address, ip.destination,
                                                                        mapping.protocol, shared)));
  }

  // What moves a connection, or may be refused, or comes from another B4. Not `found`: the second loop's guess was
  // another's mapping, or one of another B4 before.
  [[gnu::noinline]] bool admit_outbound(Work& work, bool found) {
    const auto b4 = std::bit_cast<net::Ipv6>(work.b4);
    const net::Endpoint remote = endpoint_of(remote_of(work.ip, true));
    const uint8_t flags = work.packet.tcp_flags;
    if (!found && !find_or_open(work, b4, remote)) return false;
    if (shard_.admit_outbound(work.mapping, b4, work.softwire, remote, flags, now_s_)) return false;
    if ((flags & net::tcp_syn) == 0) return true;
    clamp_mss(net::header_at<net::TcpHeader>(work.ip + ipv4_bytes),
              work.side == Side::inside ? config_.inside.tcp_mss_max : config_.softwire.tcp_mss_max);
    path_.held_syns_.forget(shard_[work.mapping].outside(), remote);
    return true;
  }

  // As Worker::open_mappings().
  bool find_or_open(Work& work, const net::Ipv6& b4, net::Endpoint remote) {
    Openings& openings = path_.openings_;
    if (work.mapping == nat::null_mapping) openings.go_on();
    const auto key = std::bit_cast<nat::OutboundKey>(key_of(work, mask_of(work)));
    work.mapping = shard_.find(key, work.hash);
    if (work.mapping != nat::null_mapping) return true;
    if (work.frame > left_from_ || openings.spent() || (work.packet.tcp && !opens_mapping(work.packet.tcp_flags)))
      return false;
    const auto made = shard_.open_mapping(key, work.hash, b4, work.softwire, remote, now_s_);
    if (!made) return false;
    work.mapping = *made;
    openings.spend();
    return true;
  }

  [[nodiscard]] const Ipv6Words& mask_of(const Work& work) const {
    return work.side == Side::access ? fast_.softwire_mask : fast_.plain_mask;
  }

  [[gnu::noinline]] bool admit_inbound(const Work& work, bool plain) {
    const uint8_t flags = work.packet.tcp_flags;
    if (shard_.admit_inbound(work.mapping, endpoint_of(remote_of(work.ip, false)), flags, now_s_)) return false;
    if ((flags & net::tcp_syn) != 0)
      clamp_mss(net::header_at<net::TcpHeader>(work.ip + ipv4_bytes),
                plain ? config_.inside.tcp_mss_max : config_.softwire.tcp_mss_max);
    return true;
  }

  FastPath& path_;
  nat::Shard& shard_;
  const Snapshot& config_;
  const FastConfig& fast_;
  const std::span<Frame> frames_;
  const bool handed_over_;
  const uint32_t now_s_;
  uint32_t left_from_ = ~uint32_t{0};  // the first frame that is left
  size_t outbound_count_ = 0, inbound_count_ = 0, outbound_looked_up_ = 0, inbound_looked_up_ = 0, sent_ = 0;
  static constexpr uint64_t one_packet = uint64_t{1} << 32;
  std::array<uint64_t, side_count> received_{};  // by Side: packets in the high half, octets in the low one
  std::array<Work, burst_max> outbound_, inbound_;
};

FastPath::FastPath(unsigned index, nat::Shard& shard, const Gateways& gateways, WorkerCounters& counters,
                   Identifications& identifications, const PathMtus& path_mtus, HeldSyns& held_syns, Openings& openings)
    : index_(index),
      shard_(shard),
      gateways_(gateways),
      counters_(counters),
      identifications_(identifications),
      path_mtus_(path_mtus),
      held_syns_(held_syns),
      openings_(openings) {}

void FastPath::use(const Snapshot& snapshot) {
  config_ = &snapshot;
  fast_ = FastConfig(snapshot);
}

size_t FastPath::run(std::span<Frame> frames, bool handed_over, uint32_t now_s) {
  fast_.open_ways(*config_, gateways_);
  return Pass(*this, frames, handed_over, now_s).forward();
}

}  // namespace portolan::pipeline
