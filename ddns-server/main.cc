// portolan-ddnsd: the RFC 7393 DDNS server. Reads the command line, then hands over: to a check, to an administrator's
// command, or to the server until it is told to stop.
#include <algorithm>
#include <boost/program_options.hpp>
#include <ctime>
#include <exception>
#include <iostream>
#include <optional>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <vector>

#include "ddns-server/admin.h"
#include "ddns-server/config.h"
#include "ddns-server/dns_publisher.h"
#include "ddns-server/feed_client.h"
#include "ddns-server/http_server.h"
#include "ddns-server/pages.h"
#include "ddns-server/registry.h"
#include "ddns-server/site.h"

namespace portolan::ddnsd {
namespace {

namespace po = boost::program_options;

void print_usage(std::ostream& out) {
  out << "portolan-ddnsd -c FILE                    serve\n"
         "portolan-ddnsd -c FILE --check            validate the configuration\n"
         "portolan-ddnsd --print-defaults           a configuration file with every key\n"
         "portolan-ddnsd --openapi                 the JSON API, described for programs\n"
         "portolan-ddnsd -c FILE COMMAND, which is one of\n"
      << admin_usage();
}

// A connection is a descriptor: the soft limit of 1024 would come before connections-max.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) spdlog::warn("cannot raise the limit of open files");
}

Registry open_registry(const Config& config) {
  auto registry = Registry::open(config.database);
  if (!registry) throw std::runtime_error(registry.error());
  // Until nobody may have the old record any more: its TTL, and what publishing takes.
  registry->set_rest(std::max<int64_t>(limits::rest_min_s, config.dns.ttl_s + dns::timeout.count()),
                     config.dns.mode != DnsConfig::Mode::off, std::time(nullptr));
  return std::move(*registry);
}

int serve(const Config& config) {
  raise_descriptor_limit();
  Registry registry = open_registry(config);
  std::optional<DnsPublisher> publisher;
  const auto ring = [&publisher] {
    if (publisher) publisher->ring();
  };
  std::optional<Authority> authority;
  if (config.authority.is_on()) authority.emplace(open_registry(config), ring);
  Site site(config, registry, ring, authority ? &*authority : nullptr);
  HttpServer server(config, site, {});
  // After the sockets: a second server started by mistake must not touch DNS.
  if (config.dns.mode != DnsConfig::Mode::off) publisher.emplace(config.dns, open_registry(config));
  std::optional<FeedClient> feed;
  if (authority) feed.emplace(config.authority, *authority);
  server.every_second([&](int64_t now_s) {
    try {
      if (registry.end_expired(now_s) > 0) ring();
    } catch (const StoreError& error) {
      spdlog::error("registry: {}", error.what());
    }
  });
  spdlog::info("serving {} from {}", config.hostname, config.database);
  server.run();
  spdlog::info("stopped");
  return 0;
}

int run(int argc, char** argv) {
  std::string file;
  std::vector<std::string> words;
  po::options_description options;
  options.add_options()("config,c", po::value(&file))("check", "")("print-defaults", "")("openapi", "")("help,h", "");
  options.add_options()("token-stdin", "")("words", po::value(&words));
  po::positional_options_description positional;
  positional.add("words", -1);
  po::variables_map given;
  po::store(po::command_line_parser(argc, argv).options(options).positional(positional).run(), given);
  po::notify(given);

  if (given.contains("help")) return print_usage(std::cout), 0;
  if (given.contains("openapi")) return std::cout << openapi(), 0;
  if (given.contains("print-defaults")) return print_defaults(std::cout), 0;
  if (file.empty()) return print_usage(std::cerr), 2;
  const auto config = read_config_file(file);
  if (!config) {
    for (const auto& error : config.error()) std::cerr << to_text(error) << '\n';
    return 1;
  }
  spdlog::set_default_logger(spdlog::stderr_color_mt("portolan-ddnsd"));
  spdlog::set_level(spdlog::level::from_str(config->log_level));
  if (given.contains("check")) return 0;
  if (words.empty()) return serve(*config);
  if (given.contains("token-stdin")) words.emplace_back("--token-stdin");
  const int status = run_admin(*config, words, {std::cin, std::cout, std::cerr});
  if (status == 2) print_usage(std::cerr);
  return status;
}

}  // namespace
}  // namespace portolan::ddnsd

int main(int argc, char** argv) {
  umask(0077);  // the registry holds token hashes and who lives where
  try {
    return portolan::ddnsd::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "portolan-ddnsd: " << error.what() << '\n';
    return 1;
  }
}
