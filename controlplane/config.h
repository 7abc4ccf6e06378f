// What portoland was told to do, typed. A Config in hand came through config_file.h and is complete and consistent;
// it is never changed afterwards, a reload makes another. The defaults are these initialisers and stand nowhere else;
// names, ranges and help are the rows of settings.cc.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/nat/policy.h"
#include "dataplane/net/types.h"
#include "dataplane/pipeline/pass_through.h"

namespace portolan::control {

struct PortRange {
  uint16_t first = 0, last = 0;  // both included
  [[nodiscard]] uint32_t size() const { return uint32_t{last} - first + 1; }
  friend bool operator==(const PortRange&, const PortRange&) = default;
};

// What a SYN's MSS is lowered to: what the softwire's MTU leaves, nothing, or a number (RFC 8513 mss-clamping).
struct MssClamp {
  enum class Mode : uint8_t { automatic, off, fixed };
  Mode mode = Mode::automatic;
  uint16_t bytes = 0;  // Mode::fixed only
  friend bool operator==(const MssClamp&, const MssClamp&) = default;
};

using nat::Filtering;
enum class DfPolicy : uint8_t { icmp, outer_fragment };       // RFC 2473 §7.2(a), RFC 6333 §6.3
enum class UnsolicitedSyn : uint8_t { drop, icmp_after_6s };  // RFC 5382 REQ-4
enum class LogLevel : uint8_t { debug, info, warning, error };
enum class LogEvents : uint8_t { off, blocks };  // which records are kept (RFC 7768 §2)

// A number below 256 or nothing, written "off".
using OptionalOctet = std::optional<uint8_t>;

// Which DSCP the outer header gets, and whose the inner packet keeps (RFC 2983 §3.1): one in both, or its own each.
struct DscpModel {
  OptionalOctet pipe;  // the outer header's; none: uniform
  friend bool operator==(const DscpModel&, const DscpModel&) = default;
};

// A static mapping: who has an outside endpoint whether or not there is traffic.
struct StaticMapping {
  net::Ipv6Prefix subscriber;  // his B4's address, or his prefix; NAT44: the inside address, IPv4-mapped
  net::Endpoint inside, outside;
  net::Protocol protocol{};
  friend bool operator==(const StaticMapping&, const StaticMapping&) = default;
};

struct LogTarget {
  enum class Kind : uint8_t { standard_error, syslog, file };
  Kind kind = Kind::standard_error;
  std::string path;  // Kind::file only
  friend bool operator==(const LogTarget&, const LogTarget&) = default;
};

struct Config {
  struct Dataplane {
    uint32_t workers = 1;
    std::string cores;  // empty: workers float
    std::string eal;    // empty: hugepages where there are any, else without
    uint32_t mappings_max = 1'000'000;
    uint32_t subscribers_max = 100'000;
    uint32_t sessions_max = 500'000;
    uint32_t fragments_max = 2048;
    std::string state_dir = "/dev/hugepages/portolan";
    uint32_t idle_sleep_us = 50;  // 0: always poll
  } dataplane;

  struct Access {
    std::string device;
    net::Ipv6Prefix address;  // the interface's own, with its link's prefix length
    net::Ipv6 gateway;
    uint32_t mtu_bytes = 1500;
    uint32_t vlan = 0;
  } access;

  struct Internet {
    std::string device;
    net::Ipv4Prefix address;
    net::Ipv4 gateway;
    uint32_t mtu_bytes = 1500;
    uint32_t vlan = 0;
    OptionalOctet remark_dscp;
    bool icmp_errors = true;
  } internet;

  struct Softwire {
    std::vector<net::Ipv6> aftr_addresses;
    uint32_t subscriber_prefix_length = 56;  // RFC 7785 §3
    std::vector<net::Ipv6Prefix> allowed_prefixes{net::Ipv6Prefix{}};
    uint32_t mtu_bytes = 1500;
    MssClamp tcp_mss_clamp;
    uint32_t hop_limit = 64;               // RFC 2473 §6.3
    uint32_t b4_change_interval_s = 1800;  // RFC 7785 §4(3)
    DfPolicy df_policy = DfPolicy::icmp;
    OptionalOctet encapsulation_limit;  // RFC 2473 §4.1.1
    DscpModel dscp;
    bool icmp_errors = true;
  } softwire;

