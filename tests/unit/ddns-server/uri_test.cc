#include "ddns-server/uri.h"

#include <gtest/gtest.h>

namespace portolan::ddnsd {
namespace {

TEST(Uri, target_in_origin_and_absolute_form) {
  EXPECT_EQ(parse_target("/x?y=1")->path, "/x");
  EXPECT_EQ(parse_target("/x?y=1")->query, "y=1");
  EXPECT_FALSE(parse_target("/x")->query.has_value());
  const auto absolute = parse_target("HTTP://A.example:80?q");
  ASSERT_TRUE(absolute);
  EXPECT_EQ(absolute->host, "A.example:80");
  EXPECT_EQ(absolute->path, "/");
  EXPECT_EQ(absolute->query, "q");
  for (const char* bad : {"", "*", "a.example:80", "ftp://a.example/"}) EXPECT_FALSE(parse_target(bad)) << bad;
}

TEST(Uri, query) {
  const auto query = parse_query("a=1&b=x%20y+z&&c&a=2");
  ASSERT_TRUE(query);
  EXPECT_EQ(*query, (Query{{"a", "2"}, {"b", "x y z"}, {"c", ""}}));
  EXPECT_FALSE(parse_query("a=%4"));
  EXPECT_FALSE(parse_query("a=%zz"));
}

TEST(Uri, what_rfc_3986_does_not_allow_is_encoded_and_escapes_stay) {
  EXPECT_EQ(uri_safe("/a b\"<>%20%zz\r\n\xc3\xa4"), "/a%20b%22%3C%3E%20%25zz%0D%0A%C3%A4");
}

TEST(Uri, fqdn) {
  EXPECT_EQ(parse_fqdn("WWW.Example."), "www.example");
  const std::string long_label(64, 'a'), long_name = std::string(63, 'a') + "." + std::string(63, 'b') + "." +
                                                     std::string(63, 'c') + "." + std::string(63, 'd');
  for (const std::string& bad :
       {std::string(), std::string("."), std::string("example"), std::string("a..example"), std::string("-a.example"),
        std::string("a-.example"), std::string("a_b.example"), std::string("192.0.2.1"), std::string("a.example.."),
        long_label + ".example", long_name})
    EXPECT_FALSE(parse_fqdn(bad)) << bad;
}

TEST(Uri, a_name_in_unicode_is_its_ascii_form) {
  EXPECT_EQ(parse_fqdn("B\xc3\xbc"
                       "cher.example"),
            "xn--bcher-kva.example");
  EXPECT_EQ(parse_fqdn("BU\xcc\x88"
                       "CHER.example."),
            "xn--bcher-kva.example")
      << "capitals, and u with a mark on it";
  EXPECT_EQ(parse_fqdn("stra\xc3\x9f"
                       "e.example"),
            "xn--strae-oqa.example");
  EXPECT_EQ(parse_fqdn("xn--bcher-kva.example"), "xn--bcher-kva.example");
  for (const char* bad : {"a\xff.example",
                          "\xe2\x80\xae"
                          "a.example",
                          "b\xc3\xbc"
                          "cher",
                          "\xf0\x9f\x8e\xa5.example"})
    EXPECT_FALSE(parse_fqdn(bad)) << bad;
}

TEST(Uri, host_field) {
  EXPECT_EQ(parse_host("b\xc3\xbc"
                       "cher.example:80")
                ->name,
            "xn--bcher-kva.example");
  EXPECT_EQ(parse_host("A.Example.:8080")->name, "a.example");
  EXPECT_EQ(parse_host("localhost")->name, "localhost");
  EXPECT_TRUE(parse_host("192.0.2.1:80")->is_address);
  EXPECT_TRUE(parse_host("[2001:db8::1]:80")->is_address);
  for (const char* bad : {"", ":80", "a.example:", "a.example:99999", "a.example:80:80", "[2001:db8::1", "[zz]",
                          "a b.example", "a.example/x", "user@a.example", "[::1]x", "1.2.3"})
    EXPECT_FALSE(parse_host(bad)) << bad;
}

TEST(Uri, within_a_zone) {
  EXPECT_TRUE(is_within("a.example", "example"));
  EXPECT_TRUE(is_within("example", "example"));
  EXPECT_FALSE(is_within("aexample", "example"));
  EXPECT_FALSE(is_within("example", "a.example"));
}

TEST(Uri, printable_utf8_is_shortest_form_without_controls_or_direction_changes) {
  EXPECT_TRUE(is_printable_utf8("Größe 門 \xf0\x9f\x8e\xa5"));
  for (const char* bad :
       {"a\nb", "\x7f", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x80\xae", "\xc3", "\xe9\x96"})
    EXPECT_FALSE(is_printable_utf8(bad)) << bad;
}

}  // namespace
}  // namespace portolan::ddnsd
