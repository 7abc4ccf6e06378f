// libFuzzer entry: the PCP server beside a model that knows only what clients were told. The input is a list of
// operations: requests, time, traffic, a store that fails, restarts with and without the translator's state, clearings.
// After each the server's records, the model's and the store's are the same, and the translator has nothing explicit
// that nobody was granted. A port that rests is had by nobody but the client it was (RFC 6887 §15), and he gets it
// back.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <vector>

#include "pcp-server/server.h"
#include "tests/fuzz/input.h"
#include "tests/unit/pcp-server/translator.h"

namespace {

using namespace portolan;
using namespace portolan::pcp;

void require(bool holds) {
  if (!holds) std::abort();
}

struct Expected {
  Nonce nonce;
  net::Endpoint outside;
  uint64_t expires_s;
  bool ended;
  uint16_t ports;
};

class Run {
 public:
  explicit Run(fuzz::Input& input) : input_(input), server_(settings(), 0, 1) { translator_.rest_s = rest_s; }

  void go() {
    for (int steps = 0; steps < 200 && !input_.empty(); ++steps) {
      step();
      compare();
    }
  }

 private:
  static constexpr uint32_t rest_s = 300;
  // A port of one mapping that its client has deleted, and from when on others may have it.
  struct Rest {
    MappingKey of;
    Nonce nonce;
    uint64_t until_s;
    bool remembered =
        true;  // by the server, who forgets it with a restart, the subscriber, or where there are too many
  };
  using Outside = std::pair<net::Protocol, net::Endpoint>;

  static Settings settings() {
    Settings out;
    out.durable = out.natpmp_enabled = true;
    out.mappings_per_subscriber_max = 12;
    out.mappings_max = 30;
    out.requests_per_s = out.requests_burst = out.probes_per_s = out.probes_burst = 1'000'000;
    out.allowances_log2 = 4;  // restarts are many
    out.lifetime_max_s = 4'000;
    out.rest_s = out.rest_tcp_s = rest_s;
    return out;
  }

  void step() {
    switch (input_.octet() % 16) {
      default:
        return ask();
      case 11:
        now_s_ += input_.octet();
        server_.expire(now_s_);
        carry_out(server_.take_effects());
        break;
      case 12:
        if (const auto& records = translator_.records(); !records.empty()) {
          auto at = records.begin();
          std::advance(at, input_.octet() % records.size());
          translator_.outbound(MappingKey{at->first}, now_s_);
        }
        break;
      case 13:
        store_works_ = !store_works_;
        break;
      case 14:
        return restart(input_.octet() % 2 == 0);
      case 15: {
        const net::Ipv6 subscriber = server_.subscriber_of(b4(input_.octet()));
        translator_.clear(subscriber);
        server_.forget(subscriber);
        carry_out(server_.take_effects());
        std::erase_if(model_, [&](const auto& item) { return item.first.mapping.subscriber == subscriber; });
        for (auto& [outside, rest] : rests_) rest.remembered = false;
        break;
      }
    }
  }

