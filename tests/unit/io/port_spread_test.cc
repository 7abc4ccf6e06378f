// A device of several queues is told how to deal packets (DPDK's net_null takes key and table), and what it deals wrong
// is counted and still right. DPDK's own software hash is the judge; frames and hashes come in by receive callbacks.
#include <algorithm>
#include <atomic>
#include <rte_ethdev.h>
#include <rte_thash.h>

#include "dataplane/net/text.h"
#include "dataplane_fixture.h"

namespace portolan::io::test {
namespace {

using pipeline::Side;

constexpr unsigned workers = 4;

uint16_t port_of(const char* name) {
  uint16_t id = 0;
  EXPECT_EQ(rte_eth_dev_get_port_by_name(name, &id), 0);
  return id;
}

std::vector<uint8_t> key_of(uint16_t port, uint64_t& types) {
  std::vector<uint8_t> key(40);
  rte_eth_rss_conf conf{};
  conf.rss_key = key.data();
  conf.rss_key_len = static_cast<uint8_t>(key.size());
  EXPECT_EQ(rte_eth_dev_rss_hash_conf_get(port, &conf), 0);
  types = conf.rss_hf;
  return key;
}

std::array<uint16_t, 128> table_of(uint16_t port) {
  std::array<rte_eth_rss_reta_entry64, 2> groups{};
  for (auto& group : groups) group.mask = ~uint64_t{0};
  EXPECT_EQ(rte_eth_dev_rss_reta_query(port, groups.data(), 128), 0);
  std::array<uint16_t, 128> table{};
  for (size_t i = 0; i < table.size(); ++i) table[i] = groups[i / 64].reta[i % 64];
  return table;
}

uint32_t hash_of(const std::vector<uint8_t>& key, net::Ipv4 source, net::Ipv4 destination) {
  uint32_t tuple[] = {source.bits, destination.bits};
  return rte_softrss(tuple, 2, key.data());
}
uint32_t hash_of(const std::vector<uint8_t>& key, const net::Ipv6& source, const net::Ipv6& destination) {
  uint32_t tuple[8];
  for (size_t i = 0; i < 16; ++i) {
    const auto shift = 24 - i % 4 * 8;
    if (i % 4 == 0) tuple[i / 4] = tuple[4 + i / 4] = 0;
    tuple[i / 4] |= uint32_t{source.bytes[i]} << shift;
    tuple[4 + i / 4] |= uint32_t{destination.bytes[i]} << shift;
  }
  return rte_softrss(tuple, 8, key.data());
}

TEST(PortSpread, a_device_is_told_to_bring_every_packet_to_its_owner) {
  in_child([] {
    Bench bench(workers);
    bench.open("net_null0,no-rx=1", "net_null1,no-rx=1");
    bench.run();
    const auto& pool = bench.snapshot->policy.pool;
    for (const Side side : {Side::access, Side::internet}) {
      const auto port = port_of(side == Side::access ? "net_null0" : "net_null1");
      uint64_t types = 0;
      const auto key = key_of(port, types);
      const auto table = table_of(port);
      EXPECT_EQ(bench.dataplane->interface(side).spread, "to owners");
      for (uint32_t i = 0; i < 200; ++i) {
        const net::Ipv6 elsewhere = *net::parse_ipv6("2001:db8:a::" + std::to_string(1 + i % 7));
        const auto hash = side == Side::access
                              ? hash_of(key, b4_of(i), elsewhere)
                              : hash_of(key, net::Ipv4{i * 2654435761U}, net::Ipv4{0xc0000200 + i % 4});
        const unsigned owner =
            side == Side::access ? pool.owner_of(net::masked(b4_of(i), 56)) : pool.owner(i % 4, {5000});
        ASSERT_EQ(table[hash % 128], owner) << to_text(side) << ' ' << i;
      }
    }
    bench.dataplane->stop();
  });
}

TEST(PortSpread, a_device_that_cannot_be_told_is_named) {
  in_child([] {
    Bench bench(2);
    bench.open(bench.capture_device(Side::access, {{}, {}}), "net_null1,no-rx=1");
    bench.run();
    EXPECT_EQ(bench.dataplane->interface(Side::access).spread, "does not hash addresses");
    EXPECT_EQ(bench.dataplane->interface(Side::internet).spread, "to owners");
    bench.dataplane->stop();
  });
}

// What a receive callback puts in the place of net_null's empty frames: a query of each subscriber, all into one queue.
struct Feed {
  std::vector<Frame> frames;
  std::vector<uint32_t> hashes;
  std::atomic<size_t> given{0};

