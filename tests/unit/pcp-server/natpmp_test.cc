// NAT-PMP (RFC 6886) beside PCP. The requests are written octet by octet.
#include "tests/unit/pcp-server/fixture.h"

namespace portolan::pcp::test {
namespace {

struct NatPmp : PcpServer {
  NatPmp() {
    settings.natpmp_enabled = true;
    configure(settings);
  }
  static Message octets(uint8_t opcode, uint16_t internal, uint16_t suggested, uint32_t lifetime_s) {
    Message out;
    append(out, net::be32{uint32_t{opcode} << 16});
    append(out, port(internal));
    append(out, port(suggested));
    append(out, net::be32{lifetime_s});
    return out;
  }
  struct Told {
    uint16_t result, internal, external;
    uint32_t epoch_s, lifetime_s;
  };
  std::optional<Message> raw(const Message& request, const Source& source = softwire()) {
    const auto replies = carry_out(server.handle(request, source, now_s));
    return replies.empty() ? std::nullopt : std::optional(replies[0].message);
  }
  Told map_port(uint8_t opcode, uint16_t internal, uint16_t suggested, uint32_t lifetime_s,
                const Source& source = softwire()) {
    const Message reply = raw(octets(opcode, internal, suggested, lifetime_s), source).value();
    EXPECT_EQ(reply.size(), 16U);
    EXPECT_EQ(reply[0], 0);
    EXPECT_EQ(reply[1], 0x80 | opcode);
    net::Reader in{std::span(reply).subspan(2)};
    Told told{};
    told.result = in.read<net::be16>();
    told.epoch_s = in.read<net::be32>();
    told.internal = in.read<net::be16>();
    told.external = in.read<net::be16>();
    told.lifetime_s = in.read<net::be32>();
    return told;
  }
};
constexpr uint8_t as_udp = 1, as_tcp = 2;

TEST_F(NatPmp, NPM_001_the_outside_address) {
  const Message none = raw({0, 0}).value();
  EXPECT_EQ(none.size(), 12U);
  EXPECT_EQ(Message(none.begin(), none.begin() + 4), (Message{0, 0x80, 0, 3}));
  EXPECT_EQ(Message(none.begin() + 8, none.end()), Message(4));
  translator.outbound(key_of(5000), now_s);
  const Message known = raw({0, 0}).value();
  EXPECT_EQ(Message(known.begin(), known.begin() + 4), (Message{0, 0x80, 0, 0}));
  EXPECT_EQ(Message(known.begin() + 8, known.end()), (Message{192, 0, 2, 7}));
}

// Also shows NPM-012, NPM-015.
TEST_F(NatPmp, NPM_003_one_protocol_one_mapping) {
  const Told told = map_port(as_udp, 5000, 40000, 7200);
  EXPECT_EQ(told.result, 0);
  EXPECT_EQ(told.internal, 5000);
  EXPECT_EQ(told.external, 40000);
  EXPECT_EQ(told.epoch_s, 100U);
  EXPECT_EQ(told.lifetime_s, 7200U);
  EXPECT_EQ(translator.records().size(), 1U);
  EXPECT_EQ(map_port(as_tcp, 5000, 40000, 7200).external, 40000);
  EXPECT_EQ(translator.records().size(), 2U);
}

TEST_F(NatPmp, NPM_002_only_of_IPv4_and_its_own_host) {
  EXPECT_FALSE(raw(octets(as_udp, 5000, 0, 7200), plain()));
  EXPECT_EQ(map_port(as_udp, 5000, 0, 7200, softwire("2001:db8:100:1::1", "8.8.8.8")).result, 2);
  map_port(as_udp, 5000, 0, 7200);
  EXPECT_EQ(translator.records().begin()->first, key_of(5000));
}

TEST_F(NatPmp, NPM_005_what_is_there_is_told) {
  const net::Endpoint outside = translator.outbound(key_of(5000), now_s);
  EXPECT_EQ(map_port(as_udp, 5000, 41000, 7200).external, outside.port.number);
  EXPECT_EQ(map_port(as_udp, 5000, 42000, 7200).external, outside.port.number);
  const Response pcps = map(udp(6000, 43000, 600));
  const Told told = map_port(as_udp, 6000, 44000, 7200);
  EXPECT_EQ(told.external, pcps.map->assigned_port.number);
  EXPECT_EQ(told.lifetime_s, 600U);
  MapRequest other = udp(6000);
  other.nonce = nonce(0xbb);
  EXPECT_EQ(code_of(other), Code::not_authorized);  // still his
}

TEST_F(NatPmp, NPM_006_no_longer_than_asked) {
  EXPECT_EQ(map_port(as_udp, 5000, 0, 60).lifetime_s, 60U);
  EXPECT_EQ(map_port(as_udp, 5001, 0, ~0U).lifetime_s, 86'400U);
}

TEST_F(NatPmp, NPM_007_deletion) {
  map_port(as_udp, 5000, 40000, 7200);
  for (int i = 0; i < 2; ++i) {
    const Told told = map_port(as_udp, 5000, 40000, 0);
    EXPECT_EQ(told.result, 0);
    EXPECT_EQ(told.internal, 5000);
    EXPECT_EQ(told.external, 0);
    EXPECT_EQ(told.lifetime_s, 0U);
  }
  EXPECT_TRUE(translator.records().empty());
  map(udp(6000));
  EXPECT_EQ(map_port(as_udp, 6000, 0, 0).result, 2);
  EXPECT_EQ(server.size(), 1U);
}

TEST_F(NatPmp, NPM_008_deletion_of_all) {
  for (uint16_t i = 0; i < 3; ++i) map_port(as_udp, static_cast<uint16_t>(5000 + i), 0, 7200);
  map_port(as_tcp, 5000, 0, 7200);
  map_port(as_udp, 5000, 0, 7200, softwire("2001:db8:100:1::1", "10.0.0.11"));
  EXPECT_EQ(map_port(as_udp, 0, 0, 0).result, 0);
  EXPECT_EQ(translator.records().size(), 2U);
  map(udp(6000));
  map_port(as_udp, 5001, 0, 7200);
  EXPECT_EQ(map_port(as_udp, 0, 0, 0).result, 2);  // the one with a nonce stays, the other goes
  EXPECT_TRUE(translator.records().contains(key_of(6000)));
  EXPECT_FALSE(translator.records().contains(key_of(5001)));
}

TEST_F(NatPmp, NPM_010_other_versions_are_PCPs) {
  Message request = octets(as_udp, 5000, 0, 7200);
  request[0] = 1;
  const Message reply = raw(request).value();
  EXPECT_EQ(Message(reply.begin(), reply.begin() + 4), (Message{2, 0x81, 0, 1}));
  EXPECT_EQ(code_of(udp(5000)), Code::success);  // version 2
}

TEST_F(NatPmp, NPM_011_other_opcodes) {
  for (const uint8_t opcode : {uint8_t{3}, uint8_t{127}}) {
    Message request = octets(opcode, 5000, 0, 7200);
    const Message reply = raw(request).value();
    EXPECT_EQ(reply.size(), request.size());
    EXPECT_EQ(Message(reply.begin(), reply.begin() + 4), (Message{0, static_cast<uint8_t>(0x80 | opcode), 0, 5}));
    EXPECT_EQ(Message(reply.begin() + 8, reply.end()), Message(request.begin() + 8, request.end()));
  }
  EXPECT_FALSE(raw(octets(128, 5000, 0, 7200)));
  EXPECT_FALSE(raw({0, 1, 0, 0}));  // cut short
  EXPECT_TRUE(translator.records().empty());
}

// Also shows NPM-014: off by default.
// By unicast to each, for each has an outside address of his own.
TEST_F(NatPmp, NPM_013_whoever_holds_mappings_is_told_of_their_loss) {
  const auto subscriber = server.subscriber_of(softwire().b4);
  map_port(as_udp, 5000, 40000, 7200);
  map_port(as_tcp, 5001, 0, 7200);
  const auto clients = server.clients_of(subscriber);
  server.forget(subscriber);
  server.restart_epoch(subscriber, now_s);
  server.announce_to(subscriber, clients, now_s);
  carry_out(server.take_effects());
  ASSERT_EQ(notices.size(), 1U) << "one message is for all of a host's mappings";
  Source listens = softwire();
  listens.port = port(5350);
  EXPECT_EQ(notices[0].to, listens);
  EXPECT_EQ(notices[0].copies, 10U);
  EXPECT_EQ(notices[0].message, (Message{0, 0x80, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0})) << "he has no address until he asks";
  Message later = notices[0].message;
  set_epoch(later, 0x01020304);
  EXPECT_EQ(later, (Message{0, 0x80, 0, 3, 1, 2, 3, 4, 0, 0, 0, 0}));
}

TEST_F(NatPmp, NPM_013_an_address_that_changes_is_told_with_a_new_epoch) {
  map_port(as_udp, 5000, 40000, 7200);
  translator.move(key_of(5000), {ipv4("198.51.100.7"), port(40000)});
  server.reopen({key_of(5000), {}}, now_s);
  carry_out(server.take_effects());
  ASSERT_EQ(notices.size(), 1U);
  EXPECT_EQ(notices[0].to.port, port(5350));
  EXPECT_EQ(notices[0].message, (Message{0, 0x80, 0, 0, 0, 0, 0, 0, 198, 51, 100, 7}));
  notices.clear();
  EXPECT_EQ(map(udp(5000)).code, Code::success);  // from now on he speaks PCP
  translator.move(key_of(5000), {ipv4("198.51.100.8"), port(40000)});
  server.reopen({key_of(5000), {}}, ++now_s);
  carry_out(server.take_effects());
  ASSERT_EQ(notices.size(), 1U);
  EXPECT_EQ(notices[0].to.port, port(40000));
  EXPECT_EQ(notices[0].message[0], 2);
}

TEST_F(NatPmp, NPM_014_off_it_is_told_the_version) {
  settings.natpmp_enabled = false;
  configure(settings);
  const Message reply = raw(octets(as_udp, 5000, 0, 7200)).value();
  EXPECT_EQ(Message(reply.begin(), reply.begin() + 4), (Message{2, 0x81, 0, 1}));
}

TEST_F(NatPmp, a_PCP_client_takes_over_what_NAT_PMP_made) {
  const Told told = map_port(as_udp, 5000, 40000, 7200);
  EXPECT_EQ(map(udp(5000)).map->assigned_port, port(told.external));
  EXPECT_EQ(map_port(as_udp, 5000, 0, 0).result, 2);
}

TEST_F(NatPmp, refusals) {
  translator.full = true;
  EXPECT_EQ(map_port(as_udp, 5000, 0, 7200).result, 4);
  translator.full = false;
  translator.ports_max = 0;
  EXPECT_EQ(map_port(as_udp, 5000, 0, 7200).result, 3);
  EXPECT_EQ(map_port(as_udp, 0, 0, 7200).result, 2);
  settings.mappings_per_subscriber_max = 1;
  configure(settings);
  translator.ports_max = 60'000;
  EXPECT_EQ(map_port(as_udp, 5000, 0, 7200).result, 0);
  EXPECT_EQ(map_port(as_udp, 5001, 0, 7200).result, 4);
}

}  // namespace
}  // namespace portolan::pcp::test
