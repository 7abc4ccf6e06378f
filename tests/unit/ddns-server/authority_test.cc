// Truth: what an AFTR says of its mappings decides what a name may lead to.
#include "ddns-server/authority.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "dataplane/net/text.h"
#include "tests/unit/ddns-server/fixture.h"

namespace portolan::ddnsd::test {
namespace {

using nlohmann::json;

constexpr const char* alices = "2001:db8:a:100::/56";
constexpr const char* bobs = "2001:db8:b:100::/56";

class AuthorityTest : public SiteTest {
 protected:
  AuthorityTest() : SiteTest(true) {
    registry_.set_subscriber("alice", alices);
    registry_.set_subscriber("bob", bobs);
    tell({{"event", "hello"}, {"feed", 1}, {"instance", "x"}, {"begins", "snapshot"}});
  }
  void tell(const json& line) {
    std::string why;
    EXPECT_TRUE(authority_->take(line.dump(), now_s_, why)) << why;
    authority_->flush(now_s_);
  }
  static json mapping(const std::string& event, const std::string& subscriber, const std::string& inside,
                      const std::string& outside, const std::string& protocol = "tcp") {
    return {{"event", event},       {"subscriber", subscriber}, {"inside", inside},
            {"protocol", protocol}, {"outside", outside},       {"sequence", 1}};
  }
  void snapshot(const std::vector<json>& mappings = {}) {
    tell({{"event", "snapshot"}, {"sequence", 0}});
    for (const auto& each : mappings) tell(each);
    tell({{"event", "snapshot-end"}, {"sequence", 0}});
  }
  Reply put(const std::string& account, const std::string& name, const std::string& outside,
            const std::string& source = "198.51.100.77") {
    const auto at = endpoint(outside);
    Request request;
    request.method = "PUT";
    request.target = "/api/v1/names/" + name + "/services/web";
    request.hosts = {"ddns.example"};
    request.content_type = "application/json";
    request.authorization = "Bearer " + account + ":" + (account == "alice" ? alice_token : bob_token);
    request.source = source.find(':') == source.npos ? net::mapped(*net::parse_ipv4(source)) : *net::parse_ipv6(source);
    request.body = json{{"address", net::to_text(at.address)}, {"port", uint16_t{at.port.number}}}.dump();
    return answer(request);
  }
  std::string dyndns2(const std::string& query) {
    Request request;
    request.target = "/nic/update?" + query;
    request.hosts = {"ddns.example"};
    request.user_agent = "test";
    request.authorization = basic("alice", alice_token);
    request.source = net::mapped(*net::parse_ipv4("198.51.100.77"));
    return answer(request).body;
  }
  std::string location(const std::string& name) { return header(get(name, "/"), "Location"); }
};

TEST_F(AuthorityTest, DDN_016_only_what_is_mapped_to_the_claimant_is_registered) {
  snapshot({mapping("mapping", alices, "10.0.0.2:80", "192.0.2.1:2000"),
            mapping("mapping", bobs, "10.0.0.2:80", "192.0.2.1:2256")});
  EXPECT_EQ(put("alice", "alice.example", "192.0.2.1:2000").status, 200U);
  for (const char* wrong : {"192.0.2.1:2256", "192.0.2.1:2001", "192.0.2.2:2000"}) {
    const Reply reply = put("alice", "cam.alice.example", wrong);
    EXPECT_EQ(reply.status, 409U) << wrong;
    EXPECT_NE(reply.body.find("not_mapped"), std::string::npos);
    const auto at = endpoint(wrong);
    EXPECT_EQ(dyndns2("hostname=cam.alice.example&myip=" + net::to_text(at.address) +
                      "&port=" + std::to_string(uint16_t{at.port.number})),
              "dnserr\n");
  }
  EXPECT_EQ(location("alice.example"), "http://192.0.2.1:2000/");
  EXPECT_EQ(get("cam.alice.example", "/").status, 404U);
}

TEST_F(AuthorityTest, DDN_016_the_protocol_is_part_of_the_claim) {
  snapshot({mapping("mapping", alices, "10.0.0.2:80", "192.0.2.1:2000", "udp")});
  EXPECT_EQ(put("alice", "alice.example", "192.0.2.1:2000").status, 409U);
  EXPECT_EQ(dyndns2("hostname=alice.example&myip=192.0.2.1&port=2000&proto=udp"), "good 192.0.2.1\n");
}

TEST_F(AuthorityTest, an_account_bound_to_nobody_has_to_speak_from_the_subscribers_own_addresses) {
  registry_.set_subscriber("alice", "");
  snapshot({mapping("mapping", alices, "10.0.0.2:80", "192.0.2.1:2000")});
  EXPECT_EQ(put("alice", "alice.example", "192.0.2.1:2000").status, 403U);
  EXPECT_EQ(put("alice", "alice.example", "192.0.2.1:2000", "192.0.2.1").status, 403U)
      << "a shared address is nobody's";
  EXPECT_EQ(put("alice", "alice.example", "192.0.2.1:2000", "2001:db8:b:100::1").status, 403U);
  EXPECT_EQ(put("alice", "alice.example", "192.0.2.1:2000", "2001:db8:a:1ff::1").status, 200U);
}

TEST_F(AuthorityTest, a_nat44_subscriber_is_his_inside_address) {
  registry_.set_subscriber("alice", subscriber_text(*parse_subscriber("100.64.1.2/32")));
  snapshot({mapping("mapping", "100.64.1.2/32", "100.64.1.2:80", "192.0.2.1:2000")});
  EXPECT_EQ(put("alice", "alice.example", "192.0.2.1:2000").status, 200U);
}

TEST_F(AuthorityTest, while_nobody_can_be_asked_what_is_there_stays_and_nothing_new_comes) {
  EXPECT_EQ(put("alice", "alice.example", "192.0.2.1:2000").status, 503U) << "before the first snapshot";
  snapshot({mapping("mapping", alices, "10.0.0.2:80", "192.0.2.1:2000"),
            mapping("mapping", alices, "10.0.0.3:80", "192.0.2.1:2001")});
  EXPECT_EQ(put("alice", "alice.example", "192.0.2.1:2000").status, 200U);
  authority_->lost();
  EXPECT_EQ(put("alice", "alice.example", "192.0.2.1:2000").status, 200U);
  EXPECT_EQ(put("alice", "cam.alice.example", "192.0.2.1:2001").status, 503U);
  EXPECT_EQ(dyndns2("hostname=cam.alice.example&myip=192.0.2.1&port=2001"), "911\n");
  tell({{"event", "hello"}, {"feed", 1}, {"instance", "x"}, {"begins", "after"}});
  EXPECT_EQ(put("alice", "cam.alice.example", "192.0.2.1:2001").status, 200U);
  now_s_ += Authority::silence_max_s + 1;
  EXPECT_EQ(put("alice", "cam.alice.example", "192.0.2.1:2000").status, 503U) << "silence is no consent";
}

TEST_F(AuthorityTest, DDN_005_a_moved_mapping_takes_its_name_along) {
  snapshot({mapping("mapping", alices, "10.0.0.2:80", "192.0.2.1:2000")});
  put("alice", "alice.example", "192.0.2.1:2000");
  changes_ = 0;
  auto moved = mapping("moved", alices, "10.0.0.2:80", "192.0.2.1:2100");
  moved["was"] = "192.0.2.1:2000";
  tell(moved);
  EXPECT_EQ(location("alice.example"), "http://192.0.2.1:2100/");
  EXPECT_EQ(changes_, 1);
  EXPECT_EQ(registry_.dns_owed().size(), 1U);
  EXPECT_EQ(put("alice", "alice.example", "192.0.2.1:2000").status, 409U);
}

TEST_F(AuthorityTest, DDN_019_an_ended_mapping_takes_its_name_away_and_brings_it_back) {
  snapshot({mapping("mapping", alices, "10.0.0.2:80", "192.0.2.1:2000")});
  put("alice", "alice.example", "192.0.2.1:2000");
  tell(mapping("ended", alices, "10.0.0.2:80", "192.0.2.1:2000"));
  EXPECT_EQ(get("alice.example", "/").status, 404U);
  EXPECT_EQ(registry_.find("alice.example", now_s_)->away.size(), 1U);
  tell(mapping("made", alices, "10.0.0.2:80", "192.0.2.9:4000"));
  EXPECT_EQ(location("alice.example"), "http://192.0.2.9:4000/");
}

TEST_F(AuthorityTest, a_snapshot_ends_what_is_not_in_it_and_moves_what_has_moved) {
  snapshot({mapping("mapping", alices, "10.0.0.2:80", "192.0.2.1:2000"),
            mapping("mapping", alices, "10.0.0.3:80", "192.0.2.1:2001")});
  put("alice", "alice.example", "192.0.2.1:2000");
  put("alice", "cam.alice.example", "192.0.2.1:2001");
  snapshot({mapping("mapping", alices, "10.0.0.3:80", "192.0.2.1:3001"),
            mapping("mapping", bobs, "10.0.0.2:80", "192.0.2.1:2000")});  // and another has the port now
  EXPECT_EQ(get("alice.example", "/").status, 404U);
  EXPECT_EQ(location("cam.alice.example"), "http://192.0.2.1:3001/");
}

TEST_F(AuthorityTest, what_was_registered_before_there_was_an_authority_is_vouched_for_or_goes) {
  registry_.put("alice.example", web_service("192.0.2.1:2000"), now_s_);
  registry_.put("bob.example", web_service("192.0.2.1:2001"), now_s_);
  snapshot({mapping("mapping", alices, "10.0.0.2:80", "192.0.2.1:2000"),
            mapping("mapping", alices, "10.0.0.3:80", "192.0.2.1:2001")});
  EXPECT_TRUE(services("alice.example").at(0).inside);
  EXPECT_TRUE(services("bob.example").empty());
}

TEST_F(AuthorityTest, a_freed_port_carries_nobody_elses_name_until_the_old_record_is_forgotten) {
  registry_.set_rest(65, true, now_s_);
  snapshot({mapping("mapping", alices, "10.0.0.2:80", "192.0.2.1:2000")});
  put("alice", "alice.example", "192.0.2.1:2000");
  tell(mapping("ended", alices, "10.0.0.2:80", "192.0.2.1:2000"));
  tell(mapping("made", bobs, "10.0.0.2:80", "192.0.2.1:2000"));
  EXPECT_EQ(put("bob", "bob.example", "192.0.2.1:2000").status, 200U);
  EXPECT_EQ(get("bob.example", "/").status, 404U) << "granted, but not shown yet";
  for (const auto& debt : registry_.dns_owed()) registry_.dns_settle(debt, now_s_);
  now_s_ += 59;  // the authority's registry rests for 60 s
  registry_.end_expired(now_s_);
  EXPECT_EQ(get("bob.example", "/").status, 404U);
  now_s_ += 10;
  EXPECT_EQ(registry_.end_expired(now_s_), 1U);
  EXPECT_EQ(location("bob.example"), "http://192.0.2.1:2000/");
  EXPECT_EQ(registry_.dns_owed().size(), 1U) << "and it is published now";
}

TEST_F(AuthorityTest, the_rest_begins_when_dns_has_withdrawn_the_record_not_before) {
  registry_.set_dns_published("alice.example", {"alice.example A"});
  snapshot({mapping("mapping", alices, "10.0.0.2:80", "192.0.2.1:2000")});
  put("alice", "alice.example", "192.0.2.1:2000");
  tell(mapping("ended", alices, "10.0.0.2:80", "192.0.2.1:2000"));
  tell(mapping("made", bobs, "10.0.0.2:80", "192.0.2.1:2000"));
  put("bob", "bob.example", "192.0.2.1:2000");
  now_s_ += 100'000;  // the DNS server is down for a day
  registry_.end_expired(now_s_);
  EXPECT_EQ(get("bob.example", "/").status, 404U);
  for (const auto& debt : registry_.dns_owed()) registry_.dns_settle(debt, now_s_);
  registry_.end_expired(now_s_ += 61);
  EXPECT_EQ(get("bob.example", "/").status, 301U);
}

TEST_F(AuthorityTest, ones_own_port_needs_no_rest) {
  snapshot({mapping("mapping", alices, "10.0.0.2:80", "192.0.2.1:2000")});
  put("alice", "alice.example", "192.0.2.1:2000");
  registry_.end_all("alice.example", now_s_);
  EXPECT_EQ(put("alice", "cam.alice.example", "192.0.2.1:2000").status, 200U);
  EXPECT_EQ(get("cam.alice.example", "/").status, 301U);
}

TEST_F(AuthorityTest, in_operator_mode_names_follow_subscribers_without_any_client) {
  registry_.add_follow({"alice.example", alices, "web", net::Protocol::tcp, 8080, "http", "/start", "Home"});
  registry_.add_follow({"bob.example", bobs, "", net::Protocol::tcp, 0, "", "", ""});
  snapshot({mapping("mapping", alices, "10.0.0.2:8080", "192.0.2.1:2000"),
            mapping("mapping", alices, "10.0.0.2:22", "192.0.2.1:2001")});
  EXPECT_EQ(location("alice.example"), "http://192.0.2.1:2000/start");
  tell(mapping("made", bobs, "10.0.0.7:554", "192.0.2.1:2300"));
  tell(mapping("made", bobs, "10.0.0.7:443", "192.0.2.1:2301"));
  tell(mapping("made", bobs, "10.0.0.7:5000", "192.0.2.1:2302", "udp"));
  const auto shown = services("bob.example");
  ASSERT_EQ(shown.size(), 2U);
  EXPECT_EQ(uri_of(shown[0]), "https://192.0.2.1:2301");
  EXPECT_EQ(uri_of(shown[1]), "rtsp://192.0.2.1:2300");
  tell(mapping("ended", bobs, "10.0.0.7:554", "192.0.2.1:2300"));
  EXPECT_EQ(location("bob.example"), "https://192.0.2.1:2301/");
  registry_.remove_follows("bob.example", now_s_);
  EXPECT_TRUE(services("bob.example").empty());
}

TEST_F(AuthorityTest, a_new_rule_is_seen_without_news_of_a_mapping) {
  snapshot({mapping("mapping", alices, "10.0.0.2:8080", "192.0.2.1:2000")});
  authority_->look_at_rules(now_s_);
  EXPECT_TRUE(services("alice.example").empty());
  registry_.add_follow({"alice.example", alices, "web", net::Protocol::tcp, 8080, "http", "", ""});
  authority_->look_at_rules(now_s_);
  EXPECT_EQ(services("alice.example").size(), 1U);
}

TEST_F(AuthorityTest, an_address_alone_moves_no_service_that_follows_its_mapping) {
  snapshot({mapping("mapping", alices, "10.0.0.2:80", "192.0.2.1:2000")});
  put("alice", "alice.example", "192.0.2.1:2000");
  EXPECT_EQ(dyndns2("hostname=alice.example&myip=192.0.2.2"), "dnserr\n");
  EXPECT_EQ(dyndns2("hostname=alice.example&myip=192.0.2.1"), "good 192.0.2.1\n");
  EXPECT_EQ(location("alice.example"), "http://192.0.2.1:2000/");
}

TEST_F(AuthorityTest, lines_that_are_no_feeds_end_the_connection) {
  std::string why;
  for (const char* wrong :
       {"", "[]", "{}", R"({"event":"made"})", R"({"event":"refused","text":"wrong token"})",
        R"({"event":"made","subscriber":"x","inside":"10.0.0.1:1","protocol":"tcp","outside":"1.2.3.4:5"})"})
    EXPECT_FALSE(authority_->take(wrong, now_s_, why)) << wrong;
  EXPECT_TRUE(authority_->take(R"({"event":"something-new","sequence":9})", now_s_, why)) << "of a later version";
  EXPECT_EQ(json::parse(authority_->hello("t"))["after"], 9);
}

TEST_F(AuthorityTest, suspended_is_neither_shown_nor_updated_and_comes_back) {
  snapshot({mapping("mapping", alices, "10.0.0.2:80", "192.0.2.1:2000")});
  put("alice", "alice.example", "192.0.2.1:2000");
  registry_.suspend_account("alice", true);
  EXPECT_EQ(get("alice.example", "/").status, 404U);
  EXPECT_EQ(put("alice", "alice.example", "192.0.2.1:2000").status, 403U);
  EXPECT_EQ(dyndns2("hostname=alice.example&myip=192.0.2.1&port=2000"), "!active\n");
  registry_.suspend_account("alice", false);
  registry_.suspend_name("alice.example", true);
  EXPECT_EQ(get("alice.example", "/").status, 404U);
  registry_.suspend_name("alice.example", false);
  EXPECT_EQ(location("alice.example"), "http://192.0.2.1:2000/");
}

}  // namespace
}  // namespace portolan::ddnsd::test
