// FILTER (RFC 6887 §13.3), DESCRIPTION (RFC 7220), THIRD_PARTY_ID (RFC 7843), PORT_SET (RFC 7753), and what policy says
// of ports and probing.
#include "tests/unit/pcp-server/fixture.h"

namespace portolan::pcp::test {
namespace {

FilterBody filter(std::string_view address, uint8_t length = 128, uint16_t from = 0) {
  return {0, length, port(from), as_mapped(address)};
}

struct Filters : PcpServer {
  Code ask_with(std::vector<FilterBody> filters, uint32_t lifetime_s = 3600) {
    MapRequest request = udp(5000, 0, lifetime_s);
    request.filters = std::move(filters);
    return code_of(request);
  }
  std::vector<Filter> in_force() { return translator.records().at(key_of(5000)).let_in; }
  static Filter only(std::string_view address, uint8_t length = 32, uint16_t from = 0) {
    return {{ipv4(address), length}, port(from)};
  }
};

TEST_F(Filters, PCP_108_PCP_116_echoed_and_in_force) {
  MapRequest request = udp(5000);
  request.filters = {filter("203.0.113.5", 128, 1234), filter("203.0.113.77", 120)};
  const Message asked = build_map_request(as_mapped("10.0.0.10"), request);
  const Message reply = ask(asked).value();
  EXPECT_EQ(Message(reply.begin() + 60, reply.end()), Message(asked.begin() + 60, asked.end()));
  EXPECT_EQ(in_force(), (std::vector{only("203.0.113.5", 32, 1234), only("203.0.113.0", 24)}));
}

TEST_F(Filters, PCP_111_new_ones_are_added) {
  ask_with({filter("203.0.113.5")});
  ask_with({filter("203.0.113.6")});
  ask_with({filter("203.0.113.6")});  // a retransmission
  ask_with({});                       // a renewal
  EXPECT_EQ(in_force(), (std::vector{only("203.0.113.5"), only("203.0.113.6")}));
}

// Also shows PCP-110.
TEST_F(Filters, PCP_090_PCP_112_the_order_counts) {
  ask_with({filter("203.0.113.5")});
  ask_with({FilterBody{}, filter("203.0.113.6")});
  EXPECT_EQ(in_force(), (std::vector{only("203.0.113.6")}));
  ask_with({filter("203.0.113.7"), FilterBody{}});
  EXPECT_TRUE(in_force().empty());
}

TEST_F(Filters, PCP_113_in_a_deletion_malformed) {
  ask_with({filter("203.0.113.5")});
  EXPECT_EQ(ask_with({filter("203.0.113.6")}, 0), Code::malformed_option);
  EXPECT_EQ(in_force(), (std::vector{only("203.0.113.5")}));
}

// Also shows PCP-057.
TEST_F(Filters, PCP_114_too_many_change_nothing) {
  std::vector<FilterBody> many;
  for (uint16_t i = 0; i < filters_max; ++i) many.push_back(filter("203.0.113.5", 128, static_cast<uint16_t>(i + 1)));
  EXPECT_EQ(ask_with(many), Code::success);
  EXPECT_EQ(ask_with({filter("203.0.113.6")}), Code::excessive_remote_peers);
  EXPECT_EQ(in_force().size(), filters_max);
  EXPECT_EQ(ask_with({FilterBody{}, filter("203.0.113.6")}), Code::success);
}

// Also shows PCP-098: a message full of filters, all of which come back.
TEST_F(Filters, PCP_098_a_full_message_fits) {
  MapRequest request = udp(5000);
  for (int i = 0; i < 43; ++i) request.filters.push_back(filter("203.0.113.5"));
  const Message asked = build_map_request(as_mapped("10.0.0.10"), request);
  EXPECT_LE(asked.size(), message_bytes_max);
  EXPECT_EQ(ask(asked)->size(), asked.size());
}

TEST_F(Filters, PCP_019_a_later_faulty_option_leaves_the_filters) {
  ask_with({filter("203.0.113.5")});
  MapRequest request = udp(5000);
  request.filters = {filter("203.0.113.6")};
  Message message = build_map_request(as_mapped("10.0.0.10"), request);
  add_option(message, 1, {1, 2, 3, 4});
  EXPECT_EQ(code_of(message), Code::malformed_option);
  EXPECT_EQ(in_force(), (std::vector{only("203.0.113.5")}));
}

TEST_F(Filters, a_mapping_taken_up_again_has_none) {
  ask_with({filter("203.0.113.5")});
  translator.outbound(key_of(5000), now_s);
  map(udp(5000, 0, 0));
  EXPECT_TRUE(in_force().empty());
  map(udp(5000));
  EXPECT_TRUE(in_force().empty());
}

struct Description : PcpServer {
  std::optional<std::string> told(std::optional<std::string> text) {
    MapRequest request = udp(5000);
    request.description = std::move(text);
    const Message reply = ask(build_map_request(as_mapped("10.0.0.10"), request)).value();
    return parse_options(net::Reader{std::span(reply).subspan(60)}, Opcode::map)->description;
  }
  std::string kept() { return server.find({key_of(5000), {}})->description; }
};

TEST_F(Description, PCX_020_PCX_023_told_only_if_asked_new_and_none) {
  EXPECT_EQ(told(std::nullopt), std::nullopt);
  EXPECT_EQ(told("web"), "web");
  EXPECT_EQ(told(std::nullopt), std::nullopt);
  EXPECT_EQ(kept(), "web");
  EXPECT_EQ(told("mail"), "mail");
  EXPECT_EQ(kept(), "mail");
  EXPECT_EQ(told(""), "");
  EXPECT_EQ(kept(), "");
}

TEST_F(Description, PCX_021_PCX_024_what_is_kept_is_told) {
  const std::string text = std::string(127, 'x') + "\xe2\x82\xac" + std::string(70, 'y');
  EXPECT_EQ(told(text), std::string(127, 'x'));
  EXPECT_EQ(kept(), std::string(127, 'x'));
  settings.description_bytes_max = 64;
  configure(settings);
  EXPECT_EQ(told(text), std::string(64, 'x'));
}

TEST_F(Description, PCX_022_no_UTF_8_no_description) {
  EXPECT_EQ(told("web"), "web");
  EXPECT_EQ(told("\xc0\x80"), std::nullopt);
  EXPECT_EQ(kept(), "web");
}

TEST_F(PcpServer, PCX_031_PREFIX64_is_left_out) {
  Message request = build_map_request(as_mapped("10.0.0.10"), udp(5000));
  add_option(request, 129, {0, 12, 0, 100, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  EXPECT_EQ(ask(request)->size(), 60U);
  Message announce = build_announce_request(as_mapped("10.0.0.10"));
  add_option(announce, 129, {0, 0});
  EXPECT_EQ(ask(announce)->size(), 24U);
}

// Also shows PCX-050, PCX-059: authentication is not there, and refused as RFC 6887 says of what is not.
TEST_F(PcpServer, PCX_050_authentication_is_refused) {
  Message begin = build_announce_request(as_mapped("10.0.0.10"));
  begin[1] = 3;
  begin[3] = 14;
  begin.resize(32);
  EXPECT_EQ(code_of(begin), Code::unsupp_opcode);
  Message tagged = build_map_request(as_mapped("10.0.0.10"), udp(5000));
  add_option(tagged, 5, Message(28));
  EXPECT_EQ(code_of(tagged), Code::unsupp_option);
  EXPECT_EQ(code_of(udp(5000)), Code::success);
}

// --- THIRD_PARTY_ID ---

struct Portal : PcpServer {
  const Source portal = plain("2001:db8:ffff::1");
  Portal() {
    settings.portal_from = {net::parse_ipv6_prefix("2001:db8:ffff::/64").value()};
    settings.subscribers = {net::parse_ipv6_prefix("2001:db8::/33").value(),
                            net::parse_ipv6_prefix("::ffff:100.64.0.0/106").value()};
    configure(settings);
  }
  static MapRequest about(std::string_view b4, std::string_view host) {
    MapRequest out = udp(5000);
    const auto id = ipv6(b4).bytes;
    out.subscriber_id = std::vector<uint8_t>(id.begin(), id.end());
    out.third_party = ipv6(host);
    return out;
  }
};

TEST_F(Portal, PCX_040_its_errors) {
  MapRequest request = about("2001:db8:100:1::1", "::ffff:10.0.0.10");
  EXPECT_EQ(code_of(request, portal), Code::success);
  EXPECT_EQ(last_command->key, key_of(5000));
  EXPECT_EQ(last_command->b4, ipv6("2001:db8:100:1::1"));
  request.third_party.reset();
  EXPECT_EQ(code_of(request, portal), Code::third_party_missing_option);
  EXPECT_EQ(code_of(about("2001:db9::1", "::ffff:10.0.0.10"), portal), Code::third_party_id_unknown);
  request = about("2001:db8:100:1::1", "::ffff:10.0.0.10");
  request.subscriber_id->pop_back();
  EXPECT_EQ(code_of(request, portal), Code::unsupp_third_party_id_length);
  EXPECT_EQ(code_of(about("2001:db8:100:1::1", "::ffff:8.8.8.8"), portal), Code::unsupp_option);
  EXPECT_EQ(code_of(udp(5000), portal), Code::not_authorized);
  MapRequest no_id = udp(5000);
  no_id.third_party = ipv6("::ffff:10.0.0.10");
  EXPECT_EQ(code_of(no_id, portal), Code::unsupp_option);
}

TEST_F(Portal, PCX_041_the_same_host_of_two_subscribers) {
  const Response one = map(about("2001:db8:100:1::1", "::ffff:10.0.0.10"), portal);
  const Response two = map(about("2001:db8:200:1::1", "::ffff:10.0.0.10"), portal);
  EXPECT_NE(one.map->assigned_port, two.map->assigned_port);
  EXPECT_EQ(server.size(), 2U);
  EXPECT_EQ(code_of(about("::ffff:100.64.0.9", "::ffff:100.64.0.9"), portal), Code::success);
  EXPECT_EQ(code_of(about("::ffff:100.64.0.9", "::ffff:100.64.0.10"), portal), Code::unsupp_option);
}

TEST_F(Portal, PCX_042_from_a_subscriber_unsupported) {
  EXPECT_EQ(code_of(about("2001:db8:100:1::1", "::ffff:10.0.0.10"), plain()), Code::unsupp_option);
  EXPECT_EQ(code_of(about("2001:db8:200:1::1", "::ffff:10.0.0.10"), softwire()), Code::unsupp_option);
}

// --- policy ---

TEST_F(PcpServer, ports_that_may_be_asked_for) {
  settings.suggested_ports = {2000, 50'000};
  settings.reserved_ports = {{3000, 3010}};
  configure(settings);
  EXPECT_EQ(map(udp(5000, 2000)).map->assigned_port, port(2000));
  EXPECT_NE(map(udp(5001, 3005)).map->assigned_port, port(3005));
  EXPECT_NE(map(udp(5002, 1999)).map->assigned_port, port(1999));
  MapRequest exact = udp(5003, 3000);
  exact.prefer_failure = true;
  EXPECT_EQ(code_of(exact), Code::cannot_provide_external);
  EXPECT_EQ(peer(udp(5004, 3000), {ipv4("203.0.113.5"), port(53)}).code, Code::cannot_provide_external);
}

// Also shows PCP-214.
TEST_F(PcpServer, PCP_107_probing_is_bounded) {
  settings.requests_burst = settings.requests_per_s = 100'000;
  configure(settings);
  translator.occupy(net::Protocol::udp, 40'000);
  MapRequest probe = udp(5000, 40'000);
  probe.prefer_failure = true;
  uint32_t told = 0;
  for (int i = 0; i < 1000; ++i)
    if (code_of(probe) == Code::cannot_provide_external) ++told;
  EXPECT_EQ(told, settings.probes_burst);
  EXPECT_EQ(code_of(probe), Code::no_resources);
  EXPECT_EQ(code_of(udp(5000)), Code::success);
  now_s += 1;
  probe.internal_port = port(5001);
  EXPECT_EQ(code_of(probe), Code::cannot_provide_external);
}

TEST_F(PcpServer, PCD_003_the_B4_itself_by_policy) {
  settings.plain_self = true;
  configure(settings);
  EXPECT_EQ(code_of(udp(5000), plain()), Code::success);
  EXPECT_EQ(last_command->key.inside_address, ipv4("192.0.0.2"));
}

TEST_F(PcpServer, PCP_050_a_static_mapping_is_granted_for_ever_to_anybody) {
  translator.fixed.insert(key_of(8080));
  for (const uint8_t fill : {uint8_t{0xaa}, uint8_t{0xbb}}) {
    MapRequest request = udp(8080);
    request.nonce = nonce(fill);
    const Response response = map(request);
    EXPECT_EQ(response.code, Code::success);
    EXPECT_EQ(response.lifetime_s, ~0U);
    EXPECT_EQ(response.map->nonce, nonce(fill));
  }
  EXPECT_EQ(server.size(), 0U);
  EXPECT_EQ(code_of(udp(8080, 0, 0)), Code::not_authorized);  // PCP-173
}

TEST_F(PcpServer, PCP_023_all_together_are_limited) {
  settings.requests_per_s_all = 10;
  configure(settings);
  for (uint16_t i = 0; i < 10; ++i) EXPECT_EQ(code_of(udp(static_cast<uint16_t>(5000 + i))), Code::success);
  EXPECT_FALSE(ask(build_announce_request(as_mapped("10.0.0.10")), softwire("2001:db8:200:1::1")));
  EXPECT_EQ(server.counters()[Event::drop_rate_all], 1U);
}

TEST_F(PcpServer, MGT_062_options_and_results_are_counted) {
  MapRequest request = udp(5000);
  request.filters = {filter("203.0.113.5")};
  map(request);
  Message message = build_map_request(as_mapped("10.0.0.10"), udp(5001));
  add_option(message, 64, {});
  ask(message);
  EXPECT_EQ(server.counters().options[2], 1U);
  EXPECT_EQ(server.counters().options[8], 1U);
  EXPECT_EQ(server.counters().results[1][static_cast<size_t>(Code::unsupp_option)], 1U);
  EXPECT_EQ(server.counters().results[1][static_cast<size_t>(Code::success)], 1U);
}

// --- PORT_SET ---

struct PortSet : PcpServer {
  static MapRequest set(uint16_t first, uint16_t ports, uint32_t lifetime_s = 3600, uint8_t parity = 0) {
    MapRequest out = udp(first, 0, lifetime_s);
    out.port_set = PortSetBody{ports, port(first), parity};
    return out;
  }
};

TEST_F(PortSet, PCX_001_PCX_003_as_many_and_no_more) {
  const Message reply = ask(build_map_request(as_mapped("10.0.0.10"), set(5000, 16))).value();
  EXPECT_EQ(reply.size(), 72U);
  EXPECT_EQ(Message(reply.begin() + 60, reply.end()), (Message{130, 0, 0, 5, 0, 16, 0x13, 0x88, 0, 0, 0, 0}));
  EXPECT_EQ(translator.records().size(), 16U);
  EXPECT_FALSE(translator.records().contains(key_of(5016)));
  const uint16_t first = translator.records().at(key_of(5000)).outside.port.number;
  EXPECT_EQ(translator.records().at(key_of(5015)).outside.port.number, first + 15);
}

TEST_F(PortSet, PCX_002_what_makes_no_sense) {
  MapRequest request = set(5000, 16);
  request.prefer_failure = true;
  request.suggested_port = port(40000);
  EXPECT_EQ(code_of(request), Code::malformed_option);
  EXPECT_EQ(code_of(set(5000, 0)), Code::malformed_option);
  EXPECT_TRUE(translator.records().empty());
}

TEST_F(PortSet, PCX_004_as_many_as_there_are) {
  settings.mappings_per_subscriber_max = 8;
  configure(settings);
  EXPECT_EQ(map(set(5000, 16)).map->port_set->size, 8);
  EXPECT_EQ(code_of(udp(6000)), Code::user_ex_quota);
  const Source other = softwire("2001:db8:200:1::1");
  const uint16_t free_from = translator.records().at(key_of(5007)).outside.port.number + 1;
  translator.occupy(net::Protocol::udp, static_cast<uint16_t>(free_from + 5));
  EXPECT_EQ(map(set(5000, 8), other).map->port_set->size, 5);
}

TEST_F(PortSet, PCX_005_one_port_is_a_plain_MAP) {
  EXPECT_EQ(map(set(5000, 1)).map->port_set, std::nullopt);
  settings.mappings_per_subscriber_max = 2;
  configure(settings);
  EXPECT_EQ(map(set(6000, 16)).map->port_set, std::nullopt);
  EXPECT_EQ(translator.records().size(), 2U);
}

TEST_F(PortSet, PCX_006_parity_is_passed_on) {
  map(set(5001, 4, 3600, 1));
  EXPECT_TRUE(last_command->keep_parity);
}

TEST_F(PortSet, PCX_007_renewed_and_deleted_as_one) {
  map(set(5000, 16, 600));
  now_s += 500;
  EXPECT_EQ(map(set(5000, 16, 600)).map->port_set->size, 16);
  EXPECT_EQ(server.size(), 1U);
  EXPECT_EQ(translator.records().at(key_of(5015)).explicit_until_s, now_s + 600);
  MapRequest other = set(5000, 16, 0);
  other.nonce = nonce(0xbb);
  EXPECT_EQ(code_of(other), Code::not_authorized);
  EXPECT_EQ(code_of(set(5000, 16, 0)), Code::success);
  EXPECT_TRUE(translator.records().empty());
  EXPECT_EQ(server.size(), 0U);
}

TEST_F(PortSet, PCX_008_what_is_touched_is_refreshed_each_by_itself) {
  map(udp(100));
  map(set(101, 20));
  const auto replies = ask_for_all(build_map_request(as_mapped("10.0.0.10"), set(100, 20)));
  ASSERT_EQ(replies.size(), 2U);
  const auto one = parse_response(replies[0]).value(), rest = parse_response(replies[1]).value();
  EXPECT_EQ(one.map->internal_port, port(100));
  EXPECT_EQ(one.map->port_set, std::nullopt);
  EXPECT_EQ(rest.map->internal_port, port(101));
  EXPECT_EQ(rest.map->port_set->size, 20);
  EXPECT_EQ(server.size(), 2U);
  const Response single = map(udp(110));  // in the middle
  EXPECT_EQ(single.map->internal_port, port(101));
  EXPECT_EQ(single.map->port_set->size, 20);
}

TEST_F(PortSet, PCX_011_answers_to_one_request_are_bounded) {
  settings.mappings_per_subscriber_max = 100;
  configure(settings);
  for (uint16_t i = 0; i < 32; ++i) map(udp(static_cast<uint16_t>(5000 + i)));
  EXPECT_EQ(ask_for_all(build_map_request(as_mapped("10.0.0.10"), set(5000, 32))).size(), 16U);
}

TEST_F(PortSet, PCX_009_no_more_than_configured_and_to_the_last_port) {
  settings.port_set_max = 4;
  configure(settings);
  EXPECT_EQ(map(set(5000, 16)).map->port_set->size, 4);
  EXPECT_EQ(map(set(65'534, 4)).map->port_set->size, 2);
  settings.port_set_max = 1;
  configure(settings);
  EXPECT_EQ(map(set(6000, 16)).map->port_set, std::nullopt);
}

}  // namespace
}  // namespace portolan::pcp::test
