// One packet on its way through the pipeline, and a burst of them. The bytes belong to whoever received them (an mbuf,
// a test's buffer): the pipeline moves the window [data, data + bytes) and decides a fate, and the owner carries it
// out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/nat/verdict.h"
#include "dataplane/net/types.h"
#include "dataplane/net/wire.h"

namespace portolan::pipeline {

inline constexpr size_t burst_max = 64;
inline constexpr size_t fragments_max = 128;  // fragments one burst may make
inline constexpr size_t released_max = 64;    // packets one burst may have beside those that came: they waited before
inline constexpr size_t headroom_min_bytes = 64;  // encapsulation (40 + 8), a fragment header (8) and VLAN need this

// Towards the B4s (IPv6), the internet (IPv4), and subscribers without a softwire (IPv4, NAT44).
enum class Side : uint8_t { access, internet, inside };
inline constexpr std::array sides{Side::access, Side::internet, Side::inside};
inline constexpr size_t side_count = sides.size();
constexpr std::string_view to_text(Side side) {
  constexpr std::string_view texts[] = {"access", "internet", "inside"};
  return texts[static_cast<size_t>(side)];
}

enum class Fate : uint8_t {
  undecided,
  send,
  punt,
  hand_over,
  drop,
  keep,  // waits in the pipeline, which has its buffer now
};

// Why a packet goes to the control thread. One enumerator = one counter = one help text.
#define PORTOLAN_PUNTS(X)                                                                                           \
  X(arp, "ARP")                                                                                                     \
  X(host_ipv6, "IPv6 for the router itself: neighbour discovery, echo, PCP, errors")                                \
  X(host_ipv4, "IPv4 for the router itself")                                                                        \
  X(host_softwire, "IPv4 inside a softwire for the AFTR itself: echo to 192.0.0.1, PCP")                            \
  X(ttl_expired, "TTL 1 on arrival: answered with ICMP 11/0")                                                       \
  X(too_big, "larger than the way out with DF set: answered with ICMP 3/4")                                         \
  X(no_resources, "new mapping refused for want of ports or room: answered with ICMP 3/1 (RFC 6888 REQ-11)")        \
  X(protocol_unreachable, "transport protocol not translated: answered with ICMP 3/2")                              \
  X(bad_extension, "IPv6 header, option or fragment not to be accepted: answered with ICMPv6 Parameter Problem")    \
  X(reassembly_timeout, "first of fragments that did not all come: answered with ICMPv6 3/1")                       \
  X(unsolicited_syn, "TCP SYN from outside for nobody, after six seconds: answered with ICMP 3/3 (RFC 5382 REQ-4)") \
  X(tunnel_error,                                                                                                   \
    "ICMPv6 error about a tunnel packet: passed on as ICMP to the sender of what it carried (RFC 2473 "             \
    "8)")

enum class Punt : uint8_t {
#define X(name, help) name,
  PORTOLAN_PUNTS(X)
#undef X
};
struct PuntText {
  std::string_view name, help;
};
inline constexpr PuntText punt_texts[] = {
#define X(name, help) {#name, help},
    PORTOLAN_PUNTS(X)
#undef X
};
inline constexpr size_t punt_count = std::size(punt_texts);

// What the control thread must know of a punted packet, and another worker of a handed-over one, beside its bytes.
struct Context {
  Side side{};  // where it came in; of a frame just received: any side of its device
  Fate fate{};
  Punt punt{};             // fate punt: why
  nat::Verdict verdict{};  // fate drop: why; fate punt: what to count if it can't be answered
  uint8_t target = 0;      // fate hand_over: the worker
  bool hairpin = false;  // bytes begin at the IPv4 header: translated outbound already, now inbound to another mapping
  bool in_softwire = false;  // b4 and softwire below are set
  bool port_known = false;   // hand_over of an IPv4 fragment: its datagram's ports are these
  net::Port port, remote_port;
  uint16_t mtu = 0;           // punt too_big, tunnel_error: the MTU to report
  uint16_t pointer = 0;       // punt bad_extension: offset of the offending octet in the IPv6 packet
  uint8_t code = 0;           // punt bad_extension: ICMPv6 Parameter Problem code; tunnel_error: ICMP unreachable's
  uint16_t l3_offset = 0;     // from the frame's start to the packet `punt` speaks of (the inner one if in_softwire)
  uint16_t outer_offset = 0;  // from the frame's start to the outermost IP header
  net::Ipv6 b4, softwire;     // the softwire's two ends, seen from here: remote and local. NAT44: the subscriber in b4
  net::Endpoint sent_from;    // hairpin: source and type of service as its sender wrote them
  uint8_t sent_tos = 0;

