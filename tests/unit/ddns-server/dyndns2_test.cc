#include <gtest/gtest.h>

#include "ddns-server/limits.h"
#include "ddns-server/updates.h"
#include "tests/unit/ddns-server/fixture.h"

namespace portolan::ddnsd::test {
namespace {

class Dyndns2Test : public SiteTest {
 protected:
  Request request(const std::string& query) {
    Request out;
    out.hosts = {"ddns.example"};
    out.target = "/nic/update?" + query;
    out.authorization = basic("alice", alice_token);
    out.user_agent = "inadyn/2.12";
    out.source = net::mapped(endpoint("198.51.100.77:1").address);
    return out;
  }
  std::string update(const std::string& query) {
    const Reply reply = answer(request(query));
    EXPECT_EQ(reply.status, 200U);
    EXPECT_TRUE(reply.content_type.starts_with("text/plain"));
    return reply.body;
  }
};

struct Row {
  const char *query, *body;
  friend void PrintTo(const Row& row, std::ostream* out) { *out << row.query; }
};
class Dyndns2Codes : public Dyndns2Test, public ::testing::WithParamInterface<Row> {};
// Also shows DYN-002, DYN-006, DYN-007, DYN-008, DYN-009, DYN-011.
TEST_P(Dyndns2Codes, DYN_003_code_with_status_200) {
  EXPECT_EQ(update(GetParam().query), std::string(GetParam().body) + "\n");
}
INSTANTIATE_TEST_SUITE_P(
    all, Dyndns2Codes,
    ::testing::Values(
        Row{"hostname=alice.example&myip=192.0.2.1", "good 192.0.2.1"},
        Row{"hostname=ALICE.Example.&myip=192.0.2.1", "good 192.0.2.1"},
        Row{"hostname=alice.example", "good 198.51.100.77"}, Row{"hostname=alice.example&myip=", "good 198.51.100.77"},
        Row{"hostname=alice.example&myip=192.0.2.1,2001:db8::5", "good 192.0.2.1"},
        Row{"hostname=alice.example&myip=2001:db8::5/64,192.0.2.1", "good 192.0.2.1"},
        Row{"hostname=alice.example&myip=2001:db8::5", "dnserr"}, Row{"hostname=alice.example&myip=good", "dnserr"},
        Row{"hostname=alice.example&myip=10.0.0.1", "dnserr"}, Row{"hostname=alice.example&myip=100.64.0.1", "dnserr"},
        Row{"hostname=alice.example&myip=127.0.0.1&port=80", "dnserr"},
        Row{"hostname=alice.example,cam.alice.example&myip=192.0.2.1", "good 192.0.2.1\ngood 192.0.2.1"},
        Row{"hostname=goods.example,bob.example,nodot,alice.example&myip=192.0.2.1",
            "nohost\n!yours\nnotfqdn\ngood 192.0.2.1"},
        Row{"hostname=goods.example", "nohost"}, Row{"hostname=", "notfqdn"}, Row{"myip=192.0.2.1", "notfqdn"},
        Row{"hostname=a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a", "numhost"},
        Row{"hostname=alice.example&system=dyndns&myip=192.0.2.1", "good 192.0.2.1"},
        Row{"hostname=alice.example&system=x", "badsys"}, Row{"hostname=alice.example&port=0", "badagent"},
        Row{"hostname=alice.example&port=65536", "badagent"}, Row{"hostname=alice.example&port=x", "badagent"},
        Row{"hostname=alice.example&port=80&proto=sctp", "badagent"},
        Row{"hostname=alice.example&port=80&scheme=javascript", "badagent"},
        Row{"hostname=alice.example&port=80&service=@", "badagent"},
        Row{"hostname=alice.example&port=80&path=x", "badagent"},
        Row{"hostname=alice.example&port=80&lifetime=0", "badagent"}, Row{"hostname=%zz", "badagent"}));

TEST_F(Dyndns2Test, DYN_002_the_second_time_is_nochg) {
  EXPECT_EQ(update("hostname=alice.example&myip=192.0.2.1&port=8001&proto=tcp"), "good 192.0.2.1\n");
  EXPECT_EQ(changes_, 1);
  EXPECT_EQ(update("hostname=alice.example&myip=192.0.2.1&port=8001&proto=tcp"), "nochg 192.0.2.1\n");
  EXPECT_EQ(changes_, 1);
}

// Also shows DYN-020.
TEST_F(Dyndns2Test, DDN_008_port_and_the_rest_are_registered) {
  update(
      "hostname=alice.example&myip=192.0.2.1&port=8001&proto=udp&service=cam&scheme=rtsp&path=/"
      "a%20b&title=My+camera&type=NVR&lifetime=60");
  const auto found = services("alice.example");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].id, "cam");
  EXPECT_EQ(found[0].protocol, net::Protocol::udp);
  EXPECT_EQ(found[0].outside, endpoint("192.0.2.1:8001"));
  EXPECT_EQ(found[0].scheme, "rtsp");
  EXPECT_EQ(found[0].path, "/a b");
  EXPECT_EQ(found[0].title, "My camera");
  EXPECT_EQ(found[0].type, "nvr");
  EXPECT_EQ(found[0].expires_at_s, now_s_ + 60);
}

