// The workers of one Portolan without devices: frames in, fates out, packets handed over as dataplane/io would. Owns
// the shards, the workers and every buffer; the clock is an argument. Buffers end where the packet ends, so that ASan
// sees a step too far.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "dataplane/pipeline/worker.h"
#include "tests/packets/packet_text.h"

namespace portolan::packets {

struct Settings {
  nat::ShardSettings shard;
  pipeline::Snapshot snapshot;
  std::vector<net::Ipv4Prefix> pool_prefixes;
  nat::PortRange ports;
  uint16_t block_ports = 256;
  unsigned workers = 1;
  size_t buffers_max = ~size_t{0};  // new buffers given out
  uint32_t fragments_max = 512;     // of each worker
  bool fast_path = true;            // what it takes goes by it
  bool access_gateway_known = true, internet_gateway_known = true, inside_gateway_known = true;
};
Settings default_settings();

struct Outcome {  // a packet that left the workers, or did not
  pipeline::Fate fate{};
  pipeline::Side side{};  // fate send
  pipeline::Context context;
  Bytes bytes;
};

class Network : public pipeline::Buffers {
 public:
  explicit Network(Settings settings);

  ~Network() override;

  // One burst to one worker from the device of that side, and everything that follows from it.
  std::vector<Outcome> deliver(unsigned worker, pipeline::Side side, const std::vector<Bytes>& frames, uint32_t now_s);
  // Time passes: mappings end, and what waited is done with.
  std::vector<Outcome> expire(uint32_t now_s);
  // Another configuration from the next burst on.
  void use(const pipeline::Snapshot& snapshot);
  nat::CommandResult execute(const nat::Command& command, uint32_t now_s);

  // What contradicts counters.h's law, checksum_law.h or the audit; empty if nothing does.
  [[nodiscard]] std::string contradictions() const;
  // Verdicts, punt_… and the translation counters that are not zero, summed over the workers.
  [[nodiscard]] std::map<std::string, uint64_t> counters() const;
  // Every mapping's record but for where it is and its links, as text.
  [[nodiscard]] std::multiset<std::string> records() const;
  [[nodiscard]] uint64_t forwarded() const { return forwarded_; }  // by the fast path
  [[nodiscard]] uint64_t mappings() const;                         // live and held
  [[nodiscard]] uint64_t waiting_fragments() const;
  [[nodiscard]] uint64_t sessions() const;
  [[nodiscard]] const Settings& settings() const { return settings_; }
  [[nodiscard]] bool empty() const;  // no mapping, no subscriber, every port block free, no fragment waiting

 private:
  bool allocate(pipeline::Packet& packet) override;
  void release(pipeline::Packet& packet) override;
  pipeline::Packet buffer(size_t bytes, size_t tailroom);
  [[nodiscard]] std::vector<pipeline::Frame> fast_frames(const std::vector<pipeline::Packet>& packets) const;
  void judge_checksums(const pipeline::Packet& packet);
  void process_due(uint32_t now_s, std::vector<Outcome>& outcomes);
  void process(unsigned worker, std::vector<pipeline::Packet> packets, uint32_t now_s, std::vector<Outcome>& outcomes);

  Settings settings_;
  std::unique_ptr<const pipeline::Snapshot> in_use_;  // by the workers: another object for each use()
  pipeline::Gateways gateways_;
  std::vector<std::unique_ptr<nat::Shard>> shards_;
  std::vector<std::unique_ptr<pipeline::Worker>> workers_;
  struct Buffer {
    std::unique_ptr<uint8_t[]> octets;
    Bytes arrived;  // the frame that came in it, if any
  };
  std::map<void*, Buffer> buffers_;  // by handle: those that somebody still has
  size_t buffers_taken_ = 0;
  uint64_t forwarded_ = 0;
  std::string checksum_faults_;
  std::unique_ptr<pipeline::Burst> burst_ = std::make_unique<pipeline::Burst>();
};

}  // namespace portolan::packets
