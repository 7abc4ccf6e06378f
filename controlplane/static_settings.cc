#include "controlplane/static_settings.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "controlplane/deterministic_settings.h"
#include "dataplane/nat/port_layout.h"
#include "dataplane/net/text.h"

namespace portolan::control {

namespace {

constexpr unsigned mapped_bits = 96;

bool is_plain(const StaticMapping& row) { return net::is_mapped(row.subscriber.address); }

nat::PortLayout layout_of(const Config& config) {
  const auto deterministic = deterministic_of(config);
  if (deterministic && *deterministic) return (*deterministic)->layout();
  return {{config.pool.port_range.first, config.pool.port_range.last}, config.pool.block_ports};
}

bool is_inner_source(net::Ipv4 address) {  // RFC 6333 §11
  const net::Ipv4Prefix hosts[] = {
      {net::Ipv4{0x0a000000}, 8}, {net::Ipv4{0xac100000}, 12}, {net::Ipv4{0xc0a80000}, 16}};
  const uint32_t bits = address.bits;
  return std::ranges::any_of(hosts, [&](const auto& prefix) { return net::contains(prefix, address); }) ||
         (bits >= 0xc0000002 && bits <= 0xc0000007);
}

class Check {
 public:
  using Report = std::function<void(size_t at, std::string text)>;
  Check(const Config& config, const std::function<uint32_t(size_t)>& line_of, const Report& report)
      : config_(config), line_of_(line_of), report_(report), layout_(layout_of(config)) {
    if (auto made = deterministic_of(config)) deterministic_ = std::move(*made);
    if (auto ports = parse_ports(config.pool.reserved_ports)) reserved_ = std::move(*ports);
  }

  void run() {
    for (at_ = 0; at_ < rows().size(); ++at_) {
      const StaticMapping& row = rows()[at_];
      is_plain(row) ? plain_inside(row) : softwire_inside(row);
      if (outside(row)) ours(row), with_others(row);
    }
  }

 private:
  [[nodiscard]] const std::vector<StaticMapping>& rows() const { return config_.nat.statics; }
  void fail(std::string text) const { report_(at_, std::move(text)); }
  [[nodiscard]] std::string on_line(size_t at) const { return " on line " + std::to_string(line_of_(at)); }

  void softwire_inside(const StaticMapping& row) const {
    const net::Ipv6& address = row.subscriber.address;
    const unsigned length = row.subscriber.length;
    const auto text = length == 128 ? net::to_text(address) : net::to_text(row.subscriber);
    if (!config_.serves_softwires()) return fail(text + " is a B4, and no softwire is served; add [softwire]");
    if (length != 128 && length != config_.softwire.subscriber_prefix_length)
      return fail(text +
                  " is no subscriber; give his B4's address, or his prefix of softwire.subscriber-prefix-length " +
                  std::to_string(config_.softwire.subscriber_prefix_length));
    if (std::ranges::none_of(config_.softwire.allowed_prefixes,
                             [&](const auto& allowed) { return net::contains(allowed, address); }))
      fail(text + " is outside softwire.allowed-prefix; add it there");
    if (!is_inner_source(row.inside.address))
      fail(net::to_text(row.inside.address) +
           " cannot be a host behind a B4; give a private address (RFC 1918), or 192.0.0.2-7");
    for (const auto& pass : config_.nat.pass_through)
      if (pass.inside == row.inside.address && net::contains(row.subscriber, pass.b4))
        fail(net::to_text(row.inside.address) +
             " is tunnelled untranslated by nat.pass-through; remove one of the two");
  }
  void plain_inside(const StaticMapping& row) const {
    const auto text = net::to_text(row.inside.address);
    if (std::ranges::none_of(config_.nat44.inside_prefixes,
                             [&](const auto& inside) { return net::contains(inside, row.inside.address); }))
      fail(text + " is outside nat44.inside-prefix; add it there, or name the B4 it is behind");
    else if (row.inside.address == config_.nat44.address.address)
      fail(text + " is nat44.address, the router's own; give a host's address");
  }

  // The outside endpoint is one that can be given to somebody.
  bool outside(const StaticMapping& row) const {
    const net::Ipv4 address = row.outside.address;
    const net::Port port = row.outside.port;
    if (std::ranges::none_of(config_.pool.prefixes, [&](const auto& pool) { return net::contains(pool, address); }))
      return fail(net::to_text(address) + " is not in the pool; give an address of pool.prefix"), false;
    const auto number = std::to_string(port.number);
    if (layout_.block_of(port) == nat::PortLayout::no_block)
      return fail("port " + number + " is in no port block; give one of " + std::to_string(layout_.range.low) + '-' +
                  std::to_string(layout_.ports_of(layout_.blocks() - 1).high) + ", or widen pool.port-range"),
             false;
    const bool reserved = std::ranges::any_of(
        reserved_, [&](const PortRange& range) { return port.number >= range.first && port.number <= range.last; });
    if (reserved) return fail("port " + number + " is one of pool.reserved-ports; take it out there"), false;
    if (row.protocol == net::Protocol::udp && (port.number == 5350 || port.number == 5351))
      return fail("udp port " + number + " is PCP's own; give another"), false;
    return true;
  }

