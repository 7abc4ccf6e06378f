// Deterministic allocation as the configuration names it, and the record that says whose ports are where.
#include "controlplane/deterministic_settings.h"

#include <gtest/gtest.h>

#include "controlplane/engine_settings.h"
#include "dataplane/net/text.h"

namespace portolan::control {
namespace {

Config rfc_example() {  // RFC 7422 §2.3
  Config config;
  config.pool.prefixes = {*net::parse_ipv4_prefix("192.0.2.1/32")};
  config.pool.deterministic_for = "198.51.100.0/28";
  config.pool.dynamic_factor = 2;
  return config;
}

TEST(DeterministicSettings, LOG_003_LOG_004_LOG_005_an_ipv4_prefix_is_of_nat44_subscribers) {
  const auto made = deterministic_of(rfc_example());
  ASSERT_TRUE(made) << made.error();
  ASSERT_TRUE(*made);
  EXPECT_EQ((*made)->subscribers(), 14U);
  EXPECT_EQ((*made)->layout().fixed_ports, 4032U);
}

TEST(DeterministicSettings, LOG_009_the_record_holds_every_variable) {
  const auto made = deterministic_of(rfc_example()).value();
  EXPECT_EQ(record_of(*made, "5004,5060"),
            "inside=198.51.100.0/28 outside=192.0.2.1/32 ports=1024-65535 dynamic-factor=2 ports-each=4032 algorithm=0 "
            "reserved=0-1023,5004,5060");
}

TEST(DeterministicSettings, the_pool_follows_it_and_reserved_ports_reach_the_shards) {
  Config config = rfc_example();
  config.pool.deterministic_for = "2001:db8:b::/48";
  config.pool.reserved_ports = "5060,6000-6010";
  const nat::Pool pool = policy_of(config).pool;
  ASSERT_NE(pool.deterministic(), nullptr);
  EXPECT_TRUE(pool.fixed_range_of(*net::parse_ipv6("2001:db8:b:300::")));
  const auto shard = shard_settings(config, 0, "/nowhere");
  EXPECT_EQ(shard.reserved_ports, (std::vector<nat::PortRange>{{5060, 5060}, {6000, 6010}}));
  config.pool.deterministic_for.clear();
  EXPECT_EQ(policy_of(config).pool.deterministic(), nullptr);
}

TEST(DeterministicSettings, what_is_no_prefix_is_refused) {
  Config config = rfc_example();
  config.pool.deterministic_for = "everybody";
  ASSERT_FALSE(deterministic_of(config));
  EXPECT_NE(deterministic_of(config).error().find("\"everybody\" is not a prefix"), std::string::npos);
}

}  // namespace
}  // namespace portolan::control
