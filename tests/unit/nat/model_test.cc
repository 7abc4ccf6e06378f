// A million random operations on a shard, reloads and kills among them, beside a model that knows only what was
// promised: who has which outside endpoint, and until when.
#include <map>
#include <random>
#include <set>

#include "tests/unit/nat/fixture.h"

namespace portolan::nat {
namespace {

using net::Protocol;
using Key = std::tuple<uint32_t, uint16_t, Protocol>;  // subscriber, inside port, protocol

struct Promise {
  net::Endpoint outside;
  uint32_t implicit_until_s = 0, explicit_until_s = 0;  // alive through this second
};

class Model : public ShardTest, public testing::WithParamInterface<uint32_t> {
 protected:
  void SetUp() override {
    auto settings = small_settings();
    settings.mappings_max = 1500;
    settings.subscribers_max = 60;
    settings.slab_path = directory_.file("worker-0.slab");
    settings_ = settings;
    rules_ = settings.policy;
    start(settings_);
  }
  void TearDown() override {
    ShardTest::TearDown();
    shard_.reset();  // before its rules go
  }
  uint32_t below(uint32_t count) { return static_cast<uint32_t>(random_()) % count; }
  Key random_key() {
    constexpr Protocol protocols[] = {Protocol::udp, Protocol::tcp, Protocol::icmp};
    return {below(70), static_cast<uint16_t>(below(150)), protocols[below(3)]};
  }
  static OutboundKey outbound_key(const Key& key) {
    return key_of(std::get<0>(key), std::get<1>(key), std::get<2>(key));
  }
  static uint32_t timeout_s(Protocol protocol) {
    return protocol == Protocol::udp ? 300 : protocol == Protocol::tcp ? 240 : 60;
  }
  uint32_t implicit_end(const Key& key) const { return now_s_ + timeout_s(std::get<2>(key)); }

  // A new endpoint: nobody has it, nobody had it in the last 120 s, and it is of the subscriber's one address.
  void expect_promised(const Key& key, net::Endpoint outside) {
    const auto slot = std::pair(outside, std::get<2>(key));
    EXPECT_FALSE(taken_.contains(slot)) << "handed out twice";
    if (const auto rests = rested_.find(slot); rests != rested_.end()) {
      EXPECT_GT(now_s_, rests->second);
    }
    for (const auto& [other, promise] : promises_)
      if (std::get<0>(other) == std::get<0>(key)) {
        EXPECT_EQ(promise.outside.address, outside.address);
        break;
      }
    taken_.insert(slot);
  }
  void forget(std::map<Key, Promise>::iterator at) {
    const auto slot = std::pair(at->second.outside, std::get<2>(at->first));
    taken_.erase(slot);
    rested_[slot] = now_s_ + rules_.timeouts.quarantine_s;
    promises_.erase(at);
  }

