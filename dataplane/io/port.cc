#include "dataplane/io/port.h"

#include <algorithm>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include "dataplane/io/eal.h"

namespace portolan::io {

namespace {

constexpr uint16_t descriptors = 512;
constexpr uint16_t data_room_usual_bytes = mtu_max_bytes + 128 + RTE_PKTMBUF_HEADROOM;  // 128: link layer and spare
constexpr uint16_t data_room_af_xdp_bytes = 3584;  // with the mbuf's own 256 octets within a page, as AF_XDP demands
constexpr uint32_t af_xdp_frames_held = 4096;      // its fill and completion rings, whatever descriptors are asked for

rte_eth_dev_info info_of(uint16_t port) {
  rte_eth_dev_info info{};
  rte_eth_dev_info_get(port, &info);
  return info;
}

// With DPDK's own words, the only place where a driver says why.
std::string error_text(const Port::Plan& plan, const std::string& what, int code) {
  std::string text = std::string(to_text(plan.sides.front())) + " device " + plan.device.name + ": " + what;
  if (code != 0) text += std::string(" (") + rte_strerror(std::abs(code)) + ")";
  if (const auto words = Eal::take_words(); !words.empty()) text += ": " + words;
  return text;
}

}  // namespace

std::string Port::error(const std::string& what, int code) const { return error_text(plan_, what, code); }

net::Result<std::unique_ptr<Port>, std::string> Port::open(Plan plan, unsigned workers) {
  const Device& device = plan.device;
  const auto fail = [&](const std::string& what, int code) { return tl::unexpected(error_text(plan, what, code)); };
  Eal::forget_words();
  if (device.is_virtual) {
    const int status = rte_dev_probe(device.devargs.c_str());
    if (status == -ENOTSUP || status == -ENODEV || status == -EFAULT)  // the last: no bus knows the name
      return fail("there is no driver " + device.driver + "; Debian has DPDK's drivers in the packages librte-net-*",
                  0);
    if (status != 0) return fail("the driver refused '" + device.devargs + "'", status);
  }
  uint16_t id = 0;
  if (rte_eth_dev_get_port_by_name(device.name.c_str(), &id) != 0)
    return fail("DPDK has no driver for it, or the kernel's driver still holds it ('dpdk-devbind.py --status-dev net')",
                0);
  auto port = std::unique_ptr<Port>(new Port(std::move(plan), id));
  const auto info = info_of(id);
  port->receive_queues_ =
      static_cast<uint16_t>(std::clamp<unsigned>(workers, 1, std::max<unsigned>(info.max_rx_queues, 1)));
  port->transmit_queues_ =
      static_cast<uint16_t>(std::clamp<unsigned>(workers, 1, std::max<unsigned>(info.max_tx_queues, 1)));
  if (auto configured = port->configure(); !configured) return tl::unexpected(configured.error());
  return port;
}

Port::~Port() {
  stop();
  rte_eth_dev_close(id_);
}

// DPDK's MTU is of layer 3 too, but a driver that leaves no room for a tag in its frames would cut tagged ones short.
uint16_t Port::device_mtu_bytes() const {
  constexpr uint32_t untagged_bytes = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN, tag_bytes = RTE_VLAN_HLEN;
  const auto info = info_of(id_);
  const bool known = info.max_mtu != 0 && info.max_mtu != UINT16_MAX && info.max_rx_pktlen > info.max_mtu;
  const bool has_room = !known || info.max_rx_pktlen - info.max_mtu >= untagged_bytes + tag_bytes;
  return static_cast<uint16_t>(plan_.mtu_bytes + (plan_.tagged && !has_room ? tag_bytes : 0));
}

// Nothing is offloaded: a NIC that computes checksums would repair an inner one that is wrong (DSL-018).
net::Result<void, std::string> Port::configure() {
  const auto info = info_of(id_);
  const bool sets_mtu = plan_.device.interface.empty();
  const uint16_t mtu_bytes = device_mtu_bytes();
  if (sets_mtu && (mtu_bytes < info.min_mtu || (info.max_mtu != 0 && mtu_bytes > info.max_mtu)))
    return tl::unexpected(error("mtu " + std::to_string(mtu_bytes) + " is outside its " + std::to_string(info.min_mtu) +
                                    "-" + std::to_string(info.max_mtu),
                                0));
  rte_eth_conf conf{};
  if (sets_mtu) conf.rxmode.mtu = mtu_bytes;
  if (receive_queues_ > 1) conf.rx_adv_conf.rss_conf.rss_hf = hash_types();
  if (conf.rx_adv_conf.rss_conf.rss_hf != 0) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rxmode.offloads |= info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_RSS_HASH;  // so that it can be compared with ours
  }
  if (const int status = rte_eth_dev_configure(id_, receive_queues_, transmit_queues_, &conf); status != 0)
    return tl::unexpected(error("refuses " + std::to_string(receive_queues_) + " receive and " +
                                    std::to_string(transmit_queues_) + " transmit queues",
                                status));
  receive_descriptors_ = transmit_descriptors_ = descriptors;
  rte_eth_dev_adjust_nb_rx_tx_desc(id_, &receive_descriptors_, &transmit_descriptors_);
  return {};
}