TEST_F(Dyndns2Test, port_alone_is_a_web_server) {
  update("hostname=alice.example&myip=192.0.2.1&port=8001");
  EXPECT_EQ(header(get("alice.example", "/"), "Location"), "http://192.0.2.1:8001/");
}

TEST_F(Dyndns2Test, DYN_020_an_old_client_moves_the_address_and_keeps_the_port) {
  update("hostname=alice.example&myip=192.0.2.1&port=8001");
  EXPECT_EQ(update("hostname=alice.example&myip=192.0.2.9"), "good 192.0.2.9\n");
  EXPECT_EQ(update("hostname=alice.example&myip=192.0.2.9"), "nochg 192.0.2.9\n");
  EXPECT_EQ(services("alice.example")[0].outside, endpoint("192.0.2.9:8001"));
}

TEST_F(Dyndns2Test, DYN_014_without_a_lifetime_a_record_outlives_the_slowest_client) {
  update("hostname=alice.example&myip=192.0.2.1&port=8001");
  EXPECT_GT(services("alice.example")[0].expires_at_s, now_s_ + 25 * 86400);
  update("hostname=alice.example&myip=192.0.2.1&port=8001&lifetime=99999999999");
  EXPECT_EQ(services("alice.example")[0].expires_at_s, now_s_ + limits::lifetime_max_s);
}

TEST_F(Dyndns2Test, offline_withdraws_one_or_all) {
  update("hostname=alice.example&myip=192.0.2.1&port=8001");
  update("hostname=alice.example&myip=192.0.2.1&port=8002&service=ssh");
  EXPECT_EQ(update("hostname=alice.example&offline=YES&service=ssh"), "good\n");
  EXPECT_EQ(services("alice.example").size(), 1U);
  EXPECT_EQ(update("hostname=alice.example&offline=YES"), "good\n");
  EXPECT_EQ(update("hostname=alice.example&offline=YES"), "nochg\n");
  EXPECT_EQ(get("alice.example", "/").status, 404U);
}

TEST_F(Dyndns2Test, DYN_005_without_right_credentials_401_badauth) {
  for (const std::string& authorization : {std::string(), basic("alice", "wrong"), basic("nobody", alice_token),
                                           basic("bob", alice_token), std::string("Basic x")}) {
    Request wrong = request("hostname=alice.example&myip=192.0.2.1");
    wrong.authorization = authorization;
    const Reply reply = answer(wrong);
    EXPECT_EQ(reply.status, 401U);
    EXPECT_EQ(reply.body, "badauth\n");
    EXPECT_TRUE(header(reply, "WWW-Authenticate").starts_with("Basic realm="));
  }
  EXPECT_EQ(changes_, 0);
}

