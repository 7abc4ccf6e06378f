// A changed configuration taken over while traffic runs. Everything that could fail comes first, so that it is taken
// over whole or not at all; workers change over between two bursts (pipeline/snapshot.h), and what the new one still
// allows goes on untouched.
#include <algorithm>
#include <functional>

#include "controlplane/aftr.h"
#include "controlplane/config_file.h"
#include "controlplane/engine_settings.h"

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
  auto read = read_config(file_);
  if (!read) {
    for (const auto& error : read.error()) outcome.errors.push_back(to_text(error));
  } else {
    outcome.changes = differences(*config_, *read);
    for (const auto& change : needing_restart(outcome.changes))
      outcome.errors.push_back(to_text(restart_needed(file_, change)));
    if (auto error = find_pool_error(*read)) outcome.errors.push_back(std::move(*error));
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
  take_over(std::make_shared<const Config>(std::move(*read)), std::move(sink));
  for (const auto& change : outcome.changes) watch_.say("reload: " + to_text(change));
  watch_.say(outcome.changes.empty() ? "reload: nothing has changed"
                                     : "reload: " + count_of(outcome.changes.size(), "setting") + " changed");
  return outcome;
}

// The pool of another configuration: the same one, or its successor, which keeps the numbers that shards know.
nat::Pool Aftr::next_pool(const Config& config) const {
  const nat::Pool& pool = snapshot_->policy.pool;
  const bool same = config.pool.prefixes == config_->pool.prefixes && config.pool.draining == config_->pool.draining;
  return same ? pool : pool.successor(config.pool.prefixes, config.pool.draining);
}

std::optional<std::string> Aftr::find_pool_error(const Config& config) const {
  const auto error = [this](const char* text) {
    return to_text(ConfigError{file_, find_line(file_, "pool", "prefix"), "pool.prefix", text});
  };
  if (!config.pool.deterministic_for.empty() && config.pool.prefixes != config_->pool.prefixes)
    return error("with pool.deterministic-for every subscriber's ports follow from it, so a change needs a restart");
  const nat::Pool pool = next_pool(config);
  const auto has_room = [&](const auto& shard) { return shard->has_room_for(pool); };
  if (std::ranges::all_of(shards_, has_room)) return std::nullopt;
  return error(
      "more addresses, together with those removed since the start, than memory was reserved for; add fewer, or "
      "restart portoland");
}

void Aftr::take_over(std::shared_ptr<const Config> config, std::unique_ptr<LineSink> sink) {
  auto snapshot = snapshot_of(*config, macs());
  snapshot.policy.pool = next_pool(*config);
  const auto next = std::make_shared<const pipeline::Snapshot>(std::move(snapshot));
  if (next->policy.pool.generation() != snapshot_->policy.pool.generation()) {
    const Passes now = passes();
    sweep_ = Passes{now.done, sweep_ ? sweep_->ended : now.ended};  // one under way begins anew
  }
  dataplane_->swap_snapshot(*next);
  router_->use(*next, now_ms());
  pcp_->use(pcp_settings(*config), *next);
  watch_.use(config, std::move(sink));
  snapshot_ = next;  // nobody uses the one before any more
  config_ = std::move(config);
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
  const size_t ended_explicit = pcp_->forget_outside(snapshot_->policy.pool);
  if (ended > 0)
    watch_.say("reload: " + count_of(ended, "mapping") + " ended, for the pool no longer has their outside address; " +
               std::to_string(ended_explicit) + " of them made by PCP");
}

}  // namespace portolan::control
