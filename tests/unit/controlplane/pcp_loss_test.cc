// Whom a PCP server tells that has lost what it had granted.
#include "controlplane/pcp_loss.h"

#include <algorithm>
#include <gtest/gtest.h>

#include "dataplane/net/text.h"

namespace portolan::control::test {
namespace {

net::Ipv6 v6(const char* text) { return net::parse_ipv6(text).value(); }
net::Ipv4 v4(const char* text) { return net::parse_ipv4(text).value(); }
const net::Port heard{uint16_t{5350}};
const net::Ipv6 b4 = v6("2001:db8:b::1");

struct PcpLoss : testing::Test {
  pipeline::Snapshot snapshot;
  LostClients clients;
  PcpLoss() {
    snapshot.softwire.aftr_addresses = {v6("2001:db8:a::1"), v6("2001:db8:a::2")};
    use_pool("192.0.2.0/28");
  }
  void use_pool(const char* prefix) {
    snapshot.policy.pool = nat::Pool({net::parse_ipv4_prefix(prefix).value()}, {1024, 65535}, 512, 1);
  }
  void have_inside() {
    snapshot.inside.prefixes = {net::parse_ipv4_prefix("100.64.0.0/10").value()};
    snapshot.inside.address = {v4("100.64.0.1"), 24};
  }

  static nat::Mapping mapping(const net::Ipv6& of, const char* inside, uint8_t flags = nat::Mapping::explicit_life) {
    nat::Mapping out;
    out.b4 = of;
    out.inside_address = v4(inside);
    out.outside_address = v4("192.0.2.7");
    out.flags = static_cast<uint8_t>(flags | nat::Mapping::in_use);
    out.expiry_s = 1000;
    return out;
  }
  static std::vector<pcp::Source> to(const std::vector<pcp::Notice>& notices, size_t bytes) {
    std::vector<pcp::Source> out;
    for (const auto& notice : notices)
      if (notice.message.size() == bytes) out.push_back(notice.to);
    return out;
  }
  static constexpr size_t announce = 24, address = 12;
};

TEST_F(PcpLoss, PCP_197_hosts_and_b4s_whose_mappings_are_left_are_told_once_each) {
  auto of_second_softwire = mapping(v6("2001:db8:b:1::1"), "10.0.0.10");
  of_second_softwire.softwire = 1;
  for (const auto& record :
       {mapping(b4, "10.0.0.10"), mapping(b4, "10.0.0.11"), mapping(b4, "10.0.0.10"), of_second_softwire})
    clients.add(record, 10);
  EXPECT_EQ(clients.size(), 3U);
  const net::Ipv6 inside = net::mapped(v4("192.0.0.1"));
  const std::vector<pcp::Source> expected{{b4, v4("10.0.0.10"), inside, heard},
                                          {b4, std::nullopt, v6("2001:db8:a::1"), heard},
                                          {b4, v4("10.0.0.11"), inside, heard},
                                          {of_second_softwire.b4, v4("10.0.0.10"), inside, heard},
                                          {of_second_softwire.b4, std::nullopt, v6("2001:db8:a::2"), heard}};
  const auto notices = clients.notices(snapshot, false);
  EXPECT_EQ(to(notices, announce), expected);
  EXPECT_EQ(notices.size(), expected.size());
  EXPECT_TRUE(std::ranges::all_of(notices, [](const auto& notice) { return notice.copies == 3; }));
  EXPECT_EQ(clients.softwires(snapshot),
            (std::map<net::Ipv6, net::Ipv6>{{of_second_softwire.b4, v6("2001:db8:a::2")}}));
}

TEST_F(PcpLoss, PCP_197_only_mappings_of_pcps_that_live_tell_of_a_client) {
  auto over = mapping(b4, "10.0.0.1"), fixed = mapping(b4, "10.0.0.2"), held = mapping(b4, "10.0.0.3");
  over.expiry_s = 10;
  fixed.expiry_s = nat::Mapping::never_s;
  held.flags = nat::Mapping::held | nat::Mapping::explicit_life;
  for (const auto& record : {over, fixed, held, mapping(b4, "10.0.0.4", nat::Mapping::implicit_life), nat::Mapping{}})
    clients.add(record, 10);
  EXPECT_EQ(clients.size(), 0U);
}

TEST_F(PcpLoss, PCP_197_a_nat44_host_is_told_from_the_inside_address) {
  have_inside();
  const net::Ipv6 host = net::mapped(v4("100.64.1.2"));
  clients.add(mapping(host, "100.64.1.2", nat::Mapping::explicit_life | nat::Mapping::plain), 10);
  const auto notices = clients.notices(snapshot, false);
  EXPECT_EQ(to(notices, announce),
            (std::vector<pcp::Source>{{host, v4("100.64.1.2"), net::mapped(v4("100.64.0.1")), heard}}));
}

// RFC 6886 §3.2.1, figure in §3.2.
TEST_F(PcpLoss, NPM_013_hosts_are_told_their_outside_address_too) {
  clients.add(mapping(b4, "10.0.0.10"), 10);
  const auto notices = clients.notices(snapshot, true);
  const auto told = std::ranges::find(notices, address, [](const auto& notice) { return notice.message.size(); });
  ASSERT_NE(told, notices.end());
  EXPECT_EQ(told->message, (pcp::Message{0, 128, 0, 0, 0, 0, 0, 0, 192, 0, 2, 7}));
  EXPECT_EQ(told->to.inner, v4("10.0.0.10"));
  EXPECT_EQ(told->copies, 10U);
  EXPECT_EQ(to(notices, address).size(), 1U);
}

TEST_F(PcpLoss, PCP_197_the_links_are_told_by_multicast) {
  EXPECT_EQ(to(notices_to_links(snapshot, true), announce),
            (std::vector<pcp::Source>{{v6("ff02::1"), std::nullopt, v6("2001:db8:a::1"), heard},
                                      {v6("ff02::1"), std::nullopt, v6("2001:db8:a::2"), heard}}));
  EXPECT_EQ(notices_to_links(snapshot, true).front().copies, 10U);
  have_inside();
  EXPECT_EQ(to(notices_to_links(snapshot, false), announce).size(), 3U);
}

TEST_F(PcpLoss, NPM_013_an_address_is_multicast_where_it_is_everybodys) {
  use_pool("192.0.2.7/32");
  EXPECT_TRUE(to(notices_to_links(snapshot, true), address).empty()) << "no IPv4 link";
  have_inside();
  const auto notices = notices_to_links(snapshot, true);
  EXPECT_EQ(to(notices, address), (std::vector<pcp::Source>{{net::mapped(v4("224.0.0.1")), v4("224.0.0.1"),
                                                             net::mapped(v4("100.64.0.1")), heard}}));
  EXPECT_EQ(notices.back().message, (pcp::Message{0, 128, 0, 0, 0, 0, 0, 0, 192, 0, 2, 7}));
  EXPECT_EQ(notices.back().copies, 10U);
  EXPECT_TRUE(to(notices_to_links(snapshot, false), address).empty()) << "NAT-PMP is off";
  use_pool("192.0.2.6/31");
  EXPECT_TRUE(to(notices_to_links(snapshot, true), address).empty()) << "two addresses";
}

}  // namespace
}  // namespace portolan::control::test
