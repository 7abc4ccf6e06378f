#include <algorithm>
#include <gtest/gtest.h>

#include "ddns-server/dns_records.h"
#include "tests/unit/ddns-server/fixture.h"

namespace portolan::ddnsd::test {
namespace {

constexpr int64_t now_s = 1'700'000'000;

DnsConfig dns(DnsConfig::Mode mode) {
  DnsConfig out;
  out.mode = mode;
  out.portal_address = endpoint("192.0.2.53:1").address;
  return out;
}

// Also shows SVC-005.
TEST(Records, DDN_014_in_portal_mode_the_name_leads_to_the_portal_and_srv_to_the_service) {
  const Registry::Entry entry{"alice", std::nullopt, {web_service("198.51.100.5:8001")}};
  EXPECT_EQ(records_of("a.example", entry, dns(DnsConfig::Mode::portal), now_s),
            (std::vector<Record>{{"a.example", "A", 30, "192.0.2.53"},
                                 {"direct.a.example", "A", 30, "198.51.100.5"},
                                 {"_http._tcp.a.example", "SRV", 30, "0 0 8001 direct.a.example."},
                                 {"_http._tcp.a.example", "URI", 30, "0 0 \"http://198.51.100.5:8001\""}}));
}

TEST(Records, SRV_002_in_direct_mode_the_name_is_the_target) {
  const Registry::Entry entry{"alice", std::nullopt, {web_service("198.51.100.5:8001")}};
  EXPECT_EQ(records_of("a.example", entry, dns(DnsConfig::Mode::direct), now_s),
            (std::vector<Record>{{"a.example", "A", 30, "198.51.100.5"},
                                 {"_http._tcp.a.example", "SRV", 30, "0 0 8001 a.example."},
                                 {"_http._tcp.a.example", "URI", 30, "0 0 \"http://198.51.100.5:8001\""}}));
}

TEST(Records, a_service_on_another_address_has_a_target_of_its_own) {
  Service game = web_service("198.51.100.6:25565");
  game.id = "minecraft";
  game.scheme = "";
  game.protocol = net::Protocol::udp;
  const Registry::Entry entry{"alice", std::nullopt, {camera_service("198.51.100.5:8001"), game}};
  const auto records = records_of("a.example", entry, dns(DnsConfig::Mode::direct), now_s);
  EXPECT_EQ(record_sets_of(records),
            (std::vector<std::string>{"_minecraft._udp.a.example SRV", "_rtsp._tcp.a.example SRV",
                                      "_rtsp._tcp.a.example URI", "a.example A", "minecraft.direct.a.example A"}));
  EXPECT_NE(std::ranges::find(records,
                              Record{"_minecraft._udp.a.example", "SRV", 30, "0 0 25565 minecraft.direct.a.example."}),
            records.end());
}

TEST(Records, DYN_013_an_address_alone_is_published_for_clients_to_compare) {
  const Registry::Entry entry{"alice", endpoint("198.51.100.5:1").address, {}};
  EXPECT_EQ(record_sets_of(records_of("a.example", entry, dns(DnsConfig::Mode::portal), now_s)),
            (std::vector<std::string>{"a.example A", "direct.a.example A"}));
}

TEST(Records, DDN_019_ttl_is_no_longer_than_the_mapping_lives) {
  Service service = web_service();
  service.expires_at_s = now_s + 7;
  const Registry::Entry entry{"alice", std::nullopt, {service}};
  for (const Record& each : records_of("a.example", entry, dns(DnsConfig::Mode::direct), now_s))
    EXPECT_EQ(each.ttl_s, 7U);
}

TEST(Records, nothing_registered_nothing_published) {
  EXPECT_TRUE(records_of("a.example", {"alice", std::nullopt, {}}, dns(DnsConfig::Mode::portal), now_s).empty());
}

}  // namespace
}  // namespace portolan::ddnsd::test
