// Between DPDK's buffers and the pipeline's packets. A packet's context rides in its buffer's private area while the
// buffer lies in a ring. Internal to dataplane/io.
#pragma once

#include <rte_mbuf.h>

#include "dataplane/pipeline/fast_path.h"
#include "dataplane/pipeline/packet.h"

namespace portolan::io {

inline constexpr uint16_t mbuf_private_bytes = RTE_ALIGN(sizeof(pipeline::Context), RTE_MBUF_PRIV_ALIGN);
static_assert(RTE_PKTMBUF_HEADROOM >= pipeline::headroom_min_bytes);

inline pipeline::Context& context_of(rte_mbuf& frame) {
  return *static_cast<pipeline::Context*>(rte_mbuf_to_priv(&frame));
}
inline uint8_t* bytes_of(rte_mbuf& frame) { return static_cast<uint8_t*>(frame.buf_addr) + frame.data_off; }
inline rte_mbuf* frame_of(const pipeline::Packet& packet) { return static_cast<rte_mbuf*>(packet.handle); }

inline void describe(rte_mbuf& frame, const pipeline::Context& context, pipeline::Packet& packet) {
  packet = {};
  packet.data = bytes_of(frame);
  packet.bytes = frame.data_len;
  packet.headroom = rte_pktmbuf_headroom(&frame);
  packet.tailroom = rte_pktmbuf_tailroom(&frame);
  packet.context = context;
  if ((frame.ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0) packet.vlan = frame.vlan_tci;
  packet.handle = &frame;
}

inline pipeline::Frame frame_from(rte_mbuf& frame, pipeline::Side side) {
  const bool stripped = (frame.ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0;
  return {.data = bytes_of(frame),
          .bytes = frame.data_len,
          .vlan = stripped ? frame.vlan_tci : uint16_t{0},
          .side = side,
          .handle = &frame};
}
inline pipeline::Frame frame_from(rte_mbuf& frame, const pipeline::Context& context) {
  auto out = frame_from(frame, context.side);
  if (!context.is_of_frame()) out.bytes = 0;
  return out;
}
inline rte_mbuf& mbuf_of(const pipeline::Frame& frame) { return *static_cast<rte_mbuf*>(frame.handle); }

// The window of octets becomes the buffer's.
inline rte_mbuf& settle(rte_mbuf& frame, const uint8_t* data, uint32_t bytes) {
  frame.data_off = static_cast<uint16_t>(data - static_cast<uint8_t*>(frame.buf_addr));
  frame.data_len = static_cast<uint16_t>(bytes);
  frame.pkt_len = bytes;
  return frame;
}
inline rte_mbuf& settle(const pipeline::Packet& packet) { return settle(*frame_of(packet), packet.data, packet.bytes); }
inline rte_mbuf& settle(const pipeline::Frame& frame) { return settle(mbuf_of(frame), frame.data, frame.bytes); }

class MbufBuffers final : public pipeline::Buffers {
  rte_mempool& pool_;

 public:
  explicit MbufBuffers(rte_mempool& pool) : pool_(pool) {}
  bool allocate(pipeline::Packet& packet) override {
    rte_mbuf* frame = rte_pktmbuf_alloc(&pool_);
    if (frame == nullptr) return false;
    describe(*frame, {}, packet);
    return true;
  }
  void release(pipeline::Packet& packet) override { rte_pktmbuf_free(frame_of(packet)); }
};

}  // namespace portolan::io
