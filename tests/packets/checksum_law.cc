#include "tests/packets/checksum_law.h"

#include <algorithm>
#include <optional>
#include <span>

namespace portolan::packets {

namespace {

using Octets = std::span<const uint8_t>;
constexpr uint32_t no_checksum = 0x10000;  // UDP's zero, which is not an error of any size

uint32_t word(Octets octets, size_t at) { return uint32_t{octets[at]} << 8 | octets[at + 1]; }

// 0 if the checksum that the octets contain is right.
uint32_t error_of(Octets octets, uint32_t sum = 0) {
  for (size_t at = 0; at < octets.size(); at += 2)
    sum += at + 1 < octets.size() ? word(octets, at) : uint32_t{octets[at]} << 8;
  return sum % 0xffff;
}

// An IPv4 packet from its header on, as much as is there; none if it has no whole header.
std::optional<Octets> ipv4_at(Octets octets) {
  if (octets.size() < 20 || octets[0] >> 4 != 4) return std::nullopt;
  const size_t header = (octets[0] & 15U) * 4, total = word(octets, 2);
  if (header < 20 || total < header || octets.size() < header) return std::nullopt;
  return octets.first(std::min(octets.size(), total));
}

// The IPv4 packet in a frame, behind whatever carries it. None if it is but a part of one.
std::optional<Octets> ipv4_in(Octets frame) {
  size_t at = 12;
  while (frame.size() >= at + 4 && word(frame, at) == 0x8100) at += 4;
  if (frame.size() < at + 2) return std::nullopt;
  const bool is_ipv4 = word(frame, at) == 0x0800;
  Octets packet = frame.subspan(at + 2);
  if (is_ipv4) return ipv4_at(packet);
  if (packet.size() < 40) return std::nullopt;
  uint8_t next = packet[6];
  packet = packet.subspan(40);
  while (next != 4) {
    const bool is_fragment = next == 44;
    if (packet.size() < 8 || (next != 0 && next != 43 && next != 60 && !is_fragment)) return std::nullopt;
    const size_t bytes = is_fragment ? 8 : (packet[1] + size_t{1}) * 8;
    if (packet.size() < bytes || (is_fragment && (word(packet, 2) & 0xfff9) != 0)) return std::nullopt;
    next = packet[0];
    packet = packet.subspan(bytes);
  }
  return ipv4_at(packet);
}

Octets header_of(Octets packet) { return packet.first((packet[0] & 15U) * 4); }
Octets body_of(Octets packet) { return packet.subspan((packet[0] & 15U) * 4); }

// A segment that is cut, as in a first fragment or a quote, is off by something too, and by the same in and out.
std::optional<uint32_t> transport_error(Octets packet) {
  const uint8_t protocol = packet[9];
  const Octets body = body_of(packet);
  const size_t field = protocol == 6 ? 16 : protocol == 17 ? 6 : 2;
  if ((word(packet, 6) & 0x1fff) != 0 || (protocol != 1 && protocol != 6 && protocol != 17) || body.size() < field + 2)
    return std::nullopt;
  if (protocol == 1) return error_of(body);
  if (protocol == 17 && word(body, field) == 0) return no_checksum;
  const uint32_t length = word(packet, 2) - static_cast<uint32_t>(header_of(packet).size());
  return error_of(body, error_of(packet.subspan(12, 8)) + protocol + length);
}

std::optional<Octets> quoted_in(Octets packet) {
  const Octets body = body_of(packet);
  const bool is_first = (word(packet, 6) & 0x1fff) == 0;
  const bool is_error =
      is_first && packet[9] == 1 && body.size() > 8 && (body[0] == 3 || body[0] == 11 || body[0] == 12);
  return is_error ? ipv4_at(body.subspan(8)) : std::nullopt;
}

}  // namespace

std::string checksum_fault(const Bytes& in, const Bytes& out) {
  const auto before = ipv4_in(in), after = ipv4_in(out);
  if (!after) return {};
  if (error_of(header_of(*after)) != 0) return "IPv4 header checksum";
  const bool same_size = before && before->size() == after->size() && word(*before, 2) == word(*after, 2);
  if (!same_size || ((word(*before, 6) ^ word(*after, 6)) & 0x3fff) != 0) return {};
  if (transport_error(*before) != transport_error(*after)) return "transport checksum";
  const auto quoted_before = quoted_in(*before), quoted_after = quoted_in(*after);
  if (quoted_before.has_value() != quoted_after.has_value()) return "a quoted packet appears or vanishes";
  if (!quoted_before) return {};
  if (error_of(header_of(*quoted_before)) != error_of(header_of(*quoted_after))) return "quoted header checksum";
  return transport_error(*quoted_before) == transport_error(*quoted_after) ? "" : "quoted transport checksum";
}

}  // namespace portolan::packets
