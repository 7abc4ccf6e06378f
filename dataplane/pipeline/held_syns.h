// Connection attempts from outside that found nobody, held for six seconds (RFC 5382 REQ-4): if the inside opens the
// same connection meanwhile, it was a simultaneous open and nobody is told; else the sender may be. Of each no more is
// kept than an ICMP error must quote. Bounded and reserved at once. Owner: one worker.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/nat/hash.h"
#include "dataplane/net/wire.h"

namespace portolan::pipeline {

class HeldSyns {
 public:
  // The clock's seconds are whole: six of them might be five and a bit.
  static constexpr uint32_t hold_s = 7;
  static constexpr size_t quoted_bytes_max = 60 + 8;  // the longest IPv4 header, and eight octets (RFC 792)

  explicit HeldSyns(size_t capacity = 1024);  // rounded up to whole buckets, a power of two of them

  // A SYN whose TCP header follows its IPv4 header. False if there is no room; one sent again waits no longer.
  bool hold(const net::Ipv4Header& ip, net::Port from, net::Port to, uint32_t now_s);
  // The inside, seen from outside as `here`, opens a connection to `there`.
  void forget(const net::Endpoint& here, const net::Endpoint& there);
  [[nodiscard]] bool any_due(uint32_t now_s) const { return count_ > 0 && oldest().due_s <= now_s; }
  // The octets to quote of the first that is due and still to be answered, valid until pop(); empty if there is none.
  std::span<const uint8_t> due(uint32_t now_s);
  void pop();

 private:
  struct Connection {
    net::Endpoint here, there;
    std::array<uint8_t, 4> padding{};  // hashed in words of eight
    friend bool operator==(const Connection&, const Connection&) = default;
  };
  struct Held {
    Connection connection;
    uint32_t due_s = 0;
    uint8_t bytes = 0;
    bool in_use = false, answered = false;
    std::array<uint8_t, quoted_bytes_max> octets;
  };
  static constexpr size_t bucket_size = 8;

  Held* find(const Connection& connection);
  [[nodiscard]] const Held& oldest() const { return held_[turns_[oldest_ & (turns_.size() - 1)]]; }

  nat::Hasher hash_;
  std::vector<Held> held_;       // buckets of eight, by the connection
  std::vector<uint32_t> turns_;  // places in `held_` in the order they came, which is the order they are due
  size_t oldest_ = 0, count_ = 0;
};

}  // namespace portolan::pipeline
