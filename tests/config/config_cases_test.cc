// Runs every NAME.in of this folder and compares with NAME.ok. To accept what changed, read the difference, then run
// with PORTOLAN_ACCEPT=1.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

#include "controlplane/config_file.h"
#include "controlplane/setting.h"

namespace portolan::control {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(PORTOLAN_CONFIG_CASES))
    if (entry.path().extension() == ".in") names.push_back(entry.path().stem());
  std::ranges::sort(names);
  return names;
}

std::string contents(const fs::path& path) {
  std::ifstream in(path);
  EXPECT_TRUE(in) << path;
  return (std::stringstream() << in.rdbuf()).str();
}

// The errors as `portoland --check` prints them, or each setting that is not the default.
std::string verdict_on(const std::string& text, const std::string& file) {
  std::string out;
  const auto config = parse_config(text, file);
  if (!config) {
    for (const auto& error : config.error()) out += to_text(error) + '\n';
    return out;
  }
  for (const auto& setting : settings()) {
    const auto values = value_texts(setting, *config);
    if (values == value_texts(setting, Config{})) continue;
    for (const auto& value : values) out += setting.name() + " = " + value + '\n';
  }
  return out;
}

class ConfigCase : public testing::TestWithParam<std::string> {};

TEST_P(ConfigCase, says_what_is_expected) {
  const fs::path folder = PORTOLAN_CONFIG_CASES;
  const auto verdict = verdict_on(contents(folder / (GetParam() + ".in")), GetParam() + ".in");
  const auto expected = folder / (GetParam() + ".ok");
  if (std::getenv("PORTOLAN_ACCEPT") != nullptr) std::ofstream(expected) << verdict;
  EXPECT_EQ(verdict, contents(expected));
}

INSTANTIATE_TEST_SUITE_P(All, ConfigCase, testing::ValuesIn(case_names()), [](const auto& each) { return each.param; });

TEST(ConfigCases, there_are_some) { EXPECT_GE(case_names().size(), 10U); }

}  // namespace
}  // namespace portolan::control
