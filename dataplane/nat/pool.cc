#include "dataplane/nat/pool.h"

#include <algorithm>

namespace portolan::nat {

namespace {

std::vector<net::Ipv4> addresses_in(const std::vector<net::Ipv4Prefix>& prefixes) {
  std::vector<net::Ipv4> out;
  for (const auto& prefix : prefixes)
    for (uint32_t i = 0; i < net::size(prefix); ++i) out.push_back({uint32_t{prefix.address.bits} + i});
  return out;
}

bool any_contains(const std::vector<net::Ipv4Prefix>& prefixes, net::Ipv4 address) {
  return std::ranges::any_of(prefixes, [address](const auto& prefix) { return net::contains(prefix, address); });
}

}  // namespace

Pool::Pool(const std::vector<net::Ipv4Prefix>& prefixes, PortRange ports, uint32_t block_ports, unsigned workers,
           unsigned subscriber_prefix_length)
    : Pool(PortLayout{ports, block_ports}, prefixes, workers, subscriber_prefix_length) {}

Pool::Pool(const Deterministic& deterministic, unsigned workers)
    : Pool(deterministic.layout(), deterministic.settings().outside, workers,
           deterministic.settings().subscriber_prefix_length) {
  deterministic_ = std::make_shared<const Deterministic>(deterministic);
}

std::optional<Pool::FixedRange> Pool::fixed_range_of(const net::Ipv6& subscriber) const {
  if (!deterministic_) return std::nullopt;
  const auto range = deterministic_->range_of(subscriber);
  const auto number = range ? number_of(range->address) : std::nullopt;
  if (!number) return std::nullopt;
  return FixedRange{*number, layout_.block_of({range->ports.low})};
}

Pool::Pool(const PortLayout& layout, const std::vector<net::Ipv4Prefix>& prefixes, unsigned workers,
           unsigned subscriber_prefix_length)
    : layout_(layout), workers_(workers), locals_(workers) {
  const auto addresses = addresses_in(prefixes);
  spread_ = Spread(addresses, workers, subscriber_prefix_length);
  shared_ = workers > 1 && !spread_.covers_all();
  number(prefixes, {});
}

Pool Pool::successor(const std::vector<net::Ipv4Prefix>& prefixes, const std::vector<net::Ipv4Prefix>& draining) const {
  Pool next = *this;
  next.number(prefixes, draining);
  ++next.generation_;
  return next;
}

void Pool::number(const std::vector<net::Ipv4Prefix>& prefixes, const std::vector<net::Ipv4Prefix>& draining) {
  prefixes_ = prefixes;
  std::unordered_map<uint32_t, uint32_t> known;  // address -> number, whatever its state
  for (uint32_t number = 0; number < places_.size(); ++number) {
    places_[number].state = State::removed;
    known.emplace(places_[number].address.bits, number);
  }
  for (const net::Ipv4 address : addresses_in(prefixes)) {
    const auto found = known.find(address.bits);
    if (found == known.end()) add(address);
    Place& place = found == known.end() ? places_.back() : places_[found->second];
    place.state = any_contains(draining, address) ? State::draining : State::active;
  }
  spans_ = index(false);
  spans_ever_ = index(true);
}

void Pool::add(net::Ipv4 address) {
  const auto number = static_cast<uint32_t>(places_.size());
  Place place{address, number, 0, State::active};
  if (shared_) {
    place.owner = static_cast<uint8_t>(number % workers_);
    for (auto& locals : locals_) locals.push_back(number);
    const uint32_t blocks = layout_.blocks();
    for (uint32_t block = 0; block < blocks; ++block)
      block_owners_.push_back(static_cast<uint8_t>(uint64_t{block} * workers_ / blocks));
  } else {
    place.owner = static_cast<uint8_t>(workers_ == 1 ? 0 : spread_.worker_of(address));
    place.local = static_cast<uint32_t>(locals_[place.owner].size());
    locals_[place.owner].push_back(number);
  }
  places_.push_back(place);
}

std::vector<Pool::Span> Pool::index(bool removed_too) const {
  std::vector<uint32_t> order;
  for (uint32_t number = 0; number < places_.size(); ++number)
    if (removed_too || places_[number].state != State::removed) order.push_back(number);
  std::ranges::sort(order, {}, [this](uint32_t number) { return uint32_t{places_[number].address.bits}; });
  std::vector<Span> spans;
  for (const uint32_t number : order) {
    const uint32_t address = places_[number].address.bits;
    if (!spans.empty() && spans.back().first_address + spans.back().count == address &&
        spans.back().first_number + spans.back().count == number)
      ++spans.back().count;
    else
      spans.push_back({address, 1, number});
  }
  return spans;
}

Pool Pool::with(Pins pins, std::span<const BlockClaim> claims) const {
  Pool next = *this;
  if (!pins.empty() && pins_) pins.insert(pins_->begin(), pins_->end());
  if (!pins.empty()) next.pins_ = std::make_shared<const Pins>(std::move(pins));
  for (const auto& [number, block, worker] : claims)
    if (shared_) next.block_owners_[size_t{number} * layout_.blocks() + block] = worker;
  return next;
}

std::optional<uint32_t> Pool::number_ever_of(net::Ipv4 address) const { return find(spans_ever_, address); }

std::optional<uint32_t> Pool::find(const std::vector<Span>& spans, net::Ipv4 address) {
  const uint32_t wanted = address.bits;
  const auto after = std::ranges::upper_bound(spans, wanted, {}, &Span::first_address);
  if (after == spans.begin()) return std::nullopt;
  const Span& span = *(after - 1);
  if (wanted - span.first_address >= span.count) return std::nullopt;
  return span.first_number + (wanted - span.first_address);
}

}  // namespace portolan::nat
