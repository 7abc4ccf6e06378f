#include "bench/generator/tester.h"

#include <algorithm>
#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>
#include <stdexcept>
#include <utility>

#include "bench/generator/tsc.h"

namespace portolan::bench {

using std::chrono::steady_clock;

uint64_t tsc_hz() { return rte_get_tsc_hz(); }

namespace {

constexpr uint32_t window_frames = 512;  // on their way at once where nothing may get lost
constexpr double quiet_s = 0.2, drain_max_s = 3;
constexpr unsigned open_passes_max = 64;
constexpr uint64_t behind_max_frames = 1024;  // of what is due, where the device's ring is full for a moment
constexpr uint64_t sampled_every = 64;        // frames of a trial, which are checked whole
constexpr std::chrono::milliseconds ask_again{200};
constexpr double recovery_slot_s = 0.001;

StationAddresses addresses_of(Direction enters, Dut dut) {
  if (enters == Direction::downstream) return {{}, {}, internet_gateway, dut_internet};
  if (dut == Dut::nat44) return {{}, {}, inside_gateway, dut_inside};
  return {access_gateway, dut_access, {}, {}};
}

uint64_t ticks(double seconds) { return static_cast<uint64_t>(seconds * static_cast<double>(tsc_hz())); }
double to_seconds(uint64_t tsc) { return static_cast<double>(tsc) / static_cast<double>(tsc_hz()); }

const uint8_t* bytes_of(const rte_mbuf& frame) { return rte_pktmbuf_mtod(&frame, const uint8_t*); }

// Of a frame from the internet side: whom the device says it is from.
net::Endpoint source_of(const rte_mbuf& frame) {
  const uint8_t* at = bytes_of(frame) + sizeof(net::EthernetHeader);
  return {net::header_at<net::Ipv4Header>(at).source,
          net::header_at<net::UdpHeader>(at + sizeof(net::Ipv4Header)).source};
}

// How many frames of a direction may be on their way. Those that got lost come back never: when nothing has come for a
// while, what is on its way is taken for lost.
class Window {
 public:
  explicit Window(uint32_t frames) : frames_(frames) {}
  bool open(uint64_t on_their_way, uint64_t now_tsc) {
    if (frames_ == 0 || on_their_way < lost_ + frames_) {
      shut_since_ = 0;
      return true;
    }
    if (shut_since_ == 0) shut_since_ = now_tsc;
    if (now_tsc > shut_since_ + ticks(quiet_s)) lost_ = on_their_way;
    return false;
  }

