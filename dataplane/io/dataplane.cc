#include "dataplane/io/dataplane.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "dataplane/io/device.h"
#include "dataplane/io/mbuf.h"
#include "dataplane/io/port.h"
#include "dataplane/io/queues.h"
#include "dataplane/io/worker_thread.h"

namespace portolan::io {

using pipeline::Side;
using pipeline::sides;

namespace {

constexpr unsigned pool_cache = 256;
constexpr unsigned poll_sleep_us = 20;  // while waiting for workers
constexpr std::chrono::seconds drain_max{1};
constexpr uint64_t frame_bytes_max = 10'000;       // a buffer of the largest kind with its header
constexpr uint32_t queue_frames_max = 4096 + 512;  // of one worker's queues on one device, whichever

struct FreePool {
  void operator()(rte_mempool* pool) const { rte_mempool_free(pool); }
};
using Pool = std::unique_ptr<rte_mempool, FreePool>;

// Of one worker: enough for a datagram in many pieces, however many workers there are.
uint32_t fragments_share(uint32_t fragments_max, unsigned workers) {
  constexpr uint32_t share_min = 256;
  return std::max((fragments_max + workers - 1) / workers, share_min);
}

// Every buffer that may be somewhere else than in the pool, so that a full ring never starves a receive queue.
uint32_t frames_needed(unsigned workers, uint32_t served, uint32_t held_by_ports, uint32_t fragments_max) {
  constexpr uint32_t in_hand = 2 * (pipeline::burst_max + pipeline::fragments_max);
  constexpr uint32_t cached = pool_cache + pool_cache / 2;  // rte_mempool flushes at 1.5 times its cache
  const uint32_t to_others = workers > 1 ? handovers_max + served * relayed_max : 0;
  const uint32_t waiting = fragments_share(fragments_max, workers);
  return held_by_ports + served * (injected_max + uint32_t{pipeline::burst_max}) +
         workers * (punts_max + in_hand + to_others + waiting) + (workers + 1) * cached;
}

// One plan for each device named; sides that name it alike share it.
net::Result<std::vector<Port::Plan>, std::string> plan_ports(const DataplaneSettings& settings) {
  std::vector<Port::Plan> plans;
  std::vector<std::string> texts;
  for (const Side side : sides) {
    const auto& [device, mtu_bytes, vlan] = settings.sides[static_cast<size_t>(side)];
    if (device.empty()) continue;
    const auto at = static_cast<size_t>(std::ranges::find(texts, device) - texts.begin());
    if (at == texts.size()) texts.push_back(device), plans.emplace_back();
    plans[at].sides.push_back(side);
    plans[at].mtu_bytes = std::max(plans[at].mtu_bytes, mtu_bytes);
    plans[at].tagged |= vlan != 0;
  }
  for (size_t at = 0; at < plans.size(); ++at) {
    auto device = parse_device(texts[at], plans[at].mtu_bytes);
    if (!device) return tl::unexpected(std::move(device.error()));
    if (auto obstacle = find_obstacle(*device, plans[at].mtu_bytes)) return tl::unexpected(std::move(*obstacle));
    for (size_t other = 0; other < at; ++other)
      if (auto conflict = find_conflict(to_text(plans[other].sides.front()), plans[other].device,
                                        to_text(plans[at].sides.front()), *device))
        return tl::unexpected(std::move(*conflict));
    plans[at].device = std::move(*device);
  }
  return plans;
}

int run_worker(void* worker) {
  static_cast<WorkerThread*>(worker)->run();
  return 0;
}

unsigned lcore_of(unsigned worker) { return worker + 1; }  // as plan_eal() numbers them

}  // namespace

struct Dataplane::State {
  // In this order: what is below uses what is above, and goes first.
  std::unique_ptr<Eal> eal;
  unsigned workers_count = 1;
  uint32_t idle_sleep_us = 0, fragments_max = 0;
  Log log;
  std::vector<Pool> pools;
  std::atomic<Phase> phase = Phase::running;
  std::vector<std::unique_ptr<WorkerThread>> workers;
  std::vector<std::unique_ptr<Port>> ports;
  std::vector<rte_mempool*> pool_of;                                // by port
  std::array<std::optional<size_t>, pipeline::side_count> port_of;  // by Side
  QueueMap receive_queues, transmit_queues;                         // by port
  bool launched = false;
  unsigned next_polled = 0;  // worker whose punts come first

