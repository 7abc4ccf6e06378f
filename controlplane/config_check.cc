#include "controlplane/config_check.h"

#include <algorithm>
#include <bit>
#include <initializer_list>
#include <optional>
#include <stdexcept>

#include "controlplane/deterministic_settings.h"
#include "controlplane/feed_settings.h"
#include "controlplane/static_settings.h"
#include "dataplane/net/text.h"

namespace portolan::control {

namespace {

// The inbound index is an array over the pool's addresses and ports; a longer pool is a mistake in a prefix length.
constexpr uint64_t pool_addresses_max = 65536;

struct Name {
  std::string_view section, key;
};

const Setting& row(Name name) {
  const Setting* setting = find_setting(name.section, name.key);
  if (setting == nullptr)
    throw std::logic_error("no setting " + std::string(name.section) + '.' + std::string(name.key));
  return *setting;
}

class Checker {
 public:
  Checker(const Config& config, const Origin& origin, const Report& report)
      : config_(config), origin_(origin), report_(report) {}

  void run() {
    required();
    later();
    duplicates();
    if (wants_softwires()) access(), softwire();
    internet();
    nat44();
    devices();
    pool();
    ports();
    pass_through();
    statics();
    lifetimes();
    paths();
    feed();
  }

 private:
  // All of these were read without error, so a check of them says something new.
  [[nodiscard]] bool good(std::initializer_list<Name> names) const {
    return std::ranges::none_of(names, [&](Name name) { return origin_.broken(row(name)) || missing(row(name)); });
  }
  [[nodiscard]] bool missing(const Setting& setting) const {
    return setting.required() && !origin_.given(setting) && (wants_softwires() || !is_of_softwires(setting));
  }
  static bool is_of_softwires(const Setting& setting) {
    return setting.section == "access" || setting.section == "softwire";
  }
  // One key of [access] or [softwire] is enough: NAT44 alone has none of them.
  [[nodiscard]] bool wants_softwires() const {
    return !config_.serves_nat44() || std::ranges::any_of(settings(), [this](const Setting& setting) {
      return is_of_softwires(setting) && (origin_.given(setting) || origin_.broken(setting));
    });
  }
  void fail(Name name, std::string text, size_t at = 0) const { report_(row(name), at, std::move(text)); }
  // At whichever of the two the file names: the other is a default, which nobody can correct.
  void fail_either(Name first, Name second, const std::string& text) const {
    fail(origin_.given(row(first)) ? first : second, text);
  }

  void required() const;
  void later() const;
  void duplicates() const;
  void access() const;
  void internet() const;
  void ipv4_link(std::string_view section, const net::Ipv4Prefix& own, net::Ipv4 gateway) const;
  void softwire() const;
  void nat44() const;
  void nat44_prefixes() const;
  void devices() const;
  void pool() const;
  void pool_prefixes() const;
  void pool_overlaps() const;
  void ports() const;
  void pass_through() const;
  [[nodiscard]] std::optional<std::string> unfit_inside(net::Ipv4 inside) const;
  void statics() const;
  void lifetimes() const;
  void paths() const;
  void feed() const;

