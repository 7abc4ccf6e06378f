#include "dataplane/io/device.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <linux/capability.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace portolan::io {

namespace {

constexpr std::string_view af_packet = "net_af_packet", af_xdp = "net_af_xdp", memif = "net_memif";
constexpr uint16_t af_xdp_mtu_max_bytes = 3000;  // the kernel wants a whole mbuf within a page

// "0000:03:00.0" or "03:00.0", with the domain added; none if it is not a PCI address.
std::optional<std::string> pci_address(std::string_view text) {
  const std::string full = (text.size() == 7 ? "0000:" : "") + std::string(text);
  constexpr std::string_view shape = "xxxx:xx:xx.x";
  const bool matches = std::ranges::equal(full, shape, [](char c, char expected) {
    return expected == 'x' ? std::isxdigit(static_cast<unsigned char>(c)) != 0 : c == expected;
  });
  if (!matches) return std::nullopt;
  return full;
}

std::optional<std::string_view> find_argument(std::string_view arguments, std::string_view key) {
  while (!arguments.empty()) {
    const auto argument = arguments.substr(0, arguments.find(','));
    if (argument.starts_with(key) && argument.substr(key.size()).starts_with('='))
      return argument.substr(key.size() + 1);
    arguments.remove_prefix(std::min(arguments.size(), argument.size() + 1));
  }
  return std::nullopt;
}

void add_default(Device& device, std::string_view key, std::string_view value) {
  if (!find_argument(device.devargs, key)) device.devargs.append(",").append(key).append("=").append(value);
}

void add_defaults(Device& device) {
  if (device.driver == af_packet) {
    // Frames that fit our buffers whatever the MTU, for the driver has the kernel put IPv4 fragments together
    // (PACKET_FANOUT_FLAG_DEFRAG); and blocks of 32 of them: the driver wants no gap, the kernel whole pages.
    add_default(device, "blocksz", "299008");
    add_default(device, "framesz", "9344");
  }
  // Of our buffers' size: only then the driver (DPDK 22.11) copies and frees a burst at once instead of frame by frame.
  if (device.driver == memif) add_default(device, "bsize", "9344");
  if (device.driver == af_xdp) {
    add_default(device, "start_queue", "0");
    add_default(device, "queue_count", "1");
  }
}

bool has_capability(unsigned capability) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3]{};
  if (syscall(SYS_capget, &header, sets) != 0) return geteuid() == 0;
  return (sets[capability / 32].effective >> capability % 32 & 1) != 0;
}

std::optional<std::string> find_missing_capability(const Device& device) {
  std::string missing;
  const auto need = [&missing](unsigned capability, const char* name) {
    if (!has_capability(capability)) missing += missing.empty() ? name : std::string(" and ") + name;
  };
  if (device.driver == af_packet || device.driver == af_xdp) {
    need(CAP_NET_RAW, "CAP_NET_RAW");
    need(CAP_NET_ADMIN, "CAP_NET_ADMIN");
  }
  if (device.driver == af_xdp && !has_capability(CAP_SYS_ADMIN)) need(CAP_BPF, "CAP_BPF");
  if (missing.empty()) return std::nullopt;
  return "device " + device.name + " needs " + missing + ": run as root or grant it (AmbientCapabilities= in systemd)";
}

// Asked of the kernel and not of /sys/class/net, which shows the namespace it was mounted in.
std::optional<std::string> find_interface_obstacle(const Device& device, uint16_t mtu_bytes) {
  const std::string what = "device " + device.name + ": ", &interface = device.interface;
  if (interface.size() >= IFNAMSIZ || if_nametoindex(interface.c_str()) == 0)
    return what + "there is no interface " + interface + " here; 'ip link' lists them";
  ifreq request{};
  std::ranges::copy(interface, request.ifr_name);
  const int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool answered = handle >= 0 && ioctl(handle, SIOCGIFMTU, &request) == 0;
  if (handle >= 0) close(handle);
  if (!answered || request.ifr_mtu >= mtu_bytes) return std::nullopt;
  return what + "mtu " + std::to_string(mtu_bytes) + " is more than interface " + interface + " has: ip link set " +
         interface + " mtu " + std::to_string(mtu_bytes);
}

}  // namespace

net::Result<Device, std::string> parse_device(std::string_view text, uint16_t mtu_bytes) {
  const std::string_view name = text.substr(0, text.find(','));
  Device device;
  device.devargs = text;
  if (const auto address = pci_address(name)) {
    device.name = *address;
    device.devargs.replace(0, name.size(), *address);
  } else if (name.starts_with("net_") || name.starts_with("eth_")) {
    device.name = name;
    device.driver = "net_" + std::string(name.substr(4, name.find_last_not_of("0123456789") + 1 - 4));
    device.is_virtual = true;
  } else {
    return tl::unexpected("device '" + std::string(text) +
                          "' is neither a DPDK virtual device nor a PCI address such as 0000:03:00.0; for the kernel's "
                          "interface NAME write net_af_packet0,iface=NAME");
  }
  if (const auto interface = find_argument(text, "iface")) device.interface = *interface;
  if ((device.driver == af_packet || device.driver == af_xdp) && device.interface.empty())
    return tl::unexpected("device " + device.name + " lacks its interface: write " + device.name + ",iface=NAME");
  if (mtu_bytes > mtu_limit_bytes(device))
    return tl::unexpected("device " + device.name + ": mtu " + std::to_string(mtu_bytes) + " is more than the " +
                          std::to_string(mtu_limit_bytes(device)) + " its buffers hold");
  add_defaults(device);
  return device;
}

std::optional<std::string> find_conflict(std::string_view side, const Device& device, std::string_view other_side,
                                         const Device& other) {
  const std::string both = std::string(side) + " and " + std::string(other_side) + " both ";
  const bool same_interface = !device.interface.empty() && device.interface == other.interface;
  if (same_interface || (device.name == other.name && !device.is_virtual))
    return both + "name " + (same_interface ? device.interface : device.name) +
           ", but not alike: to share it both sides give the same device line, word for word";
  if (device.name == other.name)
    return both + "call their device " + device.name + ": number them, such as " + device.driver + "0 and " +
           device.driver + "1";
  return std::nullopt;
}

std::optional<std::string> find_obstacle(const Device& device, uint16_t mtu_bytes) {
  if (device.is_virtual) {
    auto obstacle = device.interface.empty() ? std::nullopt : find_interface_obstacle(device, mtu_bytes);
    return obstacle ? obstacle : find_missing_capability(device);
  }
  std::error_code error;
  const auto path = std::filesystem::path("/sys/bus/pci/devices") / device.name;
  if (!std::filesystem::exists(path, error))
    return "device " + device.name + ": there is no such PCI device; 'dpdk-devbind.py --status-dev net' lists them";
  return std::nullopt;
}

uint16_t mtu_limit_bytes(const Device& device) {
  return device.driver == af_xdp ? af_xdp_mtu_max_bytes : mtu_max_bytes;
}

}  // namespace portolan::io