  // With fixed ranges everybody's ports and address are settled already.
  void ours(const StaticMapping& row) const {
    if (!deterministic_) return;
    const net::Ipv6 subscriber = subscriber_of(config_, row);
    const auto theirs = deterministic_->subscriber_of(row.outside.address, row.outside.port);
    const auto range = deterministic_->range_of(subscriber);
    const bool is_fixed = layout_.is_fixed(layout_.block_of(row.outside.port));
    if (is_fixed && theirs != subscriber)
      fail(net::to_text(row.outside) + " is in a range of pool.deterministic-for that is not this subscriber's" +
           (range ? "; give one of " + net::to_text(range->address) + ':' + std::to_string(range->ports.low) + '-' +
                        std::to_string(range->ports.high)
                  : "; give a port of the blocks behind the ranges"));
    else if (range && range->address != row.outside.address)
      fail("this subscriber's outside address is " + net::to_text(range->address) +
           " by pool.deterministic-for; give that");
  }

  void with_others(const StaticMapping& row) {
    const net::Ipv6 subscriber = subscriber_of(config_, row);
    const auto [outside, is_new] = outsides_.emplace(std::pair(row.outside, row.protocol), at_);
    if (!is_new)
      fail(net::to_text(row.outside) + " is given away" + on_line(outside->second) + " already; give another");
    const auto [inside, is_first] = insides_.emplace(std::tuple(subscriber, row.inside, row.protocol), at_);
    if (!is_first)
      fail(net::to_text(row.inside) + " has an outside endpoint" + on_line(inside->second) +
           " already; one inside endpoint leaves from one outside endpoint (RFC 4787 REQ-1)");
    const auto [address, is_only] = addresses_.emplace(subscriber, at_);
    if (const auto first = rows()[address->second].outside.address; !is_only && first != row.outside.address)
      fail("this subscriber's outside address is " + net::to_text(first) + on_line(address->second) +
           "; he has one (RFC 6888 REQ-2), give that");
    const uint32_t block = layout_.block_of(row.outside.port);
    const auto [owner, is_free] = blocks_.emplace(std::pair(row.outside.address, block), at_);
    if (!is_free && subscriber_of(config_, rows()[owner->second]) != subscriber && is_new)
      fail("port " + std::to_string(row.outside.port.number) + " is in one port block, " +
           std::to_string(layout_.ports_of(block).low) + '-' + std::to_string(layout_.ports_of(block).high) +
           ", with another subscriber's" + on_line(owner->second) + "; a block is one subscriber's, give another port");
    if (!is_free || layout_.is_fixed(block)) return;
    if (++blocks_of_[subscriber] == config_.pool.blocks_max + 1)
      fail("this subscriber's static mappings need more port blocks than pool.max-blocks " +
           std::to_string(config_.pool.blocks_max) + "; give ports that lie together, or raise that");
  }

  const Config& config_;
  const std::function<uint32_t(size_t)>& line_of_;
  const Report& report_;
  const nat::PortLayout layout_;
  std::optional<nat::Deterministic> deterministic_;
  std::vector<PortRange> reserved_;
  size_t at_ = 0;
  // What those before have, and which of them it was.
  std::map<std::pair<net::Endpoint, net::Protocol>, size_t> outsides_;
  std::map<std::tuple<net::Ipv6, net::Endpoint, net::Protocol>, size_t> insides_;
  std::map<net::Ipv6, size_t> addresses_;
  std::map<std::pair<net::Ipv4, uint32_t>, size_t> blocks_;
  std::map<net::Ipv6, uint32_t> blocks_of_;
};

}  // namespace

net::Ipv6 subscriber_of(const Config& config, const StaticMapping& row) {
  const unsigned length =
      is_plain(row) ? mapped_bits + config.nat44.subscriber_prefix_length : config.softwire.subscriber_prefix_length;
  return net::masked(row.subscriber.address, length);
}

nat::StaticMappings static_mappings_of(const Config& config) {
  std::vector<nat::StaticMapping> rows;
  for (const StaticMapping& row : config.nat.statics) {
    const bool has_address = row.subscriber.length == 128;
    rows.push_back({{subscriber_of(config, row), row.inside.address, row.inside.port, row.protocol, 0},
                    has_address ? row.subscriber.address : net::Ipv6{},
                    row.outside});
  }
  return nat::StaticMappings(std::move(rows));
}

void check_statics(const Config& config, const std::function<uint32_t(size_t at)>& line_of,
                   const std::function<void(size_t at, std::string text)>& report) {
  Check(config, line_of, report).run();
}

}  // namespace portolan::control
