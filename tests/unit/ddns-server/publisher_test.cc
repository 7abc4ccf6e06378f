// DNS publication against BIND: what dig sees is what counts.
#include <gtest/gtest.h>
#include <thread>

#include "ddns-server/dns_publisher.h"
#include "tests/unit/ddns-server/fixture.h"
#include "tests/unit/ddns-server/named.h"

namespace portolan::ddnsd::test {
namespace {

constexpr int64_t now_s = 1'700'000'000;

class PublisherTest : public ::testing::Test {
 protected:
  explicit PublisherTest(Named::Kind kind = Named::Kind::bind) : registry_(must_open(path())), named_(kind) {
    registry_.add_account("alice", "hash");
    registry_.add_name("a.example", "alice");
  }
  std::string path() const { return directory_.file("ddns.sqlite"); }
  std::unique_ptr<DnsPublisher> publisher(const DnsConfig& config) const {
    return std::make_unique<DnsPublisher>(config, must_open(path()));
  }
  bool comes_true(const std::function<bool()>& condition) const {
    for (int i = 0; i < 300 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return condition();
  }
  TempDir directory_;
  Registry registry_;
  Named named_;
};

// Also shows DDN-015, SRV-001, SRV-005, TSG-002, TSG-009, UPT-019.
TEST_F(PublisherTest, DDN_007_DDN_014_records_appear_move_and_vanish) {
  const auto publisher = this->publisher(named_.config(DnsConfig::Mode::portal));
  registry_.put("a.example", web_service("198.51.100.5:8001"), now_s);
  publisher->ring();
  EXPECT_EQ(named_.dig_until("_http._tcp.a.example", "SRV", "0 0 8001 direct.a.example."),
            "0 0 8001 direct.a.example.");
  EXPECT_EQ(named_.dig("a.example", "A"), "192.0.2.53");
  EXPECT_EQ(named_.dig("direct.a.example", "A"), "198.51.100.5");
  EXPECT_EQ(named_.dig("_http._tcp.a.example", "URI"), "0 0 \"http://198.51.100.5:8001\"");  // SRV_005

  registry_.put("a.example", web_service("198.51.100.6:9001"), now_s);
  publisher->ring();
  EXPECT_EQ(named_.dig_until("_http._tcp.a.example", "SRV", "0 0 9001 direct.a.example."),
            "0 0 9001 direct.a.example.");
  EXPECT_EQ(named_.dig("direct.a.example", "A"), "198.51.100.6");

  registry_.end_all("a.example");
  publisher->ring();
  EXPECT_EQ(named_.dig_until("a.example", "A", ""), "");
  EXPECT_EQ(named_.dig("direct.a.example", "A"), "");
  EXPECT_EQ(named_.dig("_http._tcp.a.example", "SRV"), "");
  EXPECT_EQ(named_.dig("_http._tcp.a.example", "URI"), "");
}

// Shows SRV-002.
TEST_F(PublisherTest, a_service_that_ends_takes_its_records_and_leaves_the_others) {
  const auto publisher = this->publisher(named_.config(DnsConfig::Mode::direct));
  registry_.put("a.example", web_service("198.51.100.5:8001"), now_s);
  registry_.put("a.example", camera_service("198.51.100.6:8554"), now_s);
  publisher->ring();
  EXPECT_EQ(named_.dig_until("_http._tcp.a.example", "SRV", "0 0 8001 web.direct.a.example."),
            "0 0 8001 web.direct.a.example.");
  EXPECT_EQ(named_.dig("a.example", "A"), "198.51.100.6");  // of the first service by id, camera
  EXPECT_EQ(named_.dig("web.direct.a.example", "A"), "198.51.100.5");
  registry_.end("a.example", "camera");
  publisher->ring();
  EXPECT_EQ(named_.dig_until("_rtsp._tcp.a.example", "SRV", ""), "");
  EXPECT_EQ(named_.dig("_http._tcp.a.example", "SRV"), "0 0 8001 a.example.");
  EXPECT_EQ(named_.dig("a.example", "A"), "198.51.100.5");
  EXPECT_EQ(named_.dig("web.direct.a.example", "A"), "");
}

TEST_F(PublisherTest, a_start_publishes_what_is_there_and_withdraws_what_is_gone) {
  registry_.put("a.example", web_service("198.51.100.5:8001"), now_s);
  publisher(named_.config(DnsConfig::Mode::direct)).reset();  // may or may not get to it
  {
    const auto first = publisher(named_.config(DnsConfig::Mode::direct));
    ASSERT_EQ(named_.dig_until("a.example", "A", "198.51.100.5"), "198.51.100.5");
  }
  registry_.remove_account("alice", now_s);  // while no publisher runs
  const auto second = publisher(named_.config(DnsConfig::Mode::direct));
  EXPECT_EQ(named_.dig_until("a.example", "A", ""), "");
  EXPECT_TRUE(comes_true([&] { return registry_.dns_owed().empty() && registry_.dns_published("a.example").empty(); }));
}

TEST_F(PublisherTest, what_another_process_changes_is_seen_without_a_ring) {
  const auto publisher = this->publisher(named_.config(DnsConfig::Mode::direct));
  must_open(path()).put("a.example", web_service("198.51.100.5:8001"), now_s);
  EXPECT_EQ(named_.dig_until("a.example", "A", "198.51.100.5"), "198.51.100.5");
}

TEST_F(PublisherTest, a_server_that_does_not_know_us_is_counted_and_the_debt_stays) {
  registry_.put("a.example", web_service(), now_s);
  DnsConfig config = named_.config(DnsConfig::Mode::direct);
  config.key.secret = "d3Jvbmc=";
  const auto publisher = this->publisher(config);
  EXPECT_TRUE(comes_true([&] { return publisher->counters().server_failures > 0; }));
  EXPECT_EQ(publisher->counters().updates_done, 0U);
  EXPECT_EQ(registry_.dns_owed().size(), 1U);
  EXPECT_EQ(named_.dig("a.example", "A"), "");
}

// Shows UPT-018.
TEST_F(PublisherTest, one_refused_name_does_not_hold_up_the_next) {
  registry_.add_name("b.example", "alice");
  DnsConfig config = named_.config(DnsConfig::Mode::direct);
  registry_.put("a.example", web_service(), now_s);
  registry_.set_dns_published("a.example", {"a.example MX"});  // the key may not touch MX: REFUSED
  registry_.put("b.example", web_service("198.51.100.5:8001"), now_s);
  const auto publisher = this->publisher(config);
  EXPECT_EQ(named_.dig_until("b.example", "A", "198.51.100.5"), "198.51.100.5");
  EXPECT_GT(publisher->counters().names_refused, 0U);
  EXPECT_EQ(publisher->counters().server_failures, 0U);
}

// Also shows UPT-017.
TEST_F(PublisherTest, TSG_004_TSG_005_the_reason_of_a_refusal_is_told) {
  const auto text_of = [](const DnsConfig& config) {
    const auto sent = dns::send_update(config, {{}, {"x.example A"}, {{"x.example", "A", 30, "198.51.100.5"}}});
    return sent ? "done" : sent.error().text;
  };
  DnsConfig config = named_.config(DnsConfig::Mode::direct);
  EXPECT_EQ(text_of(config), "done");
  config.key.secret = "d3Jvbmc=";
  EXPECT_EQ(text_of(config), "key ddns-key: BADSIG: the secret is not the server's");
  config = named_.config(DnsConfig::Mode::direct);
  config.key.name = "nobody";
  EXPECT_EQ(text_of(config), "key nobody: BADKEY: the server does not know this key name or algorithm");
  config = named_.config(DnsConfig::Mode::direct);
  config.zone = "elsewhere";
  EXPECT_NE(text_of(config), "done");
  config = named_.config(DnsConfig::Mode::direct);
  config.server.port = 1;
  EXPECT_EQ(text_of(config), "no answer over TCP");
}

// Both ways: the server takes our signature, and we take the one of its answer. Also shows UPT-018: the key may change
// these types and no others there.
class EveryAlgorithm : public ::testing::TestWithParam<std::tuple<Named::Kind, const char*>> {};
INSTANTIATE_TEST_SUITE_P(All, EveryAlgorithm,
                         ::testing::Combine(::testing::Values(Named::Kind::bind, Named::Kind::knot),
                                            ::testing::Values("hmac-sha1", "hmac-sha256", "hmac-sha512")));

TEST_P(EveryAlgorithm, TSG_002_TSG_009_our_signature_agrees_with_the_servers) {
  const auto& [kind, algorithm] = GetParam();
  ASSERT_EQ(dns::check_algorithm(algorithm), "");
  const Named named(kind, algorithm);
  const auto sent = dns::send_update(named.config(DnsConfig::Mode::direct),
                                     {{}, {"x.example A"}, {{"x.example", "A", 30, "198.51.100.5"}}});
  EXPECT_TRUE(sent) << sent.error().text;
  EXPECT_EQ(named.dig("x.example", "A"), "198.51.100.5");
}

// Also shows DSD-001, DSD-002, DSD-003, DSD-004, SVC-001, SVC-004, SVC-009, UPT-019.
class EveryServer : public PublisherTest, public ::testing::WithParamInterface<Named::Kind> {
 protected:
  EveryServer() : PublisherTest(GetParam()) {}
};
INSTANTIATE_TEST_SUITE_P(All, EveryServer, ::testing::Values(Named::Kind::bind, Named::Kind::knot),
                         [](const auto& server) { return server.param == Named::Kind::bind ? "bind" : "knot"; });

TEST_P(EveryServer, takes_every_kind_of_record_and_their_removal) {
  DnsConfig config = named_.config(DnsConfig::Mode::direct);
  config.dns_sd = true;
  Service shop = web_service("198.51.100.5:8443");
  shop.id = "shop", shop.scheme = "https", shop.title = "mühle \"2\" & more", shop.path = "/x";
  registry_.put("a.example", shop, now_s);
  registry_.put("a.example", camera_service("198.51.100.5:8554"), now_s);
  const auto publisher = this->publisher(config);
  EXPECT_EQ(named_.dig_until("_rtsp.a.example", "SVCB", "1 a.example. port=8554 ipv4hint=198.51.100.5"),
            "1 a.example. port=8554 ipv4hint=198.51.100.5");
  EXPECT_EQ(named_.dig("a.example", "HTTPS"), "1 . port=8443 ipv4hint=198.51.100.5");
  EXPECT_EQ(named_.dig("_https._tcp.a.example", "PTR"),
            "m\\195\\188hle\\032\\\"2\\\"\\032&\\032more._https._tcp.a.example.");
  EXPECT_EQ(named_.dig("video._rtsp._tcp.a.example", "SRV"), "0 0 8554 a.example.");
  EXPECT_EQ(named_.dig("video._rtsp._tcp.a.example", "TXT"), "\"path=/test.sdp\"");
  EXPECT_EQ(named_.dig("_services._dns-sd._udp.a.example", "PTR"), "_https._tcp.a.example.\n_rtsp._tcp.a.example.");
  EXPECT_EQ(named_.dig("lb._dns-sd._udp.a.example", "PTR"), "a.example.");
  registry_.end_all("a.example", now_s);
  publisher->ring();
  EXPECT_EQ(named_.dig_until("a.example", "HTTPS", ""), "");
  for (const char* set : {"_rtsp.a.example SVCB", "_https._tcp.a.example PTR", "video._rtsp._tcp.a.example TXT",
                          "lb._dns-sd._udp.a.example PTR", "a.example A"}) {
    const std::string text = set;
    EXPECT_EQ(named_.dig(text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1)), "") << set;
  }
}

TEST_P(EveryServer, what_somebody_changed_in_the_zone_is_found_and_put_right) {
  DnsConfig config = named_.config(DnsConfig::Mode::direct);
  config.check_interval_s = 1;
  registry_.put("a.example", web_service("198.51.100.5:8001"), now_s);
  const auto publisher = this->publisher(config);
  ASSERT_EQ(named_.dig_until("a.example", "A", "198.51.100.5"), "198.51.100.5");
  ASSERT_TRUE(comes_true([&] { return registry_.dns_owed().empty(); }));
  EXPECT_EQ(publisher->counters().drifts_found, 0U);
  named_.update("del a.example A\nadd a.example 30 A 198.51.100.66\n");
  EXPECT_TRUE(comes_true([&] { return publisher->counters().drifts_found > 0; }));
  EXPECT_EQ(named_.dig_until("a.example", "A", "198.51.100.5"), "198.51.100.5");
}

TEST_P(EveryServer, a_server_that_comes_back_with_an_old_zone_is_told_everything) {
  registry_.add_name("b.example", "alice");
  registry_.put("a.example", web_service("198.51.100.5:8001"), now_s);
  const auto publisher = this->publisher(named_.config(DnsConfig::Mode::direct));
  ASSERT_EQ(named_.dig_until("a.example", "A", "198.51.100.5"), "198.51.100.5");
  ASSERT_TRUE(comes_true([&] { return registry_.dns_owed().empty(); }));
  named_.stop();
  registry_.put("b.example", web_service("198.51.100.6:8001"), now_s);
  EXPECT_TRUE(comes_true([&] { return publisher->counters().server_failures > 0; }));
  named_.forget();
  named_.start();
  EXPECT_EQ(named_.dig_until("b.example", "A", "198.51.100.6"), "198.51.100.6");
  EXPECT_EQ(named_.dig_until("a.example", "A", "198.51.100.5"), "198.51.100.5");
}

TEST_P(EveryServer, records_that_were_not_made_here_are_left_alone) {
  named_.update("add a.example 300 A 203.0.113.80\n");
  registry_.add_name("b.example", "alice");
  registry_.put("a.example", web_service("198.51.100.5:8001"), now_s);
  registry_.put("b.example", web_service("198.51.100.6:8001"), now_s);
  DnsConfig config = named_.config(DnsConfig::Mode::direct);
  auto publisher = this->publisher(config);
  EXPECT_EQ(named_.dig_until("b.example", "A", "198.51.100.6"), "198.51.100.6");
  EXPECT_GT(publisher->counters().names_refused, 0U);
  EXPECT_EQ(named_.dig("a.example", "A"), "203.0.113.80");
  publisher.reset();
  config.take_over = true;
  publisher = this->publisher(config);
  EXPECT_EQ(named_.dig_until("a.example", "A", "198.51.100.5"), "198.51.100.5");
}

// 300 names share a few messages; one that the server refuses holds up none of them.
TEST_F(PublisherTest, many_names_at_once_share_messages) {
  for (int i = 0; i < 300; ++i) {
    const std::string name = "n" + std::to_string(i) + ".example";
    registry_.add_name(name, "alice");
    registry_.put(name, web_service("198.51.100.5:" + std::to_string(1000 + i)), now_s);
  }
  named_.update("add n100.example 300 A 203.0.113.80\n");
  const auto publisher = this->publisher(named_.config(DnsConfig::Mode::direct));
  EXPECT_EQ(named_.dig_until("_http._tcp.n299.example", "SRV", "0 0 1299 n299.example."), "0 0 1299 n299.example.");
  EXPECT_TRUE(comes_true([&] { return registry_.dns_owed().size() == 1; }));
  EXPECT_LT(publisher->counters().updates_done, 100U) << "64 of them one by one, because of n100";
  EXPECT_EQ(named_.dig("n100.example", "A"), "203.0.113.80");
}

// Also shows SRV-003.
TEST_F(PublisherTest, a_service_without_its_mapping_says_that_it_is_not_there) {
  Service web = web_service("198.51.100.5:8001");
  web.inside = Inside{"2001:db8:1::/56", endpoint("10.0.0.2:80")};
  registry_.put("a.example", web, now_s);
  const auto publisher = this->publisher(named_.config(DnsConfig::Mode::portal));
  ASSERT_EQ(named_.dig_until("_http._tcp.a.example", "SRV", "0 0 8001 direct.a.example."),
            "0 0 8001 direct.a.example.");
  registry_.apply({{net::Protocol::tcp, *web.inside, web.outside, true}}, now_s);
  publisher->ring();
  EXPECT_EQ(named_.dig_until("_http._tcp.a.example", "SRV", "0 0 0 ."), "0 0 0 .");
  EXPECT_EQ(named_.dig("direct.a.example", "A"), "");
  EXPECT_EQ(named_.dig("a.example", "A"), "192.0.2.53") << "the portal says what there is, and why it is not";
}

// An answer of the right shape by somebody without the key: header, zone, and a signature of nothing, or none.
TEST(DnsAnswer, TSG_012_what_is_not_signed_with_the_key_is_not_believed) {
  dns::Primary config;
  config.zone = "example";
  config.key = {"ddns-key", "hmac-sha256", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="};
  const dns::Update update{{}, {"a.example A"}, {{"a.example", "A", 30, "192.0.2.1"}}};
  std::string octets("\0\1\xa8\0\0\1\0\0\0\0\0\0\7example\0\0\6\0\1", 25);
  for (int id = 0; id < 65536; id += 257) {
    octets[0] = static_cast<char>(id >> 8), octets[1] = static_cast<char>(id);
    const auto done =
        dns::judge_answer(config, update, {reinterpret_cast<const uint8_t*>(octets.data()), octets.size()});
    ASSERT_FALSE(done);
    ASSERT_EQ(done.error().kind, dns::Failure::Kind::server);
    EXPECT_EQ(done.error().text, "key ddns-key: the answer is not signed");
  }
}

}  // namespace
}  // namespace portolan::ddnsd::test