net::Result<void, std::string> Port::set_up_queues(rte_mempool& pool) {
  const auto node = static_cast<unsigned>(rte_eth_dev_socket_id(id_));
  for (uint16_t queue = 0; queue < receive_queues_; ++queue)
    if (const int status = rte_eth_rx_queue_setup(id_, queue, receive_descriptors_, node, nullptr, &pool); status != 0)
      return tl::unexpected(error("receive queue " + std::to_string(queue) + " failed", status));
  for (uint16_t queue = 0; queue < transmit_queues_; ++queue)
    if (const int status = rte_eth_tx_queue_setup(id_, queue, transmit_descriptors_, node, nullptr); status != 0)
      return tl::unexpected(error("transmit queue " + std::to_string(queue) + " failed", status));
  return {};
}

net::Result<void, std::string> Port::set_mtu() {
  if (!plan_.device.interface.empty()) return {};  // find_obstacle() has looked at the kernel's
  const int status = rte_eth_dev_set_mtu(id_, device_mtu_bytes());
  if (status != 0 && status != -ENOTSUP)
    return tl::unexpected(error("mtu " + std::to_string(device_mtu_bytes()) + " was refused", status));
  return {};
}

net::Result<void, std::string> Port::start(rte_mempool& pool) {
  Eal::forget_words();
  if (auto done = set_up_queues(pool); !done) return done;
  if (auto done = set_mtu(); !done) return done;
  if (const int status = rte_eth_dev_start(id_); status != 0) return tl::unexpected(error("did not start", status));
  started_ = true;
  // Where there is such a mode, the device must be in it: addresses are answered for that are not its own.
  if (const int status = rte_eth_promiscuous_enable(id_); status != 0 && status != -ENOTSUP)
    return tl::unexpected(error("promiscuous mode was refused", status));
  if (const int status = rte_eth_allmulticast_enable(id_); status != 0 && status != -ENOTSUP)
    return tl::unexpected(error("all-multicast mode was refused", status));
  return {};
}

void Port::stop() {
  if (!started_) return;
  rte_eth_dev_stop(id_);
  started_ = false;
}

int Port::socket() const {
  const int node = rte_eth_dev_socket_id(id_);
  return node < 0 ? SOCKET_ID_ANY : node;
}

uint32_t Port::frames_held_max() const {
  const uint32_t receive = plan_.device.driver == "net_af_xdp" ? af_xdp_frames_held : receive_descriptors_;
  return receive_queues_ * receive + uint32_t{transmit_queues_} * transmit_descriptors_;
}

uint16_t Port::data_room_bytes() const {
  return plan_.device.driver == "net_af_xdp" ? data_room_af_xdp_bytes : data_room_usual_bytes;
}

net::Mac Port::mac() const {
  rte_ether_addr address{};
  rte_eth_macaddr_get(id_, &address);
  net::Mac mac;
  std::ranges::copy(address.addr_bytes, mac.bytes.begin());
  return mac;
}

InterfaceInfo Port::info() const {
  rte_eth_link link{};
  rte_eth_link_get_nowait(id_, &link);
  rte_eth_stats stats{};
  rte_eth_stats_get(id_, &stats);
  const auto device = info_of(id_);
  InterfaceInfo info;
  info.device = plan_.device.name;
  info.driver = device.driver_name == nullptr ? "" : device.driver_name;
  info.interface = plan_.device.interface;
  info.mac = mac();
  info.mtu_bytes = plan_.mtu_bytes;
  info.link_up = link.link_status == RTE_ETH_LINK_UP;
  info.speed_mbps = link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : link.link_speed;
  info.numa_node = socket();
  info.receive_queues = receive_queues_;
  info.spread = spread_text();
  info.transmit_queues = transmit_queues_;
  info.received = stats.ipackets;
  info.received_bytes = stats.ibytes;
  info.sent = stats.opackets;
  info.sent_bytes = stats.obytes;
  info.missed = stats.imissed;
  info.no_buffer = stats.rx_nombuf;
  info.receive_errors = stats.ierrors;
  info.transmit_errors = stats.oerrors;
  return info;
}

}  // namespace portolan::io
