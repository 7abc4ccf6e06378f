// EAL's arguments, made from settings and a machine that is described, not looked at.
#include "dataplane/io/eal.h"

#include <algorithm>
#include <gtest/gtest.h>

namespace portolan::io {
namespace {

constexpr uint64_t megabyte = 1 << 20;

std::string joined(const EalPlan& plan) {
  std::string text;
  for (const auto& argument : plan.arguments) text += argument + ' ';
  return text;
}
bool contains(const EalPlan& plan, const std::string& text) { return joined(plan).find(text) != std::string::npos; }

const Machine machine{{0, 1, 2, 3}, 0};

TEST(EalPlan, workers_float_over_all_cpus_without_cores) {
  const auto plan = plan_eal({.options = "", .workers = 2, .cores = {}, .pci_devices = {}}, machine);
  ASSERT_TRUE(plan) << plan.error();
  EXPECT_TRUE(contains(*plan, "--lcores 0@(0,1,2,3),1@(0,1,2,3),2@(0,1,2,3) ")) << joined(*plan);
}

TEST(EalPlan, workers_are_pinned_to_cores_and_the_main_thread_keeps_off_them) {
  const auto plan = plan_eal({.options = "", .workers = 2, .cores = {3, 1}, .pci_devices = {}}, machine);
  ASSERT_TRUE(plan) << plan.error();
  EXPECT_TRUE(contains(*plan, "--lcores 0@(0,2),1@(3),2@(1) ")) << joined(*plan);
  const auto full = plan_eal({.options = "", .workers = 2, .cores = {0, 1}, .pci_devices = {}}, {{0, 1}, 0});
  EXPECT_TRUE(contains(*full, "--lcores 0@(0,1),1@(0),2@(1) ")) << joined(*full);
}

TEST(EalPlan, memory_is_hugepages_if_enough_are_free) {
  const EalSettings settings{.options = "", .cores = {}, .pci_devices = {}, .memory_bytes = 600 * megabyte};
  const auto huge = plan_eal(settings, {{0}, 1024 * megabyte});
  EXPECT_FALSE(contains(*huge, "--no-huge"));
  EXPECT_NE(huge->memory.find("hugepages, 1024 MB free"), std::string::npos) << huge->memory;
  const auto ordinary = plan_eal(settings, {{0}, 600 * megabyte});
  EXPECT_TRUE(contains(*ordinary, "--no-huge -m 664 ")) << joined(*ordinary);
  EXPECT_NE(ordinary->memory.find("664 MB of ordinary pages"), std::string::npos) << ordinary->memory;
}

TEST(EalPlan, memory_options_of_the_operator_replace_ours_and_come_last) {
  const auto plan = plan_eal({.options = " --no-huge  -m 256 ", .cores = {}, .pci_devices = {}}, machine);
  ASSERT_TRUE(plan) << plan.error();
  EXPECT_TRUE(joined(*plan).ends_with("--no-shconf --no-huge -m 256 ")) << joined(*plan);
  EXPECT_EQ(std::ranges::count(plan->arguments, "-m"), 1);
  const auto huge = plan_eal({.options = "--socket-mem=512", .cores = {}, .pci_devices = {}}, machine);
  EXPECT_TRUE(joined(*huge).ends_with("--in-memory --socket-mem=512 ")) << joined(*huge);
}

TEST(EalPlan, pci_is_touched_only_for_the_devices_named) {
  EXPECT_TRUE(contains(*plan_eal({.options = "", .cores = {}, .pci_devices = {}}, machine), "--no-pci"));
  const auto plan = plan_eal({.options = "", .cores = {}, .pci_devices = {"0000:03:00.0"}}, machine);
  EXPECT_FALSE(contains(*plan, "--no-pci"));
  EXPECT_TRUE(contains(*plan, "-a 0000:03:00.0 "));
}

TEST(EalPlan, what_other_settings_say_is_refused_as_an_eal_option) {
  for (const char* option : {"-l 0-3", "-l0-3", "-c 3", "--lcores 0@1", "--lcores=0@1", "--vdev=net_null0"})
    EXPECT_FALSE(plan_eal({.options = option, .cores = {}, .pci_devices = {}}, machine)) << option;
}

TEST(EalPlan, cores_must_fit_workers_and_machine) {
  const auto error = [](std::vector<unsigned> cores) {
    return plan_eal({.options = "", .workers = 2, .cores = std::move(cores), .pci_devices = {}}, machine).error();
  };
  EXPECT_NE(error({1}).find("1 CPUs for 2 workers"), std::string::npos);
  EXPECT_NE(error({1, 4}).find("CPU 4, which this process may not use"), std::string::npos);
  EXPECT_NE(error({1, 1}).find("CPU 1 twice"), std::string::npos);
}

}  // namespace
}  // namespace portolan::io
