// A changed configuration taken over while traffic runs. Everything that could fail comes first, so that it is taken
// over whole or not at all; workers change over between two bursts (pipeline/snapshot.h), and what the new one still
// allows goes on untouched.
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

void Aftr::take_over(std::shared_ptr<const Config> config, std::unique_ptr<LineSink> sink) {
  const auto next = std::make_shared<const pipeline::Snapshot>(snapshot_of(*config, macs()));
  dataplane_->swap_snapshot(*next);
  router_->use(*next, now_ms());
  pcp_->use(pcp_settings(*config), *next);
  watch_.use(config, std::move(sink));
  snapshot_ = next;  // nobody uses the one before any more
  config_ = std::move(config);
}

}  // namespace portolan::control
