#include "ddns-server/dns_publisher.h"

#include <algorithm>
#include <ctime>
#include <iterator>
#include <spdlog/spdlog.h>
#include <utility>

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
  drift_pass_at_s_ = std::time(nullptr) + config_.check_interval_s;
  while (wait()) {
    try {
      if (!is_synced) registry_.dns_owe_all();
      is_synced = true;
      const int64_t now_s = std::time(nullptr);
      publish_owed(now_s);
      look_for_drift(now_s);
    } catch (const StoreError& error) {
      spdlog::error("dns: registry: {}", error.what());
    }
  }
}

void DnsPublisher::publish_owed(int64_t now_s) {
  if (now_s < server_again_at_s_) return;
  const auto debts = registry_.dns_owed();
  for (size_t at = 0; at < debts.size() && !stop_;) {
    auto jobs = next_jobs(debts, at, now_s);
    if (!jobs.empty() && !publish(std::move(jobs), now_s)) return;
  }
}

// In the order they are owed; those whose server refused them a moment ago wait.
std::vector<DnsPublisher::Job> DnsPublisher::next_jobs(const std::vector<Registry::Owed>& debts, size_t& at,
                                                       int64_t now_s) {
  std::vector<Job> jobs;
  for (size_t records = 0; at < debts.size() && jobs.size() < limits::dns_names_per_update_max &&
                           records < limits::dns_records_per_update_max;
       ++at) {
    const Registry::Owed& debt = debts[at];
    const auto refusal = refused_.find(debt.fqdn);
    if (refusal != refused_.end() && refusal->second.revision == debt.revision && now_s < refusal->second.again_at_s)
      continue;
    if (!is_within(debt.fqdn, config_.zone)) {  // no retry helps; after a start with another zone it is owed again
      spdlog::warn("dns: {} is not in zone {}: not published", debt.fqdn, config_.zone);
      registry_.dns_settle(debt, now_s);
      continue;
    }
    jobs.push_back(job_of(debt, now_s));
    records += jobs.back().records.size() + jobs.back().touched.size();
  }
  return jobs;
}

DnsPublisher::Job DnsPublisher::job_of(const Registry::Owed& debt, int64_t now_s) {
  Job job{debt, {}, registry_.dns_published(debt.fqdn), {}, {}};
  if (const auto entry = registry_.find(debt.fqdn, now_s)) job.records = records_of(debt.fqdn, *entry, config_, now_s);
  job.wanted = record_sets_of(job.records);
  job.touched = union_of(job.before, job.wanted);
  return job;
}

bool DnsPublisher::publish(std::vector<Job> jobs, int64_t now_s) {
  const auto done = send(jobs, now_s);
  if (done) {
    // Its zone may be an older one than it had before it was away.
    if (std::exchange(server_wait_s_, 0) > 0) registry_.dns_owe_all();
    for (const Job& job : jobs) refused_.erase(job.debt.fqdn);
    return true;
  }
  if (done.error().kind == dns::Failure::Kind::server) return server_failed(done.error().text, now_s), false;
  server_wait_s_ = 0;
  if (jobs.size() == 1) return refuse(jobs.front(), done.error().text, now_s), true;
  for (Job& job : jobs)  // one of them is to blame: the others are not held up
    if (!publish({std::move(job)}, now_s)) return false;
  return true;
}

net::Result<void, dns::Failure> DnsPublisher::send(const std::vector<Job>& jobs, int64_t now_s) {
  dns::Update update;
  for (const Job& job : jobs) {
    update.remove.insert(update.remove.end(), job.touched.begin(), job.touched.end());
    update.add.insert(update.add.end(), job.records.begin(), job.records.end());
    if (config_.take_over) continue;
    std::ranges::set_difference(job.wanted, job.before, std::back_inserter(update.must_not_exist));
  }
  // Noted before it is sent: should we die in between, the next process knows what may be out there.
  registry_.together([&] {
    for (const Job& job : jobs) registry_.set_dns_published(job.debt.fqdn, job.touched);
  });
  if (!update.remove.empty()) {
    if (auto sent = dns::send_update(config_, update); !sent) {
      if (!sent.error().is_sent || sent.error().kind != dns::Failure::Kind::server)
        registry_.together([&] {
          for (const Job& job : jobs) registry_.set_dns_published(job.debt.fqdn, job.before);
        });
      return sent;
    }
    ++counters_.updates_done;
    for (const Job& job : jobs) spdlog::info("dns: {}: {} records", job.debt.fqdn, job.records.size());
  }
  registry_.together([&] {
    for (const Job& job : jobs) {
      registry_.set_dns_published(job.debt.fqdn, job.wanted);
      registry_.dns_settle(job.debt, now_s);
    }
  });
  return {};
}

void DnsPublisher::refuse(const Job& job, const std::string& text, int64_t now_s) {
  ++counters_.names_refused;
  Refusal& refusal = refused_[job.debt.fqdn];
  refusal.wait_s = next_wait(refusal.wait_s);
  refusal.again_at_s = now_s + refusal.wait_s;
  refusal.revision = job.debt.revision;
  spdlog::error("dns: {}: {}; next try in {} s", job.debt.fqdn, text, refusal.wait_s);
}

// Somebody may have edited the zone. A few names a turn, so that changes do not wait for it.
void DnsPublisher::look_for_drift(int64_t now_s) {
  if (config_.check_interval_s == 0 || now_s < server_again_at_s_ || server_wait_s_ > 0) return;
  if (to_check_.empty()) {
    if (now_s < drift_pass_at_s_) return;
    drift_pass_at_s_ = now_s + config_.check_interval_s;
    to_check_ = registry_.dns_published_names();
  }
  for (size_t i = 0; i < limits::dns_checks_per_turn && !to_check_.empty() && !stop_; ++i) {
    const Job job = job_of({to_check_.back(), 0}, now_s);
    to_check_.pop_back();
    const auto there = dns::has_records(config_, job.touched, job.records);
    if (!there) return server_failed(there.error().text, now_s);
    if (*there || registry_.is_dns_owed(job.debt.fqdn)) continue;
    ++counters_.drifts_found;
    spdlog::warn("dns: {} is not in the zone as it should be: published anew", job.debt.fqdn);
    registry_.dns_owe(job.debt.fqdn);
  }
}

void DnsPublisher::server_failed(const std::string& text, int64_t now_s) {
  ++counters_.server_failures;
  server_wait_s_ = next_wait(server_wait_s_);
  server_again_at_s_ = now_s + server_wait_s_;
  spdlog::error("dns: server {}: {}; next try in {} s", to_text(config_.server), text, server_wait_s_);
}

}  // namespace portolan::ddnsd