  const Config& config_;
  const Origin& origin_;
  const Report& report_;
};

void Checker::required() const {
  for (const auto& setting : settings())
    if (missing(setting) && !origin_.broken(setting))
      report_(setting, 0,
              "is required; add \"" + std::string(setting.key) + " = " + std::string(setting.example) +
                  "\" or the like to [" + std::string(setting.section) + ']' +
                  (is_of_softwires(setting) && config_.serves_nat44()
                       ? ", or for NAT44 alone remove all of [access] and [softwire]"
                       : ""));
}

// Accepting a value that is then not obeyed would be worse than refusing it.
void Checker::later() const {
  for (const auto& setting : settings()) {
    if (setting.later.empty() || origin_.broken(setting)) continue;
    const auto values = value_texts(setting, config_);
    const auto defaults = value_texts(setting, Config{});
    if (values == defaults) continue;
    const auto way_out = defaults.empty() ? "remove the line" : "remove the line or give " + defaults.front();
    for (size_t at = 0; at < values.size(); ++at)
      report_(setting, at,
              '"' + values[at] + "\": " + std::string(setting.later) + " is not in this version; " + way_out);
  }
}

void Checker::duplicates() const {
  for (const auto& setting : settings()) {
    const auto values = value_texts(setting, config_);
    for (size_t at = 1; at < values.size(); ++at) {
      const auto first = static_cast<size_t>(std::ranges::find(values, values[at]) - values.begin());
      if (first < at)
        report_(setting, at,
                '"' + values[at] + "\" is given twice, first on line " + std::to_string(origin_.line(setting, first)) +
                    "; remove one of the two");
    }
  }
}

template <class Address>
bool usable(const Address& address) {
  return address != Address{} && !net::is_multicast(address);
}

void Checker::access() const {
  const auto& [address, length] = config_.access.address;
  const auto& gateway = config_.access.gateway;
  if (good({{"access", "address"}}) && !usable(address))
    fail({"access", "address"}, net::to_text(address) + " cannot be an interface's address; give a unicast address");
  if (!good({{"access", "address"}, {"access", "gateway"}})) return;
  if (gateway == address)
    fail({"access", "gateway"}, net::to_text(gateway) + " is access.address itself; give the neighbouring router's");
  else if (!net::is_link_local(gateway) && !net::contains(config_.access.address, gateway))
    fail({"access", "gateway"}, net::to_text(gateway) + " is not on the link " +
                                    net::to_text(net::Ipv6Prefix{net::masked(address, length), length}) +
                                    " of access.address; give an address of it, or a link-local one");
}

void Checker::internet() const { ipv4_link("internet", config_.internet.address, config_.internet.gateway); }

void Checker::ipv4_link(std::string_view section, const net::Ipv4Prefix& own, net::Ipv4 gateway) const {
  const auto& [address, length] = own;
  const Name address_name{section, "address"}, gateway_name{section, "gateway"};
  const auto name = std::string(section) + ".address";
  if (!good({address_name})) return;
  const uint32_t host_bits = ~net::ipv4_mask(length);
  const auto is_host = [&, length = length](net::Ipv4 host) {  // neither the link's network nor its broadcast address
    const uint32_t bits = uint32_t{host.bits} & host_bits;
    return length >= 31 || (bits != 0 && bits != host_bits);  // RFC 3021
  };
  const auto link = net::to_text(net::Ipv4Prefix{net::masked(address, length), length});
  if (!usable(address) || !is_host(address))
    fail(address_name,
         net::to_text(address) + " cannot be a host's address on " + link + "; give one between its ends");
  if (!good({gateway_name})) return;
  if (gateway == address)
    fail(gateway_name, net::to_text(gateway) + " is " + name + " itself; give the neighbouring router's");
  else if (!net::contains(own, gateway) || !is_host(gateway))
    fail(gateway_name,
         net::to_text(gateway) + " is not a host on the link " + link + " of " + name + "; give an address of it");
}

void Checker::softwire() const {
  const auto& aftrs = config_.softwire.aftr_addresses;
  for (size_t at = 0; at < aftrs.size(); ++at) {
    if (!usable(aftrs[at]) || net::is_link_local(aftrs[at]))
      fail({"softwire", "aftr-address"},
           net::to_text(aftrs[at]) + " cannot be reached by a B4; give a global or unique local unicast address", at);
    else if (good({{"access", "gateway"}}) && aftrs[at] == config_.access.gateway)
      fail({"softwire", "aftr-address"}, net::to_text(aftrs[at]) + " is access.gateway; give an address of this router",
           at);
  }
  const Name mtu{"softwire", "mtu"};
  const Name link_mtu{"access", "mtu"};
  if (good({mtu, link_mtu}) && config_.softwire.mtu_bytes > config_.access.mtu_bytes)
    fail_either(mtu, link_mtu,
                "softwire.mtu " + std::to_string(config_.softwire.mtu_bytes) + " exceeds access.mtu " +
                    std::to_string(config_.access.mtu_bytes) + "; lower softwire.mtu or raise access.mtu");
}

// Each key there is needs the prefixes, and they need an address, a gateway and a device.
void Checker::nat44() const {
  const Name prefix{"nat44", "inside-prefix"}, address{"nat44", "address"}, gateway{"nat44", "gateway"},
      device{"nat44", "device"};
  if (origin_.broken(row(prefix))) return;
  if (!config_.serves_nat44()) {
    for (const auto& setting : settings())
      if (setting.section == "nat44" && value_texts(setting, config_) != value_texts(setting, Config{}))
        report_(setting, 0, "has no effect without nat44.inside-prefix; add one, or remove the line");
    return;
  }
  const auto need = [this](Name name, const char* why, const char* example) {
    if (!origin_.given(row(name)) && !origin_.broken(row(name)))
      fail(name, std::string("is required ") + why + "; add \"" + std::string(name.key) + " = " + example +
                     "\" or the like to [nat44]");
  };
  need(address, "with nat44.inside-prefix", "100.64.0.1/24");
  need(gateway, "with nat44.inside-prefix", "100.64.0.2");
  if (!wants_softwires()) need(device, "without access.device", "net_af_packet0,iface=ins0");
  nat44_prefixes();
  if (!origin_.given(row(address)) || !origin_.given(row(gateway)) || !good({address, gateway})) return;
  ipv4_link("nat44", config_.nat44.address, config_.nat44.gateway);
  const auto own = config_.nat44.address.address;
  if (own == config_.internet.address.address)
    fail(address, net::to_text(own) + " is internet.address; give each side an address of its own");
}

// Inside sources must be nobody else's. The router's own address may lie among its subscribers' as on any link.
void Checker::nat44_prefixes() const {
  const Name prefix{"nat44", "inside-prefix"};
  const auto& prefixes = config_.nat44.inside_prefixes;
  const net::Ipv4Prefix refused[] = {
      {net::Ipv4{0x00000000}, 8}, {net::Ipv4{0x7f000000}, 8}, {net::Ipv4{0xe0000000}, 3}, {net::Ipv4{0xc0000000}, 29}};
  for (size_t at = 0; at < prefixes.size(); ++at) {
    const auto text = net::to_text(prefixes[at]);
    const auto overlaps = [&](const net::Ipv4Prefix& other) { return net::overlap(prefixes[at], other); };
    if (std::ranges::any_of(refused, overlaps))
      fail(prefix, text + " has addresses that no host may send from; give the subscribers' own", at);
    if (good({{"internet", "address"}}) && overlaps(config_.internet.address))
      fail(prefix,
           text + " overlaps internet.address " + net::to_text(config_.internet.address) +
               ", whose link is on the other side; give the subscribers' addresses alone",
           at);
    for (size_t earlier = 0; earlier < at; ++earlier)
      if (prefixes[at] != prefixes[earlier] && overlaps(prefixes[earlier]))
        fail(prefix,
             text + " overlaps " + net::to_text(prefixes[earlier]) + " on line " +
                 std::to_string(origin_.line(row(prefix), earlier)) + "; remove one of the two",
             at);
  }
}

// Sides on one device are told apart by VLAN, or because one speaks IPv6 and the other IPv4. Two of IPv4 would differ
// by nothing but an address that the sender chose.
void Checker::devices() const {
  if (!config_.serves_nat44() || !good({{"internet", "device"}})) return;
  if (config_.nat44_device() != config_.internet.device || config_.nat44.vlan != config_.internet.vlan) return;
  if (!good({{"nat44", "vlan"}, {"internet", "vlan"}, {"nat44", "device"}})) return;
  fail({"nat44", "vlan"}, "NAT44 and the Internet have the same device and VLAN " + std::to_string(config_.nat44.vlan) +
                              ", where any host could pose as a subscriber; give nat44.vlan or internet.vlan another "
                              "number, or nat44.device a device of its own");
}

void Checker::pool() const {
  pool_prefixes();
  pool_overlaps();
  const Name prefix{"pool", "prefix"};
  if (!good({prefix})) return;
  for (size_t at = 0; at < config_.pool.draining.size(); ++at)
    if (std::ranges::none_of(config_.pool.prefixes,
                             [&](const auto& each) { return net::overlap(each, config_.pool.draining[at]); }))
      fail({"pool", "drain"},
           net::to_text(config_.pool.draining[at]) + " is not in the pool; remove the line, or add it to pool.prefix",
           at);
  if (!parse_ports(config_.pool.reserved_ports))
    fail({"pool", "reserved-ports"},
         '"' + config_.pool.reserved_ports + "\" is not a list of ports; give one like 5060,6000-6010");
  const bool ranges_good = good({{"pool", "port-range"}, {"pool", "block-size"}, {"pool", "dynamic-factor"}});
  if (const auto made = deterministic_of(config_); !made && ranges_good)
    fail({"pool", "deterministic-for"}, made.error());
  uint64_t addresses = 0;
  for (const auto& each : config_.pool.prefixes) addresses += net::size(each);
  if (addresses > pool_addresses_max)
    fail(prefix, "the pool has " + std::to_string(addresses) + " addresses, more than the " +
                     std::to_string(pool_addresses_max) + " possible; give fewer or longer prefixes");
  if (!good({{"dataplane", "workers"}, {"pool", "port-range"}, {"pool", "block-size"}})) return;
  // With fewer addresses than workers each address's ports are cut into a slice of whole blocks per worker.
  const uint32_t workers = config_.dataplane.workers;
  const uint32_t blocks = config_.pool.port_range.size() / config_.pool.block_ports;
  if (blocks > 0 && blocks < workers && addresses < workers)
    fail(prefix, "the pool has " + std::to_string(addresses) + " addresses of " + std::to_string(blocks) +
                     " port blocks, too few to share among " + std::to_string(workers) +
                     " workers; give more addresses or ports, or lower pool.block-size or dataplane.workers");
}

void Checker::pool_prefixes() const {
  const Name prefix{"pool", "prefix"};
  const auto& prefixes = config_.pool.prefixes;
  const auto own = config_.internet.address.address;
  const auto gateway = config_.internet.gateway;
  const net::Ipv4Prefix not_unicast[] = {
      {net::Ipv4{0x00000000}, 8}, {net::Ipv4{0x7f000000}, 8}, {net::Ipv4{0xe0000000}, 3}};
  for (size_t at = 0; at < prefixes.size(); ++at) {
    const auto text = net::to_text(prefixes[at]);
    if (std::ranges::any_of(not_unicast, [&](const auto& range) { return net::overlap(prefixes[at], range); }))
      fail(prefix, text + " is not unicast address space; give addresses that are routed to this router", at);
    if (good({{"internet", "address"}}) && net::contains(prefixes[at], own))
      fail(prefix,
           text + " holds internet.address " + net::to_text(own) + ", which is the router's; give other addresses", at);
    if (good({{"internet", "gateway"}}) && net::contains(prefixes[at], gateway))
      fail(prefix, text + " holds internet.gateway " + net::to_text(gateway) + "; give other addresses", at);
    if (!config_.serves_nat44() || !good({{"nat44", "inside-prefix"}})) continue;
    for (const auto& inside : config_.nat44.inside_prefixes)
      if (net::overlap(prefixes[at], inside))
        fail(prefix, text + " overlaps nat44.inside-prefix " + net::to_text(inside) + "; give other addresses", at);
    for (const auto address : {config_.nat44.address.address, config_.nat44.gateway})
      if (address != net::Ipv4{} && net::contains(prefixes[at], address))
        fail(prefix, text + " holds " + net::to_text(address) + " of [nat44]; give other addresses", at);
  }
}

void Checker::pool_overlaps() const {  // RFC 6333 §8.1: ranges must not overlap
  const Name prefix{"pool", "prefix"};
  const auto& prefixes = config_.pool.prefixes;
  for (size_t at = 1; at < prefixes.size(); ++at)
    for (size_t earlier = 0; earlier < at; ++earlier)
      if (prefixes[at] != prefixes[earlier] && net::overlap(prefixes[at], prefixes[earlier]))
        fail(prefix,
             net::to_text(prefixes[at]) + " overlaps " + net::to_text(prefixes[earlier]) + " on line " +
                 std::to_string(origin_.line(row(prefix), earlier)) + "; remove one of the two",
             at);
}

void Checker::ports() const {
  const Name block{"pool", "block-size"};
  const Name range{"pool", "port-range"};
  if (!good({block})) return;
  const uint32_t ports = config_.pool.block_ports;
  if (!std::has_single_bit(ports)) {
    fail(block, '"' + std::to_string(ports) + "\" is not a power of two; give " +
                    std::to_string(std::bit_floor(ports)) + " or " + std::to_string(std::bit_ceil(ports)));
  } else if (good({range}) && config_.pool.port_range.size() < ports) {
    fail_either(range, block,
                "pool.port-range has " + std::to_string(config_.pool.port_range.size()) +
                    " ports, less than one block of " + std::to_string(ports) +
                    "; widen the range or lower pool.block-size");
  }
}

// Why an inside address cannot be passed through: whoever else it belongs to would lose his packets.
std::optional<std::string> Checker::unfit_inside(net::Ipv4 inside) const {
  const auto text = net::to_text(inside);
  const net::Ipv4Prefix no_hosts[] = {
      {net::Ipv4{0x00000000}, 8}, {net::Ipv4{0x7f000000}, 8}, {net::Ipv4{0xc0000000}, 29}, {net::Ipv4{0xe0000000}, 3}};
  if (std::ranges::any_of(no_hosts, [&](const auto& range) { return net::contains(range, inside); }))
    return text + " cannot be a host's address inside; give another";
  if (inside == config_.internet.address.address || inside == config_.internet.gateway)
    return text + " is internet." + (inside == config_.internet.gateway ? "gateway" : "address") + "; give another";
  for (const auto& prefix : config_.nat44.inside_prefixes)
    if (net::contains(prefix, inside))
      return text + " lies in nat44.inside-prefix " + net::to_text(prefix) + ", which is translated; give another";
  for (const auto& prefix : config_.pool.prefixes)
    if (net::contains(prefix, inside))
      return text + " lies in pool.prefix " + net::to_text(prefix) + ", which is translated; take it out of the pool";
  return std::nullopt;
}

void Checker::pass_through() const {
  const Name name{"nat", "pass-through"};
  const auto& rows = config_.nat.pass_through;
  if (!rows.empty() && !wants_softwires())
    fail(name, "is about a B4, and without [access] and [softwire] none is served; add those, or remove the line");
  for (size_t at = 0; at < rows.size(); ++at) {
    if (const auto unfit = unfit_inside(rows[at].inside)) fail(name, *unfit, at);
    const auto& allowed = config_.softwire.allowed_prefixes;
    if (std::ranges::none_of(allowed, [&](const auto& prefix) { return net::contains(prefix, rows[at].b4); }))
      fail(name, net::to_text(rows[at].b4) + " is outside softwire.allowed-prefix; add it there", at);
    const auto first = std::ranges::find(rows, rows[at].inside, &pipeline::PassThrough::inside);
    if (first->b4 != rows[at].b4)
      fail(name,
           net::to_text(rows[at].inside) + " is behind " + net::to_text(first->b4) + " on line " +
               std::to_string(origin_.line(row(name), static_cast<size_t>(first - rows.begin()))) +
               "; an address has one way in, give one B4",
           at);
  }
}

void Checker::statics() const {
  const Name name{"nat", "static-mapping"};
  if (!good({{"pool", "prefix"}, {"pool", "port-range"}, {"pool", "block-size"}, {"pool", "max-blocks"}}) ||
      !good({{"pool", "deterministic-for"}, {"pool", "dynamic-factor"}, {"softwire", "subscriber-prefix-length"}}) ||
      !good({{"nat44", "inside-prefix"}, {"nat44", "subscriber-prefix-length"}, {"softwire", "allowed-prefix"}}) ||
      !std::has_single_bit(config_.pool.block_ports) || config_.pool.port_range.size() < config_.pool.block_ports)
    return;
  check_statics(
      config_, [&](size_t at) { return origin_.line(row(name), at); },
      [&](size_t at, std::string text) { fail(name, std::move(text), at); });
}

void Checker::lifetimes() const {
  if (!parse_ports(config_.pcp.reserved_ports))
    fail({"pcp", "reserved-ports"},
         '"' + config_.pcp.reserved_ports + "\" is not a list of ports; give one like 5060,6000-6010");
  const Name min{"pcp", "min-lifetime"};
  const Name max{"pcp", "max-lifetime"};
  if (good({min, max}) && config_.pcp.lifetime_min_s > config_.pcp.lifetime_max_s)
    fail_either(min, max,
                "pcp.min-lifetime " + std::to_string(config_.pcp.lifetime_min_s) + "s exceeds pcp.max-lifetime " +
                    std::to_string(config_.pcp.lifetime_max_s) + "s; lower the first or raise the second");
}

void Checker::feed() const {
  const auto& feed = config_.feed;
  constexpr size_t path_bytes_max = 107;  // as of cli.socket
  if (!feed.socket.empty() && (!feed.socket.starts_with('/') || feed.socket.size() > path_bytes_max))
    fail({"feed", "socket"}, '"' + feed.socket + "\" cannot be a socket's path; give an absolute path of at most " +
                                 std::to_string(path_bytes_max) + " bytes");
  if (!feed.socket.empty() && feed.socket == config_.cli.socket)
    fail({"feed", "socket"}, "is cli.socket; give it a path of its own");
  if (!feed.group.empty() && feed.socket.empty()) fail({"feed", "group"}, "has no effect without feed.socket");
  if (!feed.listen.empty() && !parse_listen(feed.listen))
    fail({"feed", "listen"}, '"' + feed.listen + "\" is not ADDRESS:PORT (IPv6 as [ADDRESS]:PORT)");
  for (const auto& [key, file] : {std::pair{"certificate", &feed.certificate}, std::pair{"key", &feed.key},
                                  std::pair{"token-file", &feed.token_file}}) {
    if (feed.listen.empty() && !file->empty()) fail({"feed", key}, "has no effect without feed.listen");
    if (!feed.listen.empty() && file->empty())
      fail({"feed", "listen"}, std::string("needs feed.") + key + ": TCP is served with TLS and a token only");
  }
}

void Checker::paths() const {
  if (config_.log.events_required && config_.log.events == LogEvents::off)
    fail({"log", "events-required"}, "is on while log.events is off; switch one of the two over");
  if (!config_.pcp.store.empty() && !config_.pcp.store.starts_with('/'))
    fail({"pcp", "store"}, '"' + config_.pcp.store + "\" is not an absolute path; give one");
  const auto& socket = config_.cli.socket;
  constexpr size_t path_bytes_max = 107;  // sockaddr_un, less its terminating zero
  if (!socket.starts_with('/') || socket.size() > path_bytes_max)
    fail({"cli", "socket"}, '"' + socket + "\" cannot be a socket's path; give an absolute path of at most " +
                                std::to_string(path_bytes_max) + " bytes");
  if (!config_.dataplane.state_dir.starts_with('/'))
    fail({"dataplane", "state-dir"}, '"' + config_.dataplane.state_dir + "\" is not an absolute path; give one");
  if (config_.dataplane.cores.empty()) return;
  const auto cores = parse_cores(config_.dataplane.cores);
  if (!cores)
    fail({"dataplane", "cores"}, '"' + config_.dataplane.cores + "\" is not a list of CPUs; give one like 2-3,6");
  else if (cores->size() != config_.dataplane.workers)
    fail({"dataplane", "cores"}, "names " + std::to_string(cores->size()) + " CPUs for " +
                                     std::to_string(config_.dataplane.workers) +
                                     " workers; name one for each, or leave it empty");
}

}  // namespace

void check_config(const Config& config, const Origin& origin, const Report& report) {
  Checker(config, origin, report).run();
}

}  // namespace portolan::control