  static net::Ipv6 b4(uint8_t which) {
    net::Ipv6 out{{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
    out.bytes[6] = which % 3;
    return out;
  }

  void ask() {
    const uint8_t how = input_.octet();
    Source source{b4(how), net::Ipv4{uint32_t{0x0a00000aU + (how >> 2) % 2}}, {}, {uint16_t{40000}}};
    MapRequest request;
    request.nonce.fill(input_.octet() % 2);
    request.protocol = (how & 0x10) != 0 ? net::Protocol::udp : net::Protocol::tcp;
    request.internal_port = {static_cast<uint16_t>(5000 + input_.octet() % 10)};
    request.lifetime_s = (how & 0x60) == 0 ? 0 : 16U * input_.octet();
    const uint8_t options = input_.octet();
    if ((options & 1) != 0) request.suggested_port = {static_cast<uint16_t>(1020 + input_.octet() % 40)};
    if ((options & 2) != 0) request.prefer_failure = true;
    if ((options & 4) != 0)
      request.filters = {
          {0, static_cast<uint8_t>((options & 8) != 0 ? 0 : 128), {}, net::mapped({0xcb007100U + input_.octet()})}};
    if ((options & 0x10) != 0)
      request.remote = net::Endpoint{{0xcb007105U}, {static_cast<uint16_t>(1 + input_.octet() % 3)}};
    if ((options & 0x20) != 0)
      request.port_set = PortSetBody{static_cast<uint16_t>(input_.octet() % 6), request.internal_port, 0};
    if ((options & 0x40) != 0) request.description = std::string(input_.octet() % 200, 'd');
    Message message = build_map_request(net::mapped(*source.inner), request);
    if ((options & 0x80) != 0 && !message.empty()) message[input_.octet() % message.size()] ^= input_.octet();
    const MappingKey key{server_.subscriber_of(source.b4), *source.inner, request.internal_port, request.protocol};
    const bool asks_for_one = (options & 0xb0) == 0 && request.lifetime_s > 0;
    const auto rest = rests_.find({key.protocol, {test::Translator::pool_address, request.suggested_port}});
    const bool gets_it_back = asks_for_one && rest != rests_.end() && rest->second.remembered &&
                              rest->second.of == key && rest->second.nonce == request.nonce &&
                              rest->second.until_s > now_s_ && !translator_.records().contains(key);
    const uint32_t held_before = held(key.subscriber);
    const auto peers_before = std::ranges::count_if(
        model_, [&](const auto& item) { return item.first.mapping == key && item.first.is_peer(); });
    for (const auto& reply : carry_out(server_.handle(message, source, now_s_))) {
      require(reply.size() >= 8 && reply.size() <= message_bytes_max);
      if (reply[0] == 2 && reply[offsetof(ResponseHeader, code)] == static_cast<uint8_t>(Code::user_ex_quota))
        require(held_before >= settings().mappings_per_subscriber_max ||
                static_cast<size_t>(peers_before) >= peers_max);
      require(held(key.subscriber) <= settings().mappings_per_subscriber_max);
      learn(reply, key, parse_request(message));
      const auto granted = model_.find({key, {}});
      if (gets_it_back && reply[offsetof(ResponseHeader, code)] == 0)
        require(granted != model_.end() && granted->second.outside.port == request.suggested_port);
    }
  }

  uint32_t held(const net::Ipv6& subscriber) const {
    uint32_t ports = 0;
    server_.for_each([&](const RecordKey& key, const Mapping& mapping) {
      if (key.mapping.subscriber == subscriber) ports += mapping.ports;
    });
    return ports;
  }

  // What a client knows after the reply.
  void learn(const Message& message, const MappingKey& asked, const net::Result<Request, Malformed>& request) {
    if (message[0] != 2) return learn_natpmp(message, asked);
    const auto response = parse_response(message);
    if (!response)
      return require(message[offsetof(ResponseHeader, code)] != 0);  // damaged options come back as they were
    if (response->code != Code::success || !response->map) return;
    const MapResponse& map = *response->map;
    RecordKey key{{asked.subscriber, asked.inside_address, map.internal_port, map.protocol},
                  map.remote.value_or(net::Endpoint{})};
    const auto known = model_.find(key);
    if (response->opcode == Opcode::peer) {
      if (request->lifetime_s == 0 && known == model_.end()) return;
      const uint32_t asked_s = request->lifetime_s == 0 ? 0 : std::clamp<uint32_t>(request->lifetime_s, 120, 4'000);
      const uint64_t before_s = known == model_.end() ? 0 : known->second.expires_s;
      model_[key] = {map.nonce,
                     {net::unmapped(map.assigned_address), map.assigned_port},
                     std::max(before_s, now_s_ + asked_s),
                     false,
                     1};
      return;
    }
    if (request->lifetime_s > 0) {
      require(response->lifetime_s > 0);
      const uint16_t ports = map.port_set ? uint16_t{map.port_set->size} : uint16_t{1};
      for (uint16_t i = 0; i < ports; ++i)
        take({map.protocol,
              {net::unmapped(map.assigned_address), {static_cast<uint16_t>(map.assigned_port.number + i)}}},
             key.mapping, map.nonce);
      model_[key] = {map.nonce,
                     {net::unmapped(map.assigned_address), map.assigned_port},
                     now_s_ + response->lifetime_s,
                     false,
                     ports};
    } else if (known != model_.end()) {
      if (response->lifetime_s == 0) {
        let_rest(*known, now_s_);
        model_.erase(known);
      } else {
        known->second.expires_s = now_s_ + response->lifetime_s;
        known->second.ended = true;
      }
    }
  }
  void let_rest(const std::pair<const RecordKey, Expected>& was, uint64_t ended_s) {
    const auto& [key, expected] = was;
    if (key.is_peer() || expected.ports != 1 || translator_.records().contains(key.mapping)) return;
    if (rests_.size() >= settings().mappings_max)
      for (auto& [outside, rest] : rests_) rest.remembered = false;
    rests_[{key.mapping.protocol, expected.outside}] = {key.mapping, expected.nonce, ended_s + rest_s};
  }
  void take(const Outside& outside, const MappingKey& key, const Nonce& nonce) {
    const auto rest = rests_.find(outside);
    if (rest == rests_.end()) return;
    require(rest->second.until_s <= now_s_ || (rest->second.of == key && rest->second.nonce == nonce));
    rests_.erase(rest);
  }

  // A damaged request may have become one of NAT-PMP: what it does to the table is taken from the server.
  void learn_natpmp(const Message&, const MappingKey&) {
    model_.clear();
    rests_.clear();
    server_.for_each([&](const RecordKey& key, const Mapping& mapping) {
      model_[key] = {{}, mapping.outside, mapping.expires_s, mapping.ended, mapping.ports};
    });
  }

  std::vector<Message> carry_out(Effects effects) {
    std::vector<Message> replies;
    const auto more = [&](Effects next) {
      auto later = carry_out(std::move(next));
      std::move(later.begin(), later.end(), std::back_inserter(replies));
    };
    for (auto& reply : effects.replies) replies.push_back(std::move(reply.message));
    for (const Command& command : effects.commands)
      more(server_.complete(translator_.execute(command, now_s_), now_s_));
    for (const Change& change : effects.changes) {
      const bool done = store_works_ || change.ticket == 0;  // what nobody waits for is tried until it is done
      if (done && change.granted) store_.insert_or_assign(change.key, *change.granted);
      if (done && !change.granted) store_.erase(change.key);
      if (change.ticket != 0) more(server_.stored(change.ticket, done, now_s_));
    }
    return replies;
  }

  void restart(bool translator_lost) {
    if (translator_lost) translator_.clear(), rests_.clear();
    for (auto& [outside, rest] : rests_) rest.remembered = false;
    server_ = Server(settings(), 0, 1);
    const auto stored = store_;
    for (const auto& [key, granted] : stored) server_.restore(key, granted, now_s_);
    carry_out(server_.take_effects());
    for (const auto& [key, granted] : stored) {
      server_.reopen(key, now_s_);
      carry_out(server_.take_effects());
    }
  }

  void compare() {
    server_.expire(now_s_);
    carry_out(server_.take_effects());
    translator_.expire(now_s_);
    for (const auto& item : model_)
      if (item.second.expires_s <= now_s_) let_rest(item, item.second.expires_s);
    std::erase_if(model_, [&](const auto& item) { return item.second.expires_s <= now_s_; });
    require(server_.in_flight() == 0);
    require(server_.size() == model_.size() && store_.size() == model_.size());
    server_.for_each([&](const RecordKey& key, const Mapping& mapping) {
      const auto expected = model_.find(key);
      require(expected != model_.end() && store_.contains(key) && store_.at(key).mapping == mapping);
      require(mapping.outside == expected->second.outside && mapping.expires_s == expected->second.expires_s);
      require(mapping.ended == expected->second.ended && mapping.ports == expected->second.ports);
    });
    for (const auto& [key, record] : translator_.records())
      if (record.explicit_until_s > now_s_) require(is_granted(key));
  }

  bool is_granted(const MappingKey& key) const {
    for (const auto& [record, expected] : model_) {
      const uint32_t first = record.mapping.inside_port.number, asked = key.inside_port.number;
      const bool same = record.mapping.subscriber == key.subscriber && record.mapping.protocol == key.protocol &&
                        record.mapping.inside_address == key.inside_address && !record.is_peer();
      if (same && first <= asked && asked < first + expected.ports) return true;
    }
    return false;
  }

  fuzz::Input& input_;
  Server server_;
  test::Translator translator_;
  std::map<RecordKey, Granted> store_;
  std::map<RecordKey, Expected> model_;
  std::map<Outside, Rest> rests_;
  bool store_works_ = true;
  uint64_t now_s_ = 10'000;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  Run(input).go();
  return 0;
}
