#include "ddns-server/pages.h"

#include <gtest/gtest.h>

#include "tests/unit/ddns-server/fixture.h"

namespace portolan::ddnsd::test {
namespace {

bool has(const Reply& reply, const std::string& text) { return reply.body.find(text) != std::string::npos; }

std::string location(const Service& service, const std::string& target) {
  return header(redirect_to(service, *parse_target(target), "GET", 301), "Location");
}

TEST(Redirect, DDN_010_keeps_path_and_query) {
  const Reply reply = redirect_to(web_service("192.0.2.1:8001"), *parse_target("/x?y=1"), "GET", 301);
  EXPECT_EQ(reply.status, 301U);
  EXPECT_EQ(header(reply, "Location"), "http://192.0.2.1:8001/x?y=1");
}

TEST(Redirect, DDN_011_is_never_cached) {
  EXPECT_EQ(header(redirect_to(web_service(), *parse_target("/"), "GET", 301), "Cache-Control"), "no-store");
}

TEST(Redirect, the_services_path_is_where_the_root_leads) {
  Service service = web_service();
  EXPECT_EQ(location(service, "/"), "http://192.0.2.1:2000/");
  service.path = "/start?a=1";
  EXPECT_EQ(location(service, "/"), "http://192.0.2.1:2000/start?a=1");
  EXPECT_EQ(location(service, "/?b=2"), "http://192.0.2.1:2000/start?a=1&b=2");
  EXPECT_EQ(location(service, "/other"), "http://192.0.2.1:2000/other");
}

TEST(Redirect, a_target_cannot_lead_elsewhere_or_break_the_header) {
  EXPECT_EQ(location(web_service(), "//evil.example/"), "http://192.0.2.1:2000//evil.example/");
  EXPECT_EQ(location(web_service(), "/@evil.example"), "http://192.0.2.1:2000/@evil.example");
  EXPECT_EQ(location(web_service(), "/a\r\nSet-Cookie: x"), "http://192.0.2.1:2000/a%0D%0ASet-Cookie:%20x");
}

TEST(Redirect, a_post_stays_a_post) {
  const auto status = [](const char* method, unsigned code) {
    return redirect_to(web_service(), *parse_target("/"), method, code).status;
  };
  EXPECT_EQ(status("POST", 301), 307U);
  EXPECT_EQ(status("POST", 308), 308U);
  EXPECT_EQ(status("HEAD", 302), 302U);
}

TEST(Portal, DDN_013_lists_every_service_with_its_link) {
  const Reply reply = portal_page("websrv.example.com", {web_service(), camera_service()});
  EXPECT_EQ(reply.status, 200U);
  EXPECT_TRUE(has(reply, "<h1>websrv.example.com</h1>"));
  EXPECT_TRUE(has(reply, "<a href=\"http://192.0.2.1:2000\""));
  EXPECT_TRUE(has(reply, "<a href=\"rtsp://192.0.2.1:8080/test.sdp\""));
  EXPECT_TRUE(has(reply, "web server"));
  EXPECT_TRUE(has(reply, "2 services"));
}

TEST(Portal, a_name_is_shown_as_people_write_it) {
  const Reply reply = portal_page("xn--bcher-kva.example", {web_service(), web_service()});
  EXPECT_TRUE(has(reply,
                  "<h1>b\xc3\xbc"
                  "cher.example</h1>"));
  EXPECT_FALSE(has(reply, "xn--"));
  EXPECT_TRUE(has(nothing_here_page("xn--a.example", "ddns.example"), "<h1>xn--a.example</h1>")) << "no Unicode at all";
}

TEST(Portal, what_has_no_scheme_is_shown_but_not_linked) {
  Service game = web_service("192.0.2.1:25565");
  game.scheme = "";
  game.title = "";
  game.id = "minecraft";
  game.protocol = net::Protocol::udp;
  const Reply reply = portal_page("a.example", {game});
  EXPECT_FALSE(has(reply, "<a "));
  EXPECT_TRUE(has(reply, "minecraft"));
  EXPECT_TRUE(has(reply, "192.0.2.1:25565 (udp)"));
  EXPECT_TRUE(has(reply, "One service"));
}

TEST(Portal, hostile_text_stays_text) {
  Service hostile = camera_service();
  hostile.title = "</b><script>alert('1')</script>\"&";
  hostile.path = "/\"><script>alert(1)</script>";
  const Reply reply = portal_page("a.example", {hostile});
  EXPECT_FALSE(has(reply, "<script"));
  EXPECT_TRUE(has(reply, "&lt;/b&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;"));
  EXPECT_TRUE(has(reply, "href=\"rtsp://192.0.2.1:8080/%22%3E%3Cscript%3Ealert(1)%3C/script%3E\""));
}

TEST(Portal, an_unlisted_scheme_in_an_old_row_makes_no_link) {
  Service old = web_service();
  old.scheme = "javascript";
  EXPECT_FALSE(has(portal_page("a.example", {old}), "javascript"));
}

TEST(Portal, policy_allows_the_one_style_sheet_and_nothing_else) {
  const std::string policy = header(portal_page("a.example", {web_service()}), "Content-Security-Policy");
  EXPECT_TRUE(policy.starts_with("default-src 'none'; style-src 'sha256-"));
  EXPECT_EQ(policy.find("unsafe"), std::string::npos);
  EXPECT_NE(policy.find("frame-ancestors 'none'"), std::string::npos);
}

TEST(Pages, what_is_wrong_is_said_with_a_way_out_and_escaped) {
  EXPECT_EQ(nothing_here_page("a.example", "ddns.example").status, 404U);
  EXPECT_TRUE(has(nothing_here_page("a.example", "ddns.example"), "<code>ddns.example</code>"));
  EXPECT_EQ(unknown_name_page("x.example").status, 404U);
  EXPECT_TRUE(has(unknown_name_page("x.example"), "name add x.example ACCOUNT"));
  EXPECT_TRUE(has(unknown_name_page("<i>"), "&lt;i&gt;"));
}

}  // namespace
}  // namespace portolan::ddnsd::test
