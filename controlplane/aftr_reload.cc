// A changed configuration taken over while traffic runs. Everything that could fail comes first, so that it is taken
// over whole or not at all; workers change over between two bursts (pipeline/snapshot.h), and what the new one still
// allows goes on untouched.
#include <algorithm>
#include <functional>
#include <utility>

#include "controlplane/aftr.h"
#include "controlplane/config_file.h"
#include "controlplane/engine_settings.h"
#include "controlplane/static_settings.h"
#include "dataplane/net/text.h"

namespace portolan::control {

namespace {

ConfigError restart_needed(const std::string& file, const Change& change) {
  return {
      file, find_line(file, change.setting->section, change.setting->key), change.setting->name(),
      change.was + " -> " + change.is + " needs a restart; restart portoland, or change it back to reload the rest"};
}

std::string count_of(size_t number, const std::string& what) {
  return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
}

}  // namespace

Aftr::Reloaded Aftr::reload() {
  Reloaded outcome;
  std::unique_ptr<LineSink> sink;
  net::Result<nat::Pool, std::string> pool;
  auto read = read_config(file_);
  if (!read) {
    for (const auto& error : read.error()) outcome.errors.push_back(to_text(error));
  } else {
    outcome.changes = differences(*config_, *read);
    for (const auto& change : needing_restart(outcome.changes))
      outcome.errors.push_back(to_text(restart_needed(file_, change)));
    pool = next_pool(*read);
    if (!pool) outcome.errors.push_back(pool.error());
    auto opened = Watch::opened_sink(*read);
    if (opened)
      sink = std::move(*opened);
    else
      outcome.errors.push_back(file_ + ": log.events-target: " + opened.error());
  }
  if (!outcome.errors.empty()) {
    outcome.changes.clear();
    watch_.warn("reload refused, nothing was changed: " + count_of(outcome.errors.size(), "error"));
    for (const auto& error : outcome.errors) watch_.warn("reload: " + error);
    return outcome;
  }
  // The sink too if nothing changed: its file may have been moved away.
  take_over(std::make_shared<const Config>(std::move(*read)), std::move(*pool), std::move(sink));
  for (const auto& change : outcome.changes) watch_.say("reload: " + to_text(change));
  watch_.say(outcome.changes.empty() ? "reload: nothing has changed"
                                     : "reload: " + count_of(outcome.changes.size(), "setting") + " changed");
  return outcome;
}

// The same one, or its successor, which keeps the numbers that shards know.
net::Result<nat::Pool, std::string> Aftr::next_pool(const Config& config) const {
  const auto error = [this](const char* text) {
    return tl::unexpected(to_text(ConfigError{file_, find_line(file_, "pool", "prefix"), "pool.prefix", text}));
  };
  if (!config.pool.deterministic_for.empty() && config.pool.prefixes != config_->pool.prefixes)
    return error("with pool.deterministic-for every subscriber's ports follow from it, so a change needs a restart");
  const nat::Pool& now = snapshot_->policy.pool;
  const bool same = config.pool.prefixes == config_->pool.prefixes && config.pool.draining == config_->pool.draining;
  nat::Pool pool = same ? now : now.successor(config.pool.prefixes, config.pool.draining);
  const auto has_room = [&](const auto& shard) { return shard->has_room_for(pool); };
  if (!std::ranges::all_of(shards_, has_room))
    return error(
        "more addresses, together with those removed since the start, than memory was reserved for; add fewer, or "
        "restart portoland");
  return with_statics(std::move(pool), config);
}

// A new static mapping's subscriber goes to the worker of its outside address, if nothing of his would be left behind.
net::Result<nat::Pool, std::string> Aftr::with_statics(nat::Pool pool, const Config& config) const {
  nat::Pool::Pins pins;
  const nat::StaticMappings statics = static_mappings_of(config);
  for (const auto& row : statics.rows()) {
    const net::Ipv6& subscriber = row.key.subscriber;
    const unsigned his = pool.owner_of(subscriber);
    const unsigned of_port = pool.owner(*pool.number_of(row.outside.address), row.outside.port);
    if (his == of_port) continue;
    const nat::Shard& shard = *shards_[his];
    for (uint32_t index = 1; index < shard.subscriber_end(); ++index)
      if (const auto known = shard.read_subscriber(index); known && known->prefix == subscriber)
        return tl::unexpected(to_text(ConfigError{
            file_, find_line(file_, "nat", "static-mapping"), "nat.static-mapping",
            net::to_text(row.outside) + " belongs to worker " + std::to_string(of_port) + ", and its subscriber has " +
                "mappings of worker " + std::to_string(his) +
                "; give an address of that worker (show subscribers), clear the subscriber and reload when his ports "
                "have rested, or restart portoland"}));
    pins.emplace(subscriber, static_cast<uint8_t>(of_port));
  }
  return pins.empty() ? pool : pool.with(std::move(pins), {});
}

void Aftr::take_over(std::shared_ptr<const Config> config, nat::Pool pool, std::unique_ptr<LineSink> sink) {
  auto snapshot = snapshot_of(*config, macs());
  snapshot.policy.pool = std::move(pool);
  const auto next = std::make_shared<const pipeline::Snapshot>(std::move(snapshot));
  if (next->policy.pool.generation() != snapshot_->policy.pool.generation() ||
      next->policy.statics != snapshot_->policy.statics) {
    const Passes now = passes();
    sweep_ = Passes{now.done, sweep_ ? sweep_->ended : now.ended};  // one under way begins anew
  }
  note_changed_statics(snapshot_->policy.statics, next->policy.statics);
  note_changed_statics(next->policy.statics, snapshot_->policy.statics);
  dataplane_->swap_snapshot(*next);
  move_subscribers(*snapshot_, *next);
  router_->use(*next, now_ms());
  pcp_->use(pcp_settings(*config), *next);
  watch_.use(config, std::move(sink));
  snapshot_ = next;  // nobody uses the one before any more
  config_ = std::move(config);
}

// What PCP granted of their inside endpoints may be somewhere else now.
void Aftr::note_changed_statics(const nat::StaticMappings& these, const nat::StaticMappings& those) {
  for (const auto& [key, b4, outside] : these.rows())
    if (!those.has(key, outside))
      changed_statics_.push_back({key.subscriber, key.inside_address, key.inside_port, key.protocol});
}

// What a subscriber opened in the moment before he was given to another worker ends: it is out of his reach.
void Aftr::move_subscribers(const pipeline::Snapshot& from, const pipeline::Snapshot& to) {
  for (const auto& row : to.policy.statics.rows()) {
    const unsigned before = from.policy.pool.owner_of(row.key.subscriber);
    if (before == to.policy.pool.owner_of(row.key.subscriber)) continue;
    nat::Command command;
    command.verb = nat::Command::Verb::clear_subscriber;
    command.key.subscriber = row.key.subscriber;
    clear_at(before, command);
  }
}

void Aftr::clear_at(unsigned worker, nat::Command command) {
  translator_->submit_to(worker, command, [this, worker, command](const nat::CommandResult& result) mutable {
    command.resume = result.resume;
    if (command.resume != 0) clear_at(worker, command);
  });
}

Aftr::Passes Aftr::passes() const {
  Passes now;
  for (const auto& shard : shards_) {
    now.done.push_back(shard->counters().sweeps_done.read());
    now.ended += shard->counters().swept.read();
  }
  return now;
}

// The workers end the mappings of removed addresses bit by bit. When all have been through, PCP's are forgotten too:
// not before, for until then a renewal would be granted the mapping that is about to end.
void Aftr::watch_sweep() {
  if (!sweep_) return;
  const Passes now = passes();
  if (!std::ranges::equal(now.done, sweep_->done, std::greater{})) return;
  const uint64_t ended = now.ended - sweep_->ended;
  sweep_.reset();
  const size_t moving = pcp_->move_outside(snapshot_->policy.pool);
  for (const auto& mapping : std::exchange(changed_statics_, {})) pcp_->forget(mapping);
  if (ended > 0)
    watch_.say("reload: " + count_of(ended, "mapping") +
               " ended, for the pool no longer has their outside address or they are static no more; " +
               std::to_string(moving) +
               " of them made by PCP: they move to other addresses, and their clients are told");
}

}  // namespace portolan::control
