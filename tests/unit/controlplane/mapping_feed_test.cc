// What readers of the feed are told, whatever becomes of the mappings meanwhile.
#include "controlplane/mapping_feed.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sstream>

#include "controlplane/feed_source.h"
#include "tests/unit/nat/fixture.h"

namespace portolan::control {
namespace {

using Lines = std::vector<nlohmann::json>;

Lines lines_of(const std::string& text) {
  Lines out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) out.push_back(nlohmann::json::parse(line));
  return out;
}

FedMapping mapping(uint16_t inside_port, uint16_t outside_port) {
  return {*net::parse_ipv6("2001:db8:1::"),
          {*net::parse_ipv4("10.0.0.2"), {inside_port}},
          {*net::parse_ipv4("192.0.2.1"), {outside_port}},
          net::Protocol::tcp};
}

// What a reader makes of it: inside -> outside. He who is told too little, twice or in the wrong order ends up wrong.
class Reader {
 public:
  explicit Reader(const MappingFeed& feed) : feed_(feed), cursor_(feed.attach("", std::nullopt)) {}

  size_t read(size_t lines_max = 1000) {
    std::string text;
    feed_.read(cursor_, text, lines_max);
    const auto lines = lines_of(text);
    for (const auto& line : lines) take(line);
    return lines.size();
  }
  void come_back() { cursor_ = feed_.attach(instance_, sequence_); }

  std::map<std::string, std::string> outside;
  Lines told;
  int snapshots = 0, resyncs = 0;

 private:
  void take(const nlohmann::json& line) {
    told.push_back(line);
    const std::string event = line["event"];
    if (event == "hello") instance_ = line["instance"];
    if (event == "resync") ++resyncs;
    if (event == "snapshot") ++snapshots, outside.clear();
    if (line.contains("sequence")) sequence_ = line["sequence"];
    if (!line.contains("inside")) return;
    const std::string inside = std::string(line["subscriber"]) + " " + std::string(line["inside"]);
    if (event == "ended")
      outside.erase(inside);
    else
      outside[inside] = line["outside"];
  }

  const MappingFeed& feed_;
  FeedCursor cursor_;
  std::string instance_;
  uint64_t sequence_ = 0;
};

TEST(MappingFeed, a_new_reader_gets_what_is_there_then_what_changes) {
  MappingFeed feed(56, 32);
  feed.put(1, mapping(80, 2000));
  Reader reader(feed);
  EXPECT_EQ(reader.read(), 0U) << "not before all there was is known";
  feed.complete();
  reader.read();
  ASSERT_EQ(reader.told.size(), 4U);
  EXPECT_EQ(reader.told[0]["begins"], "snapshot");
  EXPECT_EQ(reader.told[2]["event"], "mapping");
  EXPECT_EQ(reader.told[2]["subscriber"], "2001:db8:1::/56");
  EXPECT_EQ(reader.told[2]["inside"], "10.0.0.2:80");
  EXPECT_EQ(reader.told[2]["outside"], "192.0.2.1:2000");
  EXPECT_EQ(reader.told[2]["protocol"], "tcp");
  EXPECT_EQ(reader.told[3]["event"], "snapshot-end");
  feed.put(2, mapping(81, 2001));
  feed.put(3, mapping(80, 2002));  // the same inside has another record: its mapping has moved
  feed.remove(1);                  // and the old record's end is old news
  feed.remove(2);
  reader.told.clear();
  EXPECT_EQ(reader.read(), 3U);
  EXPECT_EQ(reader.told[0]["event"], "made");
  EXPECT_EQ(reader.told[1]["event"], "moved");
  EXPECT_EQ(reader.told[1]["was"], "192.0.2.1:2000");
  EXPECT_EQ(reader.told[2]["event"], "ended");
  EXPECT_EQ(reader.told[2]["sequence"].get<uint64_t>(), reader.told[1]["sequence"].get<uint64_t>() + 1);
  EXPECT_EQ(reader.read(), 0U);
}

TEST(MappingFeed, renewals_are_no_news) {
  MappingFeed feed(56, 32);
  feed.put(1, mapping(80, 2000));
  const auto before = feed.sequence();
  feed.put(1, mapping(80, 2000));
  feed.remove(2);
  EXPECT_EQ(feed.sequence(), before);
}

TEST(MappingFeed, a_record_that_became_anothers_is_an_end_and_a_beginning) {
  MappingFeed feed(56, 32);
  feed.complete();
  feed.put(1, mapping(80, 2000));
  Reader reader(feed);
  reader.read();
  feed.put(1, mapping(81, 2000));
  reader.told.clear();
  reader.read();
  ASSERT_EQ(reader.told.size(), 2U);
  EXPECT_EQ(reader.told[0]["event"], "ended");
  EXPECT_EQ(reader.outside.size(), 1U);
}

TEST(MappingFeed, who_comes_back_goes_on_where_he_was) {
  MappingFeed feed(56, 32);
  feed.complete();
  Reader reader(feed);
  reader.read();
  feed.put(1, mapping(80, 2000));
  reader.read();
  for (uint16_t port = 81; port < 90; ++port) feed.put(port, mapping(port, port));
  reader.come_back();
  reader.read();
  EXPECT_EQ(reader.snapshots, 1);
  EXPECT_EQ(reader.outside.size(), 10U);
}

TEST(MappingFeed, another_runs_numbers_mean_nothing) {
  MappingFeed first(56, 32), second(56, 32);
  first.complete(), second.complete();
  Reader reader(first);
  reader.read();
  const std::string instance = reader.told[0]["instance"];
  std::string text;
  auto cursor = second.attach(instance, 0);
  second.read(cursor, text, 10);
  EXPECT_EQ(lines_of(text)[0]["begins"], "snapshot");
}

TEST(MappingFeed, who_is_too_slow_is_told_and_begins_anew) {
  MappingFeed feed(56, 32, 8);
  feed.complete();
  Reader reader(feed);
  reader.read();
  for (uint16_t port = 1; port <= 100; ++port) feed.put(port, mapping(port, port));
  for (uint16_t port = 1; port <= 50; ++port) feed.remove(port);
  while (reader.read(7) > 0) continue;
  EXPECT_EQ(reader.resyncs, 1);
  EXPECT_EQ(reader.outside.size(), 50U);
  reader.come_back();
  reader.read();
  EXPECT_EQ(reader.snapshots, 2) << "what he knows is recent again";
}

TEST(MappingFeed, a_snapshot_in_pieces_and_changes_between_them_end_in_the_truth) {
  MappingFeed feed(56, 32);
  feed.complete();
  for (uint16_t port = 1; port <= 1000; ++port) feed.put(port, mapping(port, port));
  Reader reader(feed);
  for (uint16_t turn = 0; reader.read(10) > 0; ++turn) {
    feed.remove(1000U - turn);                                                         // not told yet
    feed.remove(1U + turn);                                                            // told already
    feed.put(500U + turn, mapping(static_cast<uint16_t>(500 + turn), 9000));           // its outside changes
    feed.put(5000U + turn, mapping(static_cast<uint16_t>(5000 + turn), uint16_t{7}));  // new
    if (turn == 150) break;
  }
  while (reader.read() > 0) continue;
  Reader fresh(feed);
  while (fresh.read() > 0) continue;
  EXPECT_EQ(reader.outside, fresh.outside);
  EXPECT_EQ(reader.snapshots, 1);
  EXPECT_EQ(fresh.outside.size(), feed.size());
}

class FeedOfShard : public nat::ShardTest {
 protected:
  void SetUp() override {
    start();
    shards_.push_back(std::move(shard_));
    shard_ = nullptr;
  }
  nat::Shard& shard() { return *shards_.front(); }
  void map(uint32_t subscriber, uint16_t port, uint32_t lifetime_s, nat::Command::Verb verb) {
    nat::Command command;
    command.verb = verb;
    command.key = nat::key_of(subscriber, port);
    command.b4 = nat::b4_of(subscriber);
    command.lifetime_s = lifetime_s;
    shard().execute(command, now_s_);
  }
  void open(uint32_t subscriber, uint16_t port, uint32_t lifetime_s = 600) {
    map(subscriber, port, lifetime_s, nat::Command::Verb::open_explicit);
  }
  void end(uint32_t subscriber, uint16_t port) { map(subscriber, port, 0, nat::Command::Verb::end_explicit); }
  void drain() {
    while (source_.drain(shards_) > 0) continue;
  }

