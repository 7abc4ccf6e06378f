// The configuration's rows as a whole: defaults, the files that are shipped, and each row's range. What single mistakes
// are told is in tests/config.
#include "controlplane/config_file.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <set>
#include <sstream>

#include "controlplane/setting.h"
#include "dataplane/net/text.h"

namespace portolan::control {
namespace {

namespace fs = std::filesystem;

std::string all_of(const std::vector<ConfigError>& errors) {
  std::string out;
  for (const auto& error : errors) out += to_text(error) + '\n';
  return out;
}

std::string contents(const fs::path& path) {
  std::ifstream in(path);
  EXPECT_TRUE(in) << path;
  return (std::stringstream() << in.rdbuf()).str();
}

const std::string smallest = contents(fs::path(PORTOLAN_CONFIGS) / "portolan.conf");

// The smallest file with one line more.
ConfigResult with(std::string_view section, std::string_view key, const std::string& value) {
  return parse_config(smallest + '[' + std::string(section) + "]\n" + std::string(key) + " = " + value + '\n', "test");
}

TEST(Config, every_row_has_its_own_member_section_and_help) {
  Config config;
  std::set<const void*> members;
  std::set<std::string> names;
  for (const auto& setting : settings()) {
    std::visit([&](const auto* member) { EXPECT_TRUE(members.insert(member).second) << setting.name(); },
               setting.field(config));
    EXPECT_TRUE(names.insert(setting.name()).second) << setting.name();
    EXPECT_TRUE(setting.help.ends_with('.')) << setting.name();
    EXPECT_TRUE(std::ranges::any_of(sections(), [&](const auto& each) { return each.name == setting.section; }));
  }
}

TEST(Config, every_default_lies_in_its_own_range) {
  for (const auto& setting : settings()) {
    if (setting.required()) continue;
    for (const auto& value : value_texts(setting, Config{})) {
      if (value.empty()) continue;
      Config config;
      clear_values(setting, config);
      EXPECT_EQ(set_value(setting, config, value), std::nullopt) << setting.name();
      EXPECT_EQ(value_texts(setting, config), value_texts(setting, Config{})) << setting.name();
    }
  }
}

// Shows CGN-016.
TEST(Config, every_number_is_taken_at_its_ends_and_refused_beyond) {
  for (const auto& setting : settings()) {
    Config config;
    if (!std::holds_alternative<uint32_t*>(setting.field(config))) continue;
    EXPECT_EQ(set_value(setting, config, std::to_string(setting.min)), std::nullopt) << setting.name();
    EXPECT_EQ(set_value(setting, config, std::to_string(setting.max)), std::nullopt) << setting.name();
    EXPECT_NE(set_value(setting, config, std::to_string(uint64_t{setting.max} + 1)), std::nullopt) << setting.name();
    EXPECT_NE(set_value(setting, config, std::to_string(int64_t{setting.min} - 1)), std::nullopt) << setting.name();
    EXPECT_EQ(*std::get<uint32_t*>(setting.field(config)), setting.max) << setting.name();
  }
}

TEST(Config, printed_defaults_parse_and_print_the_same) {
  const auto printed = print_config(Config{});
  const auto config = parse_config(printed, "defaults");
  ASSERT_TRUE(config) << all_of(config.error());
  EXPECT_EQ(print_config(*config), printed);
  for (const auto& setting : settings()) {
    if (setting.required()) continue;
    EXPECT_EQ(value_texts(setting, *config), value_texts(setting, Config{})) << setting.name();
  }
}

TEST(Config, any_printed_configuration_parses_again) {
  const auto config = with("softwire", "tcp-mss-clamp", "1380\nallowed-prefix = 2001:db8::/32\nmtu=1420");
  ASSERT_TRUE(config) << all_of(config.error());
  const auto again = parse_config(print_config(*config), "printed");
  ASSERT_TRUE(again) << all_of(again.error());
  EXPECT_EQ(print_config(*again), print_config(*config));
  EXPECT_EQ(again->softwire.tcp_mss_clamp, (MssClamp{MssClamp::Mode::fixed, 1380}));
}

TEST(Config, shipped_files_parse) {
  for (const char* name : {"portolan.conf", "full.conf", "nat44.conf"}) {
    const auto config = read_config(fs::path(PORTOLAN_CONFIGS) / name);
    EXPECT_TRUE(config) << all_of(config.error());
  }
}

TEST(Config, full_conf_is_what_print_defaults_prints) {
  const auto path = fs::path(PORTOLAN_CONFIGS) / "full.conf";
  if (std::getenv("PORTOLAN_ACCEPT") != nullptr) std::ofstream(path) << print_config(Config{});
  EXPECT_EQ(contents(path), print_config(Config{}));
}

// Shows DSL-080.
TEST(Config, values_reach_their_members) {
  const auto config = parse_config(smallest, "test");
  ASSERT_TRUE(config) << all_of(config.error());
  EXPECT_EQ(config->access.device, "net_af_packet0,iface=acc0");
  EXPECT_EQ(config->access.address, net::parse_ipv6_interface("2001:db8:0:1::1/64"));
  EXPECT_EQ(config->internet.gateway, net::parse_ipv4("198.51.100.254"));
  EXPECT_EQ(config->softwire.aftr_addresses, std::vector{*net::parse_ipv6("2001:db8:a::1")});
  EXPECT_EQ(config->pool.prefixes, std::vector{*net::parse_ipv4_prefix("192.0.2.0/28")});
  EXPECT_EQ(config->softwire.allowed_prefixes, std::vector{net::Ipv6Prefix{}});
  EXPECT_EQ(config->softwire.subscriber_prefix_length, 56U);  // DSL-080
}

TEST(Config, durations_know_their_units) {
  const struct {
    const char* text;
    uint32_t seconds;
  } good[] = {{"300", 300},  {"300s", 300},     {"5m", 300},         {"2h", 7200},
              {"1d", 86400}, {"300000ms", 300}, {"300000000us", 300}};
  for (const auto& [text, seconds] : good) {
    const auto config = with("nat", "udp-timeout", text);
    ASSERT_TRUE(config) << text << all_of(config.error());
    EXPECT_EQ(config->nat.udp_timeout_s, seconds) << text;
  }
  for (const char* bad : {"-300", "+300", "300 s", "300S", "5 m", "0x12c", "300.0", "s", "300ss",
                          "18446744073709551615d", "18446744073709551616", "300500ms"})
    EXPECT_FALSE(with("nat", "udp-timeout", bad)) << bad;
}

TEST(Config, UDP_010_TCP_009_ICM_003_timers_below_their_floor_are_refused) {
  const struct {
    const char *key, *floor, *below;
  } timers[] = {{"udp-timeout", "120", "119"},
                {"tcp-established", "7440", "7439"},
                {"tcp-transitory", "240", "239"},
                {"icmp-timeout", "60", "59"}};
  for (const auto& [key, floor, below] : timers) {
    EXPECT_TRUE(with("nat", key, floor)) << key;
    EXPECT_FALSE(with("nat", key, below)) << key;
  }
}

TEST(Config, DSL_060_overlapping_pools_are_refused_with_both_lines) {
  const auto config = parse_config(smallest + "prefix = 192.0.2.8/29\n", "test");
  ASSERT_FALSE(config);
  const auto line = std::ranges::count(smallest, '\n');
  EXPECT_EQ(all_of(config.error()), "test:" + std::to_string(line + 1) + ": pool.prefix: 192.0.2.8/29 overlaps " +
                                        "192.0.2.0/28 on line " + std::to_string(line) + "; remove one of the two\n");
}

TEST(Config, errors_come_in_the_order_of_the_lines) {
  const auto config = parse_config("[pool]\nprefix = 192.0.2.0/28\nblock-size = 300\n[nat]\nudp-timeout = 1\n", "test");
  ASSERT_FALSE(config);
  EXPECT_TRUE(std::ranges::is_sorted(config.error(), {}, &ConfigError::line));
  EXPECT_GE(config.error().size(), 3U);
}

TEST(Config, a_file_of_something_else_ends_in_a_bounded_list) {
  std::string text;
  for (int line = 0; line < 100'000; ++line) text += "<p>\n";
  const auto config = parse_config(text, "page.html");
  ASSERT_FALSE(config);
  EXPECT_LE(config.error().size(), 101U);
  EXPECT_NE(config.error().back().text.find("too many errors"), std::string::npos);
}

TEST(Config, a_file_too_large_is_refused) {
  EXPECT_FALSE(parse_config(std::string((1 << 20) + 1, '#'), "huge"));
  EXPECT_TRUE(parse_config(smallest + std::string(1000, '#'), "test"));
}

TEST(Config, a_file_that_cannot_be_read_is_named) {
  for (const std::string path : {"/nonexistent/portolan.conf", "/"}) {
    const auto config = read_config(path);
    ASSERT_FALSE(config);
    ASSERT_EQ(config.error().size(), 1U) << path;
    EXPECT_TRUE(to_text(config.error().front()).starts_with(path + ": cannot be read: ")) << all_of(config.error());
  }
}

TEST(Config,
     any_line_cut_short_or_repeated_is_survived) {  // no crash, and never a Config with a required value missing
  for (size_t length = 0; length < smallest.size(); ++length) {
    const auto config = parse_config(std::string_view(smallest).substr(0, length), "cut");
    EXPECT_FALSE(config && (config->pool.prefixes.empty() || config->access.device.empty())) << length;
  }
}

}  // namespace
}  // namespace portolan::control
