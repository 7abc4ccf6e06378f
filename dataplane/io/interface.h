// What the CLI and the metrics show of one side's device. A copy, taken when asked for.
#pragma once

#include <cstdint>
#include <string>

#include "dataplane/net/types.h"

namespace portolan::io {

struct InterfaceInfo {
  std::string device;  // DPDK's name
  std::string driver;
  std::string interface;  // the kernel's name, if there is one behind it
  net::Mac mac;
  uint16_t mtu_bytes = 0;
  bool link_up = false;
  uint32_t speed_mbps = 0;  // 0: unknown
  int numa_node = -1;       // -1: none
  uint16_t receive_queues = 0, transmit_queues = 0;
  std::string spread;  // which queue its packets come to: "to owners", or why not
  // By the device's own count:
  uint64_t received = 0, received_bytes = 0, sent = 0, sent_bytes = 0;
  uint64_t missed = 0;     // came in while the receive queue was full
  uint64_t no_buffer = 0;  // came in while there was no buffer
  uint64_t receive_errors = 0, transmit_errors = 0;
};

}  // namespace portolan::io
