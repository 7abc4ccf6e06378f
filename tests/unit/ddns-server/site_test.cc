// Which page a Host gets.
#include "ddns-server/site.h"

#include <gtest/gtest.h>

#include "tests/unit/ddns-server/fixture.h"

namespace portolan::ddnsd::test {
namespace {

// Also shows DDN-007, SVC-008.
TEST_F(SiteTest, DDN_010_one_web_service_redirects) {
  registry_.put("alice.example", web_service(), now_s_);
  for (const char* host : {"alice.example", "ALICE.Example", "alice.example.", "alice.example:8080"}) {
    const Reply reply = get(host, "/x?y=1");
    EXPECT_EQ(reply.status, 301U) << host;
    EXPECT_EQ(header(reply, "Location"), "http://192.0.2.1:2000/x?y=1") << host;
  }
}

TEST_F(SiteTest, DDN_011_the_next_change_is_seen_at_once) {
  registry_.put("alice.example", web_service("192.0.2.1:2000"), now_s_);
  get("alice.example", "/");
  registry_.put("alice.example", web_service("192.0.2.1:2001"), now_s_);
  EXPECT_EQ(header(get("alice.example", "/"), "Location"), "http://192.0.2.1:2001/");
}

TEST_F(SiteTest, redirect_code_is_configurable) {
  config_.redirect_code = 302;
  registry_.put("alice.example", web_service(), now_s_);
  EXPECT_EQ(get("alice.example", "/").status, 302U);
}

TEST_F(SiteTest, DDN_013_several_services_or_one_that_is_no_web_make_a_portal) {
  registry_.put("alice.example", camera_service(), now_s_);
  EXPECT_EQ(get("alice.example", "/").status, 200U);
  registry_.put("alice.example", web_service(), now_s_);
  const Reply reply = get("alice.example", "/");
  EXPECT_EQ(reply.status, 200U);
  EXPECT_NE(reply.body.find("http://192.0.2.1:2000"), std::string::npos);
  EXPECT_NE(reply.body.find("rtsp://192.0.2.1:8080/test.sdp"), std::string::npos);
  Request post;
  post.method = "POST";
  post.hosts = {"alice.example"};
  EXPECT_EQ(answer(post).status, 405U);
}

TEST_F(SiteTest, no_service_or_no_name_is_404_with_help) {
  EXPECT_EQ(get("alice.example", "/").status, 404U);
  EXPECT_NE(get("alice.example", "/").body.find("DDNS client"), std::string::npos);
  EXPECT_EQ(get("nobody.example", "/").status, 404U);
  EXPECT_NE(get("nobody.example", "/").body.find("nobody.example"), std::string::npos);
}

TEST_F(SiteTest, an_address_without_a_service_is_no_redirect) {
  registry_.put_address("alice.example", endpoint("192.0.2.1:1").address, now_s_ + 60, now_s_);
  EXPECT_EQ(get("alice.example", "/").status, 404U);
}

TEST_F(SiteTest, missing_odd_or_repeated_host_is_400) {
  EXPECT_EQ(get("a b", "/").status, 400U);
  EXPECT_EQ(get("", "/").status, 400U);
  EXPECT_EQ(get("ddns.example", "no-path").status, 400U);
  Request request;
  EXPECT_EQ(answer(request).status, 400U);
  request.hosts = {"ddns.example", "ddns.example"};
  EXPECT_EQ(answer(request).status, 400U);
}

TEST_F(SiteTest, http_1_0_without_host_means_the_server_itself) {
  Request request;
  request.http_1_0 = true;
  request.target = "/healthz";
  EXPECT_EQ(answer(request).body, "ok\n");
}

TEST_F(SiteTest, absolute_form_overrides_host) {
  registry_.put("alice.example", web_service(), now_s_);
  EXPECT_EQ(header(get("ddns.example", "http://alice.example/x"), "Location"), "http://192.0.2.1:2000/x");
}

TEST_F(SiteTest, the_servers_own_pages) {
  EXPECT_EQ(get("ddns.example", "/healthz").body, "ok\n");
  EXPECT_EQ(get("192.0.2.53:80", "/healthz").status, 200U);
  EXPECT_EQ(get("[2001:db8::53]", "/healthz").status, 200U);
  EXPECT_EQ(get("ddns.example", "/").status, 200U);
  EXPECT_EQ(get("ddns.example", "/nothing").status, 404U);
  EXPECT_EQ(get("alice.example", "/healthz").status, 404U);  // a registered name's paths are its owner's
  Request post;
  post.method = "POST";
  post.hosts = {"ddns.example"};
  EXPECT_EQ(answer(post).status, 405U);
}

TEST_F(SiteTest, DYN_016_checkip_tells_the_source) {
  Request request;
  request.hosts = {"ddns.example"};
  request.target = "/checkip";
  request.source = net::mapped(endpoint("198.51.100.5:1").address);
  EXPECT_EQ(answer(request).body, "198.51.100.5\n");
}

// Shows DYN-003.
TEST_F(SiteTest, a_registry_that_fails_is_500_and_911) {
  Database(config_.database).run("DROP TABLE services; DROP TABLE names; DROP TABLE accounts");
  EXPECT_EQ(get("alice.example", "/").status, 500U);
  Request request;
  request.hosts = {"ddns.example"};
  request.target = "/nic/update?hostname=alice.example";
  request.authorization = basic("alice", alice_token);
  EXPECT_EQ(answer(request).body, "911\n");
  request.target = "/api/v1/names/alice.example";
  request.authorization = "Bearer alice:x";
  EXPECT_NE(answer(request).body.find("\"internal\""), std::string::npos);
}

}  // namespace
}  // namespace portolan::ddnsd::test
