#include "dataplane/pipeline/held_syns.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace portolan::pipeline {

HeldSyns::HeldSyns(size_t capacity) : held_(std::bit_ceil(std::max(capacity, bucket_size))), turns_(held_.size()) {}

// The connection's place, or a free one of its bucket, or none.
HeldSyns::Held* HeldSyns::find(const Connection& connection) {
  Held* const bucket = &held_[hash_(connection) & (held_.size() - bucket_size)];
  Held* free = nullptr;
  for (size_t i = 0; i < bucket_size; ++i) {
    if (!bucket[i].in_use)
      free = &bucket[i];
    else if (bucket[i].connection == connection)
      return &bucket[i];
  }
  return free;
}

bool HeldSyns::hold(const net::Ipv4Header& ip, net::Port from, net::Port to, uint32_t now_s) {
  const Connection connection{{ip.destination, to}, {ip.source, from}};
  Held* const place = find(connection);
  if (place == nullptr) return false;
  if (place->in_use) return true;
  place->connection = connection;
  place->due_s = now_s + hold_s;
  place->bytes = static_cast<uint8_t>(ip.header_bytes() + 8);
  place->in_use = true, place->answered = false;
  std::memcpy(place->octets.data(), &ip, place->bytes);
  turns_[(oldest_ + count_++) & (turns_.size() - 1)] = static_cast<uint32_t>(place - held_.data());
  return true;
}

void HeldSyns::forget(const net::Endpoint& here, const net::Endpoint& there) {
  if (count_ == 0) return;
  if (Held* const place = find({here, there}); place != nullptr && place->in_use) place->answered = true;
}

std::span<const uint8_t> HeldSyns::due(uint32_t now_s) {
  for (; any_due(now_s); pop())
    if (!oldest().answered) return {oldest().octets.data(), oldest().bytes};
  return {};
}

void HeldSyns::pop() {
  held_[turns_[oldest_++ & (turns_.size() - 1)]].in_use = false;
  --count_;
}

}  // namespace portolan::pipeline
