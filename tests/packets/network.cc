#include "tests/packets/network.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <stdexcept>

#include "dataplane/net/text.h"
#include "tests/packets/checksum_law.h"

namespace portolan::packets {

using pipeline::Fate;
using pipeline::Packet;

namespace {

constexpr size_t tailroom_of_new_buffers = 9000;

uint64_t out_of(const pipeline::WorkerCounters& counters) {
  uint64_t out = counters.handed_out.read() + counters.joined.read() + counters.waiting.read();
  for (const auto& side : counters.sides) out += side.sent.read();
  for (const auto& punted : counters.punted) out += punted.read();
  for (const auto& dropped : counters.dropped.packets) out += dropped.read();
  return out;
}

uint64_t into(const pipeline::WorkerCounters& counters) {
  uint64_t in = counters.handed_in.read() + counters.injected.read() + counters.fragments_made.read() +
                counters.syns_released.read() + counters.reassembled.read();
  for (const auto& side : counters.sides) in += side.received.read();
  return in;
}

}  // namespace

Settings default_settings() {
  Settings settings;
  auto& snapshot = settings.snapshot;
  snapshot.access = {our_macs[0], *net::parse_ipv6_interface("2001:db8:0:1::1/64"),
                     *net::parse_ipv6("2001:db8:0:1::2")};
  snapshot.internet = {our_macs[1], *net::parse_ipv4_interface("198.51.100.1/24"), *net::parse_ipv4("198.51.100.254")};
  snapshot.inside = {our_macs[2], *net::parse_ipv4_interface("100.64.0.1/24"), *net::parse_ipv4("100.64.0.2")};
  snapshot.softwire.aftr_addresses = {*net::parse_ipv6("2001:db8:a::1"), *net::parse_ipv6("2001:db8:a::2")};
  snapshot.softwire.allowed_prefixes = {*net::parse_ipv6_prefix("2001:db8:b::/48")};
  settings.pool_prefixes = {*net::parse_ipv4_prefix("192.0.2.0/30")};
  settings.shard.mappings_max = 4000;
  settings.shard.subscribers_max = 1000;
  settings.shard.sessions_max = 4000;
  return settings;
}

Network::Network(Settings settings) : settings_(std::move(settings)) {
  auto& snapshot = settings_.snapshot;
  settings_.shard.workers = settings_.workers;
  snapshot.policy.pool = {settings_.pool_prefixes, settings_.ports, settings_.block_ports, settings_.workers,
                          snapshot.softwire.subscriber_prefix_length};
  settings_.shard.policy = snapshot.policy;
  settings_.shard.subscriber_prefix_length = snapshot.softwire.subscriber_prefix_length;
  settings_.shard.plain_prefix_length = snapshot.inside.subscriber_prefix_length;
  if (settings_.access_gateway_known) gateways_.access.set(gateway_macs[0]);
  if (settings_.internet_gateway_known) gateways_.internet.set(gateway_macs[1]);
  if (settings_.inside_gateway_known) gateways_.inside.set(gateway_macs[2]);
  in_use_ = std::make_unique<pipeline::Snapshot>(snapshot);
  for (unsigned i = 0; i < settings_.workers; ++i) {
    settings_.shard.worker = i;
    auto shard = nat::Shard::open(settings_.shard, 0);
    if (!shard) throw std::runtime_error(shard.error());
    shards_.push_back(std::move(*shard));
    workers_.push_back(
        std::make_unique<pipeline::Worker>(i, *shards_.back(), gateways_, *this, settings_.fragments_max));
    workers_.back()->use(*in_use_);
  }
}

Network::~Network() { workers_.clear(); }  // which give back what still waits

Packet Network::buffer(size_t bytes, size_t tailroom) {
  auto octets = std::make_unique<uint8_t[]>(pipeline::headroom_min_bytes + bytes + tailroom);
  Packet packet;
  packet.handle = octets.get();
  packet.data = octets.get() + pipeline::headroom_min_bytes;
  buffers_[packet.handle].octets = std::move(octets);
  packet.bytes = static_cast<uint32_t>(bytes);
  packet.headroom = pipeline::headroom_min_bytes;
  packet.tailroom = static_cast<uint32_t>(tailroom);
  return packet;
}

bool Network::allocate(Packet& packet) {
  if (buffers_taken_ == settings_.buffers_max) return false;
  ++buffers_taken_;
  packet = buffer(0, tailroom_of_new_buffers);
  return true;
}

void Network::release(Packet& packet) {
  if (buffers_.erase(packet.handle) == 0) throw std::runtime_error("a buffer given back twice");
}

std::vector<Outcome> Network::deliver(unsigned worker, pipeline::Side side, const std::vector<Bytes>& frames,
                                      uint32_t now_s) {
  const auto& snapshot = settings_.snapshot;
  std::vector<Packet> packets;
  for (const Bytes& frame : frames) {
    packets.push_back(buffer(frame.size(), 0));
    if (!frame.empty()) std::memcpy(packets.back().data, frame.data(), frame.size());
    packets.back().context.side = *std::ranges::find_if(pipeline::sides, [&](pipeline::Side any) {
      return snapshot.devices[static_cast<size_t>(any)] == snapshot.devices[static_cast<size_t>(side)];
    });
    buffers_[packets.back().handle].arrived = frame;
  }
  std::vector<Outcome> outcomes;
  process(worker, std::move(packets), now_s, outcomes);
  process_due(now_s, outcomes);
  return outcomes;
}

// What the pipeline put off for want of room in a burst, and what waited in vain.
void Network::process_due(uint32_t now_s, std::vector<Outcome>& outcomes) {
  constexpr int rounds_max = 100;  // without buffers nothing becomes of it
  bool found = true;
  for (int round = 0; found && round < rounds_max; ++round) {
    found = false;
    for (unsigned worker = 0; worker < settings_.workers; ++worker)
      if (workers_[worker]->due(now_s)) process(worker, {}, now_s, outcomes), found = true;
  }
}

void Network::process(unsigned worker, std::vector<Packet> packets, uint32_t now_s, std::vector<Outcome>& outcomes) {
  std::vector<pipeline::Frame> frames = fast_frames(packets);
  const size_t sent = frames.empty() ? 0 : workers_[worker]->forward_plain(frames, packets.front().decided(), now_s);
  auto& burst = *burst_;
  burst.count = 0;
  burst.begun = !frames.empty();
  forwarded_ += sent;
  for (size_t i = 0; i < packets.size(); ++i)
    if (frames.empty() || !frames[i].sent) burst.packets[burst.count++] = packets[i];
  if (packets.empty() || burst.count > 0) workers_[worker]->process(burst, now_s);

  std::vector<std::vector<Packet>> handed_over(settings_.workers);
  const auto carry_out = [&](const Packet& packet) {
    account(workers_[worker]->counters(), packet);
    if (packet.context.fate == Fate::keep) return;
    if (packet.context.fate != Fate::hand_over) {
      judge_checksums(packet);
      outcomes.push_back(
          {packet.context.fate, packet.way_out, packet.context, {packet.data, packet.data + packet.bytes}});
      Packet done = packet;
      return release(done);
    }
    Packet next;  // only what an mbuf carries crosses
    next.data = packet.data, next.bytes = packet.bytes;
    next.headroom = packet.headroom, next.tailroom = packet.tailroom;
    next.context = packet.context, next.handle = packet.handle;
    handed_over.at(packet.context.target).push_back(next);
  };
  size_t processed = 0;
  for (size_t i = 0; i < packets.size(); ++i) {
    if (frames.empty() || !frames[i].sent) {
      carry_out(burst.packets[processed++]);
      continue;
    }
    Packet& packet = packets[i];
    packet.data = frames[i].data, packet.bytes = frames[i].bytes;
    packet.send(frames[i].side);
    carry_out(packet);
  }
  for (; processed < burst.count; ++processed) carry_out(burst.packets[processed]);
  if (packets.empty() || processed > 0)
    for (size_t i = 0; i < burst.fragment_count; ++i) carry_out(burst.fragments[i]);
  for (unsigned target = 0; target < settings_.workers; ++target) {
    if (handed_over[target].empty()) continue;
    if (target == worker) throw std::runtime_error("a worker handed a packet over to itself");
    workers_[target]->counters().handed_in.add(handed_over[target].size());
    process(target, std::move(handed_over[target]), now_s, outcomes);
  }
}

// As a worker thread offers them to the fast path; none if it does not.
std::vector<pipeline::Frame> Network::fast_frames(const std::vector<Packet>& packets) const {
  std::vector<pipeline::Frame> frames;
  if (!settings_.fast_path) return frames;
  for (const Packet& packet : packets) {
    frames.push_back({.data = packet.data, .bytes = packet.bytes, .vlan = packet.vlan, .side = packet.context.side});
    if (!packet.context.is_of_frame()) frames.back().bytes = 0;
  }
  return frames;
}

// Of packets that left in the buffer they came in.
void Network::judge_checksums(const Packet& packet) {
  const Bytes& in = buffers_.at(packet.handle).arrived;
  if (packet.context.fate != Fate::send || in.empty()) return;
  if (const auto fault = checksum_fault(in, {packet.data, packet.data + packet.bytes}); !fault.empty())
    checksum_faults_ += fault + " of a packet that came in as " + hex(in) + "\n";
}

void Network::use(const pipeline::Snapshot& snapshot) {
  settings_.snapshot = snapshot;
  auto next = std::make_unique<const pipeline::Snapshot>(snapshot);
  for (const auto& worker : workers_) worker->use(*next);
  in_use_ = std::move(next);
}

std::vector<Outcome> Network::expire(uint32_t now_s) {
  constexpr int turns = 3;  // what is due; what a new configuration ended; what it made
  for (const auto& shard : shards_)
    for (int i = 0; i < turns; ++i) shard->tend(now_s, ~uint32_t{0});
  std::vector<Outcome> outcomes;
  process_due(now_s, outcomes);
  return outcomes;
}

nat::CommandResult Network::execute(const nat::Command& command, uint32_t now_s) {
  return shards_[settings_.snapshot.policy.pool.owner_of(command.key.subscriber)]->execute(command, now_s);
}

std::string Network::contradictions() const {
  std::string out = checksum_faults_;
  const uint64_t waiting = waiting_fragments();
  if (buffers_.size() != waiting)
    out += std::to_string(buffers_.size()) + " buffers in use, " + std::to_string(waiting) + " packets waiting\n";
  for (const auto& worker : workers_) {
    if (into(worker->counters()) != out_of(worker->counters()))
      out += "worker " + std::to_string(worker->index()) + ": " + std::to_string(into(worker->counters())) +
             " packets in, " + std::to_string(out_of(worker->counters())) + " accounted for\n";
    std::vector<std::string> findings;
    worker->shard().audit(findings);
    for (const auto& finding : findings) out += finding + "\n";
  }
  return out;
}

std::map<std::string, uint64_t> Network::counters() const {
  std::map<std::string, uint64_t> sums;
  for (const auto& worker : workers_) {
    const auto& counters = worker->counters();
    for (size_t i = 0; i < nat::verdict_count; ++i)
      sums[std::string(nat::verdict_texts[i].name)] += counters.dropped.packets[i].read();
    for (size_t i = 0; i < pipeline::punt_count; ++i)
      sums["punt_" + std::string(pipeline::punt_texts[i].name)] += counters.punted[i].read();
    sums["outbound"] += counters.translated_outbound.read();
    sums["inbound"] += counters.translated_inbound.read();
    sums["hairpinned"] += counters.hairpinned.read();
    sums["released"] += counters.syns_released.read();
    sums["passed"] += counters.passed_through.read();
    sums["fragments_made"] += counters.fragments_made.read();
    sums["joined"] += counters.joined.read();
    sums["reassembled"] += counters.reassembled.read();
    sums["waiting"] += counters.waiting.read();
    sums["datagrams"] += counters.datagrams.read();
    sums["opened"] += worker->shard().counters().opened.read();
  }
  std::erase_if(sums, [](const auto& counter) { return counter.second == 0; });
  return sums;
}

std::multiset<std::string> Network::records() const {
  std::multiset<std::string> out;
  for (const auto& shard : shards_)
    for (nat::MappingIndex index = 1; index < shard->record_end(); ++index) {
      auto record = shard->read(index);
      if (!record) continue;
      record->version = 0;
      record->subscriber = record->wheel_next = record->wheel_previous = 0;
      const auto* bytes = reinterpret_cast<const uint8_t*>(&*record);
      out.insert(hex({bytes, bytes + sizeof *record}));
    }
  return out;
}

uint64_t Network::mappings() const {
  return std::accumulate(shards_.begin(), shards_.end(), uint64_t{0}, [](uint64_t sum, const auto& shard) {
    return sum + shard->mappings_live() + shard->mappings_held();
  });
}

uint64_t Network::sessions() const {
  return std::accumulate(shards_.begin(), shards_.end(), uint64_t{0},
                         [](uint64_t sum, const auto& shard) { return sum + shard->sessions_live(); });
}

uint64_t Network::waiting_fragments() const {
  return std::accumulate(workers_.begin(), workers_.end(), uint64_t{0},
                         [](uint64_t sum, const auto& worker) { return sum + worker->counters().waiting.read(); });
}

bool Network::empty() const {
  return mappings() == 0 && waiting_fragments() == 0 && std::ranges::all_of(shards_, [](const auto& shard) {
           return shard->subscribers_live() == 0 && shard->blocks_free() == shard->blocks_total();
         });
}

}  // namespace portolan::packets
