#include "ddns-server/config.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <fstream>
#include <optional>
#include <ostream>
#include <sstream>

#include "dataplane/net/text.h"
#include "ddns-server/limits.h"
#include "ddns-server/uri.h"

namespace portolan::ddnsd {
namespace {

namespace po = boost::program_options;

// Empty if taken over, else what the value has to be.
using Refusal = std::string;

Refusal range(std::string_view text, uint64_t least, uint64_t most, uint64_t& out) {
  const auto number = net::parse_number(text);
  if (!number || *number < least || *number > most)
    return "'" + std::string(text) + "' is not a number from " + std::to_string(least) + " to " + std::to_string(most);
  out = *number;
  return "";
}

std::optional<SocketAddress> parse_socket(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const auto port = net::parse_number(text.substr(colon + 1));
  if (!port || *port == 0 || *port > 65535) return std::nullopt;
  if (const auto v4 = net::parse_ipv4(host)) return SocketAddress{net::mapped(*v4), static_cast<uint16_t>(*port)};
  if (!host.starts_with('[') || !host.ends_with(']')) return std::nullopt;
  const auto v6 = net::parse_ipv6(host.substr(1, host.size() - 2));
  return v6 ? std::optional(SocketAddress{*v6, static_cast<uint16_t>(*port)}) : std::nullopt;
}

constexpr const char* socket_form = "is not ADDRESS:PORT (IPv6 as [ADDRESS]:PORT)";

Refusal set_listen(Config& config, const std::string& value) {
  const auto socket = parse_socket(value);
  if (!socket) return "'" + value + "' " + socket_form;
  if (std::ranges::find(config.listen, *socket) != config.listen.end()) return "'" + value + "' is there twice";
  config.listen.push_back(*socket);
  return "";
}

Refusal set_listen_tls(Config& config, const std::string& value) {
  const auto socket = parse_socket(value);
  if (!socket) return "'" + value + "' " + socket_form;
  config.listen_tls.push_back(*socket);
  return "";
}

Refusal set_authority_server(Config& config, const std::string& value) {
  config.authority.server = parse_socket(value);
  return config.authority.server ? "" : "'" + value + "' " + socket_form;
}

template <auto where>
Refusal set_text(Config& config, const std::string& value) {
  where(config) = value;
  return value.empty() ? "a value is needed, or no line at all" : "";
}

template <auto where>
Refusal set_switch(Config& config, const std::string& value) {
  if (value != "on" && value != "off") return "'" + value + "' is neither on nor off";
  where(config) = value == "on";
  return "";
}

Refusal set_hostname(Config& config, const std::string& value) {
  const auto name = parse_fqdn(value);
  if (!name) return "'" + value + "' is not a fully qualified name such as ddns.example";
  config.hostname = *name;
  return "";
}

Refusal set_database(Config& config, const std::string& value) {
  config.database = value;
  return value.empty() ? "a file name is needed" : "";
}

Refusal set_zone(Config& config, const std::string& value) {
  const auto below = parse_fqdn("x." + value);  // a zone may be a single label
  if (!below) return "'" + value + "' is not the name of a zone";
  config.dns.zone = below->substr(2);
  return "";
}

Refusal set_algorithm(Config& config, const std::string& value) {
  config.dns.key.algorithm = value;
  return dns::check_algorithm(value);
}

Refusal set_secret(Config& config, const std::string& value) {
  config.dns.key.secret = value;
  return dns::check_secret(value);
}

Refusal set_key_file(Config& config, const std::string& value) {
  auto key = dns::read_key_file(value);
  if (!key) return key.error();
  config.dns.key = std::move(*key);
  return "";
}

Refusal set_key_name(Config& config, const std::string& value) {
  config.dns.key.name = value;
  return dns::check_key_name(value);
}

Refusal set_redirect_code(Config& config, const std::string& value) {
  if (value != "301" && value != "302" && value != "307" && value != "308")
    return "'" + value + "' is not 301, 302, 307 or 308";
  config.redirect_code = static_cast<unsigned>(*net::parse_number(value));
  return "";
}

Refusal set_allow_address(Config& config, const std::string& value) {
  const auto prefix = net::parse_ipv4_prefix(value);
  if (!prefix) return "'" + value + "' is not an IPv4 prefix such as 192.0.2.0/24 (host bits zero)";
  config.allow_address.push_back(*prefix);
  return "";
}

Refusal set_connections_max(Config& config, const std::string& value) {
  uint64_t number = 0;
  Refusal refusal = range(value, 4, 60000, number);
  config.connections_max = static_cast<unsigned>(number);
  return refusal;
}

Refusal set_mode(Config& config, const std::string& value) {
  if (value == "off")
    config.dns.mode = DnsConfig::Mode::off;
  else if (value == "portal")
    config.dns.mode = DnsConfig::Mode::portal;
  else if (value == "direct")
    config.dns.mode = DnsConfig::Mode::direct;
  else
    return "'" + value + "' is not off, portal or direct";
  return "";
}

Refusal set_dns_server(Config& config, const std::string& value) {
  const auto socket = parse_socket(value);
  if (!socket) return "'" + value + "' " + socket_form;
  config.dns.server = *socket;
  return "";
}

Refusal set_ttl(Config& config, const std::string& value) {
  uint64_t number = 0;
  Refusal refusal = range(value, 1, limits::dns_ttl_max_s, number);
  config.dns.ttl_s = static_cast<uint32_t>(number);
  return refusal;
}

Refusal set_check_interval(Config& config, const std::string& value) {
  uint64_t number = 0;
  Refusal refusal = range(value, 0, 86400, number);
  config.dns.check_interval_s = static_cast<uint32_t>(number);
  return refusal;
}

Refusal set_portal_address(Config& config, const std::string& value) {
  const auto address = net::parse_ipv4(value);
  if (!address) return "'" + value + "' is not an IPv4 address";
  config.dns.portal_address = *address;
  return "";
}

Refusal set_level(Config& config, const std::string& value) {
  constexpr std::string_view levels[] = {"debug", "info", "warning", "error"};
  if (std::ranges::find(levels, value) == std::end(levels))
    return "'" + value + "' is not debug, info, warning or error";
  config.log_level = value;
  return "";
}

struct Setting {
  const char* key;
  const char* initial;  // "" with no default
  const char* help;
  Refusal (*set)(Config&, const std::string&);
  bool repeats = false;
};

const Setting settings[] = {
    {"server.listen", "0.0.0.0:80", "Where HTTP is answered; repeat for more, IPv6 as [::]:80.", set_listen, true},
    {"server.listen-tls", "", "Where HTTPS is answered, ADDRESS:PORT; repeat for more.", set_listen_tls, true},
    {"server.certificate", "", "PEM file with the server's certificate and its chain; read anew when it changes.",
     set_text<[](Config& c) -> std::string& { return c.certificate; }>},
    {"server.key", "", "PEM file with the certificate's key.",
     set_text<[](Config& c) -> std::string& { return c.key; }>},
    {"server.hostname", "", "Required. The server's own name: update API and health check answer there.", set_hostname},
    {"server.database", "/var/lib/portolan/ddns.sqlite", "The registry; made if it is not there.", set_database},
    {"server.redirect-code", "301", "Status of a redirect to a name's only web service: 301, 302, 307 or 308.",
     set_redirect_code},
    {"server.allow-address", "",
     "Prefix whose addresses may be registered though they are not global; repeat for more.", set_allow_address, true},
    {"server.connections-max", "1024", "Connections served at once, 4 to 60000.", set_connections_max},
    {"dns.mode", "off",
     "off; portal (the name leads here, direct.<name> to the service); direct (the name leads to the service).",
     set_mode},
    {"dns.server", "", "DNS server that takes updates (RFC 2136, over TCP), ADDRESS:PORT.", set_dns_server},
    {"dns.zone", "", "Zone that holds the names.", set_zone},
    {"dns.key-file", "", "TSIG key as tsig-keygen prints it; or the three keys below.", set_key_file},
    {"dns.key-name", "", "Name of the TSIG key.", set_key_name},
    {"dns.key-algorithm", "hmac-sha256", "hmac-sha256, hmac-sha512, or hmac-sha1 for old servers.", set_algorithm},
    {"dns.key-secret", "", "The key, in base64.", set_secret},
    {"dns.ttl", "30", "Seconds others may cache a record, 1 to 60.", set_ttl},
    {"dns.portal-address", "", "This server's IPv4 address as visitors see it; needed in portal mode.",
     set_portal_address},
    {"dns.uri", "on", "on or off: URI records beside SRV (RFC 7553).",
     set_switch<[](Config& c) -> bool& { return c.dns.uri; }>},
    {"dns.svcb", "on", "on or off: HTTPS records of https services, SVCB of others that are not http (RFC 9460).",
     set_switch<[](Config& c) -> bool& { return c.dns.svcb; }>},
    {"dns.dns-sd", "off", "on or off: the records that let programs browse a name's services (RFC 6763).",
     set_switch<[](Config& c) -> bool& { return c.dns.dns_sd; }>},
    {"dns.take-over", "off", "on or off: replace record sets that are in the zone already and were not made here.",
     set_switch<[](Config& c) -> bool& { return c.dns.take_over; }>},
    {"dns.check-interval", "300", "Seconds between comparisons of DNS with the registry, 0 (never) to 86400.",
     set_check_interval},
    {"authority.socket", "", "Unix socket of an AFTR's mapping feed (portoland's feed.socket); or the keys below.",
     set_text<[](Config& c) -> std::string& { return c.authority.socket; }>},
    {"authority.server", "", "The same over TLS, ADDRESS:PORT (portoland's feed.listen).", set_authority_server},
    {"authority.name", "", "Name in the feed's certificate; else its address has to be in it.",
     set_text<[](Config& c) -> std::string& { return c.authority.name; }>},
    {"authority.ca-file", "", "PEM file of what is trusted to sign that certificate; else the system's.",
     set_text<[](Config& c) -> std::string& { return c.authority.ca_file; }>},
    {"authority.token-file", "", "File with the feed's token.",
     set_text<[](Config& c) -> std::string& { return c.authority.token_file; }>},
    {"log.level", "info", "debug, info, warning or error, to standard error.", set_level},
};

struct Line {
  unsigned number = 0;
  std::string key, value;
};

// Boost.Program_options reads the syntax, one line at a time, so that each option is known by its line.
class Lines {
  po::options_description known_;
  std::string section_;

