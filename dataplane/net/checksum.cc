#include "dataplane/net/checksum.h"

#include <cstring>

namespace portolan::net {

ChecksumSum sum_of(std::span<const uint8_t> bytes) {
  ChecksumSum sum = 0;
  size_t at = 0;
  for (; at + 4 <= bytes.size(); at += 4) {  // four at a time; fold() brings the halves together
    uint32_t word;
    std::memcpy(&word, bytes.data() + at, 4);
    sum += word;
  }
  for (; at + 2 <= bytes.size(); at += 2) {
    uint16_t word;
    std::memcpy(&word, bytes.data() + at, 2);
    sum += word;
  }
  if (at < bytes.size()) {
    const uint8_t last[2] = {bytes[at], 0};
    uint16_t word;
    std::memcpy(&word, last, 2);
    sum += word;
  }
  return sum;
}

namespace {

ChecksumSum protocol_and_length(Protocol protocol, size_t bytes) {
  return ChecksumSum{be16(static_cast<uint8_t>(protocol)).raw()} + be16(static_cast<uint16_t>(bytes)).raw() +
         be16(static_cast<uint16_t>(bytes >> 16)).raw();
}

}  // namespace

ChecksumSum pseudo_header(Ipv4 source, Ipv4 destination, Protocol protocol, size_t bytes) {
  return sum_of(source) + sum_of(destination) + protocol_and_length(protocol, bytes);
}

ChecksumSum pseudo_header(const Ipv6& source, const Ipv6& destination, Protocol protocol, size_t bytes) {
  return sum_of(source.bytes) + sum_of(destination.bytes) + protocol_and_length(protocol, bytes);
}

void set_checksum(Ipv4Header& header) {
  header.checksum = be16(0);
  header.checksum = finish(sum_of({reinterpret_cast<const uint8_t*>(&header), header.header_bytes()}));
}

bool checksum_is_right(const Ipv4Header& header) {
  return fold(sum_of({reinterpret_cast<const uint8_t*>(&header), header.header_bytes()})) == 0xffff;
}

}  // namespace portolan::net
