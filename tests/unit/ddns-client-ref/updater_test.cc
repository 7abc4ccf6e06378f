// When the updater speaks and when it is silent; answers are HTTP, judged by the real protocols.
#include "ddns-client-ref/updater.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>

#include "dataplane/net/text.h"

namespace portolan::ddns {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using Standing = Updater::Standing;

HttpResult http(unsigned status, std::string body = {}) { return HttpResponse{status, std::move(body), {}}; }
net::Endpoint endpoint(const char* text) { return net::parse_endpoint(text).value(); }

class Updating : public ::testing::Test {
 protected:
  std::unique_ptr<UpdateProtocol> json_ = make_json_protocol(*parse_url("http://ddns.example/"), {"a", "t"});
  std::unique_ptr<UpdateProtocol> dyndns2_ = make_dyndns2_protocol(*parse_url("http://ddns.example/"), {"a", "t"});
  Time now_{seconds(1000)};

  static Service service(const char* id, const char* name = "home1.example") {
    Service out;
    out.id = id;
    out.names = {name};
    return out;
  }
  const UpdateProtocol* spoken_ = nullptr;
  Updater make(const UpdateProtocol& protocol, std::vector<net::Ipv4Prefix> allow = {}) {
    spoken_ = &protocol;
    Updater updater(protocol.abilities(), {3600, std::move(allow)}, [] { return 0.0; });
    updater.add(service("web"));
    return updater;
  }
  Outcome judged(const HttpResult& answer, bool withdrawal = false) const {
    return answer ? spoken_->judge(*answer, withdrawal) : Outcome{Outcome::Kind::retry, answer.error()};
  }
  void publish(Updater& updater, const char* outside) { updater.publish("web", endpoint(outside), now_ + minutes(60)); }
  // Takes the one update due, which must be there, and answers it.
  HttpRequest exchange(Updater& updater, const HttpResult& answer) {
    auto updates = updater.take_updates(now_);
    EXPECT_EQ(updates.size(), 1U);
    if (updates.empty()) return {};
    const Update& update = updates[0];
    updater.answered(update.ticket, judged(answer, update.withdrawal), now_);
    return update.withdrawal ? spoken_->withdrawal(update.record).value() : spoken_->registration(update.record);
  }
  static uint32_t lifetime_of(const HttpRequest& request) {
    return nlohmann::json::parse(request.body).at("lifetime_s").get<uint32_t>();
  }
};

TEST_F(Updating, nothing_is_sent_before_a_mapping_is_known_nor_when_nothing_changed) {
  auto updater = make(*json_);
  EXPECT_TRUE(updater.take_updates(now_).empty());
  publish(updater, "5.5.5.5:4000");
  exchange(updater, http(200));
  EXPECT_EQ(updater.standing("web"), Standing::met);
  publish(updater, "5.5.5.5:4000");
  now_ += minutes(29);
  EXPECT_TRUE(updater.take_updates(now_).empty());
  now_ += minutes(1);
  EXPECT_EQ(exchange(updater, http(200)).method, "PUT") << "refreshed at half of the lifetime";
}

// Shows DDN-003.
TEST_F(Updating, a_changed_port_is_sent_at_once) {  // DDN-003
  auto updater = make(*json_);
  publish(updater, "5.5.5.5:4000");
  exchange(updater, http(200));
  publish(updater, "5.5.5.5:4001");
  const auto body = nlohmann::json::parse(exchange(updater, http(200)).body);
  EXPECT_EQ(body.at("port"), 4001);
  EXPECT_EQ(body.at("address"), "5.5.5.5");
}

TEST_F(Updating, DDN_019_a_registration_does_not_outlive_its_mapping) {
  auto updater = make(*json_);
  updater.publish("web", endpoint("5.5.5.5:4000"), now_ + seconds(600));
  EXPECT_EQ(lifetime_of(exchange(updater, http(200))), 600U);
  updater.publish("web", endpoint("5.5.5.5:4000"), now_ + minutes(120));
  EXPECT_EQ(updater.next_timer(), now_ + seconds(300));
  now_ += seconds(300);
  EXPECT_EQ(lifetime_of(exchange(updater, http(200))), 3600U);
}

TEST_F(Updating, DDN_019_a_lost_mapping_is_withdrawn) {
  auto updater = make(*json_);
  publish(updater, "5.5.5.5:4000");
  exchange(updater, http(200));
  updater.withdraw("web");
  const auto request = exchange(updater, http(204));
  EXPECT_EQ(request.method, "DELETE");
  EXPECT_EQ(request.target, "/api/v1/names/home1.example/services/web");
  EXPECT_TRUE(updater.acknowledged().empty());
  EXPECT_TRUE(updater.take_updates(now_ + minutes(600)).empty());
}

TEST_F(Updating, a_change_while_a_request_is_under_way_follows_it) {
  auto updater = make(*json_);
  publish(updater, "5.5.5.5:4000");
  const auto first = updater.take_updates(now_);
  ASSERT_EQ(first.size(), 1U);
  publish(updater, "5.5.5.5:4001");
  EXPECT_TRUE(updater.take_updates(now_).empty());
  updater.answered(first[0].ticket, judged(http(200)), now_);
  EXPECT_EQ(updater.acknowledged().at(0).record.outside, endpoint("5.5.5.5:4000"));
  EXPECT_NE(exchange(updater, http(200)).body.find("4001"), std::string::npos);
}

TEST_F(Updating, an_unanswered_request_leaves_a_doubt_that_is_removed) {
  auto updater = make(*json_);
  publish(updater, "5.5.5.5:4000");
  exchange(updater, http(200));
  publish(updater, "5.5.5.5:4001");
  exchange(updater, tl::unexpected(std::string("no answer in time")));
  publish(updater, "5.5.5.5:4000");  // back again: equal to what is acknowledged, but is it what the server holds?
  EXPECT_EQ(updater.standing("web"), Standing::pending);
  now_ = updater.next_timer();
  EXPECT_NE(exchange(updater, http(200)).body.find("4000"), std::string::npos);
  EXPECT_EQ(updater.standing("web"), Standing::met);
}

TEST_F(Updating, failures_back_off_from_5_s_to_half_an_hour) {
  auto updater = make(*json_);
  publish(updater, "5.5.5.5:4000");
  for (const int expected : {5, 10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800}) {
    exchange(updater, http(502));
    EXPECT_EQ(updater.next_timer() - now_, Duration(seconds(expected)));
    now_ = updater.next_timer();
  }
}

TEST_F(Updating, DYN_004_911_and_dnserr_wait_half_an_hour_even_for_a_new_port) {
  for (const char* word : {"911", "dnserr"}) {
    auto updater = make(*dyndns2_);
    publish(updater, "5.5.5.5:4000");
    exchange(updater, http(200, word));
    publish(updater, "5.5.5.5:4001");
    EXPECT_EQ(updater.next_timer() - now_, Duration(minutes(30))) << word;
  }
}

TEST_F(Updating, DYN_004_a_refused_account_stops_every_service_for_good) {
  for (const char* word : {"badauth", "abuse", "badagent", "!donator"}) {
    auto updater = make(*dyndns2_);
    updater.add(service("ssh", "home2.example"));
    publish(updater, "5.5.5.5:4000");
    exchange(updater, http(200, word));
    publish(updater, "5.5.5.5:4001");
    updater.publish("ssh", endpoint("5.5.5.5:4002"), now_ + minutes(60));
    EXPECT_EQ(updater.next_timer(), never) << word;
    EXPECT_EQ(updater.standing("ssh"), Standing::failed) << word;
  }
}

TEST_F(Updating, DYN_004_a_refused_name_stops_its_service_alone) {
  for (const char* word : {"nohost", "notfqdn", "!yours"}) {
    auto updater = make(*dyndns2_);
    updater.add(service("ssh", "home2.example"));
    publish(updater, "5.5.5.5:4000");
    exchange(updater, http(200, word));
    EXPECT_EQ(updater.standing("web"), Standing::failed) << word;
    updater.publish("ssh", endpoint("5.5.5.5:4002"), now_ + minutes(60));
    exchange(updater, http(200, "good 5.5.5.5"));
    EXPECT_EQ(updater.standing("ssh"), Standing::met) << word;
  }
}

TEST_F(Updating, DDN_016_a_disliked_tuple_rests_another_one_is_tried_at_once) {
  auto updater = make(*json_);
  publish(updater, "5.5.5.5:4000");
  exchange(updater, http(409, R"({"error": "not yours"})"));
  EXPECT_EQ(updater.next_timer() - now_, Duration(minutes(30)));
  publish(updater, "5.5.5.5:4001");
  EXPECT_LE(updater.next_timer(), now_);
}

TEST_F(Updating, an_address_that_is_not_global_is_refused_and_what_it_replaces_withdrawn) {
  auto updater = make(*json_);
  publish(updater, "5.5.5.5:4000");
  exchange(updater, http(200));
  for (const char* outside : {"100.64.1.1:4000", "10.1.2.3:4000", "192.0.2.1:4000", "127.0.0.1:4000"}) {
    updater.take_events();
    publish(updater, outside);
    const auto events = updater.take_events();
    ASSERT_EQ(events.size(), 1U) << outside;
    EXPECT_EQ(events[0].kind, UpdateEvent::Kind::refused);
    EXPECT_EQ(updater.standing("web"), Standing::failed);
  }
  EXPECT_EQ(exchange(updater, http(204)).method, "DELETE");
}

TEST_F(Updating, allow_address_permits_it) {
  auto updater = make(*json_, {*net::parse_ipv4_prefix("192.0.2.0/24")});
  publish(updater, "192.0.2.1:4000");
  exchange(updater, http(200));
  EXPECT_EQ(updater.standing("web"), Standing::met);
}

TEST_F(Updating, a_restored_registration_is_not_sent_again) {
  auto before = make(*json_);
  publish(before, "5.5.5.5:4000");
  exchange(before, http(200));
  const auto saved = before.acknowledged();

  auto after = make(*json_);
  for (const auto& entry : saved) after.restore(entry, now_ + seconds(60));
  publish(after, "5.5.5.5:4000");
  EXPECT_TRUE(after.take_updates(now_ + seconds(60)).empty());
  EXPECT_EQ(after.next_timer(), now_ + minutes(30));
}

TEST_F(Updating, a_registration_from_the_future_is_sent_again) {
  auto before = make(*json_);
  publish(before, "5.5.5.5:4000");
  exchange(before, http(200));
  auto after = make(*json_);
  for (const auto& entry : before.acknowledged()) after.restore(entry, now_ - minutes(60));
  publish(after, "5.5.5.5:4000");
  EXPECT_EQ(after.take_updates(now_ - minutes(60)).size(), 1U);
}

TEST_F(Updating, a_service_no_longer_configured_is_withdrawn) {
  Registration gone;
  gone.name = "old.example";
  gone.service = "web";
  auto updater = make(*json_);
  updater.restore({gone, now_}, now_);
  const auto request = exchange(updater, http(404));  // gone already is as good
  EXPECT_EQ(request.method, "DELETE");
  EXPECT_EQ(request.target, "/api/v1/names/old.example/services/web");
  EXPECT_TRUE(updater.acknowledged().empty());
  EXPECT_EQ(updater.standing("web"), Standing::undecided);
}

TEST_F(Updating, a_service_is_published_under_each_of_its_names) {
  auto updater = make(*json_);
  Service both = service("ssh");
  both.names = {"home1.example", "other.example"};
  updater.add(both);
  updater.publish("ssh", endpoint("5.5.5.5:4022"), now_ + minutes(60));
  const auto updates = updater.take_updates(now_);
  ASSERT_EQ(updates.size(), 2U);
  EXPECT_EQ(updates[0].record.name, "home1.example");
  EXPECT_EQ(updates[1].record.name, "other.example");
  updater.answered(updates[0].ticket, judged(http(200)), now_);
  EXPECT_EQ(updater.standing("ssh"), Standing::pending) << "one of two";
  updater.answered(updates[1].ticket, judged(http(200)), now_);
  EXPECT_EQ(updater.standing("ssh"), Standing::met);
}

TEST_F(Updating, the_last_service_of_a_name_is_withdrawn_as_such) {
  auto updater = make(*json_);
  updater.add(service("ssh"));
  publish(updater, "5.5.5.5:4000");
  updater.publish("ssh", endpoint("5.5.5.5:4022"), now_ + minutes(60));
  for (const Update& update : updater.take_updates(now_)) updater.answered(update.ticket, judged(http(200)), now_);
  for (const bool last : {false, true}) {
    updater.withdraw(last ? "ssh" : "web");
    const auto updates = updater.take_updates(now_);
    ASSERT_EQ(updates.size(), 1U);
    EXPECT_EQ(updates[0].last_of_name, last);
    EXPECT_EQ(updates[0].before->outside.port, net::Port{static_cast<uint16_t>(last ? 4022 : 4000)});
    updater.answered(updates[0].ticket, judged(http(204), true), now_);
  }
}

TEST_F(Updating, a_removed_service_is_withdrawn_and_its_place_used_again) {
  auto updater = make(*json_);
  for (int i = 0; i < 100; ++i) {
    updater.add(service(("s" + std::to_string(i)).c_str()));
    updater.publish("s" + std::to_string(i), endpoint("5.5.5.5:4000"), now_ + minutes(60));
    EXPECT_EQ(exchange(updater, http(200)).method, "PUT");
    updater.remove("s" + std::to_string(i));
    EXPECT_EQ(exchange(updater, http(204)).method, "DELETE");
  }
  EXPECT_EQ(updater.take_updates(now_).size(), 0U);
  updater.add(service("late"));
  updater.publish("late", endpoint("5.5.5.5:4000"), now_ + minutes(60));
  ASSERT_EQ(updater.take_updates(now_).at(0).ticket, 1U) << "entries grow with what there is, not with what there was";
}

TEST_F(Updating, a_service_added_after_its_record_was_restored_keeps_it) {
  auto before = make(*json_);
  publish(before, "5.5.5.5:4000");
  exchange(before, http(200));
  Updater after(json_->abilities(), {3600, {}}, [] { return 0.0; });
  for (const auto& entry : before.acknowledged()) after.restore(entry, now_);
  after.add(service("web"));
  publish(after, "5.5.5.5:4000");
  EXPECT_TRUE(after.take_updates(now_).empty());
}

TEST_F(Updating, without_ports_a_moved_port_is_no_change) {
  const auto plain = make_dyndns2_protocol(*parse_url("http://ddns.example/"), {"a", "t"}, false);
  auto updater = make(*plain);
  publish(updater, "5.5.5.5:4000");
  exchange(updater, http(200, "good 5.5.5.5"));
  publish(updater, "5.5.5.5:4001");
  EXPECT_TRUE(updater.take_updates(now_).empty());
  EXPECT_EQ(updater.standing("web"), Standing::met);
  publish(updater, "5.5.5.6:4001");
  exchange(updater, http(200, "good 5.5.5.6"));
  updater.withdraw("web");
  EXPECT_TRUE(updater.take_updates(now_).empty()) << "there are no words for it";
}

TEST_F(Updating, four_requests_at_a_time) {
  auto updater = make(*json_);
  for (const char* id : {"a", "b", "c", "d", "e", "f"}) {
    updater.add(service(id));
    updater.publish(id, endpoint("5.5.5.5:4000"), now_ + minutes(60));
  }
  const auto first = updater.take_updates(now_);
  EXPECT_EQ(first.size(), Updater::in_flight_max);
  updater.answered(first[0].ticket, judged(http(200)), now_);
  EXPECT_EQ(updater.take_updates(now_).size(), 1U);
}

}  // namespace
}  // namespace portolan::ddns
