// One gateway's link-layer address: found, re-confirmed, lost and found again. A state machine that asks for probes and
// is told what was heard; ARP and neighbour discovery (RFC 4861 §7.3) share it. Owner: the control thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "dataplane/net/types.h"
#include "dataplane/pipeline/snapshot.h"

namespace portolan::control {

inline constexpr uint64_t never_ms = UINT64_MAX;

enum class NeighborState : uint8_t {
  incomplete,  // never answered since the start
  reachable,
  stale,   // known, but a probe went unanswered or the address came unasked: being probed
  failed,  // stopped answering and forgotten
};
constexpr std::string_view to_text(NeighborState state) {
  constexpr std::string_view texts[] = {"incomplete", "reachable", "stale", "failed"};
  return texts[static_cast<size_t>(state)];
}

class Neighbor {
 public:
  static constexpr uint64_t retransmit_ms = 1'000;  // RFC 4861 §10 RETRANS_TIMER
  static constexpr uint64_t reachable_ms = 30'000;  // REACHABLE_TIME
  static constexpr unsigned probes_max = 3;         // MAX_UNICAST_SOLICIT, also RFC 1122 §2.3.2.1 for ARP

  enum class Step : uint8_t { none, probe_unicast, probe_multicast, lost };  // lost: also probe_multicast

  Neighbor(pipeline::GatewayMac& mac, uint64_t now_ms) : mac_(mac) { restart(now_ms); }
  void restart(uint64_t now_ms);

  // What is due at now_ms, at most one step a call.
  Step tick(uint64_t now_ms);
  [[nodiscard]] uint64_t next_ms() const { return next_ms_; }

  // An answer to a probe: both directions work. One that answers none is only heard. True if the address is a new one.
  bool confirm(const net::Mac& mac, uint64_t now_ms);
  // The neighbour spoke without being asked: only its direction is known to work, so it is probed at once if it is new.
  bool hear(const net::Mac& mac, uint64_t now_ms);
  // A neighbour advertisement (RFC 4861 §7.2.5).
  struct Advertisement {
    std::optional<net::Mac> mac;
    bool solicited = false, override_known = false;
  };
  bool advertised(const Advertisement& advertisement, uint64_t now_ms);

  [[nodiscard]] std::optional<net::Mac> mac() const { return mac_.get(); }
  [[nodiscard]] NeighborState state() const { return state_; }
  [[nodiscard]] uint64_t since_ms() const { return since_ms_; }
  [[nodiscard]] uint64_t probes() const { return probes_; }
  [[nodiscard]] unsigned unanswered() const { return unanswered_; }

 private:
  void enter(NeighborState state, uint64_t now_ms);
  bool learn(const net::Mac& mac);

  pipeline::GatewayMac& mac_;
  NeighborState state_{};
  uint64_t since_ms_ = 0, next_ms_ = 0;
  uint64_t probes_ = 0;      // since the start
  unsigned unanswered_ = 0;  // probes since the last answer
};

}  // namespace portolan::control
