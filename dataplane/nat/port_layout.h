// How the ports of every outside address are cut into blocks: fixed ranges first, if there are any (RFC 7422), then
// blocks of one size for whoever needs one (RFC 7768). Pure.
#pragma once

#include <cstdint>

#include "dataplane/net/types.h"

namespace portolan::nat {

struct PortRange {
  uint16_t low = 1024, high = 65535;  // inclusive
  [[nodiscard]] uint32_t count() const { return uint32_t{high} - low + 1; }
  friend bool operator==(const PortRange&, const PortRange&) = default;
};

struct PortLayout {
  static constexpr uint32_t no_block = ~uint32_t{0};
  PortRange range;
  uint32_t block_ports = 256;
  uint32_t fixed = 0, fixed_ports = 0;  // ranges at the low end that belong to a subscriber each, whether he is there

  [[nodiscard]] uint32_t blocks() const {  // of each address; ports left over at the high end are in none
    return fixed + (range.count() - fixed * fixed_ports) / block_ports;
  }
  [[nodiscard]] bool is_fixed(uint32_t block) const { return block < fixed; }
  [[nodiscard]] PortRange ports_of(uint32_t block) const {
    const uint32_t count = is_fixed(block) ? fixed_ports : block_ports;
    const uint32_t low = is_fixed(block) ? range.low + block * fixed_ports
                                         : range.low + fixed * fixed_ports + (block - fixed) * block_ports;
    return {static_cast<uint16_t>(low), static_cast<uint16_t>(low + count - 1)};
  }
  [[nodiscard]] uint32_t block_of(net::Port port) const {
    if (port.number < range.low || port.number > range.high) return no_block;
    const uint32_t offset = uint32_t{port.number} - range.low;
    if (offset < fixed * fixed_ports) return offset / fixed_ports;
    const uint32_t block = fixed + (offset - fixed * fixed_ports) / block_ports;
    return block < blocks() ? block : no_block;
  }
  friend bool operator==(const PortLayout&, const PortLayout&) = default;
};

}  // namespace portolan::nat
