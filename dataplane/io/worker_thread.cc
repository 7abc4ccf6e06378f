#include "dataplane/io/worker_thread.h"

#include <algorithm>
#include <cstring>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_pause.h>
#include <rte_prefetch.h>

namespace portolan::io {

using nat::Verdict;
using pipeline::Fate;
using pipeline::Packet;
using pipeline::Side;
using pipeline::sides;

namespace {

constexpr unsigned transmit_tries_max = 4;
constexpr unsigned rounds_before_pause = 64, rounds_before_sleep = 1000;  // empty ones

}  // namespace

WorkerThread::WorkerThread(const WorkerSettings& settings, nat::Shard& shard, const pipeline::Gateways& gateways,
                           const Clock& clock, const std::atomic<Phase>& phase)
    : settings_(settings),
      clock_(clock),
      phase_(phase),
      buffers_(*settings.pool),
      worker_(settings.index, shard, gateways, buffers_, settings.fragments_max),
      commands_(commands_max, one_producer, settings.socket),
      results_(commands_max, one_producer, settings.socket),
      punts_(punts_max, one_producer, settings.socket),
      hand_overs_(settings.workers) {
  if (settings.workers > 1) handed_over_ = {handovers_max, many_producers, settings.socket};
  for (const Side side : sides) {
    if (way(side).takes_injected) outlet(side).injected = {injected_max, one_producer, settings.socket};
    if (way(side).takes_relayed) outlet(side).relayed = {relayed_max, many_producers, settings.socket};
  }
}

WorkerThread::~WorkerThread() {
  std::array<rte_mbuf*, pipeline::burst_max> frames;
  const auto empty = [&frames](Ring<rte_mbuf*>& ring) {
    while (const size_t count = ring.take(frames)) rte_pktmbuf_free_bulk(frames.data(), static_cast<unsigned>(count));
  };
  empty(handed_over_);
  empty(punts_);
  for (auto& outlet : outlets_) {
    empty(outlet.injected), empty(outlet.relayed);
    for (rte_mbuf* frame : outlet.waiting.take()) rte_pktmbuf_free(frame);
  }
}

bool WorkerThread::complete() const {
  const bool outlets_complete = std::ranges::all_of(sides, [this](Side side) {
    const auto& outlet = outlets_[static_cast<size_t>(side)];
    return (outlet.injected || !way(side).takes_injected) && (outlet.relayed || !way(side).takes_relayed);
  });
  return commands_ && results_ && punts_ && (handed_over_ || settings_.workers == 1) && outlets_complete;
}

void WorkerThread::connect(std::span<const std::unique_ptr<WorkerThread>> workers) {
  for (const auto& worker : workers) peers_.push_back(&worker->handed_over_);
  for (const Side side : sides)
    if (!way(side).transmit_queue) outlet(side).relay = &workers[way(side).sender]->outlet(side).relayed;
}

void WorkerThread::run() {
  unsigned empty_rounds = 0;
  while (phase_.load(std::memory_order_acquire) != Phase::ended) {
    const bool worked = round();
    worker_.counters().polls.add();
    if (!worked) worker_.counters().polls_idle.add();
    empty_rounds = worked ? 0 : empty_rounds + 1;
    rest(empty_rounds);
  }
}

bool WorkerThread::round() {
  adopt_snapshot();
  const uint32_t now_s = clock_.now_s();
  size_t work = execute_commands(now_s);
  for (const Side side : sides) work += take_for_transmission(side);
  if (phase_.load(std::memory_order_relaxed) == Phase::running)
    for (const Side side : sides) work += receive(side, now_s);
  work += take_handed_over(now_s);
  work += process_due(now_s);
  work += worker_.shard().tend(now_s, worker_.shard().tending_budget(now_s, work > 0));
  return work > 0;
}

void WorkerThread::adopt_snapshot() {
  const auto* next = next_snapshot_.load(std::memory_order_acquire);
  if (next == snapshot_.load(std::memory_order_relaxed)) return;
  worker_.use(*next);
  snapshot_.store(next, std::memory_order_release);  // between bursts: whoever sees it may free the one before
}

// Takes no more than there is room to answer, so that no answer is ever lost.
size_t WorkerThread::execute_commands(uint32_t now_s) {
  if (commands_.empty()) return 0;  // nearly always; the array below is 6 KB to make, a fifth of the first cache
  std::array<nat::Command, commands_per_round_max> commands;
  const size_t count = commands_.take(std::span(commands).first(std::min(commands.size(), results_.room())));
  for (size_t i = 0; i < count; ++i) results_.put(worker_.shard().execute(commands[i], now_s));
  return count;
}

size_t WorkerThread::receive(Side side, uint32_t now_s) {
  if (!way(side).receive_queue) return 0;
  std::array<rte_mbuf*, pipeline::burst_max> frames;
  const size_t count = rte_eth_rx_burst(way(side).port, *way(side).receive_queue, frames.data(), pipeline::burst_max);
  if (count == 0) return 0;
  size_t linear = 0;
  for (size_t i = 0; i < count; ++i) {
    if (!make_linear(*frames[i], side)) continue;
    received_[linear++] = frame_from(*frames[i], side);
    rte_prefetch0(bytes_of(*frames[i]));
  }
  forward(std::span(received_).first(linear), false, now_s);
  return count;
}

// The fast path takes what it can, the pipeline the rest; they leave in the order they came.
void WorkerThread::forward(std::span<pipeline::Frame> frames, bool handed_over, uint32_t now_s) {
  burst_.begun = true;
  if (worker_.forward_plain(frames, handed_over, now_s) < frames.size()) {
    for (const auto& frame : frames) {
      if (frame.sent) continue;
      pipeline::Context context;
      context.side = frame.side;
      describe(mbuf_of(frame), handed_over ? context_of(mbuf_of(frame)) : context, burst_.packets[burst_.count++]);
    }
    worker_.process(burst_, now_s);
  }
  size_t processed = 0;
  for (const auto& frame : frames)
    if (frame.sent)
      outlet(frame.side).batch.add(settle(frame));
    else
      carry_out(burst_.packets[processed++]);
  carry_out(processed);
}

// The pipeline reads straight memory. Buffers hold the largest frame, so only a strange driver comes here.
bool WorkerThread::make_linear(rte_mbuf& frame, Side side) {
  if (frame.nb_segs == 1 || rte_pktmbuf_linearize(&frame) == 0) return true;
  auto& counters = worker_.counters().side(side);  // it never comes to the pipeline, which counts the others
  counters.received.add();
  counters.received_bytes.add(frame.pkt_len);
  rte_mbuf* dropped = &frame;
  drop({&dropped, 1}, side == Side::access ? Verdict::malformed_ipv6 : Verdict::malformed_ipv4);
  return false;
}

size_t WorkerThread::take_handed_over(uint32_t now_s) {
  std::array<rte_mbuf*, pipeline::burst_max> frames;
  const size_t count = handed_over_.take(frames);
  if (count == 0) return 0;
  for (size_t i = 0; i < count; ++i) rte_prefetch0(bytes_of(*frames[i]));
  for (size_t i = 0; i < count; ++i) received_[i] = frame_from(*frames[i], context_of(*frames[i]));
  worker_.counters().handed_in.add(count);
  forward(std::span(received_).first(count), true, now_s);
  return count;
}

// What waited, with nothing new to come with it.
size_t WorkerThread::process_due(uint32_t now_s) {
  if (!worker_.due(now_s)) return 0;
  process(now_s);
  return 1;
}

// Frames that need no processing: the control thread's, and other workers' without a transmit queue, which counted them
// as received and left it to this worker to count them as sent.
size_t WorkerThread::take_for_transmission(Side side) {
  Outlet& out = outlet(side);
  if (out.injected.empty() && out.waiting.count == 0 && out.relayed.empty()) return 0;
  std::array<rte_mbuf*, pipeline::burst_max> frames;
  const size_t relayed = out.relayed.take(frames);
  const size_t injected = send_injected(side);
  transmit(side, std::span(frames).first(relayed));
  return injected + relayed;
}

// Somebody waits for each of these (an ARP or PCP reply), and nobody sends it again soon: they wait for a device
// without room instead of being dropped with the traffic. One burst at most is here, the others stay in their ring.
size_t WorkerThread::send_injected(Side side) {
  Outlet& out = outlet(side);
  if (out.waiting.count == 0)
    out.waiting.count = out.injected.take(std::span(out.waiting.frames).first(pipeline::burst_max));
  const auto frames = out.waiting.take();
  const size_t taken = send(side, frames);
  worker_.counters().injected.add(taken);
  for (rte_mbuf* frame : frames.subspan(taken)) out.waiting.add(*frame);
  return taken;
}

void WorkerThread::process(uint32_t now_s) {
  worker_.process(burst_, now_s);
  carry_out(size_t{0});
}

// What the pipeline decided of its burst, from that packet on; then all goes.
void WorkerThread::carry_out(size_t from) {
  for (size_t i = from; i < burst_.count; ++i) carry_out(burst_.packets[i]);
  for (size_t i = 0; i < burst_.fragment_count; ++i) carry_out(burst_.fragments[i]);
  pass_on();
  burst_.count = burst_.fragment_count = 0;
  burst_.begun = false;
}

void WorkerThread::carry_out(Packet& packet) {
  switch (packet.context.fate) {
    case Fate::send:
      return carry_out_send(packet);
    case Fate::punt:
      return carry_out_punt(packet);
    case Fate::hand_over:
      return carry_out_hand_over(packet);
    case Fate::keep:
      return;
    case Fate::drop:
    case Fate::undecided:
      break;
  }
  pipeline::account(worker_.counters(), packet);
  rte_pktmbuf_free(frame_of(packet));
}

void WorkerThread::carry_out_send(Packet& packet) { outlet(packet.way_out).batch.add(settle(packet)); }

void WorkerThread::carry_out_punt(Packet& packet) {
  const PuntSource source = punt_source_of(packet);
  rte_mbuf& frame = settle(packet);
  context_of(frame) = packet.context;
  if (!punt_shares_.admit(source, punts_.count()) || !punts_.put(&frame)) {
    packet.drop(Verdict::punt_full);
    rte_pktmbuf_free(&frame);
  }
  pipeline::account(worker_.counters(), packet);
}

PuntSource WorkerThread::punt_source_of(const Packet& packet) const {
  const auto& context = packet.context;
  PuntSource source;
  source.kind = uint64_t{static_cast<uint8_t>(context.side)} << 8;
  const uint8_t* outer = packet.data + context.outer_offset;
  const auto& snapshot = *snapshot_.load(std::memory_order_relaxed);
  if (context.punt == pipeline::Punt::arp)
    std::memcpy(source.subscriber.bytes.data(), &net::header_at<net::EthernetHeader>(packet.data).source,
                sizeof(net::Mac));
  else if (context.hairpin || context.side == Side::internet)
    source.kind |= static_cast<uint8_t>(context.punt) + 1U;
  else if (context.side == Side::access)
    source.subscriber = snapshot.subscriber_of(Side::access, net::header_at<net::Ipv6Header>(outer).source);
  else
    source.subscriber =
        snapshot.subscriber_of(Side::inside, net::mapped(net::header_at<net::Ipv4Header>(outer).source));
  return source;
}

// The device was told who owns what, and did otherwise. What crosses for any other reason (a block's owner, a pinned
// subscriber) has the right hash and came to the right queue.
bool WorkerThread::is_misplaced(const Packet& packet) const {
  const auto& context = packet.context;
  const rte_mbuf& frame = *frame_of(packet);
  if (!way(context.side).is_spread || context.hairpin || context.port_known ||
      (frame.ol_flags & RTE_MBUF_F_RX_RSS_HASH) == 0)
    return false;
  const auto& spread = snapshot_.load(std::memory_order_relaxed)->policy.pool.spread();
  const uint8_t* at = packet.data + context.outer_offset;
  const unsigned slot =
      context.side == Side::access
          ? spread.slot_of(net::header_at<net::Ipv6Header>(at).source)
          : spread.slot_of(context.side == Side::inside ? net::header_at<net::Ipv4Header>(at).source
                                                        : net::header_at<net::Ipv4Header>(at).destination);
  return frame.hash.rss % nat::Spread::slots_count != slot || spread.worker_of_slot(slot) != settings_.index;
}

void WorkerThread::carry_out_hand_over(Packet& packet) {
  if (is_misplaced(packet)) worker_.counters().misplaced.add();
  rte_mbuf& frame = settle(packet);
  context_of(frame) = packet.context;
  hand_overs_[packet.context.target].add(frame);
}

void WorkerThread::pass_on() {
  for (const Side side : sides) transmit(side, outlet(side).batch.take());
  for (size_t target = 0; target < hand_overs_.size(); ++target) {
    const auto frames = hand_overs_[target].take();
    if (frames.empty()) continue;
    const size_t taken = peers_[target]->put(frames);
    worker_.counters().handed_out.add(taken);
    drop(frames.subspan(taken), Verdict::handover_full);
  }
}

void WorkerThread::transmit(Side side, std::span<rte_mbuf*> frames) {
  if (frames.empty()) return;
  const size_t taken = way(side).transmit_queue ? send(side, frames) : outlet(side).relay->put(frames);
  drop(frames.subspan(taken), Verdict::transmit_full);
}

// Through this worker's own queue; returns how many the device took.
size_t WorkerThread::send(Side side, std::span<rte_mbuf*> frames) {
  const auto bytes_in = [](std::span<rte_mbuf* const> some) {
    uint64_t sum = 0;
    for (const rte_mbuf* frame : some) sum += frame->pkt_len;
    return sum;
  };
  const uint64_t bytes = bytes_in(frames);  // now, for the device frees what it takes
  size_t taken = 0;
  for (unsigned tries = 0; taken < frames.size() && tries < transmit_tries_max; ++tries) {
    const auto rest = frames.subspan(taken);
    taken +=
        rte_eth_tx_burst(way(side).port, *way(side).transmit_queue, rest.data(), static_cast<uint16_t>(rest.size()));
  }
  auto& counters = worker_.counters().side(side);
  counters.sent.add(taken);
  counters.sent_bytes.add(bytes - bytes_in(frames.subspan(taken)));
  return taken;
}

void WorkerThread::drop(std::span<rte_mbuf*> frames, Verdict verdict) {
  if (frames.empty()) return;
  worker_.counters().dropped[verdict].add(frames.size());
  rte_pktmbuf_free_bulk(frames.data(), static_cast<unsigned>(frames.size()));
}

// Spinning is for servers; a laptop gets its CPU back after a millisecond without packets.
void WorkerThread::rest(unsigned empty_rounds) const {
  if (empty_rounds < rounds_before_pause) return;
  if (empty_rounds < rounds_before_sleep || settings_.idle_sleep_us == 0)
    rte_pause();
  else
    rte_delay_us_sleep(settings_.idle_sleep_us);
}

}  // namespace portolan::io
