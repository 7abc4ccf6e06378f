// portolan-b4: a B4 element (RFC 6333 §5) on a TUN device and a raw IPv6 socket. Why: kernels without ip6tnl, and a
// tester that says what it dropped. One thread, one loop; the counters are its only state.
#include <boost/program_options.hpp>
#include <csignal>
#include <fcntl.h>
#include <iostream>
#include <poll.h>
#include <random>
#include <sys/signalfd.h>

#include "dataplane/net/text.h"
#include "tests/b4/devices.h"
#include "tests/b4/encapsulation.h"

namespace portolan::b4 {
namespace {

namespace po = boost::program_options;

constexpr int burst_max = 64;  // packets from one side before the other gets its turn

struct Options {
  std::string tun;
  Tunnel tunnel;
  size_t tun_mtu = 0;
  bool up = false;
};

class B4 {
  Options options_;
  Descriptor tun_, softwire_;
  std::array<uint64_t, std::size(verdict_texts)> counters_{};
  std::array<uint8_t, 65536> buffer_{};
  std::mt19937 fragment_ids_{std::random_device{}()};  // unpredictable enough for a tester (RFC 7739)

  void count(Verdict verdict) { ++counters_[static_cast<size_t>(verdict)]; }
  bool deliver(std::span<const uint8_t> packet) {
    return write(tun_.get(), packet.data(), packet.size()) == static_cast<ssize_t>(packet.size());
  }
  bool upstream();
  bool downstream();

 public:
  B4(Options options, Descriptor tun, Descriptor softwire)
      : options_(std::move(options)), tun_(std::move(tun)), softwire_(std::move(softwire)) {}
  // Until SIGTERM or SIGINT arrives on `signals`.
  void run(const Descriptor& signals);
  void print_counters() const;
};

// One packet from the TUN; false if there was none.
bool B4::upstream() {
  const ssize_t bytes = read(tun_.get(), buffer_.data(), buffer_.size());
  if (bytes <= 0) return false;
  const Upstream result = encapsulate(options_.tunnel, std::span(buffer_).first(static_cast<size_t>(bytes)),
                                      static_cast<uint32_t>(fragment_ids_()));
  bool accepted = result.error.empty() || deliver(result.error);
  for (const Packet& packet : result.outer) accepted &= send(softwire_, options_.tunnel.aftr, packet);
  count(accepted ? result.verdict : Verdict::refused);
  return true;
}

// One packet from the softwire; false if there was none.
bool B4::downstream() {
  const auto arrival = receive(softwire_, buffer_);
  if (!arrival) return arrival.error() != EAGAIN && arrival.error() != EINTR;  // an ICMPv6 error may be pending: go on
  const Downstream result = decapsulate(options_.tunnel, arrival->source, arrival->traffic_class, arrival->payload);
  const bool refused = result.verdict == Verdict::received && !deliver(result.inner);
  count(refused ? Verdict::refused : result.verdict);
  return true;
}

void B4::run(const Descriptor& signals) {
  std::array<pollfd, 3> ready{pollfd{tun_.get(), POLLIN, 0}, {softwire_.get(), POLLIN, 0}, {signals.get(), POLLIN, 0}};
  while (true) {
    if (poll(ready.data(), ready.size(), -1) < 0) continue;
    for (int i = 0; i < burst_max && upstream();) ++i;
    for (int i = 0; i < burst_max && downstream();) ++i;
    signalfd_siginfo info{};
    if (read(signals.get(), &info, sizeof(info)) != sizeof(info)) continue;
    if (info.ssi_signo != SIGUSR1) return;
    print_counters();
  }
}

void B4::print_counters() const {
  for (size_t i = 0; i < counters_.size(); ++i)
    std::cout << verdict_texts[i].name << ' ' << counters_[i] << "  # " << verdict_texts[i].help << '\n';
  std::cout << std::flush;
}

net::Ipv6 address_option(const po::variables_map& values, const char* name) {
  const auto& text = values[name].as<std::string>();
  const auto address = net::parse_ipv6(text);
  if (!address || is_multicast(*address))
    throw po::error(std::string("--") + name + " " + text + ": not an IPv6 unicast address");
  return *address;
}

// Throws po::error with the whole message; none means help was printed.
std::optional<Options> parse_options(int argc, const char* const* argv) {
  Options options;
  po::options_description description("portolan-b4: IPv4-in-IPv6 between a TUN device and an AFTR (RFC 6333)");
  auto add = description.add_options();
  add("help", "print this");
  add("tun", po::value(&options.tun)->required()->value_name("NAME"), "TUN device to create");
  add("local", po::value<std::string>()->required()->value_name("IPV6"), "the B4's address, on one of the interfaces");
  add("aftr", po::value<std::string>()->required()->value_name("IPV6"), "the AFTR's address");
  add("mtu", po::value(&options.tunnel.path_mtu)->default_value(options.tunnel.path_mtu)->value_name("N"),
      "IPv6 path MTU");
  add("tun-mtu", po::value<size_t>()->value_name("N"),
      "MTU of the TUN; by default the tunnel MTU, so that the kernel sends nothing that needs outer fragments");
  add("destination-option",
      po::value(&options.tunnel.encapsulation_limit)->default_value(true, "on")->value_name("on|off"),
      "add the Tunnel Encapsulation Limit option, as Linux ip6tnl does");
  add("up", po::bool_switch(&options.up), "address 192.0.0.2/29 on the TUN and the IPv4 default route into it");
  po::variables_map values;
  po::store(po::parse_command_line(argc, argv, description), values);
  if (values.count("help") != 0) {
    std::cout << description;
    return std::nullopt;
  }
  po::notify(values);
  options.tunnel.local = address_option(values, "local");
  options.tunnel.aftr = address_option(values, "aftr");
  if (options.tunnel.path_mtu < path_mtu_min || options.tunnel.path_mtu > path_mtu_max)
    throw po::error("--mtu: out of range 1280..65535");
  options.tun_mtu = values.count("tun-mtu") != 0 ? values["tun-mtu"].as<size_t>() : tunnel_mtu(options.tunnel);
  return options;
}

// SIGTERM, SIGINT and SIGUSR1 as a descriptor, so that the loop is the only place where anything happens.
Descriptor signal_descriptor() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&set, number);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  return Descriptor{signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)};
}

net::Result<void, std::string> serve(Options options) {
  auto softwire = open_softwire(options.tunnel.local);
  if (!softwire) return tl::unexpected(softwire.error());
  auto tun = open_tun(options.tun, options.tun_mtu);
  if (!tun) return tl::unexpected(tun.error());
  if (options.up) {
    if (auto up = bring_up(options.tun); !up) return up;
  }
  const Descriptor signals = signal_descriptor();
  std::cout << "portolan-b4: " << options.tun << ", " << to_text(options.tunnel.local) << " to "
            << to_text(options.tunnel.aftr) << ", tunnel MTU " << tunnel_mtu(options.tunnel) << std::endl;
  const auto b4 = std::make_unique<B4>(std::move(options), std::move(*tun), std::move(*softwire));
  b4->run(signals);
  b4->print_counters();
  return {};
}

}  // namespace
}  // namespace portolan::b4

int main(int argc, char** argv) {
  try {
    const auto options = portolan::b4::parse_options(argc, argv);
    if (!options) return 0;
    const auto served = portolan::b4::serve(*options);
    if (served) return 0;
    std::cerr << "portolan-b4: " << served.error() << '\n';
  } catch (const boost::program_options::error& error) {
    std::cerr << "portolan-b4: " << error.what() << " (--help lists the options)\n";
  }
  return 1;
}