  [[nodiscard]] std::optional<size_t> at(Side side) const { return port_of[static_cast<size_t>(side)]; }
  [[nodiscard]] const Port& port(Side side) const { return *ports[*at(side)]; }

  net::Result<void, std::string> open_port(const Port::Plan& plan);
  net::Result<void, std::string> make_pools();
  [[nodiscard]] WorkerSettings settings_of(unsigned worker);
  net::Result<void, std::string> make_workers(std::span<nat::Shard* const> shards, const pipeline::Gateways& gateways,
                                              const Clock& clock);
  net::Result<void, std::string> launch();
  void spread(const nat::Spread& spread);
  void wait_until_quiet();
  void end_workers();
};

net::Result<void, std::string> Dataplane::State::open_port(const Port::Plan& plan) {
  auto opened = Port::open(plan, workers_count);
  if (!opened) return tl::unexpected(std::move(opened.error()));
  for (const Side side : plan.sides) port_of[static_cast<size_t>(side)] = ports.size();
  receive_queues.queues.push_back((*opened)->receive_queues());
  transmit_queues.queues.push_back((*opened)->transmit_queues());
  ports.push_back(std::move(*opened));
  return {};
}

// One pool, unless the devices want different buffers or lie on different NUMA nodes.
net::Result<void, std::string> Dataplane::State::make_pools() {
  uint32_t held = 0;
  for (const auto& port : ports) held += port->frames_held_max();
  const auto served =
      static_cast<uint32_t>(std::ranges::count_if(port_of, [](const auto& at) { return at.has_value(); }));
  const uint32_t frames = frames_needed(workers_count, served, held, fragments_max);
  for (const auto& port : ports) {
    const Port& first = *ports.front();
    const bool alike = port->data_room_bytes() == first.data_room_bytes() && port->socket() == first.socket();
    if (!pools.empty() && alike) {
      pool_of.push_back(pool_of.front());
      continue;
    }
    const std::string name = "portolan" + std::to_string(pools.size());
    pools.emplace_back(rte_pktmbuf_pool_create(name.c_str(), frames, pool_cache, mbuf_private_bytes,
                                               port->data_room_bytes(), port->socket()));
    if (!pools.back())
      return tl::unexpected("no memory for " + std::to_string(frames) + " packet buffers of " +
                            std::to_string(port->data_room_bytes()) + " octets (" + rte_strerror(rte_errno) +
                            "): give more with -m in eal, or reserve hugepages");
    pool_of.push_back(pools.back().get());
  }
  return {};
}

WorkerSettings Dataplane::State::settings_of(unsigned worker) {
  WorkerSettings settings;
  settings.index = worker;
  settings.workers = workers_count;
  settings.idle_sleep_us = idle_sleep_us;
  settings.fragments_max = fragments_share(fragments_max, workers_count);
  settings.socket = ports.front()->socket();
  const auto roomiest = std::ranges::max_element(ports, {}, [](const auto& port) { return port->data_room_bytes(); });
  settings.pool = pool_of[static_cast<size_t>(roomiest - ports.begin())];
  std::vector<bool> received(ports.size());
  for (const Side side : sides) {
    if (!at(side)) continue;
    const size_t device = *at(side);
    Way& way = settings.ways[static_cast<size_t>(side)];
    way.port = ports[device]->id();
    if (!received[device]) way.receive_queue = receive_queues.queue_of(device, worker);
    received[device] = true;
    way.transmit_queue = transmit_queues.queue_of(device, worker);
    way.sender = transmit_queues.sender_for(device, worker);
    way.is_spread = ports[device]->spreads() && receive_queues.count(device) == workers_count;
    way.takes_injected = transmit_queues.worker_of(device, 0) == worker;
    way.takes_relayed = way.transmit_queue && transmit_queues.count(device) < workers_count;
  }
  return settings;
}

net::Result<void, std::string> Dataplane::State::make_workers(std::span<nat::Shard* const> shards,
                                                              const pipeline::Gateways& gateways, const Clock& clock) {
  for (unsigned worker = 0; worker < workers_count; ++worker) {
    workers.push_back(std::make_unique<WorkerThread>(settings_of(worker), *shards[worker], gateways, clock, phase));
    if (!workers.back()->complete())
      return tl::unexpected("no memory for the rings of worker " + std::to_string(worker) +
                            ": give more with -m in eal");
  }
  for (const auto& worker : workers) worker->connect(workers);
  return {};
}

// Packets come to the queues of their owners where devices can do that; who watches is told of those that cannot.
void Dataplane::State::spread(const nat::Spread& spread) {
  for (size_t at = 0; at < ports.size(); ++at) {
    std::vector<uint16_t> queue_of_worker;
    for (unsigned worker = 0; worker < workers_count; ++worker)
      queue_of_worker.push_back(
          receive_queues.queue_of(at, worker).value_or(static_cast<uint16_t>(worker % receive_queues.count(at))));
    ports[at]->spread(spread, queue_of_worker);
    if (const auto& obstacle = ports[at]->spread_obstacle(); !obstacle.empty() && log)
      log(ports[at]->info().device + " " + obstacle + ": packets cross rings to the workers they belong to");
  }
}

net::Result<void, std::string> Dataplane::State::launch() {
  launched = true;
  for (unsigned worker = 0; worker < workers_count; ++worker)
    if (const int status = rte_eal_remote_launch(run_worker, workers[worker].get(), lcore_of(worker)); status != 0)
      return tl::unexpected("worker " + std::to_string(worker) + " did not start: " + rte_strerror(-status));
  return {};
}

// Until every worker has gone round at least once and none found anything to do meanwhile: then nothing is on its way.
void Dataplane::State::wait_until_quiet() {
  const auto deadline = std::chrono::steady_clock::now() + drain_max;
  struct Rounds {
    uint64_t all, busy;
  };
  const auto look = [this] {
    std::vector<Rounds> rounds;
    for (const auto& worker : workers) {
      const uint64_t idle = worker->counters().polls_idle.read(), all = worker->counters().polls.read();
      rounds.push_back({all, all - idle});
    }
    return rounds;
  };
  for (auto before = look(); std::chrono::steady_clock::now() < deadline;) {
    rte_delay_us_sleep(poll_sleep_us);
    const auto now = look();
    const auto quiet = [](const Rounds& a, const Rounds& b) { return a.busy == b.busy; };
    if (!std::ranges::equal(before, now, quiet))
      before = now;
    else if (std::ranges::equal(before, now, [](const Rounds& a, const Rounds& b) { return b.all >= a.all + 2; }))
      return;
  }
}

void Dataplane::State::end_workers() {
  if (!std::exchange(launched, false)) return;
  phase.store(Phase::draining, std::memory_order_release);
  wait_until_quiet();
  phase.store(Phase::ended, std::memory_order_release);
  for (unsigned worker = 0; worker < workers_count; ++worker) rte_eal_wait_lcore(lcore_of(worker));
}

Dataplane::Dataplane(std::unique_ptr<State> state) : state_(std::move(state)) {}

Dataplane::~Dataplane() { stop(); }

net::Result<std::unique_ptr<Dataplane>, std::string> Dataplane::open(const DataplaneSettings& settings) {
  if (settings.workers == 0 || settings.workers > workers_max)
    return tl::unexpected("workers must be 1-" + std::to_string(workers_max));
  auto plans = plan_ports(settings);
  if (!plans) return tl::unexpected(std::move(plans.error()));
  EalSettings eal{settings.eal, settings.workers, settings.cores, {}, 0};
  for (const auto& port : *plans)
    if (!port.device.is_virtual) eal.pci_devices.push_back(port.device.devargs);
  const auto queues = static_cast<uint32_t>(plans->size()) * settings.workers;
  const auto served = static_cast<uint32_t>(
      std::ranges::count_if(settings.sides, [](const auto& side) { return !side.device.empty(); }));
  eal.memory_bytes =
      frames_needed(settings.workers, served, queues * queue_frames_max, settings.fragments_max) * frame_bytes_max;

  const auto plan = plan_eal(eal, Machine::look());
  if (!plan) return tl::unexpected(plan.error());
  auto started = Eal::start(*plan, settings.log);
  if (!started) return tl::unexpected(std::move(started.error()));
  if (settings.log) settings.log(plan->memory);
  auto state = std::make_unique<State>();
  state->eal = std::move(*started);
  state->workers_count = state->receive_queues.workers = state->transmit_queues.workers = settings.workers;
  state->idle_sleep_us = settings.idle_sleep_us;
  state->fragments_max = settings.fragments_max;
  state->log = settings.log;
  for (const auto& port : *plans)
    if (auto opened = state->open_port(port); !opened) return tl::unexpected(std::move(opened.error()));
  if (auto made = state->make_pools(); !made) return tl::unexpected(std::move(made.error()));
  return std::unique_ptr<Dataplane>(new Dataplane(std::move(state)));
}

net::Result<void, std::string> Dataplane::run(std::span<nat::Shard* const> shards, const pipeline::Gateways& gateways,
                                              const pipeline::Snapshot& snapshot, const Clock& clock) {
  if (shards.size() != workers()) return tl::unexpected(std::string("one shard per worker is needed"));
  if (auto made = state_->make_workers(shards, gateways, clock); !made) return made;
  for (const auto& worker : state_->workers) worker->use(snapshot);
  for (size_t at = 0; at < state_->ports.size(); ++at)
    if (auto started = state_->ports[at]->start(*state_->pool_of[at]); !started) return started;
  state_->spread(snapshot.policy.pool.spread());
  return state_->launch();
}

void Dataplane::stop() {
  state_->end_workers();
  for (const auto& port : state_->ports) port->stop();
}

unsigned Dataplane::workers() const { return state_->workers_count; }
bool Dataplane::has(Side side) const { return state_->at(side).has_value(); }
net::Mac Dataplane::mac(Side side) const { return has(side) ? state_->port(side).mac() : net::Mac{}; }
InterfaceInfo Dataplane::interface(Side side) const { return state_->port(side).info(); }

const pipeline::WorkerCounters& Dataplane::counters(unsigned worker) const {
  return state_->workers[worker]->counters();
}

void Dataplane::swap_snapshot(const pipeline::Snapshot& snapshot) {
  for (const auto& worker : state_->workers) worker->use(snapshot);
  for (const auto& worker : state_->workers)
    while (state_->launched && !worker->uses(snapshot)) rte_delay_us_sleep(poll_sleep_us);
}

bool Dataplane::submit(unsigned worker, const nat::Command& command) {
  return state_->workers[worker]->commands().put(command);
}

size_t Dataplane::poll_results(const ResultHandler& handle, size_t max) {
  size_t handled = 0;
  for (unsigned worker = 0; worker < state_->workers.size(); ++worker) {
    nat::CommandResult result;
    for (; handled < max && state_->workers[worker]->results().take({&result, 1}) == 1; ++handled)
      handle(worker, result);
  }
  return handled;
}

size_t Dataplane::poll_punts(const PuntHandler& handle, size_t max) {
  size_t handled = 0;
  const size_t count = state_->workers.size();
  for (size_t i = 0; i < count; ++i) {
    auto& punts = state_->workers[(state_->next_polled + i) % count]->punts();
    rte_mbuf* frame = nullptr;
    for (; handled < max && punts.take({&frame, 1}) == 1; ++handled) {
      handle({bytes_of(*frame), frame->data_len}, context_of(*frame));
      rte_pktmbuf_free(frame);
    }
  }
  if (count > 0) state_->next_polled = static_cast<unsigned>((state_->next_polled + 1) % count);
  return handled;
}

bool Dataplane::inject(Side side, std::span<const uint8_t> bytes) {
  const auto at = state_->at(side);
  rte_mbuf* frame = at ? rte_pktmbuf_alloc(state_->pool_of[*at]) : nullptr;
  if (frame == nullptr) return false;
  if (bytes.empty() || bytes.size() > rte_pktmbuf_tailroom(frame)) {
    rte_pktmbuf_free(frame);
    return false;
  }
  std::memcpy(bytes_of(*frame), bytes.data(), bytes.size());
  frame->data_len = static_cast<uint16_t>(bytes.size());
  frame->pkt_len = frame->data_len;
  auto& sender = *state_->workers[state_->transmit_queues.worker_of(*at, 0)];
  if (sender.injected(side).put(frame)) return true;
  rte_pktmbuf_free(frame);
  return false;
}

}  // namespace portolan::io
