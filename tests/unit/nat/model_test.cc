// A million random operations on a shard, reloads (rules, static mappings, pools that grow, drain and shrink) and kills
// among them, beside a model that knows only what was promised: who has which outside endpoint, and until when.
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
  bool is_static = false;                               // whatever these say
};

class Model : public ShardTest, public testing::WithParamInterface<uint32_t> {
 protected:
  void SetUp() override {
    auto settings = small_settings();
    settings.mappings_max = 1500;
    settings.subscribers_max = 60;
    settings.addresses_max = 8;
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

  // A new endpoint: nobody has it, nobody else had it in the last 120 s, and it is of the one address that the
  // subscriber has been given ports of since the last reload.
  void expect_promised(const Key& key, net::Endpoint outside, bool is_static = false) {
    const auto slot = std::pair(outside, std::get<2>(key));
    EXPECT_FALSE(taken_.contains(slot)) << "handed out twice";
    const uint32_t subscriber = std::get<0>(key);
    if (const auto rests = rested_.find(slot);
        rests != rested_.end() && !(is_static && rests->second.who == subscriber)) {
      EXPECT_GT(now_s_, rests->second.until_s);
    }
    EXPECT_EQ(rules_.pool.state_of(*rules_.pool.number_of(outside.address)), Pool::State::active);
    const auto [address, is_first] = address_of_.emplace(subscriber, outside.address);
    EXPECT_EQ(address->second, outside.address);
    taken_.insert(slot);
  }
  void forget(std::map<Key, Promise>::iterator at) {
    const auto slot = std::pair(at->second.outside, std::get<2>(at->first));
    const uint32_t subscriber = std::get<0>(at->first);
    taken_.erase(slot);
    rested_[slot] = {now_s_ + rules_.timeouts.quarantine_s, subscriber};
    promises_.erase(at);
    const bool has_more =
        std::ranges::any_of(promises_, [&](const auto& promise) { return std::get<0>(promise.first) == subscriber; });
    if (!has_more) address_of_.erase(subscriber);  // who comes back after his rest may get another
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
    EXPECT_EQ(result.lifetime_s == static_lifetime_s, promises_[key].is_static);
    if (!promises_[key].is_static) promises_[key].explicit_until_s = now_s_ + lifetime_s;
  }
  void end_explicit(const Key& key) {
    const auto result = command(Command::Verb::end_explicit, outbound_key(key));
    const auto promise = promises_.find(key);
    ASSERT_EQ(result.status == CommandResult::Status::unknown, promise == promises_.end());
    if (promise != promises_.end() && promise->second.is_static) {
      EXPECT_EQ(result.status, CommandResult::Status::not_explicit);
    }
    if (result.status != CommandResult::Status::done) return;
    promise->second.explicit_until_s = 0;
    if (result.lifetime_s == 0) forget(promise);
  }
  void end_all(const Key& key, Command::Verb verb) {
    const auto result = command(verb, outbound_key(key));
    uint32_t ended = 0, kept = 0;
    for (auto at = promises_.begin(); at != promises_.end();) {
      const auto next = std::next(at);
      const bool meant =
          verb == Command::Verb::end_mapping ? at->first == key : std::get<0>(at->first) == std::get<0>(key);
      if (meant && at->second.is_static)
        ++kept;
      else if (meant)
        forget(at), ++ended;
      at = next;
    }
    EXPECT_EQ(result.ended, ended);
    EXPECT_EQ(result.kept, kept);
  }
  void wait() {
    advance(below(30));
    for (auto at = promises_.begin(); at != promises_.end();) {
      const auto next = std::next(at);
      if (!at->second.is_static && now_s_ > std::max(at->second.implicit_until_s, at->second.explicit_until_s))
        forget(at);
      at = next;
    }
    settle();
  }
  // As a reload does: other rules from now on, and nothing that they still allow is touched.
  void reload() {
    auto next = std::make_unique<Policy>(rules_);
    next->limits.blocks_per_subscriber_max = static_cast<uint8_t>(1 + below(Subscriber::blocks_capacity));
    next->timeouts.quarantine_s = 30 * below(8);
    if (below(2) == 0) change_pool(*next);
    if (below(2) == 0) next->statics = random_statics();
    shard_->use(*next);
    current_ = std::move(next);
    rules_ = *current_;
    address_of_.clear();
    settle();
  }
  // The first two addresses stay, and have the static mappings; of the others some come, drain and go.
  void change_pool(Policy& policy) {
    prefixes_ = {*net::parse_ipv4_prefix("192.0.2.0/31")};
    draining_.clear();
    for (const char* other : {"192.0.2.2/31", "192.0.2.4/31"}) {
      const uint32_t what = below(3);
      if (what > 0) prefixes_.push_back(*net::parse_ipv4_prefix(other));
      if (what == 2) draining_.push_back(prefixes_.back());
    }
    policy.pool = policy.pool.successor(prefixes_, draining_);
  }
  // As config_check would let them pass: an outside endpoint each, a block and an address for one subscriber only.
  StaticMappings random_statics() {
    std::vector<StaticMapping> rows;
    const uint32_t count = below(6);
    for (uint32_t i = 0; i < count; ++i) {
      const auto inside = outbound_key({5 * i + below(5), static_cast<uint16_t>(below(150)), Protocol::udp});
      const uint32_t block = 2048 + 64 * (5 * below(6) + i);
      rows.push_back({inside, {}, {{0xc0000200 + below(2)}, {static_cast<uint16_t>(block + below(64))}}});
    }
    return StaticMappings(std::move(rows));
  }
  // Lets the shard carry out what the rules say, and learns what came of it.
  void settle() {
    for (int i = 0; i < 4; ++i) shard_->tend(now_s_, 1'000'000);
    for (auto at = promises_.begin(); at != promises_.end();) {
      const auto next = std::next(at);
      const bool is_gone = !rules_.pool.number_of(at->second.outside.address);
      const bool is_no_more = at->second.is_static && !rules_.statics.has(outbound_key(at->first), at->second.outside);
      if (is_gone || is_no_more) forget(at);
      at = next;
    }
    uint32_t waiting = 0;
    for (const StaticMapping& row : rules_.statics.rows()) {
      const MappingIndex index = find(row.key);
      if (index == null_mapping || !(*shard_)[index].is_static()) {
        ++waiting;
        continue;
      }
      learn_static(row, index);
    }
    EXPECT_EQ(shard_->counters().statics_waiting.read(), waiting);
  }
  void learn_static(const StaticMapping& row, MappingIndex index) {
    EXPECT_EQ(outside(index), row.outside);
    const Key key{subscriber_number(row.key), row.key.inside_port.number, row.key.protocol};
    auto promise = promises_.find(key);
    if (promise != promises_.end() && promise->second.is_static) return;
    if (promise != promises_.end() && promise->second.outside != row.outside) {
      forget(promise);  // one inside endpoint leaves from one outside endpoint
      promise = promises_.end();
    }
    address_of_[std::get<0>(key)] = row.outside.address;
    if (promise == promises_.end()) expect_promised(key, row.outside, true);
    promises_[key] = {row.outside, 0, 0, true};
  }
  static uint32_t subscriber_number(const OutboundKey& key) {
    return uint32_t{key.subscriber.bytes[4]} << 16 | uint32_t{key.subscriber.bytes[5]} << 8 | key.subscriber.bytes[6];
  }
  // A kill, and a start with what the configuration says by now, perhaps more room. Nobody remembers addresses that had
  // left the pool.
  void restart() {
    settings_.policy = rules_;
    settings_.policy.pool = Pool(prefixes_, {2048, 4095}, 64, 1);
    if (!draining_.empty()) settings_.policy.pool = settings_.policy.pool.successor(prefixes_, draining_);
    settings_.mappings_max += below(3) * 100;
    rules_ = settings_.policy;
    address_of_.clear();
    std::erase_if(rested_, [&](const auto& rest) { return !rules_.pool.number_of(rest.first.first.address); });
    start(settings_);
    settle();
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
  struct Rest {
    uint32_t until_s = 0, who = 0;
  };
  std::map<std::pair<net::Endpoint, Protocol>, Rest> rested_;
  std::map<uint32_t, net::Ipv4> address_of_;  // subscriber's, of what he opened since the last reload
  std::vector<net::Ipv4Prefix> prefixes_{*net::parse_ipv4_prefix("192.0.2.0/30")}, draining_;
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
  auto last = std::make_unique<Policy>(rules_);
  last->statics = {};
  shard_->use(*last);
  current_ = std::move(last);
  for (int i = 0; i < 4; ++i) shard_->tend(now_s_, 1'000'000);
  for (int i = 0; i < 2; ++i) advance(10'000);  // what PCP made of TCP rests for 7440 s
  EXPECT_EQ(shard_->mappings_live() + shard_->mappings_held() + shard_->subscribers_live(), 0U);
  EXPECT_EQ(shard_->blocks_free(), shard_->blocks_total());
}

INSTANTIATE_TEST_SUITE_P(seeds, Model, testing::Values(1U, 2U, 3U, 4U));

}  // namespace
}  // namespace portolan::nat
