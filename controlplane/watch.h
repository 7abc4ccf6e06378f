// What an operator is told of without asking: records of port blocks, resources that near their end, and the history
// that `show events` shows. Owner: the control thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/config.h"
#include "controlplane/event_log.h"
#include "controlplane/exhaustion.h"
#include "controlplane/history.h"
#include "controlplane/state_dir.h"
#include "dataplane/io/dataplane.h"
#include "pcp-server/server.h"

namespace portolan::control {

// How portoland speaks to people: its log. From any thread.
struct Voice {
  Say say, warn;
  std::function<void(LogLevel)> set_level = [](LogLevel) {};
};

class Watch {
 public:
  explicit Watch(Voice voice) : voice_(std::move(voice)) {}
  [[nodiscard]] const Voice& voice() const { return voice_; }

  // To the log, and into the history.
  void say(std::string text);
  void warn(std::string text);

  // Takes over [log] of a configuration. `sink` as opened_sink() gave it: null where events are off.
  void use(std::shared_ptr<const Config> config, std::unique_ptr<LineSink> sink);
  static net::Result<std::unique_ptr<LineSink>, std::string> opened_sink(const Config& config);
  // One record for every block that is held already: after a start the log alone must tell who has what.
  void record_restored(const Shards& shards);
  // Once at the start and once a day: whose ports are fixed (RFC 7422 §3).
  void record_rules(uint64_t now_ms);

  // `now_s`: of the PCP server's clock.
  void record(const pcp::MappingEvent& event, uint64_t now_s);
  // A few of the shards' events; returns how many there were.
  size_t drain(const Shards& shards, uint32_t shard_now_s, uint64_t now_ms);
  // Once a second.
  void look(const Shards& shards, const io::Dataplane& dataplane, const pcp::Server& pcp, uint64_t now_ms);
  void end();  // writes what waits

  // The faults of an audit, the first of them as text: from the last call of forget_faults() on.
  void forget_faults() { faults_.clear(); }
  [[nodiscard]] const std::vector<std::string>& faults() const { return faults_; }

  [[nodiscard]] const History& history() const { return history_; }
  [[nodiscard]] std::vector<Exhaustion::Alarm> alarms() const { return exhaustion_.alarms(); }
  [[nodiscard]] const EventLog* event_log() const { return events_.get(); }  // null: off
  void reopen() {
    if (events_) events_->reopen();
  }

 private:
  void tell(std::string text, bool warning);
  void take(const nat::Event& event, unsigned worker, EventLog::Time time);
  void count_lost(const Shards& shards);

  Voice voice_;
  History history_;
  Exhaustion exhaustion_;
  std::shared_ptr<const Config> config_;
  std::unique_ptr<EventLog> events_;
  uint64_t rules_at_ms_ = 0;  // when they are recorded next
  uint64_t shards_lost_ = 0;  // events, as far as counted
  std::vector<std::string> faults_;
};

}  // namespace portolan::control