 public:
  Lines() {
    for (const Setting& each : settings) known_.add_options()(each.key, po::value<std::string>());
  }
  std::optional<Line> parse(unsigned number, const std::string& text) {
    const std::string stripped = text.substr(0, text.find('#'));
    const size_t first = stripped.find_first_not_of(" \t\r"), last = stripped.find_last_not_of(" \t\r");
    if (first == std::string::npos) return std::nullopt;
    if (stripped[first] == '[' && stripped[last] == ']') {
      section_ = stripped.substr(first + 1, last - first - 1);
      return std::nullopt;
    }
    std::istringstream in("[" + section_ + "]\n" + stripped);
    const auto parsed = po::parse_config_file(in, known_, true);  // throws po::error on a line that is no setting
    const auto& option = parsed.options.at(0);
    return Line{number, option.string_key, option.value.empty() ? "" : option.value.front()};
  }
  [[nodiscard]] const std::string& section() const { return section_; }
};

class Loader {
  std::string file_;
  Config config_;
  std::vector<ConfigError> errors_;
  std::vector<Line> given_;
  unsigned line_count_ = 0;

  void refuse(unsigned line, std::string key, std::string text) {
    errors_.push_back({file_, line, std::move(key), std::move(text)});
  }

  bool is_given(std::string_view key) const { return std::ranges::find(given_, key, &Line::key) != given_.end(); }

