// Who has which ports without a log: RFC 7422's own example, and forth and back for everybody.
#include "dataplane/nat/deterministic.h"

#include <gtest/gtest.h>
#include <set>

#include "dataplane/net/text.h"

namespace portolan::nat {
namespace {

net::Ipv6 mapped(const char* address) { return net::mapped(*net::parse_ipv4(address)); }

Deterministic::Settings rfc_example() {  // RFC 7422 §2.3
  Deterministic::Settings settings;
  settings.inside = {mapped("198.51.100.0"), 96 + 28};
  settings.subscriber_prefix_length = 128;
  settings.outside = {*net::parse_ipv4_prefix("192.0.2.1/32")};
  settings.dynamic_factor = 2;
  return settings;
}

Deterministic::Settings softwires() {
  Deterministic::Settings settings;
  settings.inside = *net::parse_ipv6_prefix("2001:db8:b::/48");
  settings.outside = {*net::parse_ipv4_prefix("192.0.2.0/30"), *net::parse_ipv4_prefix("198.51.100.8/31")};
  return settings;
}

TEST(Deterministic, LOG_005_the_rfcs_example) {
  const auto map = Deterministic::make(rfc_example()).value();
  EXPECT_EQ(map.subscribers(), 14U);
  const auto outside = *net::parse_ipv4("192.0.2.1");
  EXPECT_EQ(map.range_of(mapped("198.51.100.1")), (Deterministic::Range{outside, {1024, 5055}}));
  EXPECT_EQ(map.range_of(mapped("198.51.100.2")), (Deterministic::Range{outside, {5056, 9087}}));
  EXPECT_EQ(map.range_of(mapped("198.51.100.14")), (Deterministic::Range{outside, {53440, 57471}}));
  for (const char* nobody : {"198.51.100.0", "198.51.100.15", "198.51.100.16", "10.0.0.1"})
    EXPECT_FALSE(map.range_of(mapped(nobody))) << nobody;
  EXPECT_EQ(map.subscriber_of(outside, {5055}), mapped("198.51.100.1"));
  EXPECT_EQ(map.subscriber_of(outside, {5056}), mapped("198.51.100.2"));
  for (const int dynamic : {57472, 65535, 1023})
    EXPECT_FALSE(map.subscriber_of(outside, {static_cast<uint16_t>(dynamic)})) << dynamic;
}

// LOG-003, LOG-004, LOG-010: every port of every range leads back, ranges do not overlap, the rest is dynamic.
TEST(Deterministic, LOG_010_forth_and_back_for_every_subscriber_and_port) {
  for (const uint32_t dynamic_factor : {0U, 1U, 7U})
    for (auto settings : {rfc_example(), softwires()}) {
      settings.dynamic_factor = dynamic_factor;
      const auto map = Deterministic::make(settings).value();
      const auto layout = map.layout();
      uint64_t owned = 0;
      for (const auto& prefix : settings.outside)
        for (uint32_t i = 0; i < net::size(prefix); ++i) {
          const net::Ipv4 address{uint32_t{prefix.address.bits} + i};
          for (uint32_t number = settings.ports.low; number <= settings.ports.high; ++number) {
            const net::Port port{static_cast<uint16_t>(number)};
            const auto subscriber = map.subscriber_of(address, port);
            if (!subscriber) continue;
            ++owned;
            const auto range = map.range_of(*subscriber);
            ASSERT_TRUE(range);
            ASSERT_EQ(range->address, address);
            ASSERT_LE(range->ports.low, number);
            ASSERT_GE(range->ports.high, number);
          }
        }
      EXPECT_EQ(owned, uint64_t{map.subscribers()} * layout.fixed_ports);
      EXPECT_GE(layout.range.count() - layout.fixed * layout.fixed_ports, dynamic_factor * layout.fixed_ports);
    }
}

TEST(Deterministic, what_cannot_be_dealt_is_refused_with_its_numbers) {
  auto settings = softwires();
  settings.outside = {*net::parse_ipv4_prefix("192.0.2.1/32")};
  settings.ports = {1024, 1100};
  const auto too_few = Deterministic::make(settings);
  ASSERT_FALSE(too_few);
  EXPECT_NE(too_few.error().find("256 subscribers over 1 addresses"), std::string::npos) << too_few.error();
  settings.subscriber_prefix_length = 40;
  EXPECT_FALSE(Deterministic::make(settings));
}

}  // namespace
}  // namespace portolan::nat
