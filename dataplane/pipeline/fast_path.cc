#include "dataplane/pipeline/fast_path.h"

#include <algorithm>

#include "dataplane/pipeline/octets.h"
#include "dataplane/pipeline/plain_packet.h"
#include "dataplane/pipeline/translate.h"

namespace portolan::pipeline {

namespace {

// What Linux B4s put between: a destination options header with an encapsulation limit (RFC 2473 §4.1.1), then IPv4.
constexpr uint64_t limit_option = net::swap_if_little(uint64_t{0x0400'0401'0001'0100});
constexpr uint64_t limit_option_mask = net::swap_if_little(uint64_t{0xffff'ffff'00ff'ffff});
constexpr uint64_t mac_mask = net::swap_if_little(uint64_t{0xffff'ffff'ffff'0000});

constexpr uint32_t shortest_ipv4 = ipv4_bytes + sizeof(net::UdpHeader);
constexpr uint32_t shortest_frame = sizeof(net::EthernetHeader) + sizeof(net::VlanTag) + shortest_ipv4;

uint16_t raw(net::EtherType type) { return net::be16(static_cast<uint16_t>(type)).raw(); }

EndpointWord remote_of(const uint8_t* ip, bool outbound) {
  const uint64_t address =
      load<uint32_t>(ip + (outbound ? offsetof(net::Ipv4Header, destination) : offsetof(net::Ipv4Header, source)));
  return address | uint64_t{load<uint16_t>(ip + ipv4_bytes + (outbound ? sizeof(net::Port) : 0))} << 32;
}

net::Endpoint endpoint_of(EndpointWord word) {
  return {{net::be32::from_raw(static_cast<uint32_t>(word))}, {net::be16::from_raw(static_cast<uint16_t>(word >> 32))}};
}

// The packet's inside endpoint as OutboundKey's last word.
uint64_t inside_word_of(const uint8_t* ip) {
  constexpr size_t from = offsetof(net::Ipv4Header, ttl);
  static constexpr Picture inside = Picture{}
                                        .take(0, offsetof(net::Ipv4Header, source) - from, sizeof(net::Ipv4))
                                        .take(sizeof(net::Ipv4), ipv4_bytes - from, sizeof(net::Port))
                                        .take(sizeof(net::Endpoint), offsetof(net::Ipv4Header, protocol) - from, 1);
  return words_of(inside.of(octets_at(ip + from)))[0];
}

uint8_t tcp_flags_of(const uint8_t* ip, const PlainPacket& packet) {
  return packet.tcp ? net::header_at<net::TcpHeader>(ip + ipv4_bytes).flags : uint8_t{0};
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
  Frame* frame;
  nat::MappingIndex mapping;
  PlainPacket packet;
  uint8_t tos;  // to leave with, if another
};
struct OutboundWork : Work {
  uint32_t hash;
  Ipv6Words b4;
  Side side;
  uint8_t softwire;
};
struct InboundWork : Work {
  const nat::MappingIndex* slot;
};

using KeyWords = std::array<uint64_t, 3>;  // an OutboundKey as it lies in memory
KeyWords key_of(const OutboundWork& work, const Ipv6Words& mask) {
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
    while (outbound_ready_ < outbound_end_) look_up(*outbound_ready_++);
    while (inbound_ready_ < inbound_end_) look_up(*inbound_ready_++);
    if (outbound_end_ != outbound_.data() && fast_.to_internet.open) send_outbound();
    const size_t sent_outbound = sent();
    if (inbound_end_ != inbound_.data()) send_inbound();
    count(sent_outbound);
    return sent();
  }

 private:
  // First loop: whose packet it is, and where its mapping would be found; so many packets behind it, which record that
  // is. Evenly spread, for a core keeps but some twenty lines under way: whoever asks for 64 at once waits for most.
  static constexpr ptrdiff_t lag = 8;
  void sort() {
    const Side side = frames_.front().side;
    if (handed_over_ || !fast_.shapes[static_cast<size_t>(side)].known) return sort_any();
    switch (side) {
      case Side::access:
        return sort_from<Side::access>();
      case Side::internet:
        return sort_from<Side::internet>();
      case Side::inside:
        return sort_from<Side::inside>();
    }
  }
  [[gnu::always_inline]] void look_up(OutboundWork& work) {
    shard_.prefetch_record(work.mapping = shard_.candidate(work.hash));
    if (work.mapping == nat::null_mapping) [[unlikely]]
      path_.openings_.expect(std::bit_cast<nat::OutboundKey>(key_of(work, mask_of(work))));
  }
  [[gnu::always_inline]] void look_up(InboundWork& work) { shard_.prefetch_record(work.mapping = *work.slot); }

  // All from one device, whose frames mostly have one shape. How far it is lies in registers, but for those of another
  // shape.
  template <Side side>
  [[gnu::noinline, gnu::flatten]] void sort_from() {
    const auto& shape = fast_.shapes[static_cast<size_t>(side)];
    const Octets octets = octets_at(shape.octets.data()), mask = octets_at(shape.mask.data());
    auto *&end_now = end_of<side>(), *&ready_now = ready_of<side>();
    auto *end = end_now, *ready = ready_now;
    for (Frame *frame = frames_.data(), *last = frame + frames_.size(); frame != last; ++frame) {
      if (frame->bytes < shortest_frame) [[unlikely]] {
        leave(frame);
        continue;
      }
      if (!all_zero(differences(octets_at(frame->data), octets, mask)) || frame->vlan != 0) [[unlikely]] {
        end_now = end, ready_now = ready;
        sort_by_door(frame);
        end = end_now, ready = ready_now;
        continue;
      }
      constexpr uint32_t link_bytes = sizeof(net::EthernetHeader);
      if (!take<side>(frame->data + link_bytes, frame->bytes - link_bytes, *end)) {
        leave(frame);
        continue;
      }
      end->frame = frame;
      if (++end - ready > lag) look_up(*ready++);
    }
    end_now = end, ready_now = ready;
  }

  template <Side side>
  auto*& end_of() {
    if constexpr (side == Side::internet)
      return inbound_end_;
    else
      return outbound_end_;
  }
  template <Side side>
  auto*& ready_of() {
    if constexpr (side == Side::internet)
      return inbound_ready_;
    else
      return outbound_ready_;
  }

  // Whether the packet at `at` may take the fast path, as far as it can tell; then `work` is set and the load of where
  // its mapping is found has been started.
  template <Side side, class Work>
  bool take(uint8_t* at, uint32_t bytes, Work& work) const {
    if constexpr (side == Side::internet) {
      return take_internet(at, bytes, work);
    } else {
      work.side = side;
      return side == Side::access ? take_softwire(at, bytes, work) : take_inside(at, bytes, work);
    }
  }

  bool take_softwire(uint8_t* at, uint32_t bytes, OutboundWork& work) const {
    const auto first = load<uint64_t>(at);  // version, class, flow, payload length, next header, hop limit
    uint32_t room = net::swap_if_little(static_cast<uint16_t>(first >> 32));
    if (room + ipv6_bytes > bytes) return false;
    const Octets b4 = octets_at(at + offsetof(net::Ipv6Header, source));
    const Octets to = octets_at(at + offsetof(net::Ipv6Header, destination));
    uint8_t* ip = at + ipv6_bytes;
    if (const net::Protocol next{static_cast<uint8_t>(first >> 48)}; next != net::Protocol::ipv4) {
      if (next != net::Protocol::destination_options || room < sizeof(net::EncapsulationLimit) ||
          (load<uint64_t>(ip) & limit_option_mask) != limit_option)
        return false;
      ip += sizeof(net::EncapsulationLimit);
      room -= static_cast<uint32_t>(sizeof(net::EncapsulationLimit));
    }
    PlainPacket& packet = work.packet;
    if (room < shortest_ipv4 || !is_plain(ip, room, packet)) return false;
    const auto& [address, mask] = fast_.prefixes[0];
    const bool usual = all_zero(differences(b4, octets_at(address.data()), octets_at(mask.data())) |
                                _mm_xor_si128(to, octets_at(fast_.softwires[0].data())));
    work.softwire = 0;
    if (!usual && !(find_softwire(to, work.softwire) && allowed(b4))) return false;
    if (may_be_ours(b4) && is_ours(b4)) return false;
    const auto outer_class = static_cast<uint8_t>(net::swap_if_little(static_cast<uint16_t>(first)) >> 4);
    if (outer_class != ip[offsetof(net::Ipv4Header, tos)] && !take_class(outer_class, ip, packet, work.tos))
      return false;
    if (!may_be_behind_b4(ip + offsetof(net::Ipv4Header, source)) ||
        !is_remote(ip + offsetof(net::Ipv4Header, destination)) || packet.total > fast_.internet_mtu_bytes)
      return false;
    const Octets subscriber = _mm_and_si128(b4, octets_at(fast_.softwire_mask.data()));
    work.ip = ip;
    work.b4 = words_of(b4);
    return find_place(work, words_of(subscriber), inside_word_of(ip));
  }

  bool take_inside(uint8_t* at, uint32_t bytes, OutboundWork& work) const {
    PlainPacket& packet = work.packet;
    if (!is_plain(at, bytes, packet) || packet.total > fast_.internet_mtu_bytes) return false;
    const auto& ip = net::header_at<net::Ipv4Header>(at);
    if (!is_subscriber(ip.source) || !is_remote(at + offsetof(net::Ipv4Header, destination))) return false;
    const uint64_t mapped = net::swap_if_little(uint64_t{0xffff'0000'0000}) | uint64_t{ip.source.bits.raw()} << 32;
    work.ip = at;
    work.b4 = {0, mapped & fast_.plain_mask[1]};
    work.softwire = 0;
    return find_place(work, work.b4, inside_word_of(at));
  }

  bool find_place(OutboundWork& work, const Ipv6Words& subscriber, uint64_t inside) const {
    if (fast_.many_workers && !handed_over_ && !is_my_subscriber(subscriber)) return false;
    work.hash = shard_.hash(KeyWords{subscriber[0], subscriber[1], inside});
    shard_.prefetch(work.hash);
    return true;
  }

  bool take_internet(uint8_t* at, uint32_t bytes, InboundWork& work) const {
    PlainPacket& packet = work.packet;
    if (!is_plain(at, bytes, packet)) return false;
    const auto& ip = net::header_at<net::Ipv4Header>(at);
    const uint32_t destination = ip.destination.bits;
    const uint32_t of_span = destination - fast_.pool.first;
    const uint32_t number = of_span < fast_.pool.count ? of_span : number_of(ip.destination);
    if (number == no_number || destination == fast_.internet_address) return false;
    if (!is_remote(at + offsetof(net::Ipv4Header, source))) return false;
    const net::Port port = load<net::Port>(at + ipv4_bytes + sizeof(net::Port));
    const net::Protocol protocol = packet.tcp ? net::Protocol::tcp : net::Protocol::udp;
    if (!fast_.many_workers)
      work.slot = &shard_.inbound_place(number, protocol, port);
    else if (!(work.slot = my_place(number, protocol, port)))
      return false;
    __builtin_prefetch(work.slot);
    packet.special &= PlainPacket::turns;  // inbound the identification stays
    if (fast_.remarks) remark(ip, packet, work.tos);
    work.ip = at;
    return true;
  }

  // What b4_allowed() of parse.cc asks, too.
  [[nodiscard]] bool may_be_ours(Octets b4) const {
    const uint64_t high = words_of(b4)[0];
    return high == fast_.ours[0][0] || high == fast_.ours[1][0] || fast_.ours_count > 2;
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

  // Second loop, of what comes from inside. What cannot go is for the stages, and untouched.
  [[gnu::noinline, gnu::flatten]] void send_outbound() {
    const FastConfig::Way& way = fast_.to_internet;
    const uint32_t link_bytes = way.link_bytes;
    path_.openings_.start();
    for (OutboundWork* at = outbound_.data(); at != outbound_end_; ++at) {
      OutboundWork& work = *at;
      const nat::Mapping* mapping = &shard_[work.mapping];
      const bool usual =
          (work.packet.special & PlainPacket::turns) == 0 &&
          fast_.steady.outbound(*mapping, work.ip, work.packet.tcp, octets_at(work.b4.data()), work.softwire);
      if (!usual) {
        if (!admit_outbound(work)) {
          leave(work.frame);
          continue;
        }
        mapping = &shard_[work.mapping];
      } else if (mapping->last_seen_s != now_s_) {
        shard_.stamp(work.mapping, now_s_);
      }
      if ((work.packet.special & ~PlainPacket::turns) != 0) [[unlikely]]
        rewrite_rest_outbound(work, *mapping);
      rewrite_plain<true>(work.ip, work.packet.tcp, mapping->outside_address.bits.raw(),
                          mapping->outside_port.number.raw(), mapping->address_delta, mapping->endpoint_delta);
      Frame& frame = *work.frame;
      note_sent(work.side, frame.bytes);
      frame.data = write_link(work.ip, way, link_bytes);
      frame.bytes = work.packet.total + link_bytes;
      frame.side = Side::internet;
      frame.sent = true;
    }
  }

  // The same of what comes from the internet.
  [[gnu::noinline, gnu::flatten]] void send_inbound() {
    const uint32_t fits_any_path_bytes =
        path_.path_mtus_.any(now_s_) ? ipv6_mtu_min_bytes - fast_.overhead_bytes : ~uint32_t{0};
    for (InboundWork* at = inbound_.data(); at != inbound_end_; ++at) {
      InboundWork& work = *at;
      const nat::Mapping& mapping = shard_[work.mapping];  // that of none is free
      const bool plain = mapping.has(nat::Mapping::plain);
      const uint32_t total = work.packet.total;
      if (!plain && mapping.softwire >= fast_.softwire_count) {
        leave(work.frame);
        continue;
      }
      const FastConfig::Way& way = plain ? fast_.to_inside : fast_.into_softwire[mapping.softwire];
      if (total > way.fits_bytes || (total > fits_any_path_bytes && !plain && !fits_path(mapping.b4, total))) {
        leave(work.frame);
        continue;
      }
      const bool refreshes = fast_.udp_inbound_refresh && !work.packet.tcp && mapping.last_seen_s != now_s_;
      const bool usual = (work.packet.special & PlainPacket::turns) == 0 && !refreshes &&
                         fast_.steady.inbound(mapping, work.ip, work.packet.tcp);
      if (!usual && !(mapping.has(nat::Mapping::in_use) && admit_inbound(work, plain))) {
        leave(work.frame);
        continue;
      }
      if ((work.packet.special & PlainPacket::other_tos) != 0) [[unlikely]]
        rewrite_rest(work.ip, work.tos, net::header_at<net::Ipv4Header>(work.ip).identification);
      // Backwards is the ones-complement negative.
      rewrite_plain<false>(work.ip, work.packet.tcp, mapping.inside_address.bits.raw(),
                           mapping.inside_port.number.raw(), static_cast<uint16_t>(~mapping.address_delta),
                           static_cast<uint16_t>(~mapping.endpoint_delta));
      Frame& frame = *work.frame;
      note_sent(Side::internet, frame.bytes);
      frame.data = plain ? write_link(work.ip, way, way.link_bytes) : encapsulate(work, way, mapping.b4);
      frame.bytes = total + way.bytes;
      frame.side = plain ? Side::inside : Side::access;
      frame.sent = true;
    }
  }

  [[nodiscard]] uint8_t* encapsulate(const InboundWork& work, const FastConfig::Way& way, const net::Ipv6& b4) const {
    constexpr uint32_t usual = FastConfig::tunnel_bytes_usual, before_destination = usual - sizeof(net::Ipv6);
    if (way.bytes != usual) [[unlikely]]
      std::memcpy(work.ip - way.bytes + before_destination, way.header.data() + before_destination,
                  way.bytes - before_destination);
    uint8_t* start = work.ip - way.bytes;
    std::memcpy(start, way.header.data(), before_destination);
    auto& outer = net::header_at<net::Ipv6Header>(start + way.link_bytes);
    const uint8_t tos = work.ip[offsetof(net::Ipv4Header, tos)];
    const auto outer_class = static_cast<uint8_t>((tos & fast_.outer_class_mask) | fast_.outer_class);
    outer.version_class_flow = uint32_t{6} << 28 | uint32_t{outer_class} << 20;  // flow label 0
    outer.payload_length = static_cast<uint16_t>(work.packet.total + way.bytes - way.link_bytes - ipv6_bytes);
    outer.destination = b4;
    return start;
  }

  void note_sent(Side received_from, uint32_t bytes) {
    received_[static_cast<size_t>(received_from)] += one_packet | bytes;
  }

  [[nodiscard]] size_t sent() const {
    size_t packets = 0;
    for (const uint64_t each : received_) packets += each / one_packet;
    return packets;
  }

  void count(size_t sent_outbound) {
    auto& counters = path_.counters_;
    counters.translated_outbound.add(sent_outbound);
    counters.translated_inbound.add(sent() - sent_outbound);
    for (size_t side = 0; side < side_count && !handed_over_; ++side) {
      if (received_[side] == 0) continue;
      counters.sides[side].received.add(received_[side] / one_packet);
      counters.sides[side].received_bytes.add(received_[side] % one_packet);
    }
  }

  // What is rare.

  // To the stages, which come after this pass: to keep the order, no later frame opens a mapping or moves a connection
  // here.
  void leave(const Frame* frame) { left_from_ = std::min(left_from_, frame); }

  [[gnu::noinline]] void sort_any() {
    for (Frame& frame : frames_)
      if (frame.bytes >= shortest_frame)
        sort_by_door(&frame);
      else
        leave(&frame);
  }

  // On a device that several sides share, or tagged, or handed over.
  [[gnu::noinline]] void sort_by_door(Frame* frame) {
    uint32_t link_bytes = sizeof(net::EthernetHeader);
    unsigned vlan = frame->vlan & net::vlan_mask;
    uint16_t type = load<uint16_t>(frame->data + offsetof(net::EthernetHeader, type));
    if (type == raw(net::EtherType::vlan) && vlan == 0) {
      const auto& tag = net::header_at<net::VlanTag>(frame->data + link_bytes);
      vlan = tag.control & net::vlan_mask;
      type = tag.type.raw();
      link_bytes += sizeof tag;
    }
    const bool ipv6 = type == raw(net::EtherType::ipv6);
    if ((!ipv6 && type != raw(net::EtherType::ipv4)) || (ipv6 && frame->data[link_bytes] >> 4 != 6))
      return leave(frame);
    const auto& doors = (ipv6 ? fast_.ipv6_doors : fast_.ipv4_doors)[static_cast<size_t>(frame->side)];
    const auto& door = doors[0].vlan == vlan ? doors[0] : doors[1];
    if (door.vlan != vlan || (load<uint64_t>(frame->data) & mac_mask) != door.mac) return leave(frame);
    if (door.side == Side::access) return take_by_door<Side::access>(frame, link_bytes);
    if (door.side == Side::internet) return take_by_door<Side::internet>(frame, link_bytes);
    take_by_door<Side::inside>(frame, link_bytes);
  }

  template <Side side>
  void take_by_door(Frame* frame, uint32_t link_bytes) {
    auto *&end = end_of<side>(), *&ready = ready_of<side>();
    if (!take<side>(frame->data + link_bytes, frame->bytes - link_bytes, *end)) return leave(frame);
    end->frame = frame;
    if (++end - ready > lag) look_up(*ready++);
  }

  [[gnu::noinline]] bool find_softwire(Octets to, uint8_t& softwire) const {
    while (softwire < fast_.softwire_count && !same(fast_.softwires[softwire], words_of(to))) ++softwire;
    return softwire < fast_.softwire_count;
  }

  [[gnu::noinline]] bool allowed(Octets b4) const {
    const auto prefixes = std::span(fast_.prefixes).first(fast_.prefix_count);
    return std::ranges::any_of(prefixes, [&](const FastConfig::Prefix& prefix) {
      return all_zero(differences(b4, octets_at(prefix.address.data()), octets_at(prefix.mask.data())));
    });
  }

  [[gnu::noinline]] bool is_ours(Octets b4) const {
    const auto ours = std::span(fast_.ours).first(fast_.ours_count);
    return std::ranges::any_of(ours, [&](const Ipv6Words& each) { return same(each, words_of(b4)); });
  }

  // The type of service to leave with where the two differ; false for what must be dropped (RFC 6040 §4.2).
  [[gnu::noinline]] bool take_class(uint8_t outer_class, const uint8_t* ip, PlainPacket& packet, uint8_t& tos) const {
    constexpr unsigned ecn = 3, not_ect = 0, ce = 3;
    const uint8_t inner = ip[offsetof(net::Ipv4Header, tos)];
    if ((outer_class & ecn) == ce && (inner & ecn) == not_ect) return false;
    tos = decapsulated_tos(inner, outer_class, config_.softwire.pipe_dscp.has_value());
    if (tos != inner) packet.special |= PlainPacket::other_tos;
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

  // Of an address in a pool of several spans.
  static constexpr uint32_t no_number = ~uint32_t{0};
  [[gnu::noinline]] uint32_t number_of(net::Ipv4 address) const {
    return config_.policy.pool.number_of(address).value_or(no_number);
  }

  // Another DSCP for what comes in (DSL-066).
  [[gnu::noinline]] void remark(const net::Ipv4Header& ip, PlainPacket& packet, uint8_t& tos) const {
    constexpr unsigned ecn = 3;
    tos = static_cast<uint8_t>((ip.tos & ecn) | unsigned{*config_.internet.remark_dscp} << 2);
    if (tos != ip.tos) packet.special |= PlainPacket::other_tos;
  }

  [[gnu::noinline]] const nat::MappingIndex* my_place(uint32_t number, net::Protocol protocol, net::Port port) const {
    const nat::Pool& pool = config_.policy.pool;
    if (pool.owner(number, port) != path_.index_) return nullptr;
    return &shard_.inbound_place(pool.local_of(number), protocol, port);
  }

  [[gnu::noinline]] bool is_my_subscriber(Ipv6Words subscriber) const {
    return config_.policy.pool.owner_of(std::bit_cast<net::Ipv6>(subscriber)) == path_.index_;
  }

  [[gnu::noinline]] bool fits_path(const net::Ipv6& b4, uint32_t total) const {
    return total + fast_.overhead_bytes <= path_.path_mtus_.to(b4, config_.softwire.mtu_bytes, now_s_);
  }

  [[gnu::noinline]] void rewrite_rest_outbound(const OutboundWork& work, const nat::Mapping& mapping) {
    const auto& ip = net::header_at<net::Ipv4Header>(work.ip);
    const bool shared = config_.policy.pool.is_shared();
    const bool identified = (work.packet.special & PlainPacket::identified) != 0;
    rewrite_rest(work.ip, (work.packet.special & PlainPacket::other_tos) != 0 ? work.tos : ip.tos,
                 !identified ? ip.identification
                             : net::be16(path_.identifications_.next(mapping.outside_address, ip.destination,
                                                                     mapping.protocol, shared)));
  }

  // What moves a connection, or may be refused, or comes from another B4, or whose mapping the first loop did not
  // guess: its guess was another's.
  [[gnu::noinline]] bool admit_outbound(OutboundWork& work) {
    if (work.frame > left_from_) return false;
    const bool found = is_of(shard_[work.mapping], work.ip) && same(words_of(shard_[work.mapping].b4), work.b4);
    const auto b4 = std::bit_cast<net::Ipv6>(work.b4);
    const net::Endpoint remote = endpoint_of(remote_of(work.ip, true));
    const uint8_t flags = tcp_flags_of(work.ip, work.packet);
    if (!found && !find_or_open(work, b4, remote)) return false;
    if (shard_.admit_outbound(work.mapping, b4, work.softwire, remote, flags, now_s_)) return false;
    if ((flags & net::tcp_syn) == 0) return true;
    clamp_mss(net::header_at<net::TcpHeader>(work.ip + ipv4_bytes),
              work.side == Side::inside ? config_.inside.tcp_mss_max : config_.softwire.tcp_mss_max);
    path_.held_syns_.forget(shard_[work.mapping].outside(), remote);
    return true;
  }

  // As Worker::open_mappings().
  bool find_or_open(OutboundWork& work, const net::Ipv6& b4, net::Endpoint remote) {
    Openings& openings = path_.openings_;
    if (work.mapping == nat::null_mapping) openings.go_on();
    const auto key = std::bit_cast<nat::OutboundKey>(key_of(work, mask_of(work)));
    work.mapping = shard_.find(key, work.hash);
    if (work.mapping != nat::null_mapping) return true;
    if (openings.spent() || (work.packet.tcp && !opens_mapping(tcp_flags_of(work.ip, work.packet)))) return false;
    const auto made = shard_.open_mapping(key, work.hash, b4, work.softwire, remote, now_s_);
    if (!made) return false;
    work.mapping = *made;
    openings.spend();
    return true;
  }

  [[nodiscard]] const Ipv6Words& mask_of(const OutboundWork& work) const {
    return work.side == Side::access ? fast_.softwire_mask : fast_.plain_mask;
  }

  [[gnu::noinline]] bool admit_inbound(const InboundWork& work, bool plain) {
    if (work.frame > left_from_) return false;
    const uint8_t flags = tcp_flags_of(work.ip, work.packet);
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
  const Frame* left_from_ = frames_.data() + frames_.size();  // the first frame that is left
  static constexpr uint64_t one_packet = uint64_t{1} << 32;
  std::array<uint64_t, side_count>
      received_{};  // by Side, of what is sent: packets in the high half, octets in the low
  std::array<OutboundWork, burst_max> outbound_;
  std::array<InboundWork, burst_max> inbound_;
  // Behind those sorted, and behind those of them that have been looked up.
  OutboundWork *outbound_end_ = outbound_.data(), *outbound_ready_ = outbound_end_;
  InboundWork *inbound_end_ = inbound_.data(), *inbound_ready_ = inbound_end_;
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
