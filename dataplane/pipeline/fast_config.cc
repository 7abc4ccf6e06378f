#include "dataplane/pipeline/fast_config.h"

#include <algorithm>
#include <cstring>

#include "dataplane/net/wire.h"

namespace portolan::pipeline {

namespace {

Ipv6Words mask_words(unsigned length) {
  net::Ipv6 ones;
  ones.bytes.fill(0xff);
  return words_of(net::masked(ones, length));
}

uint64_t word_of(const net::Mac& mac) {
  uint64_t word = 0;
  std::memcpy(&word, mac.bytes.data(), mac.bytes.size());
  return word;
}

FastConfig::Block block_of(const net::Ipv4Prefix& prefix) {
  const uint32_t first = net::masked(prefix.address, prefix.length).bits;
  return {first, first | ~net::ipv4_mask(prefix.length)};
}

void write_link(FastConfig::Way& way, const Snapshot::Link& link, const net::Mac& to, net::EtherType type) {
  uint8_t* at = way.header.data();
  const bool tagged = link.vlan != 0;
  net::header_at<net::EthernetHeader>(at) = {to, link.mac, static_cast<uint16_t>(tagged ? net::EtherType::vlan : type)};
  way.link_bytes = sizeof(net::EthernetHeader);
  if (!tagged) return;
  net::header_at<net::VlanTag>(at + way.link_bytes) = {link.vlan, static_cast<uint16_t>(type)};
  way.link_bytes += sizeof(net::VlanTag);
}

void write_tunnel(FastConfig::Way& way, const Snapshot::Softwire& config, const net::Ipv6& local) {
  uint8_t* at = way.header.data() + way.link_bytes;
  const auto next = config.encapsulation_limit ? net::Protocol::destination_options : net::Protocol::ipv4;
  net::header_at<net::Ipv6Header>(at) = {uint32_t{6} << 28, 0, static_cast<uint8_t>(next), config.hop_limit, local, {}};
  if (config.encapsulation_limit)
    net::header_at<net::EncapsulationLimit>(at + sizeof(net::Ipv6Header)) = {
        .next_header = static_cast<uint8_t>(net::Protocol::ipv4), .limit = *config.encapsulation_limit};
}

}  // namespace

FastConfig::FastConfig(const Snapshot& snapshot)
    : softwire_mask(mask_words(snapshot.softwire.subscriber_prefix_length)),
      plain_mask(mask_words(96U + snapshot.inside.subscriber_prefix_length)),
      overhead_bytes(snapshot.softwire.overhead_bytes()),
      internet_mtu_bytes(snapshot.internet.mtu_bytes),
      softwire_fits_bytes(snapshot.softwire.mtu_bytes - overhead_bytes),
      inside_mtu_bytes(snapshot.inside.mtu_bytes),
      many_workers(snapshot.policy.pool.workers() > 1),
      udp_inbound_refresh(snapshot.policy.timeouts.udp_inbound_refresh),
      steady(snapshot.policy.knows_remotes()) {
  open_doors(snapshot);
  list_ours(snapshot);
  const auto& prefixes_of_pool = snapshot.policy.pool.prefixes();
  if (prefixes_of_pool.size() == 1 && snapshot.policy.pool.generation() == 0)
    pool = {net::masked(prefixes_of_pool[0].address, prefixes_of_pool[0].length).bits,
            static_cast<uint32_t>(net::size(prefixes_of_pool[0]))};
  internet_address = snapshot.internet.address.address.bits;
  inside_address = snapshot.inside.address.address.bits;
  if (!snapshot.inside.prefixes.empty()) inside = block_of(snapshot.inside.prefixes[0]);
  if (snapshot.softwire.pipe_dscp) {
    outer_class_mask = 3;
    outer_class = static_cast<uint8_t>(*snapshot.softwire.pipe_dscp << 2);
  }
  remarks = snapshot.internet.remark_dscp.has_value();
  list_softwires(snapshot);
  classify_octets(snapshot);
}

void FastConfig::list_softwires(const Snapshot& snapshot) {
  static constexpr net::Ipv6Prefix hosts[] = {{{{0x20}}, 3}, {{{0xfc}}, 7}};  // RFC 4291 §2.5.4, RFC 4193
  const auto& addresses = snapshot.softwire.aftr_addresses;
  const auto& allowed = snapshot.softwire.allowed_prefixes;
  if (addresses.size() > softwires_max || allowed.size() * std::size(hosts) > prefixes_max) return;
  for (const auto& address : addresses) softwires[softwire_count++] = ours[ours_count++] = words_of(address);
  ours[ours_count++] = words_of(snapshot.access.address.address);
  for (const auto& prefix : allowed)
    for (const auto& of_hosts : hosts) {
      const auto& [narrower, wider] =
          prefix.length > of_hosts.length ? std::pair(prefix, of_hosts) : std::pair(of_hosts, prefix);
      if (net::contains(wider, narrower.address))
        prefixes[prefix_count++] = {words_of(net::masked(narrower.address, narrower.length)),
                                    mask_words(narrower.length)};
    }
}

void FastConfig::open_doors(const Snapshot& snapshot) {
  for (const Side side : sides) {
    if (!snapshot.serves(side)) continue;
    const auto link = snapshot.link(side);
    for (const Side any : sides) {  // of the same device
      if (snapshot.devices[static_cast<size_t>(any)] != snapshot.devices[static_cast<size_t>(side)]) continue;
      Doors& doors = (side == Side::access ? ipv6_doors : ipv4_doors)[static_cast<size_t>(any)];
      doors[doors[0].mac == no_mac ? 0 : 1] = {side, link.vlan, word_of(link.mac)};
    }
    Shape& shape = shapes[static_cast<size_t>(side)];
    if (link.vlan != 0) continue;
    const bool ipv6 = side == Side::access;
    shape.known = true;
    net::header_at<net::EthernetHeader>(shape.octets.data()) = {
        link.mac, {}, static_cast<uint16_t>(ipv6 ? net::EtherType::ipv6 : net::EtherType::ipv4)};
    constexpr net::Mac all{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    net::header_at<net::EthernetHeader>(shape.mask.data()) = {all, {}, uint16_t{0xffff}};
    shape.octets[sizeof(net::EthernetHeader)] = ipv6 ? 0x60 : 0x45;
    shape.mask[sizeof(net::EthernetHeader)] = ipv6 ? 0xf0 : 0xff;
  }
}

// Addresses that no remote has.
void FastConfig::list_ours(const Snapshot& snapshot) {
  std::array<Block, blocks_max> blocks{};
  size_t count = 0;
  const auto add = [&](const net::Ipv4Prefix& prefix) {
    if (count < blocks_max) blocks[count] = block_of(prefix);
    ++count;
  };
  for (const auto& prefix : snapshot.policy.pool.prefixes()) add(prefix);
  for (const auto& prefix : snapshot.inside.prefixes) add(prefix);
  add({net::Ipv4{0xc0000000}, 24});  // 192.0.0.0/24 (RFC 6890)
  add({snapshot.internet.address.address, 32});
  add({snapshot.inside.address.address, 32});
  if (count > blocks_max) blocks[0] = {0, ~uint32_t{0}}, count = 1;
  for (size_t i = 0; i < count; ++i)
    for (uint32_t high = blocks[i].first >> 16; high <= blocks[i].last >> 16; ++high) second_octets[high & 0xff] = true;
  ours_ipv4 = blocks;
  ours_ipv4_count = static_cast<uint32_t>(count);
}

void FastConfig::classify_octets(const Snapshot& snapshot) {
  const auto mark = [this](unsigned first, unsigned last, uint8_t as) {
    for (unsigned octet = first; octet <= last; ++octet) octets[octet] = static_cast<uint8_t>(octets[octet] | as);
  };
  const auto mark_prefix = [&](const net::Ipv4Prefix& prefix, uint8_t as) {
    const uint32_t low = net::masked(prefix.address, prefix.length).bits;
    mark(low >> 24, (low | ~net::ipv4_mask(prefix.length)) >> 24, as);
  };
  mark(10, 10, inner_source);
  for (const unsigned octet : {172U, 192U}) mark(octet, octet, look_at_source);
  for (const unsigned octet : {0U, 127U}) mark(octet, octet, never_remote);
  mark(224, 255, never_remote);
  mark(192, 192, look_at_remote);
  for (const auto& prefix : snapshot.policy.pool.prefixes()) mark_prefix(prefix, look_at_remote);
  for (const auto& prefix : snapshot.inside.prefixes) mark_prefix(prefix, look_at_remote);
  for (const net::Ipv4 own : {snapshot.internet.address.address, snapshot.inside.address.address})
    mark_prefix({own, 32}, look_at_remote);
  for (const auto& row : snapshot.pass_through) {
    uint8_t& octet = octets[row.inside.bits >> 24];
    octet = static_cast<uint8_t>((octet & ~inner_source) | look_at_source);
  }
}

void FastConfig::open_ways(const Snapshot& snapshot, const Gateways& gateways) {
  for (const Side side : sides) {
    const auto& gateway = gateways.of(side);
    uint64_t& known = gateway_words_[static_cast<size_t>(side)];
    const uint64_t word = gateway.word();
    if (known == word) continue;
    known = word;
    const auto to = gateway.get();  // after its word: a change between the two is taken up in the next burst
    const auto open = [&](Way& way, net::EtherType type) {
      way = {};
      if (to) write_link(way, snapshot.link(side), *to, type);
      way.bytes = way.link_bytes;
      way.open = to.has_value() && snapshot.serves(side);
    };
    if (side == Side::internet) open(to_internet, net::EtherType::ipv4);
    if (side == Side::inside) {
      open(to_inside, net::EtherType::ipv4);
      to_inside.fits_bytes = to_inside.open ? inside_mtu_bytes : 0;
    }
    for (size_t i = 0; side == Side::access && i < softwire_count; ++i) {
      open(into_softwire[i], net::EtherType::ipv6);
      write_tunnel(into_softwire[i], snapshot.softwire, snapshot.softwire.aftr_addresses[i]);
      into_softwire[i].bytes = into_softwire[i].link_bytes + overhead_bytes;
      into_softwire[i].fits_bytes = into_softwire[i].open ? softwire_fits_bytes : 0;
    }
  }
}

}  // namespace portolan::pipeline
