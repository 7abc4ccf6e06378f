// Which settings a running portoland takes over: every row marked so has an effect on something that is swapped, and
// differences are told row by row.
#include <gtest/gtest.h>
#include <sstream>

#include "controlplane/config_difference.h"
#include "controlplane/config_file.h"
#include "controlplane/engine_settings.h"
#include "dataplane/net/text.h"

namespace portolan::control {
namespace {

Config base() {
  return *parse_config(
      "[access]\ndevice = net_af_packet0,iface=a\naddress = 2001:db8:0:1::1/64\ngateway = 2001:db8:0:1::2\n"
      "[internet]\ndevice = net_af_packet1,iface=b\naddress = 198.51.100.1/24\ngateway = 198.51.100.254\n"
      "[softwire]\naftr-address = 2001:db8:a::1\n[pool]\nprefix = 192.0.2.0/28\n",
      "base");
}

// Another value of the row's type, in its range.
std::string other_value(const Setting& setting, const std::string& value) {
  Config config;
  const Field field = setting.field(config);
  if (std::holds_alternative<uint32_t*>(field)) {
    uint32_t was = 0;
    std::stringstream(value) >> was;
    return std::to_string(was == setting.min ? setting.max : setting.min);
  }
  std::vector<std::string> candidates = {"900-901",
                                         "2001:db8:0:1::99",
                                         "198.51.100.99",
                                         "192.0.2.8/29",
                                         "10.0.0.0/8",
                                         "2001:db8:77::/48",
                                         "900",
                                         "40",
                                         "pipe:40",
                                         "2001:db8:b4::1 203.0.113.7 198.51.100.9 any",
                                         "2001:db8:b4::1 10.0.0.2:80 192.0.2.1:8080 tcp"};
  std::stringstream words(accepted(setting));
  for (std::string word; std::getline(words, word, '|');) candidates.push_back(word);
  for (const auto& candidate : candidates)
    if (Config copy; value != candidate && !set_value(setting, copy, candidate)) return candidate;
  return {};
}

// What Watch::use() takes from the configuration itself; tests/netns/reload_test.py shows it.
bool is_watched(const Setting& setting) { return setting.section == "log"; }

TEST(Reload, every_live_row_has_an_effect) {
  size_t live = 0;
  for (const auto& setting : settings()) {
    if (setting.reload != Reload::live || is_watched(setting)) continue;
    const Config was = base();
    Config is = was;
    const auto values = value_texts(setting, was);
    const auto value = other_value(setting, values.empty() ? "" : values.front());
    ASSERT_FALSE(value.empty()) << setting.name();
    clear_values(setting, is);
    ASSERT_EQ(set_value(setting, is, value), std::nullopt) << setting.name();
    EXPECT_TRUE(snapshot_of(is, {}) != snapshot_of(was, {}) || pcp_settings(is) != pcp_settings(was))
        << setting.name() << " is marked live and changes nothing";
    ++live;
  }
  EXPECT_GE(live, 15U);
}

TEST(Reload, what_sizes_memory_or_names_a_device_needs_a_restart) {
  for (const char* name :
       {"dataplane.workers", "dataplane.max-mappings", "dataplane.max-subscribers", "dataplane.state-dir",
        "access.device", "access.address", "internet.device", "internet.address", "nat44.device", "nat44.address",
        "softwire.subscriber-prefix-length", "pool.port-range", "pool.block-size", "cli.socket", "pcp.store"}) {
    const std::string_view text = name;
    const auto dot = text.find('.');
    const auto* setting = find_setting(text.substr(0, dot), text.substr(dot + 1));
    ASSERT_NE(setting, nullptr) << name;
    EXPECT_EQ(setting->reload, Reload::restart) << name;
  }
}

TEST(Reload, differences_are_told_row_by_row_with_old_and_new) {
  const Config was = base();
  Config is = was;
  EXPECT_TRUE(differences(was, is).empty());
  is.nat.udp_timeout_s = 120;
  is.dataplane.workers = 2;
  is.softwire.allowed_prefixes = {*net::parse_ipv6_prefix("2001:db8::/32"), *net::parse_ipv6_prefix("3fff::/20")};
  is.pcp.third_party_from = {*net::parse_ipv6_prefix("2001:db8::/32")};
  const auto changes = differences(was, is);
  std::string said;
  for (const auto& change : changes) said += to_text(change) + '\n';
  EXPECT_EQ(said,
            "dataplane.workers: 1 -> 2\n"
            "softwire.allowed-prefix: ::/0 -> 2001:db8::/32, 3fff::/20\n"
            "nat.udp-timeout: 300s -> 120s\n"
            "pcp.third-party-from: none -> 2001:db8::/32\n");
  ASSERT_EQ(needing_restart(changes).size(), 1U);
  EXPECT_EQ(needing_restart(changes)[0].setting->name(), "dataplane.workers");
}

}  // namespace
}  // namespace portolan::control
