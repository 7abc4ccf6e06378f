#include "controlplane/check_command.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

namespace portolan::control {

namespace {

// One audit of all workers. Those who ask while it is under way get the same.
class Check {
 public:
  explicit Check(Aftr& aftr) : aftr_(aftr) {
    for (const auto& shard : aftr.shards()) before_.push_back(shard->counters().audits_done.read());
    aftr.watch().forget_faults();
  }

  // True when all workers are through.
  bool advance() {
    if (done_) return true;
    nat::Command command;
    command.verb = nat::Command::Verb::audit;
    while (asked_ < before_.size() && aftr_.submit_to(static_cast<unsigned>(asked_), command, [](const auto&) {}))
      ++asked_;
    for (size_t worker = 0; worker < before_.size(); ++worker)
      if (asked_ <= worker || aftr_.shards()[worker]->counters().audits_done.read() == before_[worker]) return false;
    finish();
    return true;
  }
  [[nodiscard]] uint64_t faults() const { return faults_; }
  [[nodiscard]] std::string summary() const {
    return std::to_string(faults_) + (faults_ == 1 ? " fault" : " faults") + " in " + std::to_string(records_) +
           " records of " + std::to_string(before_.size()) + (before_.size() == 1 ? " worker" : " workers");
  }
  [[nodiscard]] std::string lines() const {
    std::string out;
    for (const auto& finding : findings_) out += finding + '\n';
    if (findings_.size() < faults_) out += "and " + std::to_string(faults_ - findings_.size()) + " more\n";
    return out;
  }
  [[nodiscard]] std::string json() const {
    nlohmann::ordered_json object;
    object["workers"] = before_.size();
    object["records"] = records_;
    object["faults"] = faults_;
    object["findings"] = findings_;
    return object.dump(2) + '\n';
  }

 private:
  void finish() {
    aftr_.hear_shards();
    for (const auto& shard : aftr_.shards()) {
      records_ += shard->counters().audit_checked.read();
      faults_ += shard->counters().audit_faults.read();
    }
    findings_ = aftr_.watch().faults();
    done_ = true;
    if (faults_ == 0) return aftr_.watch().say("check: " + summary());
    aftr_.watch().warn("check: " + summary() + (findings_.empty() ? "" : "; the first: " + findings_.front()));
  }

  Aftr& aftr_;
  std::vector<uint64_t> before_;  // audits done, by worker
  size_t asked_ = 0;              // workers
  bool done_ = false;
  uint64_t records_ = 0, faults_ = 0;
  std::vector<std::string> findings_;
};

Reply check(const std::shared_ptr<Check>& check, const Request& request) {
  Reply reply;
  reply.output = [check, json = request.json](std::string& chunk) {
    if (!check->advance()) return true;  // not yet
    chunk += json ? check->json() : check->lines() + (check->faults() == 0 ? check->summary() + '\n' : "");
    return false;
  };
  reply.ending = [check] {
    return check->faults() == 0 ? std::pair(Code::done, std::string()) : std::pair(Code::failed, check->summary());
  };
  return reply;
}

}  // namespace

void add_check_command(CommandTable& table, Aftr& aftr) {
  table.add(
      {"check", "", Access::view,
       [&aftr, running = std::weak_ptr<Check>()](const Request& request) mutable {
         auto joined = running.lock();
         if (!joined) running = joined = std::make_shared<Check>(aftr);
         return check(joined, request);
       },
       "Audit every worker's mappings against its indexes and port blocks while traffic runs; exit 1 on faults."});
}

}  // namespace portolan::control
