#include "controlplane/watch.h"

#include <algorithm>
#include <array>
#include <utility>

#include "controlplane/deterministic_settings.h"
#include "controlplane/record_view.h"
#include "controlplane/resources.h"
#include "dataplane/nat/audit.h"
#include "dataplane/net/text.h"

namespace portolan::control {

namespace {

constexpr size_t events_per_drain = 64;  // of one shard
constexpr size_t faults_max = 100;

const LogTarget& events_target(const Config& config) {
  return config.log.events_target ? *config.log.events_target : config.log.target;
}

std::string name_of(const LogTarget& target) {
  if (target.kind == LogTarget::Kind::file) return target.path;
  return target.kind == LogTarget::Kind::syslog ? "to syslog" : "to stderr";
}

std::string fault_text(const nat::Event& event, unsigned worker) {
  std::string text = "worker " + std::to_string(worker);
  if (event.record != 0)
    text += ", record " + std::to_string(event.record) + " (" +
            net::to_text(net::Endpoint{event.address, event.first}) + " " + net::to_text(event.protocol) + ")";
  return text + ": " + std::string(nat::to_text(nat::AuditFault{event.fault}));
}

}  // namespace

void Watch::say(std::string text) { tell(std::move(text), false); }
void Watch::warn(std::string text) { tell(std::move(text), true); }

void Watch::tell(std::string text, bool warning) {
  (warning ? voice_.warn : voice_.say)(text);
  history_.add({std::chrono::system_clock::now(), std::move(text), warning});
}

net::Result<std::unique_ptr<LineSink>, std::string> Watch::opened_sink(const Config& config) {
  if (config.log.events == LogEvents::off) return nullptr;
  return open_sink(events_target(config));
}

void Watch::use(std::shared_ptr<const Config> config, std::unique_ptr<LineSink> sink) {
  voice_.set_level(config->log.level);
  config_ = std::move(config);
  if (!sink) {
    if (events_) events_->flush_all();
    events_.reset();
  } else if (events_) {
    events_->use(std::move(sink), name_of(events_target(*config_)));
  } else {
    events_ = std::make_unique<EventLog>(std::move(sink), name_of(events_target(*config_)),
                                         [this](std::string_view text) { warn(std::string(text)); });
  }
}

size_t Watch::drain(const Shards& shards, uint32_t shard_now_s, uint64_t now_ms) {
  std::array<nat::Event, events_per_drain> events;
  const auto now = std::chrono::system_clock::now();
  size_t done = 0;
  for (size_t worker = 0; worker < shards.size(); ++worker) {
    // Left with the shards, whose rings fill up then, so that they know when to refuse.
    if (config_->log.events_required && events_ && !events_->has_room_for(events_per_drain)) break;
    const size_t count = shards[worker]->take_events(events);
    for (const auto& event : std::span(events).first(count)) {
      // Events come within a round; only what waited longer is dated back, by the shard's whole seconds.
      const uint32_t age_s = shard_now_s - std::min(shard_now_s, event.time_s);
      take(event, static_cast<unsigned>(worker), age_s > 1 ? now - std::chrono::seconds(age_s) : now);
    }
    done += count;
  }
  if (events_) done += events_->flush(now_ms);
  return done;
}

void Watch::take(const nat::Event& event, unsigned worker, EventLog::Time time) {
  if (event.kind == nat::Event::Kind::audit_fault && faults_.size() < faults_max)
    faults_.push_back(fault_text(event, worker));
  const std::string name = net::to_text(net::Endpoint{event.address, event.first}) + ' ' + net::to_text(event.protocol);
  if (event.kind == nat::Event::Kind::static_waits)
    warn("static mapping " + name + " waits: " + std::string(nat::to_text(nat::StaticObstacle(event.fault))));
  if (event.kind == nat::Event::Kind::static_made) say("static mapping " + name + ", which waited, is there now");
  if (!events_) return;
  const unsigned prefix_length = config_->softwire.subscriber_prefix_length;
  if (const auto record = block_record(event, worker, prefix_length)) events_->add(record->what, record->fields, time);
  if (const auto record = subscriber_record(event, worker, prefix_length))
    events_->add(record->what, record->fields, time);
}

void Watch::record(const pcp::MappingEvent& event, uint64_t now_s) {
  if (!events_) return;
  const auto record = mapping_record(event, config_->softwire.subscriber_prefix_length, now_s);
  events_->add(record.what, record.fields, std::chrono::system_clock::now());
}

void Watch::count_lost(const Shards& shards) {
  uint64_t lost = 0;
  for (const auto& shard : shards) lost += shard->events_lost();
  const uint64_t more = lost - std::exchange(shards_lost_, lost);
  if (events_) events_->add_lost(more, std::chrono::system_clock::now());
}

void Watch::record_rules(uint64_t now_ms) {
  constexpr uint64_t day_ms = 86'400'000;
  if (!events_ || now_ms < rules_at_ms_) return;
  rules_at_ms_ = now_ms + day_ms;
  if (const auto rules = deterministic_of(*config_); rules && *rules)
    events_->add("deterministic-ranges", record_of(**rules, config_->pool.reserved_ports),
                 std::chrono::system_clock::now());
}

void Watch::record_restored(const Shards& shards) {
  std::array<nat::Event, events_per_drain> known;
  for (size_t worker = 0; worker < shards.size(); ++worker) {
    const nat::Shard& shard = *shards[worker];
    while (shards[worker]->take_events(known) > 0) continue;  // told of here, however many there are
    for (uint32_t index = 1; events_ && index < shard.subscriber_end(); ++index) {
      const auto subscriber = shard.read_subscriber(index);
      if (!subscriber) continue;
      for (const uint32_t block : blocks_of(*subscriber)) {
        const nat::PortRange ports = ports_of_block(shard, block);
        nat::Event event;
        event.subscriber = subscriber->prefix;
        event.address = address_of_block(shard, block);
        event.first = {ports.low}, event.last = {ports.high};
        const auto record = block_record(event, shard.settings().worker, config_->softwire.subscriber_prefix_length);
        events_->add("block-restored", record->fields, std::chrono::system_clock::now());
      }
      if (events_->waiting() >= EventLog::waiting_max / 2) events_->flush_all();
    }
  }
  for (const auto& shard : shards) shards_lost_ += shard->events_lost();
}

void Watch::look(const Shards& shards, const io::Dataplane& dataplane, const pcp::Server& pcp, uint64_t now_ms) {
  count_lost(shards);
  const auto readings = read_resources(shards, dataplane, pcp, events_.get());
  for (const auto& change : exhaustion_.look(readings, config_->log.high_threshold_percent, now_ms))
    tell(to_text(change), change.state != ResourceState::available);
}

void Watch::end() {
  if (events_) events_->flush_all();
}

}  // namespace portolan::control
