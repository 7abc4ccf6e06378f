// A PCP server that does as it is told, and a clock that stands until it is moved: what PcpClient's tests share. It
// reads and writes the wire structs itself, so that the codec's own mistakes would show.
#pragma once

#include <cstring>
#include <gtest/gtest.h>
#include <span>
#include <vector>

#include "dataplane/net/reader.h"
#include "dataplane/net/text.h"
#include "ddns-client-ref/pcp_client.h"

namespace portolan::ddns::test {

inline net::Ipv6 v6(const char* text) { return net::parse_ipv6(text).value(); }
inline net::Endpoint endpoint(const char* text) { return net::parse_endpoint(text).value(); }
inline pcp::Nonce nonce(uint8_t seed) { return {seed, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}; }

class ScriptedPcp {
 public:
  static constexpr uint32_t client_epoch_s = 1'000'000;  // boot time when a test begins
  PcpPeer server{v6("2001:db8:a::1"), 5351};
  net::Ipv6 b4 = v6("2001:db8:b4::1");
  double random = 0.5;  // what the client draws
  Time now{std::chrono::seconds(client_epoch_s)};
  uint32_t epoch_s = 5000;
  PcpClient client{server, b4, [this] { return random; }};

  MappingSpec spec(uint8_t seed = 1, const char* inside = "10.0.0.10:8080") const {
    MappingSpec out;
    out.nonce = nonce(seed);
    out.protocol = net::Protocol::tcp;
    out.inside = endpoint(inside);
    return out;
  }

  // Lets time pass to `at`, waking the client exactly when it asks to be; the server's epoch goes along.
  void run_until(Time at) {
    while (client.next_timer() <= at) {
      move_to(std::max(now, client.next_timer()));
      client.tick(now);
      collect();
      ASSERT_LT(sent.size(), 10'000U) << "the client sends in a loop";
    }
    move_to(at);
  }
  void run_for(Duration time) { run_until(now + time); }

  struct Sent {
    Time at;
    pcp::Message bytes;
  };
  std::vector<Sent> sent;
  void collect() {
    for (auto& bytes : client.take_datagrams()) sent.push_back({now, std::move(bytes)});
  }
  double gap_s(size_t index) const {
    return std::chrono::duration<double>(sent[index].at - sent[index - 1].at).count();
  }

  // The request with the server's header, as RFC 6887 §8.2 makes every response; success also assigns.
  static pcp::Message respond(pcp::Message out, pcp::Code code, uint32_t lifetime_s, uint32_t at_epoch_s) {
    const pcp::ResponseHeader header{pcp::version,
                                     static_cast<uint8_t>(out.at(1) | pcp::response_bit),
                                     0,
                                     static_cast<uint8_t>(code),
                                     lifetime_s,
                                     at_epoch_s,
                                     {}};
    std::memcpy(out.data(), &header, sizeof header);
    return out;
  }
  pcp::Message error(const pcp::Message& request, pcp::Code code, uint32_t lifetime_s) const {
    return respond(request, code, lifetime_s, epoch_s);
  }
  pcp::Message success(const pcp::Message& request, const char* outside, uint32_t lifetime_s) const {
    pcp::Message out = error(request, pcp::Code::success, lifetime_s);
    pcp::MapBody map = request_of(request).map;
    map.external_port = endpoint(outside).port;
    map.external_address = net::mapped(endpoint(outside).address);
    std::memcpy(out.data() + sizeof(pcp::ResponseHeader), &map, sizeof map);
    return out;
  }
  static pcp::Message announcement(uint32_t at_epoch_s) {
    return respond(pcp::Message(sizeof(pcp::ResponseHeader)), pcp::Code::success, 0, at_epoch_s);
  }
  void deliver(const pcp::Message& response) {
    client.receive(response, server, now);
    collect();
  }
  // Answers the last request sent.
  void grant(const char* outside, uint32_t lifetime_s = 3600) { deliver(success(last(), outside, lifetime_s)); }
  void refuse(pcp::Code code, uint32_t lifetime_s) { deliver(error(last(), code, lifetime_s)); }

  const pcp::Message& last() {
    collect();
    return sent.at(sent.size() - 1).bytes;
  }
  struct Request {
    net::Ipv6 client;
    uint32_t lifetime_s;
    pcp::MapBody map;
    std::span<const uint8_t> options;
  };
  static Request request_of(const pcp::Message& bytes) {
    net::Reader in(bytes);
    const auto header = in.read<pcp::RequestHeader>();
    const auto map = in.read<pcp::MapBody>();
    EXPECT_FALSE(in.failed());
    EXPECT_EQ(header.version, 2);
    EXPECT_EQ(header.r_opcode, 1);
    return {header.client, header.lifetime_s, map, in.rest()};
  }
  Request last_request() { return request_of(last()); }
  void add(MappingId id, const MappingSpec& wanted) {
    client.add(id, wanted, now);
    collect();
  }
  std::vector<PcpEvent::Kind> events() {
    std::vector<PcpEvent::Kind> kinds;
    for (const auto& event : client.take_events()) kinds.push_back(event.kind);
    return kinds;
  }

 private:
  void move_to(Time at) {
    const auto whole = [](Time t) { return std::chrono::floor<std::chrono::seconds>(t.time_since_epoch()).count(); };
    epoch_s += static_cast<uint32_t>(whole(at) - whole(now));
    now = at;
  }
};

}  // namespace portolan::ddns::test
