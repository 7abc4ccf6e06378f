// RFC 7393 §2.3: (1) is the probe, (2) the table check. Events make both a safety net.
#include "ddns-client-ref/change_detector.h"

#include <algorithm>
#include <utility>

namespace portolan::ddns {
namespace {

bool differs(const std::optional<Grant>& a, const std::optional<Grant>& b) {
  return a.has_value() != b.has_value() || (a && a->outside != b->outside);
}

}  // namespace

ChangeDetector::ChangeDetector(DetectorSettings settings, const std::vector<MappingSpec>& wanted,
                               pcp::Nonce probe_nonce, PcpClient& pcp)
    : settings_(settings), probe_nonce_(probe_nonce), pcp_(pcp) {
  for (const MappingSpec& spec : wanted) watched_.push_back({spec, {}, {}});
}

void ChangeDetector::tick(Time now) {
  if (next_check_ <= now) {
    next_check_ = now + settings_.check_interval;
    check_table(now);  // the real mappings must exist whatever the method (DDN-003)
    if (settings_.method == Method::probe) probe(now);
  }
  for (MappingId id = 0; id < watched_.size(); ++id)
    if (watched_[id].pending && may_tell_at(watched_[id]) <= now) pass_on(id, now);
}

void ChangeDetector::check_table(Time now) {
  for (MappingId id = 0; id < watched_.size(); ++id)
    if (!pcp_.has(id)) pcp_.add(id, watched_[id].spec, now);
}

// A short-lived mapping of the discard port tells the outside address; its port is nobody's business. While a probe is
// unanswered or refused PcpClient looks after it.
void ChangeDetector::probe(Time now) {
  if (watched_.empty()) return;
  if (pcp_.has(probe_id)) return pcp_.renew(probe_id, now);
  MappingSpec spec;
  spec.nonce = probe_nonce_;
  spec.protocol = net::Protocol::udp;
  spec.inside = {watched_.front().spec.inside.address, net::Port{probe_port}};
  spec.lifetime_s = probe_lifetime_s;
  spec.keep = false;
  pcp_.add(probe_id, spec, now);
}

// Another address than a service's: ask for its real mapping, whose answer is what gets published.
void ChangeDetector::compare_with_probe(const Grant& probe, Time now) {
  for (MappingId id = 0; id < watched_.size(); ++id)
    if (watched_[id].seen && watched_[id].seen->outside.address != probe.outside.address) pcp_.renew(id, now);
}

void ChangeDetector::observe(const PcpEvent& event, Time now) {
  using Kind = PcpEvent::Kind;
  const bool granted = event.kind == Kind::granted || event.kind == Kind::changed || event.kind == Kind::renewed;
  if (event.id == probe_id) {
    if (granted) compare_with_probe(event.grant, now);
    return;
  }
  if (event.id >= watched_.size() || (!granted && event.kind != Kind::lost && event.kind != Kind::released)) return;
  Watched& watched = watched_[event.id];
  watched.seen = granted ? std::optional(event.grant) : std::nullopt;
  const bool moved = differs(watched.seen, watched.told);
  if (moved && may_tell_at(watched) > now)
    watched.pending = true;
  else
    pass_on(event.id, now);
}

// After quiet a change is told at once (DDN-005); of changes in quick succession, only where they ended.
Time ChangeDetector::may_tell_at(const Watched& watched) const {
  return watched.told_at == Time::min() ? watched.told_at : watched.told_at + settings_.debounce;
}

void ChangeDetector::pass_on(MappingId id, Time now) {
  Watched& watched = watched_[id];
  const bool moved = differs(watched.seen, watched.told);
  if (moved) watched.told_at = now;
  watched.pending = false;
  watched.told = watched.seen;
  changes_.push_back({id, watched.seen});
}

std::vector<Change> ChangeDetector::take_changes() { return std::exchange(changes_, {}); }

Time ChangeDetector::next_timer() const {
  Time next = next_check_;
  for (const Watched& watched : watched_)
    if (watched.pending) next = std::min(next, may_tell_at(watched));
  return next;
}

}  // namespace portolan::ddns
