// The path MTU to each B4 that is narrower than softwire.mtu, as ICMPv6 Packet Too Big has told (RFC 2473 §6.7, RFC
// 8201). Bounded and reserved at once; nobody is ever pushed out. Owner: one worker.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "dataplane/nat/hash.h"
#include "dataplane/net/types.h"

namespace portolan::pipeline {

inline constexpr uint32_t ipv6_mtu_min_bytes = 1280;  // of any link (RFC 8200 §5)

class PathMtus {
 public:
  static constexpr uint32_t lifetime_s = 600;  // from the last Packet Too Big until the value may rise (RFC 8201 §4)

  explicit PathMtus(size_t capacity = 4096);  // rounded up to whole buckets, a power of two of them

  // A path does not take more than mtu_bytes. False if there is no room to keep that.
  bool note(const net::Ipv6& b4, uint16_t mtu_bytes, uint32_t now_s);
  // Whether anything is known of any path.
  [[nodiscard]] bool any(uint32_t now_s) const { return latest_s_ > now_s; }
  // The path's MTU, if it is known to be below `otherwise`.
  [[nodiscard]] uint16_t to(const net::Ipv6& b4, uint16_t otherwise, uint32_t now_s) const;

 private:
  struct Path {
    net::Ipv6 b4;
    uint32_t until_s = 0;  // not after: free
    uint16_t mtu_bytes = 0;
  };
  using Bucket = std::array<Path, 8>;

  [[nodiscard]] size_t place(const net::Ipv6& b4) const { return hash_(b4) & (buckets_.size() - 1); }

  nat::Hasher hash_;  // keyed: whoever chooses B4 addresses cannot aim at one bucket
  std::vector<Bucket> buckets_;
  uint32_t latest_s_ = 0;  // until when something is known
};

}  // namespace portolan::pipeline
