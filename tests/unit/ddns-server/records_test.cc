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
  const Registry::Entry entry{"alice", std::nullopt, {web_service("198.51.100.5:8001")}, {}, "", false};
  EXPECT_EQ(records_of("a.example", entry, dns(DnsConfig::Mode::portal), now_s),
            (std::vector<Record>{{"a.example", "A", 30, "192.0.2.53"},
                                 {"direct.a.example", "A", 30, "198.51.100.5"},
                                 {"_http._tcp.a.example", "SRV", 30, "0 0 8001 direct.a.example."},
                                 {"_http._tcp.a.example", "URI", 30, "0 0 \"http://198.51.100.5:8001\""}}));
}

TEST(Records, SRV_002_in_direct_mode_the_name_is_the_target) {
  const Registry::Entry entry{"alice", std::nullopt, {web_service("198.51.100.5:8001")}, {}, "", false};
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
  const Registry::Entry entry{"alice", std::nullopt, {camera_service("198.51.100.5:8001"), game}, {}, "", false};
  const auto records = records_of("a.example", entry, dns(DnsConfig::Mode::direct), now_s);
  EXPECT_EQ(
      record_sets_of(records),
      (std::vector<std::string>{"_minecraft._udp.a.example SRV", "_rtsp._tcp.a.example SRV", "_rtsp._tcp.a.example URI",
                                "_rtsp.a.example SVCB", "a.example A", "minecraft.direct.a.example A"}));
  EXPECT_NE(std::ranges::find(records,
                              Record{"_minecraft._udp.a.example", "SRV", 30, "0 0 25565 minecraft.direct.a.example."}),
            records.end());
}

TEST(Records, a_service_may_have_a_type_that_its_scheme_does_not_say) {
  Service printer = web_service("198.51.100.5:631");
  printer.type = "ipp";
  const Registry::Entry entry{"alice", std::nullopt, {printer}, {}, "", false};
  const auto sets = record_sets_of(records_of("a.example", entry, dns(DnsConfig::Mode::direct), now_s));
  EXPECT_TRUE(std::ranges::count(sets, "_ipp._tcp.a.example SRV"));
  EXPECT_FALSE(std::ranges::count(sets, "_http._tcp.a.example SRV"));
}

TEST(Records, DYN_013_an_address_alone_is_published_for_clients_to_compare) {
  const Registry::Entry entry{"alice", endpoint("198.51.100.5:1").address, {}, {}, "", false};
  EXPECT_EQ(record_sets_of(records_of("a.example", entry, dns(DnsConfig::Mode::portal), now_s)),
            (std::vector<std::string>{"a.example A", "direct.a.example A"}));
}

TEST(Records, DDN_019_ttl_is_no_longer_than_the_mapping_lives) {
  Service service = web_service();
  service.expires_at_s = now_s + 7;
  const Registry::Entry entry{"alice", std::nullopt, {service}, {}, "", false};
  for (const Record& each : records_of("a.example", entry, dns(DnsConfig::Mode::direct), now_s))
    EXPECT_EQ(each.ttl_s, 7U);
}

TEST(Records, nothing_registered_nothing_published) {
  EXPECT_TRUE(
      records_of("a.example", {"alice", std::nullopt, {}, {}, "", false}, dns(DnsConfig::Mode::portal), now_s).empty());
}

// The vector of the row, and that keys stand in their order.
TEST(Records, SVC_001_SVC_002_the_octets_of_svcb) {
  EXPECT_EQ(svcb_data(1, "", {"h2", 8001, {}}),
            "\\# 16 000100"
            "00010003026832"
            "000300021f41");
  EXPECT_EQ(svcb_data(1, "a.example", {"", 8001, {endpoint("192.0.2.1:1").address}}),
            "\\# 27 0001"
            "0161076578616d706c6500"
            "000300021f41"
            "00040004c0000201");
}

// Also shows SVC-003, SVC-006.
TEST(Records, SVC_004_SVC_009_an_https_service_has_an_https_record_with_its_port) {
  Service shop = web_service("198.51.100.5:8443");
  shop.scheme = "https";
  const Registry::Entry entry{"alice", std::nullopt, {shop}, {}, "", false};
  const auto has = [&](DnsConfig::Mode mode, const Record& record) {
    const auto records = records_of("a.example", entry, dns(mode), now_s);
    return std::ranges::find(records, record) != records.end();
  };
  const std::vector<net::Ipv4> hint{shop.outside.address};
  EXPECT_TRUE(has(DnsConfig::Mode::direct, {"a.example", "HTTPS", 30, svcb_data(1, "", {"", 8443, hint})}));
  EXPECT_TRUE(
      has(DnsConfig::Mode::portal, {"a.example", "HTTPS", 30, svcb_data(1, "direct.a.example", {"", 8443, hint})}));
}

TEST(Records, SVC_005_no_https_record_beside_plain_http_or_for_it) {
  Service shop = web_service("198.51.100.5:8443");
  shop.id = "shop", shop.scheme = "https";
  for (const auto& services : {std::vector{web_service()}, std::vector{shop, web_service()}})
    for (const Record& each :
         records_of("a.example", {"alice", std::nullopt, services, {}, "", false}, dns(DnsConfig::Mode::direct), now_s))
      EXPECT_NE(each.type, "HTTPS");
}

TEST(Records, SRV_003_a_service_without_its_mapping_leads_nowhere) {
  Service web = web_service();
  web.outside = {};
  const auto records =
      records_of("a.example", {"alice", std::nullopt, {}, {web}, "", false}, dns(DnsConfig::Mode::direct), now_s);
  EXPECT_EQ(records, (std::vector<Record>{{"_http._tcp.a.example", "SRV", 30, "0 0 0 ."}}));
}

TEST(Records, a_names_own_mode_comes_before_the_configured_one) {
  Registry::Entry entry{"alice", std::nullopt, {web_service("198.51.100.5:8001")}, {}, "direct", false};
  EXPECT_EQ(records_of("a.example", entry, dns(DnsConfig::Mode::portal), now_s).at(0).data, "198.51.100.5");
  entry.mode = "portal";
  EXPECT_EQ(records_of("a.example", entry, dns(DnsConfig::Mode::direct), now_s).at(0).data, "192.0.2.53");
  entry.suspended = true;
  EXPECT_TRUE(records_of("a.example", entry, dns(DnsConfig::Mode::direct), now_s).empty());
}

TEST(Records, DSD_001_DSD_002_DSD_003_DSD_004_instances_can_be_browsed) {
  Service one = web_service(), two = web_service("192.0.2.1:2001");
  two.id = "web2";  // of the same title
  one.title = two.title = std::string(61, 'x') + "üü";
  DnsConfig config = dns(DnsConfig::Mode::direct);
  config.dns_sd = true;
  const auto records = records_of("a.example", {"alice", std::nullopt, {one, two}, {}, "", false}, config, now_s);
  std::vector<std::string> instances;
  for (const Record& each : records)
    if (each.owner == "_http._tcp.a.example" && each.type == "PTR") instances.push_back(each.data);
  ASSERT_EQ(instances.size(), 2U);
  EXPECT_EQ(instances[0], std::string(61, 'x') + "\\195\\188._http._tcp.a.example.") << "63 octets, no half letter";
  const std::string owner = instances[0].substr(0, instances[0].size() - 1);
  const auto txt =
      std::ranges::find_if(records, [&](const Record& each) { return each.owner == owner && each.type == "TXT"; });
  ASSERT_NE(txt, records.end());
  EXPECT_EQ(txt->data, "\"\"") << "never empty";
}

}  // namespace
}  // namespace portolan::ddnsd::test
