#include "dataplane/pipeline/fragment_table.h"

#include <algorithm>
#include <bit>

namespace portolan::pipeline {

using nat::Verdict;

FragmentTable::FragmentTable(uint32_t count)
    : datagrams_(count + 1),
      held_packets_(count + 1),
      buckets_(std::bit_ceil(count)),
      share_max_(std::max<uint32_t>(count / 4, Datagram::extents_max + 1)) {
  for (uint32_t i = 1; i <= count; ++i) datagrams_[i].next = held_packets_[i].next = i < count ? i + 1 : 0;
  free_datagram_ = free_held_ = 1;
}

net::Result<uint32_t, Verdict> FragmentTable::enter(const DatagramKey& key, const net::Ipv6& sender, Wait wait,
                                                    uint32_t now_s) {
  uint32_t& bucket = bucket_of(key);
  for (uint32_t at = bucket; at != 0; at = datagrams_[at].next)
    if (datagrams_[at].key == key) return at;
  if (free_datagram_ == 0) return tl::unexpected(Verdict::fragment_table_full);
  uint32_t& used = used_[share_of(sender)];
  if (used >= share_max_) return tl::unexpected(Verdict::fragment_share_spent);
  ++used, ++open_;
  const uint32_t made = free_datagram_;
  Datagram& datagram = datagrams_[made];
  free_datagram_ = datagram.next;
  datagram = Datagram{};
  datagram.key = key;
  datagram.sender = sender;
  datagram.next = bucket;
  bucket = made;
  datagram.wait = Wait::none;
  wait_for(made, wait, now_s);
  return made;
}

net::Result<void, Verdict> FragmentTable::cover(uint32_t index, uint32_t begin, uint32_t end, bool more) {
  Datagram& datagram = datagrams_[index];
  const auto extents = std::span(datagram.extents).first(datagram.extent_count);
  for (const auto& there : extents) {
    if (there.begin == begin && there.end == end) return tl::unexpected(Verdict::fragment_duplicate);
    if (there.begin < end && begin < there.end) return tl::unexpected(Verdict::fragment_overlap);
  }
  // Nothing may lie behind the last one, and there is one last one.
  const auto behind = [end](const Datagram::Extent& there) { return there.end > end; };
  if (datagram.end != 0 && end > datagram.end) return tl::unexpected(Verdict::fragment_overlap);
  if (!more && std::ranges::any_of(extents, behind)) return tl::unexpected(Verdict::fragment_overlap);
  if (extents.size() == Datagram::extents_max) return tl::unexpected(Verdict::fragment_table_full);
  datagram.extents[datagram.extent_count++] = {static_cast<uint16_t>(begin), static_cast<uint16_t>(end)};
  datagram.covered += end - begin;
  if (!more) datagram.end = end;
  return {};
}

void FragmentTable::leave_list(uint32_t index) {
  const Datagram& datagram = datagrams_[index];
  List& from = list(datagram.wait);
  (datagram.older != 0 ? datagrams_[datagram.older].newer : from.oldest) = datagram.newer;
  (datagram.newer != 0 ? datagrams_[datagram.newer].older : from.newest) = datagram.older;
}

// At the list's new end: all in it wait equally long, so that the oldest is always the first overdue.
void FragmentTable::wait_for(uint32_t index, Wait wait, uint32_t now_s) {
  Datagram& datagram = datagrams_[index];
  if (datagram.until_s != 0) leave_list(index);
  List& to = list(wait);
  datagram.wait = wait;
  datagram.until_s = now_s + wait_max_s[static_cast<size_t>(wait)];
  datagram.older = to.newest;
  datagram.newer = 0;
  (to.newest != 0 ? datagrams_[to.newest].newer : to.oldest) = index;
  to.newest = index;
}

void FragmentTable::close(uint32_t index) {
  Datagram& datagram = datagrams_[index];
  leave_list(index);
  uint32_t* link = &bucket_of(datagram.key);
  while (*link != index) link = &datagrams_[*link].next;
  *link = datagram.next;
  --used_[share_of(datagram.sender)], --open_;
  datagram.next = free_datagram_;
  free_datagram_ = index;
}

uint32_t FragmentTable::overdue(uint32_t now_s) const {
  for (const Wait wait : {Wait::reassembly, Wait::first, Wait::rest}) {
    const uint32_t oldest = waits_[static_cast<size_t>(wait)].oldest;
    if (oldest != 0 && now_s > datagrams_[oldest].until_s) return oldest;
  }
  return 0;
}

net::Result<void, Verdict> FragmentTable::hold(uint32_t index, const Packet& packet) {
  Datagram& datagram = datagrams_[index];
  const uint32_t share = share_of(datagram.sender);
  if (free_held_ == 0) return tl::unexpected(Verdict::fragment_table_full);
  if (used_[share] >= share_max_) return tl::unexpected(Verdict::fragment_share_spent);
  ++used_[share], ++held_;
  const uint32_t at = free_held_;
  Held& held = held_packets_[at];
  free_held_ = held.next;
  held = {packet, datagram.extents[datagram.extent_count - 1].begin, 0, share};
  (datagram.held_last != 0 ? held_packets_[datagram.held_last].next : datagram.held_first) = at;
  datagram.held_last = at;
  return {};
}

Packet FragmentTable::free_held(uint32_t at) {
  Held& held = held_packets_[at];
  --used_[held.share], --held_;
  held.next = free_held_;
  free_held_ = at;
  return held.packet;
}

std::optional<Packet> FragmentTable::take_held(uint32_t index) {
  Datagram& datagram = datagrams_[index];
  const uint32_t at = datagram.held_first;
  if (at == 0) return std::nullopt;
  datagram.held_first = held_packets_[at].next;
  if (datagram.held_first == 0) datagram.held_last = 0;
  return free_held(at);
}

const Packet* FragmentTable::held_at(uint32_t index, uint32_t begin) const {
  for (uint32_t at = datagrams_[index].held_first; at != 0; at = held_packets_[at].next)
    if (held_packets_[at].begin == begin) return &held_packets_[at].packet;
  return nullptr;
}

void FragmentTable::release(uint32_t index) {
  Datagram& datagram = datagrams_[index];
  if (datagram.held_first == 0) return;
  for (uint32_t at = datagram.held_first; at != 0; at = held_packets_[at].next) {
    held_packets_[at].packet.port = datagram.port;
    held_packets_[at].packet.remote_port = datagram.remote_port;
    held_packets_[at].packet.datagram = index;
  }
  (released_last_ != 0 ? held_packets_[released_last_].next : released_first_) = datagram.held_first;
  released_last_ = datagram.held_last;
  datagram.held_first = datagram.held_last = 0;
}

std::optional<Packet> FragmentTable::take_released() {
  const uint32_t at = released_first_;
  if (at == 0) return std::nullopt;
  released_first_ = held_packets_[at].next;
  if (released_first_ == 0) released_last_ = 0;
  return free_held(at);
}

}  // namespace portolan::pipeline
