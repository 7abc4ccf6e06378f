// Brings DNS to what the registry says, on a thread of its own since ldns blocks. What is owed stands in the registry's
// dns_owed table, written with the change itself: the newest state of a name is sent, however often it changed, in the
// order the names first changed, and a crash forgets nothing. Many at once share a message, for a DNS server writes
// each to its disk. What DNS has is compared with what it should have every few minutes, and after the server was away
// it is told everything anew: its zone may be an older one.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "ddns-server/config.h"
#include "ddns-server/dns_records.h"
#include "ddns-server/registry.h"

namespace portolan::ddnsd {

class DnsPublisher {
 public:
  struct Counters {  // writer: the publisher's thread; readers: anyone
    std::atomic<uint64_t> updates_done{0}, names_refused{0}, server_failures{0}, drifts_found{0};
  };

  // Takes a registry of its own. Owes every name at start, for DNS may have changed while nobody looked.
  DnsPublisher(const DnsConfig& config, Registry registry);
  ~DnsPublisher();  // within the time one exchange may take
  DnsPublisher(const DnsPublisher&) = delete;
  DnsPublisher& operator=(const DnsPublisher&) = delete;

  void ring();  // something is owed; from any thread. What other processes change is seen within a second anyway.
  [[nodiscard]] const Counters& counters() const { return counters_; }

 private:
  struct Refusal {  // a name the server did not take: left alone until it changes or its time is up
    int64_t revision = 0, again_at_s = 0, wait_s = 0;
  };

  void run();
  bool wait();  // until the bell, or a while; false: stop
  struct Job {  // what one name needs
    Registry::Owed debt;
    std::vector<Record> records;
    std::vector<std::string> before, wanted, touched;  // record sets: there perhaps, there soon, either
  };

  void publish_owed(int64_t now_s);
  [[nodiscard]] std::vector<Job> next_jobs(const std::vector<Registry::Owed>& debts, size_t& at, int64_t now_s);
  [[nodiscard]] Job job_of(const Registry::Owed& debt, int64_t now_s);
  bool publish(std::vector<Job> jobs, int64_t now_s);  // false: the server has failed
  net::Result<void, dns::Failure> send(const std::vector<Job>& jobs, int64_t now_s);
  void refuse(const Job& job, const std::string& text, int64_t now_s);
  void look_for_drift(int64_t now_s);
  void server_failed(const std::string& text, int64_t now_s);

  DnsConfig config_;
  Registry registry_;
  Counters counters_;
  std::map<std::string, Refusal> refused_;
  int64_t server_again_at_s_ = 0, server_wait_s_ = 0;
  int64_t drift_pass_at_s_ = 0;
  std::vector<std::string> to_check_;  // names of the pass under way

  std::mutex mutex_;
  std::condition_variable bell_;
  bool rung_ = true;               // under mutex_
  std::atomic<bool> stop_{false};  // written under mutex_
  std::thread thread_;             // last: starts when all above is there
};

}  // namespace portolan::ddnsd
