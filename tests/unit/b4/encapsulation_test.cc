// The B4's packets against bytes written out by hand: the tester is not tested with its own code.
#include "tests/b4/encapsulation.h"

#include <gtest/gtest.h>
#include <initializer_list>

#include "dataplane/net/checksum.h"
#include "dataplane/net/text.h"
#include "dataplane/net/wire.h"

namespace portolan::b4 {
namespace {

constexpr size_t inner_header_bytes = 20;

Tunnel tunnel(bool option = false, size_t path_mtu = 1500) {
  return {*net::parse_ipv6("2001:db8:b:100::1"), *net::parse_ipv6("2001:db8:a::1"), path_mtu, option};
}

// UDP 10.0.0.10 > 203.0.113.10 of `bytes` octets, the payload numbered so that a swapped part shows.
Packet inner_packet(size_t bytes, uint8_t tos = 0, bool dont_fragment = false) {
  Packet packet(bytes);
  for (size_t i = inner_header_bytes; i < bytes; ++i) packet[i] = static_cast<uint8_t>(i * 7);
  auto& header = net::header_at<net::Ipv4Header>(packet.data());
  header = {.version_ihl = 0x45,
            .tos = tos,
            .total_length = static_cast<uint16_t>(bytes),
            .identification = 0x1234,
            .flags_offset = static_cast<uint16_t>(dont_fragment ? 0x4000 : 0),
            .ttl = 63,
            .protocol = 17,
            .checksum = 0,
            .source = *net::parse_ipv4("10.0.0.10"),
            .destination = *net::parse_ipv4("203.0.113.10")};
  set_checksum(header);
  return packet;
}

net::Ipv4Header& header_of(Packet& packet) { return net::header_at<net::Ipv4Header>(packet.data()); }

// What a Packet begins with, as octets.
Packet head(const Packet& packet, size_t count) {
  return {packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(count)};
}
Packet tail(const Packet& packet, size_t from) {
  return {packet.begin() + static_cast<std::ptrdiff_t>(from), packet.end()};
}

Packet concatenation(std::initializer_list<Packet> parts) {
  Packet all;
  for (const Packet& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

const Packet addresses_octets{0x20, 0x01, 0x0d, 0xb8, 0, 0x0b, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 1,
                              0x20, 0x01, 0x0d, 0xb8, 0, 0x0a, 0,    0, 0, 0, 0, 0, 0, 0, 0, 1};

TEST(B4, DSL_002_plain_header_is_forty_octets) {
  const Packet inner = inner_packet(100);
  const Upstream result = encapsulate(tunnel(), inner, 0);
  ASSERT_EQ(result.verdict, Verdict::sent);
  ASSERT_EQ(result.outer.size(), 1U);
  EXPECT_EQ(result.outer[0], concatenation({{0x60, 0, 0, 0, 0, 100, 4, 64}, addresses_octets, inner}));
}

TEST(B4, DSL_003_encapsulation_limit_as_linux_writes_it) {
  const Packet inner = inner_packet(100);
  const Upstream result = encapsulate(tunnel(true), inner, 0);
  ASSERT_EQ(result.outer.size(), 1U);
  EXPECT_EQ(result.outer[0],
            concatenation({{0x60, 0, 0, 0, 0, 108, 60, 64}, addresses_octets, {4, 0, 4, 1, 4, 1, 1, 0}, inner}));
}

TEST(B4, DSL_012_dscp_and_ecn_are_copied_outwards) {
  for (unsigned tos = 0; tos < 256; ++tos) {
    const Upstream result = encapsulate(tunnel(), inner_packet(40, static_cast<uint8_t>(tos)), 0);
    EXPECT_EQ(net::header_at<net::Ipv6Header>(result.outer.at(0).data()).traffic_class(), tos);
  }
}

TEST(B4, octets_after_the_inner_packet_are_not_sent) {
  Packet inner = inner_packet(60);
  inner.resize(66);
  EXPECT_EQ(encapsulate(tunnel(), inner, 0).outer.at(0).size(), 100U);
}

TEST(B4, what_fits_exactly_is_not_fragmented) {
  EXPECT_EQ(encapsulate(tunnel(), inner_packet(1460, 0, true), 0).verdict, Verdict::sent);
  EXPECT_EQ(encapsulate(tunnel(true), inner_packet(1452, 0, true), 0).verdict, Verdict::sent);
  EXPECT_EQ(encapsulate(tunnel(true), inner_packet(1453, 0, true), 0).verdict, Verdict::too_big);
}

// RFC 6333 §5.3: fragments are made after encapsulation, and the inner packet comes out whole.
TEST(B4, DSL_020_outer_fragments_reassemble_to_the_inner_packet) {
  for (const bool option : {false, true}) {
    const Packet inner = inner_packet(1500, 0x2e);
    const Upstream result = encapsulate(tunnel(option), inner, 0xaabbccdd);
    ASSERT_EQ(result.verdict, Verdict::fragmented);
    ASSERT_EQ(result.outer.size(), 2U);
    const size_t fragment_at = option ? 48 : 40;
    const uint8_t first_bytes = option ? 1440 - 1280 : 1448 - 1280;  // of the largest multiple of 8, what exceeds 1280
    EXPECT_EQ(head(tail(result.outer[0], fragment_at), 8), (Packet{4, 0, 0, 1, 0xaa, 0xbb, 0xcc, 0xdd}));
    EXPECT_EQ(head(tail(result.outer[1], fragment_at), 8), (Packet{4, 0, 5, first_bytes, 0xaa, 0xbb, 0xcc, 0xdd}));
    EXPECT_EQ(result.outer[0][fragment_at == 40 ? 6 : 40], 44);
    EXPECT_LE(result.outer[0].size(), 1500U);
    for (const Packet& packet : result.outer) {
      const auto& header = net::header_at<net::Ipv6Header>(packet.data());
      EXPECT_EQ(header.payload_length, packet.size() - 40);
      EXPECT_EQ(header.traffic_class(), 0x2e);
    }
    EXPECT_EQ(concatenation({tail(result.outer[0], fragment_at + 8), tail(result.outer[1], fragment_at + 8)}), inner);
  }
}

// RFC 2473 §7.2(a), RFC 1191 §4.
TEST(B4, DSL_021_dont_fragment_is_answered_with_the_tunnel_mtu) {
  const Packet inner = inner_packet(1500, 0, true);
  const Upstream result = encapsulate(tunnel(true, 1400), inner, 0);
  EXPECT_EQ(result.verdict, Verdict::too_big);
  EXPECT_TRUE(result.outer.empty());
  ASSERT_EQ(result.error.size(), 576U);
  EXPECT_EQ(head(tail(result.error, 12), 8), (Packet{192, 0, 0, 1, 10, 0, 0, 10}));
  EXPECT_EQ(head(tail(result.error, 20), 2), (Packet{3, 4}));
  EXPECT_EQ(head(tail(result.error, 24), 4), (Packet{0, 0, 1352 >> 8, 1352 & 0xff}));
  EXPECT_EQ(tail(result.error, 28), head(inner, 548));
  EXPECT_TRUE(checksum_is_right(net::header_at<net::Ipv4Header>(result.error.data())));
  EXPECT_EQ(net::fold(net::sum_of(std::span(result.error).subspan(20))), 0xffff);
}

TEST(B4, DSL_044_no_error_answers_an_error_a_later_fragment_or_no_host) {
  const auto error_for = [](auto change) {
    Packet inner = inner_packet(1500, 0, true);
    change(inner);
    set_checksum(header_of(inner));
    const Upstream result = encapsulate(tunnel(), inner, 0);
    EXPECT_EQ(result.verdict, Verdict::too_big);
    return !result.error.empty();
  };
  const auto icmp_type = [](uint8_t type) {
    return [type](Packet& inner) { header_of(inner).protocol = 1, inner[inner_header_bytes] = type; };
  };
  EXPECT_TRUE(error_for(icmp_type(net::icmp::echo_request)));
  EXPECT_FALSE(error_for(icmp_type(net::icmp::unreachable)));
  EXPECT_FALSE(error_for([](Packet& inner) { header_of(inner).flags_offset = 0x4001; }));
  EXPECT_FALSE(error_for([](Packet& inner) { header_of(inner).source = *net::parse_ipv4("0.0.0.0"); }));
  EXPECT_FALSE(error_for([](Packet& inner) { header_of(inner).source = *net::parse_ipv4("127.0.0.1"); }));
  EXPECT_FALSE(error_for([](Packet& inner) { header_of(inner).destination = *net::parse_ipv4("224.0.0.1"); }));
}

TEST(B4, upstream_that_is_not_ipv4_or_malformed_is_dropped) {
  EXPECT_EQ(encapsulate(tunnel(), Packet{}, 0).verdict, Verdict::not_ipv4);
  EXPECT_EQ(encapsulate(tunnel(), Packet(48, 0x60), 0).verdict, Verdict::not_ipv4);
  const Packet good = inner_packet(60);
  for (size_t bytes = 1; bytes < good.size(); ++bytes)
    EXPECT_EQ(encapsulate(tunnel(), head(good, bytes), 0).verdict, Verdict::malformed) << bytes;
  for (const uint8_t version_ihl : {uint8_t{0x44}, uint8_t{0x4f}}) {
    Packet bad = good;
    bad[0] = version_ihl;
    EXPECT_EQ(encapsulate(tunnel(), bad, 0).verdict, Verdict::malformed);
  }
}

TEST(B4, downstream_is_delivered_only_from_the_aftr) {
  Packet inner = inner_packet(60);
  const Tunnel at = tunnel();
  EXPECT_EQ(decapsulate(at, at.local, 0, inner).verdict, Verdict::not_from_aftr);
  const Downstream result = decapsulate(at, at.aftr, 0, inner);
  EXPECT_EQ(result.verdict, Verdict::received);
  EXPECT_EQ(result.inner.size(), 60U);
}

TEST(B4, DSL_014_downstream_malformed_is_dropped_and_a_trailer_removed) {
  const Tunnel at = tunnel();
  Packet with_trailer = inner_packet(60);
  with_trailer.resize(66);
  EXPECT_EQ(decapsulate(at, at.aftr, 0, with_trailer).inner.size(), 60U);
  Packet short_packet = head(inner_packet(60), 59);
  EXPECT_EQ(decapsulate(at, at.aftr, 0, short_packet).verdict, Verdict::malformed);
  Packet wrong_checksum = inner_packet(60);
  wrong_checksum[10] ^= 1;
  EXPECT_EQ(decapsulate(at, at.aftr, 0, wrong_checksum).verdict, Verdict::malformed);
}

TEST(B4, DSL_010_outer_dscp_replaces_the_inner_and_the_checksum_follows) {
  const Tunnel at = tunnel();
  Packet inner = inner_packet(60, 0);
  const Downstream result = decapsulate(at, at.aftr, 10 << 2, inner);
  ASSERT_EQ(result.verdict, Verdict::received);
  EXPECT_EQ(result.inner[1], 10 << 2);
  EXPECT_TRUE(checksum_is_right(net::header_at<net::Ipv4Header>(result.inner.data())));
}

// RFC 6040 §4.2, figure 4, row by row: 00 Not-ECT, 10 ECT(0), 01 ECT(1), 11 CE.
TEST(B4, DSL_013_ecn_at_decapsulation) {
  struct Row {
    uint8_t inner, outer;
    std::optional<uint8_t> result;
  };
  const Row rows[] = {{0b00, 0b00, 0b00}, {0b00, 0b10, 0b00}, {0b00, 0b01, 0b00}, {0b00, 0b11, std::nullopt},
                      {0b10, 0b00, 0b10}, {0b10, 0b10, 0b10}, {0b10, 0b01, 0b01}, {0b10, 0b11, 0b11},
                      {0b01, 0b00, 0b01}, {0b01, 0b10, 0b01}, {0b01, 0b01, 0b01}, {0b01, 0b11, 0b11},
                      {0b11, 0b00, 0b11}, {0b11, 0b10, 0b11}, {0b11, 0b01, 0b11}, {0b11, 0b11, 0b11}};
  const Tunnel at = tunnel();
  for (const Row& row : rows) {
    EXPECT_EQ(decapsulated_ecn(row.inner, row.outer), row.result) << +row.inner << " in " << +row.outer;
    Packet inner = inner_packet(60, row.inner);
    const Downstream result = decapsulate(at, at.aftr, row.outer, inner);
    EXPECT_EQ(result.verdict, row.result ? Verdict::received : Verdict::congestion_unmarked);
    if (row.result) {
      EXPECT_EQ(result.inner[1], *row.result);
    }
  }
}

}  // namespace
}  // namespace portolan::b4
