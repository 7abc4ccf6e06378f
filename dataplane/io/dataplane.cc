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

namespace {

constexpr std::array sides{Side::access, Side::internet};
constexpr unsigned pool_cache = 256;
constexpr unsigned poll_sleep_us = 20;  // while waiting for workers
constexpr std::chrono::seconds drain_max{1};
constexpr uint64_t frame_bytes_max = 10'000;       // a buffer of the largest kind with its header
constexpr uint32_t queue_frames_max = 4096 + 512;  // of one worker's queues on one side, whatever the device

struct FreePool {
  void operator()(rte_mempool* pool) const { rte_mempool_free(pool); }
};
using Pool = std::unique_ptr<rte_mempool, FreePool>;

// Every buffer that may be somewhere else than in the pool, so that a full ring never starves a receive queue.
uint32_t frames_needed(unsigned workers, uint32_t held_by_ports) {
  constexpr uint32_t in_hand = 2 * (pipeline::burst_max + pipeline::fragments_max);
  constexpr uint32_t cached = pool_cache + pool_cache / 2;  // rte_mempool flushes at 1.5 times its cache
  const uint32_t to_others = workers > 1 ? handovers_max + 2 * relayed_max : 0;
  return held_by_ports + 2 * injected_max + workers * (punts_max + in_hand + to_others) + (workers + 1) * cached;
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
  uint32_t idle_sleep_us = 0;
  std::vector<Pool> pools;
  std::array<rte_mempool*, 2> pool_of{};  // by Side
  std::atomic<Phase> phase = Phase::running;
  std::vector<std::unique_ptr<WorkerThread>> workers;
  std::array<std::unique_ptr<Port>, 2> ports;  // by Side
  QueueMap receive_queues, transmit_queues;
  bool launched = false;
  unsigned next_polled = 0;  // worker whose punts come first

  Port& port(Side side) { return *ports[static_cast<size_t>(side)]; }
  rte_mempool& pool(Side side) { return *pool_of[static_cast<size_t>(side)]; }

  net::Result<void, std::string> open_port(Side side, const Device& device, uint16_t mtu_bytes);
  net::Result<void, std::string> make_pools();
  [[nodiscard]] WorkerSettings settings_of(unsigned worker);
  net::Result<void, std::string> make_workers(std::span<nat::Shard* const> shards, const pipeline::Gateways& gateways,
                                              const Clock& clock);
  net::Result<void, std::string> launch();
  void wait_until_quiet();
  void end_workers();
};

net::Result<void, std::string> Dataplane::State::open_port(Side side, const Device& device, uint16_t mtu_bytes) {
  auto opened = Port::open(device, side, mtu_bytes, workers_count);
  if (!opened) return tl::unexpected(std::move(opened.error()));
  const auto at = static_cast<size_t>(side);
  ports[at] = std::move(*opened);
  receive_queues.queues[at] = ports[at]->receive_queues();
  transmit_queues.queues[at] = ports[at]->transmit_queues();
  return {};
}

// One pool, unless the sides want different buffers or lie on different NUMA nodes.
net::Result<void, std::string> Dataplane::State::make_pools() {
  const uint32_t frames =
      frames_needed(workers_count, port(Side::access).frames_held_max() + port(Side::internet).frames_held_max());
  for (const Side side : sides) {
    const Port& owner = port(side);
    const Port& first = port(Side::access);
    const bool alike = owner.data_room_bytes() == first.data_room_bytes() && owner.socket() == first.socket();
    if (side == Side::access || !alike) {
      const std::string name = "portolan" + std::to_string(pools.size());
      pools.emplace_back(rte_pktmbuf_pool_create(name.c_str(), frames, pool_cache, mbuf_private_bytes,
                                                 owner.data_room_bytes(), owner.socket()));
      if (!pools.back())
        return tl::unexpected("no memory for " + std::to_string(frames) + " packet buffers of " +
                              std::to_string(owner.data_room_bytes()) + " octets (" + rte_strerror(rte_errno) +
                              "): give more with -m in eal, or reserve hugepages");
    }
    pool_of[static_cast<size_t>(side)] = pools.back().get();
  }
  return {};
}

WorkerSettings Dataplane::State::settings_of(unsigned worker) {
  WorkerSettings settings;
  settings.index = worker;
  settings.workers = workers_count;
  settings.idle_sleep_us = idle_sleep_us;
  settings.socket = port(Side::access).socket();
  const bool access_is_larger = port(Side::access).data_room_bytes() >= port(Side::internet).data_room_bytes();
  settings.pool = &pool(access_is_larger ? Side::access : Side::internet);
  for (const Side side : sides) {
    Way& way = settings.ways[static_cast<size_t>(side)];
    way.port = port(side).id();
    way.receive_queue = receive_queues.queue_of(side, worker);
    way.transmit_queue = transmit_queues.queue_of(side, worker);
    way.takes_injected = transmit_queues.worker_of(side, 0) == worker;
    way.takes_relayed = way.transmit_queue && transmit_queues.count(side) < workers_count;
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
  for (unsigned worker = 0; worker < workers_count; ++worker)
    workers[worker]->connect(workers, {transmit_queues.sender_for(Side::access, worker),
                                       transmit_queues.sender_for(Side::internet, worker)});
  return {};
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
  std::array<Device, 2> devices;
  EalSettings eal{settings.eal, settings.workers, settings.cores, {}, 0};
  for (const Side side : sides) {
    const PortSettings& port = side == Side::access ? settings.access : settings.internet;
    auto device = parse_device(port.device, port.mtu_bytes);
    if (!device) return tl::unexpected(std::move(device.error()));
    if (auto obstacle = find_obstacle(*device, port.mtu_bytes)) return tl::unexpected(std::move(*obstacle));
    if (!device->is_virtual) eal.pci_devices.push_back(device->devargs);
    devices[static_cast<size_t>(side)] = std::move(*device);
  }
  if (auto conflict = find_conflict(devices[0], devices[1])) return tl::unexpected(std::move(*conflict));
  eal.memory_bytes = frames_needed(settings.workers, 2 * settings.workers * queue_frames_max) * frame_bytes_max;

  const auto plan = plan_eal(eal, Machine::look());
  if (!plan) return tl::unexpected(plan.error());
  auto started = Eal::start(*plan, settings.log);
  if (!started) return tl::unexpected(std::move(started.error()));
  if (settings.log) settings.log(plan->memory);
  auto state = std::make_unique<State>();
  state->eal = std::move(*started);
  state->workers_count = state->receive_queues.workers = state->transmit_queues.workers = settings.workers;
  state->idle_sleep_us = settings.idle_sleep_us;
  for (const Side side : sides) {
    const PortSettings& port = side == Side::access ? settings.access : settings.internet;
    auto opened = state->open_port(side, devices[static_cast<size_t>(side)], port.mtu_bytes);
    if (!opened) return tl::unexpected(std::move(opened.error()));
  }
  if (auto made = state->make_pools(); !made) return tl::unexpected(std::move(made.error()));
  return std::unique_ptr<Dataplane>(new Dataplane(std::move(state)));
}

net::Result<void, std::string> Dataplane::run(std::span<nat::Shard* const> shards, const pipeline::Gateways& gateways,
                                              const pipeline::Snapshot& snapshot, const Clock& clock) {
  if (shards.size() != workers()) return tl::unexpected(std::string("one shard per worker is needed"));
  if (auto made = state_->make_workers(shards, gateways, clock); !made) return made;
  for (const auto& worker : state_->workers) worker->use(snapshot);
  for (const Side side : sides)
    if (auto started = state_->port(side).start(state_->pool(side)); !started) return started;
  return state_->launch();
}

void Dataplane::stop() {
  state_->end_workers();
  for (const auto& port : state_->ports) port->stop();
}

unsigned Dataplane::workers() const { return state_->workers_count; }
net::Mac Dataplane::mac(Side side) const { return state_->port(side).mac(); }
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
  rte_mbuf* frame = rte_pktmbuf_alloc(&state_->pool(side));
  if (frame == nullptr) return false;
  if (bytes.empty() || bytes.size() > rte_pktmbuf_tailroom(frame)) {
    rte_pktmbuf_free(frame);
    return false;
  }
  std::memcpy(bytes_of(*frame), bytes.data(), bytes.size());
  frame->data_len = static_cast<uint16_t>(bytes.size());
  frame->pkt_len = frame->data_len;
  auto& sender = *state_->workers[state_->transmit_queues.worker_of(side, 0)];
  if (sender.injected(side).put(frame)) return true;
  rte_pktmbuf_free(frame);
  return false;
}

}  // namespace portolan::io