  static uint16_t give(uint16_t, uint16_t, rte_mbuf* packets[], uint16_t count, uint16_t, void* feed_of) {
    auto& feed = *static_cast<Feed*>(feed_of);
    uint16_t kept = 0;
    for (uint16_t i = 0; i < count; ++i) {
      const size_t at = feed.given;
      if (at == feed.frames.size()) {
        rte_pktmbuf_free(packets[i]);
        continue;
      }
      const Frame& frame = feed.frames[at];
      std::ranges::copy(frame, rte_pktmbuf_mtod(packets[i], uint8_t*));
      packets[i]->data_len = static_cast<uint16_t>(frame.size());
      packets[i]->pkt_len = packets[i]->data_len;
      packets[i]->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
      packets[i]->hash.rss = feed.hashes[at];
      packets[kept++] = packets[i];
      ++feed.given;
    }
    return kept;
  }
};

// Returns how many were counted as misplaced, and by how many more than those that crossed.
struct Crossings {
  uint64_t misplaced, handed_out;
};
Crossings crossings(bool right_queue, bool right_hash, bool pinned) {
  Bench bench(workers);
  constexpr unsigned subscribers = 60;
  const auto& spread = bench.snapshot->policy.pool.spread();
  const std::vector<uint8_t> key(spread.key().begin(), spread.key().end());
  std::array<Feed, workers> feeds;
  for (unsigned subscriber = 0; subscriber < subscribers; ++subscriber) {
    Feed& feed = feeds[right_queue ? spread.worker_of(b4_of(subscriber)) : 0];
    feed.frames.push_back(softwire_udp(subscriber, {5000}, {*net::parse_ipv4("203.0.113.9"), {53}}, "query"));
    const uint32_t hash = hash_of(key, b4_of(subscriber), *net::parse_ipv6("2001:db8:a::1"));
    feed.hashes.push_back(right_hash ? hash : hash ^ 1);
  }
  if (pinned) {
    nat::Pool::Pins pins;
    for (unsigned subscriber = 0; subscriber < subscribers; ++subscriber) {
      const auto prefix = net::masked(b4_of(subscriber), 56);
      pins.emplace(prefix, static_cast<uint8_t>((spread.worker_of(b4_of(subscriber)) + 1) % workers));
    }
    bench.snapshot->policy.pool = bench.snapshot->policy.pool.with(std::move(pins), {});
  }
  bench.open("net_null0,size=64", "net_null1,no-rx=1");
  for (uint16_t queue = 0; queue < workers; ++queue)
    EXPECT_NE(rte_eth_add_rx_callback(port_of("net_null0"), queue, Feed::give, &feeds[queue]), nullptr);
  bench.run();
  wait_until([&] { return bench.sent_packets() == subscribers; }, "all were translated and sent");
  bench.dataplane->stop();
  EXPECT_EQ(bench.on_their_way(), 0);
  EXPECT_EQ(bench.dropped(), 0U);
  return {bench.total([](const auto& counters) { return counters.misplaced.read(); }), bench.handed_out()};
}

TEST(PortSpread, what_comes_to_its_owner_crosses_nothing) {
  in_child([] {
    const auto [misplaced, handed_out] = crossings(true, true, false);
    EXPECT_EQ(misplaced, 0U);
    EXPECT_EQ(handed_out, 0U);
  });
}

TEST(PortSpread, what_a_device_puts_elsewhere_is_counted_and_still_right) {
  in_child([] {
    const auto [misplaced, handed_out] = crossings(false, true, false);
    EXPECT_GT(misplaced, 20U);
    EXPECT_EQ(misplaced, handed_out);
  });
}

TEST(PortSpread, another_hash_than_ours_is_counted_too) {
  in_child([] {
    const auto [misplaced, handed_out] = crossings(false, false, false);
    EXPECT_GT(misplaced, 20U);
    EXPECT_EQ(misplaced, handed_out);
  });
}

TEST(PortSpread, a_subscriber_of_another_worker_crosses_without_the_devices_fault) {
  in_child([] {
    const auto [misplaced, handed_out] = crossings(true, true, true);
    EXPECT_EQ(misplaced, 0U);
    EXPECT_EQ(handed_out, 60U);
  });
}

}  // namespace
}  // namespace portolan::io::test
