// The records an operator must be able to answer from: who had which outside ports when (RFC 6302, RFC 7768 §2). One
// line a block given or given back. Records wait here, bounded, while the sink takes none; what finds no room is
// counted, said and visible as a gap in the numbers (RFC 6888 REQ-12), and traffic goes on. Owner: the control thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "controlplane/line_sink.h"
#include "dataplane/nat/event.h"
#include "pcp-server/record.h"

namespace portolan::control {

class EventLog {
 public:
  using Say = std::function<void(std::string_view)>;
  using Time = std::chrono::system_clock::time_point;
  static constexpr size_t waiting_max = 16'384;         // records
  static constexpr size_t written_per_flush_max = 256;  // so that the control thread does not wait long for a disk
  static constexpr uint64_t retry_ms = 1'000, sound_ms = 10'000;  // after a failure: tried again, called sound again

  // `name` is what the sink is called to people.
  EventLog(std::unique_ptr<LineSink> sink, std::string name, Say warn);

  // A record: "block-allocated" and its fields. `time`: when it happened.
  void add(std::string_view what, std::string_view fields, Time time);
  // Records that were lost before they came here: a shard's ring was full.
  void add_lost(uint64_t records, Time time);
  // Writes what waits, some at a time; returns how many. `now_ms` of a steady clock.
  size_t flush(uint64_t now_ms);
  // Everything that waits, as far as the sink takes it: at the end, or before another sink.
  void flush_all();
  void reopen() { sink_->reopen(); }
  // Another sink; what waits goes there.
  void use(std::unique_ptr<LineSink> sink, std::string name);

  [[nodiscard]] uint64_t written() const { return written_; }
  [[nodiscard]] uint64_t lost() const { return lost_; }
  [[nodiscard]] bool has_room_for(size_t records) const { return waiting_.size() + records <= waiting_max; }
  [[nodiscard]] size_t waiting() const { return waiting_.size(); }
  [[nodiscard]] bool down() const { return down_; }

 private:
  [[nodiscard]] std::optional<std::string> write_first();
  void failed(const std::string& why, uint64_t now_ms);

  std::unique_ptr<LineSink> sink_;
  std::string name_;
  Say warn_;
  std::deque<std::string> waiting_;
  uint64_t number_ = 0;  // of the last record, the lost ones counted
  uint64_t written_ = 0, lost_ = 0, lost_before_down_ = 0;
  bool down_ = false;
  uint64_t retry_at_ms_ = 0, sound_at_ms_ = 0;
};

// The record of an event and its fields.
struct LogRecord {
  std::string_view what;
  std::string fields;
};
// The same of an event about a subscriber: a limit reached, a change of B4.
std::optional<LogRecord> subscriber_record(const nat::Event& event, unsigned worker, unsigned prefix_length);
// Of a block event; nothing for other kinds.
std::optional<LogRecord> block_record(const nat::Event& event, unsigned worker, unsigned subscriber_prefix_length);
// Of what PCP made or ended. `now_s`: of the server's clock.
LogRecord mapping_record(const pcp::MappingEvent& event, unsigned subscriber_prefix_length, uint64_t now_s);

}  // namespace portolan::control
