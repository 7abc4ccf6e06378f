#include "ddns-server/admin.h"

#include <gtest/gtest.h>
#include <sstream>

#include "tests/unit/ddns-server/fixture.h"

namespace portolan::ddnsd::test {
namespace {

class AdminTest : public ::testing::Test {
 protected:
  AdminTest() {
    config_.hostname = "ddns.example";
    config_.database = directory_.file("ddns.sqlite");
  }
  int run(const std::vector<std::string>& words, const std::string& input = "") {
    std::istringstream in(input);
    std::ostringstream out, err;
    const int status = run_admin(config_, words, {in, out, err, Strength::least});
    out_ = out.str();
    err_ = err.str();
    return status;
  }
  TempDir directory_;
  Config config_;
  std::string out_, err_;
};

TEST_F(AdminTest, an_account_gets_a_token_that_is_told_once) {
  ASSERT_EQ(run({"account", "add", "alice"}), 0);
  const std::string token = out_.substr(0, out_.size() - 1);
  EXPECT_EQ(token.size(), 43U);
  Registry registry = must_open(config_.database);
  EXPECT_TRUE(is_right({{}, "alice", token, *registry.token_hash("alice")}));
  EXPECT_EQ(run({"account", "add", "alice"}), 1);
  EXPECT_NE(err_.find("already"), std::string::npos);
  run({"account", "list"});
  EXPECT_EQ(out_, "alice\n");
}

TEST_F(AdminTest, a_token_can_be_given_and_is_not_printed) {
  ASSERT_EQ(run({"account", "add", "alice", "--token-stdin"}, "a token of many octets\n"), 0);
  EXPECT_EQ(out_, "");
  Registry registry = must_open(config_.database);
  EXPECT_TRUE(is_right({{}, "alice", "a token of many octets", *registry.token_hash("alice")}));
  EXPECT_EQ(run({"account", "add", "bob", "--token-stdin"}, "short\n"), 1);
  EXPECT_EQ(run({"account", "add", "Bob:x"}), 1);
}

TEST_F(AdminTest, names) {
  run({"account", "add", "alice"});
  EXPECT_EQ(run({"name", "add", "WWW.Example.", "alice"}), 0);
  EXPECT_EQ(run({"name", "add", "www.example", "alice"}), 1);
  EXPECT_EQ(run({"name", "add", "x.example", "nobody"}), 1);
  EXPECT_NE(err_.find("account add nobody"), std::string::npos);
  EXPECT_EQ(run({"name", "add", "nodot", "alice"}), 1);
  EXPECT_EQ(run({"name", "add", "ddns.example", "alice"}), 1);
  run({"name", "list"});
  EXPECT_EQ(out_, "www.example alice\n");
  EXPECT_EQ(run({"name", "remove", "www.example"}), 0);
  EXPECT_EQ(run({"name", "remove", "www.example"}), 1);
  EXPECT_EQ(run({"account", "remove", "alice"}), 0);
  EXPECT_EQ(run({"account", "remove", "alice"}), 1);
}

TEST_F(AdminTest, a_name_in_unicode_is_kept_as_the_dns_writes_it_and_shown_as_people_do) {
  run({"account", "add", "alice"});
  EXPECT_EQ(run({"name", "add",
                 "B\xc3\xbc"
                 "cher.example",
                 "alice"}),
            0);
  run({"name", "list"});
  EXPECT_EQ(out_,
            "xn--bcher-kva.example alice b\xc3\xbc"
            "cher.example\n");
  EXPECT_EQ(run({"name", "add", "xn--bcher-kva.example", "alice"}), 1) << "the same name";
}

TEST_F(AdminTest, a_name_that_would_take_over_a_services_address_is_refused) {
  run({"account", "add", "alice"});
  for (const char* name : {"direct.a.example", "web.direct.a.example", "direct.example"})
    EXPECT_EQ(run({"name", "add", name, "alice"}), 1) << name;
  EXPECT_EQ(run({"name", "add", "indirect.example", "alice"}), 0);
}

TEST_F(AdminTest, a_name_outside_the_zone_is_refused) {
  config_.dns.mode = DnsConfig::Mode::direct;
  config_.dns.zone = "example";
  run({"account", "add", "alice"});
  EXPECT_EQ(run({"name", "add", "a.example", "alice"}), 0);
  EXPECT_EQ(run({"name", "add", "a.example.net", "alice"}), 1);
}

TEST_F(AdminTest, no_such_command_is_2) {
  EXPECT_EQ(run({"account"}), 2);
  EXPECT_EQ(run({"account", "ad", "x"}), 2);
  EXPECT_EQ(run({"account", "add"}), 2);
  EXPECT_EQ(run({"account", "add", "a", "b"}), 2);
  EXPECT_EQ(run({"name", "list", "x"}), 2);
  EXPECT_NE(admin_usage().find("name add FQDN ACCOUNT"), std::string::npos);
}

TEST_F(AdminTest, a_database_that_cannot_be_opened_is_named) {
  config_.database = "/nonexistent/x.sqlite";
  EXPECT_EQ(run({"account", "list"}), 1);
  EXPECT_NE(err_.find("/nonexistent/x.sqlite"), std::string::npos);
}

}  // namespace
}  // namespace portolan::ddnsd::test
