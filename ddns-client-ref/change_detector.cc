// RFC 7393 §2.3: (1) is the probe, (2) the table check. Events make both a safety net.
#include "ddns-client-ref/change_detector.h"

#include <algorithm>
#include <utility>

namespace portolan::ddns {
namespace {

constexpr Duration ask_anew_gap = std::chrono::seconds(10), ask_anew_spread = std::chrono::seconds(1);

bool differs(const std::optional<Grant>& a, const std::optional<Grant>& b) {
  return a.has_value() != b.has_value() || (a && a->outside != b->outside);
}

}  // namespace

ChangeDetector::ChangeDetector(DetectorSettings settings, pcp::Nonce probe_nonce, PcpClient& pcp, Random random)
    : settings_(settings), probe_nonce_(probe_nonce), pcp_(pcp), random_(std::move(random)) {}

void ChangeDetector::watch(MappingId id, const MappingSpec& spec, Time now) {
  Watched& watched = watched_[id] = {spec, pcp_.grant(id), {}};
  if (watched.seen) pass_on(id, now);
}

void ChangeDetector::ask_anew(Time now) {
  const Time at = std::max(now, asked_anew_at_ + ask_anew_gap) + scaled(ask_anew_spread, random_());
  ask_anew_at_ = std::min(ask_anew_at_, at);
}

void ChangeDetector::tick(Time now) {
  if (ask_anew_at_ <= now) {
    ask_anew_at_ = never;
    asked_anew_at_ = now;
    next_check_ = now;
    for (const auto& [id, watched] : watched_) pcp_.renew(id, now);
  }
  if (next_check_ <= now) {
    // A tenth around the interval: clients that started together, after a power cut, do not stay together.
    next_check_ = now + scaled(settings_.check_interval, 0.9 + 0.2 * random_());
    check_table(now);  // the real mappings must exist whatever the method (DDN-003)
    if (settings_.method == Method::probe) probe(now);
  }
  for (const auto& [id, watched] : watched_)
    if (watched.pending && may_tell_at(watched) <= now) pass_on(id, now);
}

void ChangeDetector::check_table(Time now) {
  for (const auto& [id, watched] : watched_)
    if (!pcp_.has(id)) pcp_.add(id, watched.spec, now);
}

// A short-lived mapping of the discard port tells the outside address; its port is nobody's business. While a probe is
// unanswered or refused PcpClient looks after it.
void ChangeDetector::probe(Time now) {
  if (watched_.empty()) return;
  if (pcp_.has(probe_id)) return pcp_.renew(probe_id, now);
  MappingSpec spec;
  spec.nonce = probe_nonce_;
  spec.protocol = net::Protocol::udp;
  spec.inside = {watched_.begin()->second.spec.inside.address, net::Port{probe_port}};
  spec.lifetime_s = probe_lifetime_s;
  spec.keep = false;
  pcp_.add(probe_id, spec, now);
}

// Another address than a service's: ask for its real mapping, whose answer is what gets published.
void ChangeDetector::compare_with_probe(const Grant& probe, Time now) {
  for (const auto& [id, watched] : watched_)
    if (watched.seen && watched.seen->outside.address != probe.outside.address) pcp_.renew(id, now);
}

void ChangeDetector::observe(const PcpEvent& event, Time now) {
  using Kind = PcpEvent::Kind;
  const bool granted = event.kind == Kind::granted || event.kind == Kind::changed || event.kind == Kind::renewed;
  if (event.id == probe_id) {
    if (granted) compare_with_probe(event.grant, now);
    return;
  }
  const auto at = watched_.find(event.id);
  if (at == watched_.end() || (!granted && event.kind != Kind::lost && event.kind != Kind::released)) return;
  Watched& watched = at->second;
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
  Watched& watched = watched_.at(id);
  const bool moved = differs(watched.seen, watched.told);
  if (moved) watched.told_at = now;
  watched.pending = false;
  watched.told = watched.seen;
  changes_.push_back({id, watched.seen});
}

std::vector<Change> ChangeDetector::take_changes() { return std::exchange(changes_, {}); }

Time ChangeDetector::next_timer() const {
  Time next = std::min(next_check_, ask_anew_at_);
  for (const auto& [id, watched] : watched_)
    if (watched.pending) next = std::min(next, may_tell_at(watched));
  return next;
}

}  // namespace portolan::ddns
