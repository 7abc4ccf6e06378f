// RFC 7648, the part a B4 needs. Section numbers are that RFC's.
#include "ddns-client-ref/pcp_proxy.h"

#include "pcp-server/codec.h"
#include "scripted_pcp_server.h"

namespace portolan::ddns::test {
namespace {

using std::chrono::seconds;

class Proxy : public ::testing::Test {
 protected:
  Time now_{seconds(5000)};
  uint32_t server_epoch_s_ = 100;
  net::Ipv6 b4_ = v6("2001:db8:b4::1");
  PcpPeer host_{net::mapped(*net::parse_ipv4("10.0.0.10")), 40000};
  PcpProxy proxy_{now_};
  std::vector<pcp::Message> up_;
  std::vector<PcpProxy::Downstream> down_;

  Proxy() { proxy_.move_to(b4_); }

  void pass(seconds time) {
    now_ += time;
    server_epoch_s_ += static_cast<uint32_t>(time.count());
  }
  pcp::MapRequest map_request(uint8_t seed = 1) const {
    pcp::MapRequest out;
    out.nonce = nonce(seed);
    out.protocol = net::Protocol::tcp;
    out.internal_port = {uint16_t{8080}};
    out.lifetime_s = 3600;
    return out;
  }
  pcp::Message ask(uint8_t seed = 1) const { return pcp::build_map_request(host_.address, map_request(seed)); }
  void from_host(const pcp::Message& bytes) { from_host(bytes, host_); }
  void from_host(const pcp::Message& bytes, const PcpPeer& host) {
    proxy_.from_host(bytes, host, now_);
    collect();
  }
  void from_server(const pcp::Message& bytes) {
    proxy_.from_server(bytes, now_);
    collect();
  }
  void collect() {
    for (auto& each : proxy_.take_upstream()) up_.push_back(std::move(each));
    for (auto& each : proxy_.take_downstream()) down_.push_back(std::move(each));
  }
  // What a server answers to what came upstream: its copy, with the endpoint assigned.
  pcp::Message answer(const pcp::Message& request, pcp::Code code = pcp::Code::success,
                      uint32_t lifetime_s = 1200) const {
    pcp::Message out = ScriptedPcp::respond(request, code, lifetime_s, server_epoch_s_);
    if (code != pcp::Code::success) return out;
    pcp::MapBody map = ScriptedPcp::request_of(request).map;
    map.external_port = {uint16_t{4321}};
    map.external_address = net::mapped(*net::parse_ipv4("192.0.2.7"));
    std::memcpy(out.data() + sizeof(pcp::ResponseHeader), &map, sizeof map);
    return out;
  }
  pcp::Code refusal_of(const pcp::Message& bytes) {
    down_.clear();
    from_host(bytes);
    EXPECT_TRUE(up_.empty());
    EXPECT_EQ(down_.size(), 1U);
    return down_.empty() ? pcp::Code::success : static_cast<pcp::Code>(down_[0].bytes.at(3));
  }
};

TEST_F(Proxy, PCX_062_a_request_goes_on_for_its_host_by_third_party) {  // §3, §3.3
  from_host(ask());
  ASSERT_EQ(up_.size(), 1U);
  pcp::MapRequest wanted = map_request();
  wanted.third_party = host_.address;
  EXPECT_EQ(up_[0], pcp::build_map_request(b4_, wanted)) << "nonce, lifetime and suggestion as the host said";
  EXPECT_TRUE(down_.empty());
}

TEST_F(Proxy, PCX_061_PCX_062_the_answer_comes_back_without_it_and_with_the_proxys_epoch) {  // §3
  now_ += seconds(77);
  from_host(ask());
  from_server(answer(up_.at(0)));
  ASSERT_EQ(down_.size(), 1U);
  EXPECT_EQ(down_[0].to, host_);
  const auto response = pcp::parse_response(down_[0].bytes);
  ASSERT_TRUE(response);
  EXPECT_TRUE(pcp::answers(*response, map_request()));
  EXPECT_EQ(response->epoch_s, 77U);
  EXPECT_EQ(response->lifetime_s, 1200U);
  EXPECT_EQ(response->map->assigned_port, net::Port{uint16_t{4321}});
  from_server(answer(up_.at(0), pcp::Code::user_ex_quota, 30));
  EXPECT_EQ(down_.size(), 2U) << "to a mapping that is known, as an update";
}

TEST_F(Proxy, PCX_062_a_peers_remote_is_copied_both_ways) {
  pcp::MapRequest peer = map_request();
  peer.remote = *net::parse_endpoint("198.51.100.9:443");
  from_host(pcp::build_map_request(host_.address, peer));
  ASSERT_EQ(up_.size(), 1U);
  pcp::MapRequest wanted = peer;
  wanted.third_party = host_.address;
  EXPECT_EQ(up_[0], pcp::build_map_request(b4_, wanted));
  from_server(ScriptedPcp::respond(up_[0], pcp::Code::success, 1200, server_epoch_s_));
  ASSERT_EQ(down_.size(), 1U);
  EXPECT_EQ(pcp::parse_response(down_[0].bytes)->map->remote, peer.remote);
}

TEST_F(Proxy, PCX_060_three_quarters_of_what_is_asked_is_answered_here_and_less_is_not) {
  from_host(ask());
  from_server(answer(up_.at(0), pcp::Code::success, 3600));
  pass(seconds(900));
  const PcpPeer another_socket{host_.address, 40001};
  from_host(ask(), another_socket);
  EXPECT_EQ(up_.size(), 1U);
  ASSERT_EQ(down_.size(), 2U);
  EXPECT_EQ(down_[1].to, another_socket);
  const auto response = pcp::parse_response(down_[1].bytes);
  ASSERT_TRUE(response && pcp::answers(*response, map_request()));
  EXPECT_EQ(response->lifetime_s, 2700U) << "what is left of it";
  EXPECT_EQ(response->epoch_s, 900U);
  EXPECT_EQ(response->map->assigned_port, net::Port{uint16_t{4321}}) << "the outermost";
  EXPECT_EQ(net::to_text(net::unmapped(response->map->assigned_address)), "192.0.2.7");
  pass(seconds(1));
  from_host(ask());
  EXPECT_EQ(up_.size(), 2U);
  EXPECT_EQ(down_.size(), 2U);
}

TEST_F(Proxy, PCX_060_what_is_asked_otherwise_goes_to_the_server) {
  from_host(ask());
  from_server(answer(up_.at(0), pcp::Code::success, 3600));
  pcp::MapRequest filtered = map_request();
  filtered.filters = {{0, 128, {}, net::mapped(*net::parse_ipv4("198.51.100.9"))}};
  from_host(pcp::build_map_request(host_.address, filtered));
  EXPECT_EQ(up_.size(), 2U) << "another filter";
  from_host(ask(2));
  EXPECT_EQ(up_.size(), 3U) << "another nonce: whose it is the server knows";
  EXPECT_EQ(down_.size(), 1U);
  proxy_.move_to(v6("2001:db8:b4::2"));
  from_host(ask());
  EXPECT_EQ(up_.size(), 4U) << "the server knows this address of ours not yet";
}

TEST_F(Proxy, PCX_060_a_deletion_always_goes_to_the_server_and_ends_what_is_known_here) {
  pcp::MapRequest deletion = map_request();
  deletion.lifetime_s = 0;
  from_host(pcp::build_map_request(host_.address, deletion));
  EXPECT_EQ(up_.size(), 1U) << "although nothing is known of it";
  from_host(ask());
  from_server(answer(up_.at(1), pcp::Code::success, 3600));
  from_host(pcp::build_map_request(host_.address, deletion));
  EXPECT_EQ(up_.size(), 3U);
  from_host(ask());
  EXPECT_EQ(up_.size(), 4U);
}

TEST_F(Proxy, PCX_061_after_the_server_lost_its_state_nothing_is_answered_from_here) {
  from_host(ask());
  from_server(answer(up_.at(0), pcp::Code::success, 3600));
  now_ += seconds(50);
  from_server(pcp::build_announce_response(0));
  from_host(ask());
  EXPECT_EQ(up_.size(), 2U) << "the host's repair must reach the server";
}

TEST_F(Proxy, errors_of_the_server_reach_the_host) {
  from_host(ask());
  from_server(answer(up_.at(0), pcp::Code::user_ex_quota, 30));
  ASSERT_EQ(down_.size(), 1U);
  const auto response = pcp::parse_response(down_[0].bytes);
  EXPECT_EQ(response->code, pcp::Code::user_ex_quota);
  EXPECT_EQ(response->lifetime_s, 30U);
}

TEST_F(Proxy, answers_to_others_are_nobodys_here) {
  from_host(ask(1));
  pcp::MapRequest own = map_request(9);
  own.third_party = host_.address;
  from_server(answer(pcp::build_map_request(b4_, own)));  // the client's own mapping
  own = map_request(1);
  own.third_party = net::mapped(*net::parse_ipv4("10.0.0.11"));
  from_server(answer(pcp::build_map_request(b4_, own)));  // another host
  from_server(answer(pcp::build_map_request(b4_, map_request(1))));
  EXPECT_TRUE(down_.empty());
}

TEST_F(Proxy, two_hosts_with_one_nonce_are_told_apart) {
  const PcpPeer other{net::mapped(*net::parse_ipv4("10.0.0.11")), 50000};
  from_host(ask());
  from_host(pcp::build_map_request(other.address, map_request()), other);
  from_server(answer(up_.at(1)));
  from_server(answer(up_.at(0)));
  ASSERT_EQ(down_.size(), 2U);
  EXPECT_EQ(down_[0].to, other);
  EXPECT_EQ(down_[1].to, host_);
}

TEST_F(Proxy, an_update_of_a_mapping_reaches_its_host_while_it_lives) {  // RFC 6887 §14.2
  from_host(ask());
  from_server(answer(up_.at(0)));
  now_ += seconds(1100);
  server_epoch_s_ += 1100;
  from_server(answer(up_.at(0)));
  ASSERT_EQ(down_.size(), 2U);
  EXPECT_EQ(down_[1].to, (PcpPeer{host_.address, 5350}));
  now_ += seconds(1201);
  server_epoch_s_ += 1201;
  proxy_.tick(now_);
  from_server(answer(up_.at(0)));
  EXPECT_EQ(down_.size(), 2U);
}

TEST_F(Proxy, PCX_064_announce_is_answered_here) {  // §3.5
  now_ += seconds(9);
  from_host(pcp::build_announce_request(host_.address));
  EXPECT_TRUE(up_.empty());
  ASSERT_EQ(down_.size(), 1U);
  EXPECT_EQ(pcp::parse_response(down_[0].bytes)->epoch_s, 9U);
}

TEST_F(Proxy, what_is_no_good_request_is_answered_here) {
  EXPECT_EQ(refusal_of(pcp::build_map_request(b4_, map_request())), pcp::Code::address_mismatch);
  pcp::MapRequest for_another = map_request();
  for_another.third_party = net::mapped(*net::parse_ipv4("10.0.0.11"));
  EXPECT_EQ(refusal_of(pcp::build_map_request(host_.address, for_another)), pcp::Code::unsupp_option);
  pcp::Message bad = ask();
  bad[0] = 1;
  EXPECT_EQ(refusal_of(bad), pcp::Code::unsupp_version);
  bad = ask();
  bad.resize(40);
  EXPECT_EQ(refusal_of(bad), pcp::Code::malformed_request);
  bad = ask();
  pcp::append(bad, pcp::OptionHeader{200, 0, net::be16(uint16_t{100})});
  EXPECT_EQ(refusal_of(bad), pcp::Code::malformed_option);
  bad = ask();
  pcp::append(bad, pcp::OptionHeader{200, 0, net::be16(uint16_t{1036})});
  bad.resize(bad.size() + 1036);
  EXPECT_EQ(bad.size(), pcp::message_bytes_max);
  EXPECT_EQ(refusal_of(bad), pcp::Code::malformed_request) << "no room for THIRD_PARTY";
  proxy_.move_to(std::nullopt);
  EXPECT_EQ(refusal_of(ask()), pcp::Code::network_failure);
  down_.clear();
  for (size_t size = 0; size < 24; ++size) {
    bad = ask();
    bad.resize(size);
    if (size != 0) from_host(bad);
  }
  bad = ask();
  bad[1] |= pcp::response_bit;
  from_host(bad);
  EXPECT_TRUE(down_.empty() && up_.empty());
}

TEST_F(Proxy, PCX_063_options_it_does_not_know_go_on) {  // §3.4.1
  pcp::Message request = ask();
  pcp::append(request, pcp::OptionHeader{77, 0, net::be16(uint16_t{3})});
  pcp::append(request, std::array<uint8_t, 4>{1, 2, 3, 0});
  from_host(request);
  ASSERT_EQ(up_.size(), 1U);
  EXPECT_EQ(up_[0].size(), request.size() + 20);
  EXPECT_TRUE(std::equal(request.begin() + 24, request.end(), up_[0].begin() + 24));
  from_server(answer(up_[0]));
  ASSERT_EQ(down_.size(), 1U);
  EXPECT_EQ(down_[0].bytes.size(), request.size());
}

TEST_F(Proxy, PCX_063_opcodes_it_does_not_know_go_on_and_their_answers_come_back) {
  pcp::Message request(36, 7);  // a header, and twelve octets of who knows what
  const pcp::RequestHeader header{pcp::version, 5, {}, 3600, host_.address};
  std::memcpy(request.data(), &header, sizeof header);
  from_host(request);
  ASSERT_EQ(up_.size(), 1U);
  EXPECT_EQ(up_[0].size(), request.size() + 20);
  EXPECT_TRUE(std::equal(request.begin() + 24, request.end(), up_[0].begin() + 24));
  EXPECT_TRUE(std::equal(b4_.bytes.begin(), b4_.bytes.end(), up_[0].begin() + 8));
  EXPECT_TRUE(std::equal(host_.address.bytes.begin(), host_.address.bytes.end(), up_[0].end() - 16));
  from_server(ScriptedPcp::respond(up_[0], pcp::Code::unsupp_opcode, 30, server_epoch_s_));
  ASSERT_EQ(down_.size(), 1U);
  EXPECT_EQ(down_[0].to, host_);
  EXPECT_EQ(down_[0].bytes.size(), request.size());
  EXPECT_EQ(down_[0].bytes[1], 0x85);
  EXPECT_EQ(down_[0].bytes[3], static_cast<uint8_t>(pcp::Code::unsupp_opcode));
  from_server(ScriptedPcp::respond(up_[0], pcp::Code::unsupp_opcode, 30, server_epoch_s_));
  EXPECT_EQ(down_.size(), 1U) << "asked once, answered once";
}

TEST_F(Proxy, PCX_063_where_the_unknown_is_not_wanted_it_is_refused) {
  proxy_ = PcpProxy(now_, false);
  proxy_.move_to(b4_);
  pcp::Message request = ask();
  request[1] = 5;
  EXPECT_EQ(refusal_of(request), pcp::Code::unsupp_opcode);
  request = ask();
  pcp::append(request, pcp::OptionHeader{77, 0, {}});
  EXPECT_EQ(refusal_of(request), pcp::Code::unsupp_option);
  request = ask();
  pcp::append(request, pcp::OptionHeader{200, 0, {}});
  from_host(request);
  EXPECT_EQ(up_.size(), 1U) << "optional ones may go on";
}

TEST_F(Proxy, PCX_061_PCX_064_a_server_that_lost_its_state_makes_the_hosts_repair_it) {  // §3, §3.5
  from_host(ask());
  from_server(answer(up_.at(0)));
  now_ += seconds(50);
  down_.clear();
  from_server(pcp::build_announce_response(0));
  ASSERT_EQ(down_.size(), 1U);
  EXPECT_EQ(net::to_text(net::unmapped(down_[0].to.address)), "224.0.0.1");
  EXPECT_EQ(down_[0].to.port, 5350);
  EXPECT_EQ(pcp::parse_response(down_[0].bytes)->epoch_s, 0U) << "its own epoch begins anew";
  for (int i = 0; i < 20 && proxy_.next_timer() != never; ++i) {
    now_ = proxy_.next_timer();
    proxy_.tick(now_);
    collect();
  }
  EXPECT_EQ(down_.size(), 10U);
  down_.clear();
  from_server(pcp::build_announce_response(static_cast<uint32_t>((now_ - Time(seconds(5050))) / seconds(1))));
  EXPECT_TRUE(down_.empty()) << "nothing new: no host is told";
}

TEST_F(Proxy, a_flood_of_requests_has_an_end) {
  for (uint8_t i = 0; i < 250; ++i) from_host(ask(i));
  EXPECT_EQ(up_.size(), static_cast<size_t>(PcpProxy::burst));
  now_ += seconds(1);
  for (uint8_t i = 0; i < 250; ++i) from_host(ask(i));
  EXPECT_EQ(up_.size(), static_cast<size_t>(PcpProxy::burst + PcpProxy::requests_per_s));
}

}  // namespace
}  // namespace portolan::ddns::test
