// 200 000 messages, most of them damaged, against a server whose translator answers late and out of order. A model
// built from the replies alone must come to the same mappings as the server, and the translator to no more.
#include <random>

#include "tests/unit/pcp-server/fixture.h"

namespace portolan::pcp::test {
namespace {

struct Expected {
  Nonce nonce;
  net::Endpoint outside;
  uint64_t expires_s;
  bool ended;
};

class RandomTest : public testing::TestWithParam<uint32_t> {
 protected:
  static constexpr int messages = 50'000;

  uint32_t below(uint32_t bound) { return std::uniform_int_distribution<uint32_t>(0, bound - 1)(random_); }
  bool one_in(uint32_t n) { return below(n) == 0; }

  Source some_source() {
    static constexpr const char* b4s[] = {"2001:db8:100:1::1", "2001:db8:100:2::1", "2001:db8:200:1::1",
                                          "2001:db8:300::1"};
    static constexpr const char* inners[] = {"10.0.0.10", "10.0.0.11", "192.0.0.2", "8.8.8.8"};
    const char* b4 = b4s[below(4)];
    return one_in(3) ? plain(b4) : softwire(b4, inners[below(4)]);
  }

  Message some_request(const Source& source) {
    if (one_in(20)) return build_announce_request(client_of(source));
    MapRequest request =
        map_of(one_in(2) ? net::Protocol::udp : net::Protocol::tcp, static_cast<uint16_t>(5000 + below(6)));
    request.nonce = nonce(static_cast<uint8_t>(below(4) == 0));
    request.lifetime_s = one_in(3) ? 0 : below(1000);
    request.suggested_port = port(static_cast<uint16_t>(one_in(2) ? 0 : 1020 + below(40)));
    if (one_in(3)) request.suggested_address = net::mapped(Translator::pool_address);
    request.prefer_failure = one_in(8);
    if (one_in(source.inner ? 8 : 2)) request.third_party = as_mapped(one_in(2) ? "10.0.0.10" : "10.0.0.11");
    return build_map_request(client_of(source), request);
  }

  void damage(Message& message) {
    for (uint32_t i = below(3); i > 0; --i) {
      switch (below(6)) {
        case 0:
          message[below(static_cast<uint32_t>(message.size()))] ^= static_cast<uint8_t>(1 << below(8));
          break;
        case 1:
          message[below(static_cast<uint32_t>(message.size()))] = static_cast<uint8_t>(below(256));
          break;
        case 2:
          message.resize(1 + below(static_cast<uint32_t>(message.size())));
          break;
        case 3:
          message.resize(message.size() + 4 * below(4), static_cast<uint8_t>(below(256)));
          break;
        case 4:
          add_option(message, static_cast<uint8_t>(below(256)), Message(below(24), static_cast<uint8_t>(below(256))));
          break;
        case 5:
          message.resize(1 + below(1200), static_cast<uint8_t>(below(4)));
          break;
      }
    }
  }

  void send() {
    const Source source = some_source();
    Message request = some_request(source);
    if (!one_in(3)) damage(request);
    const Effects effects = server_.handle(request, source, now_s_);
    for (const Command& command : effects.commands) {
      if (command.ticket == 0) continue;
      for (const auto& [other, asked] : under_way_) ASSERT_FALSE(other.key == command.key);
      under_way_.emplace_back(command, request);
    }
    for (const Reply& reply : effects.replies) check(request, reply);
  }

  void answer() {  // one of the commands under way; now and then the ring refused it
    const size_t at = below(static_cast<uint32_t>(under_way_.size()));
    const auto [command, request] = under_way_[at];
    under_way_.erase(under_way_.begin() + static_cast<std::ptrdiff_t>(at));
    const CommandResult result = one_in(50) ? CommandResult{command.ticket, CommandResult::Status::no_resources, {}, 0}
                                            : translator_.execute(command, now_s_);
    const Effects effects = server_.complete(result, now_s_);
    ASSERT_EQ(effects.replies.size(), 1U);
    check(request, effects.replies[0]);
    learn(effects.replies[0], command.key, command.verb == Command::Verb::end);
  }

  void check(const Message& request, const Reply& reply) const {
    const Message& message = reply.message;
    ASSERT_GE(message.size(), sizeof(ResponseHeader));
    ASSERT_LE(message.size(), message_bytes_max);
    ASSERT_EQ(message.size() % 4, 0U);
    ASSERT_LE(message.size(), std::max(padded(request.size()), sizeof(ResponseHeader)));
    ASSERT_EQ(message[0], 2);
    ASSERT_EQ(message[1], request[1] | 0x80);
    ASSERT_LT(message[3], code_texts.size());
    if (Code{message[3]} == Code::cannot_provide_external) {  // PCP-057
      ASSERT_TRUE(parse_options(net::Reader{parse_request(request)->options}, Opcode::map)->prefer_failure);
    }
    if (Code{message[3]} == Code::success) {
      const auto parsed = parse_response(message);
      ASSERT_TRUE(parsed);
      ASSERT_EQ(parsed->map.has_value(), request[1] == 1);
    }
  }

