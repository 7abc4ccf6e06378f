// A device, of one side or of several: found, given its queues and buffers, started, closed. Owner: the control thread;
// workers only poll its queues, by `id` and queue number. Internal to dataplane/io.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/io/device.h"
#include "dataplane/io/interface.h"
#include "dataplane/nat/spread.h"
#include "dataplane/net/result.h"
#include "dataplane/net/types.h"
#include "dataplane/pipeline/packet.h"

struct rte_mempool;

namespace portolan::io {

class Port {
 public:
  struct Plan {
    Device device;
    std::vector<pipeline::Side> sides;  // at least one
    uint16_t mtu_bytes = 0;             // of layer 3, the largest of its sides
    bool tagged = false;                // some of them have a VLAN
  };
  // Finds the device, or attaches it if it is virtual. Errors name the device and say why.
  static net::Result<std::unique_ptr<Port>, std::string> open(Plan plan, unsigned workers);
  ~Port();  // closes the device
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  // Queues, MTU, receive filters; frames come in buffers of `pool`. Then packets flow.
  net::Result<void, std::string> start(rte_mempool& pool);
  void stop();
  // Of a started device with several queues: packets come to the queues of their owners from now on, if it can do that.
  void spread(const nat::Spread& spread, const std::vector<uint16_t>& queue_of_worker);
  [[nodiscard]] bool spreads() const;  // it can, as far as it says of itself
  [[nodiscard]] const std::string& spread_obstacle() const {
    return spread_obstacle_;
  }  // why it does not; empty: it does

  [[nodiscard]] uint16_t id() const { return id_; }
  [[nodiscard]] uint16_t receive_queues() const { return receive_queues_; }
  [[nodiscard]] uint16_t transmit_queues() const { return transmit_queues_; }
  [[nodiscard]] int socket() const;                // NUMA; SOCKET_ID_ANY if it is on none
  [[nodiscard]] uint32_t frames_held_max() const;  // buffers its queues hold at most
  [[nodiscard]] uint16_t data_room_bytes() const;  // of its buffers, headroom included
  [[nodiscard]] net::Mac mac() const;
  [[nodiscard]] InterfaceInfo info() const;

 private:
  Port(Plan plan, uint16_t id) : plan_(std::move(plan)), id_(id) {}
  net::Result<void, std::string> configure();
  net::Result<void, std::string> set_mtu();
  net::Result<void, std::string> set_up_queues(rte_mempool& pool);
  [[nodiscard]] uint64_t hash_types() const;
  [[nodiscard]] std::string find_spread_obstacle() const;
  [[nodiscard]] std::string program(const nat::Spread& spread, const std::vector<uint16_t>& queue_of_worker) const;
  [[nodiscard]] std::string spread_text() const;
  [[nodiscard]] std::string error(const std::string& what, int code) const;
  [[nodiscard]] uint16_t device_mtu_bytes() const;

  const Plan plan_;
  const uint16_t id_;
  uint16_t receive_queues_ = 1, transmit_queues_ = 1;
  uint16_t receive_descriptors_ = 0, transmit_descriptors_ = 0;
  bool started_ = false;
  std::string spread_obstacle_;
};

}  // namespace portolan::io
