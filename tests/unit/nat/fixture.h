// A shard of one worker with a few outside addresses, and short words for what tests do to it. Owns its slab file, if
// any, in a directory of its own.
#pragma once

#include <filesystem>
#include <gtest/gtest.h>
#include <unistd.h>

#include "dataplane/nat/shard.h"
#include "dataplane/net/text.h"
#include "dataplane/net/wire.h"

namespace portolan::nat {

inline constexpr uint32_t start_s = 100'000;

inline net::Ipv6 b4_of(uint32_t subscriber) {  // a host of the subscriber's /56
  net::Ipv6 b4 = *net::parse_ipv6("2001:db8::1");
  b4.bytes[4] = static_cast<uint8_t>(subscriber >> 16);
  b4.bytes[5] = static_cast<uint8_t>(subscriber >> 8);
  b4.bytes[6] = static_cast<uint8_t>(subscriber);
  return b4;
}

inline OutboundKey key_of(uint32_t subscriber, uint16_t port, net::Protocol protocol = net::Protocol::udp,
                          uint32_t inside = 0x0a000002) {
  return {net::masked(b4_of(subscriber), 56), net::Ipv4{inside}, {port}, protocol, 0};
}

inline ShardSettings small_settings() {
  ShardSettings settings;
  settings.mappings_max = 4000;
  settings.subscribers_max = 1000;
  settings.sessions_max = 4000;  // few enough to be looked at each second
  settings.policy.pool = {{*net::parse_ipv4_prefix("192.0.2.0/30")}, {2048, 4095}, 64, 1};
  return settings;
}

// A directory that goes with the test.
class Directory {
  std::filesystem::path path_;

 public:
  Directory() {
    std::string name = std::filesystem::temp_directory_path() / "portolan-nat-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    path_ = name;
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string file(const char* name) const { return path_ / name; }
};

class ShardTest : public testing::Test {
 protected:
  void start(const ShardSettings& settings = small_settings()) {
    shard_.reset();  // before its file is opened again
    auto shard = Shard::open(settings, now_s_);
    ASSERT_TRUE(shard) << shard.error();
    shard_ = std::move(*shard);
  }
  void TearDown() override { expect_sound(); }
  void expect_sound() {
    if (!shard_) return;
    std::vector<std::string> findings;
    EXPECT_EQ(shard_->audit(findings), 0U) << (findings.empty() ? "" : findings.front());
  }

  MappingIndex find(const OutboundKey& key) { return shard_->find(key, shard_->hash(key)); }
  MappingIndex find_inbound(const Mapping& mapping) {
    return shard_->find_inbound(*shard_->policy().pool.number_of(mapping.outside_address), mapping.protocol,
                                mapping.outside_port);
  }
  net::Result<MappingIndex, Verdict> try_open(const OutboundKey& key) {
    net::Ipv6 b4 = key.subscriber;
    b4.bytes[15] = 1;
    return shard_->open_mapping(key, shard_->hash(key), b4, 0, remote_, now_s_);
  }
  MappingIndex open(const OutboundKey& key) {
    const auto made = try_open(key);
    EXPECT_TRUE(made) << verdict_texts[static_cast<size_t>(made.error())].name;
    return made.value_or(null_mapping);
  }
  std::optional<Verdict> send(MappingIndex index, net::Endpoint remote, uint8_t flags = 0) {
    return shard_->admit_outbound(index, (*shard_)[index].b4, 0, remote, flags, now_s_);
  }
  std::optional<Verdict> receive(MappingIndex index, net::Endpoint remote, uint8_t flags = 0) {
    return shard_->admit_inbound(index, remote, flags, now_s_);
  }
  void outbound(MappingIndex index) { EXPECT_FALSE(send(index, remote_)); }
  void tcp(MappingIndex index, bool is_outbound, uint8_t flags) {
    EXPECT_FALSE(is_outbound ? send(index, remote_, flags) : receive(index, remote_, flags));
  }
  net::Endpoint outside(MappingIndex index) { return (*shard_)[index].outside(); }

  void advance(uint32_t seconds) {
    now_s_ += seconds;
    shard_->expire(now_s_, ~uint32_t{0});
  }
  // As the worker would: a look every second.
  void advance_slowly(uint32_t seconds) {
    while (seconds-- > 0) advance(1);
  }

  CommandResult command(Command::Verb verb, const OutboundKey& key, uint32_t lifetime_s = 0,
                        net::Endpoint suggested = {}, bool exact = false) {
    Command command;
    command.ticket = ++ticket_;
    command.verb = verb;
    command.key = key;
    command.b4 = key.subscriber;
    command.b4.bytes[15] = 1;
    command.lifetime_s = lifetime_s;
    command.suggested = suggested;
    command.exact = exact;
    CommandResult result = shard_->execute(command, now_s_);
    EXPECT_EQ(result.ticket, ticket_);
    while (result.resume != 0) {  // as who asks would
      command.resume = result.resume;
      const CommandResult rest = shard_->execute(command, now_s_);
      result.ended += rest.ended, result.kept += rest.kept, result.resume = rest.resume;
    }
    return result;
  }

  std::unique_ptr<Shard> shard_;
  uint32_t now_s_ = start_s;
  uint64_t ticket_ = 0;
  net::Endpoint remote_{{0xc6336409}, {53}};
};

}  // namespace portolan::nat