  // What a client would believe after the reply.
  void learn(const Reply& reply, const MappingKey& key, bool deleted) {
    const Response response = parse_response(reply.message).value();
    if (response.code != Code::success) return;
    const MapResponse& map = *response.map;
    const uint64_t expires_s = now_s_ + response.lifetime_s;
    forget_expired();
    if (!deleted) {
      ASSERT_GT(response.lifetime_s, 0U);
      model_[key] = {map.nonce, {net::unmapped(map.assigned_address), map.assigned_port}, expires_s, false};
    } else if (const auto at = model_.find(key); at != model_.end()) {
      at->second.expires_s = expires_s;
      at->second.ended = true;
      forget_expired();
    }
  }
  void forget_expired() {
    std::erase_if(model_, [&](const auto& item) { return item.second.expires_s <= now_s_; });
  }

  void compare() {
    server_.expire(now_s_);
    translator_.expire(now_s_);
    forget_expired();
    ASSERT_EQ(server_.size(), model_.size());
    std::map<net::Ipv6, uint32_t> held;
    server_.for_each([&](const RecordKey& record_key, const Mapping& mapping) {
      const MappingKey& key = record_key.mapping;
      const auto at = model_.find(key);
      ASSERT_NE(at, model_.end());
      EXPECT_EQ(mapping.outside, at->second.outside);
      EXPECT_EQ(mapping.expires_s, at->second.expires_s);
      EXPECT_EQ(mapping.ended, at->second.ended);
      ASSERT_LE(++held[key.subscriber], settings_.mappings_per_subscriber_max);
      const auto record = translator_.records().find(key);
      ASSERT_NE(record, translator_.records().end());
      EXPECT_EQ(record->second.outside, mapping.outside);
      EXPECT_TRUE(mapping.ended || record->second.explicit_until_s == mapping.expires_s);
    });
    for (const auto& [key, record] : translator_.records())
      EXPECT_TRUE(record.explicit_until_s <= now_s_ || model_.contains(key));
  }

  static Settings small() {  // of MAPs alone; the fuzzer's model has all (tests/fuzz/pcp_server.cc)
    Settings out;
    out.peer_enabled = false;
    out.port_set_max = 1;
    out.mappings_per_subscriber_max = 6;
    out.mappings_max = 14;
    out.in_flight_max = 4;
    out.requests_per_s = out.requests_burst = 1'000'000;
    return out;
  }

  std::mt19937 random_{GetParam()};
  Settings settings_ = small();
  Server server_{settings_, 0, GetParam()};
  Translator translator_;
  std::vector<std::pair<Command, Message>> under_way_;
  std::map<MappingKey, Expected> model_;
  uint64_t now_s_ = 1'000;
};

// Also shows PCP-002, PCP-003, PCP-057, PCP-098.
TEST_P(RandomTest, PCP_215_server_model_and_translator_agree) {
  for (int i = 0; i < messages && !HasFatalFailure(); ++i) {
    send();
    if (!under_way_.empty() && one_in(2)) answer();
    if (one_in(20)) now_s_ += below(60);
    if (one_in(10) && !translator_.records().empty()) {
      auto at = translator_.records().begin();
      std::advance(at, below(static_cast<uint32_t>(translator_.records().size())));
      translator_.outbound(MappingKey{at->first}, now_s_);
    }
    if (one_in(5'000)) {
      const net::Ipv6 subscriber = ipv6("2001:db8:100::");
      translator_.clear(subscriber);
      server_.forget(subscriber);
      std::erase_if(model_, [&](const auto& item) { return item.first.subscriber == subscriber; });
    }
    compare();
  }
  while (!under_way_.empty() && !HasFatalFailure()) answer();
  compare();
  EXPECT_EQ(server_.in_flight(), 0U);
  // The run reached what it is for: each of these happened.
  for (const Code code :
       {Code::success, Code::unsupp_version, Code::not_authorized, Code::malformed_request, Code::unsupp_opcode,
        Code::unsupp_option, Code::malformed_option, Code::no_resources, Code::unsupp_protocol, Code::user_ex_quota,
        Code::cannot_provide_external, Code::address_mismatch})
    EXPECT_GT(server_.counters()[code], 0U) << to_text(code);
  for (const Event event :
       {Event::drop_in_flight, Event::overloaded, Event::table_full, Event::wrong_nonce, Event::expired})
    EXPECT_GT(server_.counters()[event], 0U) << event_texts[static_cast<size_t>(event)].name;
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomTest, testing::Values(1, 2, 3, 4));

}  // namespace
}  // namespace portolan::pcp::test
