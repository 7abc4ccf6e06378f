// The kernel's side of a B4: the TUN device and the raw IPv6 socket of protocol 4. Why apart from main.cc: every call
// that needs a privilege is here, with the message that says which. The TUN lives as long as its descriptor.
#pragma once

#include <span>
#include <string>
#include <unistd.h>
#include <utility>

#include "dataplane/net/result.h"
#include "tests/b4/encapsulation.h"

namespace portolan::b4 {

class Descriptor {
  int fd_ = -1;

 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }
};

// Errors are whole sentences for standard error.
using OpenResult = net::Result<Descriptor, std::string>;

// Creates the TUN `name` with `mtu`, down and without address.
OpenResult open_tun(const std::string& name, size_t mtu);
// Address 192.0.0.2/29 (RFC 6333 §5.7), up, and the IPv4 default route into it.
net::Result<void, std::string> bring_up(const std::string& name);
// Sends whole IPv6 packets from, and receives protocol 4 for, `local`.
OpenResult open_softwire(const net::Ipv6& local);

struct Arrival {
  net::Ipv6 source;
  uint8_t traffic_class = 0;
  std::span<uint8_t> payload;  // within `space`; after the IPv6 headers, reassembled by the kernel
};
net::Result<Arrival, int> receive(const Descriptor& softwire, std::span<uint8_t> space);
[[nodiscard]] bool send(const Descriptor& softwire, const net::Ipv6& aftr, std::span<const uint8_t> packet);

}  // namespace portolan::b4
