#include "controlplane/resources.h"

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <utility>

namespace portolan::control {

namespace {

using nat::Shard;
using nat::Verdict;

// Packets dropped or answered for one of these reasons.
uint64_t refused(const io::Dataplane& dataplane, std::initializer_list<Verdict> reasons) {
  uint64_t sum = 0;
  for (unsigned worker = 0; worker < dataplane.workers(); ++worker)
    for (const Verdict reason : reasons)
      sum += dataplane.counters(worker).dropped[reason].read() + dataplane.counters(worker).punted_for[reason].read();
  return sum;
}

struct Use {
  uint64_t used = 0, capacity = 0;
};

// The share that will refuse first; with several workers its name says whose it is.
ResourceReading fullest(std::string name, size_t workers, const std::function<Use(unsigned worker)>& use,
                        uint64_t refusals) {
  ResourceReading reading{std::move(name), 0, 0, refusals};
  for (unsigned worker = 0; worker < workers; ++worker) {
    const auto [used, capacity] = use(worker);
    if (capacity > 0 && (reading.capacity == 0 || used * reading.capacity > reading.used * capacity))
      reading.used = used, reading.capacity = capacity;
  }
  if (workers > 1) reading.name += " (fullest worker)";
  return reading;
}
ResourceReading fullest(std::string name, const Shards& shards, const std::function<Use(const Shard&)>& use,
                        uint64_t refusals) {
  return fullest(
      std::move(name), shards.size(), [&](unsigned worker) { return use(*shards[worker]); }, refusals);
}

}  // namespace

std::vector<ResourceReading> read_resources(const Shards& shards, const io::Dataplane& dataplane,
                                            const pcp::Server& pcp, const EventLog* events) {
  const auto refusals = [&](std::initializer_list<Verdict> reasons) { return refused(dataplane, reasons); };
  std::vector<ResourceReading> readings;
  readings.push_back(fullest(
      "mapping table", shards,
      [](const Shard& shard) {
        return Use{shard.mappings_live(), shard.settings().mappings_max};
      },
      refusals({Verdict::table_full})));
  readings.push_back(fullest(
      "subscribers", shards,
      [](const Shard& shard) {
        return Use{shard.subscribers_live(), shard.settings().subscribers_max};
      },
      refusals({Verdict::subscribers_full})));
  readings.push_back(fullest(
      "port blocks", shards,
      [](const Shard& shard) {
        return Use{shard.blocks_total() - uint64_t{shard.blocks_free()}, shard.blocks_total()};
      },
      refusals({Verdict::pool_exhausted})));
  readings.push_back(fullest(
      "sessions", shards,
      [](const Shard& shard) {
        return Use{shard.sessions_live(), shard.settings().sessions_max};
      },
      refusals({Verdict::session_table_full})));
  readings.push_back(fullest(
      "fragments", shards.size(),
      [&](unsigned worker) {
        const auto& counters = dataplane.counters(worker);
        return Use{std::max(counters.waiting.read(), counters.datagrams.read()), counters.fragments_max.read()};
      },
      refusals({Verdict::fragment_table_full})));
  readings.push_back({"path MTUs of B4s", 0, 0, refusals({Verdict::path_mtu_full})});
  readings.push_back({"ring to the control thread", 0, 0, refusals({Verdict::punt_full})});
  readings.push_back({"rings between workers", 0, 0, refusals({Verdict::handover_full})});
  readings.push_back({"transmit queues", 0, 0, refusals({Verdict::transmit_full})});
  readings.push_back({"packet buffers", 0, 0, refusals({Verdict::no_buffer})});
  readings.push_back({"PCP mappings", pcp.size(), pcp.settings().mappings_max, pcp.counters()[pcp::Event::table_full]});
  if (events != nullptr)
    readings.push_back(
        {"event log", events->waiting(), EventLog::waiting_max, events->lost() + refusals({Verdict::record_refused})});
  return readings;
}

}  // namespace portolan::control
