// Many subscribers through the workers: what only shows in numbers. One packet of each kind is written as in a script,
// and its ports and addresses are counted up.
#include <gtest/gtest.h>
#include <map>
#include <set>

#include "dataplane/net/text.h"
#include "dataplane/net/wire.h"
#include "tests/packets/random_frames.h"

namespace portolan::packets {
namespace {

using pipeline::Fate;
using pipeline::Punt;
using pipeline::Side;

constexpr uint32_t start_s = 100'000;

std::string b4_of(unsigned subscriber, unsigned host = 1) {
  char text[40];
  std::snprintf(text, sizeof text, "2001:db8:b:%x00::%x", subscriber % 256, host);
  return text;
}

class Population : public testing::TestWithParam<unsigned> {
 protected:
  void start(const char* pool, nat::PortRange ports, uint16_t block_ports, uint8_t blocks_max) {
    settings_ = default_settings();
    settings_.workers = GetParam();
    settings_.pool_prefixes = {*net::parse_ipv4_prefix(pool)};
    settings_.ports = ports;
    settings_.block_ports = block_ports;
    settings_.snapshot.policy.limits.blocks_per_subscriber_max = blocks_max;
    settings_.shard.mappings_max = 80'000;
    network_ = std::make_unique<Network>(settings_);
  }
  void TearDown() override { EXPECT_EQ(network_->contradictions(), ""); }

  // What became of it; one in, one out.
  Outcome pass(Side side, const std::string& text) {
    Variables none;
    auto outcomes = network_->deliver(entry_++ % settings_.workers, side, {incoming(split(text), side, none)}, start_s);
    EXPECT_EQ(outcomes.size(), 1U);
    EXPECT_EQ(fault_of(outcomes.at(0), settings_), "");
    return std::move(outcomes[0]);
  }
  Outcome from_b4(const std::string& b4, const std::string& inner) {
    return pass(Side::access, b4 + " > 2001:db8:a::1 / " + inner);
  }
  Outcome udp(const std::string& b4, unsigned port, const char* remote = "198.51.100.9:53") {
    return from_b4(b4, "10.0.0.2:" + std::to_string(port) + " > " + remote + " udp 1");
  }

  // The outside endpoint a packet left from; with ICMP its identifier.
  static net::Endpoint source_of(const Outcome& outcome) {
    const auto& ip = net::header_at<net::Ipv4Header>(outcome.bytes.data() + sizeof(net::EthernetHeader));
    const uint8_t* transport = outcome.bytes.data() + sizeof(net::EthernetHeader) + ip.header_bytes();
    if (ip.protocol != static_cast<uint8_t>(net::Protocol::icmp))
      return {ip.source, net::header_at<net::UdpHeader>(transport).source};
    return {ip.source, {net::header_at<net::IcmpHeader>(transport).identifier}};
  }
  static bool is_refused(const Outcome& outcome) {
    return outcome.fate == Fate::punt && outcome.context.punt == Punt::no_resources;
  }

  Settings settings_;
  std::unique_ptr<Network> network_;
  unsigned entry_ = 0;
};

TEST_P(Population, ICM_005_identifiers_of_a_hundred_subscribers_are_nobody_elses) {
  start("192.0.2.0/31", {1024, 65535}, 256, 3);
  std::set<net::Endpoint> seen;
  for (unsigned identifier = 0; identifier < 700; ++identifier)
    for (unsigned subscriber = 0; subscriber < 100; ++subscriber) {
      const auto outcome =
          from_b4(b4_of(subscriber), "10.0.0.2 > 198.51.100.9 icmp echo " + std::to_string(identifier) + " 1 1");
      ASSERT_EQ(outcome.fate, Fate::send) << subscriber << ", " << identifier;
      const auto outside = source_of(outcome);
      ASSERT_TRUE(seen.insert(outside).second) << net::to_text(outside) << " twice";
      ASSERT_GE(outside.port.number, 1024);
    }
  unsigned more = 0;  // they count in the subscriber's limit: three blocks
  while (from_b4(b4_of(7), "10.0.0.2 > 198.51.100.9 icmp echo " + std::to_string(700 + more) + " 1 1").fate ==
         Fate::send)
    ++more;
  EXPECT_EQ(700 + more, 3 * 256U);
}

TEST_P(Population, DSL_069_no_flow_gets_a_system_port) {
  start("192.0.2.0/32", {1024, 65535}, 64, 8);
  unsigned served = 0;
  for (unsigned port = 0; port < 300; ++port)
    for (unsigned subscriber = 0; subscriber < 215; ++subscriber) {
      const auto outcome = udp(b4_of(subscriber), 1000 + port);
      if (outcome.fate != Fate::send) continue;
      ++served;
      ASSERT_GE(source_of(outcome).port.number, 1024);
    }
  EXPECT_GT(served, 50'000U);
}

// Two more packets of a mapping just made or refused: it is endpoint-independent, both ways, or it is not there.
TEST_P(Population, UDP_020_UDP_001_UDP_016_the_last_free_port_behaves_like_the_first) {
  start("192.0.2.0/32", {2048, 4095}, 64, 1);
  std::map<net::Endpoint, std::pair<unsigned, unsigned>> owners;
  unsigned refused = 0;
  for (unsigned subscriber = 0; subscriber < 200; ++subscriber)
    for (unsigned port = 1; port <= 64; ++port) {
      const auto first = udp(b4_of(subscriber), port);
      const auto second = udp(b4_of(subscriber), port, "203.0.113.7:99");
      if (is_refused(first)) {
        EXPECT_TRUE(is_refused(second));
        ++refused;
        continue;
      }
      ASSERT_EQ(first.fate, Fate::send);
      ASSERT_EQ(second.fate, Fate::send);
      EXPECT_EQ(source_of(first), source_of(second));
      EXPECT_TRUE(owners.insert({source_of(first), {subscriber, port}}).second);
    }
  EXPECT_GT(refused, 0U);
  EXPECT_EQ(owners.size(), 2048U) << "ports of the pool";
  for (const auto& [outside, owner] : owners) {
    const auto answer = pass(Side::internet, "203.0.113.200:7 > " + net::to_text(outside) + " udp 1");
    ASSERT_EQ(answer.fate, Fate::send);
    const auto& outer = net::header_at<net::Ipv6Header>(answer.bytes.data() + sizeof(net::EthernetHeader));
    EXPECT_EQ(outer.destination, *net::parse_ipv6(b4_of(owner.first)));
    const uint8_t* inner = answer.bytes.data() + sizeof(net::EthernetHeader) + sizeof outer;
    EXPECT_EQ(net::header_at<net::UdpHeader>(inner + sizeof(net::Ipv4Header)).destination.number, owner.second);
  }
}

TEST_P(Population, DSL_082_DSL_081_the_quota_is_the_prefixs_whatever_b4_address_asks) {
  start("192.0.2.0/30", {2048, 65535}, 64, 1);
  for (unsigned port = 1; port <= 64; ++port) ASSERT_EQ(udp(b4_of(1, 1), port).fate, Fate::send);
  EXPECT_TRUE(is_refused(udp(b4_of(1, 1), 65)));
  EXPECT_TRUE(is_refused(udp(b4_of(1, 2), 65)));
  EXPECT_EQ(udp(b4_of(1, 2), 64).fate, Fate::send) << "what there is moves with the B4";
  EXPECT_EQ(udp(b4_of(2, 2), 65).fate, Fate::send) << "another prefix";
}

INSTANTIATE_TEST_SUITE_P(workers, Population, testing::Values(1U, 2U, 3U, 8U));

}  // namespace
}  // namespace portolan::packets
