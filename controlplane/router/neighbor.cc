// The transitions of one gateway's entry; see neighbor.h.
#include "controlplane/router/neighbor.h"

namespace portolan::control {

void Neighbor::enter(NeighborState state, uint64_t now_ms) {
  if (state != state_) since_ms_ = now_ms;
  state_ = state;
}

void Neighbor::restart(uint64_t now_ms) {
  mac_.forget();
  state_ = NeighborState::incomplete;
  since_ms_ = next_ms_ = now_ms;
  unanswered_ = 0;
}

Neighbor::Step Neighbor::tick(uint64_t now_ms) {
  if (now_ms < next_ms_) return Step::none;
  next_ms_ = now_ms + retransmit_ms;
  ++probes_;
  if (!mac_.get()) {
    ++unanswered_;
    return Step::probe_multicast;
  }
  if (unanswered_ >= probes_max) {
    mac_.forget();
    enter(NeighborState::failed, now_ms);
    ++unanswered_;
    return Step::lost;
  }
  if (unanswered_ > 0) enter(NeighborState::stale, now_ms);
  ++unanswered_;
  return Step::probe_unicast;
}

bool Neighbor::learn(const net::Mac& mac) {
  if (mac_.get() == mac) return false;
  mac_.set(mac);
  return true;
}

bool Neighbor::confirm(const net::Mac& mac, uint64_t now_ms) {
  if (unanswered_ == 0) return hear(mac, now_ms);
  enter(NeighborState::reachable, now_ms);
  unanswered_ = 0;
  next_ms_ = now_ms + reachable_ms;
  return learn(mac);
}

bool Neighbor::hear(const net::Mac& mac, uint64_t now_ms) {
  if (!learn(mac)) return false;
  enter(NeighborState::stale, now_ms);
  unanswered_ = 0;
  next_ms_ = now_ms;
  return true;
}

bool Neighbor::advertised(const Advertisement& advertisement, uint64_t now_ms) {
  const auto known = mac_.get();
  const auto offered = advertisement.mac ? advertisement.mac : known;
  if (!offered) return false;  // nothing known and nothing told
  if (known && offered != known && !advertisement.override_known) {
    if (state_ == NeighborState::reachable) enter(NeighborState::stale, now_ms), next_ms_ = now_ms;
    return false;
  }
  return advertisement.solicited ? confirm(*offered, now_ms) : hear(*offered, now_ms);
}

}  // namespace portolan::control
