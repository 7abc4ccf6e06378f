// One PCP server at several addresses (RFC 7488 §3): which is asked when, and with which nonce.
#include <algorithm>
#include <chrono>
#include <set>

#include "ddns-client-ref/pcp_nonce.h"
#include "scripted_pcp_server.h"

namespace portolan::ddns::test {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

// A ScriptedPcp whose server has two addresses, and a caller who opens the way to whichever is asked for.
struct PcpAddresses : testing::Test {
  ScriptedPcp pcp;
  PcpPeer first = pcp.server, second{v6("2001:db8:a::2"), 5351};
  net::Ipv6 from_second = v6("2001:db8:b4::2");
  std::vector<std::pair<PcpPeer, pcp::Message>> sent;
  PcpAddresses() {
    pcp.client = PcpClient({first, second}, pcp.b4, [this] { return pcp.random; });
  }

  void follow() {
    for (auto& bytes : pcp.client.take_datagrams()) sent.emplace_back(pcp.client.server(), std::move(bytes));
    if (!pcp.client.needs_path()) return;
    pcp.client.move_to(pcp.client.server() == first ? pcp.b4 : from_second, pcp.now);
    follow();
  }
  void run_for(Duration time) {
    const Time end = pcp.now + time;
    while (pcp.client.next_timer() <= end) {
      pcp.now = std::max(pcp.now, pcp.client.next_timer());
      pcp.client.tick(pcp.now);
      follow();
      ASSERT_LT(sent.size(), 1000U) << "the client sends in a loop";
    }
    pcp.now = end;
  }
  void add() {
    pcp.client.add(0, pcp.spec(), pcp.now);
    follow();
  }
  size_t sent_to(const PcpPeer& address) const {
    return static_cast<size_t>(std::ranges::count(sent, address, &std::pair<PcpPeer, pcp::Message>::first));
  }
  void answer(const PcpPeer& from) {
    pcp.client.receive(pcp.success(sent.back().second, "192.0.2.1:4000", 3600), from, pcp.now);
    follow();
  }
};

TEST_F(PcpAddresses, PCC_014_after_four_attempts_the_next_address_is_asked_with_the_same_nonce) {
  add();
  run_for(seconds(3 + 6 + 12 + 23));
  EXPECT_EQ(sent_to(first), 4U);
  EXPECT_EQ(sent_to(second), 0U);
  run_for(seconds(2));
  ASSERT_EQ(sent_to(second), 1U);
  const auto before = ScriptedPcp::request_of(sent.front().second), after = ScriptedPcp::request_of(sent.back().second);
  EXPECT_EQ(after.map.nonce, before.map.nonce) << "PCC-004: it is one server";
  EXPECT_EQ(before.client, pcp.b4);
  EXPECT_EQ(after.client, from_second) << "the source of that way";
  answer(second);
  EXPECT_TRUE(pcp.client.grant(0));
}

TEST_F(PcpAddresses, PCC_014_the_address_that_answered_stays_in_use) {
  add();
  run_for(seconds(46));
  answer(second);
  sent.clear();
  pcp.client.renew(0, pcp.now);
  follow();
  EXPECT_EQ(sent_to(second), 1U);
  EXPECT_EQ(sent_to(first), 0U);
  answer(second);
  run_for(seconds(2300));  // past the usual renewal
  EXPECT_GE(sent_to(second), 2U);
  EXPECT_EQ(sent_to(first), 0U);
}

TEST_F(PcpAddresses, PCC_014_a_late_answer_from_an_address_given_up_is_ignored) {
  add();
  run_for(seconds(46));
  answer(first);
  EXPECT_FALSE(pcp.client.grant(0));
}

TEST_F(PcpAddresses, PCC_014_an_icmp_error_leads_to_the_next_address_at_once) {
  add();
  pcp.client.unreachable(pcp.now);
  follow();
  EXPECT_EQ(sent_to(first), 1U);
  EXPECT_EQ(sent_to(second), 1U);
}

TEST_F(PcpAddresses, PCC_014_when_all_are_silent_they_are_asked_again_after_15_minutes) {
  add();
  run_for(seconds(91));  // 45 s each
  ASSERT_EQ(sent.size(), 8U);
  run_for(minutes(14));
  EXPECT_EQ(sent.size(), 8U);
  run_for(minutes(1));
  EXPECT_GE(sent_to(first), 5U) << "from the first on";
  EXPECT_EQ(sent_to(second), 4U);
}

TEST_F(PcpAddresses, PCC_014_a_held_mapping_whose_renewals_are_not_answered_is_renewed_at_the_next_address) {
  add();
  answer(first);
  sent.clear();
  run_for(seconds(3600));
  EXPECT_EQ(sent_to(first), 4U) << "at 1/2, 3/4, 7/8 and 15/16 of the lifetime";
  EXPECT_GE(sent_to(second), 1U) << "before it ends";
}

TEST_F(PcpAddresses, PCC_014_no_way_to_an_address_is_not_its_silence) {
  pcp.client.unreachable(pcp.now);
  pcp.client.unreachable(pcp.now);
  pcp.client.move_to(pcp.b4, pcp.now);
  add();
  EXPECT_EQ(sent_to(first), 1U) << "at once, not after 15 minutes";
}

TEST(PcpNonce, PCC_004_each_is_drawn_anew) {
  std::set<pcp::Nonce> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(random_nonce());
  EXPECT_EQ(seen.size(), 1000U);
}

}  // namespace
}  // namespace portolan::ddns::test
