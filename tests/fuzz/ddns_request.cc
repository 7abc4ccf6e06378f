// libFuzzer entry: requests to portolan-ddnsd, one after the other, each six lines: method, target, Host,
// Authorization, Content-Type, body. Whatever they say, the reply is one that HTTP allows, no octet of theirs can break
// out of a header or a page, and nothing is registered that the rules of a service forbid.
#include <algorithm>
#include <array>
#include <sstream>
#include <string_view>

#include "dataplane/net/text.h"
#include "ddns-server/gate.h"
#include "ddns-server/site.h"
#include "tests/fuzz/input.h"

using namespace portolan;
using namespace portolan::ddnsd;

namespace {

constexpr int64_t now_s = 1'700'000'000;
constexpr size_t requests_max = 16;

struct World {
  Config config;
  Registry registry;
  Site site;

  World() : config(make_config()), registry(std::move(*Registry::open(":memory:"))), site(config, registry, [] {}) {
    registry.add_account("alice", "hash-of-nothing");
    registry.add_name("alice.example", "alice");
    registry.add_name("xn--bcher-kva.example", "alice");
  }
  static Config make_config() {
    Config out;
    out.hostname = "ddns.example";
    out.allow_address = {*net::parse_ipv4_prefix("192.0.2.0/24")};
    return out;
  }
};

Request read_request(std::istream& in) {
  Request out;
  std::string host;
  for (std::string* each : {&out.method, &out.target, &host, &out.authorization, &out.content_type, &out.body})
    std::getline(in, *each);
  if (!host.empty()) out.hosts = {host};
  out.user_agent = "fuzzer";
  out.source = net::mapped(*net::parse_ipv4("192.0.2.9"));
  return out;
}

bool is_clean(std::string_view field) {
  return std::ranges::none_of(field, [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7f; });
}

void check_reply(const Reply& reply) {
  constexpr std::array statuses{200U, 204U, 301U, 307U, 400U, 401U, 403U, 404U, 405U, 409U, 415U, 429U, 500U};
  if (std::ranges::find(statuses, reply.status) == statuses.end())
    fuzz::require("status " + std::to_string(reply.status));
  if (reply.status == 500) fuzz::require("the registry failed");
  for (const auto& [name, value] : reply.headers)
    if (!is_clean(name) || !is_clean(value)) fuzz::require("header " + name + ": " + value);
  if (!reply.content_type.starts_with("text/html")) return;
  for (const std::string_view forbidden : {"<script", "javascript:", "<img", "<iframe"})
    if (reply.body.find(forbidden) != std::string::npos) fuzz::require("a page with " + std::string(forbidden));
}

void check_registry(World& world) {
  const AddressPolicy policy(world.config.allow_address);
  for (const auto& name : world.registry.names()) {
    const auto entry = world.registry.find(name.fqdn, now_s);
    for (const Service& each : entry->services)
      if (check(each) || !policy.allows(each.outside.address)) fuzz::require("registered: " + each.id);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  World world;
  std::istringstream in(std::string(reinterpret_cast<const char*>(data), size));
  for (size_t count = 0; count < requests_max && in; ++count) {
    const Request request = read_request(in);
    auto outcome = world.site.handle(request, now_s);
    if (const auto* verification = std::get_if<Verification>(&outcome)) {
      // Not by argon2id, which is slow: alice's token is "token".
      world.site.settle(*verification, verification->account == "alice" && verification->token == "token", now_s);
      outcome = world.site.handle(request, now_s);
    }
    if (const auto* reply = std::get_if<Reply>(&outcome)) check_reply(*reply);
  }
  check_registry(world);
  return 0;
}
