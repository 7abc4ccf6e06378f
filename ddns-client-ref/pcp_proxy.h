// The PCP proxy of RFC 7648 as a B4 needs it: no NAT stands here, so a host's request goes on to the AFTR as it is,
// with THIRD_PARTY naming the host, and the answer comes back without it (§3.3). Hosts then speak PCP to their gateway
// and need to know nothing of softwires. A pure state machine: datagrams and time go in, datagrams come out.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ddns-client-ref/boot_time.h"
#include "ddns-client-ref/pcp_client.h"

namespace portolan::ddns {

class PcpProxy {
 public:
  static constexpr size_t pending_max = 256, mappings_max = 1024;
  static constexpr double requests_per_s = 50, burst = 100;  // of all hosts together

  // `relay_unknown`: opcodes and mandatory options nobody here knows go on to the server (§3.4), and are refused
  // otherwise.
  explicit PcpProxy(Time now, bool relay_unknown = true)
      : relay_unknown_(relay_unknown), epoch_began_(now), refilled_(now) {}

  // The address requests go on from; empty: there is no path.
  void move_to(const std::optional<net::Ipv6>& own_address);
  void from_host(std::span<const uint8_t> request, const PcpPeer& host, Time now);
  // What comes from the server, the answers to others too: only the hosts' are passed on.
  void from_server(std::span<const uint8_t> response, Time now);
  void tick(Time now);
  [[nodiscard]] Time next_timer() const;

  std::vector<pcp::Message> take_upstream();
  struct Downstream {
    PcpPeer to;
    pcp::Message bytes;
  };
  std::vector<Downstream> take_downstream();

 private:
  struct Pending {
    std::string key;
    PcpPeer host;
    Time until;
    std::vector<uint8_t> options{};  // of the host's request
  };
  struct Mapping {
    net::Ipv6 host;
    Time expires;
    std::vector<uint8_t> options{};  // as it was asked for last
    pcp::Message answer{};           // as the host got it; empty: the server must be asked
  };

  [[nodiscard]] std::optional<pcp::Code> judge(const pcp::Request& request, std::span<const uint8_t> bytes,
                                               const PcpPeer& host) const;
  // A mapping that is there for three quarters of what is asked is answered from here (§3). False: it is not.
  bool answer_from_table(const pcp::Request& request, std::span<const uint8_t> bytes, const PcpPeer& host, Time now);
  void relay(const pcp::Request& request, std::span<const uint8_t> bytes, const PcpPeer& host, Time now);
  void from_server_unknown(std::span<const uint8_t> bytes, Time now);
  void pass_down(const PcpPeer& to, pcp::Message answer, Time now);
  void forget_answers();
  void refuse(std::span<const uint8_t> request, const PcpPeer& host, pcp::Code code, bool parsed, Time now);
  bool take_token(Time now);
  void check_epoch(uint32_t server_epoch_s, Time now);
  [[nodiscard]] uint32_t epoch_s(Time now) const;

  bool relay_unknown_;
  std::optional<net::Ipv6> own_address_;
  Time epoch_began_;
  EpochCheck server_epoch_;
  std::vector<Pending> pending_;             // in the order they came
  std::map<std::string, Mapping> mappings_;  // by what tells them apart
  Time announce_at_ = never;
  Duration announce_gap_{};
  unsigned announcements_left_ = 0;
  double tokens_ = burst;
  Time refilled_;
  std::vector<pcp::Message> upstream_;
  std::vector<Downstream> downstream_;
};

}  // namespace portolan::ddns
