#include "bench/generator/device.h"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <unistd.h>

#include "bench/generator/frames.h"

namespace portolan::bench {

namespace {

constexpr unsigned cache = 512;
constexpr std::chrono::milliseconds poll_every{20};
constexpr uint16_t data_room_bytes = RTE_PKTMBUF_HEADROOM + 2048;
static_assert(frame_max_bytes + tunnel_bytes <= 2048);

[[noreturn]] void fail(const std::string& what, int code) {
  throw std::runtime_error(what + " (" + rte_strerror(code < 0 ? -code : code) + ")");
}

// Of a link and direction: both ends of a ring, the cache and its overflow, and what is in hand.
rte_mempool* make_pool(const std::string& name, unsigned descriptors) {
  const unsigned buffers = 4 * descriptors + 2 * cache + 4 * burst_max - 1;
  rte_mempool* pool = rte_pktmbuf_pool_create(name.c_str(), buffers, cache, 0, data_room_bytes, SOCKET_ID_ANY);
  if (pool == nullptr) fail("no memory for frames", rte_errno);
  return pool;
}

// A zero-copy memif closes the files of DPDK's memory when its link comes up (as of DPDK 22.11), and the next one then
// shares whatever has got their numbers. This puts them back.
class MemoryFiles {
  std::map<int, int> copies_;  // by number

  static int add(const rte_memseg_list*, const rte_memseg* segment, void* files) {
    const int number = rte_memseg_get_fd(segment);
    auto& copies = static_cast<MemoryFiles*>(files)->copies_;
    if (number >= 0 && !copies.contains(number)) copies[number] = dup(number);
    return 0;
  }

 public:
  MemoryFiles() { rte_memseg_walk(add, this); }
  ~MemoryFiles() {
    for (const auto& [number, copy] : copies_) close(copy);
  }
  MemoryFiles(const MemoryFiles&) = delete;
  MemoryFiles& operator=(const MemoryFiles&) = delete;

  void put_back() const {
    for (const auto& [number, copy] : copies_)
      if (fcntl(number, F_GETFD) < 0) dup2(copy, number);
  }
};

void fill_body(rte_mempool*, void*, void* object, unsigned) {
  auto* frame = static_cast<rte_mbuf*>(object);
  std::memset(frame->buf_addr, filler, frame->buf_len);
}

}  // namespace

Link::Link(const LinkPlan& plan, std::chrono::seconds patience) : name_(plan.name) {
  if (rte_eth_dev_get_port_by_name(name_.c_str(), &port_) != 0) throw std::runtime_error(name_ + ": no such device");
  receive_pool_ = make_pool("receive " + std::to_string(port_), plan.descriptors);
  send_pool_ = make_pool("send " + std::to_string(port_), plan.descriptors);
  rte_mempool_obj_iter(send_pool_, fill_body, nullptr);
  configure(plan.descriptors);
  start(patience);
  rte_eth_promiscuous_enable(port_);  // memif has no such mode and needs none
  rte_ether_addr address{};
  rte_eth_macaddr_get(port_, &address);
  std::ranges::copy(address.addr_bytes, mac_.bytes.begin());
}

void Link::configure(uint16_t descriptors) {
  const rte_eth_conf conf{};
  const auto socket = static_cast<unsigned>(rte_eth_dev_socket_id(port_));
  if (const int code = rte_eth_dev_configure(port_, 1, 1, &conf); code != 0) fail(name_ + ": not configured", code);
  uint16_t receive_slots = descriptors, send_slots = descriptors;
  rte_eth_dev_adjust_nb_rx_tx_desc(port_, &receive_slots, &send_slots);
  if (const int code = rte_eth_rx_queue_setup(port_, 0, receive_slots, socket, nullptr, receive_pool_); code != 0)
    fail(name_ + ": no receive queue", code);
  if (const int code = rte_eth_tx_queue_setup(port_, 0, send_slots, socket, nullptr); code != 0)
    fail(name_ + ": no transmit queue", code);
}

void Link::start(std::chrono::seconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  MemoryFiles files;
  while (rte_eth_dev_start(port_) != 0) {  // a memif client starts only when its server is there
    if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error(name_ + ": did not start");
    std::this_thread::sleep_for(poll_every);
  }
  while (!is_up()) {
    if (std::chrono::steady_clock::now() > deadline)
      throw std::runtime_error(name_ + ": the link did not come up; is the device at its other end?");
    std::this_thread::sleep_for(poll_every);
  }
  files.put_back();
}

Link::~Link() {
  rte_eth_dev_stop(port_);
  rte_eth_dev_close(port_);
}

bool Link::is_up() const {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(port_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

uint16_t Link::receive(std::span<rte_mbuf*, burst_max> frames) const {
  return rte_eth_rx_burst(port_, 0, frames.data(), burst_max);
}

bool Link::allocate(std::span<rte_mbuf*> frames) const {
  return rte_pktmbuf_alloc_bulk(send_pool_, frames.data(), static_cast<unsigned>(frames.size())) == 0;
}

uint16_t Link::send(std::span<rte_mbuf*> frames) const {
  return rte_eth_tx_burst(port_, 0, frames.data(), static_cast<uint16_t>(frames.size()));
}

void Link::release(std::span<rte_mbuf*> frames) {
  rte_pktmbuf_free_bulk(frames.data(), static_cast<unsigned>(frames.size()));
}

// From the receive side's buffers: those of the send side stay filler.
bool Link::send_copy(std::span<const uint8_t> bytes) const {
  rte_mbuf* frame = rte_pktmbuf_alloc(receive_pool_);
  if (frame == nullptr) return false;
  std::memcpy(rte_pktmbuf_mtod(frame, uint8_t*), bytes.data(), bytes.size());
  frame->data_len = static_cast<uint16_t>(bytes.size());
  frame->pkt_len = frame->data_len;
  if (rte_eth_tx_burst(port_, 0, &frame, 1) == 1) return true;
  rte_pktmbuf_free(frame);
  return false;
}

void start_dpdk(const std::vector<LinkPlan>& links, const std::string& options, unsigned core) {
  static std::vector<std::string> arguments;  // EAL keeps pointers into them
  arguments = {"portolan-bench",
               "-l",
               std::to_string(core),
               "--no-telemetry",
               "--log-level=warning",
               "--file-prefix",
               "portolan-bench-" + std::to_string(getpid())};
  bool with_pci = false;
  for (const auto& link : links) {
    with_pci |= !link.is_virtual;
    arguments.insert(arguments.end(), {link.is_virtual ? "--vdev" : "-a", link.devargs});
  }
  if (!with_pci) arguments.emplace_back("--no-pci");
  std::istringstream words(options);
  for (std::string word; words >> word;) arguments.push_back(word);
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  if (rte_eal_init(static_cast<int>(argv.size()) - 1, argv.data()) < 0) fail("DPDK did not start", rte_errno);
}

void end_dpdk() { rte_eal_cleanup(); }

}  // namespace portolan::bench
