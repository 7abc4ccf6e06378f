#include "dataplane_fixture.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "dataplane/net/text.h"

namespace portolan::io::test {

using pipeline::Side;
using pipeline::WorkerCounters;

void in_child(const std::function<void()>& body) {
  std::fflush(nullptr);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    try {
      body();
    } catch (const std::exception& failure) {
      ADD_FAILURE() << failure.what();
    }
    std::fflush(nullptr);
    std::exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

void wait_until(const std::function<bool()>& condition, const char* what) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) {
      ADD_FAILURE() << "never: " << what;
      return;
    }
    std::this_thread::yield();
  }
}

Folder::Folder() {
  std::string name = (std::filesystem::temp_directory_path() / "portolan-io-XXXXXX").string();
  path_ = mkdtemp(name.data());
}
Folder::~Folder() { std::filesystem::remove_all(path_); }

Bench::Bench(unsigned workers_count) : workers(workers_count), snapshot(std::make_unique<pipeline::Snapshot>()) {
  const nat::Pool pool({*net::parse_ipv4_prefix("192.0.2.0/30")}, {1024, 65535}, 256, workers);
  snapshot->access.mac = access_mac;
  snapshot->access.address = *net::parse_ipv6_interface("2001:db8:0:1::1/64");
  snapshot->internet.mac = internet_mac;
  snapshot->internet.address = *net::parse_ipv4_interface("198.51.100.1/24");
  snapshot->softwire.aftr_addresses = {*net::parse_ipv6("2001:db8:a::1")};
  snapshot->softwire.allowed_prefixes = {{}};
  snapshot->policy.pool = pool;
  snapshot->opened_per_burst_max = 1000;
  gateways.access.set(access_gateway_mac);
  gateways.internet.set(internet_gateway_mac);
  for (unsigned worker = 0; worker < workers; ++worker) {
    nat::ShardSettings settings;
    settings.worker = worker;
    settings.workers = workers;
    settings.mappings_max = 10'000;
    settings.subscribers_max = 1'000;
    settings.policy.pool = pool;
    auto shard = nat::Shard::open(settings, clock.now_s());
    if (!shard) throw std::runtime_error(shard.error());
    shards.push_back(std::move(*shard));
  }
}

std::string Bench::capture_device(Side side, const std::vector<std::vector<Frame>>& queues, bool for_ever,
                                  unsigned transmit_queues) {
  const std::string name = side == Side::access ? "access" : "internet";
  std::string device = side == Side::access ? "net_pcap0" : "net_pcap1";
  for (size_t queue = 0; queue < queues.size(); ++queue) {
    const std::string path = folder / (name + "-in" + std::to_string(queue));
    write_capture(path, queues[queue]);
    device += ",rx_pcap=" + path;
  }
  for (unsigned queue = 0; queue < transmit_queues; ++queue)
    device += ",tx_pcap=" + (folder / (name + "-out" + std::to_string(queue)));
  return device + (for_ever ? ",infinite_rx=1" : "");
}

std::vector<Frame> Bench::sent(Side side, unsigned transmit_queues) const {
  std::vector<Frame> frames;
  for (unsigned queue = 0; queue < transmit_queues; ++queue) {
    const std::string name = side == Side::access ? "access-out" : "internet-out";
    const auto more = read_capture(folder / (name + std::to_string(queue)));
    frames.insert(frames.end(), more.begin(), more.end());
  }
  return frames;
}

void Bench::open(const std::string& access, const std::string& internet) {
  DataplaneSettings settings;
  settings.workers = workers;
  settings.sides[0].device = access;
  settings.sides[1].device = internet;
  auto opened = Dataplane::open(settings);
  if (!opened) throw std::runtime_error(opened.error());
  dataplane = std::move(*opened);
}

void Bench::run() {
  std::vector<nat::Shard*> pointers;
  for (const auto& shard : shards) pointers.push_back(shard.get());
  if (const auto running = dataplane->run(pointers, gateways, *snapshot, clock); !running)
    throw std::runtime_error(running.error());
}

uint64_t Bench::total(const std::function<uint64_t(const WorkerCounters&)>& value) const {
  uint64_t sum = 0;
  for (unsigned worker = 0; worker < workers; ++worker) sum += value(dataplane->counters(worker));
  return sum;
}

uint64_t Bench::received() const {
  return total([](const auto& c) {
    uint64_t sum = 0;
    for (const auto& side : c.sides) sum += side.received.read();
    return sum;
  });
}
uint64_t Bench::sent_packets() const {
  return total([](const auto& c) {
    uint64_t sum = 0;
    for (const auto& side : c.sides) sum += side.sent.read();
    return sum;
  });
}
uint64_t Bench::punted() const {
  return total([](const auto& c) {
    uint64_t sum = 0;
    for (const auto& counter : c.punted) sum += counter.read();
    return sum;
  });
}
uint64_t Bench::handed_out() const {
  return total([](const auto& c) { return c.handed_out.read(); });
}
uint64_t Bench::dropped() const {
  return total([](const auto& c) {
    uint64_t sum = 0;
    for (const auto& counter : c.dropped.packets) sum += counter.read();
    return sum;
  });
}
uint64_t Bench::dropped(nat::Verdict verdict) const {
  return total([verdict](const auto& c) { return c.dropped[verdict].read(); });
}

int64_t Bench::on_their_way() const {
  const uint64_t in = received() + total([](const auto& c) {
                        return c.handed_in.read() + c.injected.read() + c.fragments_made.read() + c.reassembled.read() +
                               c.syns_released.read();
                      });
  const uint64_t kept = total([](const auto& c) { return c.joined.read() + c.waiting.read(); });
  return static_cast<int64_t>(in - (sent_packets() + punted() + handed_out() + dropped() + kept));
}

}  // namespace portolan::io::test
