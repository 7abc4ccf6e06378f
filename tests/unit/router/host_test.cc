// Packets for the router itself: echo on both sides and in the softwire, and what nobody listens to.
#include "tests/unit/router/frames.h"

namespace portolan::control::testing {
namespace {

using pipeline::Punt;

class Host : public RouterTest {
 public:
  Host() { resolve_gateways(); }

  Outcome from_internet(const Ip4& header, const Octets& payload, std::string_view from = internet_gateway_mac,
                        std::string_view to = our_internet_mac) {
    return handle(Side::internet, Punt::host_ipv4, ethernet(to, from, type_ipv4, ipv4(header, payload)));
  }
  Outcome from_access(const Ip6& header, const Octets& payload, std::string_view from = access_gateway_mac,
                      std::string_view to = our_access_mac) {
    return handle(Side::access, Punt::host_ipv6, ethernet(to, from, type_ipv6, ipv6(header, payload)));
  }
  static Ip4 ping4(std::string_view source = remote, std::string_view destination = our_ipv4) {
    return {.source = std::string(source),
            .destination = std::string(destination),
            .protocol = 1,
            .tos = 0xb9,
            .identification = 7};
  }
  static Ip6 ping6(std::string_view source = b4, std::string_view destination = our_ipv6) {
    return {.source = std::string(source), .destination = std::string(destination), .traffic_class = 0x29};
  }
};

TEST_F(Host, ICM_026_echo_to_the_internet_address_octet_by_octet) {
  EXPECT_EQ(from_internet(ping4(), icmp(8, 0, 0x12340001, text("abc"))), Outcome::echo_answered);
  EXPECT_EQ(take_sent(), (std::vector<Sent>{{Side::internet, hex("02bb00000001 020000000002 0800"
                                                                 "45b8 001f 0000 4000 40 01 d3e7 c6336401 cb007109"
                                                                 "0000 2968 1234 0001 616263")}}));
}

TEST_F(Host, ICM_026_echo_to_a_pool_address_only_if_configured) {
  const auto ping = [this] { return from_internet(ping4(remote, "192.0.2.5"), icmp(8, 0, 0x12340001, text("abc"))); };
  EXPECT_EQ(ping(), Outcome::declined);
  snapshot.pool_answers_echo = true;
  EXPECT_EQ(ping(), Outcome::echo_answered);
  const Ip4 reply{.source = "192.0.2.5", .destination = std::string(remote), .protocol = 1, .tos = 0xb8};
  EXPECT_EQ(take_sent(),
            (std::vector<Sent>{{Side::internet, ethernet(internet_gateway_mac, our_internet_mac, type_ipv4,
                                                         ipv4(reply, icmp(0, 0, 0x12340001, text("abc"))))}}));
  EXPECT_EQ(from_internet({.source = std::string(remote), .destination = "192.0.2.5"}, Octets(8)), Outcome::declined);
  EXPECT_EQ(from_internet(ping4(remote, "192.0.2.200"), icmp(8, 0, 1, {})), Outcome::declined);
}

TEST_F(Host, echo_from_the_link_is_answered_to_its_station_and_not_by_way_of_the_gateway) {
  gateways.internet.forget();
  EXPECT_EQ(from_internet(ping4("198.51.100.7"), icmp(8, 0, 1, {}), neighbor_mac), Outcome::echo_answered);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(Octets(sent[0].frame.begin(), sent[0].frame.begin() + 6), mac(neighbor_mac));
  EXPECT_EQ(from_internet(ping4(), icmp(8, 0, 1, {})), Outcome::unresolved);
}

TEST_F(Host, echo_to_each_ipv6_address_keeps_identifier_sequence_data_and_dscp) {
  for (const auto address : {our_ipv6, our_link_local, aftr, aftr_on_link}) {
    const Ip6 request = ping6(b4, address);
    EXPECT_EQ(from_access(request, icmpv6(request, 128, 0, 0xbeef0002, text("odd"))), Outcome::echo_answered);
    const Ip6 reply{.source = std::string(address), .destination = std::string(b4), .traffic_class = 0x28};
    EXPECT_EQ(
        take_sent(),
        (std::vector<Sent>{{Side::access, ethernet(access_gateway_mac, our_access_mac, type_ipv6,
                                                   ipv6(reply, icmpv6(reply, 129, 0, 0xbeef0002, text("odd"))))}}));
  }
}

TEST_F(Host, DSL_051_echo_to_192_0_0_1_is_answered_in_the_same_softwire) {
  for (const auto* source : {"192.0.0.2", "10.0.0.10"}) {
    const Octets data(1'400, 0x5a);
    EXPECT_EQ(handle_in_softwire(Punt::host_softwire, ipv4(ping4(source, "192.0.0.1"), icmp(8, 0, 0x00070003, data))),
              Outcome::echo_answered);
    const Ip4 reply{.source = "192.0.0.1", .destination = source, .protocol = 1, .tos = 0xb8};
    EXPECT_EQ(take_sent(),
              (std::vector<Sent>{{Side::access, back_in_softwire(ipv4(reply, icmp(0, 0, 0x00070003, data)), 0xb8)}}));
  }
  EXPECT_EQ(handle_in_softwire(Punt::host_softwire, ipv4(ping4(inside, "192.0.0.9"), icmp(8, 0, 1, {}))),
            Outcome::declined)
      << "the anycast address is PCP's alone";
}

TEST_F(Host, an_answer_that_would_exceed_the_mtu_is_not_sent) {
  snapshot.softwire.mtu_bytes = 1'280;
  EXPECT_EQ(handle_in_softwire(Punt::host_softwire, ipv4(ping4(inside, "192.0.0.1"), icmp(8, 0, 1, Octets(1'300)))),
            Outcome::too_long);
  EXPECT_EQ(from_internet(ping4(), icmp(8, 0, 1, Octets(20'000))), Outcome::too_long);
}

TEST_F(Host, DSL_051_udp_nobody_listens_to_gets_port_unreachable) {
  const Octets probe = ipv4({.source = std::string(inside), .destination = "192.0.0.1", .tos = 0x88},
                            udp(inside, "192.0.0.1", 40000, 33434, text("traceroute")));
  EXPECT_EQ(handle_in_softwire(Punt::host_softwire, probe), Outcome::error_sent);
  const Ip4 error{.source = "192.0.0.1", .destination = std::string(inside), .protocol = 1, .tos = 0x88};
  EXPECT_EQ(take_sent(),
            (std::vector<Sent>{{Side::access, back_in_softwire(ipv4(error, icmp(3, 3, 0, probe)), 0x88)}}));

  const Ip4 from_remote{.source = std::string(remote), .destination = std::string(our_ipv4)};
  const Octets datagram = udp(remote, our_ipv4, 53, 999, text("x"));
  EXPECT_EQ(from_internet(from_remote, datagram), Outcome::error_sent);
  const Ip4 answer{.source = std::string(our_ipv4), .destination = std::string(remote), .protocol = 1};
  EXPECT_EQ(take_sent(),
            (std::vector<Sent>{{Side::internet, ethernet(internet_gateway_mac, our_internet_mac, type_ipv4,
                                                         ipv4(answer, icmp(3, 3, 0, ipv4(from_remote, datagram))))}}));

  const Ip6 from_b4{.source = std::string(b4), .destination = std::string(aftr), .next = 17};
  const Octets datagram6 = udp(b4, aftr, 53, 999, text("x"));
  EXPECT_EQ(from_access(from_b4, datagram6), Outcome::error_sent);
  const Ip6 answer6{.source = std::string(aftr), .destination = std::string(b4)};
  EXPECT_EQ(
      take_sent(),
      (std::vector<Sent>{{Side::access, ethernet(access_gateway_mac, our_access_mac, type_ipv6,
                                                 ipv6(answer6, icmpv6(answer6, 1, 4, 0, ipv6(from_b4, datagram6))))}}));
}

TEST_F(Host, tcp_is_ignored_and_counted) {
  EXPECT_EQ(
      from_internet({.source = std::string(remote), .destination = std::string(our_ipv4), .protocol = 6}, Octets(20)),
      Outcome::tcp_ignored);
  EXPECT_EQ(from_access({.source = std::string(b4), .destination = std::string(our_ipv6), .next = 6}, Octets(20)),
            Outcome::tcp_ignored);
  EXPECT_EQ(
      handle_in_softwire(Punt::host_softwire,
                         ipv4({.source = std::string(inside), .destination = "192.0.0.1", .protocol = 6}, Octets(20))),
      Outcome::tcp_ignored);
  EXPECT_TRUE(sent.empty());
}

TEST_F(Host, other_protocols_get_what_their_family_says) {
  const Ip4 sctp{.source = std::string(remote), .destination = std::string(our_ipv4), .protocol = 132};
  EXPECT_EQ(from_internet(sctp, Octets(12)), Outcome::error_sent);
  EXPECT_EQ(sent.back().frame[34], 3);
  EXPECT_EQ(sent.back().frame[35], 2);

  const Ip6 in_option{.source = std::string(b4), .destination = std::string(our_ipv6), .next = 60};
  EXPECT_EQ(from_access(in_option, hex("8400 010400000000") + Octets(12)), Outcome::error_sent);
  const Octets& error = sent.back().frame;
  EXPECT_EQ(Octets(error.begin() + 54, error.begin() + 56), hex("0401"));
  EXPECT_EQ(Octets(error.begin() + 58, error.begin() + 62), u32(40)) << "the next header field of the option header";
}

TEST_F(Host, a_destination_option_before_an_echo_is_stepped_over) {
  const Ip6 header{.source = std::string(b4), .destination = std::string(our_ipv6), .next = 60};
  EXPECT_EQ(from_access(header, hex("3a00 010400000000") + icmpv6(header, 128, 0, 1, {})), Outcome::echo_answered);
}

// Shows ICM-026.
TEST_F(Host, what_deserves_silence_gets_it) {
  struct Row {
    const char* what;
    Outcome outcome;
  };
  const auto check = [&](const char* what, Outcome is, Outcome expected) {
    EXPECT_EQ(is, expected) << what;
    EXPECT_TRUE(take_sent().empty()) << what;
  };
  const Octets echo = icmp(8, 0, 1, text("data"));
  Octets bad = echo;
  bad[9] ^= 1;
  check("bad ICMP checksum", from_internet(ping4(), bad), Outcome::bad_checksum);
  check("echo reply", from_internet(ping4(), icmp(0, 0, 1, {})), Outcome::icmp_ignored);
  check("error", from_internet(ping4(), icmp(3, 3, 0, Octets(28))), Outcome::icmp_ignored);
  check("timestamp", from_internet(ping4(), icmp(13, 0, 0, Octets(12))), Outcome::icmp_ignored);
  check("pool address", from_internet(ping4(remote, "192.0.2.1"), echo), Outcome::declined);
  check("192.0.0.1 outside a softwire", from_internet(ping4(remote, "192.0.0.1"), echo), Outcome::declined);
  check("broadcast frame", from_internet(ping4(), echo, internet_gateway_mac, broadcast_mac), Outcome::declined);
  for (const auto* source : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "198.51.100.1"})
    check(source, from_internet(ping4(source), echo), Outcome::declined);
  Ip4 fragment = ping4();
  fragment.flags_offset = 0x2000;
  check("fragment", from_internet(fragment, echo), Outcome::fragment_ignored);
  check("on the wrong side",
        handle(Side::access, Punt::host_ipv4, ethernet(our_access_mac, neighbor_mac, type_ipv4, ipv4(ping4(), echo))),
        Outcome::declined);

  for (const auto* source : {"::", "::1", "ff02::1", "2001:db8:0:1::1", "::ffff:10.0.0.1"})
    check(source, from_access(ping6(source), icmpv6(ping6(source), 128, 0, 1, {})), Outcome::declined);
  check("to all nodes", from_access(ping6(b4, "ff02::1"), icmpv6(ping6(b4, "ff02::1"), 128, 0, 1, {})),
        Outcome::declined);
  check("packet too big", from_access(ping6(), icmpv6(ping6(), 2, 0, 1280, Octets(40))), Outcome::icmp_ignored);
  const Ip6 parts{.source = std::string(b4), .destination = std::string(our_ipv6), .next = 44};
  check("IPv6 fragment", from_access(parts, hex("3a00 0001 00000001") + icmpv6(parts, 128, 0, 1, {})),
        Outcome::fragment_ignored);
  EXPECT_EQ(from_access(parts, hex("3a00 0000 00000001") + icmpv6(parts, 128, 0, 1, {})), Outcome::echo_answered)
      << "an atomic fragment is a whole packet";
}

}  // namespace
}  // namespace portolan::control::testing
