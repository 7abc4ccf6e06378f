#include "ddns-server/service.h"

#include <gtest/gtest.h>

#include "dataplane/net/text.h"
#include "tests/unit/ddns-server/fixture.h"

namespace portolan::ddnsd::test {
namespace {

// Also shows SRV-005.
TEST(Service, DDN_006_uri_carries_the_port) {
  EXPECT_EQ(uri_of(web_service()), "http://192.0.2.1:2000");
  EXPECT_EQ(uri_of(camera_service()), "rtsp://192.0.2.1:8080/test.sdp");  // RFC 7393 figure 5
  Service phone = web_service("192.0.2.1:5060");
  phone.scheme = "sip";
  EXPECT_EQ(uri_of(phone), "sip:192.0.2.1:5060");  // RFC 3261 §19.1: no authority component
}

TEST(Service, scheme_follows_from_the_id_if_none_is_named) {
  EXPECT_EQ(default_scheme("web"), "http");
  EXPECT_EQ(default_scheme("ssh"), "ssh");
  EXPECT_EQ(default_scheme("minecraft"), "");
}

TEST(Service, what_no_portal_may_link_to_is_refused) {
  for (const char* scheme : {"javascript", "data", "vbscript", "file", "HTTP", "http:", "ht tp"}) {
    Service service = web_service();
    service.scheme = scheme;
    const auto invalid = check(service);
    ASSERT_TRUE(invalid) << scheme;
    EXPECT_EQ(invalid->field, "scheme") << scheme;
  }
}

struct BadService {
  const char* field;
  void (*spoil)(Service&);
  friend void PrintTo(const BadService& row, std::ostream* out) { *out << row.field; }
};
class ServiceCheck : public ::testing::TestWithParam<BadService> {};
TEST_P(ServiceCheck, names_the_field) {
  Service service = web_service();
  ASSERT_FALSE(check(service));
  GetParam().spoil(service);
  const auto invalid = check(service);
  ASSERT_TRUE(invalid);
  EXPECT_EQ(invalid->field, GetParam().field);
}
INSTANTIATE_TEST_SUITE_P(all, ServiceCheck,
                         ::testing::Values(BadService{"service", [](Service& s) { s.id = "@"; }},
                                           BadService{"service", [](Service& s) { s.id = ""; }},
                                           BadService{"service", [](Service& s) { s.id = "-a"; }},
                                           BadService{"service", [](Service& s) { s.id = std::string(33, 'a'); }},
                                           BadService{"port", [](Service& s) { s.outside.port = {}; }},
                                           BadService{"protocol", [](Service& s) { s.protocol = net::Protocol::icmp; }},
                                           BadService{"path", [](Service& s) { s.path = "x"; }},
                                           BadService{"path", [](Service& s) { s.path = "/\r\nSet-Cookie: a"; }},
                                           BadService{"path", [](Service& s) { s.path = "/" + std::string(512, 'a'); }},
                                           BadService{"title", [](Service& s) { s.title = std::string(121, 'a'); }},
                                           BadService{"title", [](Service& s) { s.title = "\xff"; }}));

TEST(AddressPolicy, DDN_016_only_global_addresses_unless_allowed) {
  const AddressPolicy strict({});
  for (const char* address : {"8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1", "223.255.255.255"})
    EXPECT_TRUE(strict.allows(*net::parse_ipv4(address))) << address;
  for (const char* address : {"0.0.0.0", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "169.254.1.1",
                              "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1",
                              "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"})
    EXPECT_FALSE(strict.allows(*net::parse_ipv4(address))) << address;
  const AddressPolicy demo({*net::parse_ipv4_prefix("192.0.2.0/28")});
  EXPECT_TRUE(demo.allows(*net::parse_ipv4("192.0.2.15")));
  EXPECT_FALSE(demo.allows(*net::parse_ipv4("192.0.2.16")));
}

}  // namespace
}  // namespace portolan::ddnsd::test
