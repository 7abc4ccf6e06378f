#include "controlplane/engine_settings.h"

#include <algorithm>

#include "controlplane/deterministic_settings.h"
#include "controlplane/static_settings.h"

namespace portolan::control {

namespace {

constexpr uint32_t ipv6_bytes = 40, ipv4_and_tcp_bytes = 40;

// `ipv4_mtu_bytes`: of the way to the subscriber.
uint16_t mss_max(const MssClamp& clamp, uint32_t ipv4_mtu_bytes) {
  switch (clamp.mode) {
    case MssClamp::Mode::off:
      return 0;
    case MssClamp::Mode::fixed:
      return clamp.bytes;
    case MssClamp::Mode::automatic:
      break;
  }
  return static_cast<uint16_t>(ipv4_mtu_bytes - ipv4_and_tcp_bytes);
}

uint32_t share(uint32_t whole, unsigned workers) { return (whole + workers - 1) / workers; }

}  // namespace

nat::Policy policy_of(const Config& config) {
  nat::Policy policy;
  const auto& nat = config.nat;
  policy.timeouts = {nat.udp_timeout_s,
                     nat.tcp_established_s,
                     nat.tcp_opening_s,
                     nat.tcp_transitory_s,
                     nat.icmp_timeout_s,
                     config.pool.quarantine_s,
                     config.pool.quarantine_pcp_tcp_s,
                     nat.udp_inbound_refresh};
  policy.limits = {
      static_cast<uint8_t>(config.pool.blocks_max), nat.subscriber_mappings_max, nat.subscriber_sessions_max,
      nat.subscriber_inbound_sessions_max,          nat.mapping_sessions_max,    nat.mappings_per_second};
  policy.filtering = nat.filtering;
  policy.hold_after_boot_s = config.pool.hold_after_boot_s;
  policy.records_required = config.log.events_required;
  policy.quarantine_ports_max = share(config.pool.quarantine_ports_max, config.dataplane.workers);
  policy.b4_change_interval_s = config.softwire.b4_change_interval_s;
  const auto deterministic = deterministic_of(config);
  if (deterministic && *deterministic)
    policy.pool = nat::Pool(**deterministic, config.dataplane.workers);
  else
    policy.pool = {config.pool.prefixes,
                   {config.pool.port_range.first, config.pool.port_range.last},
                   static_cast<uint16_t>(config.pool.block_ports),
                   config.dataplane.workers,
                   config.softwire.subscriber_prefix_length};
  policy.statics = static_mappings_of(config);
  if (!config.pool.draining.empty()) policy.pool = policy.pool.successor(config.pool.prefixes, config.pool.draining);
  return policy;
}

nat::ShardSettings shard_settings(const Config& config, unsigned worker, const std::string& state_dir) {
  nat::ShardSettings settings;
  settings.worker = worker;
  settings.workers = config.dataplane.workers;
  settings.mappings_max = share(config.dataplane.mappings_max, settings.workers);
  settings.subscribers_max = share(config.dataplane.subscribers_max, settings.workers);
  settings.subscriber_prefix_length = static_cast<uint8_t>(config.softwire.subscriber_prefix_length);
  settings.plain_prefix_length = static_cast<uint8_t>(config.nat44.subscriber_prefix_length);
  settings.policy = policy_of(config);
  for (const auto& ports : parse_ports(config.pool.reserved_ports).value_or(std::vector<PortRange>{}))
    settings.reserved_ports.push_back({ports.first, ports.last});
  settings.sessions_max = share(config.dataplane.sessions_max, settings.workers);
  settings.sessions_path = state_dir + "/sessions." + std::to_string(worker);
  settings.slab_path = state_dir + "/mappings." + std::to_string(worker);
  return settings;
}

pipeline::Snapshot snapshot_of(const Config& config, const Macs& macs) {
  pipeline::Snapshot snapshot;
  snapshot.access = {macs[0], config.access.address, config.access.gateway,
                     static_cast<uint16_t>(config.access.mtu_bytes), static_cast<uint16_t>(config.access.vlan)};
  snapshot.internet = {macs[1], config.internet.address, config.internet.gateway,
                       static_cast<uint16_t>(config.internet.mtu_bytes), static_cast<uint16_t>(config.internet.vlan)};
  const auto& nat44 = config.nat44;
  snapshot.inside = {macs[2],
                     nat44.address,
                     nat44.gateway,
                     static_cast<uint16_t>(nat44.mtu_bytes),
                     static_cast<uint16_t>(nat44.vlan),
                     nat44.inside_prefixes,
                     static_cast<uint8_t>(nat44.subscriber_prefix_length),
                     mss_max(nat44.tcp_mss_clamp, nat44.mtu_bytes)};
  const std::array devices{&config.access.device, &config.internet.device, &config.nat44_device()};
  for (size_t at = 0; at < devices.size(); ++at)
    snapshot.devices[at] = static_cast<uint8_t>(
        std::ranges::find_if(devices, [&](const std::string* text) { return *text == *devices[at]; }) -
        devices.begin());
  const uint32_t limit_bytes = config.softwire.encapsulation_limit ? net::encapsulation_limit_bytes : 0;
  snapshot.softwire = {config.softwire.aftr_addresses,
                       static_cast<uint8_t>(config.softwire.subscriber_prefix_length),
                       config.softwire.allowed_prefixes,
                       static_cast<uint16_t>(config.softwire.mtu_bytes),
                       mss_max(config.softwire.tcp_mss_clamp, config.softwire.mtu_bytes - ipv6_bytes - limit_bytes),
                       static_cast<uint8_t>(config.softwire.hop_limit)};
  snapshot.policy = policy_of(config);
  snapshot.answer_unsolicited_syns = config.nat.unsolicited_syn == UnsolicitedSyn::icmp_after_6s;
  snapshot.pass_through = config.nat.pass_through;
  snapshot.internet.icmp_errors = config.internet.icmp_errors;
  snapshot.softwire.icmp_errors = config.softwire.icmp_errors;
  snapshot.inside.icmp_errors = config.nat44.icmp_errors;
  snapshot.icmp_errors_per_second = config.nat.icmp_errors_per_second;
  snapshot.pool_answers_echo = config.pool.answer_echo;
  snapshot.internet.remark_dscp = config.internet.remark_dscp;
  snapshot.softwire.df_policy =
      config.softwire.df_policy == DfPolicy::icmp ? pipeline::DfPolicy::icmp : pipeline::DfPolicy::outer_fragment;
  snapshot.softwire.encapsulation_limit = config.softwire.encapsulation_limit;
  snapshot.softwire.pipe_dscp = config.softwire.dscp.pipe;
  snapshot.hairpinning = config.nat.hairpinning;
  return snapshot;
}

pcp::Settings pcp_settings(const Config& config) {
  pcp::Settings settings;
  settings.enabled = config.pcp.enabled;
  settings.lifetime_min_s = config.pcp.lifetime_min_s;
  settings.lifetime_max_s = config.pcp.lifetime_max_s;
  settings.mappings_per_subscriber_max = config.pcp.mappings_per_subscriber_max;
  settings.mappings_max = config.dataplane.mappings_max;
  settings.third_party_from = config.pcp.third_party_from;
  settings.portal_from = config.pcp.portal_from;
  settings.subscribers = config.softwire.allowed_prefixes;
  for (const auto& prefix : config.nat44.inside_prefixes)
    settings.subscribers.push_back({net::mapped(prefix.address), static_cast<uint8_t>(96 + prefix.length)});
  settings.map_enabled = config.pcp.map;
  settings.peer_enabled = config.pcp.peer;
  settings.natpmp_enabled = config.pcp.nat_pmp;
  settings.tells_mappings = config.log.events != LogEvents::off && config.log.pcp_mappings;
  settings.plain_self = config.pcp.plain_self;
  settings.durable = !config.pcp.store.empty();
  settings.requests_per_s = config.pcp.requests_per_s;
  settings.requests_burst = config.pcp.requests_burst;
  settings.requests_per_s_all = config.pcp.requests_per_s_all;
  settings.announcements_per_s = config.pcp.announcements_per_s;
  settings.suggested_ports = {config.pcp.port_range.first, config.pcp.port_range.last};
  for (const auto& ports : parse_ports(config.pcp.reserved_ports).value_or(std::vector<PortRange>{}))
    settings.reserved_ports.push_back({ports.first, ports.last});
  settings.rest_s = config.pool.quarantine_s;
  settings.rest_tcp_s = std::max(config.pool.quarantine_pcp_tcp_s, config.pool.quarantine_s);
  settings.filters_by_remote = config.nat.filtering != Filtering::endpoint_independent;
  settings.port_set_max = static_cast<uint16_t>(config.pcp.port_set_max);
  settings.description_bytes_max = static_cast<uint16_t>(config.pcp.description_bytes_max);
  settings.subscriber_prefix_length = static_cast<uint8_t>(config.softwire.subscriber_prefix_length);
  return settings;
}

}  // namespace portolan::control
