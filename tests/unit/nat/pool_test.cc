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
  EXPECT_EQ(net::to_text(pool.address_of(0)), "198.51.100.0");  // in the order given
  EXPECT_EQ(net::to_text(pool.address_of(4)), "192.0.2.77");
  for (const char* outside :
       {"0.0.0.0", "192.0.2.76", "192.0.2.78", "198.51.100.4", "203.0.113.7", "203.0.113.16", "255.255.255.255"})
    EXPECT_FALSE(pool.number_of(*net::parse_ipv4(outside))) << outside;
}

// Every port of every whole block has one owner, who knows the address.
void expect_one_owner_each(const Pool& pool, unsigned workers) {
  std::vector<uint32_t> blocks(workers);
  for (uint32_t number = 0; number < pool.address_count(); ++number)
    for (uint32_t block = 0; block < pool.layout().blocks(); ++block) {
      const unsigned owner = pool.owner_of_block(number, block);
      ASSERT_LT(owner, workers);
      ++blocks[owner];
      ASSERT_LT(pool.local_of(number), pool.local_count(owner));
      ASSERT_EQ(pool.number_of_local(owner, pool.local_of(number)), number);
      for (const uint16_t port : {pool.layout().ports_of(block).low, pool.layout().ports_of(block).high})
        ASSERT_EQ(pool.owner(number, {port}), owner);
    }
  if (pool.address_count() * pool.layout().blocks() >= workers) {
    for (const uint32_t count : blocks) EXPECT_GT(count, 0U) << "a worker without a port";
  }
}

TEST(Pool, every_endpoint_has_one_owner_and_every_worker_some) {
  for (const unsigned workers : {1U, 2U, 3U, 8U})
    for (const char* prefix : {"192.0.2.1/32", "192.0.2.0/31", "192.0.2.0/30", "192.0.2.0/28", "192.0.2.0/24"})
      for (const PortRange ports : {PortRange{1024, 65535}, PortRange{1024, 1087}, PortRange{2000, 3999}}) {
        SCOPED_TRACE(std::string(prefix) + ", " + std::to_string(workers) + " workers, " +
                     std::to_string(ports.count()) + " ports");
        expect_one_owner_each(Pool(prefixes({prefix}), ports, 64, workers), workers);
      }
}

TEST(Pool, scattered_addresses_are_dealt_evenly) {
  std::vector<net::Ipv4Prefix> scattered;
  for (uint32_t i = 0; i < 64; ++i) scattered.push_back({net::Ipv4{0xc0000200 + i * 0x10080}, 32});
  for (const unsigned workers : {2U, 3U, 8U}) {
    const Pool pool(scattered, {}, 256, workers);
    ASSERT_FALSE(pool.is_shared());
    for (unsigned worker = 0; worker < workers; ++worker)
      EXPECT_GE(pool.local_count(worker), 64 / workers / 2) << workers << " workers";
  }
}

TEST(Pool, an_address_unshared_has_one_owner_for_all_its_ports) {
  const Pool pool(prefixes({"192.0.2.0/28"}), {}, 256, 3);
  for (uint32_t number = 0; number < 16; ++number)
    for (const int port : {0, 80, 1024, 65535})
      EXPECT_EQ(pool.owner(number, {static_cast<uint16_t>(port)}), pool.owner_of_fragments(number));
}

TEST(Pool, a_successor_moves_nothing) {
  const Pool first(prefixes({"192.0.2.0/29", "198.51.100.0/30"}), {}, 256, 2);
  const Pool second = first.successor(prefixes({"203.0.113.0/30", "192.0.2.4/30"}), prefixes({"192.0.2.6/31"}));
  const auto number_in = [](const Pool& pool, const char* text) { return pool.number_of(*net::parse_ipv4(text)); };
  for (const char* kept : {"192.0.2.4", "192.0.2.7"}) {
    const auto number = number_in(second, kept);
    ASSERT_TRUE(number);
    EXPECT_EQ(number, number_in(first, kept));
    EXPECT_EQ(second.owner_of_fragments(*number), first.owner_of_fragments(*number));
    EXPECT_EQ(second.local_of(*number), first.local_of(*number));
  }
  EXPECT_FALSE(number_in(second, "192.0.2.0"));
  EXPECT_FALSE(number_in(second, "198.51.100.1"));
  EXPECT_EQ(second.number_ever_of(*net::parse_ipv4("198.51.100.1")), number_in(first, "198.51.100.1"));
  EXPECT_EQ(second.state_of(*number_in(second, "192.0.2.4")), Pool::State::active);
  EXPECT_EQ(second.state_of(*number_in(second, "192.0.2.6")), Pool::State::draining);
  EXPECT_GE(*number_in(second, "203.0.113.0"), first.address_count());
  expect_one_owner_each(second, 2);
  // Back again: the same numbers, whatever the cut.
  const Pool third = second.successor(prefixes({"192.0.2.0/28"}), {});
  EXPECT_EQ(number_in(third, "192.0.2.1"), number_in(first, "192.0.2.1"));
  EXPECT_EQ(third.address_count(), second.address_count() + 8);
  EXPECT_EQ(third.generation(), 2U);
}

TEST(Pool, what_is_in_use_keeps_its_worker) {
  const net::Ipv6 subscriber = *net::parse_ipv6("2001:db8:0:100::");
  const Pool pool(prefixes({"192.0.2.0/28"}), {}, 256, 4);
  const auto other = static_cast<uint8_t>((pool.owner_of(subscriber) + 1) % 4);
  EXPECT_EQ(pool.with({{subscriber, other}}, {}).owner_of(subscriber), other);
  const Pool shared(prefixes({"192.0.2.1/32"}), {}, 256, 4);
  ASSERT_TRUE(shared.is_shared());
  const Pool::BlockClaim claim{0, 7, 3};
  EXPECT_EQ(shared.owner_of_block(0, 7), 0U);
  EXPECT_EQ(shared.with({}, {&claim, 1}).owner_of_block(0, 7), 3U);
  EXPECT_EQ(shared.with({}, {&claim, 1}).owner_of_block(0, 8), shared.owner_of_block(0, 8));
}

TEST(Pool, subscribers_spread_over_workers) {
  for (const unsigned length : {56U, 64U, 128U})
    for (const unsigned workers : {2U, 3U, 8U}) {
      const Pool pool(prefixes({"192.0.2.0/24"}), {}, 256, workers, length);
      std::vector<uint32_t> count(workers);
      constexpr uint32_t subscribers = 8192;
      for (uint32_t i = 0; i < subscribers; ++i) {  // one after the other, as a provider hands them out
        net::Ipv6 prefix = *net::parse_ipv6("2001:db8::");
        prefix.bytes[length / 8 - 2] = static_cast<uint8_t>(i >> 8);
        prefix.bytes[length / 8 - 1] = static_cast<uint8_t>(i);
        const unsigned owner = pool.owner_of(prefix);
        ASSERT_LT(owner, workers);
        ++count[owner];
      }
      for (const uint32_t each : count)
        EXPECT_NEAR(each, subscribers / workers, subscribers / workers / 5) << workers << " workers, /" << length;
    }
}

}  // namespace
}  // namespace portolan::nat
