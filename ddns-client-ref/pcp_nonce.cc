#include "ddns-client-ref/pcp_nonce.h"

#include <stdexcept>
#include <sys/random.h>

namespace portolan::ddns {

pcp::Nonce random_nonce() {
  pcp::Nonce nonce;
  if (getrandom(nonce.data(), nonce.size(), 0) != static_cast<ssize_t>(nonce.size()))
    throw std::runtime_error("getrandom failed");
  return nonce;
}

}  // namespace portolan::ddns
