// PCP datagrams in and out: both ways in of docs §7 and the reply that goes back as the request came.
#include "tests/unit/router/frames.h"

namespace portolan::control::testing {
namespace {

using pipeline::Punt;

class Pcp : public RouterTest {
 public:
  Pcp() { resolve_gateways(); }

  Outcome plain(std::string_view source, std::string_view server, const Octets& datagram,
                std::string_view from = access_gateway_mac) {
    const Ip6 header{.source = std::string(source), .destination = std::string(server), .next = 17};
    return handle(Side::access, Punt::host_ipv6, ethernet(our_access_mac, from, type_ipv6, ipv6(header, datagram)));
  }
  Outcome inside_softwire(std::string_view server, const Octets& datagram) {
    return handle_in_softwire(Punt::host_softwire,
                              ipv4({.source = std::string(inside), .destination = std::string(server)}, datagram));
  }
};

// Also shows DSL-093, PCD-013, PCP-001.
TEST_F(Pcp, PCD_001_plain_ipv6_request_arrives_and_its_reply_leaves_from_the_address_asked) {
  for (const std::string_view server : {our_ipv6, aftr, std::string_view("2001:1::1")}) {
    EXPECT_EQ(plain(b4, server, udp(b4, server, 40000, 5351, text("request"))), Outcome::pcp_received) << server;
    const auto& got = pcp.back();
    EXPECT_EQ(got.b4, v6(b4));
    EXPECT_EQ(got.inner_source, std::nullopt);
    EXPECT_EQ(got.server6, v6(server));
    EXPECT_EQ(got.client_port.number, 40000);
    EXPECT_EQ(got.neighbor, std::nullopt);
    EXPECT_EQ(pcp_payloads.back(), text("request"));

    EXPECT_TRUE(router.send_pcp(got, text("reply!!")));
    const Ip6 reply{.source = std::string(server), .destination = std::string(b4), .next = 17};
    EXPECT_EQ(
        take_sent(),
        (std::vector<Sent>{{Side::access, ethernet(access_gateway_mac, our_access_mac, type_ipv6,
                                                   ipv6(reply, udp(server, b4, 5351, 40000, text("reply!!"))))}}));
  }
}

// Also shows DSL-093, PCD-013.
TEST_F(Pcp, PCD_005_request_in_the_softwire_is_answered_in_the_softwire) {
  for (const std::string_view server : {"192.0.0.1", "192.0.0.9"}) {  // DSL-093
    EXPECT_EQ(inside_softwire(server, udp(inside, server, 40001, 5351, text("request"))), Outcome::pcp_received);
    const auto& got = pcp.back();
    EXPECT_EQ(got.b4, v6(b4));
    EXPECT_EQ(got.inner_source, v4(inside));
    EXPECT_EQ(got.server4, v4(server));
    EXPECT_EQ(got.softwire, v6(aftr));
    EXPECT_EQ(pcp_payloads.back(), text("request"));

    EXPECT_TRUE(router.send_pcp(got, text("reply")));
    const Ip4 reply{.source = std::string(server), .destination = std::string(inside)};
    EXPECT_EQ(take_sent(),
              (std::vector<Sent>{
                  {Side::access, back_in_softwire(ipv4(reply, udp(server, inside, 5351, 40001, text("reply"))))}}));
  }
}

TEST_F(Pcp, b4_on_the_link_is_answered_directly) {
  gateways.access.forget();
  const std::string_view near = "2001:db8:0:1::77";
  EXPECT_EQ(plain(near, our_ipv6, udp(near, our_ipv6, 40000, 5351, text("request")), neighbor_mac),
            Outcome::pcp_received);
  EXPECT_TRUE(router.send_pcp(pcp.back(), text("reply")));
  EXPECT_EQ(Octets(sent.back().frame.begin(), sent.back().frame.begin() + 6), mac(neighbor_mac));
}

TEST_F(Pcp, checksums_are_verified_and_zero_is_one_over_ipv4_only) {
  Octets wrong = udp(b4, aftr, 40000, 5351, text("request"));
  wrong.back() ^= 1;
  EXPECT_EQ(plain(b4, aftr, wrong), Outcome::bad_checksum);
  Octets none = udp(b4, aftr, 40000, 5351, text("request"));
  none[6] = none[7] = 0;
  EXPECT_EQ(plain(b4, aftr, none), Outcome::bad_checksum) << "RFC 8200 §8.1";
  const Octets start = udp(b4, aftr, 40000, 5351, hex("0000"));
  const Octets adds_up = udp(b4, aftr, 40000, 5351, {start[6], start[7]});
  ASSERT_EQ(adds_up[6] | adds_up[7], 0);
  EXPECT_EQ(plain(b4, aftr, adds_up), Outcome::bad_checksum) << "none, though zero happens to be the sum";
  EXPECT_EQ(inside_softwire("192.0.0.1", none), Outcome::pcp_received) << "RFC 768";
  Octets wrong_inside = udp(inside, "192.0.0.1", 40000, 5351, text("request"));
  wrong_inside[7] ^= 1;
  EXPECT_EQ(inside_softwire("192.0.0.1", wrong_inside), Outcome::bad_checksum);
  EXPECT_EQ(pcp.size(), 1U);
}

TEST_F(Pcp, the_datagram_ends_where_udp_says) {
  EXPECT_EQ(inside_softwire("192.0.0.1", udp(inside, "192.0.0.1", 40000, 5351, text("request")) + text("trailer")),
            Outcome::pcp_received);
  EXPECT_EQ(pcp_payloads.back(), text("request"));
  Octets beyond = udp(inside, "192.0.0.1", 40000, 5351, text("request"));
  beyond[5] = 16;
  EXPECT_EQ(inside_softwire("192.0.0.1", beyond), Outcome::malformed);
  beyond[5] = 7;
  EXPECT_EQ(inside_softwire("192.0.0.1", beyond), Outcome::malformed);
}

TEST_F(Pcp, PCP_006_requests_from_the_internet_meet_silence) {
  const Ip4 header{.source = std::string(remote), .destination = std::string(our_ipv4)};
  EXPECT_EQ(handle(Side::internet, Punt::host_ipv4,
                   ethernet(our_internet_mac, internet_gateway_mac, type_ipv4,
                            ipv4(header, udp(remote, our_ipv4, 40000, 5351, text("request"))))),
            Outcome::declined);
  EXPECT_TRUE(pcp.empty());
  EXPECT_TRUE(sent.empty());
}

TEST_F(Pcp, anycast_addresses_serve_nothing_else) {
  EXPECT_EQ(inside_softwire("192.0.0.9", udp(inside, "192.0.0.9", 40000, 53, text("x"))), Outcome::declined);
  EXPECT_EQ(plain(b4, "2001:1::1", udp(b4, "2001:1::1", 40000, 53, text("x"))), Outcome::declined);
  EXPECT_EQ(inside_softwire("192.0.0.1", udp(inside, "192.0.0.1", 0, 5351, text("x"))), Outcome::declined)
      << "no port to answer to";
  EXPECT_TRUE(sent.empty());
}

TEST_F(Pcp, a_reply_that_cannot_be_sent_is_counted) {
  plain(b4, aftr, udp(b4, aftr, 40000, 5351, text("request")));
  EXPECT_FALSE(router.send_pcp(pcp.back(), Octets(2'000))) << "longer than the MTU";
  EXPECT_FALSE(router.send_pcp(pcp.back(), Octets(20'000)));
  gateways.access.forget();
  EXPECT_FALSE(router.send_pcp(pcp.back(), text("reply")));
  EXPECT_EQ(count(Event::pcp_reply_lost), 3U);
  EXPECT_EQ(count(Event::pcp_reply_sent), 0U);
}

// The checksum that computes to zero goes out as all ones (RFC 768): the payload is chosen so that it does.
TEST_F(Pcp, DSL_017_udp_checksum_is_never_sent_as_zero) {
  plain(b4, aftr, udp(b4, aftr, 40000, 5351, text("request")));
  const Octets without = udp(aftr, b4, 5351, 40000, hex("0000"));
  const Octets payload{without[6], without[7]};  // adding the complement of the sum makes the sum all ones
  ASSERT_EQ(udp(aftr, b4, 5351, 40000, payload)[6] | udp(aftr, b4, 5351, 40000, payload)[7], 0);
  EXPECT_TRUE(router.send_pcp(pcp.back(), payload));
  EXPECT_EQ(Octets(sent.back().frame.begin() + 60, sent.back().frame.begin() + 62), hex("ffff"));
}

}  // namespace
}  // namespace portolan::control::testing