  struct Nat44 {
    std::vector<net::Ipv4Prefix> inside_prefixes;  // empty: off
    std::string device;                            // empty: access.device
    net::Ipv4Prefix address;
    net::Ipv4 gateway;
    uint32_t mtu_bytes = 1500;
    uint32_t vlan = 0;
    uint32_t subscriber_prefix_length = 32;
    MssClamp tcp_mss_clamp{MssClamp::Mode::off, 0};
    bool icmp_errors = true;
  } nat44;

  struct Pool {
    std::vector<net::Ipv4Prefix> prefixes, draining;
    PortRange port_range{1024, 65535};
    uint32_t block_ports = 256;
    uint32_t blocks_max = 4;
    uint32_t quarantine_s = 120;           // RFC 6888 REQ-8
    uint32_t quarantine_pcp_tcp_s = 7440;  // RFC 6887 §15
    uint32_t quarantine_ports_max = 0;
    uint32_t hold_after_boot_s = 0;
    std::string deterministic_for;  // the subscribers' prefix, IPv6 or IPv4; empty: nobody's ports are fixed
    uint32_t dynamic_factor = 1;    // RFC 7422 §2
    std::string reserved_ports;
    bool answer_echo = false;
  } pool;

  struct Nat {
    Filtering filtering = Filtering::endpoint_independent;
    bool hairpinning = true;
    uint32_t udp_timeout_s = 300;       // RFC 4787 REQ-5
    uint32_t tcp_established_s = 7440;  // RFC 5382 REQ-5
    uint32_t tcp_opening_s = 240;       // RFC 7857 §2.1
    uint32_t tcp_transitory_s = 240;
    uint32_t icmp_timeout_s = 60;      // RFC 5508 REQ-2
    bool udp_inbound_refresh = false;  // RFC 4787 REQ-6a
    uint32_t subscriber_mappings_max = 0, subscriber_sessions_max = 0, subscriber_inbound_sessions_max = 0;
    uint32_t mapping_sessions_max = 0;
    uint32_t mappings_per_second = 0;
    UnsolicitedSyn unsolicited_syn = UnsolicitedSyn::drop;
    uint32_t icmp_errors_per_second = 100;
    std::vector<pipeline::PassThrough> pass_through;
    std::vector<StaticMapping> statics;
  } nat;

  struct Pcp {
    bool enabled = true;
    uint32_t lifetime_min_s = 120, lifetime_max_s = 86400;  // RFC 6887 §15
    uint32_t mappings_per_subscriber_max = 32;
    std::vector<net::Ipv6Prefix> third_party_from, portal_from;
    bool map = true, peer = true, nat_pmp = false, plain_self = false;
    std::string store = "/var/lib/portolan/pcp.sqlite";  // empty: nothing outlives the process but the mappings
    uint32_t requests_per_s = 32, requests_burst = 128;  // of one subscriber
    uint32_t requests_per_s_all = 0;                     // 0: as many as come
    uint32_t announcements_per_s = 1'000;
    PortRange port_range{1, 65535};  // that may be asked for by number
    std::string reserved_ports;
    uint32_t port_set_max = 32;            // RFC 7753; 1: none
    uint32_t description_bytes_max = 128;  // RFC 7220 §4
  } pcp;

  struct Cli {
    std::string socket = "/run/portolan/cli.sock";
    std::string group;
  } cli;

  struct Feed {  // what PCP has mapped, for programs outside
    std::string socket, group;
    std::string listen;  // feed_settings.h reads it
    std::string certificate, key, token_file;
  } feed;

  struct Log {
    LogLevel level = LogLevel::info;
    LogTarget target;
    LogEvents events = LogEvents::blocks;
    std::optional<LogTarget> events_target;  // none: log.target
    bool events_required = false;
    bool pcp_mappings = true;
    uint32_t high_threshold_percent = 80;
  } log;

  [[nodiscard]] bool serves_softwires() const { return !softwire.aftr_addresses.empty(); }
  [[nodiscard]] bool serves_nat44() const { return !nat44.inside_prefixes.empty(); }
  [[nodiscard]] const std::string& nat44_device() const { return nat44.device.empty() ? access.device : nat44.device; }
};

// pool.reserved-ports, "5060,6000-6010"; none if it is no such list.
std::optional<std::vector<PortRange>> parse_ports(std::string_view text);

// dataplane.cores, "2-3,6", as numbers; none if it is no such list or names more CPUs than a machine has.
std::optional<std::vector<unsigned>> parse_cores(std::string_view text);

}  // namespace portolan::control
