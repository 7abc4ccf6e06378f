// Messages nobody asked for: how often, how fast, until when.
#include "pcp-server/announcer.h"

#include "tests/unit/pcp-server/fixture.h"

namespace portolan::pcp::test {
namespace {

struct Announcements : PcpServer {
  Announcer announcer;
  static constexpr uint64_t start_ms = 10'000'000;
  uint64_t now_ms = start_ms;

  Notice to(const Source& client, std::optional<RecordKey> about = std::nullopt, unsigned copies = 3) {
    return {client, server.subscriber_of(client.b4), build_announce_response(0), about, copies};
  }
  // When each message left, in milliseconds, looked at every 10.
  std::vector<uint64_t> sent_until(uint64_t end_ms, uint32_t per_s = 1'000) {
    std::vector<uint64_t> times;
    for (; now_ms < start_ms + end_ms; now_ms += 10)
      for (size_t i = announcer.take(server, now_s + (now_ms - start_ms) / 1'000, now_ms, per_s).size(); i > 0; --i)
        times.push_back(now_ms - start_ms);
    return times;
  }
};

// Also shows PCP-200.
TEST_F(Announcements, PCP_198_copies_with_gaps_that_double) {
  announcer.add({to(softwire())}, now_ms);
  EXPECT_EQ(sent_until(20'000), (std::vector<uint64_t>{0, 250, 750}));
  EXPECT_EQ(announcer.waiting(), 0U);
}

TEST_F(Announcements, PCP_198_ten_copies_after_a_loss) {
  announcer.add({to(softwire(), std::nullopt, 10)}, now_ms);
  const auto times = sent_until(200'000);
  ASSERT_EQ(times.size(), 10U);
  for (size_t i = 1; i < times.size(); ++i) EXPECT_EQ(times[i] - times[i - 1], 250U << (i - 1));
}

TEST_F(Announcements, PCP_198_each_has_the_epoch_of_its_moment) {
  announcer.add({to(softwire(), std::nullopt, 5)}, now_ms);
  const auto epoch = [&] { return parse_response(announcer.take(server, now_s, now_ms, 9).at(0).message)->epoch_s; };
  EXPECT_EQ(epoch(), 100U);
  now_ms += 250, now_s += 7;
  EXPECT_EQ(epoch(), 107U);
}

TEST_F(Announcements, PCP_199_a_thousand_clients_at_the_rate_allowed) {
  std::vector<Notice> thousand;
  for (uint16_t i = 0; i < 1000; ++i) {
    Source client = softwire();
    client.port = port(static_cast<uint16_t>(1 + i));
    thousand.push_back(to(client, std::nullopt, 1));
  }
  announcer.add(thousand, now_ms);
  const auto times = sent_until(20'000, 100);
  EXPECT_EQ(times.size(), 1000U);
  for (uint64_t second = 0; second < 10; ++second)
    EXPECT_EQ(std::ranges::count_if(times, [&](uint64_t at) { return at / 1'000 == second; }), 100);
}

TEST_F(Announcements, PCP_200_no_more_copies_once_the_client_has_renewed) {
  map(udp(5000));
  const RecordKey key{key_of(5000), {}};
  announcer.add({to(softwire(), key)}, now_ms);
  EXPECT_EQ(sent_until(100), (std::vector<uint64_t>{0}));
  now_s += 1;
  map(udp(5000));
  EXPECT_TRUE(sent_until(20'000).empty());
}

}  // namespace
}  // namespace portolan::pcp::test
