// What the PCP server's tests share: a server and a translator joined, requests in a few words, and the checks that
// hold for every reply.
#pragma once

#include <gtest/gtest.h>
#include <iterator>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "dataplane/net/text.h"
#include "pcp-server/server.h"
#include "tests/unit/pcp-server/translator.h"

namespace portolan::pcp::test {

inline net::Ipv6 ipv6(std::string_view text) { return net::parse_ipv6(text).value(); }
inline net::Ipv4 ipv4(std::string_view text) { return net::parse_ipv4(text).value(); }
inline net::Ipv6 as_mapped(std::string_view text) { return net::mapped(ipv4(text)); }
inline net::Port port(uint16_t number) { return {number}; }
inline Nonce nonce(uint8_t fill) {
  Nonce out;
  out.fill(fill);
  return out;
}

template <class T, class E>
std::optional<E> error_of(const net::Result<T, E>& result) {
  return result ? std::nullopt : std::optional{result.error()};
}

inline Source softwire(std::string_view b4 = "2001:db8:100:1::1", std::string_view inner = "10.0.0.10") {
  return {ipv6(b4), ipv4(inner), as_mapped("192.0.0.1"), port(40000)};
}
inline Source plain(std::string_view b4 = "2001:db8:100:1::1") {
  return {ipv6(b4), std::nullopt, ipv6("2001:db8:a::1"), port(40001)};
}
inline net::Ipv6 client_of(const Source& source) { return source.inner ? net::mapped(*source.inner) : source.b4; }

// MAP(protocol, internal port, suggested port, any address, lifetime) with nonce 0xaa.
inline MapRequest map_of(net::Protocol protocol, uint16_t internal, uint16_t suggested = 0,
                         uint32_t lifetime_s = 3600) {
  MapRequest out;
  out.nonce = nonce(0xaa);
  out.protocol = protocol;
  out.internal_port = port(internal);
  out.suggested_port = port(suggested);
  out.lifetime_s = lifetime_s;
  return out;
}
inline MapRequest udp(uint16_t internal, uint16_t suggested = 0, uint32_t lifetime_s = 3600) {
  return map_of(net::Protocol::udp, internal, suggested, lifetime_s);
}

// Appends an option byte for byte, padded with `padding`.
inline void add_option(Message& message, uint8_t code, const std::vector<uint8_t>& data, uint8_t padding = 0) {
  append(message, OptionHeader{code, 0, static_cast<uint16_t>(data.size())});
  message.insert(message.end(), data.begin(), data.end());
  message.resize(padded(message.size()), padding);
}

struct PcpServer : testing::Test {
  static constexpr size_t port_set_bytes = 12;
  static constexpr uint64_t start_s = 5'000;
  Settings settings;
  Server server{settings, start_s, 42};
  Translator translator;
  uint64_t now_s = start_s + 100;

  // One request, commands carried out and changes stored at once: its one reply.
  std::optional<Message> ask(const Message& request, const Source& source = softwire()) {
    const auto replies = ask_for_all(request, source);
    EXPECT_LE(replies.size(), 1U);
    return replies.empty() ? std::nullopt : std::optional(replies.front());
  }
  std::vector<Message> ask_for_all(const Message& request, const Source& source = softwire()) {
    std::vector<Message> out;
    for (auto& [to, message] : carry_out(server.handle(request, source, now_s))) {
      EXPECT_EQ(to, source);
      check(request, message);
      out.push_back(std::move(message));
    }
    return out;
  }
  // What comes of it until nothing more does; notices and answers are kept.
  std::vector<Reply> carry_out(Effects effects) {
    std::vector<Reply> replies = std::move(effects.replies);
    const auto more = [&](Effects next) {
      auto later = carry_out(std::move(next));
      std::move(later.begin(), later.end(), std::back_inserter(replies));
    };
    notices.insert(notices.end(), effects.notices.begin(), effects.notices.end());
    events.insert(events.end(), effects.events.begin(), effects.events.end());
    operator_answers.insert(operator_answers.end(), effects.answers.begin(), effects.answers.end());
    for (const Command& command : effects.commands) {
      last_command = command;
      more(server.complete(translator.execute(command, now_s), now_s));
    }
    for (const Change& change : effects.changes) {
      if (store_works) store.insert_or_assign(change.key, change.granted);
      if (change.ticket != 0) more(server.stored(change.ticket, store_works, now_s));
    }
    std::erase_if(store, [](const auto& item) { return !item.second; });
    return replies;
  }
  Response peer(MapRequest request, net::Endpoint remote, const Source& source = softwire()) {
    request.remote = remote;
    return map(request, source);
  }

  // PCP-002, PCP-003, PCP-215: what every reply obeys.
  void check(const Message& request, const Message& reply) const {
    ASSERT_GE(reply.size(), sizeof(ResponseHeader));
    EXPECT_LE(reply.size(), message_bytes_max);
    EXPECT_EQ(reply.size() % 4, 0U);
    const bool a_sets = request.size() >= map_bytes && request[1] == 1;  // of one port asked for: PORT_SET may be told
    EXPECT_LE(reply.size(), std::max(padded(request.size()) + (a_sets ? port_set_bytes : 0), sizeof(ResponseHeader)));
    EXPECT_EQ(reply[0], 2);
    EXPECT_EQ(reply[1], request[1] | 0x80);
    EXPECT_EQ(reply[2], 0);
    net::Reader in{std::span(reply).subspan(8)};
    EXPECT_EQ(in.read<net::be32>(), server.epoch_s(ipv6("2001:db8:100::"), now_s));
  }

  Response map(const MapRequest& request, const Source& source = softwire()) {
    const auto reply = ask(build_map_request(client_of(source), request), source);
    EXPECT_TRUE(reply);
    const auto response = parse_response(reply.value());
    EXPECT_TRUE(response);
    return response.value();
  }
  Code code_of(const Message& request, const Source& source = softwire()) {
    const auto reply = ask(request, source);
    return reply ? Code{reply->at(3)} : Code{0xff};
  }
  Code code_of(const MapRequest& request, const Source& source = softwire()) { return map(request, source).code; }

  void configure(Settings changed) {
    settings = std::move(changed);
    server.configure(settings);
  }

  std::optional<Command> last_command;
  bool store_works = true;
  std::map<RecordKey, std::optional<Granted>> store;  // if settings.durable
  std::vector<Notice> notices;
  std::vector<MappingEvent> events;
  std::vector<Answer> operator_answers;
};

inline MappingKey key_of(uint16_t internal, std::string_view inner = "10.0.0.10",
                         net::Protocol protocol = net::Protocol::udp) {
  return {ipv6("2001:db8:100::"), ipv4(inner), port(internal), protocol};
}

}  // namespace portolan::pcp::test
