// A `device =` value: what DPDK will make of it, and what can be said against it before DPDK is asked, because DPDK's
// own answer to a mistyped interface is a bare error number. Pure, but for find_obstacle(). No state.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/net/result.h"

namespace portolan::io {

inline constexpr uint16_t mtu_max_bytes = 9216;

struct Device {
  std::string name;       // as DPDK calls it: net_af_packet0, 0000:03:00.0
  std::string driver;     // net_af_packet; empty: PCI, the driver is found by its identifiers
  std::string interface;  // the kernel's, behind it, whose MTU is the kernel's affair; empty: none
  std::string devargs;    // name and arguments, our defaults added
  bool is_virtual = false;
};

// A DPDK devargs string for a port with this MTU. Errors name the device and the way out.
net::Result<Device, std::string> parse_device(std::string_view text, uint16_t mtu_bytes);

// Why these two devices of two sides can't be used together, if so. Sides that share one name it alike.
std::optional<std::string> find_conflict(std::string_view side, const Device& device, std::string_view other_side,
                                         const Device& other);

// Why this machine or this process can't use the device with this MTU, if that can be seen from outside.
std::optional<std::string> find_obstacle(const Device& device, uint16_t mtu_bytes);

// Largest MTU the device's buffers allow.
uint16_t mtu_limit_bytes(const Device& device);

}  // namespace portolan::io
