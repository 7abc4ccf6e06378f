// What is written comes back; what is torn is an error and never half a state.
#include "ddns-client-ref/state_file.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "dataplane/net/text.h"

namespace portolan::ddns {
namespace {

using std::chrono::seconds;
constexpr WallOffset offset{1'790'000'000};

State sample() {
  Registration record{"home1.example", "web", net::Protocol::tcp, *net::parse_endpoint("192.0.2.1:1234"),
                      "http",          "/",   "Home \xc3\xa9",    600,
                      "http"};
  SavedMapping mapping{"2001:db8:a::1",
                       net::Protocol::udp,
                       *net::parse_endpoint("10.0.0.10:80"),
                       {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xab, 0xff},
                       *net::parse_endpoint("192.0.2.1:1234"),
                       Time(seconds(7200))};
  return {"http://ddns.example/",
          {{record, Time(seconds(100))}},
          {mapping},
          {{mapping, net::Port{uint16_t{8080}}, "a \"game\"", Time(seconds(9000))},
           {mapping, {}, "", {}, net::parse_ipv4("198.51.100.9")}}};
}

struct StateFile : ::testing::Test {
  std::filesystem::path folder =
      std::filesystem::path(::testing::TempDir()) /
      (std::string("state_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
  std::string path = (folder / "state.json").string();
  void SetUp() override {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
  }
  void TearDown() override { std::filesystem::remove_all(folder); }
};

TEST_F(StateFile, comes_back_after_a_reboot) {
  ASSERT_TRUE(save_state(path, sample(), offset));
  const WallOffset later = offset + seconds(86400);  // the machine was off for a while: boot time began anew
  const auto loaded = load_state(path, later);
  ASSERT_TRUE(loaded) << loaded.error();
  ASSERT_EQ(loaded->registrations.size(), 1U);
  EXPECT_TRUE(same_record(loaded->registrations[0].record, sample().registrations[0].record));
  EXPECT_EQ(loaded->registrations[0].record.lifetime_s, 600U);
  EXPECT_EQ(loaded->registrations[0].at, Time(seconds(100 - 86400)));
  ASSERT_EQ(loaded->mappings.size(), 1U);
  EXPECT_EQ(loaded->mappings[0].nonce, sample().mappings[0].nonce);
  EXPECT_EQ(loaded->mappings[0].inside, sample().mappings[0].inside);
  EXPECT_EQ(loaded->mappings[0].expires, Time(seconds(7200 - 86400)));
}

TEST(SavedMapping, PCC_004_no_server_is_told_anothers_nonce) {
  const State state = sample();
  const SavedMapping& mapping = state.mappings[0];
  const auto* same = saved_mapping(state, "2001:db8:a::1", mapping.protocol, mapping.inside);
  ASSERT_NE(same, nullptr);
  EXPECT_EQ(same->nonce, mapping.nonce);
  EXPECT_EQ(saved_mapping(state, "2001:db8:a::2", mapping.protocol, mapping.inside), nullptr);
  EXPECT_EQ(saved_mapping(state, "2001:db8:a::1", net::Protocol::tcp, mapping.inside), nullptr);
}

TEST_F(StateFile, leases_come_back_with_their_end_or_without) {
  ASSERT_TRUE(save_state(path, sample(), offset));
  const auto loaded = load_state(path, offset);
  ASSERT_TRUE(loaded) << loaded.error();
  ASSERT_EQ(loaded->leases.size(), 2U);
  EXPECT_EQ(loaded->leases[0].known_as, net::Port{uint16_t{8080}});
  EXPECT_EQ(loaded->leases[0].description, "a \"game\"");
  EXPECT_EQ(loaded->leases[0].ends, Time(seconds(9000)));
  EXPECT_EQ(loaded->leases[0].mapping.nonce, sample().mappings[0].nonce);
  EXPECT_FALSE(loaded->leases[1].ends);
  EXPECT_FALSE(loaded->leases[0].remote);
  EXPECT_EQ(loaded->leases[1].remote, net::parse_ipv4("198.51.100.9"));
}

TEST_F(StateFile, a_file_of_a_version_without_leases_and_types_is_read) {
  std::string text = to_json(sample(), offset);
  for (const char* line : {"\"leases\"", "\"type\""}) {
    const size_t at = text.find(line);
    ASSERT_NE(at, std::string::npos) << line;
    text.replace(at + 1, 1, "x");
  }
  const auto loaded = from_json(text, offset);
  ASSERT_TRUE(loaded) << loaded.error();
  EXPECT_TRUE(loaded->leases.empty());
  EXPECT_EQ(loaded->registrations.at(0).record.type, "");
}

TEST_F(StateFile, no_file_is_an_empty_state) {
  const auto loaded = load_state(path, offset);
  ASSERT_TRUE(loaded);
  EXPECT_TRUE(loaded->registrations.empty());
}

TEST_F(StateFile, torn_anywhere_is_an_error) {
  const std::string whole = to_json(sample(), offset);
  for (size_t bytes = 0; bytes + 2 < whole.size(); ++bytes) {  // without its final newline it is still whole
    std::ofstream(path, std::ios::trunc) << whole.substr(0, bytes);
    EXPECT_FALSE(load_state(path, offset)) << bytes;
  }
}

TEST_F(StateFile, foreign_content_is_an_error) {
  const std::string whole = to_json(sample(), offset);
  const auto with = [&](std::string_view from, std::string_view to) {
    std::string text = whole;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return from_json(text.replace(at, from.size(), to), offset);
  };
  EXPECT_FALSE(with("\"version\": 1", "\"version\": 2"));
  EXPECT_FALSE(with("192.0.2.1", "192.0.2.256"));
  EXPECT_FALSE(with("\"tcp\"", "\"ip\""));
  EXPECT_FALSE(with("000102", "00x102"));
  EXPECT_FALSE(with("000102", "0102"));
  EXPECT_FALSE(with("1234", "\"1234\""));
  EXPECT_FALSE(from_json("[]", offset));
  EXPECT_FALSE(from_json("{}", offset));
}

TEST_F(StateFile, is_private_and_leaves_no_temporary_file) {
  ASSERT_TRUE(save_state(path, sample(), offset));
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
}

TEST_F(StateFile, is_one_clients_at_a_time) {
  auto first = StateLock::take(path);
  ASSERT_TRUE(first);
  const auto second = StateLock::take(path);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().find("in use by another portolan-ddns"), std::string::npos) << second.error();
  { const StateLock given_up = std::move(*first); }
  EXPECT_TRUE(StateLock::take(path));
}

TEST_F(StateFile, a_write_that_fails_leaves_the_old_state) {
  ASSERT_TRUE(save_state(path, sample(), offset));
  std::filesystem::create_directory(path + ".new");  // stands in the way, for root too
  EXPECT_FALSE(save_state(path, State{}, offset));
  EXPECT_EQ(load_state(path, offset)->registrations.size(), 1U);
}

}  // namespace
}  // namespace portolan::ddns
