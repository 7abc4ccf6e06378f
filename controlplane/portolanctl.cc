// portolanctl: a command of the command line, or many of them. One shot for scripts, whose exit code tells; with
// completion and history for people. Knows no command itself: portoland names them.
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <editline/readline.h>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <sstream>
#include <unistd.h>

#include "controlplane/cli_client.h"
#include "controlplane/config.h"

namespace portolan::control {

namespace {

enum Exit : int { exit_done = 0, exit_failed = 1, exit_usage = 2 };  // usage, or no connection

constexpr const char* usage_text =
    "usage: portolanctl [-s SOCKET] [-j] [COMMAND...]\n"
    "  -s SOCKET  portoland's cli.socket (default %s)\n"
    "  -j         JSON instead of text\n"
    "Without COMMAND: interactive, or commands from standard input. \"portolanctl help\" lists the commands.\n"
    "Exit code: 0 done, 1 the command failed, 2 usage or no connection.\n";

struct Options {
  std::string socket = Config{}.cli.socket;
  bool json = false;
  std::string command;
};

Exit complain(const std::string& text, Exit code) {
  std::fflush(stdout);
  std::fprintf(stderr, "portolanctl: %s\n", text.c_str());
  return code;
}

Exit exit_of(Code code) {
  if (code == Code::done) return exit_done;
  return is_parse_error(code) ? exit_usage : exit_failed;
}

// Standard output. Its reader may leave when he has seen enough (`| head`), which is no error.
struct Output {
  bool closed = false;
  int error = 0;
  bool write(std::string_view text) {
    if (!closed && std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) fail();
    return !closed;
  }
  void flush() {
    if (!closed && std::fflush(stdout) != 0) fail();
  }
  void fail() {
    closed = true;
    error = errno;
  }
};

class Controller {
 public:
  explicit Controller(const Options& options) : options_(options) {}

  Exit run(const std::string& command) {
    if (command.find('\n') != command.npos) return complain("a command is one line", exit_usage);
    const bool kept = client_ != nullptr;
    if (!connect()) return complain(problem_, exit_usage);
    bool started = false;
    const auto request = [&] {
      return client_->request((options_.json ? std::string(request_json) + ' ' : "") + command,
                              [&](std::string_view line) {
                                started = true;
                                return output_.write(line);
                              });
    };
    auto ending = request();
    if (!ending && kept && !started) {  // an idle connection is closed by portoland, and a restart closes all
      client_.reset();
      if (!connect()) return complain(problem_, exit_usage);
      ending = request();
    }
    return finish(ending);
  }

  [[nodiscard]] bool output_closed() const { return output_.closed; }

  // For completion; none if portoland cannot be asked.
  std::vector<std::string> command_names() {
    std::string text;
    if (!connect()) return {};
    const auto ending = client_->request(std::string(request_json) + " help", [&](std::string_view line) {
      text += line;
      return true;
    });
    std::vector<std::string> names;
    const auto rows = nlohmann::json::parse(ending ? text : "", nullptr, false);
    for (const auto& row : rows.is_array() ? rows : nlohmann::json::array())
      if (row.is_object()) names.push_back(row.value("command", ""));
    return names;
  }

  bool connect() {
    if (client_) return true;
    auto client = CliClient::connect(options_.socket);
    if (!client)
      problem_ = client.error();
    else
      client_ = std::make_unique<CliClient>(std::move(*client));
    return client_ != nullptr;
  }
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  Exit finish(const net::Result<CliClient::Ending, std::string>& ending) {
    output_.flush();
    if (output_.closed)
      return output_.error == EPIPE
                 ? exit_done
                 : complain(std::string("cannot write the output: ") + std::strerror(output_.error), exit_failed);
    if (!ending) {
      client_.reset();
      return complain(ending.error(), exit_usage);
    }
    if (ending->code != Code::done) return complain(ending->text, exit_of(ending->code));
    if (!ending->text.empty() && !options_.json) output_.write(ending->text + '\n');
    output_.flush();
    return exit_done;
  }