// Also shows DYN-017.
TEST_F(Dyndns2Test, DDN_016_nobody_changes_another_accounts_name) {
  EXPECT_EQ(update("hostname=bob.example&myip=192.0.2.1&port=80"), "!yours\n");
  EXPECT_TRUE(services("bob.example").empty());
}

TEST_F(Dyndns2Test, DYN_001_both_paths_and_addresses_as_host) {
  Request other = request("");
  other.target = "/v3/update?hostname=alice.example&myip=192.0.2.1";
  other.hosts = {"192.0.2.53"};
  EXPECT_EQ(answer(other).body, "good 192.0.2.1\n");
  other.hosts = {"alice.example"};
  EXPECT_EQ(answer(other).status, 404U);  // a registered name's paths are its owner's
}

TEST_F(Dyndns2Test, badagent_without_agent_or_with_another_method) {
  Request odd = request("hostname=alice.example&myip=192.0.2.1");
  odd.user_agent = "";
  EXPECT_EQ(answer(odd).body, "badagent\n");
  odd = request("hostname=alice.example&myip=192.0.2.1");
  odd.method = "HEAD";
  EXPECT_EQ(answer(odd).body, "badagent\n");
  EXPECT_EQ(changes_, 0);
}

// Shows DYN-007.
TEST_F(Dyndns2Test, the_reason_is_in_a_header_not_in_the_body) {
  const Reply reply = answer(request("hostname=alice.example&port=0"));
  EXPECT_EQ(reply.body, "badagent\n");
  EXPECT_TRUE(header(reply, "Portolan-Detail").starts_with("port: "));
}

// Also shows DYN-005.
TEST_F(Dyndns2Test, DDN_017_an_account_that_updates_without_end_is_abuse_and_others_are_served) {
  for (unsigned i = 0; i < limits::updates_burst; ++i)
    ASSERT_NE(update("hostname=alice.example&myip=192.0.2.1"), "abuse\n");
  const Reply reply = answer(request("hostname=alice.example&myip=192.0.2.1"));
  EXPECT_EQ(reply.status, 403U);
  EXPECT_EQ(reply.body, "abuse\n");
  Request other = request("hostname=bob.example&myip=192.0.2.1");
  other.authorization = basic("bob", bob_token);
  EXPECT_EQ(answer(other).body, "good 192.0.2.1\n");
  now_s_ += limits::update_refill_s;
  EXPECT_EQ(update("hostname=alice.example&myip=192.0.2.1"), "nochg 192.0.2.1\n");
}

// Also shows DYN-013.
TEST_F(Dyndns2Test, DYN_015_one_nochg_every_ten_minutes_is_never_abuse) {
  for (int i = 0; i < 200; ++i, now_s_ += 600) ASSERT_NE(update("hostname=alice.example&myip=192.0.2.1"), "abuse\n");
}

TEST_F(Dyndns2Test, a_verified_token_is_not_hashed_again) {
  update("hostname=alice.example&myip=192.0.2.1");
  update("hostname=alice.example&myip=192.0.2.2");
  EXPECT_EQ(verifications_, 1);
}

TEST_F(Dyndns2Test, too_many_guesses_are_badauth_even_if_right) {
  Request wrong = request("hostname=alice.example&myip=192.0.2.1");
  for (unsigned i = 0; i < limits::failures_burst; ++i) {
    wrong.authorization = basic("alice", "wrong" + std::to_string(i));
    EXPECT_EQ(answer(wrong).status, 401U);
  }
  const Reply reply = answer(request("hostname=alice.example&myip=192.0.2.1"));
  EXPECT_EQ(reply.body, "badauth\n");
  EXPECT_EQ(header(reply, "Retry-After"), std::to_string(limits::failure_refill_s));
}

}  // namespace
}  // namespace portolan::ddnsd::test
