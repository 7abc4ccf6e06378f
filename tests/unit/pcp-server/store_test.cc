// The store: what is said to be done is there when the file is opened again, whatever happened in between.
#include "pcp-server/store.h"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dataplane/net/text.h"

namespace portolan::pcp::test {
namespace {

class PcpStore : public testing::Test {
 protected:
  PcpStore() {
    std::string name = std::filesystem::temp_directory_path() / "portolan-store-XXXXXX";
    directory_ = mkdtemp(name.data());
    path_ = directory_ + "/deeper/pcp.sqlite";
  }
  ~PcpStore() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }
  void open() {
    store_.reset();
    auto opened = Store::open(path_, now_s_);
    ASSERT_TRUE(opened) << opened.error();
    store_ = std::move(opened->store);
    contents_ = std::move(opened->contents);
  }
  std::string refusal() {
    const auto opened = Store::open(path_, now_s_);
    return opened ? "" : opened.error();
  }
  static RecordKey key(uint16_t port) {
    return {{*net::parse_ipv6("2001:db8:100::"), *net::parse_ipv4("10.0.0.10"), {port}, net::Protocol::udp}, {}};
  }
  Granted granted(uint16_t port) const {
    Granted out;
    out.mapping.outside = {*net::parse_ipv4("192.0.2.7"), {port}};
    out.mapping.expires_s = now_s_ + 3600;
    out.mapping.client = {*net::parse_ipv6("2001:db8:100:1::1"),
                          *net::parse_ipv4("10.0.0.10"),
                          net::mapped(*net::parse_ipv4("192.0.0.1")),
                          {40000}};
    out.mapping.b4 = out.mapping.client.b4;
    out.nonce.fill(static_cast<uint8_t>(port));
    return out;
  }
  // Submits and waits for the outcomes of those with a ticket.
  std::map<uint64_t, bool> write(std::vector<Store::Item> items) {
    size_t tickets = 0;
    for (const auto& item : items)
      if (const auto* change = std::get_if<Change>(&item)) tickets += change->ticket != 0;
    store_->submit(std::move(items));
    std::map<uint64_t, bool> outcomes;
    for (int tries = 0; tries < 10'000 && outcomes.size() < tickets; ++tries) {
      for (const auto& outcome : store_->poll()) outcomes[outcome.ticket] = outcome.done;
      usleep(1'000);
    }
    return outcomes;
  }

  std::string directory_, path_;
  uint64_t now_s_ = 1'000'000;
  std::unique_ptr<Store> store_;
  Store::Contents contents_;
};

TEST_F(PcpStore, a_new_one_is_empty_and_says_so) {
  open();
  EXPECT_TRUE(contents_.records.empty());
  EXPECT_TRUE(contents_.epochs.empty());
}

TEST_F(PcpStore, PCP_191_everything_of_a_record_comes_back) {
  open();
  Granted whole = granted(5000);
  whole.mapping.ended = whole.mapping.prefer_failure = true;
  whole.mapping.ports = 16;
  whole.mapping.filters = {{{*net::parse_ipv4("203.0.113.0"), 24}, {1234}},
                           {{*net::parse_ipv4("203.0.113.7"), 32}, {}}};
  whole.mapping.description = "web \xe2\x82\xac";
  Granted other = granted(5001);
  other.mapping.open_nonce = other.mapping.third_party = true;
  other.mapping.client.inner.reset();
  RecordKey peer = key(5001);
  peer.remote = {*net::parse_ipv4("203.0.113.5"), {53}};
  EXPECT_EQ(write({Change{1, key(5000), whole}, Change{2, peer, other}, EpochChange{std::nullopt, now_s_ - 50}}),
            (std::map<uint64_t, bool>{{1, true}, {2, true}}));
  open();
  const std::map<RecordKey, Granted> found(contents_.records.begin(), contents_.records.end());
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found.at(key(5000)), whole);
  EXPECT_EQ(found.at(peer), other);
}

// However much is written: nobody else ever waits for the log to be copied, and it does not grow for that.
TEST_F(PcpStore, the_log_has_its_size_from_the_start_and_keeps_it) {
  constexpr uint16_t records = 20'000, groups = 20;
  open();
  const auto log_bytes = [this] { return std::filesystem::file_size(path_ + "-wal"); };
  const auto whole = log_bytes();
  EXPECT_GT(whole, uint64_t{4'096} * 4'096);
  for (uint16_t group = 0; group < groups; ++group) {  // the first makes all records, the others touch every page
    std::vector<Store::Item> items;
    const uint16_t step = group == 0 ? 1 : groups;
    for (uint16_t port = group == 0 ? 1 : group; port <= records; port = static_cast<uint16_t>(port + step))
      items.emplace_back(Change{0, key(port), granted(port)});
    items.emplace_back(Change{1, key(1), granted(1)});
    EXPECT_EQ(write(std::move(items)), (std::map<uint64_t, bool>{{1, true}}));
  }
  EXPECT_LE(log_bytes(), whole + whole / 2);
  open();
  EXPECT_EQ(contents_.records.size(), records);
}

TEST_F(PcpStore, a_record_is_replaced_and_erased) {
  open();
  Granted longer = granted(5000);
  longer.mapping.expires_s += 100;
  write({Change{1, key(5000), granted(5000)}, Change{2, key(5001), granted(5001)}, Change{3, key(5000), longer},
         Change{4, key(5001), std::nullopt}});
  open();
  ASSERT_EQ(contents_.records.size(), 1U);
  EXPECT_EQ(contents_.records[0].second, longer);
}

TEST_F(PcpStore, epochs_and_that_everybodys_ends_those_of_single_ones) {
  open();
  const net::Ipv6 one = *net::parse_ipv6("2001:db8:100::");
  write({EpochChange{one, 5}, EpochChange{std::nullopt, now_s_ - 2'000'000}, EpochChange{one, 77},
         Change{1, key(1), granted(1)}});
  open();
  ASSERT_EQ(contents_.epochs.size(), 2U);
  EXPECT_EQ(contents_.epochs[0].subscriber, std::nullopt);
  EXPECT_EQ(static_cast<uint32_t>(now_s_ - contents_.epochs[0].start_s), 2'000'000U);  // before the clock's zero
  EXPECT_EQ(contents_.epochs[1].subscriber, one);
  EXPECT_EQ(contents_.epochs[1].start_s, 77U);
  write({EpochChange{std::nullopt, 100}, Change{1, key(1), std::nullopt}});
  open();
  ASSERT_EQ(contents_.epochs.size(), 1U);
  EXPECT_EQ(contents_.epochs[0].start_s, 100U);
}

// What was acknowledged before the kill is there, and the file is sound.
TEST_F(PcpStore, a_killed_process_loses_nothing_that_was_acknowledged) {
  int acknowledged[2];
  ASSERT_EQ(pipe(acknowledged), 0);
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);  // should nobody kill it
    auto opened = Store::open(path_, now_s_);
    for (uint16_t port = 1; opened; port = std::min<uint16_t>(port + 1, 60'000)) {  // then waits for a slow disk
      if (port < 60'000) opened->store->submit({Change{port, key(port), granted(port)}});
      for (const auto& outcome : opened->store->poll())
        if (outcome.done && ::write(acknowledged[1], &outcome.ticket, sizeof outcome.ticket) < 0) _exit(1);
    }
    _exit(0);
  }
  close(acknowledged[1]);
  std::vector<uint64_t> tickets(500);
  size_t got = 0;
  for (; got < tickets.size(); ++got)
    if (read(acknowledged[0], &tickets[got], sizeof tickets[got]) != sizeof tickets[got]) break;
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(acknowledged[0]);
  ASSERT_EQ(got, tickets.size());
  open();
  std::map<RecordKey, Granted> found(contents_.records.begin(), contents_.records.end());
  for (const uint64_t ticket : tickets) {
    const auto port = static_cast<uint16_t>(ticket);
    EXPECT_EQ(found.at(key(port)), granted(port));
  }
}

// A file that may not grow stands for a full disk.
TEST_F(PcpStore, PCP_054_a_full_disk_refuses_the_group_and_keeps_the_old) {
  open();
  ASSERT_TRUE(write({Change{1, key(5000), granted(5000)}}).at(1));
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit none{1, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &none);
  const auto outcomes = write(
      {Change{2, key(5001), granted(5001)}, Change{3, key(5000), std::nullopt}, EpochChange{std::nullopt, now_s_}});
  EXPECT_EQ(outcomes, (std::map<uint64_t, bool>{{2, false}, {3, false}}));
  EXPECT_TRUE(store_->fault());
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_TRUE(write({Change{4, key(5002), granted(5002)}}).at(4));
  EXPECT_FALSE(store_->fault());
  open();
  std::map<RecordKey, Granted> found(contents_.records.begin(), contents_.records.end());
  EXPECT_TRUE(found.contains(key(5000)));
  EXPECT_FALSE(found.contains(key(5001)));
  EXPECT_TRUE(found.contains(key(5002)));
  EXPECT_EQ(contents_.epochs.size(), 1U);  // nobody waited for it, so it was tried again
}

TEST_F(PcpStore, a_damaged_one_is_refused_untouched) {
  open();
  for (uint16_t port = 1; port < 300; ++port) store_->submit({Change{0, key(port), granted(port)}});
  write({Change{1, key(5000), granted(5000)}});
  store_.reset();
  {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(std::filesystem::file_size(path_)) - 6000);
    for (int i = 0; i < 5000; ++i) file.put('\xa5');
  }
  const std::string refused = refusal();
  EXPECT_NE(refused.find("is damaged"), std::string::npos) << refused;
  EXPECT_NE(refused.find("move it away"), std::string::npos) << refused;
  EXPECT_NE(refused.find(path_), std::string::npos) << refused;
  EXPECT_FALSE(refusal().empty());  // and again
}

TEST_F(PcpStore, what_is_no_store_is_refused) {
  std::filesystem::create_directories(directory_ + "/deeper");
  std::ofstream(path_) << std::string(5000, 'x');
  EXPECT_NE(refusal().find("is damaged"), std::string::npos);
  std::filesystem::remove(path_);
  sqlite3* other = nullptr;
  sqlite3_open(path_.c_str(), &other);
  sqlite3_exec(other, "CREATE TABLE t (x)", nullptr, nullptr, nullptr);
  sqlite3_close(other);
  EXPECT_NE(refusal().find("is not a PCP store"), std::string::npos);
  path_ = directory_;
  EXPECT_NE(refusal().find("set pcp.store to"), std::string::npos);
}

TEST_F(PcpStore, another_layout_is_refused) {
  open();
  store_.reset();
  sqlite3* other = nullptr;
  sqlite3_open(path_.c_str(), &other);
  sqlite3_exec(other, "PRAGMA user_version=99", nullptr, nullptr, nullptr);
  sqlite3_close(other);
  EXPECT_NE(refusal().find("layout 99"), std::string::npos);
}

// A reboot: another clock; the calendar tells how much time is left.
TEST_F(PcpStore, lifetimes_go_on_over_a_reboot) {
  open();
  write({Change{1, key(5000), granted(5000)}});
  store_.reset();
  sqlite3* other = nullptr;
  sqlite3_open(path_.c_str(), &other);
  sqlite3_exec(other, "UPDATE meta SET value='another' WHERE name='boot_id'", nullptr, nullptr, nullptr);
  sqlite3_close(other);
  now_s_ = 30;
  open();
  const uint64_t left_s = contents_.records.at(0).second.mapping.expires_s - now_s_;
  EXPECT_LE(left_s, 3600U);
  EXPECT_GE(left_s, 3500U);
}

}  // namespace
}  // namespace portolan::pcp::test
