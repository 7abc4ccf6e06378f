// Frames on both sides of the device under test: templates that are written with a few wide stores, and the tag in each
// payload that says whose the frame is, so that what comes back is recognised without a look-up. Nobody's state.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "bench/generator/flows.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/types.h"
#include "dataplane/net/wire.h"

namespace portolan::bench {

enum class Direction : uint8_t { upstream, downstream };  // from the subscribers, from the internet
inline constexpr Direction directions[] = {Direction::upstream, Direction::downstream};
constexpr size_t index_of(Direction direction) { return static_cast<size_t>(direction); }

// First in the payload, in this machine's byte order: nobody but the sender reads it.
struct Tag {
  uint32_t flow;
  uint32_t mark;  // of one trial, direction and class of traffic: what carries another is not of this trial
  uint64_t sent_tsc;
};
static_assert(sizeof(Tag) == 16);

inline constexpr uint8_t filler = 0x5a;  // the rest of a payload
inline constexpr size_t frame_check_bytes = 4;
inline constexpr size_t plain_header_bytes =
    sizeof(net::EthernetHeader) + sizeof(net::Ipv4Header) + sizeof(net::UdpHeader);
inline constexpr size_t tunnel_bytes = sizeof(net::Ipv6Header);
// The smallest and the largest Ethernet frame of the IPv4 side with its FCS, as RFC 8219 §5.1.1 counts.
inline constexpr size_t frame_min_bytes = 64, frame_max_bytes = 1518;
static_assert(plain_header_bytes + sizeof(Tag) + frame_check_bytes <= frame_min_bytes);

// The sizes of a trial's frames: one, or of twelve flows seven with 64 octets, four with 594 and one with 1478. That is
// the "simple IMIX", 7 : 4 : 1 of 64, 594 and 1518 (RFC 6985 tells of such mixes, and why they must be told of), with
// the largest that fits into a softwire without being cut. A flow's frames all have its size, so that what comes back
// can be checked; the order is that in which flows are drawn.
class FrameSizes {
 public:
  static constexpr size_t imix = 0;  // in place of a size
  static constexpr size_t classes_max = 3;

  explicit FrameSizes(size_t frame_bytes) : bytes_(frame_bytes) {}
  [[nodiscard]] size_t classes() const { return bytes_ == imix ? classes_max : 1; }
  [[nodiscard]] size_t class_of(uint32_t flow) const {
    return bytes_ != imix || flow % 12 < 7 ? 0 : flow % 12 < 11 ? 1 : 2;
  }
  [[nodiscard]] size_t bytes_of_class(size_t number) const {
    constexpr size_t mixed[classes_max] = {64, 594, 1478};
    return bytes_ == imix ? mixed[number] : bytes_;
  }
  [[nodiscard]] size_t bytes_of(uint32_t flow) const { return bytes_of_class(class_of(flow)); }

 private:
  size_t bytes_;
};

constexpr size_t tag_offset(bool tunnelled) { return plain_header_bytes + (tunnelled ? tunnel_bytes : 0); }

inline Tag tag_at(const uint8_t* frame, size_t offset) {
  Tag tag;
  std::memcpy(&tag, frame + offset, sizeof tag);
  return tag;
}

// A frame of one direction and size with everything in it that does not differ from flow to flow, sums of checksums
// included.
class FrameTemplate {
 public:
  // `frame_bytes` is of the IPv4 side, FCS included; a tunnelled frame has 40 more.
  FrameTemplate(bool tunnelled, size_t frame_bytes, const net::Mac& source, const net::Mac& destination);

  // Without FCS, which no driver here carries.
  [[nodiscard]] uint16_t bytes() const { return bytes_; }
  [[nodiscard]] size_t offset_of_tag() const { return tag_offset(tunnelled_); }

  // Writes `written_bytes` into `frame`; what follows up to bytes() must be filler already.
  void write(uint8_t* frame, uint32_t subscriber, const net::Endpoint& source, const net::Endpoint& destination,
             const Tag& tag) const;

  static constexpr size_t written_bytes = 128;

 private:
  alignas(64) std::array<uint8_t, written_bytes> image_;
  net::ChecksumSum ip_sum_ = 0, udp_sum_ = 0;
  uint16_t bytes_;
  bool tunnelled_;
};

// What is wrong with a frame that came back.
#define PORTOLAN_BENCH_FAULTS(X)                           \
  X(none, "nothing")                                       \
  X(length, "another length than it must have")            \
  X(framing, "not an untagged IPv4 or IPv4-in-IPv6 frame") \
  X(softwire, "softwire: wrong source or destination")     \
  X(source, "source address or port")                      \
  X(destination, "destination address or port")            \
  X(ip_checksum, "IPv4 header checksum")                   \
  X(udp_checksum, "UDP checksum")                          \
  X(payload, "payload changed")                            \
  X(twice, "came twice")
enum class Fault : uint8_t {
#define X(name, help) name,
  PORTOLAN_BENCH_FAULTS(X)
#undef X
};
const char* to_text(Fault fault);

// What a frame must be like when the device sends it.
struct Expectation {
  bool tunnelled;
  size_t frame_bytes;                               // as FrameTemplate counts
  net::Ipv6 softwire_source, softwire_destination;  // if it is tunnelled
  net::Endpoint source, destination;
};
Fault find_fault(const uint8_t* frame, size_t bytes, const Expectation& expected);

}  // namespace portolan::bench
