// Joins pairs of DPDK ports, frame by frame: memif-bridge EAL-ARGUMENTS -- PORT:PORT...
// Why: a memif socket has to be answered by another DPDK process. The lab puts this one between portoland's memif ports
// and the veth ends, so that the same hosts are reached by shared memory. One thread; no state but the ports.
#include <array>
#include <csignal>
#include <ctime>
#include <iostream>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr uint16_t burst_max = 32, ring_slots = 512;
constexpr unsigned mbufs = 8191, mbuf_cache = 256;
constexpr timespec idle_pause{.tv_sec = 0, .tv_nsec = 50'000};  // two cores are shared with the router under test

volatile std::sig_atomic_t stopping = 0;

struct Pair {
  uint16_t a, b;
};

[[noreturn]] void fail(const std::string& text) {
  std::cerr << "memif-bridge: " << text << '\n';
  std::exit(1);
}

uint16_t open_port(const std::string& name, rte_mempool* pool) {
  uint16_t port = 0;
  if (rte_eth_dev_get_port_by_name(name.c_str(), &port) != 0) fail(name + ": no such port; is there a --vdev for it?");
  const rte_eth_conf conf{};
  const int socket = static_cast<int>(rte_socket_id());
  const bool ready = rte_eth_dev_configure(port, 1, 1, &conf) == 0 &&
                     rte_eth_rx_queue_setup(port, 0, ring_slots, static_cast<unsigned>(socket), nullptr, pool) == 0 &&
                     rte_eth_tx_queue_setup(port, 0, ring_slots, static_cast<unsigned>(socket), nullptr) == 0 &&
                     rte_eth_dev_start(port) == 0;
  if (!ready) fail(name + ": cannot be started");
  rte_eth_promiscuous_enable(port);  // the frames are for the MAC of the port on the far side
  return port;
}

std::vector<Pair> open_pairs(int count, char** names) {
  rte_mempool* pool = rte_pktmbuf_pool_create("frames", mbufs, mbuf_cache, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
  if (pool == nullptr) fail("no memory for packets: give EAL more with -m");
  std::vector<Pair> pairs;
  for (int i = 0; i < count; ++i) {
    const std::string_view pair = names[i];
    const size_t colon = pair.find(':');
    if (colon == std::string_view::npos) fail(std::string(pair) + ": not PORT:PORT");
    pairs.push_back(
        {open_port(std::string(pair.substr(0, colon)), pool), open_port(std::string(pair.substr(colon + 1)), pool)});
  }
  if (pairs.empty()) fail("usage: memif-bridge EAL-ARGUMENTS -- PORT:PORT...");
  return pairs;
}

// One burst in one direction; what the far side cannot take is dropped, as a wire would.
uint16_t forward(uint16_t from, uint16_t to) {
  std::array<rte_mbuf*, burst_max> frames;
  const uint16_t received = rte_eth_rx_burst(from, 0, frames.data(), burst_max);
  for (uint16_t i = rte_eth_tx_burst(to, 0, frames.data(), received); i < received; ++i) rte_pktmbuf_free(frames[i]);
  return received;
}

}  // namespace

int main(int argc, char** argv) {
  const int eal_arguments = rte_eal_init(argc, argv);
  if (eal_arguments < 0) fail("EAL did not start");
  for (const int number : {SIGTERM, SIGINT}) std::signal(number, [](int) { stopping = 1; });
  const auto pairs = open_pairs(argc - eal_arguments - 1, argv + eal_arguments + 1);
  while (stopping == 0) {
    int moved = 0;
    for (const Pair& pair : pairs) moved += forward(pair.a, pair.b) + forward(pair.b, pair.a);
    if (moved == 0) nanosleep(&idle_pause, nullptr);
  }
  for (const Pair& pair : pairs)
    for (const uint16_t port : {pair.a, pair.b}) rte_eth_dev_close(port);
  rte_eal_cleanup();
  return 0;
}
