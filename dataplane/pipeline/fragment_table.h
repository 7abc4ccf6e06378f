// Datagrams some fragments of which have come: which octets, what waits for the rest, what the first one showed.
// Bounded, reserved at start, a share for each sender so that none can fill it. Owner: one worker, a table for each
// way.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "dataplane/nat/hash.h"
#include "dataplane/net/result.h"
#include "dataplane/pipeline/packet.h"

namespace portolan::pipeline {

// Everything that tells datagrams apart, whole: fragments of two never meet.
struct DatagramKey {
  net::Ipv6 source;       // of IPv6; of IPv4 from a softwire the subscriber, from outside nothing
  net::Ipv6 destination;  // of IPv6; of IPv4 source and destination
  net::be32 identification;
  net::Protocol protocol{};  // of IPv4; fragment if IPv6 itself was cut
  std::array<uint8_t, 3> zero{};
  friend bool operator==(const DatagramKey&, const DatagramKey&) = default;
};
static_assert(sizeof(DatagramKey) == 40);

// What a datagram is in the table for, and so how long at most.
enum class Wait : uint8_t {
  reassembly,  // IPv6, for all of it
  first,       // IPv4, for the fragment with the ports
  rest,        // IPv4, for those that need the ports
  none,        // all of it has come: gone at the burst's end
};
inline constexpr std::array<uint32_t, 4> wait_max_s{60, 2, 10, 0};  // RFC 8200 §4.5; by Wait

struct Datagram {
  static constexpr size_t extents_max = 64;
  struct Extent {
    uint16_t begin, end;  // octets of the payload
  };

  DatagramKey key;
  net::Ipv6 sender;
  Wait wait{};
  bool abandoned = false;   // overlap: whatever still comes is dropped (RFC 8200 §4.5)
  bool translated = false;  // IPv4 outbound: the first one was, with this identification
  uint16_t identification = 0;
  net::Port remote_port;
  net::Port port;        // Wait::rest: of the mapping
  uint32_t end = 0;      // of its payload, once the last fragment has come; 0: not yet
  uint32_t covered = 0;  // octets
  uint32_t extent_count = 0;
  std::array<Extent, extents_max> extents;
  uint32_t until_s = 0;
  uint32_t held_first = 0, held_last = 0;
  uint32_t next = 0;              // in its bucket, or free
  uint32_t newer = 0, older = 0;  // of those that wait for the same

  [[nodiscard]] bool complete() const { return end != 0 && covered == end; }
};

class FragmentTable {
 public:
  // `count` datagrams and as many waiting packets. Throws std::bad_alloc; start-up only.
  explicit FragmentTable(uint32_t count);

  // The datagram of a fragment, entered if it is the first to come. `sender`: who answers for the room.
  net::Result<uint32_t, nat::Verdict> enter(const DatagramKey& key, const net::Ipv6& sender, Wait wait, uint32_t now_s);
  // Notes octets begin..end-1; refused are those that were there already, and too many pieces.
  net::Result<void, nat::Verdict> cover(uint32_t datagram, uint32_t begin, uint32_t end, bool more);
  Datagram& operator[](uint32_t datagram) { return datagrams_[datagram]; }
  void wait_for(uint32_t datagram, Wait wait, uint32_t now_s);
  void close(uint32_t datagram);  // which holds nothing
  // One whose time is up; 0 if there is none.
  [[nodiscard]] uint32_t overdue(uint32_t now_s) const;
  [[nodiscard]] uint32_t complete() const { return waits_[static_cast<size_t>(Wait::none)].oldest; }

  // Packets that wait, in the order they came. Their buffers are the table's until they are taken.
  net::Result<void, nat::Verdict> hold(uint32_t datagram, const Packet& packet);
  std::optional<Packet> take_held(uint32_t datagram);
  [[nodiscard]] const Packet* held_at(uint32_t datagram, uint32_t begin) const;
  // What is held for the datagram may go on: each with its port, in order.
  void release(uint32_t datagram);
  std::optional<Packet> take_released();
  [[nodiscard]] bool has_released() const { return released_first_ != 0; }

  // The share of the table that is in use, in datagrams and in packets.
  [[nodiscard]] uint32_t open_count() const { return open_; }
  [[nodiscard]] uint32_t held_count() const { return held_; }

 private:
  struct Held {
    Packet packet;
    uint32_t begin = 0;
    uint32_t next = 0;
    uint32_t share = 0;
  };
  struct List {
    uint32_t oldest = 0, newest = 0;
  };
  static constexpr size_t shares = 256;

  [[nodiscard]] uint32_t& bucket_of(const DatagramKey& key) { return buckets_[hash_(key) & (buckets_.size() - 1)]; }
  [[nodiscard]] uint32_t share_of(const net::Ipv6& sender) const { return hash_(sender) % shares; }
  void leave_list(uint32_t datagram);
  Packet free_held(uint32_t held);
  List& list(Wait wait) { return waits_[static_cast<size_t>(wait)]; }

  nat::Hasher hash_;
  std::vector<Datagram> datagrams_;  // 1..; 0 is none
  std::vector<Held> held_packets_;   // likewise
  std::vector<uint32_t> buckets_;    // a power of two
  std::array<uint32_t, shares> used_{};
  std::array<List, 4> waits_{};  // by Wait
  uint32_t share_max_;
  uint32_t free_datagram_ = 0, free_held_ = 0;
  uint32_t released_first_ = 0, released_last_ = 0;
  uint32_t open_ = 0, held_ = 0;
};

}  // namespace portolan::pipeline
