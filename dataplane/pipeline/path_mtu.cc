#include "dataplane/pipeline/path_mtu.h"

#include <algorithm>
#include <bit>

namespace portolan::pipeline {

PathMtus::PathMtus(size_t capacity) : buckets_(std::bit_ceil(std::max<size_t>(capacity / Bucket{}.size(), 1))) {}

bool PathMtus::note(const net::Ipv6& b4, uint16_t mtu_bytes, uint32_t now_s) {
  Path* place_for_it = nullptr;
  for (Path& path : buckets_[place(b4)]) {
    const bool live = path.until_s > now_s;
    if (live && path.b4 == b4) {
      path.mtu_bytes = std::min(path.mtu_bytes, mtu_bytes);  // never raised by an error (RFC 8201 §4)
      latest_s_ = path.until_s = now_s + lifetime_s;
      return true;
    }
    if (!live) place_for_it = &path;
  }
  if (place_for_it == nullptr) return false;
  latest_s_ = now_s + lifetime_s;
  *place_for_it = {b4, latest_s_, mtu_bytes};
  return true;
}

uint16_t PathMtus::to(const net::Ipv6& b4, uint16_t otherwise, uint32_t now_s) const {
  for (const Path& path : buckets_[place(b4)])
    if (path.until_s > now_s && path.b4 == b4) return std::min(path.mtu_bytes, otherwise);
  return otherwise;
}

}  // namespace portolan::pipeline
