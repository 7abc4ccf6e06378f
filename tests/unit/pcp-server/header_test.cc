// Header, version, sizes, ANNOUNCE, overload: RFC 6887 §8.2 in its order.
#include "tests/unit/pcp-server/fixture.h"

namespace portolan::pcp::test {
namespace {

Message valid_map() { return build_map_request(as_mapped("10.0.0.10"), udp(5000)); }
Message valid_announce() { return build_announce_request(as_mapped("10.0.0.10")); }

// Also shows PCP-003.
TEST_F(PcpServer, PCP_004_reserved_octets_are_ignored) {
  Message request = valid_map();
  for (const size_t at : {2U, 3U, 37U, 38U, 39U}) request[at] = 0xff;
  const Message reply = ask(request).value();
  EXPECT_EQ(reply[3], 0);
  for (const size_t at : {2U, 37U, 38U, 39U}) EXPECT_EQ(reply[at], 0) << at;
  for (size_t at = 12; at < 24; ++at) EXPECT_EQ(reply[at], 0) << at;
}

TEST_F(PcpServer, PCP_004_reserved_octet_of_an_option_is_ignored) {
  Message request = valid_map();
  add_option(request, 200, {1});
  request[61] = 0xff;
  EXPECT_EQ(code_of(request), Code::success);
}

TEST_F(PcpServer, PCP_005_the_earlier_check_wins) {
  struct Row {
    const char* name;
    void (*spoil)(Message&);
    Code expected;
  };
  constexpr Row rows[] = {
      {"version, then client",
       [](Message& m) {
         m[0] = 1;
         m[23] ^= 1;
       },
       Code::unsupp_version},
      {"size, then client",
       [](Message& m) {
         m.resize(56);
         m[23] ^= 1;
       },
       Code::malformed_request},
      {"client, then opcode",
       [](Message& m) {
         m[1] = 5;
         m[23] ^= 1;
       },
       Code::address_mismatch},
      {"opcode, then options",
       [](Message& m) {
         m[1] = 5;
         add_option(m, 64, {});
       },
       Code::unsupp_opcode},
      {"options, then protocol",
       [](Message& m) {
         m[36] = 0;
         add_option(m, 64, {});
       },
       Code::unsupp_option},
  };
  for (const Row& row : rows) {
    Message request = valid_map();
    row.spoil(request);
    EXPECT_EQ(code_of(request), row.expected) << row.name;
  }
  EXPECT_TRUE(translator.records().empty());
}

TEST_F(PcpServer, PCP_007_PCP_008_PCP_011_silence) {
  Message response = valid_map();
  response[1] |= 0x80;
  EXPECT_FALSE(ask({}));
  EXPECT_FALSE(ask({2}));
  EXPECT_FALSE(ask({1}));
  EXPECT_FALSE(ask(response));
  response[0] = 1;
  EXPECT_FALSE(ask(response));  // R is judged before the version
  for (const size_t bytes : {2U, 4U, 20U, 23U}) {
    Message cut = valid_map();
    cut.resize(bytes);
    EXPECT_FALSE(ask(cut)) << bytes;
  }
  EXPECT_EQ(server.counters()[Event::drop_short], 7U);
  EXPECT_EQ(server.counters()[Event::drop_response], 2U);
}

TEST_F(PcpServer, PCP_009_PCP_010_other_versions) {
  for (const uint8_t other : std::initializer_list<uint8_t>{1, 3, 255}) {
    Message request = valid_map();
    request[0] = other;
    const Message reply = ask(request).value();
    EXPECT_EQ(reply.size(), 60U);
    EXPECT_EQ(reply[3], 1);
    EXPECT_EQ(Message(reply.begin() + 4, reply.begin() + 8), (Message{0, 0, 7, 8}));  // 1800 s
    EXPECT_EQ(Message(reply.begin() + 12, reply.end()), Message(request.begin() + 12, request.end()));
  }
  EXPECT_EQ(ask({3, 1}).value().size(), 24U);
}

TEST_F(PcpServer, PCP_025_NAT_PMP_is_told_the_version) {
  const Message reply = ask({0, 0}).value();
  EXPECT_EQ(Message(reply.begin(), reply.begin() + 4), (Message{2, 0x80, 0, 1}));
}

TEST_F(PcpServer, PCP_012_bad_sizes) {
  struct Row {
    uint8_t opcode;
    size_t bytes, reply_bytes;
  };
  for (const auto& [opcode, bytes, reply_bytes] :
       {Row{1, 56, 56}, Row{1, 61, 64}, Row{1, 62, 64}, Row{1, 1104, 1100}, Row{1, 1103, 1100}, Row{2, 76, 76}}) {
    Message request = valid_map();
    request.resize(bytes);
    request[1] = opcode;
    const Message reply = ask(request).value();
    EXPECT_EQ(reply[3], 3) << bytes;
    EXPECT_EQ(reply.size(), reply_bytes);
    request.resize(reply_bytes);
    EXPECT_EQ(Message(reply.begin() + 12, reply.end()), Message(request.begin() + 12, request.end())) << bytes;
  }
}

TEST_F(PcpServer, PCP_013_PCP_014_client_address_mismatch) {
  for (size_t at = 8; at < 24; ++at) {
    Message request = valid_map();
    request[at] ^= 1;
    EXPECT_EQ(code_of(request), Code::address_mismatch) << at;
  }
  EXPECT_EQ(code_of(build_map_request(ipv6("::10.0.0.10"), udp(5000))), Code::address_mismatch);
  EXPECT_EQ(code_of(build_map_request(ipv6("2001:db8:100:1::1"), udp(5000))), Code::address_mismatch);
  EXPECT_EQ(server.size(), 0U);
}

TEST_F(PcpServer, PCP_017_unknown_opcodes_are_copied_back) {
  for (const uint8_t opcode : std::initializer_list<uint8_t>{3, 4, 5, 127}) {
    Message request = valid_map();
    request.resize(80, 0xd7);
    request[1] = opcode;
    const Message reply = ask(request).value();
    EXPECT_EQ(reply[3], 4);
    EXPECT_EQ(Message(reply.begin() + 4, reply.begin() + 8), (Message{0, 0, 7, 8}));
    EXPECT_EQ(Message(reply.begin() + 24, reply.end()), Message(request.begin() + 24, request.end()));
  }
  EXPECT_EQ(server.counters().requests[4], 3U);  // "other": 4, 5, 127
}

// Also shows PCP-097, PCX-020, PCX-031.
TEST_F(PcpServer, PCP_018_PCP_020_options_of_replies) {
  Message request = valid_map();
  add_option(request, 131, {1, 2, 3, 4, 5});
  add_option(request, 200, {9});
  EXPECT_EQ(ask(request).value().size(), 60U);  // success: only what was processed
  add_option(request, 1, {1});
  const Message reply = ask(request).value();
  EXPECT_EQ(reply[3], 6);
  EXPECT_EQ(Message(reply.begin() + 24, reply.end()), Message(request.begin() + 24, request.end()));
}

TEST_F(PcpServer, PCP_023_overload_is_no_resources) {
  settings.in_flight_max = 1;
  configure(settings);
  const Command command = server.handle(valid_map(), softwire(), now_s).commands.at(0);
  const Response second = map(udp(5001));
  EXPECT_EQ(second.code, Code::no_resources);
  EXPECT_EQ(second.lifetime_s, 30U);
  EXPECT_EQ(server.complete(translator.execute(command, now_s), now_s).replies.size(), 1U);
  EXPECT_EQ(code_of(udp(5001)), Code::success);
}

TEST_F(PcpServer, PCP_024_a_hundred_times_is_once) {
  const Response first = map(udp(5000));
  for (int i = 0; i < 99; ++i) EXPECT_EQ(map(udp(5000)).map, first.map);
  EXPECT_EQ(server.size(), 1U);
  EXPECT_EQ(translator.records().size(), 1U);
}

TEST_F(PcpServer, PCP_024_duplicates_in_flight_are_dropped) {
  const Command command = server.handle(valid_map(), softwire(), now_s).commands.at(0);
  EXPECT_TRUE(server.handle(valid_map(), softwire(), now_s).replies.empty());
  EXPECT_EQ(server.counters()[Event::drop_in_flight], 1U);
  const CommandResult result = translator.execute(command, now_s);
  EXPECT_EQ(server.complete(result, now_s).replies.size(), 1U);
  EXPECT_TRUE(server.complete(result, now_s).replies.empty());
  EXPECT_EQ(server.counters()[Event::result_unknown], 1U);
}

// Also shows PCP-213.
TEST_F(PcpServer, PCP_026_map_can_be_switched_off) {
  settings.map_enabled = false;
  configure(settings);
  EXPECT_EQ(code_of(valid_map()), Code::unsupp_opcode);
  EXPECT_EQ(peer(udp(5000), {ipv4("203.0.113.5"), port(53)}).code, Code::success);
  settings.map_enabled = true;
  settings.peer_enabled = false;
  configure(settings);
  EXPECT_EQ(peer(udp(5000), {ipv4("203.0.113.5"), port(53)}).code, Code::unsupp_opcode);
  EXPECT_EQ(code_of(valid_map()), Code::success);
  EXPECT_EQ(code_of(valid_announce()), Code::success);
  settings.enabled = false;
  configure(settings);
  EXPECT_FALSE(ask(valid_announce()));
}

TEST_F(PcpServer, PCP_190_PCP_191_epoch) {
  const auto epoch = [&] { return parse_response(ask(valid_announce()).value())->epoch_s; };
  EXPECT_EQ(epoch(), 100U);
  now_s += 600;
  EXPECT_EQ(epoch(), 700U);
  server.restart_epoch(now_s);
  EXPECT_EQ(server.epoch_s(now_s + 3), 3U);
}

// Also shows PCP-197.
TEST_F(PcpServer, PCP_193_one_subscribers_epoch_starts_anew_alone) {
  const auto epoch = [&](const Source& of) {
    return parse_response(server.handle(valid_announce(), of, now_s).replies.at(0).message)->epoch_s;
  };
  const Source cleared = softwire("2001:db8:100:1::1"), other = softwire("2001:db8:200:1::1");
  server.restart_epoch(server.subscriber_of(cleared.b4), now_s);
  now_s += 5;
  EXPECT_EQ(epoch(cleared), 5U);
  EXPECT_EQ(epoch(other), 105U);
  server.announce_to(server.subscriber_of(cleared.b4), {{cleared}}, now_s);
  const Notice notice = server.take_effects().notices.at(0);
  EXPECT_EQ(notice.to, cleared);
  EXPECT_EQ(parse_response(notice.message)->epoch_s, 5U);
  server.restart_epoch(now_s);  // everybody's
  EXPECT_EQ(epoch(cleared), epoch(other));
}

TEST(PcpServerEpoch, PCP_191_continues_from_before_the_clock) {
  const uint64_t now_s = 10;
  Server server{{}, now_s - 1'000, 1};
  EXPECT_EQ(server.epoch_s(now_s), 1'000U);
  EXPECT_EQ(server.epoch_s(now_s + 1), 1'001U);
}

// Also shows PCP-196.
TEST_F(PcpServer, PCP_194_PCP_195_announce) {
  EXPECT_EQ(ask(valid_announce()), build_announce_response(100));
  Message lifetime_77 = valid_announce();
  lifetime_77[7] = 77;
  EXPECT_EQ(ask(lifetime_77), build_announce_response(100));
  Message wrong_client = valid_announce();
  wrong_client[23] ^= 1;
  EXPECT_EQ(code_of(wrong_client), Code::address_mismatch);
}

TEST_F(PcpServer, PCP_099_announce_takes_no_options) {
  Message request = valid_announce();
  add_option(request, 200, {1});
  EXPECT_EQ(ask(request).value().size(), 24U);
  add_option(request, 1, Message(16));
  EXPECT_EQ(code_of(request), Code::unsupp_option);
}

// Also shows PCP-023, PCP-107, PCP-214.
TEST_F(PcpServer, PCD_014_rate_is_a_subscribers_own) {
  uint32_t answered = 0;
  for (int i = 0; i < 1000; ++i) answered += ask(valid_announce()).has_value();
  EXPECT_EQ(answered, settings.requests_burst);
  EXPECT_FALSE(ask(valid_announce(), softwire("2001:db8:100:2::9")));  // same /56
  EXPECT_TRUE(ask(valid_announce(), softwire("2001:db8:200:1::1")));
  now_s += 1;
  answered = 0;
  for (int i = 0; i < 1000; ++i) answered += ask(valid_announce()).has_value();
  EXPECT_EQ(answered, settings.requests_per_s);
  EXPECT_TRUE(translator.records().empty());
}

// One subscriber asks a hundred times faster than he may, MAPs of ever new ports and garbage: he is held to his share,
// and nobody else of many waits for it. Also shows PCP-023.
TEST_F(PcpServer, PCD_014_a_flood_costs_its_sender_alone) {
  constexpr uint32_t flood_per_s = 3'200, others = 100'000, seconds = 4;
  const auto other = [](uint32_t number) {
    Source source = softwire();
    for (size_t i = 0; i < 3; ++i) source.b4.bytes[i + 3] = static_cast<uint8_t>(number >> (16 - 8 * i));
    return source;
  };
  const Message garbage(24, 0x02), announce = build_announce_request(client_of(softwire()));
  uint32_t flood_answered = 0, others_unanswered = 0;
  for (uint32_t second = 0; second < seconds; ++second, ++now_s) {
    for (uint32_t i = 0; i < flood_per_s; ++i) {
      const Message map = build_map_request(client_of(softwire()), udp(static_cast<uint16_t>(1 + i)));
      flood_answered += carry_out(server.handle(i % 2 == 0 ? map : garbage, softwire(), now_s)).empty() ? 0U : 1U;
    }
    for (uint32_t i = second; i < others; i += seconds)
      others_unanswered += carry_out(server.handle(announce, other(i), now_s)).size() != 1;
    EXPECT_EQ(code_of(udp(5000), other(second)), Code::success) << "and a mapping can be had";
  }
  EXPECT_EQ(others_unanswered, 0U);
  const uint32_t allowed = settings.requests_burst + (seconds - 1) * settings.requests_per_s;
  EXPECT_EQ(flood_answered, allowed);
  EXPECT_EQ(server.counters()[Event::drop_rate], seconds * flood_per_s - allowed);
  EXPECT_EQ(server.size(), settings.mappings_per_subscriber_max + seconds) << "what one may hold, and the others' own";
}

}  // namespace
}  // namespace portolan::pcp::test
