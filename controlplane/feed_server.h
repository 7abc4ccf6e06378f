// The feed's sockets: a unix socket for programs on this machine, TCP with TLS and a token for others. A thread of its
// own, so that neither a handshake nor a slow reader is in anybody's way; a reader is a cursor and at most one chunk of
// lines, and he who takes none for a minute is let go.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/feed_settings.h"
#include "controlplane/mapping_feed.h"
#include "dataplane/net/result.h"

namespace portolan::control {

// Somebody who reads the feed now.
struct FeedReader {
  std::string name;                             // of a unix socket's other end the kernel tells none
  std::chrono::steady_clock::time_point since;  // he was admitted
  uint64_t sequence = 0;                        // the last change he was given
  bool snapshot = false;                        // he is given the whole table first, and has not got all of it
};

class FeedServer {
 public:
  using Say = std::function<void(std::string_view)>;  // from the feed's thread

  static constexpr size_t readers_max = 16, strangers_max = 64;  // at once; strangers: not admitted yet

  // Listens and serves from here on. The error says which setting is at fault, and why.
  static net::Result<std::unique_ptr<FeedServer>, FeedError> start(const MappingFeed& feed,
                                                                   const FeedSettings& settings, Say say);
  ~FeedServer();
  FeedServer(const FeedServer&) = delete;
  FeedServer& operator=(const FeedServer&) = delete;

  void wake();                                            // there is news; from any thread
  [[nodiscard]] std::vector<FeedReader> readers() const;  // from any thread
  [[nodiscard]] uint16_t port() const;                    // of TCP: the one the kernel chose, if 0 was asked for

 private:
  class Impl;
  explicit FeedServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace portolan::control
