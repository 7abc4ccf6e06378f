// Updates straight to a DNS server. ldns blocks, so one thread sends them, in order; answers come back by the
// io_context.
#include <algorithm>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include "dataplane/net/text.h"
#include "ddns-client-ref/update_method.h"

namespace portolan::ddns {
namespace {

namespace asio = boost::asio;
constexpr uint32_t ttl_max_s = 60;  // DDN-019: caches follow a moved port within a minute

// A refused update is the DNS server's policy: somebody has to change it, so there is no hurry.
Outcome outcome_of(const net::Result<void, dns::Failure>& sent) {
  if (sent) return {Outcome::Kind::done, {}};
  if (sent.error().kind == dns::Failure::Kind::server) return {Outcome::Kind::retry, sent.error().text};
  return {Outcome::Kind::dislike, sent.error().text, false, server_trouble_wait};
}

class DnsMethod final : public UpdateMethod {
  asio::io_context& io_;
  dns::Primary primary_;
  std::atomic<unsigned> under_way_{0};
  asio::thread_pool thread_{1};  // last: its end is awaited before the rest goes

 public:
  DnsMethod(asio::io_context& io, const dns::Primary& primary) : io_(io), primary_(primary) {}
  ~DnsMethod() override {
    thread_.stop();
    thread_.join();
  }
  DnsMethod(const DnsMethod&) = delete;
  DnsMethod& operator=(const DnsMethod&) = delete;

  void send(const Update& update, Done done) override {
    ++under_way_;
    // The guard keeps run() from ending while an answer is on its way.
    asio::post(thread_, [this, update, done = std::move(done), guard = asio::make_work_guard(io_)]() mutable {
      const auto records = update.withdrawal ? std::vector<dns::Record>{} : dns_records_of(update.record);
      Outcome outcome = outcome_of(dns::send_update(primary_, {{}, dns_sets_of(update), records}));
      --under_way_;
      asio::post(io_, [done = std::move(done), outcome = std::move(outcome)] { done(outcome); });
    });
  }
  Abilities abilities() const override { return {.refreshes = false}; }  // the DNS forgets nothing by itself
  bool blocked() const override { return under_way_ > 0; }
};

std::string srv_owner(const Registration& record) {
  const std::string& label = !record.type.empty()     ? record.type
                             : !record.scheme.empty() ? record.scheme
                                                      : record.service;
  return "_" + label + "._" + net::to_text(record.protocol) + "." + record.name;
}

std::string srv_target(const Registration& record) { return record.service + "." + record.name; }

}  // namespace

std::vector<dns::Record> dns_records_of(const Registration& record) {
  const uint32_t ttl_s = std::clamp<uint32_t>(record.lifetime_s, 1, ttl_max_s);
  const std::string address = net::to_text(record.outside.address);
  const std::string owner = srv_owner(record), target = srv_target(record);
  std::vector<dns::Record> out = {
      {record.name, "A", ttl_s, address},
      {target, "A", ttl_s, address},
      {owner, "SRV", ttl_s, "0 0 " + std::to_string(uint16_t{record.outside.port.number}) + " " + target + "."}};
  if (const std::string uri = uri_of(record); !uri.empty()) out.push_back({owner, "URI", ttl_s, "0 0 \"" + uri + "\""});
  return out;
}

std::vector<std::string> dns_sets_of(const Update& update) {
  std::vector<std::string> out;
  if (!update.withdrawal || update.last_of_name) out.push_back(update.record.name + " A");
  const auto add = [&](const Registration& record) {
    for (const std::string& set : {srv_target(record) + " A", srv_owner(record) + " SRV", srv_owner(record) + " URI"})
      if (std::ranges::find(out, set) == out.end()) out.push_back(set);
  };
  add(update.record);
  if (update.before) add(*update.before);  // of another type then, perhaps
  return out;
}

std::unique_ptr<UpdateMethod> make_dns_method(asio::io_context& io, const dns::Primary& primary) {
  return std::make_unique<DnsMethod>(io, primary);
}

}  // namespace portolan::ddns
