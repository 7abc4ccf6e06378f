// What must outlive the process: the registrations the DDNS server acknowledged (nothing is sent again that has not
// changed, and what is no longer configured is withdrawn) and the mappings with their nonces (after a crash the client
// can renew what is still its own, instead of being refused until it expires). Times in the file are Unix times.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/net/result.h"
#include "ddns-client-ref/boot_time.h"
#include "ddns-client-ref/pcp_client.h"
#include "ddns-client-ref/updater.h"

namespace portolan::ddns {

struct SavedMapping {
  std::string pcp_server;
  net::Protocol protocol{};
  net::Endpoint inside;
  pcp::Nonce nonce{};
  net::Endpoint outside;  // zero: not granted yet
  Time expires;
};

// A mapping a UPnP control point asked for.
struct SavedLease {
  SavedMapping mapping;
  net::Port known_as;
  std::string description;
  std::optional<Time> ends;           // empty: when it is deleted
  std::optional<net::Ipv4> remote{};  // the only host that is let in; empty: everybody
};

struct State {
  std::string ddns_server;  // registrations hold for this one only
  std::vector<Acknowledged> registrations;
  std::vector<SavedMapping> mappings;
  std::vector<SavedLease> leases;
};

// What is known of a mapping, if this server made it: no server is told another's nonces (RFC 6887 §11.2).
const SavedMapping* saved_mapping(const State& state, std::string_view pcp_server, net::Protocol protocol,
                                  net::Endpoint inside);

// Unix time minus boot time now; clocks that jump change it between runs, so ages are what is trusted.
using WallOffset = std::chrono::seconds;
WallOffset wall_offset();

std::string to_json(const State& state, WallOffset offset);
// A torn or foreign file is an error, never a part of a state.
net::Result<State, std::string> from_json(std::string_view text, WallOffset offset);

// Holds the state for this process, by a lock beside the file, for as long as it lives: two clients with one state
// would undo each other's registrations.
class StateLock {
 public:
  static net::Result<StateLock, std::string> take(const std::string& path);
  StateLock(StateLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  StateLock& operator=(StateLock&&) = delete;
  ~StateLock();

 private:
  explicit StateLock(int file) : file_(file) {}
  int file_;
};

// Atomic: the old file or the new one, whatever happens (temporary file, fsync, rename, fsync of the directory).
net::Result<void, std::string> save_state(const std::string& path, const State& state, WallOffset offset);
// No file: an empty state.
net::Result<State, std::string> load_state(const std::string& path, WallOffset offset);

}  // namespace portolan::ddns
