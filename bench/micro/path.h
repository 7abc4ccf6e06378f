// One worker's packet path by itself: a table of mappings, and bursts of frames of them in an order no prefetcher
// guesses, as a device would have brought them. Shared by path_bench, which times it, and path_cost, which has its
// instructions counted. No device: each burst is copied into the same buffers, as a driver does.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "dataplane/pipeline/worker.h"

namespace portolan::bench {

enum class Way : uint8_t { softwire_outbound, softwire_inbound, plain_outbound, plain_inbound };
inline constexpr Way ways[] = {Way::softwire_outbound, Way::softwire_inbound, Way::plain_outbound, Way::plain_inbound};
std::string_view to_text(Way way);

class Path : public pipeline::Buffers {
 public:
  enum class Flows : uint8_t { opened, fresh };  // fresh: the first frame of each, outbound, opens its mapping
  // `mappings`: as many flows of UDP, or of TCP once established; `payload_bytes` behind the transport header.
  Path(Way way, uint32_t mappings, bool tcp, uint32_t payload_bytes = 18, Flows flows = Flows::opened);

  // What is not the pipeline's cost: the next 64 frames into the buffers.
  void receive();
  // The pipeline's: all of them sent, or the program ends.
  void forward(bool fast);
  static constexpr size_t burst = pipeline::burst_max;
  // From now on it is this second: the first packet of each mapping stamps its record again.
  void set_now(uint32_t now_s) { now_s_ = now_s; }
  [[nodiscard]] uint32_t now_s() const { return now_s_; }
  [[nodiscard]] const nat::Shard& shard() const { return *shard_; }  // to read, from any thread

 private:
  static constexpr size_t buffer_bytes = 2240, headroom_bytes = 128, frame_bytes_max = 128;
  bool allocate(pipeline::Packet&) override { return false; }
  void release(pipeline::Packet&) override {}
  void open(uint32_t flow, bool tcp);
  void keep(uint32_t flow, const std::vector<uint8_t>& frame);
  void forward_by_stages();
  size_t forward_plain();
  [[nodiscard]] std::vector<uint8_t> outbound_frame(uint32_t flow, bool tcp, uint8_t flags) const;
  [[nodiscard]] std::vector<uint8_t> inbound_frame(const std::vector<uint8_t>& sent, uint8_t flags) const;
  std::vector<uint8_t> pass(const std::vector<uint8_t>& frame, pipeline::Side side);

  const bool plain_;
  const uint32_t payload_bytes_;
  pipeline::Side side_;
  pipeline::Snapshot snapshot_;
  pipeline::Gateways gateways_;
  std::unique_ptr<nat::Shard> shard_;
  std::unique_ptr<pipeline::Worker> worker_;
  std::unique_ptr<pipeline::Burst> burst_ = std::make_unique<pipeline::Burst>();
  nat::ZeroPages<uint8_t> frames_;  // one after the other, frame_bytes_max apart
  std::vector<uint8_t> buffers_;
  std::vector<uint32_t> order_;
  size_t frame_bytes_ = 0, at_ = 0;
  uint32_t now_s_ = 1000;
};

}  // namespace portolan::bench
