#include "bench/generator/flows.h"

#include <gtest/gtest.h>
#include <map>
#include <set>
#include <stdexcept>
#include <tuple>

namespace portolan::bench {
namespace {

std::tuple<uint32_t, uint32_t, uint16_t> identity(const Flow& flow) {
  return {flow.subscriber, flow.inside.address.bits, flow.inside.port.number};
}

// Two flows of one inside endpoint would be one mapping, and the counts of everything wrong.
TEST(Flows, BEN_050_each_has_an_inside_endpoint_of_its_own_among_many_subscribers) {
  const Flows flows({100'000, 256, 4, true});
  std::set<std::tuple<uint32_t, uint32_t, uint16_t>> seen;
  std::map<uint32_t, unsigned> per_subscriber;
  for (uint32_t number = 0; number < 100'000; ++number) {
    const Flow flow = flows.flow(number);
    EXPECT_TRUE(seen.insert(identity(flow)).second) << number;
    ++per_subscriber[flow.subscriber];
  }
  EXPECT_EQ(per_subscriber.size(), 391U);
  EXPECT_EQ(per_subscriber[17], 256U);
}

TEST(Flows, BEN_007_addresses_come_from_the_benchmarking_prefixes) {
  const net::Ipv4Prefix benchmarking{{0xc6120000}, 15};  // 198.18.0.0/15
  const net::Ipv6Prefix benchmarking_v6{{{0x20, 1, 0, 2}}, 48};
  const Flows hosts({50'000, 256, 1, false}), softwires({50'000, 256, 4, true});
  for (uint32_t number = 0; number < 50'000; number += 7) {
    EXPECT_TRUE(contains(benchmarking, hosts.flow(number).inside.address));
    EXPECT_TRUE(contains(benchmarking, softwires.flow(number).remote.address));
    EXPECT_TRUE(contains(benchmarking_v6, b4_address(softwires.flow(number).subscriber)));
    EXPECT_TRUE(contains(private_prefix, softwires.flow(number).inside.address));  // RFC 6333 §11 lets no other through
  }
  EXPECT_TRUE(contains(benchmarking_v6, aftr_address));
}

// Uniform over 1024-65535 and 1-49151: every sixteenth of the range gets its share.
TEST(Flows, BEN_008_ports_are_pseudo_random_over_the_ranges_of_rfc_4814) {
  const Flows flows({160'000, 256, 4, true});
  std::array<unsigned, 16> sources{}, destinations{};
  for (uint32_t number = 0; number < 160'000; ++number) {
    const Flow flow = flows.flow(number);
    const uint16_t source = flow.inside.port.number, destination = flow.remote.port.number;
    ASSERT_GE(source, 1024);
    ASSERT_GE(destination, 1);
    ASSERT_LE(destination, 49151);
    ++sources[(source - 1024U) * 16 / 64512];
    ++destinations[(destination - 1U) * 16 / 49151];
  }
  for (const auto& counts : {sources, destinations})
    for (const unsigned count : counts) EXPECT_NEAR(count, 10'000, 1'000);
}

// Were they those of others, others would be refused for what is theirs.
TEST(Flows, BEN_033_abuse_comes_from_one_subscriber_who_is_no_other_and_never_from_the_same_port) {
  const Flows flows({1'000, 256, 4, true});
  std::set<std::tuple<uint32_t, uint32_t, uint16_t>> seen;
  for (uint32_t number = 0; number < 200'000; ++number) {
    const Flow abusive = flows.abusive(number);
    EXPECT_EQ(abusive.subscriber, 4U) << "0 to 3 are others";
    EXPECT_TRUE(contains(private_prefix, abusive.inside.address));
    EXPECT_TRUE(contains(remotes, abusive.remote.address));
    EXPECT_TRUE(seen.insert(identity(abusive)).second) << number;
  }
}

TEST(Flows, shapes_that_do_not_fit_are_refused) {
  EXPECT_THROW(Flows({10, 0, 1, true}), std::invalid_argument);
  EXPECT_THROW(Flows({10, 16, 4, false}), std::invalid_argument);
  EXPECT_THROW(Flows({20'000'000, 256, 1, false}), std::invalid_argument);  // 78,125 hosts
  EXPECT_THROW(Flows({100'000, 70'000, 4, true}), std::invalid_argument);
}

TEST(Scatter, names_each_number_of_the_range_once) {
  for (const uint32_t count : {1U, 2U, 3U, 10U, 1000U, 65'536U, 99'991U}) {
    Scatter scatter(7, count);
    std::set<uint32_t> seen;
    for (uint32_t i = 0; i < count; ++i) seen.insert(scatter.next());
    EXPECT_EQ(seen.size(), count);
    EXPECT_EQ(*seen.begin(), 7U);
    EXPECT_EQ(*seen.rbegin(), 7 + count - 1);
  }
}

}  // namespace
}  // namespace portolan::bench
