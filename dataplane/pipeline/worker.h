// One worker's packet path: parse, decapsulate, look up, open mappings, translate, encapsulate (docs/architecture.md
// §3). No DPDK, no thread, no clock: the caller brings a burst and the time, and carries out each packet's fate.
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/nat/shard.h"
#include "dataplane/pipeline/counters.h"
#include "dataplane/pipeline/fast_path.h"
#include "dataplane/pipeline/fragments.h"
#include "dataplane/pipeline/held_syns.h"
#include "dataplane/pipeline/identification.h"
#include "dataplane/pipeline/openings.h"
#include "dataplane/pipeline/packet.h"
#include "dataplane/pipeline/path_mtu.h"
#include "dataplane/pipeline/snapshot.h"

namespace portolan::pipeline {

class Worker {
 public:
  // All four outlive the worker. `shard` is written by this worker alone. `held_max`: of fragments, and of datagrams.
  Worker(unsigned index, nat::Shard& shard, const Gateways& gateways, Buffers& buffers, uint32_t held_max);

  // The configuration from the next burst on; the caller keeps it alive until it has been replaced and a burst has
  // passed.
  void use(const Snapshot& snapshot) {
    snapshot_ = &snapshot;
    shard_.use(snapshot.policy);
    fast_path_.use(snapshot);
  }

  // Sends those frames that need no more than translation (see FastPath::run); the others are for process().
  size_t forward_plain(std::span<Frame> frames, bool handed_over, uint32_t now_s);

  // Decides the fate of every packet of the burst, which come from a device (context all zero but `side`, any of the
  // device's; counted here) or from another worker (context as it was handed over, which tells them apart). now_s:
  // seconds of the shard's clock.
  void process(Burst& burst, uint32_t now_s);
  // Whether an empty burst should be processed: something that waited is due.
  [[nodiscard]] bool due(uint32_t now_s) const { return fragments_.due(now_s) || held_syns_.any_due(now_s); }

  [[nodiscard]] unsigned index() const { return index_; }
  WorkerCounters& counters() { return counters_; }
  [[nodiscard]] const WorkerCounters& counters() const { return counters_; }
  nat::Shard& shard() { return shard_; }
  [[nodiscard]] const nat::Shard& shard() const { return shard_; }

 private:
  const unsigned index_;
  nat::Shard& shard_;
  const Gateways& gateways_;
  Buffers& buffers_;
  bool parse(Burst& burst, uint32_t now_s);
  void parse(Burst& burst, Packet& packet, uint32_t now_s);
  void resolve_fragments(Burst& burst, uint32_t now_s);
  void reassemble(Burst& burst, Packet& packet, uint32_t now_s);
  void follow(Packet& packet, uint32_t now_s);
  void take_released(Burst& burst, bool outbound);
  void hand_over_by_port(Packet& packet) const;
  void pass(Burst& burst, Packet& packet, uint32_t now_s);
  void receive(Burst& burst);
  void look_up(Burst& burst, bool outbound);
  void open_mappings(Burst& burst, uint32_t now_s);
  static bool wants_mapping(const Packet& packet);
  [[nodiscard]] std::optional<nat::Verdict> admit_outbound(const Packet& packet, uint32_t now_s);
  [[nodiscard]] std::optional<nat::Verdict> admit_inbound(const Packet& packet, uint32_t now_s);
  void translate_outbound(Burst& burst, Packet& packet, uint32_t now_s);
  uint16_t identification_for(const Packet& packet);
  void hairpin(Packet& packet, uint32_t now_s);
  void send_ipv4(Burst& burst, Packet& packet, Side side);  // cut, if it has to be
  // The largest packet that may go to the B4, and whether this one may: if not, its fate is decided.
  [[nodiscard]] uint16_t path_mtu(const Packet& packet, const net::Ipv6& b4, uint32_t now_s) const;
  bool may_enter_softwire(Packet& packet, uint16_t mtu_bytes) const;
  void send_into_softwire(Burst& burst, Packet& packet, uint8_t softwire, const net::Ipv6& b4, uint16_t mtu_bytes);
  void refuse_inbound(Packet& packet, nat::Verdict verdict, uint32_t now_s);  // unsolicited.cc
  void answer_due_syns(Burst& burst, uint32_t now_s);
  void take_tunnel_error(Packet& packet, uint32_t now_s);  // tunnel_error.cc
  void translate_inbound(Burst& burst, Packet& packet, uint32_t now_s);
  [[nodiscard]] nat::OutboundKey key_of(const Packet& packet) const;

  const Snapshot* snapshot_ = nullptr;
  WorkerCounters counters_;
  Identifications identifications_;
  PathMtus path_mtus_;
  HeldSyns held_syns_;
  Fragments fragments_;
  Openings openings_;
  FastPath fast_path_;
};

}  // namespace portolan::pipeline
