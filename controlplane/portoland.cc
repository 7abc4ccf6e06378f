// portoland: the AFTR with its PCP server. Reads the configuration, starts, serves until it is told to stop.
#include <boost/program_options.hpp>
#include <csignal>
#include <iostream>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>

#include "controlplane/aftr.h"
#include "controlplane/config_file.h"

namespace {

using namespace portolan;
using namespace portolan::control;

Signals signals;
void on_stop(int) { signals.stop = true; }
void on_reload(int) { signals.reload = true; }

constexpr int exit_ok = 0, exit_error = 1, exit_usage = 2;

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::shared_ptr<spdlog::logger> logger_of(const Config::Log& log) {
  switch (log.target.kind) {
    case LogTarget::Kind::syslog:
      return spdlog::syslog_logger_mt("portoland", "portoland", LOG_PID, LOG_DAEMON);
    case LogTarget::Kind::file:
      return spdlog::basic_logger_mt("portoland", log.target.path);
    case LogTarget::Kind::standard_error:
      break;
  }
  return spdlog::stderr_color_mt("portoland");
}

int serve(std::shared_ptr<const Config> config, const std::string& file) {
  try {
    spdlog::set_default_logger(logger_of(config->log));
  } catch (const spdlog::spdlog_ex& error) {
    std::cerr << "portoland: log.target: " << error.what() << '\n';
    return exit_error;
  }
  spdlog::flush_on(spdlog::level::info);
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, on_stop);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGHUP, on_reload);

  Voice voice;
  voice.say = [](std::string_view line) { spdlog::info("{}", line); };
  voice.warn = [](std::string_view line) { spdlog::warn("{}", line); };
  voice.set_level = [](LogLevel level) { spdlog::set_level(level_of(level)); };
  voice.set_level(config->log.level);
  const auto started = Aftr::start(std::move(config), file, std::move(voice));
  if (!started) {
    const auto& [setting, text] = started.error();
    const auto dot = setting.find('.');
    spdlog::error("{}", to_text(ConfigError{file, find_line(file, setting.substr(0, dot), setting.substr(dot + 1)),
                                            setting, text}));
    return exit_error;
  }
  Aftr& aftr = **started;
  spdlog::info("serving with {} worker(s), {} softwire address(es), {} pool address(es)",
               aftr.config().dataplane.workers, aftr.config().softwire.aftr_addresses.size(),
               aftr.snapshot().policy.pool.address_count());
  aftr.run(signals);
  spdlog::info("stopping; mappings stay in place for the next start");
  return exit_ok;
}

}  // namespace

int main(int argc, char** argv) {
  namespace po = boost::program_options;
  po::options_description options(
      "portoland: a DS-Lite AFTR with a PCP server.\n\nUsage: portoland -c FILE\n\nOptions");
  options.add_options()                                                                              //
      ("config,c", po::value<std::string>()->value_name("FILE"), "configuration file")               //
      ("check", "only check the configuration: every error with its line; exit 1 if there are any")  //
      ("print-defaults", "print a complete configuration file with every key and its default")       //
      ("help,h", "this text")                                                                        //
      ("version", "the version");
  po::variables_map given;
  try {
    po::store(po::parse_command_line(argc, argv, options), given);
  } catch (const po::error& error) {
    std::cerr << "portoland: " << error.what() << "; see portoland --help\n";
    return exit_usage;
  }
  if (given.contains("help")) return std::cout << options, exit_ok;
  if (given.contains("version")) return std::cout << "portoland " PORTOLAN_VERSION "\n", exit_ok;
  if (given.contains("print-defaults")) return std::cout << print_config({}), exit_ok;
  if (!given.contains("config")) {
    std::cerr << "portoland: no configuration file; use portoland -c FILE (see configs/portolan.conf)\n";
    return exit_usage;
  }
  const auto config = read_config(given["config"].as<std::string>());
  if (!config) {
    for (const auto& error : config.error()) std::cerr << to_text(error) << '\n';
    return exit_error;
  }
  if (given.contains("check")) return std::cout << given["config"].as<std::string>() << ": good\n", exit_ok;
  return serve(std::make_shared<const Config>(*config), given["config"].as<std::string>());
}