  void packet(const Key& key) {
    const MappingIndex index = find(outbound_key(key));
    auto promise = promises_.find(key);
    ASSERT_EQ(index != null_mapping, promise != promises_.end());
    if (index != null_mapping) {
      // A SYN: a segment without one would be of a connection from before, and believed to be established.
      EXPECT_FALSE(send(index, remote_, std::get<2>(key) == Protocol::tcp ? net::tcp_syn : uint8_t{0}));
      promise->second.implicit_until_s = implicit_end(key);
      EXPECT_EQ(outside(index), promise->second.outside);
      return;
    }
    const auto made = try_open(outbound_key(key));
    if (!made) return;
    expect_promised(key, outside(*made));
    promises_[key] = {outside(*made), implicit_end(key), 0};
  }
  void open_explicit(const Key& key) {
    const uint32_t lifetime_s = below(1000) + 1;
    const net::Endpoint wish =
        below(2) != 0 ? net::Endpoint{}
                      : net::Endpoint{{0xc0000200 + below(4)}, {static_cast<uint16_t>(2048 + below(2048))}};
    const bool exact = below(4) == 0;
    const auto result = command(Command::Verb::open_explicit, outbound_key(key), lifetime_s, wish, exact);
    if (result.status != CommandResult::Status::done) return;
    if (exact && wish != net::Endpoint{}) {
      EXPECT_EQ(result.outside, wish);
    }
    if (!promises_.contains(key)) expect_promised(key, result.outside), promises_[key] = {result.outside, 0, 0};
    EXPECT_EQ(promises_[key].outside, result.outside);
    promises_[key].explicit_until_s = now_s_ + lifetime_s;
  }
  void end_explicit(const Key& key) {
    const auto result = command(Command::Verb::end_explicit, outbound_key(key));
    const auto promise = promises_.find(key);
    ASSERT_EQ(result.status == CommandResult::Status::unknown, promise == promises_.end());
    if (result.status != CommandResult::Status::done) return;
    promise->second.explicit_until_s = 0;
    if (result.lifetime_s == 0) forget(promise);
  }
  void end_all(const Key& key, Command::Verb verb) {
    const auto result = command(verb, outbound_key(key));
    uint32_t ended = 0;
    for (auto at = promises_.begin(); at != promises_.end();) {
      const auto next = std::next(at);
      const bool meant =
          verb == Command::Verb::end_mapping ? at->first == key : std::get<0>(at->first) == std::get<0>(key);
      if (meant) forget(at), ++ended;
      at = next;
    }
    EXPECT_EQ(result.ended, ended);
  }
  void wait() {
    advance(below(30));
    for (auto at = promises_.begin(); at != promises_.end();) {
      const auto next = std::next(at);
      if (now_s_ > std::max(at->second.implicit_until_s, at->second.explicit_until_s)) forget(at);
      at = next;
    }
  }
  // As a reload does: other rules from now on, and nothing that was promised is touched.
  void reload() {
    auto next = std::make_unique<Policy>(settings_.policy);
    next->limits.blocks_per_subscriber_max = static_cast<uint8_t>(1 + below(Subscriber::blocks_capacity));
    next->timeouts.quarantine_s = 30 * below(8);
    shard_->use(*next);
    current_ = std::move(next);
    rules_ = *current_;
  }
  // A kill, and a start with what the configuration says by now, perhaps more room.
  void restart() {
    settings_.policy = rules_;
    settings_.mappings_max += below(3) * 100;
    start(settings_);
  }
  void compare() {
    EXPECT_EQ(shard_->mappings_live(), promises_.size());
    for (const auto& [key, promise] : promises_) {
      const MappingIndex index = find(outbound_key(key));
      ASSERT_NE(index, null_mapping);
      EXPECT_EQ(outside(index), promise.outside);
      EXPECT_EQ(find_inbound((*shard_)[index]), index);
    }
    expect_sound();
  }

  std::mt19937 random_{GetParam()};
  Directory directory_;
  ShardSettings settings_;
  Policy rules_;  // in force
  std::unique_ptr<Policy> current_;
  std::map<Key, Promise> promises_;
  std::set<std::pair<net::Endpoint, Protocol>> taken_;
  std::map<std::pair<net::Endpoint, Protocol>, uint32_t> rested_;  // until
};

// Shows ICM-005, PCP-043, TCP-012, UDP-020.
TEST_P(Model, every_promise_is_kept) {
  for (int i = 0; i < 250'000; ++i) {
    const Key key = random_key();
    switch (below(40)) {
      case 0:
        wait();
        break;
      case 1:
      case 2:
      case 3:
      case 4:
        open_explicit(key);
        break;
      case 5:
      case 6:
        end_explicit(key);
        break;
      case 7:
        end_all(key, Command::Verb::end_mapping);
        break;
      case 8:
        if (below(20) == 0) end_all(key, Command::Verb::clear_subscriber);
        break;
      default:
        packet(key);
    }
    if (below(5000) == 0) reload();
    if (below(20'000) == 0) restart();
    if (below(2000) == 0) compare();
    if (HasFailure()) FAIL() << "operation " << i;
  }
  compare();
  for (int i = 0; i < 2; ++i) advance(10'000);  // what PCP made of TCP rests for 7440 s
  EXPECT_EQ(shard_->mappings_live() + shard_->mappings_held() + shard_->subscribers_live(), 0U);
  EXPECT_EQ(shard_->blocks_free(), shard_->blocks_total());
}

INSTANTIATE_TEST_SUITE_P(seeds, Model, testing::Values(1U, 2U, 3U, 4U));

}  // namespace
}  // namespace portolan::nat