  std::vector<std::unique_ptr<nat::Shard>> shards_;
  MappingFeed feed_{56, 32};
  FeedSource source_{feed_, 56, 32};
};

TEST_F(FeedOfShard, follows_what_pcp_maps_and_nothing_else) {
  open(1, 80);
  const auto traffic = nat::key_of(2, 80);
  ASSERT_TRUE(shard().open_mapping(traffic, shard().hash(traffic), nat::b4_of(2), 0, remote_, now_s_));
  drain();
  EXPECT_EQ(feed_.size(), 1U);
  EXPECT_EQ(feed_.sequence(), 1U);
  open(1, 80);  // a renewal
  drain();
  EXPECT_EQ(feed_.sequence(), 1U);
  open(2, 80);  // the mapping of traffic becomes PCP's, and later traffic's alone again
  drain();
  EXPECT_EQ(feed_.size(), 2U);
  end(2, 80);
  drain();
  EXPECT_EQ(feed_.size(), 1U);
  now_s_ += 602;
  shard().expire(now_s_, ~0U);
  drain();
  EXPECT_EQ(feed_.size(), 0U);
  EXPECT_EQ(feed_.sequence(), 4U);
}

TEST_F(FeedOfShard, an_explicit_life_that_traffic_outlives_has_ended) {
  open(1, 80, 120);
  const auto key = nat::key_of(1, 80);
  const auto index = shard().find(key, shard().hash(key));
  ASSERT_FALSE(shard().admit_outbound(index, nat::b4_of(1), 0, remote_, 0, now_s_ + 100));
  drain();
  EXPECT_EQ(feed_.size(), 1U);
  shard().expire(now_s_ += 122, ~0U);
  ASSERT_NE(shard().find(key, shard().hash(key)), nat::null_mapping);
  drain();
  EXPECT_EQ(feed_.size(), 0U);
}

TEST_F(FeedOfShard, words_that_were_lost_cost_nothing_but_a_look_at_everything) {
  drain();
  uint16_t ports = 0;
  for (int round = 0; round < 40; ++round)
    for (ports = 0; ports < 60; ++ports) {
      open(1, static_cast<uint16_t>(100 + ports), 1'000'000);
      if (round < 39 || ports % 2 == 0) end(1, static_cast<uint16_t>(100 + ports)), shard().expire(now_s_ += 200, ~0U);
    }
  ASSERT_GT(shard().explicit_changes_lost(), 0U);
  drain();
  EXPECT_EQ(feed_.size(), 30U);
}

}  // namespace
}  // namespace portolan::control
