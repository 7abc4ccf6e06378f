// The bytes of both protocols and how their answers are judged.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "dataplane/net/text.h"
#include "ddns-client-ref/update_method.h"

namespace portolan::ddns {
namespace {

using Kind = Outcome::Kind;

const Registration record{"home1.example",
                          "web",
                          net::Protocol::tcp,
                          *net::parse_endpoint("192.0.2.1:1234"),
                          "http",
                          "/a b",
                          "Home \"page\"",
                          600,
                          ""};
const Credentials credentials{"alice", "s3cret"};

std::unique_ptr<UpdateProtocol> json() { return make_json_protocol(*parse_url("http://ddns.example/"), credentials); }
std::unique_ptr<UpdateProtocol> dyndns2() {
  return make_dyndns2_protocol(*parse_url("https://ddns.example/base"), credentials);
}

std::string header(const HttpRequest& request, std::string_view name) {
  for (const auto& [key, value] : request.headers)
    if (key == name) return value;
  return {};
}

TEST(JsonProtocol, DDN_008_a_registration_carries_address_port_and_protocol) {
  const auto request = json()->registration(record);
  EXPECT_EQ(request.method, "PUT");
  EXPECT_EQ(request.target, "/api/v1/names/home1.example/services/web");
  EXPECT_EQ(header(request, "Authorization"), "Bearer alice:s3cret");
  EXPECT_EQ(nlohmann::json::parse(request.body),
            nlohmann::json::parse(R"({"protocol":"tcp","address":"192.0.2.1","port":1234,"scheme":"http","path":"/a b",
                                      "title":"Home \"page\"","lifetime_s":600})"));
}

TEST(JsonProtocol, a_type_is_told_where_there_is_one) {
  Registration printer = record;
  printer.type = "ipp";
  EXPECT_EQ(nlohmann::json::parse(json()->registration(printer).body).at("type"), "ipp");
  EXPECT_TRUE(dyndns2()->registration(printer).target.ends_with("&lifetime=600&type=ipp"));
}

TEST(JsonProtocol, judges) {
  const auto kind = [](unsigned status, bool withdrawal = false) {
    return json()->judge({status, {}, {}}, withdrawal).kind;
  };
  EXPECT_EQ(kind(200), Kind::done);
  EXPECT_EQ(kind(204, true), Kind::done);
  EXPECT_EQ(kind(404, true), Kind::done);
  EXPECT_EQ(kind(401), Kind::stop);
  EXPECT_EQ(kind(403), Kind::stop);
  EXPECT_EQ(kind(404), Kind::stop);
  EXPECT_EQ(kind(409), Kind::dislike);
  EXPECT_EQ(kind(301), Kind::wait);
  EXPECT_EQ(kind(429), Kind::retry);
  EXPECT_EQ(kind(500), Kind::retry);
  EXPECT_EQ(json()->judge({429, {}, 90}, false).wait, Duration(std::chrono::seconds(90)));
}

TEST(JsonProtocol, the_servers_words_reach_the_log_on_one_line) {
  EXPECT_EQ(json()->judge({422, R"({"error":"port 80\nis not yours"})", {}}, false).text,
            "HTTP 422: port 80 is not yours");
  EXPECT_EQ(json()->judge({400, "<html>\x1b[2J", {}}, false).text, "HTTP 400: <html> [2J");
}

TEST(Dyndns2, DYN_001_the_request) {
  const auto request = dyndns2()->registration(record);
  EXPECT_EQ(request.method, "GET");
  EXPECT_EQ(request.target,
            "/base/nic/update?hostname=home1.example&myip=192.0.2.1&port=1234&proto=tcp&service=web&scheme=http"
            "&path=%2Fa%20b&title=Home%20%22page%22&lifetime=600");
  EXPECT_EQ(header(request, "Authorization"), "Basic YWxpY2U6czNjcmV0");
  EXPECT_EQ(dyndns2()->withdrawal(record)->target,
            "/base/nic/update?hostname=home1.example&myip=192.0.2.1&service=web&offline=yes");
}

// Also shows DYN-020.
TEST(Dyndns2, DYN_001_without_extensions_as_any_server_takes_it) {
  const auto plain = make_dyndns2_protocol(*parse_url("https://ddns.example/base"), credentials, false);
  EXPECT_EQ(plain->registration(record).target, "/base/nic/update?hostname=home1.example&myip=192.0.2.1");
  EXPECT_FALSE(plain->withdrawal(record));
  EXPECT_FALSE(plain->abilities().carries_port);
}

TEST(Uri, is_encoded_and_there_only_with_a_scheme) {
  EXPECT_EQ(uri_of(record), "http://192.0.2.1:1234/a%20b");
  Registration odd = record;
  odd.path = "/\"\\<>?q=ä%20";
  EXPECT_EQ(uri_of(odd), "http://192.0.2.1:1234/%22%5C%3C%3E?q=%C3%A4%20");
  odd.scheme.clear();
  EXPECT_EQ(uri_of(odd), "");
}

TEST(Dyndns2, DYN_003_every_return_code) {
  struct Row {
    const char* body;
    Kind kind;
    bool whole_account;
  };
  for (const Row& row :
       {Row{"good 192.0.2.1", Kind::done, false}, Row{"nochg 192.0.2.1\r\n", Kind::done, false},
        Row{"badauth", Kind::stop, true}, Row{"!donator", Kind::stop, true}, Row{"!active", Kind::stop, true},
        Row{"!yours", Kind::stop, false}, Row{"notfqdn", Kind::stop, false}, Row{"nohost\n", Kind::stop, false},
        Row{"numhost", Kind::stop, false}, Row{"abuse", Kind::stop, true}, Row{"badagent", Kind::stop, true},
        Row{"badsys", Kind::stop, true}, Row{"dnserr", Kind::wait, false}, Row{"911", Kind::wait, true},
        Row{"goods.example is unknown", Kind::wait, true}, Row{"", Kind::wait, true}}) {
    const auto outcome = dyndns2()->judge({200, row.body, {}}, false);
    EXPECT_EQ(outcome.kind, row.kind) << row.body;
    EXPECT_EQ(outcome.whole_account, row.whole_account) << row.body;
    EXPECT_EQ(outcome.wait, row.kind == Kind::wait ? Duration(std::chrono::minutes(30)) : Duration()) << row.body;
  }
}

TEST(Dyndns2, DYN_005_status_and_word) {
  const auto kind = [](unsigned status, const char* body) { return dyndns2()->judge({status, body, {}}, false).kind; };
  EXPECT_EQ(kind(401, "badauth"), Kind::stop);
  EXPECT_EQ(kind(401, ""), Kind::stop);
  EXPECT_EQ(kind(403, "abuse"), Kind::stop);
  EXPECT_EQ(kind(500, "good 192.0.2.1"), Kind::retry);
  EXPECT_EQ(kind(503, ""), Kind::retry);
  EXPECT_EQ(kind(302, "good"), Kind::wait);
}

TEST(Url, reads_and_writes) {
  for (const char* text : {"http://ddns.example/", "https://ddns.example:8443/base/", "http://[2001:db8::1]:80/",
                           "http://127.0.0.1:8080/"}) {
    const auto url = parse_url(text);
    ASSERT_TRUE(url) << text;
    EXPECT_EQ(parse_url(url->text())->text(), url->text());
  }
  EXPECT_EQ(parse_url("http://ddns.example")->text(), "http://ddns.example/");
  EXPECT_EQ(parse_url("https://ddns.example:8443/base")->text(), "https://ddns.example:8443/base/");
  EXPECT_EQ(parse_url("http://[2001:db8::1]:80/")->text(), "http://[2001:db8::1]/");
  EXPECT_EQ(parse_url("https://[2001:db8::1]")->authority(), "[2001:db8::1]");
  for (const char* text :
       {"ddns.example", "ftp://ddns.example/", "http://", "http://:80/", "http://a:0/", "http://a:b/",
        "http://a:99999/", "http://[::1/", "http://user@a/", "http://a/?q", "http://a/ b"})
    EXPECT_FALSE(parse_url(text)) << text;
}

TEST(Url, percent_encoding_and_basic_credentials) {
  EXPECT_EQ(percent_encoded("a-B_1.~ /&"), "a-B_1.~%20%2F%26");
  EXPECT_EQ(basic_credentials("a", "b"), "Basic YTpi");        // RFC 4648 §10 lengths: 3,
  EXPECT_EQ(basic_credentials("a", "bc"), "Basic YTpiYw==");   // 4
  EXPECT_EQ(basic_credentials("ab", "cd"), "Basic YWI6Y2Q=");  // and 5 octets
}

}  // namespace
}  // namespace portolan::ddns
