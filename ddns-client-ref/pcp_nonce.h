// Mapping nonces: who knows a mapping's may change it, so they are drawn from the kernel's generator (RFC 6887 §11.2).
#pragma once

#include "pcp-server/pcp_wire.h"

namespace portolan::ddns {

// Throws std::runtime_error if the kernel has none to give.
pcp::Nonce random_nonce();

}  // namespace portolan::ddns
