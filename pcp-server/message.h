// One UDP payload, and how wire structs are put into it.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/net/reader.h"

namespace portolan::pcp {

using Message = std::vector<uint8_t>;

template <net::Wire T>
void append(Message& message, const T& value) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
  message.insert(message.end(), bytes, bytes + sizeof(T));
}

}  // namespace portolan::pcp