  void take(const Line& line) {
    const auto* setting = std::ranges::find(settings, line.key, &Setting::key);
    if (setting == std::end(settings))
      return refuse(line.number, line.key, "no such setting; portolan-ddnsd --print-defaults lists all");
    if (!setting->repeats && is_given(line.key)) return refuse(line.number, line.key, "is there twice");
    given_.push_back(line);
    if (Refusal refusal = setting->set(config_, line.value); !refusal.empty()) refuse(line.number, line.key, refusal);
  }

  void fill_in_defaults() {
    for (const Setting& each : settings)
      if (!is_given(each.key) && *each.initial != '\0' && !(is_given("dns.key-file") && each.set == set_algorithm))
        each.set(config_, each.initial);
  }

  void require(const char* key, const char* why) {
    if (!is_given(key)) refuse(line_count_, key, why);
  }

  void check_tls() {
    for (const char* file : {"server.certificate", "server.key"}) {
      if (!config_.listen_tls.empty()) require(file, "is missing; needed with server.listen-tls");
      if (config_.listen_tls.empty() && is_given(file)) refuse(line_count_, file, "has no effect without listen-tls");
    }
  }

  void check_authority() {
    const bool over_tls = is_given("authority.server");
    if (over_tls && is_given("authority.socket"))
      refuse(line_count_, "authority.server", "there is authority.socket already; give one of the two");
    if (over_tls) require("authority.token-file", "is missing; needed with authority.server");
    for (const char* key : {"authority.name", "authority.ca-file", "authority.token-file"})
      if (!over_tls && is_given(key)) refuse(line_count_, key, "has no effect without authority.server");
  }

