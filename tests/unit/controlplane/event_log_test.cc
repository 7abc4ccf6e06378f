// Records: their text, their numbers, and what happens to them while the sink takes none.
#include "controlplane/event_log.h"

#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

#include "dataplane/net/text.h"
#include "tests/unit/controlplane/temporary_folder.h"

namespace portolan::control {
namespace {

struct FakeSink : LineSink {
  explicit FakeSink(std::vector<std::string>& lines, bool& works) : lines_(lines), works_(works) {}
  std::optional<std::string> write(std::string_view line) override {
    if (!works_) return "No space left on device";
    lines_.emplace_back(line);
    return std::nullopt;
  }
  std::vector<std::string>& lines_;
  bool& works_;
};

class EventLogTest : public testing::Test {
 protected:
  const EventLog::Time noon_{std::chrono::milliseconds(1'795'348'800'123)};  // 2026-11-22T12:00:00.123Z
  std::vector<std::string> lines_, said_;
  bool works_ = true;
  EventLog log_{std::make_unique<FakeSink>(lines_, works_), "file:/x",
                [this](std::string_view line) { said_.emplace_back(line); }};

  void add(size_t count) {
    for (size_t i = 0; i < count; ++i) log_.add("test", "", noon_);
  }
};

// Also shows CGN-024, CGN-031, DSL-073, LOG-002.
TEST_F(EventLogTest, LOG_011_DSL_063_DSL_064_a_block_is_one_record_with_all_its_fields) {
  nat::Event event;
  event.kind = nat::Event::Kind::block_allocated;
  event.subscriber = *net::parse_ipv6("2001:db8:b:100::");
  event.address = *net::parse_ipv4("192.0.2.1");
  event.first = {1024}, event.last = {1279};
  auto record = block_record(event, 3, 56);
  ASSERT_TRUE(record);
  log_.add(record->what, record->fields, noon_);
  event.kind = nat::Event::Kind::block_released;
  record = block_record(event, 3, 56);
  ASSERT_TRUE(record);
  log_.add(record->what, record->fields, noon_ + std::chrono::seconds(3600));
  EXPECT_EQ(log_.flush(0), 2U);
  EXPECT_EQ(lines_, (std::vector<std::string>{
                        "2026-11-22T12:00:00.123Z block-allocated record=1 subscriber=2001:db8:b:100::/56 "
                        "outside=192.0.2.1 ports=1024-1279 worker=3",
                        "2026-11-22T13:00:00.123Z block-released record=2 subscriber=2001:db8:b:100::/56 "
                        "outside=192.0.2.1 ports=1024-1279 worker=3"}));
}

TEST_F(EventLogTest, a_subscriber_without_a_softwire_is_his_address) {
  nat::Event event;
  event.kind = nat::Event::Kind::block_allocated;
  event.subscriber = net::mapped(*net::parse_ipv4("100.64.0.7"));
  event.address = *net::parse_ipv4("192.0.2.1");
  event.first = {1024}, event.last = {1279};
  EXPECT_EQ(block_record(event, 0, 56)->fields, "subscriber=100.64.0.7 outside=192.0.2.1 ports=1024-1279 worker=0");
}

TEST_F(EventLogTest, PCD_010_a_PCP_mapping_is_a_record_with_its_origin_and_lifetime) {
  pcp::MappingEvent event;
  event.key.mapping = {*net::parse_ipv6("2001:db8:b:100::"), *net::parse_ipv4("10.0.0.10"), {80}, net::Protocol::tcp};
  event.mapping.outside = {*net::parse_ipv4("192.0.2.1"), {8080}};
  event.mapping.client.b4 = *net::parse_ipv6("2001:db8:b:100::1");
  event.mapping.client.port = {40000};
  event.mapping.expires_s = 8'600;
  const std::string who = "subscriber=2001:db8:b:100::/56 inside=10.0.0.10:80 outside=192.0.2.1:8080 protocol=tcp";
  EXPECT_EQ(mapping_record(event, 56, 5'000).what, "mapping-made");
  EXPECT_EQ(mapping_record(event, 56, 5'000).fields, who + " origin=pcp lifetime=3600");
  event.mapping.open_nonce = true;
  EXPECT_EQ(mapping_record(event, 56, 5'000).fields, who + " origin=nat-pmp lifetime=3600");
  event.mapping.client.port = {};
  event.kind = pcp::MappingEvent::Kind::ended;
  EXPECT_EQ(mapping_record(event, 56, 5'000).what, "mapping-ended");
  EXPECT_EQ(mapping_record(event, 56, 5'000).fields, who + " origin=operator");
  event.key.remote = {*net::parse_ipv4("203.0.113.5"), {53}};
  event.mapping.ports = 4;
  event.mapping.third_party = true;
  EXPECT_EQ(mapping_record(event, 56, 5'000).fields,
            who + " remote=203.0.113.5:53 ports=4 origin=operator asked-by=2001:db8:b:100::1");
}

TEST_F(EventLogTest, other_events_are_no_records) {
  nat::Event event;
  event.kind = nat::Event::Kind::audit_fault;
  EXPECT_FALSE(block_record(event, 0, 56));
}

TEST_F(EventLogTest, LOG_016_records_wait_for_a_sink_that_is_down) {
  works_ = false;
  add(3);
  EXPECT_EQ(log_.flush(0), 0U);
  add(2);
  EXPECT_EQ(log_.flush(500), 0U);
  EXPECT_EQ(said_, std::vector<std::string>{"event log file:/x takes no records: No space left on device; up to 16384 "
                                            "wait for it, more are lost"});
  works_ = true;
  EXPECT_EQ(log_.flush(999), 0U) << "a second between tries";
  EXPECT_EQ(log_.flush(1000), 5U);
  EXPECT_EQ(lines_.back(), "2026-11-22T12:00:00.123Z test record=5");
  EXPECT_EQ(log_.lost(), 0U);
  EXPECT_EQ(said_.size(), 1U);
  log_.flush(10'000);
  ASSERT_EQ(said_.size(), 2U);
  EXPECT_EQ(said_.back(), "event log file:/x takes records again; 0 were lost");
  log_.flush(20'000);
  EXPECT_EQ(said_.size(), 2U);
}

TEST_F(EventLogTest, LOG_016_what_finds_no_room_is_counted_and_a_gap_in_the_numbers) {
  works_ = false;
  log_.flush(0);
  add(EventLog::waiting_max + 100);
  EXPECT_EQ(log_.lost(), 100U);
  log_.flush(0);
  works_ = true;
  for (uint64_t now = 1000; log_.waiting() > 0; now += 1) log_.flush(now);
  add(1);
  log_.flush(20'000);
  EXPECT_EQ(lines_.size(), EventLog::waiting_max + 1);
  EXPECT_EQ(lines_.back(), "2026-11-22T12:00:00.123Z test record=" + std::to_string(EventLog::waiting_max + 101));
  EXPECT_EQ(said_.size(), 2U);
}

TEST_F(EventLogTest, LOG_016_what_a_shard_could_not_hand_over_is_a_record_itself) {
  add(1);
  log_.add_lost(41, noon_);
  log_.add_lost(0, noon_);
  add(1);
  log_.flush(0);
  EXPECT_EQ(lines_, (std::vector<std::string>{"2026-11-22T12:00:00.123Z test record=1",
                                              "2026-11-22T12:00:00.123Z records-lost record=43 count=41",
                                              "2026-11-22T12:00:00.123Z test record=44"}));
  EXPECT_EQ(log_.lost(), 41U);
}

TEST_F(EventLogTest, a_sink_that_flaps_is_said_to_be_down_once) {
  for (uint64_t now = 0; now < 60'000; now += 100) {
    works_ = now / 1000 % 2 == 1;
    add(1);
    log_.flush(now);
  }
  EXPECT_EQ(said_.size(), 1U);
}

TEST_F(EventLogTest, a_flush_is_bounded) {
  add(EventLog::written_per_flush_max * 2);
  EXPECT_EQ(log_.flush(0), EventLog::written_per_flush_max);
  EXPECT_EQ(log_.flush(0), EventLog::written_per_flush_max);
  add(5);
  log_.flush_all();
  EXPECT_EQ(log_.waiting(), 0U);
}

TEST_F(EventLogTest, another_sink_takes_over_what_waits) {
  works_ = false;
  add(2);
  log_.flush(0);
  std::vector<std::string> others;
  bool yes = true;
  log_.use(std::make_unique<FakeSink>(others, yes), "file:/y");
  log_.flush(1);
  EXPECT_EQ(others.size(), 2U);
}

// -- the sinks themselves --

std::string contents(const std::filesystem::path& path) {
  std::ifstream in(path);
  return (std::stringstream() << in.rdbuf()).str();
}

TEST(LineSinkTest, a_file_is_appended_to_and_begun_anew_after_it_was_moved) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "events.log";
  std::ofstream(path) << "before\n";
  auto sink = open_sink({LogTarget::Kind::file, path});
  ASSERT_TRUE(sink) << sink.error();
  EXPECT_EQ((*sink)->write("one"), std::nullopt);
  std::filesystem::rename(path, folder.path() / "events.log.1");
  EXPECT_EQ((*sink)->write("two"), std::nullopt);
  (*sink)->reopen();
  EXPECT_EQ((*sink)->write("three"), std::nullopt);
  EXPECT_EQ(contents(folder.path() / "events.log.1"), "before\none\ntwo\n");
  EXPECT_EQ(contents(path), "three\n");
}

TEST(LineSinkTest, a_full_disk_is_an_error_and_so_is_a_missing_folder) {
  auto sink = open_sink({LogTarget::Kind::file, "/dev/full"});
  ASSERT_TRUE(sink);
  EXPECT_EQ((*sink)->write("one"), "No space left on device");
  const auto nowhere = open_sink({LogTarget::Kind::file, "/nonexistent/dir/x"});
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error(),
            "/nonexistent/dir/x cannot be opened: No such file or directory; give a file portoland may write");
}

TEST(LineSinkTest, a_pipe_nobody_reads_does_not_hold_the_writer_up) {
  const TemporaryFolder folder;
  const auto path = (folder.path() / "pipe").string();
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
  auto sink = open_sink({LogTarget::Kind::file, path});
  ASSERT_TRUE(sink) << sink.error();
  const std::string line(1000, 'x');
  std::optional<std::string> problem;
  for (int i = 0; i < 1000 && !problem; ++i) problem = (*sink)->write(line);
  EXPECT_EQ(problem, "its reader does not keep up");
  ::close(reader);
}

TEST(LineSinkTest, syslog_is_told_when_nobody_listens_and_found_again) {
  const TemporaryFolder folder;
  const auto path = (folder.path() / "log").string();
  const auto sink = syslog_sink(path);
  EXPECT_EQ(sink->write("lost"), path + ": No such file or directory");
  const auto listen = [&path] {
    const int daemon = ::socket(AF_UNIX, SOCK_DGRAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ::unlink(path.c_str());
    EXPECT_EQ(::bind(daemon, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return daemon;
  };
  const auto hear = [](int daemon) {
    char bytes[256];
    const auto got = ::recv(daemon, bytes, sizeof bytes, MSG_DONTWAIT);
    return std::string(bytes, got > 0 ? static_cast<size_t>(got) : 0);
  };
  int daemon = listen();
  EXPECT_EQ(sink->write("one"), std::nullopt);
  const auto heard = hear(daemon);
  EXPECT_TRUE(heard.starts_with("<30>") && heard.ends_with("]: one")) << heard;
  ::close(daemon);
  EXPECT_NE(sink->write("while it restarts"), std::nullopt);
  daemon = listen();
  EXPECT_EQ(sink->write("two"), std::nullopt);
  EXPECT_TRUE(hear(daemon).ends_with("]: two"));
  for (int i = 0; i < 10'000; ++i)
    if (sink->write("flood")) break;
  EXPECT_NE(sink->write("full"), std::nullopt) << "its queue is full, and nobody waited for it";
  ::close(daemon);
}

TEST(SubscriberRecord, DSL_084_CGN_022_a_limit_and_a_change_of_b4_are_told) {
  nat::Event event;
  event.kind = nat::Event::Kind::quota;
  event.subscriber = *net::parse_ipv6("2001:db8:b:100::");
  event.address = *net::parse_ipv4("192.0.2.1");
  event.protocol = net::Protocol::udp;
  event.verdict = nat::Verdict::mapping_limit;
  auto record = subscriber_record(event, 2, 56);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->what, "quota-reached");
  EXPECT_EQ(record->fields,
            "subscriber=2001:db8:b:100::/56 outside=192.0.2.1 protocol=udp limit=mapping_limit worker=2");
  event.kind = nat::Event::Kind::b4_conflict;
  event.b4 = *net::parse_ipv6("2001:db8:b:100::9");
  record = subscriber_record(event, 0, 56);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->what, "b4-conflict");
  EXPECT_EQ(record->fields, "subscriber=2001:db8:b:100::/56 b4=2001:db8:b:100::9 worker=0");
  event.kind = nat::Event::Kind::block_allocated;
  EXPECT_FALSE(subscriber_record(event, 0, 56));
}

}  // namespace
}  // namespace portolan::control
