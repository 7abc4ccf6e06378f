#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "ddns-server/limits.h"
#include "ddns-server/updates.h"
#include "tests/unit/ddns-server/fixture.h"

namespace portolan::ddnsd::test {
namespace {

using nlohmann::json;

class ApiTest : public SiteTest {
 protected:
  Request request(const std::string& method, const std::string& path, const std::string& body = "") {
    Request out;
    out.method = method;
    out.hosts = {"ddns.example"};
    out.target = "/api/v1/names/" + path;
    out.authorization = std::string("Bearer alice:") + alice_token;
    out.content_type = "application/json; charset=utf-8";
    out.body = body;
    out.source = net::mapped(endpoint("198.51.100.77:1").address);
    return out;
  }
  Reply put(const std::string& path, const std::string& body) { return answer(request("PUT", path, body)); }
  static std::string code(const Reply& reply) { return json::parse(reply.body).at("error").at("code"); }
};

constexpr const char* full_body =
    R"({"protocol":"udp","address":"192.0.2.1","port":8001,"scheme":"rtsp","path":"/live","title":"Cäm","type":"nvr","lifetime_s":60})";

TEST_F(ApiTest, put_registers_and_says_whether_it_changed) {
  Reply reply = put("alice.example/services/cam", full_body);
  EXPECT_EQ(reply.status, 200U);
  EXPECT_EQ(reply.content_type, "application/json");
  EXPECT_EQ(json::parse(reply.body), json::parse(R"({"changed":true,"name":"alice.example","id":"cam","protocol":"udp",
      "address":"192.0.2.1","port":8001,"scheme":"rtsp","path":"/live","title":"Cäm","type":"nvr","lifetime_s":60,
      "uri":"rtsp://192.0.2.1:8001/live"})"));
  reply = put("ALICE.example./services/cam", full_body);
  EXPECT_EQ(json::parse(reply.body).at("changed"), false);
  EXPECT_EQ(changes_, 1);
}

TEST_F(ApiTest, what_is_left_out_has_a_default) {
  const json body = json::parse(put("alice.example/services/web", R"({"port":8001})").body);
  EXPECT_EQ(body.at("address"), "198.51.100.77");  // where it came from
  EXPECT_EQ(body.at("protocol"), "tcp");
  EXPECT_EQ(body.at("scheme"), "http");
  EXPECT_EQ(body.at("lifetime_s"), limits::lifetime_default_s);
}

TEST_F(ApiTest, get_lists_and_delete_ends) {
  put("alice.example/services/cam", full_body);
  put("alice.example/services/web", R"({"port":8002})");
  const json list = json::parse(answer(request("GET", "alice.example")).body);
  EXPECT_EQ(list.at("name"), "alice.example");
  EXPECT_TRUE(list.at("address").is_null());
  ASSERT_EQ(list.at("services").size(), 2U);
  EXPECT_EQ(list.at("services")[0].at("id"), "cam");
  EXPECT_EQ(list.at("services")[1].at("uri"), "http://198.51.100.77:8002");
  changes_ = 0;
  EXPECT_EQ(answer(request("DELETE", "alice.example/services/cam")).status, 204U);
  EXPECT_EQ(answer(request("DELETE", "alice.example/services/cam")).status, 204U);
  EXPECT_EQ(changes_, 1);
  EXPECT_EQ(services("alice.example").size(), 1U);
}

struct BadBody {
  const char *body, *code;
  friend void PrintTo(const BadBody& row, std::ostream* out) { *out << row.code; }  // a name that every build gives
};
class ApiBodies : public ApiTest, public ::testing::WithParamInterface<BadBody> {};
TEST_P(ApiBodies, are_refused_with_a_code_and_change_nothing) {
  const Reply reply = put("alice.example/services/web", GetParam().body);
  EXPECT_EQ(reply.status, 400U);
  EXPECT_EQ(code(reply), GetParam().code);
  EXPECT_TRUE(services("alice.example").empty());
}
INSTANTIATE_TEST_SUITE_P(
    all, ApiBodies,
    ::testing::Values(
        BadBody{"", "invalid_json"}, BadBody{"[1]", "invalid_json"}, BadBody{"{\"port\":", "invalid_json"},
        BadBody{"{}", "invalid_port"}, BadBody{R"({"port":0})", "invalid_port"},
        BadBody{R"({"port":65536})", "invalid_port"}, BadBody{R"({"port":-1})", "invalid_port"},
        BadBody{R"({"port":"80"})", "invalid_port"}, BadBody{R"({"port":80.5})", "invalid_port"},
        BadBody{R"({"port":80,"protocol":"icmp"})", "invalid_protocol"},
        BadBody{R"({"port":80,"address":"x"})", "invalid_address"},
        BadBody{R"({"port":80,"address":7})", "invalid_address"},
        BadBody{R"({"port":80,"address":"10.0.0.1"})", "invalid_address"},
        BadBody{R"({"port":80,"address":"100.64.0.1"})", "invalid_address"},
        BadBody{R"({"port":80,"scheme":"javascript"})", "invalid_scheme"},
        BadBody{R"({"port":80,"scheme":1})", "invalid_scheme"}, BadBody{R"({"port":80,"path":"x"})", "invalid_path"},
        BadBody{R"({"port":80,"title":"a\nb"})", "invalid_title"},
        BadBody{R"({"port":80,"title":"a\u202eb"})", "invalid_title"},
        BadBody{R"({"port":80,"type":"_ipp"})", "invalid_type"}, BadBody{R"({"port":80,"type":"IPP"})", "invalid_type"},
        BadBody{R"({"port":80,"type":"631"})", "invalid_type"}, BadBody{R"({"port":80,"type":"a--b"})", "invalid_type"},
        BadBody{R"({"port":80,"type":"sixteen-letters-"})", "invalid_type"},
        BadBody{R"({"port":80,"type":"sixteen-letters1"})", "invalid_type"},
        BadBody{R"({"port":80,"type":7})", "invalid_type"},
        BadBody{R"({"port":80,"lifetime_s":0})", "invalid_lifetime_s"}, BadBody{R"({"prot":80})", "unknown_member"}));

TEST_F(ApiTest, a_bad_service_id_is_refused) {
  EXPECT_EQ(code(put("alice.example/services/%40", R"({"port":80})")), "invalid_service");
}

TEST_F(ApiTest, errors_have_the_right_status) {
  Request no_token = request("GET", "alice.example");
  no_token.authorization = "";
  EXPECT_EQ(answer(no_token).status, 401U);
  EXPECT_TRUE(header(answer(no_token), "WWW-Authenticate").starts_with("Bearer"));
  no_token.authorization = "Bearer alice:wrong";
  EXPECT_EQ(answer(no_token).status, 401U);

  EXPECT_EQ(answer(request("GET", "bob.example")).status, 403U);
  EXPECT_EQ(put("bob.example/services/web", full_body).status, 403U);
  EXPECT_EQ(answer(request("DELETE", "bob.example/services/web")).status, 403U);
  EXPECT_EQ(answer(request("GET", "nobody.example")).status, 404U);
  EXPECT_EQ(answer(request("GET", "not%20a%20name")).status, 404U);
  EXPECT_EQ(answer(request("GET", "alice.example/elsewhere")).status, 404U);
  EXPECT_EQ(answer(request("POST", "alice.example")).status, 405U);
  EXPECT_EQ(header(answer(request("POST", "alice.example/services/web")), "Allow"), "PUT, DELETE");
  Request form = request("PUT", "alice.example/services/web", "port=80");
  form.content_type = "application/x-www-form-urlencoded";
  EXPECT_EQ(answer(form).status, 415U);
  const Reply large = Site::refusal(413, "/api/v1/names/alice.example/services/web");
  EXPECT_EQ(large.status, 413U);
  EXPECT_EQ(code(large), "body_too_large");
}

TEST_F(ApiTest, DDN_017_too_many_updates_or_guesses_are_429) {
  for (unsigned i = 0; i < limits::updates_burst; ++i)
    ASSERT_EQ(put("alice.example/services/web", R"({"port":80})").status, 200U);
  EXPECT_EQ(code(put("alice.example/services/web", R"({"port":80})")), "too_many_updates");
  EXPECT_EQ(answer(request("GET", "alice.example")).status, 200U);  // looking is not updating
  Request guess = request("GET", "alice.example");
  for (unsigned i = 0; i < limits::failures_burst; ++i) {
    guess.authorization = "Bearer alice:" + std::to_string(i);
    EXPECT_EQ(answer(guess).status, 401U);
  }
  EXPECT_EQ(answer(guess).status, 429U);
  EXPECT_EQ(header(answer(guess), "Retry-After"), std::to_string(limits::failure_refill_s));
}

TEST_F(ApiTest, a_name_full_of_services_is_409) {
  for (size_t i = 0; i < limits::services_per_name_max; ++i)
    ASSERT_EQ(put("alice.example/services/s" + std::to_string(i), R"({"port":80})").status, 200U);
  EXPECT_EQ(put("alice.example/services/more", R"({"port":80})").status, 409U);
}

// Every refusal this file and the others have seen has its code there, and every member a PUT may have.
TEST_F(ApiTest, the_description_is_served_and_names_what_there_is) {
  Request request;
  request.hosts = {"ddns.example"};
  request.target = "/api/v1/openapi.json";
  const Reply reply = answer(request);
  ASSERT_EQ(reply.status, 200U);
  const auto described = nlohmann::json::parse(reply.body);
  const auto& members = described["components"]["schemas"]["Registration"]["properties"];
  for (const char* member : {"protocol", "address", "port", "scheme", "path", "title", "type", "lifetime_s"})
    EXPECT_TRUE(members.contains(member)) << member;
  EXPECT_EQ(members.size(), 8U);
  std::set<std::string> codes;
  for (const auto& code :
       described["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]["enum"])
    codes.insert(code);
  for (const char* file : {"api.cc", "site.cc", "service.cc"}) {
    std::ifstream in(std::string(PORTOLAN_DDNS_SERVER) + "/" + file);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    ASSERT_FALSE(text.empty());
    const std::regex of_api(R"re(api_error\(\d+, "([a-z_]*[a-z])")re"), of_check(R"re(Invalid\{"([a-z_]+)")re");
    for (std::sregex_iterator each(text.begin(), text.end(), of_api), end; each != end; ++each)
      EXPECT_TRUE(codes.contains((*each)[1])) << (*each)[1];
    for (std::sregex_iterator each(text.begin(), text.end(), of_check), end; each != end; ++each)
      EXPECT_TRUE(codes.contains("invalid_" + (*each)[1].str())) << (*each)[1];
  }
}

}  // namespace
}  // namespace portolan::ddnsd::test