  void check_whole() {
    require("server.hostname", "is missing; the server's own name, such as ddns.example");
    if (is_given("dns.key-file") &&
        (is_given("dns.key-name") || is_given("dns.key-secret") || is_given("dns.key-algorithm")))
      refuse(line_count_, "dns.key-file", "names the key already; leave out key-name, key-algorithm and key-secret");
    check_tls();
    check_authority();
    if (config_.dns.mode == DnsConfig::Mode::off) return;
    require("dns.server", "is missing; needed unless mode = off");
    require("dns.zone", "is missing; needed unless mode = off");
    // Nobody may change DNS without a key (RFC 3007 §2).
    if (!is_given("dns.key-file")) {
      require("dns.key-name", "is missing; make a key with tsig-keygen NAME, or set key-file");
      require("dns.key-secret", "is missing; make a key with tsig-keygen NAME, or set key-file");
    }
    if (config_.dns.mode == DnsConfig::Mode::portal)
      require("dns.portal-address", "is missing; needed when mode = portal");
  }

 public:
  explicit Loader(std::string file) : file_(std::move(file)) {}

  net::Result<Config, std::vector<ConfigError>> load(std::istream& in) {
    Lines lines;
    for (std::string text; std::getline(in, text);) {
      ++line_count_;
      try {
        if (const auto line = lines.parse(line_count_, text)) take(*line);
      } catch (const po::error&) {
        refuse(line_count_, lines.section(), "not a setting; write key = value");
      }
    }
    fill_in_defaults();
    check_whole();
    if (!errors_.empty()) return tl::unexpected(errors_);
    return config_;
  }
};

}  // namespace

std::string to_text(const SocketAddress& socket) {
  const std::string address = address_text(socket.address);
  return (net::is_mapped(socket.address) ? address : "[" + address + "]") + ":" + std::to_string(socket.port);
}

std::string to_text(const ConfigError& error) {
  return error.file + ":" + std::to_string(error.line) + ": " + error.key + ": " + error.text;
}

net::Result<Config, std::vector<ConfigError>> read_config(std::istream& in, const std::string& file) {
  return Loader(file).load(in);
}

net::Result<Config, std::vector<ConfigError>> read_config_file(const std::string& file) {
  std::ifstream in(file);
  if (!in) return tl::unexpected(std::vector{ConfigError{file, 0, "file", "cannot be read"}});
  return read_config(in, file);
}

void print_defaults(std::ostream& out) {
  std::string section;
  for (const Setting& each : settings) {
    const std::string key = each.key;
    const size_t dot = key.find('.');
    if (key.substr(0, dot) != section) {
      out << (section.empty() ? "" : "\n") << '[' << key.substr(0, dot) << "]\n";
      section = key.substr(0, dot);
    }
    const bool has_default = *each.initial != '\0';
    out << "# " << each.help << '\n'
        << (has_default ? "" : "# ") << key.substr(dot + 1) << " = " << each.initial << '\n';
  }
}

}  // namespace portolan::ddnsd
