// A program of the user's: what it is given, how its end is judged, and that its time ends.
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <sys/stat.h>

#include "dataplane/net/text.h"
#include "ddns-client-ref/update_method.h"

namespace portolan::ddns {
namespace {

using Kind = Outcome::Kind;

class Command : public ::testing::Test {
 protected:
  std::string folder_ = ::testing::TempDir() + "command-" + std::to_string(getpid());
  boost::asio::io_context io_;

  Command() { std::filesystem::create_directory(folder_); }
  ~Command() override { std::filesystem::remove_all(folder_); }

  static Update update(bool withdrawal = false) {
    Update out;
    out.withdrawal = withdrawal;
    out.record = {"home1.example", "web", net::Protocol::tcp, *net::parse_endpoint("5.5.5.5:4000"),
                  "http",          "/",   "$(reboot); `x`",   600,
                  "http"};
    return out;
  }
  std::string script(const std::string& body) const {
    const std::string path = folder_ + "/hook";
    std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
    chmod(path.c_str(), 0700);
    return path;
  }
  std::string content(const std::string& name) const {
    std::ostringstream out;
    out << std::ifstream(folder_ + "/" + name).rdbuf();
    return out.str();
  }
  // Runs each update to its end; the outcomes in the order they came.
  std::vector<Outcome> run(const std::vector<std::string>& arguments, const std::vector<Update>& updates,
                           Duration time_max = std::chrono::seconds(20)) {
    std::vector<Outcome> out;
    const auto method = make_command_method(io_, {arguments, time_max});
    for (const Update& each : updates) method->send(each, [&](const Outcome& outcome) { out.push_back(outcome); });
    EXPECT_TRUE(out.empty()) << "never from send()";
    io_.run();
    io_.restart();
    return out;
  }
};

TEST_F(Command, is_given_arguments_and_environment_that_no_shell_has_seen) {
  const auto outcomes =
      run({script("printf '%s\\n' \"$#\" \"$@\" > " + folder_ + "/args; env > " + folder_ + "/env"), "a", "$HOME *"},
          {update()});
  ASSERT_EQ(outcomes.size(), 1U);
  EXPECT_EQ(outcomes[0].kind, Kind::done) << outcomes[0].text;
  EXPECT_EQ(content("args"), "2\na\n$HOME *\n");
  const std::string env = content("env");
  for (const char* line :
       {"PORTOLAN_ACTION=register\n", "PORTOLAN_NAME=home1.example\n", "PORTOLAN_SERVICE=web\n",
        "PORTOLAN_PROTOCOL=tcp\n", "PORTOLAN_ADDRESS=5.5.5.5\n", "PORTOLAN_PORT=4000\n", "PORTOLAN_TYPE=http\n",
        "PORTOLAN_TITLE=$(reboot); `x`\n", "PORTOLAN_URI=http://5.5.5.5:4000/\n", "PORTOLAN_LIFETIME=600\n"})
    EXPECT_NE(env.find(line), std::string::npos) << line << env;
  EXPECT_EQ(env.find("HOME="), std::string::npos) << "nothing of ours: " << env;
}

TEST_F(Command, has_no_descriptor_of_ours) {
  const std::ofstream open(folder_ + "/open");
  run({script("ls -l /proc/$$/fd > " + folder_ + "/fd")}, {update()});
  EXPECT_EQ(content("fd").find("/open"), std::string::npos) << content("fd");
  EXPECT_NE(content("fd").find("/dev/null"), std::string::npos);
}

TEST_F(Command, exit_codes_are_judged) {
  struct Row {
    int code;
    Kind kind;
  };
  for (const Row& row : {Row{0, Kind::done}, Row{1, Kind::retry}, Row{75, Kind::wait}, Row{77, Kind::stop},
                         Row{78, Kind::stop}, Row{127, Kind::retry}}) {
    const auto outcomes = run({script("exit " + std::to_string(row.code))}, {update()});
    ASSERT_EQ(outcomes.size(), 1U);
    EXPECT_EQ(outcomes[0].kind, row.kind) << row.code;
  }
}

TEST_F(Command, out_of_time_it_is_killed_with_its_children) {
  const auto outcomes =
      run({script("sleep 100 & echo $! > " + folder_ + "/child; wait")}, {update()}, std::chrono::seconds(2));
  ASSERT_EQ(outcomes.size(), 1U);
  EXPECT_EQ(outcomes[0].kind, Kind::retry);
  EXPECT_EQ(outcomes[0].text, "the command took too long and was killed");
  const std::string child = "/proc/" + std::to_string(std::stol(content("child"))) + "/stat";
  const auto lives = [&] {
    std::string text;
    std::ifstream in(child);
    std::getline(in, text);
    return !text.empty() && text.find(") Z") == std::string::npos;
  };
  for (int i = 0; i < 1000 && lives(); ++i) usleep(10'000);  // it was told to end; it is its parent that we waited for
  EXPECT_FALSE(lives());
}

TEST_F(Command, one_runs_at_a_time_in_order) {
  const std::string body = "mkdir " + folder_ + "/busy || exit 78; sleep 0.1; rmdir " + folder_ +
                           "/busy; echo $PORTOLAN_ACTION >> " + folder_ + "/done";
  const auto outcomes = run({script(body)}, {update(), update(true), update()});
  ASSERT_EQ(outcomes.size(), 3U);
  for (const Outcome& outcome : outcomes) EXPECT_EQ(outcome.kind, Kind::done) << outcome.text;
  EXPECT_EQ(content("done"), "register\nwithdraw\nregister\n");
}

TEST_F(Command, that_cannot_be_run_is_tried_again) {
  const auto outcomes = run({folder_ + "/none"}, {update(), update()});
  ASSERT_EQ(outcomes.size(), 2U);
  EXPECT_EQ(outcomes[0].kind, Kind::retry);
  EXPECT_EQ(outcomes[0].text, folder_ + "/none cannot be run: No such file or directory");
}

TEST_F(Command, ends_with_the_client) {
  {
    const auto method = make_command_method(io_, {{script("echo $$ > " + folder_ + "/pid; sleep 100")}, {}});
    method->send(update(), [](const Outcome&) { ADD_FAILURE() << "it cannot have ended"; });
    for (int i = 0; i < 1000 && content("pid").empty(); ++i) usleep(10'000);
  }
  EXPECT_FALSE(std::filesystem::exists("/proc/" + std::to_string(std::stol(content("pid")))));
}

}  // namespace
}  // namespace portolan::ddns
