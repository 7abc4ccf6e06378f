// ICMP errors about packets the workers punted: what they quote, whence and where they go, when there is none.
#include "tests/unit/router/frames.h"

namespace portolan::control::testing {
namespace {

using pipeline::Punt;

class Errors : public RouterTest {
 public:
  Errors() { resolve_gateways(); }

  static Octets outbound(const Ip4& changed = {}, const Octets& payload = Octets(20, 0x77)) {
    Ip4 header = changed;
    if (header.source.empty()) header.source = inside;
    if (header.destination.empty()) header.destination = remote;
    return ipv4(header, payload);
  }
  Outcome inbound(Punt punt, const Octets& packet, uint16_t mtu = 0, std::string_view to = our_internet_mac) {
    Context context;
    context.side = Side::internet, context.punt = punt, context.mtu = mtu;
    context.l3_offset = context.outer_offset = 14;
    return handle(ethernet(to, internet_gateway_mac, type_ipv4, packet), context);
  }
  static Ip4 to_pool(unsigned ttl = 64) {
    return {.source = std::string(remote), .destination = "192.0.2.5", .tos = 0xb9, .ttl = ttl};
  }
  Outcome bad_extension(const Ip6& header, const Octets& payload, uint8_t code, uint16_t pointer,
                        std::string_view to = our_access_mac) {
    Context context;
    context.side = Side::access, context.punt = Punt::bad_extension, context.code = code, context.pointer = pointer;
    context.l3_offset = context.outer_offset = 14;
    return handle(ethernet(to, access_gateway_mac, type_ipv6, ipv6(header, payload)), context);
  }
};

// Also shows CGN-001, CGN-021, DSL-050, ICM-017, ICM-020, ICM-021.
TEST_F(Errors, DSL_008_050_each_reason_outbound_comes_from_192_0_0_1_in_the_same_softwire) {
  struct Row {
    Punt punt;
    unsigned type, code;
    uint32_t rest;
  };
  for (const auto& [punt, type, code, rest] :
       {Row{Punt::ttl_expired, 11, 0, 0}, Row{Punt::too_big, 3, 4, 1400}, Row{Punt::no_resources, 3, 1, 0},
        Row{Punt::protocol_unreachable, 3, 2, 0}}) {
    const Octets packet = outbound({.tos = 0xba, .ttl = 1});
    EXPECT_EQ(handle_in_softwire(punt, packet), Outcome::error_sent);
    const Ip4 error{.source = "192.0.0.1", .destination = std::string(inside), .protocol = 1, .tos = 0xb8};  // ICM-021
    EXPECT_EQ(take_sent(),
              (std::vector<Sent>{{Side::access, back_in_softwire(ipv4(error, icmp(type, code, rest, packet)), 0xb8)}}));
  }
}

TEST_F(Errors, DSL_021_too_big_inbound_octet_by_octet) {
  EXPECT_EQ(inbound(Punt::too_big, ipv4(to_pool(), hex("0035 1388 000c 0000 61626364")), 1460), Outcome::error_sent);
  EXPECT_EQ(take_sent(), (std::vector<Sent>{{Side::internet, hex("02bb00000001 020000000002 0800"
                                                                 "45b8 003c 0000 4000 40 01 d3ca c6336401 cb007109"
                                                                 "0304 1eb8 0000 05b4"
                                                                 "45b9 0020 0000 4000 40 11 3c05 cb007109 c0000205"
                                                                 "0035 1388 000c 0000 61626364")}}));
}

// Also shows DSL-008.
TEST_F(Errors, DSL_043_ipv4_errors_fill_576_octets_and_no_more) {
  for (const size_t payload : {size_t{0}, size_t{527}, size_t{528}, size_t{529}, size_t{1'400}}) {
    EXPECT_EQ(inbound(Punt::ttl_expired, ipv4(to_pool(1), Octets(payload))), Outcome::error_sent);
    EXPECT_EQ(sent.back().frame.size(), 14 + std::min<size_t>(576, 28 + 20 + payload)) << payload;
  }
  EXPECT_EQ(handle_in_softwire(Punt::too_big, outbound({}, Octets(1'400))), Outcome::error_sent);
  EXPECT_EQ(sent.back().frame.size(), 14U + 40 + 576);
}

TEST_F(Errors, DSL_005_011_the_outer_header_is_the_one_of_every_packet_in_the_softwire) {
  snapshot.softwire.encapsulation_limit = 3;
  snapshot.softwire.pipe_dscp = 10;
  EXPECT_EQ(handle_in_softwire(Punt::ttl_expired, outbound({.tos = 0xb8, .ttl = 1})), Outcome::error_sent);
  const Octets frame = sent.back().frame;
  const size_t inner = 20 + 8 + 40;  // ICMP about a packet of 40 octets
  EXPECT_EQ(Octets(frame.begin() + 14, frame.begin() + 22), hex("62800000") + u16(8 + inner) + hex("3c40"));
  EXPECT_EQ(Octets(frame.begin() + 54, frame.begin() + 62), hex("04000401 03010100"));
  EXPECT_EQ(frame.size(), 14 + 40 + 8 + inner);
}

TEST_F(Errors, DSL_033_040_041_an_error_from_inside_the_tunnel_reaches_the_sender_as_one_of_ours) {
  struct Row {
    uint8_t code;
    uint16_t mtu;
  };
  for (const auto& [code, mtu] : {Row{1, 0}, Row{4, 1360}}) {
    const Octets packet = ipv4(to_pool(), Octets(1'432));
    const Octets cut(packet.begin(), packet.begin() + 28);  // all that a router may quote
    Context context;
    context.side = Side::access, context.punt = Punt::tunnel_error, context.code = code, context.mtu = mtu;
    EXPECT_EQ(handle(cut, context), Outcome::error_sent);
    const Ip4 error{.source = std::string(our_ipv4), .destination = std::string(remote), .protocol = 1, .tos = 0xb8};
    EXPECT_EQ(take_sent(),
              (std::vector<Sent>{{Side::internet, ethernet(internet_gateway_mac, our_internet_mac, type_ipv4,
                                                           ipv4(error, icmp(3, code, mtu, cut)))}}));
    EXPECT_EQ(handle(Octets(cut.begin(), cut.end() - 1), context), Outcome::malformed);
  }
}

TEST_F(Errors, DSL_042_043_044_errors_from_inside_the_tunnel_are_errors_like_any_other) {
  Context context;
  context.side = Side::access, context.punt = Punt::tunnel_error, context.code = 1;
  EXPECT_EQ(handle(ipv4(to_pool(), Octets(1'172)), context), Outcome::error_sent);
  EXPECT_EQ(sent.back().frame.size(), 14U + 576);
  Ip4 hairpinned = to_pool();
  hairpinned.source = "192.0.2.4";
  EXPECT_EQ(handle(ipv4(hairpinned, Octets(20)), context), Outcome::error_not_due);
  for (int i = 0; i < 100; ++i) handle(ipv4(to_pool(), Octets(20)), context);
  EXPECT_EQ(count(Outcome::error_sent), 10U);
  EXPECT_EQ(count(Outcome::error_rate_limited), 91U);
}

TEST_F(Errors, ethernet_padding_is_not_quoted) {
  EXPECT_EQ(inbound(Punt::ttl_expired, ipv4(to_pool(1), Octets(8)) + Octets(18, 0xee)), Outcome::error_sent);
  EXPECT_EQ(sent.back().frame.size(), 14U + 28 + 28);
}

TEST_F(Errors, DSL_004_parameter_problem_names_code_and_pointer) {
  const Ip6 header{.source = std::string(b4), .destination = std::string(aftr), .next = 60, .traffic_class = 0x29};
  const Octets payload = hex("0400 9e0400000000") + outbound();
  EXPECT_EQ(bad_extension(header, payload, 2, 42), Outcome::error_sent);
  const Ip6 error{.source = std::string(aftr), .destination = std::string(b4), .traffic_class = 0x28};
  EXPECT_EQ(take_sent(),
            (std::vector<Sent>{{Side::access, ethernet(access_gateway_mac, our_access_mac, type_ipv6,
                                                       ipv6(error, icmpv6(error, 4, 2, 42, ipv6(header, payload))))}}));
}

TEST_F(Errors, DSL_043_icmpv6_errors_fill_1280_octets_and_no_more) {
  const Ip6 header{.source = std::string(b4), .destination = std::string(aftr), .next = 253};
  for (const size_t payload : {size_t{0}, size_t{1'191}, size_t{1'192}, size_t{1'193}, size_t{1'400}}) {
    EXPECT_EQ(bad_extension(header, Octets(payload), 1, 6), Outcome::error_sent);
    EXPECT_EQ(sent.back().frame.size(), 14 + std::min<size_t>(1'280, 48 + 40 + payload)) << payload;
  }
}

TEST_F(Errors, DSL_044_nothing_answers_what_must_not_be_answered) {
  struct Row {
    const char* what;
    Ip4 header;
    Octets payload;
  };
  std::vector<Row> rows;
  for (const unsigned type : {3U, 4U, 5U, 11U, 12U, 40U})
    rows.push_back({"ICMP error", {.protocol = 1}, icmp(type, 0, 0, Octets(28))});
  rows.push_back({"ICMP without a type", {.protocol = 1}, {}});
  rows.push_back({"later fragment", {.flags_offset = 0x2001}, Octets(20)});
  rows.push_back({"last fragment", {.flags_offset = 0x0010}, Octets(20)});
  for (const auto* source : {"0.0.0.0", "127.0.0.1", "224.0.0.5", "240.0.0.1", "255.255.255.255", "192.0.0.1"})
    rows.push_back({source, {.source = source}, Octets(20)});
  for (const auto* destination : {"224.0.0.5", "255.255.255.255", "198.51.100.255"})
    rows.push_back({destination, {.destination = destination}, Octets(20)});
  for (const auto& [what, header, payload] : rows) {
    EXPECT_EQ(handle_in_softwire(Punt::ttl_expired, outbound(header, payload)), Outcome::error_not_due) << what;
  }
  for (const auto* source : {"198.51.100.1", "198.51.100.255", "192.0.2.9", "0.0.0.0", "239.1.1.1"}) {
    Ip4 header = to_pool(1);
    header.source = source;
    EXPECT_EQ(inbound(Punt::ttl_expired, ipv4(header, Octets(20))), Outcome::error_not_due) << source;
  }
  EXPECT_EQ(inbound(Punt::ttl_expired, ipv4(to_pool(1), Octets(20)), 0, broadcast_mac), Outcome::error_not_due);
  EXPECT_TRUE(sent.empty());
}

TEST_F(Errors, DSL_044_first_fragments_and_queries_are_answered) {
  EXPECT_EQ(handle_in_softwire(Punt::ttl_expired, outbound({.flags_offset = 0x2000})), Outcome::error_sent);
  EXPECT_EQ(handle_in_softwire(Punt::ttl_expired, outbound({.protocol = 1}, icmp(8, 0, 1, {}))), Outcome::error_sent);
}

// Shows DSL-044.
TEST_F(Errors, RFC_4443_2_4_e_for_icmpv6) {
  const Ip6 plain{.source = std::string(b4), .destination = std::string(aftr)};
  const auto with = [&](std::string_view source, std::string_view destination, unsigned next = 253) {
    return Ip6{.source = std::string(source), .destination = std::string(destination), .next = next};
  };
  EXPECT_EQ(bad_extension(plain, icmpv6(plain, 1, 0, 0, {}), 0, 6), Outcome::error_not_due) << "an error";
  EXPECT_EQ(bad_extension(plain, icmpv6(plain, 137, 0, 0, {}), 0, 6), Outcome::error_not_due) << "a redirect";
  EXPECT_EQ(bad_extension(plain, {}, 0, 6), Outcome::error_not_due) << "no type to see";
  for (const auto* source : {"::", "ff02::1", "::1", "2001:db8:a::1"})
    EXPECT_EQ(bad_extension(with(source, our_ipv6), Octets(8), 1, 6), Outcome::error_not_due) << source;
  EXPECT_EQ(bad_extension(with(b4, aftr, 44), hex("fd00 0008 00000001") + Octets(8), 1, 40), Outcome::error_not_due)
      << "a later fragment";
  EXPECT_EQ(bad_extension(with(b4, "ff02::1"), Octets(8), 1, 6, "33:33:00:00:00:01"), Outcome::error_not_due);
  EXPECT_TRUE(sent.empty());
  EXPECT_EQ(bad_extension(with(b4, "ff02::1", 60), hex("3b00 9e0400000000"), 2, 42, "33:33:00:00:00:01"),
            Outcome::error_sent)
      << "an option that asks for it even to a group";
  EXPECT_EQ(Octets(sent.back().frame.begin() + 22, sent.back().frame.begin() + 38), ip(our_ipv6));
}

TEST_F(Errors, DSL_025_a_reassembly_that_ran_out_of_time_is_answered) {
  Context context;
  context.side = Side::access, context.punt = Punt::reassembly_timeout, context.outer_offset = 14;
  const Ip6 header{.source = std::string(b4), .destination = std::string(aftr), .next = 44};
  const Octets packet = ipv6(header, hex("0400 0001 00000007") + Octets(64));
  EXPECT_EQ(handle(ethernet(our_access_mac, access_gateway_mac, type_ipv6, packet), context), Outcome::error_sent);
  EXPECT_EQ(sent.back().frame[14 + 40], 3) << "time exceeded";
  EXPECT_EQ(sent.back().frame[14 + 41], 1) << "fragment reassembly";
}

TEST_F(Errors, DSL_027_a_later_fragment_is_answered_for_its_own_lengths) {
  const Ip6 header{.source = std::string(b4), .destination = std::string(aftr), .next = 44};
  EXPECT_EQ(bad_extension(header, hex("0400 0009 00000007") + Octets(61), 0, 4), Outcome::error_sent);
  const Ip6 to_group{.source = std::string(b4), .destination = "ff02::1", .next = 44};
  EXPECT_EQ(bad_extension(to_group, hex("0400 0009 00000007") + Octets(61), 0, 4, "33:33:00:00:00:01"),
            Outcome::error_not_due);
}

TEST_F(Errors, hairpinned_packet_has_its_error_sent_towards_its_outside_address) {
  Context context;
  context.side = Side::access, context.punt = Punt::too_big, context.mtu = 1460;
  context.hairpin = context.in_softwire = true;
  context.outer_offset = 14, context.l3_offset = 54;  // of the frame it came in, which is gone
  const Octets packet = ipv4({.source = "192.0.2.4", .destination = "192.0.2.5"}, Octets(20));
  EXPECT_EQ(handle(packet, context), Outcome::error_sent);
  const Ip4 error{.source = std::string(our_ipv4), .destination = "192.0.2.4", .protocol = 1};
  EXPECT_EQ(take_sent(), (std::vector<Sent>{{Side::internet, ethernet(internet_gateway_mac, our_internet_mac, type_ipv4,
                                                                      ipv4(error, icmp(3, 4, 1460, packet)))}}));
}

// Also shows CGN-021.
TEST_F(Errors, DSL_042_are_rate_limited_side_by_side) {  // the fixture's router: 10 a second, 10 at once
  const auto ask_inside = [&] { return handle_in_softwire(Punt::ttl_expired, outbound()); };
  const auto ask_outside = [&] { return inbound(Punt::ttl_expired, ipv4(to_pool(1), Octets(20))); };
  for (int i = 0; i < 1'000; ++i, now_ms += 1) ask_inside();
  EXPECT_EQ(count(Outcome::error_sent), 10U + 9U) << "the burst, and one every 100 ms of the 999 that passed";
  EXPECT_EQ(count(Outcome::error_rate_limited), 1'000U - 19U);
  EXPECT_EQ(ask_outside(), Outcome::error_sent) << "the other side has its own bucket";
  now_ms += 3'600'000;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(ask_inside(), Outcome::error_sent);
  EXPECT_EQ(ask_inside(), Outcome::error_rate_limited) << "an hour saves no more than a burst";
}

TEST_F(Errors, DSL_042_the_rate_is_a_setting_that_a_reload_changes) {
  const auto ask = [&] { return handle_in_softwire(Punt::ttl_expired, outbound()); };
  for (int i = 0; i < 50; ++i) ask();
  EXPECT_EQ(count(Outcome::error_sent), 10U);
  auto next = snapshot;
  next.icmp_errors_per_second = 25;
  router.use(next, now_ms);
  for (int i = 0; i < 50; ++i) ask();
  EXPECT_EQ(count(Outcome::error_sent), 10U + 25U);
  router.use(snapshot, now_ms);
}

TEST_F(Errors, TCP_007_a_connection_attempt_for_nobody_gets_port_unreachable) {
  const Ip4 header{.source = std::string(remote), .destination = "192.0.2.5", .protocol = 6};
  const Octets whole = ipv4(header, hex("0fa0 0050 01020304 00000000 5002 4000 0000 0000"));
  const Octets kept(whole.begin(), whole.begin() + 28);
  Context context;
  context.side = Side::internet, context.punt = Punt::unsolicited_syn;
  EXPECT_EQ(handle(kept, context), Outcome::error_sent);
  const Ip4 error{.source = std::string(our_ipv4), .destination = std::string(remote), .protocol = 1};
  EXPECT_EQ(take_sent(), (std::vector<Sent>{{Side::internet, ethernet(internet_gateway_mac, our_internet_mac, type_ipv4,
                                                                      ipv4(error, icmp(3, 3, 0, kept)))}}));
}

TEST_F(Errors, ICM_018_switched_off_for_a_side_tells_it_only_what_is_too_big) {
  const Ip6 header{.source = std::string(b4), .destination = std::string(aftr), .next = 253};
  snapshot.softwire.icmp_errors = false;
  for (const Punt punt : {Punt::ttl_expired, Punt::no_resources, Punt::protocol_unreachable})
    EXPECT_EQ(handle_in_softwire(punt, outbound()), Outcome::error_switched_off);
  EXPECT_EQ(bad_extension(header, Octets(8), 1, 6), Outcome::error_switched_off);
  EXPECT_TRUE(sent.empty());
  EXPECT_EQ(handle_in_softwire(Punt::too_big, outbound()), Outcome::error_sent);
  EXPECT_EQ(inbound(Punt::ttl_expired, ipv4(to_pool(1), Octets(20))), Outcome::error_sent);
  snapshot.softwire.icmp_errors = true;
  snapshot.internet.icmp_errors = false;
  EXPECT_EQ(handle_in_softwire(Punt::ttl_expired, outbound()), Outcome::error_sent);
  EXPECT_EQ(inbound(Punt::ttl_expired, ipv4(to_pool(1), Octets(20))), Outcome::error_switched_off);
  EXPECT_EQ(inbound(Punt::too_big, ipv4(to_pool(), Octets(20)), 1460), Outcome::error_sent);
}

TEST_F(Errors, a_rate_of_zero_sends_none_after_the_burst) {
  TokenBucket bucket(0, 1);
  EXPECT_TRUE(bucket.take(5));
  EXPECT_FALSE(bucket.take(UINT64_MAX));
}

TEST_F(Errors, without_a_gateway_are_dropped_and_counted) {
  gateways.access.forget();
  gateways.internet.forget();
  EXPECT_EQ(handle_in_softwire(Punt::ttl_expired, outbound()), Outcome::unresolved);
  EXPECT_EQ(inbound(Punt::ttl_expired, ipv4(to_pool(1), Octets(20))), Outcome::unresolved);
  EXPECT_TRUE(sent.empty());
}

}  // namespace
}  // namespace portolan::control::testing