 private:
  uint64_t frames_, lost_ = 0, shut_since_ = 0;
};

Direction opposite(Direction direction) {
  return direction == Direction::upstream ? Direction::downstream : Direction::upstream;
}

}  // namespace

Tester::Tester(Link& access, Link& internet, Dut dut, Flows& flows)
    : flows_(flows),
      dut_(dut),
      links_{&access, &internet},
      stations_{Station(addresses_of(Direction::upstream, dut), access.mac()),
                Station(addresses_of(Direction::downstream, dut), internet.mac())},
      trial_(static_cast<uint32_t>(read_tsc()) & 0xffffff) {}

Tester::~Tester() { release_held(); }

void Tester::meet(std::chrono::seconds patience) {
  const auto deadline = steady_clock::now() + patience;
  auto next_question = steady_clock::now();
  const auto met = [](const Station& station) { return station.device_mac() && station.found(); };
  while (dut_ != Dut::io && !std::ranges::all_of(stations_, met)) {
    if (steady_clock::now() > deadline)
      throw std::runtime_error("the device neither answers nor asks: ARP and neighbour solicitations have no effect");
    for (const Direction direction : directions) poll(direction, [](const Tag&, const rte_mbuf&) {});
    if (steady_clock::now() < next_question) continue;
    next_question += ask_again;
    for (size_t at = 0; at < links_.size(); ++at) {
      Station::Frame question;
      links_[at]->send_copy(std::span(question).first(stations_[at].ask(question)));
    }
  }
}

// Frames of DS-Lite are tunnelled on the access side; a forwarder leaves them as they are.
bool Tester::tunnelled(Direction direction, bool coming_back) const {
  if (dut_ == Dut::nat44) return false;
  const bool on_access_side = (direction == Direction::upstream) != (coming_back && dut_ == Dut::dslite);
  return on_access_side;
}

Expectation Tester::expectation(Direction direction, uint32_t number) const {
  const Flow flow = flows_.flow(number);
  const net::Endpoint subscriber =
      direction == Direction::upstream && dut_ != Dut::io ? flows_.outside(number) : flow.inside;
  const net::Ipv6 b4 = b4_address(flow.subscriber);
  const bool is_tunnelled = tunnelled(direction, true);
  const size_t bytes = sizes_.bytes_of(number);
  if (direction == Direction::upstream) return {is_tunnelled, bytes, b4, aftr_address, subscriber, flow.remote};
  return {is_tunnelled, bytes, aftr_address, b4, flow.remote, subscriber};
}

Fault Tester::find_fault_in(Direction direction, const Tag& tag, const rte_mbuf& frame) const {
  if (tag.flow >= flows_.shape().flows_max) return Fault::payload;
  return find_fault(bytes_of(frame), frame.data_len, expectation(direction, tag.flow));
}

void Tester::begin_trial(size_t frame_bytes) {
  trial_ = (trial_ + 1) & 0xffffff;
  sizes_ = FrameSizes(frame_bytes);
  stale_ = 0;
  for (const Direction direction : directions) {
    const size_t at = index_of(direction);
    senders_[at].frames.clear();
    for (size_t number = 0; number < sizes_.classes(); ++number)
      senders_[at].frames.emplace_back(tunnelled(direction, false), sizes_.bytes_of_class(number), stations_[at].mac(),
                                       stations_[at].device_mac().value_or(net::Mac{{2, 0, 0, 0, 0, 1}}));
  }
}

// Numbers beyond all flows are abusive frames.
Flow Tester::flow_of(uint32_t number) const {
  const uint32_t flows = flows_.shape().flows_max;
  return number < flows ? flows_.flow(number) : flows_.abusive(number - flows);
}

void Tester::choose(Direction direction, uint32_t count, auto&& next) {
  Sender& sender = senders_[index_of(direction)];
  sender.chosen_count = static_cast<uint16_t>(std::min<uint32_t>(count, burst_max));
  for (uint16_t i = 0; i < sender.chosen_count; ++i) {
    sender.chosen[i] = next();
    if (direction == Direction::downstream) rte_prefetch0(flows_.outside_line(sender.chosen[i]));
  }
}

void Tester::write_chosen(Direction direction) {
  const size_t at = index_of(direction);
  Sender& sender = senders_[at];
  const auto frames = std::span(sender.held).first(sender.chosen_count);
  if (!links_[at]->allocate(frames)) return;
  const uint64_t now = read_tsc();
  for (uint16_t i = 0; i < sender.chosen_count; ++i) {
    const uint32_t number = sender.chosen[i];
    const Flow flow = flow_of(number);
    const FrameTemplate& image = sender.frames[sizes_.class_of(number)];
    rte_mbuf& frame = *frames[i];
    const Tag tag{number, mark(direction), now};
    if (i + 1 < sender.chosen_count) rte_prefetch0(rte_pktmbuf_mtod(frames[i + 1], uint8_t*));
    if (direction == Direction::upstream)
      image.write(rte_pktmbuf_mtod(&frame, uint8_t*), flow.subscriber, flow.inside, flow.remote, tag);
    else
      image.write(rte_pktmbuf_mtod(&frame, uint8_t*), flow.subscriber, flow.remote,
                  dut_ == Dut::io ? flow.inside : flows_.outside(number), tag);
    frame.data_len = image.bytes();
    frame.pkt_len = frame.data_len;
  }
  if (timelines_[at]) timelines_[at]->sent(now, sender.chosen_count);
  sender.held_first = 0;
  sender.held_count = std::exchange(sender.chosen_count, uint16_t{0});
}

uint32_t Tester::Sender::unsent_from(uint32_t first_flow) const {
  const auto unsent =
      held_count > 0 ? std::span(chosen).subspan(held_first, held_count) : std::span(chosen).first(chosen_count);
  return static_cast<uint32_t>(std::ranges::count_if(unsent, [=](uint32_t flow) { return flow >= first_flow; }));
}

// Sends what was chosen or is held; returns how many were taken.
uint16_t Tester::push(Direction direction) {
  const size_t at = index_of(direction);
  Sender& sender = senders_[at];
  if (sender.held_count == 0 && sender.chosen_count > 0) write_chosen(direction);
  if (sender.held_count == 0) return 0;
  const uint16_t taken = links_[at]->send(std::span(sender.held).subspan(sender.held_first, sender.held_count));
  sender.held_first = static_cast<uint16_t>(sender.held_first + taken);
  sender.held_count = static_cast<uint16_t>(sender.held_count - taken);
  return taken;
}

// Receives a burst of what comes back of a direction; take(tag, frame) sees each frame of this trial.
uint16_t Tester::poll(Direction direction, auto&& take) {
  std::array<rte_mbuf*, burst_max> frames;
  const size_t arrives_at = index_of(opposite(direction));
  const uint16_t count = links_[arrives_at]->receive(frames);
  const size_t offset = tag_offset(tunnelled(direction, true));
  const uint32_t expected = mark(direction);
  for (uint16_t i = 0; i < count; ++i) rte_prefetch0(bytes_of(*frames[i]) + offset);
  for (uint16_t i = 0; i < count; ++i) {
    const Tag tag = tag_at(bytes_of(*frames[i]), offset);
    if (tag.mark == expected && frames[i]->data_len >= offset + sizeof tag)  // behind a short frame lies an old one
      take(tag, *frames[i]);
    else
      handle_other(opposite(direction), *frames[i]);
  }
  if (count > 0) Link::release(std::span(frames).first(count));
  return count;
}

// Until nothing has come for a while.
uint64_t Tester::drain(auto&& take) {
  uint64_t count = 0;
  const uint64_t start = read_tsc();
  for (uint64_t last = start, now = start; now < last + ticks(quiet_s) && now < start + ticks(drain_max_s);
       now = read_tsc())
    for (const Direction direction : directions) {
      const uint16_t received =
          poll(direction, [&](const Tag& tag, const rte_mbuf& frame) { take(direction, tag, frame); });
      if (received > 0) last = now;
      count += received;
    }
  return count;
}

void Tester::handle_other(Direction arrived_at, const rte_mbuf& frame) {
  Station::Frame answer;
  Station& station = stations_[index_of(arrived_at)];
  const size_t bytes = station.handle({bytes_of(frame), frame.data_len}, answer);
  if (bytes > 0)
    links_[index_of(arrived_at)]->send_copy(std::span(answer).first(bytes));
  else if (asker_ == nullptr || !asker_->hear({bytes_of(frame), frame.data_len}, read_tsc()))
    ++stale_;
}

void Tester::ask(Asker& asker) {
  Asker::Frame request;
  const Station& station = stations_[index_of(Direction::upstream)];
  const size_t bytes = asker.write_next(request, station.mac(), *station.device_mac());
  const uint64_t now = read_tsc();
  if (links_[index_of(Direction::upstream)]->send_copy(std::span(request).first(bytes))) asker.sent(now);
}

// At most a burst of those due; returns how many went.
uint64_t Tester::flood(uint64_t due) {
  Asker::Frame request;
  const Station& station = stations_[index_of(Direction::upstream)];
  const size_t bytes = Asker::write_flood(request, station.mac(), *station.device_mac());
  uint64_t sent = 0;
  while (sent < std::min<uint64_t>(due, burst_max) &&
         links_[index_of(Direction::upstream)]->send_copy(std::span(request).first(bytes)))
    ++sent;
  return sent;
}

// One frame of each flow of a range that is `wanted`, in scattered order, each way that sends, at a rate (0: as fast as
// they are taken). Unless none comes back, no more are on their way than the device has room for: who falls behind his
// rate does not make up for it in a flood. Returns how many were sent.
uint64_t Tester::send_once(uint32_t first, uint32_t count, const std::array<bool, 2>& sends, double rate_pps,
                           bool comes_back, auto&& wanted, auto&& take) {
  std::array<Scatter, 2> orders{Scatter(first, count), Scatter(first, count)};
  std::array<uint32_t, 2> left{sends[0] ? count : 0, sends[1] ? count : 0};
  std::array<uint64_t, 2> sent{}, back{}, chosen{};
  const uint64_t start = read_tsc();
  uint64_t progress = start;
  const auto is_sending = [&] { return left[0] + left[1] > 0 || !senders_[0].idle() || !senders_[1].idle(); };
  while (is_sending()) {
    const uint64_t now = read_tsc();
    const bool stuck = now > progress + ticks(quiet_s);  // some got lost: go on without them
    for (const Direction direction : directions) {
      const size_t at = index_of(direction);
      const uint16_t received = poll(direction, [&](const Tag& tag, const rte_mbuf& frame) {
        take(direction, tag, frame);
        ++back[at];
      });
      const uint16_t taken = push(direction);
      sent[at] += taken;
      if (received + taken > 0) progress = now;
      if (stuck) back[at] = sent[at], progress = now;
      if (left[at] == 0 || !senders_[at].idle()) continue;
      const uint64_t by_rate = rate_pps > 0 ? static_cast<uint64_t>(to_seconds(now - start) * rate_pps) : ~uint64_t{0};
      const uint64_t due = comes_back ? std::min(by_rate, back[at] + window_frames) : by_rate;
      if (due <= chosen[at]) continue;
      std::array<uint32_t, burst_max> numbers;
      uint32_t found = 0;
      const auto burst = static_cast<uint32_t>(std::min<uint64_t>(due - chosen[at], burst_max));
      for (; found < burst && left[at] > 0; --left[at])
        if (const uint32_t number = orders[at].next(); wanted(number)) numbers[found++] = number;
      chosen[at] += found;
      choose(direction, found, [&, i = size_t{0}]() mutable { return numbers[i++]; });
    }
  }
  drain(take);
  return sent[0] + sent[1];
}

void Tester::learn(const Tag& tag, const rte_mbuf& frame, OpenResult& result) {
  if (tag.flow >= flows_.shape().flows_max || flows_.learned(tag.flow)) return;
  Expectation expected = expectation(Direction::upstream, tag.flow);
  if (dut_ != Dut::io) expected.source = source_of(frame);
  const Fault fault = find_fault(bytes_of(frame), frame.data_len, expected);
  ++result.faults[static_cast<size_t>(fault)];
  if (fault != Fault::none) return;
  flows_.learn(tag.flow, expected.source);
  ++result.opened;
}

OpenResult Tester::establish(uint32_t first, uint32_t count, double rate_pps, size_t frame_bytes) {
  OpenResult result;
  begin_trial(frame_bytes);
  const uint64_t start = read_tsc();
  uint64_t last = start;
  result.sent = send_once(
      first, count, {true, false}, rate_pps, true, [this](uint32_t number) { return !flows_.learned(number); },
      [&](Direction direction, const Tag& tag, const rte_mbuf& frame) {
        if (direction == Direction::downstream) return;
        learn(tag, frame, result);
        last = read_tsc();
      });
  result.seconds = to_seconds(last - start);
  return result;
}

OpenResult Tester::open(uint32_t first, uint32_t count, double rate_pps, size_t frame_bytes) {
  OpenResult result;
  for (unsigned pass = 0; pass < open_passes_max && result.opened < count; ++pass) {
    const OpenResult once = establish(first, count, rate_pps, frame_bytes);
    if (once.opened == 0) break;
    result.sent += once.sent;
    result.opened += once.opened;
    result.seconds += once.seconds;
    for (size_t at = 0; at < once.faults.size(); ++at) result.faults[at] += once.faults[at];
  }
  return result;
}

uint64_t Tester::validate(uint32_t first, uint32_t count, double rate_pps, size_t frame_bytes) {
  begin_trial(frame_bytes);
  uint64_t right = 0;
  send_once(
      first, count, {false, true}, rate_pps, rate_pps == 0, [this](uint32_t number) { return flows_.learned(number); },
      [&](Direction direction, const Tag& tag, const rte_mbuf& frame) {
        if (direction == Direction::downstream && find_fault_in(direction, tag, frame) == Fault::none) ++right;
      });
  return right;
}

uint64_t Tester::stamp(uint32_t first, uint32_t count, size_t frame_bytes) {
  begin_trial(frame_bytes);
  uint64_t back = 0;
  send_once(
      first, count, {true, false}, 0, true, [](uint32_t) { return true; },
      [&](Direction, const Tag&, const rte_mbuf&) { ++back; });
  return back;
}

VerifyResult Tester::verify(uint32_t count, double rate_pps, size_t frame_bytes) {
  VerifyResult result;
  begin_trial(frame_bytes);
  std::array<std::vector<bool>, 2> seen{std::vector<bool>(count), std::vector<bool>(count)};
  result.sent = {count, count};
  send_once(
      0, count, {true, true}, rate_pps, true, [](uint32_t) { return true; },
      [&](Direction direction, const Tag& tag, const rte_mbuf& frame) {
        Fault fault = find_fault_in(direction, tag, frame);
        if (fault == Fault::none) {
          auto& of_way = seen[index_of(direction)];
          if (tag.flow >= count || of_way[tag.flow]) fault = Fault::twice;
          if (fault == Fault::none) of_way[tag.flow] = true, ++result.right[index_of(direction)];
        }
        ++result.faults[static_cast<size_t>(fault)];
      });
  return result;
}

uint64_t TrialResult::lost(Direction direction) const {
  const auto& way = ways[index_of(direction)];
  const bool with_fresh = direction == Direction::upstream;
  return way.sent - way.received - (with_fresh ? fresh_sent - fresh_received : 0);
}

bool TrialResult::lossless() const {
  return std::ranges::all_of(directions, [this](Direction direction) {
    const auto& way = ways[index_of(direction)];
    return lost(direction) == 0 && way.due <= way.sent + behind_max_frames;
  });
}

double TrialResult::pps() const {
  return static_cast<double>(ways[0].received_measured + ways[1].received_measured) / seconds;
}

// What was sent before and is still on its way counts as received of nowhere.
void Tester::start_drop(const Trial& trial, uint64_t now) {
  for (const Direction direction : directions)
    if (trial.sends[index_of(direction)]) timelines_[index_of(direction)].emplace(now, ticks(recovery_slot_s));
}

// What is held when a trial ends was never sent, and so is not lost.
void Tester::forget_unsent() {
  for (size_t at = 0; at < timelines_.size(); ++at) {
    const Sender& sender = senders_[at];
    if (!timelines_[at] || sender.held_count == 0) continue;
    const Tag tag = tag_at(bytes_of(*sender.held[sender.held_first]), sender.frames.front().offset_of_tag());
    timelines_[at]->unsent(tag.sent_tsc, sender.held_count);
  }
}

// The next burst of abuse, if so much of it is due; `before`: abusive_ when the trial began.
bool Tester::choose_abusive(double due, uint32_t before) {
  const uint32_t waiting = static_cast<uint32_t>(due) - (abusive_ - before);
  if (waiting < burst_max / 2) return false;
  choose(Direction::upstream, waiting, [this] { return flows_.shape().flows_max + abusive_++; });
  return true;
}

uint32_t Tester::next_of(const Trial& trial, Direction direction) {
  if (trial.fresh_every != 0 && direction == Direction::upstream && fresh_ < flows_.shape().flows_max &&
      until_fresh_-- == 0) {
    until_fresh_ = trial.fresh_every - 1;
    return fresh_++;
  }
  return picker_.below(trial.flows);
}

namespace {

// How many frames of a direction are due: at a rate since a moment, after so many before it.
struct Pace {
  uint64_t since, before;
  double rate_pps;  // 0: as fast as they are taken
  [[nodiscard]] uint64_t due(uint64_t now) const {
    return before + static_cast<uint64_t>(to_seconds(now - since) * rate_pps);
  }
};

}  // namespace

TrialResult Tester::run(const Trial& trial) {
  TrialResult result;
  begin_trial(trial.frame_bytes);
  fresh_ = std::max(fresh_, trial.flows);
  until_fresh_ = trial.fresh_every;
  asker_ = trial.asker;
  const uint64_t asked_before = asker_ == nullptr ? 0 : asker_->asked;
  const uint32_t fresh_before = fresh_, abusive_before = abusive_;
  bool warm = false;
  const auto take = [&](Direction direction, const Tag& tag, const rte_mbuf& frame) {
    const size_t at = index_of(direction);
    auto& way = result.ways[at];
    ++way.received;
    if (tag.flow >= trial.flows) {
      ++result.fresh_received;
      return;
    }
    if (trial.latency && warm) {
      const uint64_t delay = read_tsc() - tag.sent_tsc;
      result.latency[at].add(delay);
      result.variation[at].add(delay);
    }
    if (timelines_[at]) timelines_[at]->received(tag.sent_tsc);
    if (way.received % sampled_every == 0) ++result.faults[static_cast<size_t>(find_fault_in(direction, tag, frame))];
  };
  const uint64_t start = read_tsc(), measured = start + ticks(trial.warm_up_s), end = measured + ticks(trial.seconds);
  const uint64_t drop = trial.drop_after_s > 0 ? start + ticks(trial.drop_after_s) : end;
  std::array<uint64_t, 2> before{}, chosen{};
  std::array<Window, 2> windows{Window(trial.window), Window(trial.window)};
  std::array<Pace, 2> paces{Pace{start, 0, trial.rate_pps}, Pace{start, 0, trial.rate_pps}};
  const auto is_through = [&](size_t at) { return trial.frames_max != 0 && chosen[at] >= trial.frames_max; };
  uint64_t now = start;
  for (; now < end; now = read_tsc()) {
    if (!warm && now >= measured) {
      warm = true;
      before = {result.ways[0].received, result.ways[1].received};
      result.seconds = -to_seconds(now - start);
    }
    if (now >= drop && paces[0].rate_pps != trial.dropped_rate_pps) {
      for (size_t at = 0; at < paces.size(); ++at) paces[at] = {now, chosen[at], trial.dropped_rate_pps};
      start_drop(trial, now);
    }
    if (asker_ != nullptr &&
        asker_->asked - asked_before < static_cast<uint64_t>(to_seconds(now - start) * trial.asks_per_s))
      ask(*asker_);
    if (const auto due = static_cast<uint64_t>(to_seconds(now - start) * trial.flood_per_s); due > result.flooded)
      result.flooded += flood(due - result.flooded);
    for (const Direction direction : directions) {
      poll(direction, [&](const Tag& tag, const rte_mbuf& frame) { take(direction, tag, frame); });
      const size_t at = index_of(direction);
      if (!trial.sends[at]) continue;
      auto& way = result.ways[at];
      if (!windows[at].open(way.sent - way.received, now)) continue;
      way.sent += push(direction);
      ++way.tries;
      if (senders_[at].held_count > 0) ++way.full;
      if (!senders_[at].idle()) continue;
      if (direction == Direction::upstream && choose_abusive(to_seconds(now - start) * trial.abuse_pps, abusive_before))
        continue;
      const uint64_t due = paces[at].rate_pps > 0 ? paces[at].due(now) : chosen[at] + burst_max;
      if (due <= chosen[at] || is_through(at)) continue;
      const uint64_t burst = std::min<uint64_t>(due - chosen[at], burst_max);
      choose(direction, static_cast<uint32_t>(burst), [&] { return next_of(trial, direction); });
      chosen[at] += burst;
    }
    if (trial.frames_max != 0 && is_through(0) == trial.sends[0] && is_through(1) == trial.sends[1] &&
        senders_[0].idle() && senders_[1].idle())
      break;
  }
  result.seconds += to_seconds(now - start);
  for (const Direction direction : directions) {
    const size_t at = index_of(direction);
    auto& way = result.ways[at];
    way.received_measured = way.received - before[at];
    if (trial.sends[at]) way.due = paces[at].rate_pps > 0 ? paces[at].due(now) : way.sent;
  }
  const auto& upstream = senders_[index_of(Direction::upstream)];
  result.fresh_sent = fresh_ - fresh_before + (abusive_ - abusive_before) - upstream.unsent_from(trial.flows);
  forget_unsent();
  release_held();
  drain(take);
  for (size_t at = 0; at < timelines_.size(); ++at)
    if (timelines_[at])
      result.recovery_s[at] = static_cast<double>(timelines_[at]->slots_until_lossless()) * recovery_slot_s;
  timelines_ = {};
  result.stale = stale_;
  asker_ = nullptr;
  return result;
}

void Tester::release_held() {
  for (auto& sender : senders_) {
    Link::release(std::span(sender.held).subspan(sender.held_first, sender.held_count));
    sender.held_count = sender.chosen_count = 0;
  }
}

}  // namespace portolan::bench
