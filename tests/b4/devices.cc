#include "tests/b4/devices.h"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "dataplane/net/text.h"

namespace portolan::b4 {
namespace {

auto failure(const std::string& what) { return tl::unexpected(what + ": " + std::strerror(errno)); }

ifreq request_for(const std::string& device) {
  ifreq request{};
  device.copy(request.ifr_name, IFNAMSIZ - 1);
  return request;
}

sockaddr ipv4_sockaddr(const char* text) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  inet_pton(AF_INET, text, &address.sin_addr);
  sockaddr out{};
  std::memcpy(&out, &address, sizeof(out));
  return out;
}

sockaddr_in6 ipv6_sockaddr(const net::Ipv6& address) {
  sockaddr_in6 out{};
  out.sin6_family = AF_INET6;
  std::memcpy(&out.sin6_addr, address.bytes.data(), sizeof(out.sin6_addr));
  return out;
}

}  // namespace

OpenResult open_tun(const std::string& name, size_t mtu) {
  if (name.empty() || name.size() >= IFNAMSIZ)
    return tl::unexpected("--tun " + name + ": a device name has 1 to " + std::to_string(IFNAMSIZ - 1) + " characters");
  Descriptor tun{open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)};
  if (tun.get() < 0) return failure("/dev/net/tun (kernel module tun, or the device missing in this container)");
  ifreq request = request_for(name);
  request.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL);
  if (ioctl(tun.get(), TUNSETIFF, &request) < 0) {
    if (errno == EPERM) return tl::unexpected("creating " + name + " needs CAP_NET_ADMIN: run as root");
    if (errno == EBUSY) return tl::unexpected(name + " exists already: choose another --tun");
    return failure("creating " + name);
  }
  const Descriptor control{socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  request = request_for(name);
  request.ifr_mtu = static_cast<int>(mtu);
  if (ioctl(control.get(), SIOCSIFMTU, &request) < 0)
    return failure("setting the MTU of " + name + " to " + std::to_string(mtu));
  return tun;
}

net::Result<void, std::string> bring_up(const std::string& name) {
  const Descriptor control{socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  ifreq request = request_for(name);
  request.ifr_addr = ipv4_sockaddr("192.0.0.2");
  if (ioctl(control.get(), SIOCSIFADDR, &request) < 0) return failure("address 192.0.0.2 on " + name);
  request.ifr_netmask = ipv4_sockaddr("255.255.255.248");
  if (ioctl(control.get(), SIOCSIFNETMASK, &request) < 0) return failure("prefix length 29 on " + name);
  request = request_for(name);
  request.ifr_flags = IFF_UP | IFF_RUNNING | IFF_POINTOPOINT | IFF_NOARP;
  if (ioctl(control.get(), SIOCSIFFLAGS, &request) < 0) return failure("bringing up " + name);

  rtentry route{};
  std::string device = name;
  route.rt_dst = route.rt_genmask = ipv4_sockaddr("0.0.0.0");
  route.rt_flags = RTF_UP;
  route.rt_dev = device.data();
  if (ioctl(control.get(), SIOCADDRT, &route) < 0) return failure("IPv4 default route via " + name);
  return {};
}

OpenResult open_softwire(const net::Ipv6& local) {
  Descriptor softwire{socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_IPIP)};
  if (softwire.get() < 0 && errno == EPERM)
    return tl::unexpected(std::string("a raw socket needs CAP_NET_RAW: run as root"));
  if (softwire.get() < 0) return failure("raw IPv6 socket of protocol 4");
  const int on = 1;
  for (const int option : {IPV6_HDRINCL, IPV6_RECVTCLASS})
    if (setsockopt(softwire.get(), IPPROTO_IPV6, option, &on, sizeof(on)) < 0) return failure("raw IPv6 socket");
  const sockaddr_in6 address = ipv6_sockaddr(local);
  if (bind(softwire.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0)
    return failure("--local " + to_text(local) + (errno == EADDRNOTAVAIL ? " is on no interface" : ""));
  return softwire;
}

net::Result<Arrival, int> receive(const Descriptor& softwire, std::span<uint8_t> space) {
  sockaddr_in6 source{};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  iovec vector{.iov_base = space.data(), .iov_len = space.size()};
  msghdr message{};
  message.msg_name = &source;
  message.msg_namelen = sizeof(source);
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t bytes = recvmsg(softwire.get(), &message, 0);
  if (bytes < 0) return tl::unexpected(errno);
  Arrival arrival{.source = {}, .payload = space.first(static_cast<size_t>(bytes))};
  std::memcpy(arrival.source.bytes.data(), &source.sin6_addr, sizeof(source.sin6_addr));
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_TCLASS) {
    int traffic_class = 0;
    std::memcpy(&traffic_class, CMSG_DATA(header), sizeof(traffic_class));
    arrival.traffic_class = static_cast<uint8_t>(traffic_class);
  }
  return arrival;
}

bool send(const Descriptor& softwire, const net::Ipv6& aftr, std::span<const uint8_t> packet) {
  const sockaddr_in6 address = ipv6_sockaddr(aftr);
  const ssize_t sent = sendto(softwire.get(), packet.data(), packet.size(), 0,
                              reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  return sent == static_cast<ssize_t>(packet.size());
}

}  // namespace portolan::b4
