// The generator's two links to the device under test, and DPDK behind them. A link's frames come from buffers whose
// bodies are filler for good, so that a large frame costs its headers alone to write. Owner: the only thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/net/types.h"

struct rte_mbuf;
struct rte_mempool;

namespace portolan::bench {

inline constexpr uint16_t burst_max = 64;

struct LinkPlan {
  std::string name;     // of the DPDK device: net_memif0, or a PCI address
  std::string devargs;  // for --vdev or -a
  bool is_virtual = true;
  uint16_t descriptors = 1024;  // of each ring
};

class Link {
 public:
  // Waits until the device at the other end is there. Throws std::runtime_error with what failed.
  Link(const LinkPlan& plan, std::chrono::seconds patience);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  [[nodiscard]] const net::Mac& mac() const { return mac_; }
  // At most burst_max; free them with release().
  uint16_t receive(std::span<rte_mbuf*, burst_max> frames) const;
  // Buffers to write frames into; false if there are not so many.
  bool allocate(std::span<rte_mbuf*> frames) const;
  // How many were taken: the first ones, whose buffers are the driver's now.
  [[nodiscard]] uint16_t send(std::span<rte_mbuf*> frames) const;
  static void release(std::span<rte_mbuf*> frames);
  // One short frame of its own, copied.
  bool send_copy(std::span<const uint8_t> bytes) const;

 private:
  void configure(uint16_t descriptors);
  void start(std::chrono::seconds patience);
  [[nodiscard]] bool is_up() const;

  std::string name_;
  uint16_t port_ = 0;
  rte_mempool* receive_pool_ = nullptr;
  rte_mempool* send_pool_ = nullptr;
  net::Mac mac_;
};

// DPDK, once a process. Throws std::runtime_error.
void start_dpdk(const std::vector<LinkPlan>& links, const std::string& options, unsigned core);
void end_dpdk();

}  // namespace portolan::bench
