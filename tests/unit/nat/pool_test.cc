// Which worker owns which outside address and port: all of them, each once, in the range it allocates from.
#include "dataplane/nat/pool.h"

#include <gtest/gtest.h>
#include <random>

#include "dataplane/nat/port_blocks.h"
#include "dataplane/net/text.h"

namespace portolan::nat {
namespace {

std::vector<net::Ipv4Prefix> prefixes(std::initializer_list<const char*> texts) {
  std::vector<net::Ipv4Prefix> out;
  for (const char* text : texts) out.push_back(net::parse_ipv4_prefix(text).value());
  return out;
}

// Also shows CGN-006.
TEST(Pool, CGN_005_scattered_prefixes_are_numbered_throughout) {
  const Pool pool(prefixes({"198.51.100.0/30", "192.0.2.77/32", "203.0.113.8/29"}), {}, 256, 1);
  EXPECT_EQ(pool.address_count(), 13U);
  for (uint32_t number = 0; number < 13; ++number) EXPECT_EQ(pool.number_of(pool.address_of(number)), number);
  EXPECT_EQ(net::to_text(pool.address_of(0)), "198.51.100.0");  // in the order given …
  EXPECT_EQ(net::to_text(pool.address_of(4)), "192.0.2.77");    // … so that what is added later moves nothing
  for (const char* outside :
       {"0.0.0.0", "192.0.2.76", "192.0.2.78", "198.51.100.4", "203.0.113.7", "203.0.113.16", "255.255.255.255"})
    EXPECT_FALSE(pool.number_of(*net::parse_ipv4(outside))) << outside;
}

// Of every port of every whole block: the owner's range holds it, and no other worker's does.
void expect_one_owner_each(const Pool& pool, unsigned workers) {
  const uint32_t whole = pool.ports().count() / pool.block_ports() * pool.block_ports();
  for (uint32_t number = 0; number < pool.address_count(); ++number)
    for (uint32_t port = pool.ports().low; port < pool.ports().low + whole; ++port) {
      const unsigned owner = pool.owner(number, {static_cast<uint16_t>(port)});
      ASSERT_LT(owner, workers);
      ASSERT_LT(pool.local_of(number), pool.local_count(owner));
      ASSERT_EQ(pool.number_of_local(owner, pool.local_of(number)), number);
      for (unsigned worker = 0; worker < workers; ++worker) {
        bool holds = false;
        for (uint32_t local = 0; local < pool.local_count(worker); ++local)
          holds |= pool.number_of_local(worker, local) == number && port >= pool.local_ports(worker).low &&
                   port <= pool.local_ports(worker).high;
        ASSERT_EQ(holds, worker == owner)
            << net::to_text(pool.address_of(number)) << ":" << port << ", worker " << worker;
      }
    }
}

TEST(Pool, every_endpoint_has_one_owner) {
  for (const unsigned workers : {1U, 2U, 3U, 8U})
    for (const char* prefix : {"192.0.2.1/32", "192.0.2.0/31", "192.0.2.0/30", "192.0.2.0/28"})
      for (const PortRange ports : {PortRange{1024, 65535}, PortRange{1024, 1087}, PortRange{2000, 3999}}) {
        SCOPED_TRACE(std::string(prefix) + ", " + std::to_string(workers) + " workers, " +
                     std::to_string(ports.count()) + " ports");
        expect_one_owner_each(Pool(prefixes({prefix}), ports, 64, workers), workers);
      }
}

// Shows DSL-069.
TEST(Pool, ranges_stay_in_the_configured_one) {
  for (const unsigned workers : {2U, 3U, 8U})
    for (const PortRange ports :
         {PortRange{65408, 65535}, PortRange{1024, 1087}, PortRange{1024, 1024 + 5 * 64 + 10}}) {
      const Pool pool(prefixes({"192.0.2.1/32"}), ports, 64, workers);
      uint32_t blocks = 0;
      for (unsigned worker = 0; worker < workers; ++worker) {
        const PortRange own = pool.local_ports(worker);
        if (own.count() == 0) continue;
        EXPECT_GE(own.low, ports.low);
        EXPECT_LE(own.high, ports.high);
        EXPECT_EQ(own.count() % 64, 0U);
        blocks += own.count() / 64;
      }
      EXPECT_EQ(blocks, ports.count() / 64);  // fewer blocks than workers: some own none, none is owned twice
    }
}

TEST(Pool, an_address_unshared_has_one_owner_for_all_its_ports) {
  const Pool pool(prefixes({"192.0.2.0/28"}), {}, 256, 3);
  for (uint32_t number = 0; number < 16; ++number)
    for (const int port : {0, 80, 1024, 65535})
      EXPECT_EQ(pool.owner(number, {static_cast<uint16_t>(port)}), number % 3);
}

TEST(Pool, subscribers_spread_over_workers) {
  for (const unsigned workers : {2U, 3U, 8U}) {
    std::vector<uint32_t> count(workers);
    constexpr uint32_t subscribers = 8000;
    for (uint32_t i = 0; i < subscribers; ++i) {  // one /56 after the other, as a provider hands them out
      net::Ipv6 prefix = *net::parse_ipv6("2001:db8::");
      prefix.bytes[5] = static_cast<uint8_t>(i >> 8), prefix.bytes[6] = static_cast<uint8_t>(i);
      const unsigned owner = owner_of_subscriber(prefix, workers);
      ASSERT_LT(owner, workers);
      ASSERT_EQ(owner, owner_of_subscriber(prefix, workers));
      ++count[owner];
    }
    for (const uint32_t each : count) EXPECT_NEAR(each, subscribers / workers, subscribers / workers / 5);
  }
}

}  // namespace
}  // namespace portolan::nat
