#include "controlplane/event_log.h"

#include <algorithm>
#include <utility>

#include "controlplane/history.h"
#include "dataplane/net/text.h"

namespace portolan::control {

EventLog::EventLog(std::unique_ptr<LineSink> sink, std::string name, Say warn)
    : sink_(std::move(sink)), name_(std::move(name)), warn_(std::move(warn)) {}

void EventLog::add(std::string_view what, std::string_view fields, Time time) {
  ++number_;
  if (waiting_.size() == waiting_max) {
    ++lost_;
    return;
  }
  std::string line = utc_text(time);
  ((line += ' ') += what) += " record=" + std::to_string(number_);
  if (!fields.empty()) (line += ' ') += fields;
  waiting_.push_back(std::move(line));
}

void EventLog::add_lost(uint64_t records, Time time) {
  if (records == 0) return;
  lost_ += records;
  number_ += records;
  add("records-lost", "count=" + std::to_string(records), time);
}

size_t EventLog::flush(uint64_t now_ms) {
  if (now_ms < retry_at_ms_) return 0;
  size_t written = 0;
  for (; written < written_per_flush_max && !waiting_.empty(); ++written)
    if (const auto why = write_first()) {
      failed(*why, now_ms);
      break;
    }
  if (down_ && waiting_.empty() && now_ms >= sound_at_ms_) {
    down_ = false;
    warn_("event log " + name_ + " takes records again; " + std::to_string(lost_ - lost_before_down_) + " were lost");
  }
  return written;
}

void EventLog::flush_all() {
  while (!waiting_.empty())
    if (write_first()) return;
}

void EventLog::use(std::unique_ptr<LineSink> sink, std::string name) {
  flush_all();
  sink_ = std::move(sink);
  name_ = std::move(name);
  retry_at_ms_ = 0;
}

std::optional<std::string> EventLog::write_first() {
  if (auto why = sink_->write(waiting_.front())) return why;
  waiting_.pop_front();
  ++written_;
  return std::nullopt;
}

// Said once; a sink that fails again and again within sound_ms is down all the time.
void EventLog::failed(const std::string& why, uint64_t now_ms) {
  retry_at_ms_ = now_ms + retry_ms;
  sound_at_ms_ = now_ms + sound_ms;
  if (std::exchange(down_, true)) return;
  lost_before_down_ = lost_;
  warn_("event log " + name_ + " takes no records: " + why + "; up to " + std::to_string(waiting_max) +
        " wait for it, more are lost");
}

namespace {

std::string subscriber_field(const net::Ipv6& subscriber, unsigned prefix_length) {
  if (net::is_mapped(subscriber)) return "subscriber=" + net::to_text_unmapped(subscriber);  // NAT44
  return "subscriber=" + net::to_text(net::Ipv6Prefix{subscriber, static_cast<uint8_t>(prefix_length)});
}

std::string_view origin_of(const pcp::Mapping& mapping) {
  const auto client = mapping.known_client();
  return !client ? "operator" : client->natpmp ? "nat-pmp" : "pcp";
}

}  // namespace

std::optional<LogRecord> subscriber_record(const nat::Event& event, unsigned worker, unsigned prefix_length) {
  using Kind = nat::Event::Kind;
  const std::string tail = " worker=" + std::to_string(worker);
  switch (event.kind) {
    case Kind::quota:
      return LogRecord{"quota-reached",
                       subscriber_field(event.subscriber, prefix_length) + " outside=" + net::to_text(event.address) +
                           " protocol=" + std::string(net::to_text(event.protocol)) +
                           " limit=" + std::string(nat::verdict_texts[static_cast<size_t>(event.verdict)].name) + tail};
    case Kind::b4_moved:
    case Kind::b4_conflict:
      return LogRecord{event.kind == Kind::b4_moved ? "b4-moved" : "b4-conflict",
                       subscriber_field(event.subscriber, prefix_length) + " b4=" + net::to_text(event.b4) + tail};
    default:
      return std::nullopt;
  }
}

std::optional<LogRecord> block_record(const nat::Event& event, unsigned worker, unsigned subscriber_prefix_length) {
  using Kind = nat::Event::Kind;
  if (event.kind != Kind::block_allocated && event.kind != Kind::block_released) return std::nullopt;
  const bool allocated = event.kind == Kind::block_allocated;
  std::string fields = subscriber_field(event.subscriber, subscriber_prefix_length);
  fields += " outside=" + net::to_text(event.address) + " ports=" + std::to_string(event.first.number) + "-" +
            std::to_string(event.last.number) + " worker=" + std::to_string(worker);
  return LogRecord{allocated ? "block-allocated" : "block-released", std::move(fields)};
}

LogRecord mapping_record(const pcp::MappingEvent& event, unsigned subscriber_prefix_length, uint64_t now_s) {
  const auto& [kind, key, mapping] = event;
  const bool made = kind == pcp::MappingEvent::Kind::made;
  std::string fields = subscriber_field(key.mapping.subscriber, subscriber_prefix_length);
  fields += " inside=" + net::to_text(net::Endpoint{key.mapping.inside_address, key.mapping.inside_port}) +
            " outside=" + net::to_text(mapping.outside) +
            " protocol=" + std::string(net::to_text(key.mapping.protocol));
  if (key.is_peer()) fields += " remote=" + net::to_text(key.remote);
  if (mapping.ports > 1) fields += " ports=" + std::to_string(mapping.ports);
  (fields += " origin=") += origin_of(mapping);
  if (mapping.third_party) fields += " asked-by=" + net::to_text(mapping.client.b4);
  if (made) fields += " lifetime=" + std::to_string(mapping.expires_s - std::min(mapping.expires_s, now_s));
  return {made ? "mapping-made" : "mapping-ended", std::move(fields)};
}

}  // namespace portolan::control