  // Of a packet handed over: it is as its device brought it.
  [[nodiscard]] bool is_of_frame() const { return !hairpin && !port_known; }
};
static_assert(std::is_trivially_copyable_v<Context>);

struct PassThrough;
// A fragment that cannot go on by itself.
enum class Piece : uint8_t {
  none,
  ipv6,  // to be reassembled; transport is its fragment header
  ipv4,  // its datagram's ports must be known
};

struct Packet {
  uint8_t* data = nullptr;  // fate send and punt: the Ethernet header
  uint32_t bytes = 0;
  uint32_t headroom = 0;  // writable bytes before data
  uint32_t tailroom = 0;  // writable bytes after data + bytes
  uint16_t vlan = 0;      // received: the tag, where the device took it off the frame
  Side way_out{};         // fate send: through which side
  Context context;
  void* handle = nullptr;  // the owner's: an mbuf
  // Between stages, set by parse():
  net::Ipv4Header* ip = nullptr;  // the IPv4 header to translate
  uint8_t* transport = nullptr;
  net::Ipv4Header* quoted = nullptr;    // of an ICMP error: the packet it speaks of; the mapping is that packet's
  bool tunnel_error = false;            // an ICMPv6 error; ip is the packet that ours, which it quotes, carried
  const PassThrough* passes = nullptr;  // goes through untranslated
  net::Protocol protocol{};             // of the mapping
  net::Port port;  // outbound: inside port, inbound: outside port, of the mapping (ICMP: identifier)
  Piece piece{};
  bool later_fragment = false;  // of IPv4: shows no ports, transport is anything
  net::Port remote_port;        // of a later fragment: its datagram's at the other end
  uint32_t datagram = 0;        // outbound IPv4 fragment: its record
  uint32_t address_number = 0;  // inbound: the outside address in the pool
  uint8_t softwire = 0;         // outbound: which of our AFTR addresses
  uint8_t outer_class = 0;      // outbound: traffic class of the outer header
  uint32_t hash = 0;
  uint32_t mapping = 0;

  void drop(nat::Verdict verdict) { context.fate = Fate::drop, context.verdict = verdict; }
  void punt(Punt why, nat::Verdict otherwise) {
    context.fate = Fate::punt, context.punt = why, context.verdict = otherwise;
  }
  void send(Side side) { context.fate = Fate::send, way_out = side; }
  [[nodiscard]] bool decided() const { return context.fate != Fate::undecided; }
  [[nodiscard]] bool outbound() const { return context.side != Side::internet && !context.hairpin; }
  [[nodiscard]] uint32_t offset_of(const void* at) const {
    return static_cast<uint32_t>(static_cast<const uint8_t*>(at) - data);
  }
  uint8_t* push(uint32_t count) { return data -= count, bytes += count, headroom -= count, data; }
  void pull(uint32_t count) { data += count, bytes -= count, headroom += count; }
  void trim(uint32_t count) { bytes -= count, tailroom += count; }  // from the end
};

struct Burst {
  std::array<Packet, burst_max + released_max> packets;  // at most burst_max come in
  size_t count = 0;
  bool begun = false;                           // what Worker::forward_plain() left of it
  std::array<Packet, fragments_max> fragments;  // made by the pipeline from `buffers`; all have fate send or drop
  size_t fragment_count = 0;
};

// Where new packet buffers come from (an mbuf pool; a test's vector). Owner: the worker.
class Buffers {
 public:
  virtual ~Buffers() = default;
  // An empty packet (bytes = 0, headroom >= headroom_min_bytes, tailroom >= 9000) or false. Its handle is set.
  virtual bool allocate(Packet& packet) = 0;
  virtual void release(Packet& packet) = 0;  // gives a buffer back, be it from here or a kept packet's
};

}  // namespace portolan::pipeline
