// RFC 2136 from the client: which records an update replaces, and that a real DNS server then has them.
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "dataplane/net/text.h"
#include "ddns-client-ref/update_method.h"
#include "tests/unit/ddns-server/named.h"

namespace portolan::ddns {
namespace {

using ddnsd::test::Named;
using Kind = Outcome::Kind;

Update update(const char* outside, bool withdrawal = false, bool last = false) {
  Update out;
  out.withdrawal = withdrawal;
  out.last_of_name = last;
  out.record = {"home1.example", "web", net::Protocol::tcp, *net::parse_endpoint(outside), "http", "/", "", 3600, ""};
  return out;
}

class DnsMethod : public ::testing::Test {
 protected:
  boost::asio::io_context io_;
  Outcome run(const dns::Primary& primary, const Update& each) {
    std::optional<Outcome> out;
    const auto method = make_dns_method(io_, primary);
    method->send(each, [&](const Outcome& outcome) { out = outcome; });
    io_.run();
    io_.restart();
    return out.value();
  }
};

TEST_F(DnsMethod, UPT_019_a_services_records_are_replaced_in_one_message) {
  using dns::Record;
  EXPECT_EQ(dns_records_of(update("192.0.2.1:4000").record),
            (std::vector<Record>{{"home1.example", "A", 60, "192.0.2.1"},
                                 {"web.home1.example", "A", 60, "192.0.2.1"},
                                 {"_http._tcp.home1.example", "SRV", 60, "0 0 4000 web.home1.example."},
                                 {"_http._tcp.home1.example", "URI", 60, "0 0 \"http://192.0.2.1:4000/\""}}));
  Update game = update("192.0.2.1:4000");
  game.before = game.record;
  game.record.type = "minecraft";
  game.record.scheme = "";
  EXPECT_EQ(dns_sets_of(game),
            (std::vector<std::string>{"home1.example A", "web.home1.example A", "_minecraft._tcp.home1.example SRV",
                                      "_minecraft._tcp.home1.example URI", "_http._tcp.home1.example SRV",
                                      "_http._tcp.home1.example URI"}));
  EXPECT_EQ(dns_records_of(game.record).size(), 3U) << "no scheme, no URI";
  EXPECT_EQ(dns_sets_of(update("192.0.2.1:4000", true, false)).front(), "web.home1.example A");
  EXPECT_EQ(dns_sets_of(update("192.0.2.1:4000", true, true)).front(), "home1.example A");
}

// Also shows UPT-018, SRV-001, SRV-002.
TEST_F(DnsMethod, UPT_019_a_real_server_has_them_until_they_are_withdrawn) {
  const Named named;
  const dns::Primary primary = named.config(ddnsd::DnsConfig::Mode::direct);
  EXPECT_EQ(run(primary, update("192.0.2.1:4000")).kind, Kind::done);
  EXPECT_EQ(named.dig("home1.example", "A"), "192.0.2.1");
  EXPECT_EQ(named.dig("_http._tcp.home1.example", "SRV"), "0 0 4000 web.home1.example.");
  EXPECT_EQ(named.dig("web.home1.example", "A"), "192.0.2.1");
  EXPECT_EQ(run(primary, update("192.0.2.2:4001")).kind, Kind::done);
  EXPECT_EQ(named.dig("home1.example", "A"), "192.0.2.2");
  EXPECT_EQ(named.dig("_http._tcp.home1.example", "SRV"), "0 0 4001 web.home1.example.");
  EXPECT_EQ(run(primary, update("192.0.2.2:4001", true, false)).kind, Kind::done);
  EXPECT_EQ(named.dig("_http._tcp.home1.example", "SRV"), "");
  EXPECT_EQ(named.dig("home1.example", "A"), "192.0.2.2") << "another service of the name needs it";
  EXPECT_EQ(run(primary, update("192.0.2.2:4001", true, true)).kind, Kind::done);
  EXPECT_EQ(named.dig("home1.example", "A"), "");
}

// Also shows TSG-004, TSG-005.
TEST_F(DnsMethod, a_wrong_key_is_tried_again_a_refusal_rests) {
  const Named named;
  dns::Primary primary = named.config(ddnsd::DnsConfig::Mode::direct);
  Update foreign = update("192.0.2.1:4000");
  foreign.record.name = "home1.elsewhere";
  EXPECT_EQ(run(primary, foreign).kind, Kind::dislike);
  primary.key.secret = "d3Jvbmc=";
  const Outcome wrong = run(primary, update("192.0.2.1:4000"));
  EXPECT_EQ(wrong.kind, Kind::retry);
  EXPECT_NE(wrong.text.find("BADSIG"), std::string::npos) << wrong.text;
  primary.server.port = 1;
  EXPECT_EQ(run(primary, update("192.0.2.1:4000")).kind, Kind::retry);
}

}  // namespace
}  // namespace portolan::ddns
