// What the translation table costs by itself: look-ups both ways in bursts of 64 as a worker makes them, and opening
// mappings, at growing fill. One thread, keys visited in an order the prefetcher can't guess.
#include <algorithm>
#include <benchmark/benchmark.h>
#include <chrono>
#include <random>
#include <vector>

#include "dataplane/nat/shard.h"

namespace {

using namespace portolan;

constexpr uint32_t mappings_per_subscriber = 200;
constexpr size_t burst = 64;

nat::ShardSettings settings(uint32_t mappings) {
  nat::ShardSettings out;
  out.mappings_max = mappings + 1;
  out.subscribers_max = mappings / mappings_per_subscriber + 2;
  out.policy.timeouts.quarantine_s = 0;
  const unsigned addresses = std::max(16U, std::bit_ceil(mappings / 32'000U));
  out.policy.pool =
      nat::Pool({{net::Ipv4{0x0a000000}, static_cast<uint8_t>(32 - std::countr_zero(addresses))}}, {}, 256, 1);
  return out;
}

nat::OutboundKey key(uint32_t number) {
  nat::OutboundKey out;
  const uint32_t subscriber = number / mappings_per_subscriber;
  out.subscriber.bytes = {0x20,
                          0x01,
                          0x0d,
                          0xb8,
                          static_cast<uint8_t>(subscriber >> 16),
                          static_cast<uint8_t>(subscriber >> 8),
                          static_cast<uint8_t>(subscriber)};
  out.inside_address = net::Ipv4{0x0a00000a};
  out.inside_port = net::Port{static_cast<uint16_t>(1024 + number % mappings_per_subscriber)};
  out.protocol = net::Protocol::udp;
  return out;
}

struct Filled {
  std::unique_ptr<nat::Shard> shard;
  std::vector<nat::OutboundKey> keys;  // shuffled
  std::vector<net::Endpoint> outside;  // shuffled
};

Filled filled(uint32_t mappings) {
  Filled out{std::move(*nat::Shard::open(settings(mappings), 0)), {}, {}};
  for (uint32_t i = 0; i < mappings; ++i) {
    out.keys.push_back(key(i));
    const auto made = out.shard->open_mapping(out.keys.back(), out.shard->hash(out.keys.back()),
                                              out.keys.back().subscriber, 0, {}, 0);
    if (!made) std::abort();  // the pool above is large enough
    out.outside.push_back((*out.shard)[*made].outside());
  }
  std::mt19937 random(1);
  std::ranges::shuffle(out.keys, random);
  std::ranges::shuffle(out.outside, random);
  return out;
}

void find_outbound(benchmark::State& state) {
  const Filled table = filled(static_cast<uint32_t>(state.range(0)));
  size_t at = 0;
  for (auto _ : state) {
    std::array<uint32_t, burst> hashes;
    if (at + burst > table.keys.size()) at = 0;
    for (size_t i = 0; i < burst; ++i) table.shard->prefetch(hashes[i] = table.shard->hash(table.keys[at + i]));
    for (size_t i = 0; i < burst; ++i) table.shard->prefetch_candidate(hashes[i]);
    for (size_t i = 0; i < burst; ++i) benchmark::DoNotOptimize(table.shard->find(table.keys[at + i], hashes[i]));
    at += burst;
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(burst));
}

void find_inbound(benchmark::State& state) {
  const Filled table = filled(static_cast<uint32_t>(state.range(0)));
  const nat::Pool& pool = table.shard->policy().pool;
  size_t at = 0;
  for (auto _ : state) {
    std::array<uint32_t, burst> numbers;
    if (at + burst > table.outside.size()) at = 0;
    const net::Endpoint* ends = table.outside.data() + at;
    for (size_t i = 0; i < burst; ++i) {
      numbers[i] = *pool.number_of(ends[i].address);
      table.shard->prefetch_inbound(numbers[i], net::Protocol::udp, ends[i].port);
    }
    for (size_t i = 0; i < burst; ++i)
      benchmark::DoNotOptimize(table.shard->find_inbound(numbers[i], net::Protocol::udp, ends[i].port));
    at += burst;
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(burst));
}

void open_mapping(benchmark::State& state) {
  const auto mappings = static_cast<uint32_t>(state.range(0));
  for (auto _ : state) {
    state.PauseTiming();
    auto shard = std::move(*nat::Shard::open(settings(mappings), 0));
    state.ResumeTiming();
    for (uint32_t i = 0; i < mappings; ++i) {
      const auto wanted = key(i);
      benchmark::DoNotOptimize(shard->open_mapping(wanted, shard->hash(wanted), wanted.subscriber, 0, {}, 0));
    }
    state.PauseTiming();
    shard.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * mappings);
}

// All mappings are due in the same second, and expire() ends them a few at a time as between two bursts; then their
// rest is over at once, and it gives their records and ports back. The counters are of single calls.
void expire_all(benchmark::State& state) {
  const auto budget = static_cast<uint32_t>(state.range(1));
  const auto mappings = static_cast<uint32_t>(state.range(0));
  std::vector<double> steps_us;
  for (auto _ : state) {
    state.PauseTiming();
    Filled table = filled(mappings);
    state.ResumeTiming();
    for (uint32_t now_s = 300; table.shard->mappings_live() + table.shard->mappings_held() > 0; ++now_s)
      for (uint32_t looked_at = budget; looked_at == budget;) {
        const auto start = std::chrono::steady_clock::now();
        looked_at = table.shard->expire(now_s, budget);
        steps_us.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
      }
  }
  std::ranges::sort(steps_us);
  const auto at = [&](double share) {
    return steps_us[static_cast<size_t>(share * static_cast<double>(steps_us.size() - 1))];
  };
  state.counters["step_us_p50"] = at(0.5);
  state.counters["step_us_p99"] = at(0.99);
  state.counters["step_us_max"] = at(1);
  state.SetItemsProcessed(state.iterations() * mappings);
}

BENCHMARK(find_outbound)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);
BENCHMARK(find_inbound)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);
BENCHMARK(open_mapping)->Arg(1'000)->Arg(100'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);
BENCHMARK(expire_all)
    ->ArgsProduct({{100'000, 1'000'000},
                   {nat::Shard::tended_busy_max, nat::Shard::tended_max, nat::Shard::tended_too_late_max}})
    ->Unit(benchmark::kMillisecond);

}  // namespace
