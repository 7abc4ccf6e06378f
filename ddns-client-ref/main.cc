// portolan-ddns: maps services by PCP and keeps their names at a DDNS server pointing there (RFC 7393).
#include <boost/program_options.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "dataplane/net/text.h"
#include "ddns-client-ref/agent.h"

namespace portolan::ddns {
namespace {

namespace po = boost::program_options;

int print_state(const Config& config) {
  const auto state = load_state(config.ddns.state, wall_offset());
  if (!state) {
    std::cerr << state.error() << "\n";
    return 1;
  }
  std::cout << "server " << state->ddns_server << "\n";
  for (const auto& [record, at] : state->registrations) {
    const auto age = std::chrono::duration_cast<std::chrono::seconds>(BootClock::now() - at).count();
    std::cout << record.service << "  " << record.name << "  " << net::to_text(record.protocol) << "  "
              << net::to_text(record.outside) << "  acknowledged " << age << " s ago for " << record.lifetime_s
              << " s\n";
  }
  return 0;
}

int print_status(const Config& config) {
  const auto status = read_status(config.ddns.status_socket);
  if (!status) {
    std::cerr << "portolan-ddns: "
              << (config.ddns.status_socket.empty() ? "ddns.status-socket is not set" : status.error()) << "\n";
    return 1;
  }
  std::cout << *status;
  return 0;
}

// Only returns if it fails. The lock of the state file ends with this program and is taken again by the next.
int begin_anew(char** argv) {
  ::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);  // sockets are to be opened, not found open
  ::execv("/proc/self/exe", argv);
  std::cerr << "portolan-ddns: cannot begin anew: " << std::strerror(errno) << "; start it again\n";
  return 1;
}

int run(const Config& config, const std::string& file, Mode mode, char** argv) {
  const auto lock = StateLock::take(config.ddns.state);
  if (!lock) {
    std::cerr << "portolan-ddns: " << lock.error() << "\n";
    return 1;
  }
  auto agent = Agent::make(config, file, mode);
  if (!agent) {
    std::cerr << agent.error() << "\n";
    return 1;
  }
  if (config.ddns.protocol <= UpdateKind::dyndns2 && !config.ddns.url.tls)
    spdlog::warn("ddns.url is not https: the token can be read on its way");
  const bool good = (*agent)->run();
  if (mode == Mode::once) std::cout << (*agent)->summary() << std::flush;
  spdlog::shutdown();
  if ((*agent)->begins_anew()) return begin_anew(argv);
  if ((*agent)->blocked()) std::_Exit(good ? 0 : 1);  // a dead resolver must not delay the end
  return good ? 0 : 1;
}

int main_with(const po::variables_map& args, const po::options_description& options, char** argv) {
  if (args.count("help") != 0) {
    std::cout << "portolan-ddns -c FILE [--check | --once | --print-state | --status]\n" << options;
    return 0;
  }
  if (args.count("print-defaults") != 0) {
    std::cout << default_config_text();
    return 0;
  }
  if (args.count("config") == 0) {
    std::cerr << "portolan-ddns: no configuration: -c FILE; --print-defaults shows one, --help the options\n";
    return 1;
  }
  const std::string file = args["config"].as<std::string>();
  const auto config = load_config(file);
  if (!config) {
    for (const std::string& error : config.error()) std::cerr << error << "\n";
    return 1;
  }
  if (args.count("check") != 0) return 0;
  if (args.count("print-state") != 0) return print_state(*config);
  if (args.count("status") != 0) return print_status(*config);
  return run(*config, file, args.count("once") != 0 ? Mode::once : Mode::daemon, argv);
}

}  // namespace
}  // namespace portolan::ddns

int main(int argc, char** argv) {
  namespace po = boost::program_options;
  po::options_description options("Options");
  options.add_options()("config,c", po::value<std::string>(), "configuration file")(
      "check", "validate the configuration: every error with line and key, exit 1")(
      "print-defaults", "print every key, its meaning and its default")(
      "once", "map, register, print, leave both in place; exit 1 if any service failed")(
      "status", "ask the running client how things stand: JSON, by ddns.status-socket")(
      "print-state", "print what the DDNS server last acknowledged")("verbose,v", "log renewals and refreshes too")(
      "help,h", "this text");
  try {
    po::variables_map args;
    po::store(po::parse_command_line(argc, argv, options), args);
    po::notify(args);
    spdlog::set_default_logger(spdlog::stderr_logger_st("portolan-ddns"));
    spdlog::set_level(args.count("verbose") != 0 ? spdlog::level::debug : spdlog::level::info);
    return portolan::ddns::main_with(args, options, argv);
  } catch (const po::error& error) {
    std::cerr << "portolan-ddns: " << error.what() << " (--help)\n";
  } catch (const std::exception& error) {
    std::cerr << "portolan-ddns: " << error.what() << "\n";
  }
  return 1;
}
