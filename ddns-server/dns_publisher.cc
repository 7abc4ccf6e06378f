#include "ddns-server/dns_publisher.h"

#include <algorithm>
#include <ctime>
#include <spdlog/spdlog.h>

#include "ddns-server/limits.h"
#include "ddns-server/uri.h"

namespace portolan::ddnsd {
namespace {

int64_t next_wait(int64_t wait_s) {
  return std::clamp(wait_s * 2, limits::dns_backoff_min_s, limits::dns_backoff_max_s);
}

std::vector<std::string> union_of(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  std::ranges::sort(a);
  a.erase(std::unique(a.begin(), a.end()), a.end());
  return a;
}

}  // namespace

DnsPublisher::DnsPublisher(const DnsConfig& config, Registry registry)
    : config_(config), registry_(std::move(registry)), thread_([this] { run(); }) {}

DnsPublisher::~DnsPublisher() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  bell_.notify_one();
  thread_.join();
}

void DnsPublisher::ring() {
  {
    const std::lock_guard lock(mutex_);
    rung_ = true;
  }
  bell_.notify_one();
}

bool DnsPublisher::wait() {
  std::unique_lock lock(mutex_);
  bell_.wait_for(lock, limits::dns_poll_interval, [this] { return rung_ || stop_; });
  rung_ = false;
  return !stop_;
}

void DnsPublisher::run() {
  bool is_synced = false;
  while (wait()) {
    try {
      if (!is_synced) registry_.dns_owe_all();
      is_synced = true;
      publish_owed(std::time(nullptr));
    } catch (const StoreError& error) {
      spdlog::error("dns: registry: {}", error.what());
    }
  }
}

void DnsPublisher::publish_owed(int64_t now_s) {
  if (now_s < server_again_at_s_) return;
  for (const Registry::Owed& debt : registry_.dns_owed()) {
    if (stop_) return;
    Refusal& refusal = refused_[debt.fqdn];
    if (refusal.revision == debt.revision && now_s < refusal.again_at_s) continue;
    const auto done = publish(debt, now_s);
    if (!done && done.error().kind == DnsFailure::Kind::server) return server_failed(done.error().text, now_s);
    server_wait_s_ = 0;
    if (done) {
      refused_.erase(debt.fqdn);
      continue;
    }
    ++counters_.names_refused;
    refusal.wait_s = next_wait(refusal.wait_s);
    refusal.again_at_s = now_s + refusal.wait_s;
    refusal.revision = debt.revision;
    spdlog::error("dns: {}: {}; next try in {} s", debt.fqdn, done.error().text, refusal.wait_s);
  }
}

net::Result<void, DnsFailure> DnsPublisher::publish(const Registry::Owed& debt, int64_t now_s) {
  if (!is_within(debt.fqdn, config_.zone)) {  // no retry helps; after a new start with another zone it is owed again
    spdlog::warn("dns: {} is not in zone {}: not published", debt.fqdn, config_.zone);
    registry_.dns_settle(debt);
    return {};
  }
  const auto entry = registry_.find(debt.fqdn, now_s);
  const auto records = entry ? records_of(debt.fqdn, *entry, config_, now_s) : std::vector<Record>{};
  const auto wanted = record_sets_of(records);
  // Noted before it is sent: should we die in between, the next process knows what may be out there.
  const auto touched = union_of(registry_.dns_published(debt.fqdn), wanted);
  registry_.set_dns_published(debt.fqdn, touched);
  if (!touched.empty()) {
    if (auto sent = send_update(config_, touched, records); !sent) return sent;
    ++counters_.updates_done;
    spdlog::info("dns: {}: {} records", debt.fqdn, records.size());
  }
  registry_.set_dns_published(debt.fqdn, wanted);
  registry_.dns_settle(debt);
  return {};
}

void DnsPublisher::server_failed(const std::string& text, int64_t now_s) {
  ++counters_.server_failures;
  server_wait_s_ = next_wait(server_wait_s_);
  server_again_at_s_ = now_s + server_wait_s_;
  spdlog::error("dns: server {}: {}; next try in {} s", to_text(config_.server), text, server_wait_s_);
}

}  // namespace portolan::ddnsd
