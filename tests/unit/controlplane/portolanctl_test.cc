// portolanctl as scripts use it: the program itself, run by a shell, against a real socket.
#include <array>
#include <cstdio>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/wait.h>

#include "controlplane/base_commands.h"
#include "tests/unit/controlplane/cli_server_thread.h"

namespace portolan::control {
namespace {

struct Run {
  int exit_code = -1;
  std::string output;
};
Run shell(const std::string& command) {
  Run run;
  FILE* pipe = popen(("{ " + command + "; } 2>&1").c_str(), "r");
  std::array<char, 4096> bytes;
  for (size_t got = 0; (got = fread(bytes.data(), 1, bytes.size(), pipe)) > 0;) run.output.append(bytes.data(), got);
  const int status = pclose(pipe);
  run.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return run;
}

class PortolanctlTest : public testing::Test {
 protected:
  PortolanctlTest() {
    add_base_commands(commands_, [] { return std::make_shared<const Config>(); });
    commands_.add({"clear all", "", Access::change, [](const Request&) { return text_reply("3 cleared"); }, ""});
    commands_.add(
        {"fail", "", Access::view, [](const Request&) { return error_reply(Code::not_found, "no such mapping"); }, ""});
    commands_.add({"many", "", Access::view,
                   [](const Request&) {
                     return Reply{.output = [](std::string& chunk) {
                       chunk += "line\n";
                       return true;
                     }};
                   },
                   ""});
    server_.emplace(commands_, CliOptions{.path = path_, .group = {}});
    ctl_ = std::string(PORTOLANCTL) + " -s " + path_ + ' ';
  }

  TemporaryFolder folder_;
  std::string path_ = folder_.path() / "cli.sock";
  CommandTable commands_;
  std::optional<CliServerThread> server_;
  std::string ctl_;
};

TEST_F(PortolanctlTest, exit_code_0_when_done) {
  const auto run = shell(ctl_ + "cl a");
  EXPECT_EQ(run.output, "3 cleared\n");
  EXPECT_EQ(run.exit_code, 0);
}

TEST_F(PortolanctlTest, exit_code_1_when_the_command_failed) {
  const auto run = shell(ctl_ + "fail");
  EXPECT_EQ(run.output, "portolanctl: no such mapping\n");
  EXPECT_EQ(run.exit_code, 1);
}

TEST_F(PortolanctlTest, exit_code_2_for_what_is_not_understood) {
  EXPECT_EQ(shell(ctl_ + "nonsense").exit_code, 2);
  EXPECT_EQ(shell(ctl_ + "-x").exit_code, 2);
  EXPECT_EQ(shell(ctl_ + "'two\nlines'").exit_code, 2);
  EXPECT_EQ(shell(ctl_ + "-h").exit_code, 0);
}

TEST_F(PortolanctlTest, exit_code_2_and_the_socket_named_when_nobody_is_there) {
  server_.reset();
  const auto run = shell(ctl_ + "help");
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_TRUE(run.output.starts_with("portolanctl: cannot connect to " + path_ + ": no such socket;")) << run.output;
}

TEST_F(PortolanctlTest, json_is_one_document) {
  const auto run = shell(ctl_ + "-j show config");
  EXPECT_EQ(run.exit_code, 0);
  const auto rows = nlohmann::json::parse(run.output);
  EXPECT_EQ(rows[0]["setting"], "dataplane.workers");
}

TEST_F(PortolanctlTest, a_reader_that_has_seen_enough_is_no_error) {
  const auto run = shell("{ " + ctl_ + "many; echo exit code $? >&2; } | head -n 2");
  EXPECT_EQ(run.output.size(), std::string_view("line\nline\nexit code 0\n").size()) << run.output;
  EXPECT_NE(run.output.find("exit code 0\n"), std::string::npos) << run.output;
}

TEST_F(PortolanctlTest, a_full_disk_is_an_error) {
  const auto run = shell(ctl_ + "many > /dev/full");
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_EQ(run.output, "portolanctl: cannot write the output: No space left on device\n");
}

TEST_F(PortolanctlTest, lines_from_standard_input_run_in_order_and_the_worst_code_tells) {
  const auto run = shell("printf 'clear all\\n# a comment\\n\\nfail\\nclear all\\n' | " + ctl_);
  EXPECT_EQ(run.output, "3 cleared\nportolanctl: no such mapping\n3 cleared\n");
  EXPECT_EQ(run.exit_code, 1);
}

}  // namespace
}  // namespace portolan::control
