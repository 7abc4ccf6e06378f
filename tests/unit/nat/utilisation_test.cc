// How well the pool is used, how much there is to log, and how little there is to guess: numbers for
// docs/operations.md, which ctest -V shows.
#include <iostream>
#include <set>

#include "tests/unit/nat/fixture.h"

namespace portolan::nat {
namespace {

constexpr uint32_t subscribers = 2000;
constexpr uint16_t block_ports = 256;

class Utilisation : public ShardTest {
 protected:
  void SetUp() override {
    ShardSettings settings;
    settings.mappings_max = 300'000;
    settings.subscribers_max = subscribers;
    settings.policy.pool = {{*net::parse_ipv4_prefix("192.0.2.0/31")}, {1024, 65535}, block_ports, 1};
    start(settings);
  }
  // Up to `flows` of each of many subscribers, until the pool is empty. Returns how many were served.
  uint32_t fill(uint16_t flows) {
    uint32_t served = 0;
    for (uint32_t subscriber = 0; subscriber < subscribers; ++subscriber)
      for (uint16_t port = 0; port < flows; ++port) {
        served += try_open(key_of(subscriber, port)) ? 1U : 0U;
        while (const auto taken = shard_->take_events(room_)) blocks_told_ += taken;
      }
    EXPECT_EQ(shard_->blocks_free(), 0U);
    return served;
  }
  static double percent(uint32_t part, uint32_t whole) { return 100.0 * part / whole; }

  const uint32_t pool_ports_ = 2 * 64512;
  std::array<Event, 64> room_;
  size_t blocks_told_ = 0;
};

TEST_F(Utilisation, CGN_032_subscribers_of_one_flow_use_one_port_of_a_block) {
  const uint32_t used = fill(1);
  EXPECT_EQ(used, pool_ports_ / block_ports) << "a block each";
  std::cout << "one flow each: " << used << " subscribers, " << percent(used, pool_ports_) << " % of the ports\n";
}

TEST_F(Utilisation, CGN_032_heavy_subscribers_use_every_port) {
  const uint32_t used = fill(1200);
  EXPECT_EQ(used, pool_ports_ - 2 * 2) << "all but UDP 5350 and 5351";
  std::cout << "as many as they get: " << percent(used, pool_ports_) << " % of the ports\n";
}

TEST_F(Utilisation, CGN_033_a_record_for_each_block_given_out) {
  for (const auto& [flows, most] : {std::pair<uint16_t, double>{20, 50.0}, {200, 5.0}}) {
    SetUp();
    blocks_told_ = 0;
    const uint32_t served = fill(flows);
    const double records = 1000.0 * static_cast<double>(blocks_told_) / served;
    EXPECT_LE(records, most);
    std::cout << flows << " flows each: " << records << " records for 1000 flows\n";
  }
}

TEST_F(Utilisation, CGN_034_two_starts_choose_differently) {
  std::set<std::vector<net::Endpoint>> sequences;
  for (int starts = 0; starts < 8; ++starts) {
    SetUp();
    std::vector<net::Endpoint> sequence;
    for (uint16_t port = 0; port < 32; ++port) sequence.push_back(outside(open(key_of(1, port))));
    sequences.insert(sequence);
  }
  EXPECT_EQ(sequences.size(), 8U);
}

}  // namespace
}  // namespace portolan::nat