  const Options& options_;
  std::unique_ptr<CliClient> client_;
  std::string problem_;
  Output output_;
};

Exit run_lines(Controller& controller) {  // from a pipe or a file: every line is run, the worst exit code told
  Exit worst = exit_done;
  std::string line;
  while (!controller.output_closed() && std::getline(std::cin, line)) {
    const auto first = line.find_first_not_of(" \t\r");
    if (first != line.npos && line[first] != '#') worst = std::max(worst, controller.run(line));
  }
  return worst;
}

// -- for people --

std::vector<std::string> completed_names;  // a global, because libedit's callbacks take no argument of ours

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

// The next words of all names that may begin as the line does.
std::set<std::string> next_words(const std::string& before, const std::string& begun) {
  const auto typed = words_of(before);
  std::set<std::string> out;
  for (const auto& name : completed_names) {
    const auto words = words_of(name);
    if (words.size() <= typed.size() || !words[typed.size()].starts_with(begun)) continue;
    if (std::ranges::equal(typed, std::span(words).first(typed.size()),
                           [](const auto& word, const auto& whole) { return whole.starts_with(word); }))
      out.insert(words[typed.size()]);
  }
  return out;
}

char* next_completion(const char* begun, int state) {
  static std::set<std::string> words;
  if (state == 0) {
    const std::string line = rl_line_buffer;
    words = next_words(line.substr(0, line.find_last_of(' ', static_cast<size_t>(rl_point)) + 1), begun);
  }
  if (words.empty()) return nullptr;
  return strdup(words.extract(words.begin()).value().c_str());  // libedit frees it
}

char** complete(const char* begun, int /*start*/, int /*end*/) {
  rl_attempted_completion_over = 1;  // no file names
  return rl_completion_matches(begun, next_completion);
}

std::string history_path() {
  const char* home = std::getenv("HOME");  // NOLINT(concurrency-mt-unsafe)
  return home ? std::string(home) + "/.portolanctl_history" : "";
}

Exit run_interactive(Controller& controller) {
  constexpr int history_lines_max = 1000;
  if (!controller.connect()) return complain(controller.problem(), exit_usage);
  completed_names = controller.command_names();
  rl_readline_name = "portolanctl";
  rl_attempted_completion_function = complete;
  using_history();
  stifle_history(history_lines_max);
  const auto path = history_path();
  if (!path.empty()) read_history(path.c_str());
  while (true) {
    const std::unique_ptr<char, decltype(&std::free)> typed(readline("portolan> "), &std::free);
    if (!typed) break;
    const auto words = words_of(typed.get());
    if (words.empty()) continue;
    add_history(typed.get());
    if (words.front() == "quit" || words.front() == "exit") break;
    controller.run(typed.get());
  }
  if (!path.empty()) write_history(path.c_str());
  return exit_done;
}

int run(int argc, char** argv) {
  Options options;
  for (int option = 0; (option = getopt(argc, argv, "+s:jh")) != -1;) {  // NOLINT(concurrency-mt-unsafe)
    if (option == 's') {
      options.socket = optarg;
    } else if (option == 'j') {
      options.json = true;
    } else {
      std::fprintf(option == 'h' ? stdout : stderr, usage_text, Config{}.cli.socket.c_str());
      return option == 'h' ? exit_done : exit_usage;
    }
  }
  for (int at = optind; at < argc; ++at) options.command += (at == optind ? "" : " ") + std::string(argv[at]);
  std::signal(SIGPIPE, SIG_IGN);  // write() tells instead
  Controller controller(options);
  if (!options.command.empty()) return controller.run(options.command);
  return isatty(STDIN_FILENO) ? run_interactive(controller) : run_lines(controller);
}

}  // namespace

}  // namespace portolan::control

int main(int argc, char** argv) { return portolan::control::run(argc, argv); }
