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

Updater::Updater(const Abilities& abilities, UpdaterSettings settings, Random random)
    : abilities_(abilities), settings_(std::move(settings)), random_(std::move(random)) {}

// The entry of this name and service; else one that has done its work, or a new one.
Updater::Entry& Updater::entry_for(const Registration& base) {
  const auto same = [&](const Entry& e) { return e.base.name == base.name && e.base.service == base.service; };
  const auto idle = [](const Entry& e) { return !e.wanted && !e.held && !e.doubtful && !e.in_flight; };
  if (const auto found = std::ranges::find_if(entries_, same); found != entries_.end()) return *found;
  const auto found = std::ranges::find_if(entries_, idle);
  Entry& entry = found == entries_.end() ? entries_.emplace_back() : * found = Entry{};
  entry.base = base;
  return entry;
}

void Updater::add(const Service& service) {
  for (const std::string& name : service.names) {
    Entry& entry = entry_for(registration_of(service, name));
    entry.base = registration_of(service, name);
    entry.wanted = true;
    entry.wish = Wish::undecided;
  }
}

void Updater::remove(std::string_view service) {
  for (Entry& entry : entries_) {
    if (entry.base.service != service) continue;
    entry.wanted = false;
    entry.wish = Wish::withdrawn;
    if (!abilities_.withdraws) entry.held.reset(), entry.doubtful = false;
  }
}

void Updater::restore(const Acknowledged& acknowledged, Time now) {
  Entry& entry = entry_for(acknowledged.record);
  if (!entry.wanted) {
    if (!abilities_.withdraws) return;
    entry.wish = Wish::withdrawn;
  }
  entry.held = acknowledged;
  if (acknowledged.at > now) entry.doubtful = true;  // the wall clock went back: how old it is nobody knows
}

bool Updater::says_the_same(const Registration& a, const Registration& b) const {
  if (abilities_.carries_port) return same_record(a, b);
  return a.name == b.name && a.outside.address == b.outside.address;
}

bool Updater::publishable(net::Ipv4 address) const {
  if (is_global_unicast(address)) return true;
  return std::ranges::any_of(settings_.allow_address,
                             [&](const net::Ipv4Prefix& prefix) { return net::contains(prefix, address); });
}

void Updater::publish(std::string_view service, net::Endpoint outside, Time mapping_expires) {
  for (Entry& entry : entries_)
    if (entry.wanted && entry.base.service == service) publish(entry, outside, mapping_expires);
}

void Updater::publish(Entry& entry, net::Endpoint outside, Time mapping_expires) {
  const bool moved = entry.base.outside != outside;
  entry.base.outside = outside;
  entry.mapping_expires = mapping_expires;
  if (publishable(outside.address)) {
    if (moved) entry.disliked_until = Time::min();
    entry.refused = false;
    entry.wish = Wish::published;
    return;
  }
  if (moved || !entry.refused)
    report(UpdateEvent::Kind::refused, entry,
           where(outside) + " is not a global unicast address; ddns.allow-address would permit it");
  entry.refused = true;
  entry.wish = Wish::withdrawn;  // whatever was published before is wrong now
}

void Updater::withdraw(std::string_view service) {
  for (Entry& entry : entries_)
    if (entry.base.service == service) entry.wish = Wish::withdrawn;
}

void Updater::withdraw_all() {
  for (Entry& entry : entries_) entry.wish = Wish::withdrawn;
}

// When this entry next wants to speak; `never` while it has nothing to say or may not say it.
Time Updater::due(const Entry& entry) const {
  if (entry.in_flight || entry.stopped || account_stopped_) return never;
  const Time allowed = std::max({entry.not_before, entry.disliked_until, account_not_before_});
  const bool may_be_there = entry.held || entry.doubtful;
  if (entry.wish == Wish::withdrawn) return may_be_there && abilities_.withdraws ? allowed : never;
  if (entry.wish == Wish::undecided) return never;
  if (!entry.held || entry.doubtful || !says_the_same(entry.held->record, entry.base)) return allowed;
  if (!abilities_.refreshes) return never;
  const auto half = Duration(std::chrono::seconds(entry.held->record.lifetime_s)) / 2;
  return std::max(allowed, entry.held->at + half);
}

// A server that counts the lifetime must not keep the name longer than the mapping lives (DDN-019).
Registration Updater::desired(const Entry& entry, Time now) const {
  Registration record = entry.base;
  record.lifetime_s = settings_.lifetime_s;
  if (!abilities_.carries_lifetime) return record;
  const auto left = std::chrono::duration_cast<std::chrono::seconds>(entry.mapping_expires - now).count();
  const auto bounded = std::clamp<int64_t>(left, lifetime_floor_s, std::max(settings_.lifetime_s, lifetime_floor_s));
  record.lifetime_s = static_cast<uint32_t>(bounded);
  return record;
}

bool Updater::last_of_name(const Entry& entry) const {
  return std::ranges::none_of(entries_, [&](const Entry& other) {
    return &other != &entry && other.base.name == entry.base.name && other.wish == Wish::published;
  });
}

std::vector<Update> Updater::take_updates(Time now) {
  std::vector<Update> out;
  auto busy = static_cast<size_t>(std::ranges::count_if(entries_, &Entry::in_flight));
  for (size_t ticket = 0; ticket < entries_.size() && busy < in_flight_max; ++ticket) {
    if (due(entries_[ticket]) > now) continue;
    out.push_back(start(ticket, now));
    ++busy;
  }
  return out;
}

Update Updater::start(size_t ticket, Time now) {
  Entry& entry = entries_[ticket];
  entry.withdrawing = entry.wish == Wish::withdrawn;
  entry.sent = entry.withdrawing ? entry.base : desired(entry, now);
  entry.in_flight = true;
  Update update{ticket, entry.withdrawing, entry.withdrawing && last_of_name(entry), entry.sent, std::nullopt};
  if (entry.held) update.before = entry.held->record;
  return update;
}

void Updater::answered(size_t ticket, const Outcome& outcome, Time now) {
  Entry& entry = entries_.at(ticket);
  entry.in_flight = false;
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
      entry.doubtful || entry.withdrawing || !entry.held || !says_the_same(entry.held->record, entry.sent);
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

Updater::Standing Updater::standing(const Entry& entry) const {
  if (entry.wish == Wish::undecided) return Standing::undecided;
  if (entry.stopped || account_stopped_ || entry.refused) return Standing::failed;
  const bool published = entry.held && !entry.doubtful && says_the_same(entry.held->record, entry.base);
  const bool met = entry.wish == Wish::published ? published : !entry.held && !entry.doubtful;
  return met ? Standing::met : Standing::pending;
}

Updater::Standing Updater::standing(std::string_view service) const {
  std::optional<Standing> worst;
  for (const Entry& entry : entries_)
    if (entry.wanted && entry.base.service == service) worst = std::max(worst.value_or(Standing::met), standing(entry));
  return worst.value_or(Standing::undecided);
}

std::vector<Updater::Record> Updater::records() const {
  std::vector<Record> out;
  for (const Entry& entry : entries_) {
    if (!entry.wanted && !entry.held && !entry.doubtful) continue;
    const Time next = due(entry);
    out.push_back({entry.base.name, entry.base.service, standing(entry), entry.held,
                   next == never ? std::nullopt : std::optional(next)});
  }
  return out;
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
