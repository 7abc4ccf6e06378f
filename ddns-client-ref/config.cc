// Rows, one per key; the loader walks the file, finds the row, and collects every error with its line.
#include "ddns-client-ref/config.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <unistd.h>

#include "dataplane/net/text.h"
#include "ddns-client-ref/config_values.h"
#include "dns/service_type.h"

namespace portolan::ddns {
namespace {

using Done = Value<void>;

// Stores a parsed value, or passes its error on.
template <class T, class Field>
Done store(Value<T> value, Field& field) {
  if (!value) return tl::unexpected(value.error());
  field = static_cast<Field>(std::move(*value));
  return {};
}
tl::unexpected<std::string> no(std::string text) { return tl::unexpected(std::move(text)); }

constexpr Duration second = std::chrono::seconds(1);
constexpr Duration day = std::chrono::days(1);
using Text = std::string_view;

Done set_method(Text text, Config& c) {
  if (text != "table" && text != "probe") return no("\"" + std::string(text) + "\" is not table or probe");
  c.pcp.method = text == "table" ? Method::table : Method::probe;
  return {};
}

Done set_url(Text text, Config& c) {
  const auto url = parse_url(text);
  if (!url) return no("\"" + std::string(text) + "\" is not a URL like https://ddns.example/");
  c.ddns.url = *url;
  return {};
}

Done set_protocol(Text text, Config& c) {
  constexpr Text words[] = {"json", "dyndns2", "rfc2136", "command"};
  const auto* const word = std::ranges::find(words, text);
  if (word == std::end(words)) return no("\"" + std::string(text) + "\" is not json, dyndns2, rfc2136 or command");
  c.ddns.protocol = static_cast<UpdateKind>(word - std::begin(words));
  return {};
}

// ADDRESS or ADDRESS:PORT, an IPv6 address with a port in brackets.
Done set_dns_server(Text text, Config& c) {
  const auto wrong = [&] { return no("\"" + std::string(text) + "\" is not ADDRESS, ADDRESS:PORT or [IPV6]:PORT"); };
  Text address = text, port = "53";
  const size_t colon = text.rfind(':');
  const bool bracketed = text.starts_with('[');
  if (colon != Text::npos && (bracketed || text.find(':') == colon)) {
    address = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  if (bracketed) {
    if (!address.ends_with(']')) return wrong();
    address = address.substr(1, address.size() - 2);
  }
  const auto number = number_value(port, 1, 65535);
  const auto parsed = address_value(address);
  if (!number || !parsed) return wrong();
  c.ddns.dns.server = {*parsed, static_cast<uint16_t>(*number)};
  return {};
}

Done set_dns_zone(Text text, Config& c) {
  const auto name = name_value("x." + std::string(text));  // a zone may be a single label
  if (!name) return no("\"" + std::string(text) + "\" is not the name of a zone");
  c.ddns.dns.zone = name->substr(2);
  return {};
}

Done set_key_file(Text text, Config& c) { return store(dns::read_key_file(std::string(text)), c.ddns.dns.key); }

Text trimmed(Text text) {
  const size_t first = text.find_first_not_of(" \t\r");
  return first == Text::npos ? Text{} : text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

Done set_token_file(Text path, Config& c) {
  std::ifstream in{std::string(path)};
  std::string line;
  if (!in || !std::getline(in, line) || trimmed(line).empty())
    return no("cannot read a secret from the first line of " + std::string(path));
  return store(plain_value(trimmed(line), 1024), c.ddns.token);
}

Done add_allow_address(Text text, Config& c) {
  const auto prefix = net::parse_ipv4_prefix(text);
  if (!prefix) return no("\"" + std::string(text) + "\" is not an IPv4 prefix like 192.0.2.0/24");
  c.ddns.allow_address.push_back(*prefix);
  return {};
}

// Blanks part the words; there is no quoting, for there is no shell.
Done set_command(Text text, Config& c) {
  std::istringstream words{std::string(text)};
  std::vector<std::string> command;
  for (std::string word; words >> word;) command.push_back(word);
  if (command.front().front() != '/') return no("must be a program's whole path, like /usr/local/bin/update-name");
  if (::access(command.front().c_str(), X_OK) != 0)
    return no(command.front() + " cannot be run: " + std::strerror(errno));
  c.ddns.command = std::move(command);
  return {};
}

Done add_name(Text text, Service& s) {
  const auto name = name_value(text);
  if (!name) return no(name.error());
  if (std::ranges::find(s.names, *name) != s.names.end()) return no("\"" + *name + "\" is there twice");
  if (s.names.size() == Config::names_max) return no("more than " + std::to_string(Config::names_max) + " names");
  s.names.push_back(*name);
  return {};
}

// RFC 6763 §7: what stands in _http._tcp, without the underscore; empty: the scheme says it.
Done set_type(Text text, Service& s) {
  if (!text.empty() && !dns::is_service_type(text))
    return no("\"" + std::string(text) + "\" is not " + std::string(dns::service_type_rule));
  s.type = text;
  return {};
}

Done set_service_protocol(Text text, Service& s) {
  if (text != "tcp" && text != "udp") return no("\"" + std::string(text) + "\" is not tcp or udp");
  s.protocol = text == "tcp" ? net::Protocol::tcp : net::Protocol::udp;
  return {};
}

Done set_inside(Text text, Service& s) {
  const auto endpoint = net::parse_endpoint(text);
  if (!endpoint || endpoint->port == net::Port{})
    return no("\"" + std::string(text) + "\" is not ADDRESS:PORT like 10.0.0.10:8080");
  s.inside = *endpoint;
  return {};
}

// RFC 3986 §3.1; empty for a service no URL leads to.
Done set_scheme(Text text, Service& s) {
  const auto ok = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '+' || c == '-' || c == '.';
  };
  if (!std::ranges::all_of(text, ok) || text.size() > 32 ||
      (!text.empty() && !std::isalpha(static_cast<unsigned char>(text.front()))))
    return no("\"" + std::string(text) + "\" is not a URI scheme like http or rtsp");
  s.scheme = text;
  return {};
}

Done set_path(Text text, Service& s) {
  if (!text.starts_with('/') || text.find(' ') != Text::npos) return no("must begin with / and hold no space");
  return store(plain_value(text, 1024), s.path);
}

Done set_suggested_port(Text text, Service& s) {
  const auto port = number_value(text, 0, 65535);
  if (!port) return no(port.error());
  s.suggested_port = {static_cast<uint16_t>(*port)};
  return {};
}

Done add_other_address(Text text, Config& c) {
  net::Ipv6 address;
  if (auto stored = store(address_value(text), address); !stored) return stored;
  if (c.pcp.others.size() == Config::addresses_max) return no("more than " + std::to_string(Config::addresses_max));
  c.pcp.others.push_back(address);
  return {};
}

Done set_igd_address(Text text, Config& c) {
  const auto address = net::parse_ipv4(text);
  if (!address) return no("\"" + std::string(text) + "\" is not an IPv4 address of this machine in the home's network");
  c.igd.address = *address;
  return {};
}

Done set_proxy_address(Text text, Config& c) {
  const auto address = net::parse_ipv4(text);
  if (!address) return no("\"" + std::string(text) + "\" is not an IPv4 address of this machine in the home's network");
  c.proxy.address = *address;
  return {};
}

Done add_igd_name(Text text, Config& c) {
  Service service;
  service.names = c.igd.settings.names;
  if (auto added = add_name(text, service); !added) return added;
  c.igd.settings.names = service.names;
  return {};
}

struct Setting {
  Text section, key, fallback, help;
  bool required, repeats;
  Done (*set)(Text, Config&);
};
constexpr std::array settings = {
    Setting{"pcp", "server", "", "the PCP server: the AFTR's IPv6 PCP address, or 192.0.0.1 inside the softwire", true,
            false, [](Text t, Config& c) { return store(address_value(t), c.pcp.server); }},
    Setting{"pcp", "other-address", "",
            "another address of the same server, asked where those before do not answer (RFC 7488); repeats", false,
            true, add_other_address},
    Setting{"pcp", "port", "5351", "its UDP port", false, false,
            [](Text t, Config& c) { return store(number_value(t, 1, 65535), c.pcp.port); }},
    Setting{"pcp", "source", "", "own address to send from; empty: the kernel chooses", false, false,
            [](Text t, Config& c) { return store(address_value(t), c.pcp.source); }},
    Setting{"pcp", "lifetime", "3600", "seconds asked for each mapping", false, false,
            [](Text t, Config& c) { return store(number_value(t, 120, 86400), c.pcp.lifetime_s); }},
    Setting{"pcp", "method", "table", "detection of changes (RFC 7393, 2.3): table or probe", false, false, set_method},
    Setting{"pcp", "check-interval", "300s", "time between two checks of the table, or two probes", false, false,
            [](Text t, Config& c) { return store(duration_value(t, 10 * second, day), c.pcp.check_interval); }},
    Setting{"pcp", "debounce", "2s", "at most one change of a service is published in this time", false, false,
            [](Text t, Config& c) { return store(duration_value(t, {}, 60 * second), c.pcp.debounce); }},
    Setting{"pcp", "release-on-exit", "on", "delete the mappings and withdraw the names on a clean exit", false, false,
            [](Text t, Config& c) { return store(switch_value(t), c.pcp.release_on_exit); }},
    Setting{"pcp", "nat-pmp", "on", "speak NAT-PMP (RFC 6886) to a gateway that says it knows nothing else", false,
            false, [](Text t, Config& c) { return store(switch_value(t), c.pcp.natpmp); }},
    Setting{"ddns", "protocol", "json", "json (portolan-ddnsd), dyndns2, rfc2136 or command", false, false,
            set_protocol},
    Setting{"ddns", "url", "", "json, dyndns2: the DDNS server", false, false, set_url},
    Setting{"ddns", "account", "", "json, dyndns2: name of the account at the DDNS server", false, false,
            [](Text t, Config& c) { return store(plain_value(t, 255), c.ddns.account); }},
    Setting{"ddns", "token", "", "the account's secret; or token-file", false, false,
            [](Text t, Config& c) { return store(plain_value(t, 1024), c.ddns.token); }},
    Setting{"ddns", "token-file", "", "file whose first line is the secret", false, false, set_token_file},
    Setting{"ddns", "ca-file", "", "PEM certificates to trust for https; empty: the system's", false, false,
            [](Text t, Config& c) { return store(plain_value(t, 4096), c.ddns.ca_file); }},
    Setting{"ddns", "extensions", "on",
            "dyndns2: send port, proto, service and more; off for servers that take no port", false, false,
            [](Text t, Config& c) { return store(switch_value(t), c.ddns.extensions); }},
    Setting{"ddns", "dns-server", "", "rfc2136: the zone's primary, ADDRESS or ADDRESS:PORT, over TCP", false, false,
            set_dns_server},
    Setting{"ddns", "dns-zone", "", "rfc2136: the zone that holds the names", false, false, set_dns_zone},
    Setting{"ddns", "key-file", "", "rfc2136: TSIG key as tsig-keygen prints it", false, false, set_key_file},
    Setting{"ddns", "command", "", "command: a program and its arguments, run for each update without a shell", false,
            false, set_command},
    Setting{"ddns", "command-time", "30s", "it is killed after this time", false, false,
            [](Text t, Config& c) { return store(duration_value(t, second, 600 * second), c.ddns.command_time_max); }},
    Setting{"ddns", "lifetime", "3600", "seconds a registration is good for; refreshed at half", false, false,
            [](Text t, Config& c) { return store(number_value(t, 60, 5184000), c.ddns.lifetime_s); }},
    Setting{"ddns", "state", "/var/lib/portolan/ddns-client.json", "what the server acknowledged", false, false,
            [](Text t, Config& c) { return store(plain_value(t, 4096), c.ddns.state); }},
    Setting{"ddns", "allow-address", "", "prefix published although not global unicast (repeats)", false, true,
            add_allow_address},
    Setting{"ddns", "status-socket", "", "unix socket that shows how things stand, for --status; empty: none", false,
            false, [](Text t, Config& c) { return store(plain_value(t, 107), c.ddns.status_socket); }},
    Setting{"igd", "address", "", "show a UPnP gateway at this address of the home's network; empty: none", false,
            false, set_igd_address},
    Setting{"igd", "port", "0", "its TCP port; 0: any", false, false,
            [](Text t, Config& c) { return store(number_value(t, 0, 65535), c.igd.port); }},
    Setting{"igd", "version", "2", "of InternetGatewayDevice: 2, or 1 for programs that know no other", false, false,
            [](Text t, Config& c) { return store(number_value(t, 1, 2), c.igd.settings.version); }},
    Setting{"igd", "any-port", "off", "AddPortMapping succeeds whatever outside port there is", false, false,
            [](Text t, Config& c) { return store(switch_value(t), c.igd.settings.any_port); }},
    Setting{"igd", "own-address", "on", "a program maps ports to its own host alone", false, false,
            [](Text t, Config& c) { return store(switch_value(t), c.igd.settings.own_address); }},
    Setting{"igd", "mappings-max", "64", "mappings of all programs together", false, false,
            [](Text t, Config& c) { return store(number_value(t, 1, 1024), c.igd.settings.leases_max); }},
    Setting{"igd", "name", "", "publish these mappings too, under this name (repeats)", false, true, add_igd_name},
    Setting{"proxy", "address", "", "serve PCP at this address of the home's network, for its hosts; empty: no", false,
            false, set_proxy_address},
    Setting{"proxy", "relay-unknown", "on", "pass on opcodes and mandatory options that are not known here", false,
            false, [](Text t, Config& c) { return store(switch_value(t), c.proxy.relay_unknown); }},
};

struct ServiceSetting {
  Text key, fallback, help;
  bool required, repeats;
  Done (*set)(Text, Service&);
};
constexpr std::array service_settings = {
    ServiceSetting{"name", "", "domain name to publish, home1.example (repeats)", true, true, add_name},
    ServiceSetting{"protocol", "tcp", "tcp or udp", false, false, set_service_protocol},
    ServiceSetting{"inside", "", "where the service listens, 10.0.0.10:8080", true, false, set_inside},
    ServiceSetting{"scheme", "http", "scheme of the published URL; empty: none", false, false, set_scheme},
    ServiceSetting{"path", "/", "path of the published URL", false, false, set_path},
    ServiceSetting{"type", "", "service type in the DNS, http for _http._tcp; empty: the scheme, else ID", false, false,
                   set_type},
    ServiceSetting{"title", "", "what the portal page shows", false, false,
                   [](Text t, Service& s) { return store(plain_value(t, 255), s.title); }},
    ServiceSetting{"suggested-port", "0", "outside port to ask for; 0: any", false, false, set_suggested_port},
};

class Loader {
  Config config_;
  std::vector<ConfigError> errors_;
  std::map<std::string, uint32_t, std::less<>> first_lines_;  // of "section" and of "section.key"
  std::string section_;
  uint32_t line_ = 0;

 public:
  net::Result<Config, std::vector<ConfigError>> load(Text text) {
    while (!text.empty()) {
      const size_t end = std::min(text.find('\n'), text.size());
      ++line_;
      read_line(trimmed(text.substr(0, end)));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    check_whole();
    std::ranges::stable_sort(errors_, {}, &ConfigError::line);
    if (!errors_.empty()) return tl::unexpected(std::move(errors_));
    return std::move(config_);
  }

 private:
  void error(std::string key, std::string text) { errors_.push_back({line_, std::move(key), std::move(text)}); }
  [[nodiscard]] uint32_t line_of(Text what) const {
    const auto found = first_lines_.find(what);
    return found == first_lines_.end() ? 1 : found->second;
  }

  void read_line(Text line) {
    if (line.empty() || line.front() == '#' || line.front() == ';') return;
    if (line.front() == '[') return open_section(line);
    const size_t equals = line.find('=');
    if (equals == Text::npos)
      return error(section_, "\"" + std::string(line) + "\" is neither [section] nor key = value");
    read_setting(trimmed(line.substr(0, equals)), trimmed(line.substr(equals + 1)));
  }

  void open_section(Text line) {
    section_ = line.ends_with(']') ? std::string(trimmed(line.substr(1, line.size() - 2))) : std::string(line);
    const bool service = section_.starts_with("service.");
    if (section_ != "pcp" && section_ != "ddns" && section_ != "igd" && section_ != "proxy" &&
        !(service && is_service_id(Text(section_).substr(8))))
      return error(
          section_,
          "no such section: there are [pcp], [ddns], [igd], [proxy] and [service.ID], ID of letters, digits, hyphens");
    if (!first_lines_.emplace(section_, line_).second)
      return error(section_, "second section of this name; the first is in line " + std::to_string(line_of(section_)));
    if (!service) return;
    if (config_.services.size() == Config::services_max)
      error(section_, "more than " + std::to_string(Config::services_max) + " services");
    config_.services.emplace_back().id = section_.substr(8);
    config_.services.back().title = section_.substr(8);
  }

  void read_setting(Text key, Text value) {
    const std::string full = section_ + "." + std::string(key);
    if (section_.empty()) return error(std::string(key), "stands before any [section]");
    if (!first_lines_.contains(section_)) return;  // an unknown section was reported once
    Done done;
    bool repeats = false;
    if (section_.starts_with("service.")) {
      const auto* row = std::ranges::find(service_settings, key, &ServiceSetting::key);
      if (row == service_settings.end()) return error(full, "no such key");
      const auto service = std::ranges::find(config_.services, section_.substr(8), &Service::id);
      repeats = row->repeats;
      done = row->set(value, *service);
    } else {
      const auto* row = std::ranges::find_if(settings, [&](auto& s) { return s.section == section_ && s.key == key; });
      if (row == settings.end()) return error(full, "no such key");
      repeats = row->repeats;
      if (!value.empty() || row->required) done = row->set(value, config_);
    }
    if (!done) error(full, done.error());
    if (done && value.empty() && !repeats) return;  // as if it were not there
    if (!first_lines_.emplace(full, line_).second && !repeats)
      error(full, "given twice; first in line " + std::to_string(line_of(full)));
  }

  void missing(Text section, Text key) {
    const std::string full = std::string(section) + "." + std::string(key);
    if (!first_lines_.contains(full)) errors_.push_back({line_of(section), full, "missing"});
  }

  // What no single line shows.
  void check_whole() {
    for (const Setting& row : settings)
      if (row.required) missing(row.section, row.key);
    check_protocol();
    if (config_.ddns.account.find(':') != std::string::npos)
      errors_.push_back({line_of("ddns.account"), "ddns.account", "a colon would end it (RFC 7617, 2)"});
    if (config_.pcp.source && net::is_mapped(*config_.pcp.source) != net::is_mapped(config_.pcp.server))
      errors_.push_back({line_of("pcp.source"), "pcp.source", "not of the same address family as pcp.server"});
    if (config_.services.empty() && !config_.igd.on() && !config_.proxy.on())
      errors_.push_back({line_, "service", "no [service.ID] section: nothing to publish"});
    check_services();
  }

  // What each way to tell the names needs.
  void check_protocol() {
    switch (config_.ddns.protocol) {
      case UpdateKind::json:
      case UpdateKind::dyndns2:
        for (const Text key : {"url", "account"}) missing("ddns", key);
        if (first_lines_.contains("ddns.token") == first_lines_.contains("ddns.token-file"))
          errors_.push_back({line_of("ddns"), "ddns.token", "give either token or token-file"});
        return;
      case UpdateKind::rfc2136:
        for (const Text key : {"dns-server", "dns-zone", "key-file"}) missing("ddns", key);
        return;
      case UpdateKind::command:
        return missing("ddns", "command");
    }
  }

  // A name must be something the chosen way can keep.
  void check_names(const std::vector<std::string>& own, const std::string& key, std::set<std::string>& names) {
    const auto wrong = [&](const std::string& text) { errors_.push_back({line_of(key), key, text}); };
    const Config::Ddns& ddns = config_.ddns;
    for (const std::string& name : own) {
      if (ddns.protocol == UpdateKind::rfc2136 && !ddns.dns.zone.empty() && name != ddns.dns.zone &&
          !name.ends_with("." + ddns.dns.zone))
        wrong(name + " is not in ddns.dns-zone " + ddns.dns.zone);
      if (!names.insert(name).second && ddns.protocol == UpdateKind::dyndns2 && !ddns.extensions)
        wrong(name + " is another service's too, and without ddns.extensions no port tells them apart");
    }
  }

  void check_services() {
    std::set<std::string> names;
    std::set<std::pair<net::Protocol, net::Endpoint>> seen;
    for (const Service& service : config_.services) {
      const std::string section = "service." + service.id;
      for (const ServiceSetting& row : service_settings)
        if (row.required) missing(section, row.key);
      if (service.inside != net::Endpoint{} && !seen.emplace(service.protocol, service.inside).second)
        errors_.push_back({line_of(section + ".inside"), section + ".inside", "another service has the same"});
      check_names(service.names, section + ".name", names);
    }
    check_names(config_.igd.settings.names, "igd.name", names);
    if (!config_.igd.settings.names.empty() && config_.ddns.protocol == UpdateKind::dyndns2 && !config_.ddns.extensions)
      errors_.push_back({line_of("igd.name"), "igd.name", "without ddns.extensions no port tells mappings apart"});
  }
};

void print_row(std::ostream& out, Text key, Text fallback, Text help) {
  out << "# " << help << "\n" << (fallback.empty() ? "# " : "") << key << " = " << fallback << "\n";
}

}  // namespace

std::string Config::Ddns::server_text() const {
  switch (protocol) {
    case UpdateKind::rfc2136:
      return "rfc2136 " + net::to_text(dns.server.address) + " " + std::to_string(dns.server.port) + " " + dns.zone;
    case UpdateKind::command:
      return "command " + command.front();
    default:
      return url.text();
  }
}

net::Result<Config, std::vector<ConfigError>> parse_config(std::string_view text) { return Loader().load(text); }

net::Result<Config, std::vector<std::string>> load_config(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  if (!in || !(text << in.rdbuf())) return tl::unexpected(std::vector{path + ": cannot be read, or is empty"});
  auto config = parse_config(text.str());
  std::vector<std::string> errors;
  if (!config) {
    for (const auto& e : config.error())
      errors.push_back(path + ":" + std::to_string(e.line) + ": " + e.key + ": " + e.text);
    return tl::unexpected(std::move(errors));
  }
  return std::move(*config);
}

std::string default_config_text() {
  std::ostringstream out;
  Text section;
  for (const Setting& row : settings) {
    if (row.section != section) out << (section.empty() ? "[" : "\n[") << (section = row.section) << "]\n";
    print_row(out, row.key, row.fallback, row.help);
  }
  out << "\n[service.web]\n";
  for (const ServiceSetting& row : service_settings) print_row(out, row.key, row.fallback, row.help);
  return out.str();
}

}  // namespace portolan::ddns
