// What is acknowledged is stored, what cannot be stored is refused and undone, what was stored comes back, and
// whoever's mapping moves or is lost is told (RFC 6887 §8.5, §14).
#include "tests/unit/pcp-server/fixture.h"

namespace portolan::pcp::test {
namespace {

struct Durable : PcpServer {
  Durable() {
    settings.durable = true;
    configure(settings);
  }
  // The process ends and another begins with what was stored; the translator's slab is gone too, or not.
  void restart(bool slab_gone) {
    if (slab_gone) translator.clear();
    server = Server{settings, start_s, 7};
    for (const auto& [key, granted] : store) server.restore(key, *granted, now_s);
    carry_out(server.take_effects());
    const auto stored = store;
    for (const auto& [key, granted] : stored) {
      server.reopen(key, now_s);
      carry_out(server.take_effects());
    }
  }
  MapRequest another_nonce(uint16_t internal) {
    MapRequest out = udp(internal);
    out.nonce = nonce(0xbb);
    return out;
  }
};

// Also shows PCP-202: no other nonce takes it, before or after.
TEST_F(Durable, PCP_047_the_nonce_outlives_a_restart) {
  const Response made = map(udp(5000, 40000, 600));
  now_s += 100;
  for (const bool slab_gone : {false, true}) {
    restart(slab_gone);
    EXPECT_EQ(server.size(), 1U);
    const Response refused = map(another_nonce(5000));
    EXPECT_EQ(refused.code, Code::not_authorized);
    EXPECT_EQ(refused.lifetime_s, 500U);
    EXPECT_EQ(translator.records().at(key_of(5000)).explicit_until_s, now_s + 500);
    EXPECT_EQ(translator.records().at(key_of(5000)).outside.port, made.map->assigned_port);
    EXPECT_TRUE(notices.empty());
  }
  EXPECT_EQ(map(udp(5000)).map, made.map);
}

TEST_F(Durable, options_outlive_a_restart) {
  MapRequest request = udp(5000);
  request.filters = {{0, 128, port(0), as_mapped("203.0.113.5")}};
  request.description = "web";
  map(request);
  restart(true);
  EXPECT_EQ(translator.records().at(key_of(5000)).let_in.size(), 1U);
  EXPECT_EQ(server.find({key_of(5000), {}})->description, "web");
}

// Also shows PCP-191: nothing was lost, so the epoch goes on.
TEST_F(Durable, PCP_191_the_epoch_goes_on_if_nothing_was_lost) {
  map(udp(5000));
  restart(true);
  EXPECT_EQ(server.epoch_s(now_s), now_s - start_s);
  EXPECT_EQ(server.epoch_s(ipv6("2001:db8:100::"), now_s), now_s - start_s);
}

TEST_F(Durable, PEERs_and_sets_outlive_a_restart) {
  const net::Endpoint remote{ipv4("203.0.113.5"), port(53)};
  const Response made = peer(udp(5000, 40000), remote);
  MapRequest set = udp(6000);
  set.port_set = PortSetBody{4, port(6000), 0};
  map(set);
  restart(true);
  EXPECT_EQ(server.size(), 2U);
  EXPECT_EQ(translator.records().size(), 5U);
  EXPECT_EQ(peer(udp(5000), remote).map->assigned_port, made.map->assigned_port);
  EXPECT_EQ(map(udp(6002)).map->port_set->size, 4);
}

TEST_F(Durable, a_reply_waits_for_the_store) {
  auto effects = server.handle(build_map_request(as_mapped("10.0.0.10"), udp(5000)), softwire(), now_s);
  effects = server.complete(translator.execute(effects.commands.at(0), now_s), now_s);
  EXPECT_TRUE(effects.replies.empty());
  ASSERT_EQ(effects.changes.size(), 1U);
  EXPECT_EQ(server.size(), 0U);
  EXPECT_FALSE(ask(build_map_request(as_mapped("10.0.0.10"), udp(5000))));  // a duplicate waits too
  effects = server.stored(effects.changes[0].ticket, true, now_s);
  EXPECT_EQ(parse_response(effects.replies.at(0).message)->code, Code::success);
  EXPECT_EQ(server.size(), 1U);
  EXPECT_EQ(server.in_flight(), 0U);
}

// Also shows PCP-019.
TEST_F(Durable, PCP_054_a_full_disk_refuses_new_ones_and_keeps_the_old) {
  map(udp(5000, 40000, 600));
  const auto before = store;
  store_works = false;
  const Response refused = map(udp(5001));
  EXPECT_EQ(refused.code, Code::no_resources);
  EXPECT_EQ(refused.lifetime_s, 30U);
  EXPECT_FALSE(translator.records().contains(key_of(5001)));
  now_s += 100;
  EXPECT_EQ(map(udp(5000, 0, 3600)).code, Code::no_resources);
  EXPECT_EQ(translator.records().at(key_of(5000)).explicit_until_s, now_s + 500);
  EXPECT_EQ(map(udp(5000, 0, 0)).code, Code::no_resources);
  EXPECT_TRUE(translator.records().contains(key_of(5000)));
  const net::Endpoint remote{ipv4("203.0.113.5"), port(53)};
  EXPECT_EQ(peer(udp(5000), remote).code, Code::no_resources);
  EXPECT_EQ(translator.records().at(key_of(5000)).pinned_until_s, now_s);
  EXPECT_EQ(store, before);
  EXPECT_EQ(server.size(), 1U);
  EXPECT_EQ(server.in_flight(), 0U);
  EXPECT_EQ(server.counters()[Event::store_failed], 4U);
  store_works = true;
  EXPECT_EQ(code_of(udp(5000)), Code::success);
}

TEST_F(Durable, a_renewal_that_could_not_be_stored_leaves_its_time_as_it_was_beside_traffic) {
  map(udp(5000, 0, 120));
  translator.outbound(key_of(5000), now_s);
  store_works = false;
  EXPECT_EQ(code_of(udp(5000, 0, 3600)), Code::no_resources);
  EXPECT_EQ(translator.records().at(key_of(5000)).explicit_until_s, now_s + 120);
}

TEST_F(Durable, PCP_051_an_implicit_mapping_survives_a_MAP_that_could_not_be_stored) {
  const net::Endpoint outside = translator.outbound(key_of(5000), now_s);
  store_works = false;
  EXPECT_EQ(code_of(udp(5000)), Code::no_resources);
  EXPECT_EQ(translator.records().at(key_of(5000)).outside, outside);
  EXPECT_EQ(translator.records().at(key_of(5000)).explicit_until_s, 0U);
}

TEST_F(Durable, a_deletion_is_on_disk_before_the_mapping_ends) {
  map(udp(5000));
  auto effects = server.handle(build_map_request(as_mapped("10.0.0.10"), udp(5000, 0, 0)), softwire(), now_s);
  EXPECT_TRUE(effects.commands.empty());
  ASSERT_EQ(effects.changes.size(), 1U);
  EXPECT_FALSE(effects.changes[0].granted);
  carry_out(std::move(effects));
  EXPECT_TRUE(store.empty());
  EXPECT_TRUE(translator.records().empty());
}

TEST_F(Durable, what_ends_otherwise_leaves_the_store_too) {
  map(udp(5000, 0, 120));
  map(udp(5001));
  map(udp(5000), softwire("2001:db8:200:1::1"));
  now_s += 120;
  server.expire(now_s);
  carry_out(server.take_effects());
  EXPECT_EQ(store.size(), 2U);
  server.forget(ipv6("2001:db8:200::"));
  carry_out(server.take_effects());
  EXPECT_EQ(store.size(), 1U);
  EXPECT_TRUE(store.contains({key_of(5001), {}}));
}

// A deletion's answer to a duplicate is the same after a restart.
TEST_F(Durable, PCP_166_what_traffic_keeps_after_a_deletion_is_stored_as_ended) {
  map(udp(5000));
  translator.outbound(key_of(5000), now_s);
  map(udp(5000, 0, 0));
  ASSERT_EQ(store.size(), 1U);
  EXPECT_TRUE(store.begin()->second->mapping.ended);
  restart(false);
  EXPECT_EQ(map(udp(5000, 0, 0)).lifetime_s, Translator::idle_s);
}

TEST_F(Durable, what_is_over_is_not_restored) {
  map(udp(5000, 0, 120));
  now_s += 120;
  restart(true);
  EXPECT_EQ(server.size(), 0U);
  EXPECT_TRUE(store.empty());
  EXPECT_TRUE(translator.records().empty());
}

// --- moves ---

// Also shows PCP-196, PCP-201.
TEST_F(Durable, PCP_192_PCP_200_a_mapping_that_moves_is_told) {
  MapRequest request = udp(5000, 40000);
  request.filters = {{0, 120, port(7), as_mapped("203.0.113.0")}};
  request.description = "web";
  request.third_party = as_mapped("10.0.0.10");
  map(request, plain());
  const Source other = softwire("2001:db8:200:1::1");
  map(udp(5000, 41000), other);
  translator.occupy(net::Protocol::udp, 40000);
  now_s += 100;
  restart(true);
  ASSERT_EQ(notices.size(), 1U);
  EXPECT_EQ(notices[0].to, plain());
  EXPECT_EQ(notices[0].about, (RecordKey{key_of(5000), {}}));
  const Response update = parse_response(notices[0].message).value();
  EXPECT_TRUE(answers(update, request));
  EXPECT_EQ(update.code, Code::success);
  EXPECT_EQ(update.lifetime_s, 3500U);
  EXPECT_NE(update.map->assigned_port, port(40000));
  EXPECT_EQ(update.map->assigned_port, translator.records().at(key_of(5000)).outside.port);
  const auto options = parse_options(net::Reader{std::span(notices[0].message).subspan(60)}, Opcode::map);
  EXPECT_EQ(options->third_party, request.third_party);
  EXPECT_EQ(options->filters, request.filters);
  EXPECT_EQ(options->description, std::nullopt);
  EXPECT_EQ(server.epoch_s(ipv6("2001:db8:100::"), now_s), 0U);  // his alone
  EXPECT_EQ(server.epoch_s(ipv6("2001:db8:200::"), now_s), now_s - start_s);
  EXPECT_EQ((store.at({key_of(5000), {}})->mapping.outside.port), update.map->assigned_port);
}

TEST_F(Durable, PCP_201_one_that_insists_on_its_port_is_told_that_it_cannot_have_it) {
  MapRequest request = udp(5000, 40000);
  request.prefer_failure = true;
  map(request);
  translator.occupy(net::Protocol::udp, 40000);
  restart(true);
  ASSERT_EQ(notices.size(), 2U);
  const Response update = parse_response(notices[0].message).value();
  EXPECT_EQ(update.code, Code::cannot_provide_external);
  EXPECT_TRUE(answers(update, request));
  EXPECT_EQ(parse_response(notices[1].message)->opcode, Opcode::announce);
  EXPECT_EQ(server.size(), 0U);
  EXPECT_TRUE(store.empty());
}

TEST_F(Durable, PCD_010_what_is_made_and_ended_is_told_once) {
  using Kind = MappingEvent::Kind;
  const auto told = [this] {
    std::vector<std::pair<Kind, uint16_t>> out;
    for (const auto& event : std::exchange(events, {})) out.emplace_back(event.kind, event.mapping.outside.port.number);
    return out;
  };
  using Told = std::vector<std::pair<Kind, uint16_t>>;
  map(udp(5000, 40000));
  EXPECT_EQ(told(), Told{}) << "nobody wants to know";
  settings.tells_mappings = true;
  configure(settings);
  map(udp(5001, 40001));
  EXPECT_EQ(told(), (Told{{Kind::made, 40001}}));
  now_s += 10;
  map(udp(5001, 40001));
  EXPECT_EQ(told(), Told{}) << "a renewal";
  restart(true);
  EXPECT_EQ(told(), Told{}) << "as it was";
  translator.occupy(net::Protocol::udp, 40001);
  restart(true);
  const auto moved = told();
  ASSERT_EQ(moved.size(), 2U);
  EXPECT_EQ(moved[0], std::pair(Kind::ended, uint16_t{40001}));
  EXPECT_EQ(moved[1].first, Kind::made);
  map(udp(5000, 0, 0));
  EXPECT_EQ(told(), (Told{{Kind::ended, 40000}})) << "deleted";
  now_s += 4'000;
  server.expire(now_s);
  carry_out(server.take_effects());
  EXPECT_EQ(told(), (Told{{Kind::ended, moved[1].second}})) << "its time was up";
  store_works = false;
  EXPECT_NE(map(udp(5002)).code, Code::success);
  EXPECT_EQ(told(), Told{}) << "never granted";
}

TEST_F(Durable, PCP_197_one_that_is_lost_is_announced) {
  map(udp(5000));
  translator.ports_max = 0;
  restart(true);
  ASSERT_EQ(notices.size(), 1U);
  EXPECT_EQ(parse_response(notices[0].message)->opcode, Opcode::announce);
  EXPECT_EQ(server.counters()[Event::lost], 1U);
  EXPECT_TRUE(store.empty());
}

// --- the operator ---

struct Operator : Durable {
  Code wish(Server::Wish asked) {
    server.wish(asked, 9, now_s);
    carry_out(server.take_effects());
    EXPECT_EQ(operator_answers.size(), 1U);
    EXPECT_EQ(operator_answers.at(0).token, 9U);
    last_answer = operator_answers.at(0);
    operator_answers.clear();
    return last_answer.code;
  }
  Server::Wish about(uint16_t internal, uint32_t lifetime_s, uint16_t outside = 0) {
    return {key_of(internal), softwire().b4, {{}, port(outside)}, lifetime_s, {}};
  }
  Answer last_answer;
};

TEST_F(Operator, MGT_061_adds_and_the_first_client_takes_over) {
  EXPECT_EQ(wish(about(5000, 3600, 40000)), Code::success);
  EXPECT_EQ(last_answer.outside, (net::Endpoint{Translator::pool_address, port(40000)}));
  restart(true);
  EXPECT_EQ(map(udp(5000)).map->assigned_port, port(40000));
  EXPECT_EQ(code_of(another_nonce(5000)), Code::not_authorized);
}

TEST_F(Operator, MGT_061_extends_without_knowing_the_nonce) {
  map(udp(5000, 40000, 600));
  EXPECT_EQ(wish(about(5000, 1'000'000)), Code::success);
  EXPECT_EQ(last_answer.lifetime_s, 1'000'000U);
  EXPECT_EQ(last_answer.outside.port, port(40000));
  EXPECT_EQ(code_of(another_nonce(5000)), Code::not_authorized);
  EXPECT_EQ(wish(about(5000, 600, 41000)), Code::cannot_provide_external);
}

TEST_F(Operator, MGT_061_removes) {
  map(udp(5000));
  EXPECT_EQ(wish(about(5000, 0)), Code::success);
  EXPECT_EQ(server.size(), 0U);
  EXPECT_TRUE(store.empty());
  EXPECT_TRUE(translator.records().empty());
  EXPECT_EQ(wish(about(5000, 0)), Code::success);  // it is not there
  translator.outbound(key_of(5001), now_s);
  EXPECT_EQ(wish(about(5001, 0)), Code::not_authorized);  // traffic's, not PCP's
}

TEST_F(Operator, an_addition_that_cannot_be_stored_is_undone) {
  store_works = false;
  EXPECT_EQ(wish(about(5000, 3600)), Code::no_resources);
  EXPECT_TRUE(translator.records().empty());
}

}  // namespace
}  // namespace portolan::pcp::test
