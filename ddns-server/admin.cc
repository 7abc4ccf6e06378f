#include "ddns-server/admin.h"

#include <algorithm>
#include <ctime>
#include <istream>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string_view>

#include "dataplane/net/text.h"
#include "ddns-server/authority.h"
#include "ddns-server/limits.h"
#include "ddns-server/registry.h"
#include "ddns-server/uri.h"
#include "dns/idn.h"

namespace portolan::ddnsd {
namespace {

constexpr std::string_view token_stdin = "--token-stdin";

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

// A second word asks for a token from standard input. Nothing, and the reason said, if that is none.
std::optional<std::string> read_or_make_token(const Words& words, const AdminIo& io) {
  if (words.size() == 1) return new_token();
  std::string token;
  if (std::getline(io.in, token) && token.size() >= 16 && token.size() <= limits::token_bytes_max &&
      is_printable_utf8(token))
    return token;
  refuse(io, "a token is one line of 16 to 256 printable octets; --token-stdin reads it");
  return std::nullopt;
}

int add_account(const Config&, Registry& registry, const Words& words, const AdminIo& io) {
  if (words.size() == 2 && words[1] != token_stdin) return 2;
  if (!is_account_name(words[0])) return refuse(io, "account names are 1 to 64 of a-z, 0-9, '-', '_', '.'");
  const auto token = read_or_make_token(words, io);
  if (!token) return 1;
  if (!registry.add_account(words[0], hash_token(*token, io.strength)))
    return refuse(io,
                  "there is an account " + words[0] + " already; account token " + words[0] + " gives it a new token");
  if (words.size() == 1) io.out << *token << '\n';  // kept nowhere else
  return 0;
}

int no_account(const AdminIo& io, const std::string& name) { return refuse(io, "there is no account " + name); }

int list_accounts(const Config&, Registry& registry, const Words&, const AdminIo& io) {
  for (const auto& each : registry.accounts())
    io.out << each.name << (each.subscriber.empty() ? "" : " subscriber " + each.subscriber)
           << (each.suspended ? " suspended" : "") << '\n';
  return 0;
}

int remove_account(const Config&, Registry& registry, const Words& words, const AdminIo& io) {
  return registry.remove_account(words[0], std::time(nullptr)) ? 0 : no_account(io, words[0]);
}

int change_token(const Config&, Registry& registry, const Words& words, const AdminIo& io) {
  if (words.size() == 2 && words[1] != token_stdin) return 2;
  if (!registry.token_hash(words[0])) return no_account(io, words[0]);
  const auto token = read_or_make_token(words, io);
  if (!token) return 1;
  registry.set_token_hash(words[0], hash_token(*token, io.strength));
  if (words.size() == 1) io.out << *token << '\n';
  return 0;
}

int bind_account(const Config&, Registry& registry, const Words& words, const AdminIo& io) {
  std::string subscriber;
  if (words[1] != "-") {
    const auto prefix = parse_subscriber(words[1]);
    if (!prefix)
      return refuse(io, "'" + words[1] +
                            "' is not a subscriber; give his prefix as portolanctl show subscribers does "
                            "(NAT44: ADDRESS/32), or - for none");
    subscriber = subscriber_text(*prefix);
  }
  return registry.set_subscriber(words[0], subscriber) ? 0 : no_account(io, words[0]);
}

int suspend_account(const Config&, Registry& registry, const Words& words, const AdminIo& io) {
  return registry.suspend_account(words[0], true) ? 0 : no_account(io, words[0]);
}

int resume_account(const Config&, Registry& registry, const Words& words, const AdminIo& io) {
  return registry.suspend_account(words[0], false) ? 0 : no_account(io, words[0]);
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

int no_name(const AdminIo& io, const std::string& name) { return refuse(io, name + " is not registered"); }

// What people call it, where that is not how DNS writes it.
std::string also_read(const std::string& fqdn) {
  const std::string unicode = dns::to_unicode(fqdn);
  return unicode == fqdn ? "" : " " + unicode;
}

int list_names(const Config&, Registry& registry, const Words&, const AdminIo& io) {
  for (const auto& each : registry.names())
    io.out << each.fqdn << ' ' << each.account << (each.mode.empty() ? "" : " " + each.mode)
           << (each.suspended ? " suspended" : "") << also_read(each.fqdn) << '\n';
  for (const auto& each : registry.follows())
    io.out << each.fqdn << " follows " << each.subscriber << ' ' << net::to_text(each.protocol) << ' '
           << (each.inside_port == 0 ? "all" : std::to_string(each.inside_port) + " as " + each.id) << '\n';
  return 0;
}

int remove_name(const Config&, Registry& registry, const Words& words, const AdminIo& io) {
  const auto fqdn = parse_fqdn(words[0]);
  return fqdn && registry.remove_name(*fqdn, std::time(nullptr)) ? 0 : no_name(io, words[0]);
}

int suspend_name(const Config&, Registry& registry, const Words& words, const AdminIo& io) {
  const auto fqdn = parse_fqdn(words[0]);
  return fqdn && registry.suspend_name(*fqdn, true) ? 0 : no_name(io, words[0]);
}

int resume_name(const Config&, Registry& registry, const Words& words, const AdminIo& io) {
  const auto fqdn = parse_fqdn(words[0]);
  return fqdn && registry.suspend_name(*fqdn, false) ? 0 : no_name(io, words[0]);
}

int set_name_mode(const Config& config, Registry& registry, const Words& words, const AdminIo& io) {
  const std::string mode = words[1] == "default" ? "" : words[1];
  if (!mode.empty() && mode != "portal" && mode != "direct")
    return refuse(io, "'" + words[1] + "' is not portal, direct or default");
  if (mode == "portal" && config.dns.portal_address == net::Ipv4{})
    return refuse(io, "dns.portal-address is not set, so a name cannot lead to the portal");
  const auto fqdn = parse_fqdn(words[0]);
  return fqdn && registry.set_mode(*fqdn, mode) ? 0 : no_name(io, words[0]);
}

int follow_subscriber(const Config& config, Registry& registry, const Words& words, const AdminIo& io) {
  if (!config.authority.is_on())
    return refuse(io, "there is no authority in the configuration: nobody would tell of the mappings");
  const auto fqdn = parse_fqdn(words[0]);
  const auto prefix = parse_subscriber(words[1]);
  if (!fqdn) return no_name(io, words[0]);
  if (!prefix)
    return refuse(io, "'" + words[1] + "' is not a subscriber; give his prefix as portolanctl show subscribers does");
  if (words.size() == 3 || words.size() == 4) return 2;
  Registry::Follow rule{*fqdn, subscriber_text(*prefix), "", net::Protocol::tcp, 0, "", "", ""};
  if (words.size() == 2) {  // every mapping of either protocol
    const bool there_is = registry.add_follow(rule);
    rule.protocol = net::Protocol::udp;
    return there_is && registry.add_follow(rule) ? 0 : no_name(io, words[0]);
  }
  if (words[2] != "tcp" && words[2] != "udp") return refuse(io, "'" + words[2] + "' is neither tcp nor udp");
  const auto port = net::parse_number(words[3]);
  if (!port || *port == 0 || *port > 65535) return refuse(io, "'" + words[3] + "' is not a port inside, 1 to 65535");
  Service service;
  service.id = words[4];
  service.scheme = words.size() > 5 ? words[5] : default_scheme(service.id);
  if (words.size() > 6) service.path = words[6];
  if (words.size() > 7) service.title = words[7];
  service.outside.port = {1};  // whichever it will be
  if (const auto invalid = check(service)) return refuse(io, std::string(invalid->field) + ": " + invalid->text);
  rule.protocol = words[2] == "udp" ? net::Protocol::udp : net::Protocol::tcp;
  rule.inside_port = static_cast<uint16_t>(*port);
  rule.id = service.id, rule.scheme = service.scheme, rule.path = service.path, rule.title = service.title;
  return registry.add_follow(rule) ? 0 : no_name(io, words[0]);
}

int unfollow(const Config&, Registry& registry, const Words& words, const AdminIo& io) {
  const auto fqdn = parse_fqdn(words[0]);
  if (fqdn && registry.remove_follows(*fqdn, std::time(nullptr)) > 0) return 0;
  return refuse(io, words[0] + " follows nobody");
}

int list_services(const Config&, Registry& registry, const Words& words, const AdminIo& io) {
  const int64_t now_s = std::time(nullptr);
  for (const auto& name : registry.names()) {
    if (!words.empty() && parse_fqdn(words[0]) != name.fqdn) continue;
    const auto entry = registry.find(name.fqdn, now_s);
    if (!entry) continue;
    for (const Service& each : entry->services)
      io.out << name.fqdn << ' ' << each.id << ' ' << net::to_text(each.protocol) << ' ' << net::to_text(each.outside)
             << (each.inside ? " inside " + each.inside->subscriber + " " + net::to_text(each.inside->endpoint) : "")
             << (each.by_operator ? " by operator" : "") << '\n';
    for (const Service& each : entry->away) io.out << name.fqdn << ' ' << each.id << " waits for its mapping\n";
  }
  return 0;
}

// Everything but token hashes, as one JSON object a line.
int export_all(const Config&, Registry& registry, const Words&, const AdminIo& io) {
  using nlohmann::json;
  const int64_t now_s = std::time(nullptr);
  for (const auto& each : registry.accounts())
    io.out << json{{"account", each.name}, {"subscriber", each.subscriber}, {"suspended", each.suspended}}.dump()
           << '\n';
  for (const auto& name : registry.names()) {
    json line = {{"name", name.fqdn}, {"account", name.account}, {"mode", name.mode}, {"suspended", name.suspended}};
    line["services"] = json::array();
    const auto entry = registry.find(name.fqdn, now_s);
    for (const Service& each : entry ? entry->services : std::vector<Service>{}) {
      json service = {{"id", each.id},         {"protocol", net::to_text(each.protocol)},
                      {"scheme", each.scheme}, {"outside", net::to_text(each.outside)},
                      {"path", each.path},     {"title", each.title},
                      {"type", each.type}};
      if (each.expires_at_s != INT64_MAX) service["expires_at"] = each.expires_at_s;
      if (each.inside)
        service["subscriber"] = each.inside->subscriber, service["inside"] = net::to_text(each.inside->endpoint);
      line["services"].push_back(std::move(service));
    }
    io.out << line.dump() << '\n';
  }
  for (const auto& each : registry.follows())
    io.out << json{{"follow", each.fqdn},
                   {"subscriber", each.subscriber},
                   {"id", each.id},
                   {"protocol", net::to_text(each.protocol)},
                   {"port", each.inside_port},
                   {"scheme", each.scheme},
                   {"path", each.path},
                   {"title", each.title}}
                  .dump()
           << '\n';
  return 0;
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
    {"account", "token", "NAME [--token-stdin]", 1, 2, change_token, "give it a new token; the old one is void"},
    {"account", "bind", "NAME SUBSCRIBER|-", 2, 2, bind_account, "say whose mappings it may name"},
    {"account", "suspend", "NAME", 1, 1, suspend_account, "take no updates, show nothing, keep everything"},
    {"account", "resume", "NAME", 1, 1, resume_account, "end that"},
    {"account", "list", "", 0, 0, list_accounts, "list accounts"},
    {"account", "remove", "NAME", 1, 1, remove_account, "remove an account with its names and services"},
    {"name", "add", "FQDN ACCOUNT", 2, 2, add_name, "register a name for an account"},
    {"name", "mode", "FQDN portal|direct|default", 2, 2, set_name_mode, "where the name itself leads, for this name"},
    {"name", "follow", "FQDN SUBSCRIBER [tcp|udp PORT ID [SCHEME [PATH [TITLE]]]]", 2, 8, follow_subscriber,
     "show his mappings, or that of one port inside, without any client"},
    {"name", "unfollow", "FQDN", 1, 1, unfollow, "end all of that for a name"},
    {"name", "suspend", "FQDN", 1, 1, suspend_name, "as account suspend"},
    {"name", "resume", "FQDN", 1, 1, resume_name, "end that"},
    {"name", "list", "", 0, 0, list_names, "list names, their accounts and whom they follow"},
    {"service", "list", "[FQDN]", 0, 1, list_services, "list what can be found, and where it leads"},
    {"registry", "export", "", 0, 0, export_all, "everything but the tokens' hashes, a JSON object a line"},
    {"name", "remove", "FQDN", 1, 1, remove_name, "remove a name with its services and DNS records"},
};

}  // namespace

std::string admin_usage() {
  std::string out;
  for (const Command& each : commands) {
    std::string line = "  " + std::string(each.noun) + " " + std::string(each.verb) + " " + std::string(each.arguments);
    line.resize(std::max<size_t>(line.size() + 1, 40), ' ');
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
