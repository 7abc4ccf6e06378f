#include "ddns-server/admin.h"

#include <algorithm>
#include <istream>
#include <ostream>
#include <string_view>

#include "ddns-server/limits.h"
#include "ddns-server/registry.h"
#include "ddns-server/uri.h"

namespace portolan::ddnsd {
namespace {

using Words = std::vector<std::string>;  // the arguments after the command's own two words

int refuse(const AdminIo& io, const std::string& text) {
  io.err << "portolan-ddnsd: " << text << '\n';
  return 1;
}

bool is_account_name(std::string_view name) {
  return !name.empty() && name.size() <= limits::account_name_bytes_max && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

int add_account(const Config&, Registry& registry, const Words& words, const AdminIo& io) {
  const bool from_stdin = words.size() == 2 && words[1] == "--token-stdin";
  if (words.size() == 2 && !from_stdin) return 2;
  if (!is_account_name(words[0])) return refuse(io, "account names are 1 to 64 of a-z, 0-9, '-', '_', '.'");
  std::string token;
  if (from_stdin) {
    std::getline(io.in, token);
    if (token.size() < 16 || token.size() > limits::token_bytes_max || !is_printable_utf8(token))
      return refuse(io, "a token is one line of 16 to 256 printable octets");
  } else {
    token = new_token();
  }
  if (!registry.add_account(words[0], hash_token(token, io.strength)))
    return refuse(io, "there is an account " + words[0] + " already; remove it first to give it a new token");
  if (!from_stdin) io.out << token << '\n';  // kept nowhere else
  return 0;
}

int list_accounts(const Config&, Registry& registry, const Words&, const AdminIo& io) {
  for (const auto& each : registry.accounts()) io.out << each << '\n';
  return 0;
}

int remove_account(const Config&, Registry& registry, const Words& words, const AdminIo& io) {
  return registry.remove_account(words[0]) ? 0 : refuse(io, "there is no account " + words[0]);
}

// Why a name may not be registered; empty if it may.
std::string refusal_of(const Config& config, const std::string& text, const std::optional<std::string>& fqdn) {
  if (!fqdn) return "'" + text + "' is not a fully qualified name";
  if (*fqdn == config.hostname) return *fqdn + " is this server's own name";
  // Below direct.<name> the publisher keeps its own records: another account's name there would take them over.
  if (("." + *fqdn + ".").find(".direct.") != std::string::npos)
    return *fqdn + ": the label 'direct' is kept for the addresses of services";
  if (config.dns.mode != DnsConfig::Mode::off && !is_within(*fqdn, config.dns.zone))
    return *fqdn + " is not in dns.zone " + config.dns.zone + ": it could not be published";
  return "";
}

int add_name(const Config& config, Registry& registry, const Words& words, const AdminIo& io) {
  const auto fqdn = parse_fqdn(words[0]);
  if (const std::string refusal = refusal_of(config, words[0], fqdn); !refusal.empty()) return refuse(io, refusal);
  switch (registry.add_name(*fqdn, words[1])) {
    case Registry::AddName::added:
      return 0;
    case Registry::AddName::taken:
      return refuse(io, *fqdn + " is registered already; see name list");
    case Registry::AddName::no_such_account:
      break;
  }
  return refuse(io, "there is no account " + words[1] + "; account add " + words[1] + " makes it");
}

int list_names(const Config&, Registry& registry, const Words&, const AdminIo& io) {
  for (const auto& each : registry.names()) io.out << each.fqdn << ' ' << each.account << '\n';
  return 0;
}

int remove_name(const Config&, Registry& registry, const Words& words, const AdminIo& io) {
  const auto fqdn = parse_fqdn(words[0]);
  return fqdn && registry.remove_name(*fqdn) ? 0 : refuse(io, words[0] + " is not registered");
}

struct Command {
  std::string_view noun, verb, arguments;
  size_t words_min, words_max;
  int (*run)(const Config&, Registry&, const Words&, const AdminIo&);
  std::string_view help;
};

constexpr Command commands[] = {
    {"account", "add", "NAME [--token-stdin]", 1, 2, add_account,
     "make an account; its token is printed once, or read"},
    {"account", "list", "", 0, 0, list_accounts, "list accounts"},
    {"account", "remove", "NAME", 1, 1, remove_account, "remove an account with its names and services"},
    {"name", "add", "FQDN ACCOUNT", 2, 2, add_name, "register a name for an account"},
    {"name", "list", "", 0, 0, list_names, "list names and their accounts"},
    {"name", "remove", "FQDN", 1, 1, remove_name, "remove a name with its services and DNS records"},
};

}  // namespace

std::string admin_usage() {
  std::string out;
  for (const Command& each : commands) {
    std::string line = "  " + std::string(each.noun) + " " + std::string(each.verb) + " " + std::string(each.arguments);
    line.resize(std::max<size_t>(line.size() + 1, 36), ' ');
    out += line + std::string(each.help) + "\n";
  }
  return out;
}

int run_admin(const Config& config, const std::vector<std::string>& words, const AdminIo& io) {
  const auto* command = std::ranges::find_if(commands, [&](const Command& each) {
    return words.size() >= 2 && each.noun == words[0] && each.verb == words[1];
  });
  if (command == std::end(commands)) return 2;
  const Words arguments(words.begin() + 2, words.end());
  if (arguments.size() < command->words_min || arguments.size() > command->words_max) return 2;
  auto registry = Registry::open(config.database);
  if (!registry) return refuse(io, registry.error());
  try {
    return command->run(config, *registry, arguments, io);
  } catch (const StoreError& error) {
    return refuse(io, "database " + config.database + ": " + error.what());
  }
}

}  // namespace portolan::ddnsd
