// What PCP costs the control core by itself: MAP requests from datagram to reply, making and renewing, with the
// translator's answer at hand, without and with the store. One thread; the store's own is beside it.
#include <benchmark/benchmark.h>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include "pcp-server/server.h"
#include "pcp-server/store.h"

namespace {

using namespace portolan;
using namespace portolan::pcp;

constexpr uint32_t per_subscriber = 20;
constexpr uint64_t now_s = 1'000'000;
constexpr size_t in_flight_max = 4'096;
constexpr auto idle_wait = std::chrono::microseconds(500);  // of portoland's control thread

struct Asking {
  Message message;
  Source source;
};

Asking request(uint32_t number) {
  const uint32_t subscriber = number / per_subscriber;
  Asking out;
  out.source.b4 = {{0x20, 1, 0xd, 0xb8, static_cast<uint8_t>(subscriber >> 16), static_cast<uint8_t>(subscriber >> 8),
                    static_cast<uint8_t>(subscriber), 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  out.source.inner = net::Ipv4{uint32_t{0x0a00000a}};
  out.source.port = {uint16_t{40000}};
  MapRequest map;
  map.nonce.fill(static_cast<uint8_t>(number));
  map.protocol = net::Protocol::tcp;
  map.internal_port = {static_cast<uint16_t>(5000 + number % per_subscriber)};
  map.lifetime_s = 3600;
  out.message = build_map_request(net::mapped(*out.source.inner), map);
  return out;
}

std::vector<Asking> requests(uint32_t count) {
  std::vector<Asking> out;
  for (uint32_t i = 0; i < count; ++i) out.push_back(request(i * 7919 % count));  // in no order
  return out;
}

Settings settings(bool durable) {
  Settings out;
  out.durable = durable;
  out.requests_per_s = out.requests_burst = 1'000'000;
  out.in_flight_max = in_flight_max;
  return out;
}

CommandResult answer(const Command& command) {
  const net::Endpoint outside{{0xc0000200U + command.key.subscriber.bytes[6]}, command.key.inside_port};
  return {command.ticket, CommandResult::Status::done, outside, command.lifetime_s};
}

void ask(Server& server, const Asking& asking) {
  Effects effects = server.handle(asking.message, asking.source, now_s);
  effects = server.complete(answer(effects.commands.at(0)), now_s);
  benchmark::DoNotOptimize(effects.replies.at(0));
}

void map_create(benchmark::State& state) {
  const auto all = requests(static_cast<uint32_t>(state.range(0)));
  for (auto _ : state) {
    state.PauseTiming();
    auto server = std::make_unique<Server>(settings(false), 0, 1);
    state.ResumeTiming();
    for (const Asking& asking : all) ask(*server, asking);
    state.PauseTiming();
    server.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

void map_renew(benchmark::State& state) {
  const auto all = requests(static_cast<uint32_t>(state.range(0)));
  Server server(settings(false), 0, 1);
  for (const Asking& asking : all) ask(server, asking);
  for (auto _ : state)
    for (const Asking& asking : all) ask(server, asking);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

// Each is acknowledged when it is on disk; as many as the server allows are under way.
void map_durable(benchmark::State& state) {
  const auto all = requests(static_cast<uint32_t>(state.range(0)));
  std::string directory =
      std::string(std::getenv("PORTOLAN_BENCH_DIR") ? std::getenv("PORTOLAN_BENCH_DIR") : "/var/tmp") +
      "/portolan-bench-XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) std::abort();
  {
    auto opened = Store::open(directory + "/pcp.sqlite", now_s);
    if (!opened) std::abort();
    Store& store = *opened->store;
    Server server(settings(true), 0, 1);
    for (auto _ : state) {
      size_t asked = 0, acknowledged = 0;
      while (acknowledged < all.size()) {
        for (; asked < all.size() && server.in_flight() < in_flight_max / 2; ++asked) {
          Effects effects = server.handle(all[asked].message, all[asked].source, now_s);
          effects = server.complete(answer(effects.commands.at(0)), now_s);
          std::vector<Store::Item> items(std::make_move_iterator(effects.changes.begin()),
                                         std::make_move_iterator(effects.changes.end()));
          store.submit(std::move(items));
        }
        const auto outcomes = store.poll();
        if (outcomes.empty()) std::this_thread::sleep_for(idle_wait);  // the store may need this core
        for (const auto& outcome : outcomes) {
          if (!outcome.done) std::abort();
          acknowledged += server.stored(outcome.ticket, true, now_s).replies.size();
        }
      }
    }
  }
  std::filesystem::remove_all(directory);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

BENCHMARK(map_create)->Arg(10'000)->Arg(200'000)->Unit(benchmark::kMillisecond);
BENCHMARK(map_renew)->Arg(10'000)->Arg(200'000)->Unit(benchmark::kMillisecond);
BENCHMARK(map_durable)->Arg(100'000)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
