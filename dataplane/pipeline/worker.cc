#include "dataplane/pipeline/worker.h"

#include "dataplane/pipeline/encapsulate.h"
#include "dataplane/pipeline/fragment_ipv4.h"
#include "dataplane/pipeline/link.h"
#include "dataplane/pipeline/parse.h"
#include "dataplane/pipeline/translate.h"

namespace portolan::pipeline {

using nat::Verdict;

namespace {

// Refusals that the inside host is told of (RFC 6888 REQ-11); the others would only feed a flood.
bool is_told(Verdict verdict) {
  return verdict == Verdict::pool_exhausted || verdict == Verdict::over_quota || verdict == Verdict::table_full ||
         verdict == Verdict::subscribers_full || verdict == Verdict::mapping_limit ||
         verdict == Verdict::mapping_rate || verdict == Verdict::session_limit ||
         verdict == Verdict::session_table_full || verdict == Verdict::record_refused || verdict == Verdict::boot_hold;
}

void refuse(Packet& packet, Verdict verdict) {
  is_told(verdict) ? packet.punt(Punt::no_resources, verdict) : packet.drop(verdict);
}

net::Endpoint remote_of(const Packet& packet, bool outbound) {
  const auto& ip = *packet.ip;
  const net::Ipv4 address = outbound ? ip.destination : ip.source;
  if (packet.protocol == net::Protocol::icmp) return {address, {}};
  if (packet.later_fragment) return {address, packet.remote_port};
  const auto& ports = net::header_at<net::UdpHeader>(packet.transport);
  return {address, outbound ? ports.destination : ports.source};
}

// Who the packet that an inbound error speaks of was for.
net::Endpoint quoted_remote_of(const Packet& packet) {
  const auto& quoted = *packet.quoted;
  if (packet.protocol == net::Protocol::icmp) return {quoted.destination, {}};
  const auto* transport = reinterpret_cast<const uint8_t*>(&quoted) + quoted.header_bytes();
  return {quoted.destination, net::header_at<net::UdpHeader>(transport).destination};
}

bool is_tcp_segment(const Packet& packet) {
  return packet.protocol == net::Protocol::tcp && packet.quoted == nullptr && !packet.later_fragment;
}

uint8_t tcp_flags_of(const Packet& packet) {
  return is_tcp_segment(packet) ? net::header_at<net::TcpHeader>(packet.transport).flags : uint8_t{0};
}

// The TCP header of a packet whose transport nobody has looked at; none if it is not there whole.
net::TcpHeader* whole_tcp(const Packet& packet) {
  const size_t bytes = packet.ip->total_length - packet.ip->header_bytes();
  if (packet.protocol != net::Protocol::tcp || packet.ip->fragment_offset_bytes() != 0 ||
      bytes < sizeof(net::TcpHeader))
    return nullptr;
  auto& tcp = net::header_at<net::TcpHeader>(packet.transport);
  return tcp.header_bytes() >= sizeof tcp && tcp.header_bytes() <= bytes ? &tcp : nullptr;
}

// Whether the way to the internet may be taken: if not, the fate is decided, and nothing was rewritten yet.
bool may_leave(Packet& packet, uint16_t mtu_bytes) {
  const auto& ip = *packet.ip;
  if (ip.ttl <= 1) return packet.punt(Punt::ttl_expired, Verdict::router_declined), false;
  if (ip.total_length <= mtu_bytes || !ip.dont_fragment()) return true;
  packet.context.mtu = mtu_bytes;
  return packet.punt(Punt::too_big, Verdict::too_big), false;
}

// The type of service with which a packet goes to the subscriber.
uint8_t inbound_tos(const Packet& packet, const Snapshot& config) {
  const uint8_t tos = packet.ip->tos;
  if (packet.context.hairpin || !config.internet.remark_dscp) return tos;
  return static_cast<uint8_t>(*config.internet.remark_dscp << 2 | (tos & 3));
}

// Neither errors nor later fragments are (RFC 1812 §4.3.2.7), and nothing else hairpins but TCP and UDP.
bool is_answered(const Packet& packet) {
  return packet.quoted == nullptr && packet.ip->fragment_offset_bytes() == 0 &&
         (packet.protocol == net::Protocol::tcp || packet.protocol == net::Protocol::udp);
}

// Undoes hairpin() for a packet that gets no further: what is left is the one its sender sent, in a softwire or not.
void unhairpin(Packet& packet) {
  restore_hairpinned(packet);
  packet.context.hairpin = false;
  packet.context.in_softwire = packet.context.side == Side::access;
  packet.context.l3_offset = packet.context.outer_offset = 0;
}

// Whether the way to a subscriber may be taken, on which so much fits. Asked before anything is rewritten, so that an
// error quotes the packet as its sender sent it.
bool may_go_inside(Packet& packet, uint16_t fits_bytes, bool cut_despite_df) {
  const auto& ip = *packet.ip;
  const bool hairpinned = packet.context.hairpin;
  if (ip.ttl <= 1 && !hairpinned) return packet.punt(Punt::ttl_expired, Verdict::router_declined), false;
  if (ip.total_length <= fits_bytes || !ip.dont_fragment() || cut_despite_df) return true;
  if (hairpinned && !is_answered(packet)) return packet.drop(Verdict::too_big), false;
  if (hairpinned) unhairpin(packet);
  packet.context.mtu = fits_bytes;  // RFC 2473 §7.2(a)
  return packet.punt(Punt::too_big, Verdict::too_big), false;
}

}  // namespace

Worker::Worker(unsigned index, nat::Shard& shard, const Gateways& gateways, Buffers& buffers, uint32_t held_max)
    : index_(index),
      shard_(shard),
      gateways_(gateways),
      buffers_(buffers),
      identifications_(index, shard.settings().workers, shard.settings().seed),
      fragments_(held_max, buffers, counters_),
      openings_(shard),
      fast_path_(index, shard, gateways, counters_, identifications_, path_mtus_, held_syns_, openings_) {}

size_t Worker::forward_plain(std::span<Frame> frames, bool handed_over, uint32_t now_s) {
  if (frames.empty()) return 0;
  openings_.begin(frames.size(), frames.front().side != Side::internet, *snapshot_);
  return fast_path_.run(frames, handed_over, now_s);
}

void Worker::process(Burst& burst, uint32_t now_s) {
  burst.fragment_count = 0;
  if (!burst.begun && burst.count > 0)
    openings_.begin(burst.count, burst.packets[0].context.side != Side::internet, *snapshot_);
  if (parse(burst, now_s) || fragments_.busy()) [[unlikely]]
    resolve_fragments(burst, now_s);
  look_up(burst, true);
  open_mappings(burst, now_s);
  for (size_t i = 0; i < burst.count; ++i)
    if (Packet& packet = burst.packets[i]; !packet.decided() && packet.outbound())
      translate_outbound(burst, packet, now_s);
  if (fragments_.busy()) take_released(burst, false);  // by what hairpinned
  look_up(burst, false);                               // what came from the internet, and what hairpinned just now
  for (size_t i = 0; i < burst.count; ++i)
    if (Packet& packet = burst.packets[i]; !packet.decided()) translate_inbound(burst, packet, now_s);
  counters_.fragments_made.add(burst.fragment_count);
  answer_due_syns(burst, now_s);
  if (fragments_.busy()) fragments_.end_burst();
}

// Whether there are fragments among them.
bool Worker::parse(Burst& burst, uint32_t now_s) {
  receive(burst);
  bool pieces = false;
  for (size_t i = 0; i < burst.count; ++i) {
    Packet& packet = burst.packets[i];
    if (packet.decided()) continue;
    parse(burst, packet, now_s);
    pieces |= packet.piece != Piece::none;
  }
  return pieces;
}

void Worker::parse(Burst& burst, Packet& packet, uint32_t now_s) {
  if (packet.context.hairpin)
    parse_hairpin(packet, *snapshot_, index_);
  else
    parse_frame(packet, *snapshot_, index_);
  if (packet.tunnel_error) take_tunnel_error(packet, now_s);
  if (packet.passes != nullptr && !packet.decided()) pass(burst, packet, now_s);
}

void Worker::resolve_fragments(Burst& burst, uint32_t now_s) {
  const size_t arrived = burst.count;
  for (size_t i = 0; i < arrived; ++i) {
    Packet& packet = burst.packets[i];
    if (!packet.decided() && packet.piece == Piece::ipv6) reassemble(burst, packet, now_s);
    if (!packet.decided() && packet.piece == Piece::ipv4) follow(packet, now_s);
  }
  fragments_.expire(burst, now_s);
  take_released(burst, true);
  take_released(burst, false);
}

void Worker::reassemble(Burst& burst, Packet& packet, uint32_t now_s) {
  const auto& outer = net::header_at<net::Ipv6Header>(packet.data + packet.context.outer_offset);
  if (fragments_.reassemble(packet, snapshot_->subscriber_of(Side::access, outer.source), now_s))
    parse(burst, packet, now_s);
}

void Worker::follow(Packet& packet, uint32_t now_s) {
  fragments_.follow(packet, snapshot_->subscriber_of(packet.context.side, packet.context.b4), now_s);
  if (!packet.decided()) hand_over_by_port(packet);
}

void Worker::take_released(Burst& burst, bool outbound) {
  const size_t before = burst.count;
  fragments_.take_released(burst, outbound);
  for (size_t i = before; i < burst.count; ++i) hand_over_by_port(burst.packets[i]);
}

// An inbound fragment whose port is known now goes to the port's owner.
void Worker::hand_over_by_port(Packet& packet) const {
  if (packet.outbound()) return;
  const unsigned owner = snapshot_->policy.pool.owner(packet.address_number, packet.port);
  if (owner == index_) return;
  packet.context.fate = Fate::hand_over;
  packet.context.target = static_cast<uint8_t>(owner);
  packet.context.port_known = true;
  packet.context.port = packet.port;
  packet.context.remote_port = packet.remote_port;
}

// Into a softwire or out of it like any packet, but as it is (RFC 6888 REQ-6).
void Worker::pass(Burst& burst, Packet& packet, uint32_t now_s) {
  auto& ip = *packet.ip;
  const auto& config = *snapshot_;
  if (packet.outbound() && !may_leave(packet, config.internet.mtu_bytes)) return;
  const net::Ipv6& b4 = packet.passes->b4;
  const uint16_t mtu_bytes = packet.outbound() ? config.internet.mtu_bytes : path_mtu(packet, b4, now_s);
  if (!packet.outbound() && !may_enter_softwire(packet, mtu_bytes)) return;
  counters_.passed_through.add();
  if (auto* tcp = whole_tcp(packet)) clamp_mss(*tcp, config.softwire.tcp_mss_max);
  packet.pull(packet.offset_of(&ip));
  if (!packet.outbound()) {
    forward(ip, inbound_tos(packet, config));
    return send_into_softwire(burst, packet, 0, b4, mtu_bytes);
  }
  forward(ip, decapsulated_tos(ip.tos, packet.outer_class, config.softwire.pipe_dscp.has_value()));
  send_ipv4(burst, packet, Side::internet);
}

// Frames from a device get their side, and are counted; what another worker handed over has been before.
void Worker::receive(Burst& burst) {
  std::array<uint64_t, side_count> count{}, bytes{};
  for (size_t i = 0; i < burst.count; ++i) {
    Packet& packet = burst.packets[i];
    const bool handed_over = packet.decided();
    packet.context.fate = Fate::undecided;
    if (handed_over) continue;
    const uint32_t frame_bytes = packet.bytes;
    enter(packet, *snapshot_);
    const auto side = static_cast<size_t>(packet.context.side);
    ++count[side], bytes[side] += frame_bytes;
  }
  for (const Side side : sides) {
    if (count[static_cast<size_t>(side)] == 0) continue;
    counters_.side(side).received.add(count[static_cast<size_t>(side)]);
    counters_.side(side).received_bytes.add(bytes[static_cast<size_t>(side)]);
  }
}

bool Worker::wants_mapping(const Packet& packet) {
  return !packet.decided() && packet.outbound() && packet.mapping == nat::null_mapping;
}

nat::OutboundKey Worker::key_of(const Packet& packet) const {
  // An ICMP error from inside answers an inbound packet: its mapping is the quoted destination's (RFC 5508 §4.2).
  const net::Ipv4 inside = packet.quoted != nullptr ? packet.quoted->destination : packet.ip->source;
  return {snapshot_->subscriber_of(packet.context.side, packet.context.b4), inside, packet.port, packet.protocol, 0};
}

// Plain loops, each starting every load that the next one uses: the memory's latency is paid once a burst.
void Worker::look_up(Burst& burst, bool outbound) {
  const auto each = [&](auto visit) {
    for (size_t i = 0; i < burst.count; ++i)
      if (Packet& packet = burst.packets[i]; !packet.decided() && packet.outbound() == outbound) visit(packet);
  };
  if (!outbound) {
    each([&](Packet& p) { shard_.prefetch_inbound(p.address_number, p.protocol, p.port); });
    each([&](Packet& p) {
      p.mapping = shard_.find_inbound(p.address_number, p.protocol, p.port);
      if (p.mapping != nat::null_mapping) shard_.prefetch_record(p.mapping);
    });
    return;
  }
  each([&](Packet& p) {
    p.hash = shard_.hash(key_of(p));
    shard_.prefetch(p.hash);
  });
  each([&](Packet& p) { shard_.prefetch_candidate(p.hash); });
  each([&](Packet& p) { p.mapping = shard_.find(key_of(p), p.hash); });
}

void Worker::open_mappings(Burst& burst, uint32_t now_s) {
  openings_.forget();
  for (const Packet& packet : std::span(burst.packets).first(burst.count))
    if (wants_mapping(packet)) openings_.expect(key_of(packet));
  openings_.start();
  for (size_t i = 0; i < burst.count; ++i) {
    Packet& packet = burst.packets[i];
    if (!wants_mapping(packet)) continue;
    openings_.go_on();
    if (packet.quoted != nullptr) {
      packet.drop(Verdict::icmp_unsupported);
      continue;
    }
    if (packet.ip->ttl <= 1) continue;  // answered, not forwarded: no reason for state
    const auto key = key_of(packet);
    packet.mapping = shard_.find(key, packet.hash);  // an earlier packet of the burst may have opened it
    if (packet.mapping != nat::null_mapping) continue;
    if (packet.later_fragment) {
      packet.drop(Verdict::fragment_unmatched);
      continue;
    }
    if (is_tcp_segment(packet) && !opens_mapping(tcp_flags_of(packet))) {
      packet.drop(Verdict::not_a_syn);
      continue;
    }
    if (openings_.spent()) {
      packet.drop(Verdict::budget_spent);
      continue;
    }
    const auto made =
        shard_.open_mapping(key, packet.hash, packet.context.b4, packet.softwire, remote_of(packet, true), now_s);
    if (made) {
      packet.mapping = *made;
      openings_.spend();
    } else {
      refuse(packet, made.error());
    }
  }
}

std::optional<Verdict> Worker::admit_outbound(const Packet& packet, uint32_t now_s) {
  const auto& b4 = packet.context.b4;
  return packet.quoted != nullptr ? shard_.admit_outbound_error(packet.mapping, b4, packet.softwire, now_s)
                                  : shard_.admit_outbound(packet.mapping, b4, packet.softwire, remote_of(packet, true),
                                                          tcp_flags_of(packet), now_s);
}

std::optional<Verdict> Worker::admit_inbound(const Packet& packet, uint32_t now_s) {
  return packet.quoted != nullptr
             ? shard_.admit_inbound_error(packet.mapping, quoted_remote_of(packet), now_s)
             : shard_.admit_inbound(packet.mapping, remote_of(packet, false), tcp_flags_of(packet), now_s);
}

void Worker::translate_outbound(Burst& burst, Packet& packet, uint32_t now_s) {
  auto& ip = *packet.ip;
  if (packet.later_fragment && !fragments_.record_of(packet).translated)
    return packet.drop(Verdict::fragment_unmatched);
  const bool hairpins = snapshot_->hairpinning && snapshot_->policy.pool.number_of(ip.destination);
  if (!may_leave(packet, hairpins ? UINT16_MAX : snapshot_->internet.mtu_bytes)) return;
  if (const auto refused = admit_outbound(packet, now_s)) return refuse(packet, *refused);
  if (is_tcp_segment(packet))
    clamp_mss(net::header_at<net::TcpHeader>(packet.transport),
              packet.context.side == Side::inside ? snapshot_->inside.tcp_mss_max : snapshot_->softwire.tcp_mss_max);
  const nat::Mapping& mapping = shard_[packet.mapping];
  if (hairpins) packet.context.sent_from = mapping.inside(), packet.context.sent_tos = ip.tos;
  if ((tcp_flags_of(packet) & net::tcp_syn) != 0) held_syns_.forget(mapping.outside(), remote_of(packet, true));
  const bool pipe = snapshot_->softwire.pipe_dscp.has_value() && packet.context.side == Side::access;
  rewrite_outbound(packet, mapping, decapsulated_tos(ip.tos, packet.outer_class, pipe));
  if (!ip.is_atomic()) set_identification(ip, identification_for(packet));
  packet.pull(packet.offset_of(&ip));
  counters_.translated_outbound.add();
  if (hairpins) return hairpin(packet, now_s);
  send_ipv4(burst, packet, Side::internet);
}

// One for all fragments of a datagram (RFC 6864 §5.3.1).
uint16_t Worker::identification_for(const Packet& packet) {
  const auto& ip = *packet.ip;
  if (packet.later_fragment) return fragments_.record_of(packet).identification;
  const bool shared = snapshot_->policy.pool.is_shared();
  const uint16_t next = identifications_.next(ip.source, ip.destination, packet.protocol, shared);
  if (!ip.is_fragment()) return next;
  Datagram& datagram = fragments_.record_of(packet);
  datagram.translated = true;
  return datagram.identification = next;
}

void Worker::send_ipv4(Burst& burst, Packet& packet, Side side) {
  const size_t first_fragment = burst.fragment_count;
  const uint16_t mtu_bytes = snapshot_->link(side).mtu_bytes;
  if (packet.bytes > mtu_bytes && !fragment_ipv4(packet, burst, buffers_, mtu_bytes))
    return packet.drop(Verdict::no_buffer);
  for (size_t i = first_fragment; i < burst.fragment_count; ++i)
    send_to(side, burst.fragments[i], *snapshot_, gateways_);
  send_to(side, packet, *snapshot_, gateways_);
}

// To another mapping of this box: from here on the packet is one from the internet (RFC 4787 REQ-9).
void Worker::hairpin(Packet& packet, uint32_t now_s) {
  counters_.hairpinned.add();
  packet.context.hairpin = true;
  packet.context.in_softwire = false;
  packet.quoted = nullptr;
  packet.piece = Piece::none;
  packet.later_fragment = false;
  parse_hairpin(packet, *snapshot_, index_);
  if (packet.piece == Piece::ipv4 && !packet.decided()) follow(packet, now_s);
}

void Worker::translate_inbound(Burst& burst, Packet& packet, uint32_t now_s) {
  if (packet.mapping == nat::null_mapping || !shard_.is_live(packet.mapping))
    return refuse_inbound(packet, Verdict::no_mapping, now_s);
  if (const auto refused = admit_inbound(packet, now_s)) return refuse_inbound(packet, *refused, now_s);
  const nat::Mapping& mapping = shard_[packet.mapping];
  const bool plain = mapping.has(nat::Mapping::plain);
  if (!snapshot_->serves(plain ? Side::inside : Side::access)) return packet.drop(Verdict::no_mapping);
  const uint16_t mtu_bytes = plain ? snapshot_->inside.mtu_bytes : path_mtu(packet, mapping.b4, now_s);
  if (!(plain ? may_go_inside(packet, mtu_bytes, false) : may_enter_softwire(packet, mtu_bytes))) return;
  if (is_tcp_segment(packet))
    clamp_mss(net::header_at<net::TcpHeader>(packet.transport),
              plain ? snapshot_->inside.tcp_mss_max : snapshot_->softwire.tcp_mss_max);
  rewrite_inbound(packet, mapping, !packet.context.hairpin, inbound_tos(packet, *snapshot_));
  packet.pull(packet.offset_of(packet.ip));
  counters_.translated_inbound.add();
  if (plain) return send_ipv4(burst, packet, Side::inside);
  send_into_softwire(burst, packet, mapping.softwire, mapping.b4, mtu_bytes);
}

uint16_t Worker::path_mtu(const Packet& packet, const net::Ipv6& b4, uint32_t now_s) const {
  const auto& config = snapshot_->softwire;
  const bool fits_anywhere = packet.ip->total_length + config.overhead_bytes() <= ipv6_mtu_min_bytes;
  return fits_anywhere ? config.mtu_bytes : path_mtus_.to(b4, config.mtu_bytes, now_s);
}

bool Worker::may_enter_softwire(Packet& packet, uint16_t mtu_bytes) const {
  const auto& config = snapshot_->softwire;
  return may_go_inside(packet, static_cast<uint16_t>(mtu_bytes - config.overhead_bytes()),
                       config.df_policy == DfPolicy::outer_fragment);
}

void Worker::send_into_softwire(Burst& burst, Packet& packet, uint8_t softwire, const net::Ipv6& b4,
                                uint16_t mtu_bytes) {
  const auto& config = snapshot_->softwire;
  const size_t local = softwire < config.aftr_addresses.size() ? softwire : 0;
  encapsulate(packet, config, config.aftr_addresses[local], b4);
  const size_t first_fragment = burst.fragment_count;
  if (packet.bytes > mtu_bytes) {
    const uint32_t identification = identifications_.next(config.aftr_addresses[local], b4);
    if (!fragment(packet, burst, buffers_, mtu_bytes, identification)) return packet.drop(Verdict::no_buffer);
  }
  for (size_t i = first_fragment; i < burst.fragment_count; ++i)
    send_to(Side::access, burst.fragments[i], *snapshot_, gateways_);
  send_to(Side::access, packet, *snapshot_, gateways_);
}

}  // namespace portolan::pipeline
