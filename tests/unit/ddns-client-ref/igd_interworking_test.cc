// RFC 6970: what control points ask, what the PCP server is asked then, and what each is answered. Section numbers are
// that RFC's.
#include "ddns-client-ref/igd_interworking.h"

#include <algorithm>

#include "scripted_pcp_server.h"

namespace portolan::ddns::test {
namespace {

using std::chrono::seconds;
using Values = std::vector<std::pair<std::string, std::string>>;

class Interworking : public ::testing::Test {
 protected:
  ScriptedPcp pcp_;
  bool connected_ = true;
  uint8_t nonces_ = 0;
  uint64_t tickets_ = 0;
  std::optional<MappingId> configured_;
  IgdSettings settings_;
  std::optional<IgdInterworking> igd_;
  std::vector<IgdInterworking::Change> changes_;

  void SetUp() override { start(); }
  void start() {
    igd_.emplace(settings_,
                 IgdSurroundings{[this] { return nonce(++nonces_); },
                                 [this](net::Protocol, net::Endpoint) { return configured_; },
                                 [this] { return connected_; }, [] { return std::optional<net::Ipv4>(); }},
                 pcp_.client);
  }

  static net::Ipv4 host(const char* text) { return *net::parse_ipv4(text); }
  // An action from 10.0.0.10, unless `from` says otherwise.
  uint64_t call(const char* action, std::map<std::string, std::string, std::less<>> arguments,
                const char* from = "10.0.0.10") {
    igd_->call({++tickets_, action, std::move(arguments), host(from)}, pcp_.now);
    settle();
    return tickets_;
  }
  static std::map<std::string, std::string, std::less<>> mapping(const char* external, const char* internal = "8080",
                                                                 const char* client = "10.0.0.10") {
    return {{"NewRemoteHost", ""},
            {"NewExternalPort", external},
            {"NewProtocol", "TCP"},
            {"NewInternalPort", internal},
            {"NewInternalClient", client},
            {"NewEnabled", "1"},
            {"NewPortMappingDescription", "a game"},
            {"NewLeaseDuration", "0"}};
  }
  static std::map<std::string, std::string, std::less<>> with(std::map<std::string, std::string, std::less<>> arguments,
                                                              const char* key, const char* value) {
    arguments[key] = value;
    return arguments;
  }
  static std::map<std::string, std::string, std::less<>> key(const char* external, const char* protocol = "TCP") {
    return {{"NewRemoteHost", ""}, {"NewExternalPort", external}, {"NewProtocol", protocol}};
  }
  void settle() {
    pcp_.collect();
    for (const PcpEvent& event : pcp_.client.take_events()) igd_->observe(event);
    igd_->tick(pcp_.now);
    pcp_.collect();
    for (auto& change : igd_->take_changes()) changes_.push_back(change);
  }
  void grant(const char* outside, uint32_t lifetime_s = 3600) {
    pcp_.grant(outside, lifetime_s);
    settle();
  }
  void refuse(pcp::Code code) {
    pcp_.refuse(code, 30);
    settle();
  }
  void pass(Duration time) {
    pcp_.run_for(time);
    settle();
  }
  // The one answer there must be.
  IgdAnswer answer() {
    auto answers = igd_->take_answers();
    EXPECT_EQ(answers.size(), 1U);
    return answers.empty() ? IgdAnswer{0, -1, {}, {}} : answers[0];
  }
  bool has_option(pcp::OptionCode code) {
    net::Reader in(pcp_.last_request().options);
    while (in.size() > 0) {
      const auto header = in.read<pcp::OptionHeader>();
      if (header.code == static_cast<uint8_t>(code)) return true;
      in.take(pcp::padded(header.bytes));
    }
    return false;
  }
  void add(const char* external, const char* granted) {
    call("AddAnyPortMapping", mapping(external));
    grant(granted);
    ASSERT_EQ(answer().error, 0);
  }
};

TEST_F(Interworking, PCX_070_add_any_port_mapping_is_a_map_and_tells_the_port_there_is) {  // §5.6.1, figure 5
  const uint64_t ticket = call("AddAnyPortMapping", mapping("8080"));
  ASSERT_EQ(pcp_.sent.size(), 1U);
  const auto request = pcp_.last_request();
  EXPECT_EQ(request.map.internal_port, net::Port{uint16_t{8080}});
  EXPECT_EQ(request.map.external_port, net::Port{uint16_t{8080}}) << "suggested";
  EXPECT_EQ(request.lifetime_s, 604800U) << "what 0 means in IGD:2";
  EXPECT_TRUE(has_option(pcp::OptionCode::third_party));
  EXPECT_FALSE(has_option(pcp::OptionCode::prefer_failure));
  EXPECT_TRUE(igd_->take_answers().empty());
  grant("192.0.2.1:6598");
  const IgdAnswer got = answer();
  EXPECT_EQ(got.ticket, ticket);
  EXPECT_EQ(got.values, (Values{{"NewReservedPort", "6598"}}));
  ASSERT_EQ(changes_.size(), 1U);
  EXPECT_FALSE(changes_[0].ended);
  EXPECT_EQ(changes_[0].lease.spec.inside, endpoint("10.0.0.10:8080"));
}

TEST_F(Interworking, PCX_070_add_port_mapping_is_the_port_asked_for_or_a_conflict) {  // §5.6.2, figures 6 and 7
  call("AddPortMapping", mapping("8080"));
  EXPECT_TRUE(has_option(pcp::OptionCode::prefer_failure));
  refuse(pcp::Code::cannot_provide_external);
  EXPECT_EQ(answer().error, 718);
  EXPECT_TRUE(igd_->leases().empty());
  EXPECT_EQ(pcp_.client.next_timer(), never) << "nothing of it is left";
  call("AddPortMapping", mapping("6591"));
  grant("192.0.2.1:6591");
  EXPECT_EQ(answer().error, 0);
  EXPECT_EQ(igd_->leases().size(), 1U);
}

TEST_F(Interworking, with_any_port_add_port_mapping_takes_what_there_is) {
  settings_.any_port = true;
  start();
  call("AddPortMapping", mapping("8080"));
  EXPECT_FALSE(has_option(pcp::OptionCode::prefer_failure));
  grant("192.0.2.1:6598");
  EXPECT_EQ(answer().error, 0);
  call("GetSpecificPortMappingEntry", key("8080"));
  EXPECT_EQ(answer().error, 0) << "the program knows it as 8080";
}

TEST_F(Interworking, igd_1_leases_of_0_last_and_1_knows_other_errors) {  // §4.1, §4.3
  settings_.version = 1;
  start();
  call("AddPortMapping", mapping("8080"));
  EXPECT_EQ(pcp_.last_request().lifetime_s, 0xffffffffU);
  refuse(pcp::Code::user_ex_quota);
  EXPECT_EQ(answer().error, 501);
  pass(seconds(31));
  call("AddPortMapping", mapping("8080"));
  grant("192.0.2.1:8080");
  EXPECT_EQ(answer().error, 0);
  pass(std::chrono::hours(24 * 30));
  EXPECT_EQ(igd_->leases().size(), 1U);
}

struct ErrorRow {
  pcp::Code code;
  int igd_2, igd_1;
};
constexpr ErrorRow error_rows[] = {
    {pcp::Code::not_authorized, 606, 718},   {pcp::Code::malformed_request, 501, 501},
    {pcp::Code::unsupp_opcode, 501, 501},    {pcp::Code::unsupp_option, 501, 501},
    {pcp::Code::malformed_option, 501, 501}, {pcp::Code::network_failure, 501, 501},
    {pcp::Code::no_resources, 728, 501},     {pcp::Code::unsupp_protocol, 501, 501},
    {pcp::Code::user_ex_quota, 728, 501},    {pcp::Code::cannot_provide_external, 718, 718},
    {pcp::Code::address_mismatch, 501, 501}, {pcp::Code::excessive_remote_peers, 501, 501},
};

TEST_F(Interworking, PCX_071_pcp_errors_become_upnp_errors) {  // §4.3
  for (const unsigned version : {2U, 1U}) {
    settings_.version = version;
    start();
    for (const ErrorRow& row : error_rows) {
      call("AddPortMapping", mapping("8080"));
      refuse(row.code);
      EXPECT_EQ(answer().error, version == 2 ? row.igd_2 : row.igd_1) << version << " " << pcp::to_text(row.code);
      pass(seconds(60));
    }
  }
  EXPECT_TRUE(changes_.empty());
}

TEST_F(Interworking, PCX_071_what_the_server_cannot_delete_is_no_such_entry) {
  add("8080", "192.0.2.1:6598");
  call("DeletePortMapping", key("6598"));
  refuse(pcp::Code::cannot_provide_external);
  EXPECT_EQ(answer().error, 714);
  add("8080", "192.0.2.1:6598");
  call("DeletePortMapping", key("6598"));
  refuse(pcp::Code::not_authorized);
  EXPECT_EQ(answer().error, 606);
}

TEST_F(Interworking, arguments_that_are_wrong_reach_no_server) {
  struct Row {
    std::map<std::string, std::string, std::less<>> arguments;
    int error;
  };
  for (const Row& row :
       {Row{with(mapping("8080"), "NewEnabled", "0"), 402}, Row{with(mapping("8080"), "NewProtocol", "SCTP"), 402},
        Row{with(mapping("8080"), "NewExternalPort", "65536"), 402},
        Row{with(mapping("8080"), "NewInternalClient", "host.lan"), 402},
        Row{with(mapping("8080"), "NewLeaseDuration", "-1"), 402},
        Row{with(mapping("8080"), "NewRemoteHost", "server.example"), 402}, Row{mapping("0"), 716},
        Row{mapping("8080", "0"), 732}, Row{mapping("8080", "8080", "10.0.0.11"), 606}, Row{{}, 402}}) {
    call("AddPortMapping", row.arguments);
    EXPECT_EQ(answer().error, row.error);
  }
  call("Reboot", {});
  EXPECT_EQ(answer().error, 401);
  connected_ = false;
  call("AddPortMapping", mapping("8080"));
  EXPECT_EQ(answer().error, 501);  // §5.1
  EXPECT_TRUE(pcp_.sent.empty());
}

TEST_F(Interworking, a_silent_server_fails_the_call_in_time_and_keeps_the_nonce) {  // §5.1
  call("AddAnyPortMapping", mapping("8080"));
  EXPECT_EQ(igd_->next_timer(), pcp_.now + IgdInterworking::answer_within);
  pass(IgdInterworking::answer_within);
  EXPECT_EQ(answer().error, 501);
  EXPECT_TRUE(igd_->leases().empty());
  const auto first = pcp_.last_request().map.nonce;
  call("AddAnyPortMapping", mapping("8080"));
  grant("192.0.2.1:6598");
  EXPECT_EQ(answer().error, 0);
  EXPECT_EQ(pcp_.last_request().map.nonce, first) << "the server may have granted the first";
}

TEST_F(Interworking, an_unanswered_call_is_given_up_after_a_minute) {
  call("AddAnyPortMapping", mapping("8080"));
  pass(IgdInterworking::answer_within);
  pass(seconds(61));
  EXPECT_EQ(igd_->take_answers().size(), 1U);
  EXPECT_EQ(pcp_.client.next_timer(), never);
  EXPECT_EQ(igd_->next_timer(), never);
}

TEST_F(Interworking, PCX_070_a_lease_is_renewed_by_pcp_until_it_ends) {  // §5.9
  call("AddAnyPortMapping", with(mapping("8080"), "NewLeaseDuration", "7200"));
  EXPECT_EQ(pcp_.last_request().lifetime_s, 7200U);
  grant("192.0.2.1:6598", 3600);
  answer();
  pass(seconds(2250));
  EXPECT_EQ(pcp_.sent.size(), 2U) << "renewed at half of what was granted";
  grant("192.0.2.1:6598", 7200);
  EXPECT_TRUE(igd_->take_answers().empty()) << "renewals are none of the control point's business";
  pass(seconds(7200 - 2250));
  ASSERT_EQ(changes_.size(), 2U);
  EXPECT_TRUE(changes_[1].ended);
  EXPECT_EQ(pcp_.last_request().lifetime_s, 0U) << "and deleted";
}

TEST_F(Interworking, asked_again_it_is_the_same_mapping) {
  add("8080", "192.0.2.1:6598");
  call("AddAnyPortMapping", with(mapping("8080"), "NewPortMappingDescription", "another"));
  EXPECT_EQ(answer().values, (Values{{"NewReservedPort", "6598"}}));
  EXPECT_EQ(pcp_.sent.size(), 1U);
  EXPECT_EQ(igd_->leases().at(0).description, "another");
  call("AddPortMapping", mapping("8080"));
  EXPECT_EQ(answer().error, 718) << "6598 is what there is";
  call("AddPortMapping", mapping("6598"));
  EXPECT_EQ(answer().error, 0);
}

TEST_F(Interworking, a_port_one_host_has_is_a_conflict_for_another) {
  add("8080", "192.0.2.1:6598");
  call("AddPortMapping", mapping("6598", "80", "10.0.0.11"), "10.0.0.11");
  EXPECT_EQ(answer().error, 718);
  EXPECT_EQ(pcp_.sent.size(), 1U);
}

TEST_F(Interworking, PCX_070_PCX_073_delete_port_mapping_waits_for_the_server) {  // §5.8
  call("DeletePortMapping", key("8080"));
  EXPECT_EQ(answer().error, 714);  // figure 8
  add("8080", "192.0.2.1:6598");
  call("DeletePortMapping", key("6598"), "10.0.0.11");
  EXPECT_EQ(answer().error, 606) << "another host's";
  const uint64_t ticket = call("DeletePortMapping", key("6598"));
  EXPECT_EQ(pcp_.last_request().lifetime_s, 0U);
  EXPECT_TRUE(changes_.back().ended) << "the name goes at once";
  EXPECT_TRUE(igd_->take_answers().empty());
  grant("192.0.2.1:6598", 0);
  const IgdAnswer got = answer();
  EXPECT_EQ(got.ticket, ticket);
  EXPECT_EQ(got.error, 0);
  EXPECT_TRUE(igd_->leases().empty());
}

TEST_F(Interworking, PCX_073_delete_port_mapping_range) {  // figures 9 and 10
  const auto range = [](const char* from, const char* to) {
    return std::map<std::string, std::string, std::less<>>{
        {"NewStartPort", from}, {"NewEndPort", to}, {"NewProtocol", "TCP"}, {"NewManage", "0"}};
  };
  call("DeletePortMappingRange", range("6000", "6050"));
  EXPECT_EQ(answer().error, 730);
  for (const char* port : {"6030", "6045", "6051"}) {
    call("AddAnyPortMapping", mapping(port, port));
    grant((std::string("192.0.2.1:") + port).c_str());
    answer();
  }
  call("DeletePortMappingRange", range("6050", "6000"));
  EXPECT_EQ(answer().error, 733);
  pcp_.sent.clear();
  call("DeletePortMappingRange", range("6000", "6050"));
  EXPECT_EQ(answer().error, 0);
  EXPECT_EQ(pcp_.sent.size(), 2U);
  ASSERT_EQ(igd_->leases().size(), 1U);
  EXPECT_EQ(igd_->leases()[0].known_as, net::Port{uint16_t{6051}});
}

TEST_F(Interworking, mappings_are_listed_without_the_server) {  // §5.7
  call("GetGenericPortMappingEntry", {{"NewPortMappingIndex", "0"}});
  EXPECT_EQ(answer().error, 713);
  add("8080", "192.0.2.1:6598");
  pcp_.sent.clear();
  call("GetGenericPortMappingEntry", {{"NewPortMappingIndex", "0"}});
  EXPECT_EQ(answer().values, (Values{{"NewRemoteHost", ""},
                                     {"NewExternalPort", "6598"},
                                     {"NewProtocol", "TCP"},
                                     {"NewInternalPort", "8080"},
                                     {"NewInternalClient", "10.0.0.10"},
                                     {"NewEnabled", "1"},
                                     {"NewPortMappingDescription", "a game"},
                                     {"NewLeaseDuration", "604800"}}));
  call("GetSpecificPortMappingEntry", key("6598"));
  EXPECT_EQ(answer().values.size(), 5U);
  call("GetListOfPortMappings", {{"NewStartPort", "1"},
                                 {"NewEndPort", "65535"},
                                 {"NewProtocol", "TCP"},
                                 {"NewManage", "0"},
                                 {"NewNumberOfPorts", "0"}});
  const IgdAnswer list = answer();
  ASSERT_EQ(list.values.size(), 1U);
  EXPECT_NE(list.values[0].second.find("<p:NewExternalPort>6598</p:NewExternalPort>"), std::string::npos);
  EXPECT_TRUE(pcp_.sent.empty());
}

// The protocol is part of the entry's key, so this port is nobody's here.
TEST_F(Interworking, PCX_072_a_port_no_lease_has_is_tried_out_and_is_no_entry_either_way) {  // §5.7
  add("8080", "192.0.2.1:6598");
  pcp_.sent.clear();
  call("GetSpecificPortMappingEntry", key("6598", "UDP"));
  ASSERT_EQ(pcp_.sent.size(), 1U);
  EXPECT_TRUE(has_option(pcp::OptionCode::prefer_failure));
  EXPECT_EQ(pcp_.last_request().lifetime_s, 60U);
  EXPECT_EQ(pcp_.last_request().map.external_port, net::Port{uint16_t{6598}});
  EXPECT_TRUE(igd_->take_answers().empty());
  refuse(pcp::Code::cannot_provide_external);
  EXPECT_EQ(answer().error, 714);
  pcp_.sent.clear();
  pass(seconds(40));
  call("GetSpecificPortMappingEntry", key("7000"));
  grant("192.0.2.1:7000", 120);
  EXPECT_EQ(answer().error, 714);
  ASSERT_EQ(pcp_.sent.size(), 2U);
  EXPECT_EQ(pcp_.last_request().lifetime_s, 0U) << "given back at once";
  grant("192.0.2.1:7000", 0);
  EXPECT_EQ(pcp_.client.next_timer() > pcp_.now + seconds(200), true) << "but for the lease nothing is kept up";
  call("GetSpecificPortMappingEntry", key("7001"));
  refuse(pcp::Code::network_failure);
  EXPECT_EQ(answer().error, 501);
  EXPECT_EQ(igd_->leases().size(), 1U);
}

TEST_F(Interworking, PCX_072_one_port_at_a_time_is_tried_out_and_a_silent_server_is_an_error) {
  const uint64_t first = call("GetSpecificPortMappingEntry", key("7000"));
  call("GetSpecificPortMappingEntry", key("7001"));
  EXPECT_EQ(pcp_.sent.size(), 1U);
  EXPECT_EQ(answer().error, 714) << "answered without the server";
  pass(IgdInterworking::answer_within);
  const IgdAnswer late = answer();
  EXPECT_EQ(late.ticket, first);
  EXPECT_EQ(late.error, 501);
  connected_ = false;
  call("GetSpecificPortMappingEntry", key("7000"));
  EXPECT_EQ(answer().error, 501);
}

TEST_F(Interworking, PCX_070_a_remote_host_becomes_a_filter_and_a_part_of_the_entrys_key) {  // §4.1
  settings_.names = {"home1.example"};
  start();
  const auto from_one = with(mapping("8080"), "NewRemoteHost", "198.51.100.9");
  call("AddAnyPortMapping", from_one);
  net::Reader options(pcp_.last_request().options);
  std::optional<pcp::FilterBody> filter;
  while (options.size() > 0) {
    const auto header = options.read<pcp::OptionHeader>();
    auto body = options.take(pcp::padded(header.bytes));
    if (header.code == static_cast<uint8_t>(pcp::OptionCode::filter)) filter = body.read<pcp::FilterBody>();
  }
  ASSERT_TRUE(filter);
  EXPECT_EQ(*filter, (pcp::FilterBody{0, 128, {}, net::mapped(host("198.51.100.9"))}));
  grant("192.0.2.1:6598");
  EXPECT_EQ(answer().error, 0);
  ASSERT_EQ(changes_.size(), 1U);
  EXPECT_TRUE(changes_[0].lease.service(settings_.names).names.empty()) << "nobody else would get in";
  call("GetSpecificPortMappingEntry", with(key("6598"), "NewRemoteHost", "198.51.100.9"));
  EXPECT_EQ(answer().error, 0);
  call("GetGenericPortMappingEntry", {{"NewPortMappingIndex", "0"}});
  EXPECT_EQ(answer().values.at(0), (Values::value_type{"NewRemoteHost", "198.51.100.9"}));
  call("DeletePortMapping", key("6598"));
  EXPECT_EQ(answer().error, 714) << "that of everybody";
  call("AddAnyPortMapping", mapping("8080"));
  EXPECT_EQ(answer().error, 718) << "PCP has one mapping for it";
  call("DeletePortMapping", with(key("6598"), "NewRemoteHost", "198.51.100.9"));
  EXPECT_FALSE(has_option(pcp::OptionCode::filter));
  grant("192.0.2.1:6598", 0);
  EXPECT_EQ(answer().error, 0);
}

TEST_F(Interworking, the_description_goes_along) {  // §4.1, RFC 7220
  call("AddAnyPortMapping", mapping("8080"));
  ASSERT_TRUE(has_option(pcp::OptionCode::description));
  const auto& sent = pcp_.sent.back().bytes;
  EXPECT_NE(std::string(sent.begin(), sent.end()).find("a game"), std::string::npos);
}

TEST_F(Interworking, the_outside_address_is_learnt_from_a_short_mapping) {  // §4.2
  const uint64_t first = call("GetExternalIPAddress", {}), second = call("GetExternalIPAddress", {});
  ASSERT_EQ(pcp_.sent.size(), 1U);
  EXPECT_EQ(pcp_.last_request().map.internal_port, net::Port{uint16_t{9}});
  EXPECT_EQ(pcp_.last_request().lifetime_s, 120U);
  grant("192.0.2.1:2009", 120);
  const auto answers = igd_->take_answers();
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_EQ(answers[0].ticket, first);
  EXPECT_EQ(answers[1].ticket, second);
  EXPECT_EQ(answers[1].values, (Values{{"NewExternalIPAddress", "192.0.2.1"}}));
  call("GetExternalIPAddress", {});
  EXPECT_EQ(pcp_.sent.size(), 1U) << "known";
  answer();
  pass(seconds(121));
  call("GetExternalIPAddress", {});
  pass(IgdInterworking::answer_within);
  EXPECT_EQ(answer().values, (Values{{"NewExternalIPAddress", ""}})) << "a silent server";
}

TEST_F(Interworking, at_the_end_the_short_mapping_is_deleted_too) {
  call("GetExternalIPAddress", {});
  grant("192.0.2.1:2009", 120);
  EXPECT_EQ(answer().error, 0);
  add("8080", "192.0.2.1:6598");
  pcp_.sent.clear();
  igd_->release_all(pcp_.now);
  settle();
  EXPECT_EQ(pcp_.sent.size(), 2U);
  for (const auto& each : pcp_.sent) EXPECT_EQ(ScriptedPcp::request_of(each.bytes).lifetime_s, 0U);
}

TEST_F(Interworking, what_the_configuration_maps_no_program_changes) {
  configured_ = MappingId{0};
  pcp_.add(0, pcp_.spec(7));
  grant("192.0.2.1:4000");
  call("AddAnyPortMapping", mapping("8080"));
  EXPECT_EQ(answer().values, (Values{{"NewReservedPort", "4000"}}));
  call("AddPortMapping", mapping("8080"));
  EXPECT_EQ(answer().error, 718);
  call("DeletePortMapping", key("4000"));
  EXPECT_EQ(answer().error, 714);
  EXPECT_EQ(pcp_.sent.size(), 1U);
}

TEST_F(Interworking, the_number_of_mappings_has_an_end) {
  settings_.leases_max = 2;
  start();
  for (const char* port : {"1000", "1001"}) {
    call("AddAnyPortMapping", mapping(port, port));
    grant((std::string("192.0.2.1:") + port).c_str());
    EXPECT_EQ(answer().error, 0);
  }
  call("AddAnyPortMapping", mapping("1002", "1002"));
  EXPECT_EQ(answer().error, 728);
}

TEST_F(Interworking, a_restored_lease_is_there_and_its_owner_may_end_it) {  // §5.3
  add("8080", "192.0.2.1:6598");
  const Lease lease = igd_->leases().at(0);
  start();
  igd_->restore(lease);
  const MappingId id = igd_->leases().at(0).id;
  pcp_.client.forget(lease.id);
  pcp_.add(id, igd_->leases().at(0).spec);
  grant("192.0.2.1:6598");
  EXPECT_TRUE(igd_->take_answers().empty());
  call("DeletePortMapping", key("6598"));
  grant("192.0.2.1:6598", 0);
  EXPECT_EQ(answer().error, 0);
}

TEST_F(Interworking, a_mapping_that_moved_goes_on_though_the_program_cannot_be_told) {  // §5.10
  add("8080", "192.0.2.1:6598");
  pcp_.deliver(pcp_.success(pcp_.sent.back().bytes, "192.0.2.9:7000", 3600));
  settle();
  EXPECT_EQ(igd_->leases().at(0).known_as, net::Port{uint16_t{6598}});
  EXPECT_EQ(igd_->outside_address(), host("192.0.2.9"));
  EXPECT_TRUE(igd_->take_answers().empty());
}

TEST(Lease, becomes_a_service_of_its_own_name) {
  Lease lease;
  lease.spec.protocol = net::Protocol::tcp;
  lease.spec.inside = endpoint("10.0.0.10:8080");
  lease.description = "Home page";
  const Service web = lease.service({"home1.example"});
  EXPECT_EQ(web.id, "upnp-tcp-10-0-0-10-8080");
  EXPECT_EQ(web.scheme, "http");
  EXPECT_EQ(web.title, "Home page");
  lease.spec.inside = endpoint("255.255.255.255:25565");
  const Service game = lease.service({"home1.example"});
  EXPECT_EQ(game.scheme, "");
  EXPECT_LE(game.id.size(), 63U);
}

TEST(IgdFiles, speak_of_their_version_and_of_every_action) {
  const auto two = igd_files(2, "00000000-0000-4000-8000-000000000000"), one = igd_files(1, two.begin()->first);
  EXPECT_NE(two.at("igd.xml").find("device:InternetGatewayDevice:2<"), std::string::npos);
  EXPECT_NE(two.at("igd.xml").find("service:WANIPConnection:2<"), std::string::npos);
  EXPECT_NE(one.at("igd.xml").find("service:WANIPConnection:1<"), std::string::npos);
  for (const IgdAction& action : igd_actions(IgdService::wan_ip_connection)) {
    const std::string name = "<name>" + std::string(action.name) + "</name>";
    EXPECT_NE(two.at("wanip.xml").find(name), std::string::npos) << name;
    EXPECT_EQ(one.at("wanip.xml").find(name) == std::string::npos, action.since > 1) << name;
    for (const auto& arguments : {action.in, action.out})
      for (const IgdArgument& argument : arguments)
        EXPECT_NE(two.at("wanip.xml").find("\"><name>" + std::string(argument.variable) + "</name><dataType>"),
                  std::string::npos)
            << argument.variable;
  }
}

}  // namespace
}  // namespace portolan::ddns::test
