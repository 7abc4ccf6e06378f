// Wish against acknowledgement, entry by entry; due() is the whole policy.
#include "ddns-client-ref/updater.h"

#include <algorithm>
#include <utility>

#include "dataplane/net/text.h"
#include "ddns-client-ref/global_unicast.h"

namespace portolan::ddns {
namespace {

constexpr Duration retry_first = std::chrono::seconds(5);
constexpr Duration retry_max = std::chrono::minutes(30);

std::string where(net::Endpoint outside) { return net::to_text(outside); }

}  // namespace

Updater::Updater(const UpdateProtocol& protocol, UpdaterSettings settings, Random random)
    : protocol_(protocol), settings_(std::move(settings)), random_(std::move(random)) {}

void Updater::add(const Service& service) {
  Entry entry;
  entry.base = registration_of(service, {}, 0);
  entries_.push_back(std::move(entry));
}

void Updater::restore(const Acknowledged& acknowledged, Time now) {
  const auto same = [&](const Entry& entry) {
    return entry.base.name == acknowledged.record.name && entry.base.service == acknowledged.record.service;
  };
  auto entry = std::ranges::find_if(entries_, same);
  if (entry == entries_.end()) {
    if (!protocol_.withdrawal(acknowledged.record)) return;
    Entry orphan;
    orphan.base = acknowledged.record;
    orphan.wish = Wish::withdrawn;
    entry = entries_.insert(entries_.end(), std::move(orphan));
  }
  entry->held = acknowledged;
  if (acknowledged.at > now) entry->doubtful = true;  // the wall clock went back: how old it is nobody knows
}

// The configured entry: orphans of the same service under another name come after it.
Updater::Entry* Updater::find(std::string_view service) {
  const auto entry = std::ranges::find_if(entries_, [&](const Entry& e) { return e.base.service == service; });
  return entry == entries_.end() ? nullptr : &*entry;
}

bool Updater::publishable(net::Ipv4 address) const {
  if (is_global_unicast(address)) return true;
  return std::ranges::any_of(settings_.allow_address,
                             [&](const net::Ipv4Prefix& prefix) { return net::contains(prefix, address); });
}

void Updater::publish(std::string_view service, net::Endpoint outside, Time mapping_expires) {
  Entry* entry = find(service);
  if (!entry) return;
  const bool moved = entry->base.outside != outside;
  entry->base.outside = outside;
  entry->mapping_expires = mapping_expires;
  if (publishable(outside.address)) {
    if (moved) entry->disliked_until = Time::min();
    entry->refused = false;
    entry->wish = Wish::published;
    return;
  }
  if (moved || !entry->refused)
    report(UpdateEvent::Kind::refused, *entry,
           where(outside) + " is not a global unicast address; ddns.allow-address would permit it");
  entry->refused = true;
  entry->wish = Wish::withdrawn;  // whatever was published before is wrong now
}

void Updater::withdraw(std::string_view service) {
  if (Entry* entry = find(service)) entry->wish = Wish::withdrawn;
}

void Updater::withdraw_all() {
  for (Entry& entry : entries_) entry.wish = Wish::withdrawn;
}

// When this entry next wants to speak; `never` while it has nothing to say or may not say it.
Time Updater::due(const Entry& entry) const {
  if (entry.in_flight || entry.stopped || account_stopped_) return never;
  const Time allowed = std::max({entry.not_before, entry.disliked_until, account_not_before_});
  const bool may_be_there = entry.held || entry.doubtful;
  if (entry.wish == Wish::withdrawn) return may_be_there && protocol_.withdrawal(entry.base) ? allowed : never;
  if (entry.wish == Wish::undecided) return never;
  if (!entry.held || entry.doubtful || !same_record(entry.held->record, entry.base)) return allowed;
  const auto half = Duration(std::chrono::seconds(entry.held->record.lifetime_s)) / 2;
  return std::max(allowed, entry.held->at + half);
}

// A server that counts the lifetime must not keep the name longer than the mapping lives (DDN-019).
Registration Updater::desired(const Entry& entry, Time now) const {
  Registration record = entry.base;
  record.lifetime_s = settings_.lifetime_s;
  if (!protocol_.carries_lifetime()) return record;
  const auto left = std::chrono::duration_cast<std::chrono::seconds>(entry.mapping_expires - now).count();
  const auto bounded = std::clamp<int64_t>(left, lifetime_floor_s, std::max(settings_.lifetime_s, lifetime_floor_s));
  record.lifetime_s = static_cast<uint32_t>(bounded);
  return record;
}

std::vector<Updater::Update> Updater::take_updates(Time now) {
  std::vector<Update> out;
  auto busy = static_cast<size_t>(std::ranges::count_if(entries_, &Entry::in_flight));
  for (size_t ticket = 0; ticket < entries_.size() && busy < in_flight_max; ++ticket) {
    if (due(entries_[ticket]) > now) continue;
    if (auto request = start(entries_[ticket], now)) {
      out.push_back({ticket, std::move(*request)});
      ++busy;
    }
  }
  return out;
}

std::optional<HttpRequest> Updater::start(Entry& entry, Time now) {
  entry.withdrawing = entry.wish == Wish::withdrawn;
  entry.sent = entry.withdrawing ? entry.base : desired(entry, now);
  auto request = entry.withdrawing ? protocol_.withdrawal(entry.sent) : protocol_.registration(entry.sent);
  entry.in_flight = request.has_value();
  return request;
}

void Updater::answered(size_t ticket, const HttpResult& result, Time now) {
  Entry& entry = entries_.at(ticket);
  entry.in_flight = false;
  if (!result) return back_off(entry, now, result.error());
  const Outcome outcome = protocol_.judge(*result, entry.withdrawing);
  switch (outcome.kind) {
    case Outcome::Kind::done:
      return acknowledge(entry, now);
    case Outcome::Kind::stop:
      (outcome.whole_account ? account_stopped_ : entry.stopped) = true;
      return report(UpdateEvent::Kind::stopped, entry, outcome.text + "; nothing more is sent until a restart");
    case Outcome::Kind::dislike:
      entry.disliked_until = now + outcome.wait;
      entry.failures = 0;
      return report(UpdateEvent::Kind::waiting, entry, outcome.text);
    case Outcome::Kind::wait: {
      // Up to a tenth more, so that a server's clients do not all come back in the same second.
      const Time until = now + outcome.wait + scaled(outcome.wait, 0.1 * random_());
      Time& not_before = outcome.whole_account ? account_not_before_ : entry.not_before;
      not_before = std::max(not_before, until);
      entry.failures = 0;
      return report(UpdateEvent::Kind::waiting, entry, outcome.text);
    }
    case Outcome::Kind::retry:
      return back_off(entry, now, outcome.text);
  }
}

void Updater::acknowledge(Entry& entry, Time now) {
  const bool changed =
      entry.doubtful || entry.withdrawing || !entry.held || !same_record(entry.held->record, entry.sent);
  entry.failures = 0;
  entry.not_before = Time::min();
  entry.doubtful = false;
  if (entry.withdrawing) {
    entry.held.reset();
    return report(UpdateEvent::Kind::withdrawn, entry, {}, true);
  }
  entry.held = Acknowledged{entry.sent, now};
  report(changed ? UpdateEvent::Kind::registered : UpdateEvent::Kind::refreshed, entry, where(entry.sent.outside),
         true);
}

// 5 s, doubling to 30 min, each the full step plus up to half of it.
void Updater::back_off(Entry& entry, Time now, std::string_view why) {
  const unsigned doublings = std::min(entry.failures, 16U);
  const Duration step = std::min(retry_max, retry_first * (int64_t{1} << doublings));
  ++entry.failures;
  entry.doubtful = true;
  entry.not_before = now + step + scaled(step, 0.5 * random_());
  report(UpdateEvent::Kind::waiting, entry, std::string(why));
}

Time Updater::next_timer() const {
  Time next = never;
  if (std::ranges::count_if(entries_, &Entry::in_flight) >= std::ptrdiff_t{in_flight_max}) return never;
  for (const Entry& entry : entries_) next = std::min(next, due(entry));
  return next;
}

bool Updater::in_flight() const { return std::ranges::any_of(entries_, &Entry::in_flight); }

Updater::Standing Updater::standing(std::string_view service) const {
  const auto entry = std::ranges::find_if(entries_, [&](const Entry& e) { return e.base.service == service; });
  if (entry == entries_.end() || entry->wish == Wish::undecided) return Standing::undecided;
  if (entry->stopped || account_stopped_ || entry->refused) return Standing::failed;
  const bool published = entry->held && !entry->doubtful && same_record(entry->held->record, entry->base);
  const bool met = entry->wish == Wish::published ? published : !entry->held && !entry->doubtful;
  return met ? Standing::met : Standing::pending;
}

std::vector<Acknowledged> Updater::acknowledged() const {
  std::vector<Acknowledged> out;
  for (const Entry& entry : entries_)
    if (entry.held) out.push_back(*entry.held);
  return out;
}

std::vector<UpdateEvent> Updater::take_events() { return std::exchange(events_, {}); }

void Updater::report(UpdateEvent::Kind kind, const Entry& entry, std::string text, bool persist) {
  events_.push_back({kind, entry.base.name, entry.base.service, std::move(text), persist});
}

}  // namespace portolan::ddns
