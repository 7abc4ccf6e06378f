#include "controlplane/mapping_feed.h"

#include <cinttypes>
#include <cstdio>
#include <sys/random.h>

#include "dataplane/net/text.h"

namespace portolan::control {

namespace {

std::string random_instance() {
  uint64_t random = 0;
  if (getrandom(&random, sizeof random, 0) != sizeof random) random = 1;
  char text[17];
  std::snprintf(text, sizeof text, "%016" PRIx64, random);
  return text;
}

std::string numbered(std::string_view event, uint64_t sequence) {
  return "{\"event\":\"" + std::string(event) + "\",\"sequence\":" + std::to_string(sequence) + "}\n";
}

}  // namespace

MappingFeed::MappingFeed(unsigned subscriber_prefix_length, unsigned plain_prefix_length, size_t journal_length)
    : subscriber_prefix_length_(subscriber_prefix_length),
      plain_prefix_length_(plain_prefix_length),
      journal_length_(journal_length),
      instance_(random_instance()) {}

void MappingFeed::put(Place place, const FedMapping& mapping) {
  const std::lock_guard lock(mutex_);
  if (const auto there = mappings_.find(place); there != mappings_.end()) {
    if (there->second == mapping) return;
    tell(Kind::ended, there->second);
    places_.erase(key_of(there->second));
    mappings_.erase(there);
  }
  const auto [known, is_new] = places_.try_emplace(key_of(mapping), place);
  if (is_new) {
    tell(Kind::made, mapping);
  } else {  // its record of before is not told to have ended yet
    const auto before = mappings_.find(known->second);
    if (before->second.outside != mapping.outside) tell(Kind::moved, mapping, before->second.outside);
    mappings_.erase(before);
    known->second = place;
  }
  mappings_.emplace(place, mapping);
}

void MappingFeed::remove(Place place) {
  const std::lock_guard lock(mutex_);
  const auto there = mappings_.find(place);
  if (there == mappings_.end()) return;
  tell(Kind::ended, there->second);
  places_.erase(key_of(there->second));
  mappings_.erase(there);
}

void MappingFeed::complete() {
  const std::lock_guard lock(mutex_);
  complete_ = true;
}

void MappingFeed::tell(Kind kind, const FedMapping& mapping, net::Endpoint was) {
  ++sequence_;
  journal_.push_back({kind, mapping, was});
  if (journal_.size() > journal_length_) journal_.pop_front();
}

FeedCursor MappingFeed::attach(const std::string& instance, std::optional<uint64_t> after) const {
  const std::lock_guard lock(mutex_);
  FeedCursor cursor;
  cursor.resumes_ = instance == instance_ && after && *after <= sequence_ && *after >= forgotten();
  if (cursor.resumes_) cursor.sequence_ = *after;
  return cursor;
}

void MappingFeed::read(FeedCursor& cursor, std::string& out, size_t lines_max) const {
  const std::lock_guard lock(mutex_);
  if (!complete_) return;
  using Phase = FeedCursor::Phase;
  if (cursor.phase_ == Phase::greet) {
    out += "{\"event\":\"hello\",\"feed\":1,\"instance\":\"" + instance_ + "\",\"begins\":\"" +
           (cursor.resumes_ ? "after" : "snapshot") + "\"}\n";
    cursor.phase_ = Phase::live;
    if (!cursor.resumes_) {
      cursor.phase_ = Phase::snapshot;
      cursor.sequence_ = sequence_;
      out += numbered("snapshot", sequence_);
    }
  } else if (cursor.sequence_ < forgotten()) {  // too slow: what he missed is not kept any more
    out += numbered("resync", sequence_) + numbered("snapshot", sequence_);
    cursor.phase_ = Phase::snapshot;
    cursor.sequence_ = sequence_;
    cursor.place_.reset();
  }
  if (cursor.phase_ == Phase::snapshot) return read_snapshot(cursor, out, lines_max);
  for (; cursor.sequence_ < sequence_ && lines_max > 0; --lines_max) {
    const Change& change = journal_[++cursor.sequence_ - forgotten() - 1];
    constexpr std::string_view names[] = {"made", "moved", "ended"};
    append(out, names[static_cast<size_t>(change.kind)], change.mapping);
    if (change.kind == Kind::moved) out += ",\"was\":\"" + net::to_text(change.was) + '"';
    out += ",\"sequence\":" + std::to_string(cursor.sequence_) + "}\n";
  }
}

// Changes made meanwhile come after it, from the number it began with: each says what is there, so that one which the
// snapshot shows already does no harm.
void MappingFeed::read_snapshot(FeedCursor& cursor, std::string& out, size_t lines_max) const {
  auto next = cursor.place_ ? mappings_.upper_bound(*cursor.place_) : mappings_.begin();
  for (; next != mappings_.end() && lines_max > 0; ++next, --lines_max) {
    append(out, "mapping", next->second);
    out += "}\n";
    cursor.place_ = next->first;
  }
  if (next != mappings_.end()) return;
  out += numbered("snapshot-end", cursor.sequence_);
  cursor.phase_ = FeedCursor::Phase::live;
  cursor.place_.reset();
}

void MappingFeed::append(std::string& out, std::string_view event, const FedMapping& mapping) const {
  ((out += "{\"event\":\"") += event) += "\",\"subscriber\":\"" + subscriber_text(mapping.subscriber);
  out += "\",\"inside\":\"" + net::to_text(mapping.inside) + "\",\"protocol\":\"" + net::to_text(mapping.protocol);
  out += "\",\"outside\":\"" + net::to_text(mapping.outside) + '"';
}

std::string MappingFeed::subscriber_text(const net::Ipv6& subscriber) const {
  if (net::is_mapped(subscriber))
    return net::to_text(net::Ipv4Prefix{net::unmapped(subscriber), static_cast<uint8_t>(plain_prefix_length_)});
  return net::to_text(net::Ipv6Prefix{subscriber, static_cast<uint8_t>(subscriber_prefix_length_)});
}

std::string MappingFeed::alive_line() const {
  const std::lock_guard lock(mutex_);
  return numbered("alive", sequence_);
}

uint64_t MappingFeed::sequence() const {
  const std::lock_guard lock(mutex_);
  return sequence_;
}

size_t MappingFeed::size() const {
  const std::lock_guard lock(mutex_);
  return mappings_.size();
}

}  // namespace portolan::control
