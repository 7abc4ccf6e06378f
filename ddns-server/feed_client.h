// Reads an AFTR's mapping feed for an Authority, over its unix socket or TLS, on a thread of its own; comes back by
// itself after whatever ended a connection, a little later each time.
#pragma once

#include <memory>

#include "ddns-server/authority.h"
#include "ddns-server/config.h"

namespace portolan::ddnsd {

class FeedClient {
 public:
  // Throws std::runtime_error if a file it needs cannot be read.
  FeedClient(const AuthorityConfig& config, Authority& authority);
  ~FeedClient();
  FeedClient(const FeedClient&) = delete;
  FeedClient& operator=(const FeedClient&) = delete;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace portolan::ddnsd
