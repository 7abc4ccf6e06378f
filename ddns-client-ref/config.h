// The configuration file of portolan-ddns: one row per key (config.cc) is the parser, its check, its default and the
// text of --print-defaults.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/net/result.h"
#include "dataplane/net/types.h"
#include "ddns-client-ref/boot_time.h"
#include "ddns-client-ref/http_message.h"
#include "ddns-client-ref/igd_interworking.h"
#include "ddns-client-ref/registration.h"
#include "dns/update.h"

namespace portolan::ddns {

enum class Method : uint8_t { table, probe };  // RFC 7393 §2.3: its second way, its first way
enum class UpdateKind : uint8_t { json, dyndns2, rfc2136, command };

struct Config {
  static constexpr size_t services_max = 64, names_max = 16;  // names of one service
  static constexpr size_t addresses_max = 8;                  // of the PCP server, besides the first

  struct Pcp {
    net::Ipv6 server;  // IPv4 as an IPv4-mapped address, here and in source
    uint16_t port = 5351;
    std::vector<net::Ipv6> others;  // more addresses of the same server (RFC 7488)
    std::optional<net::Ipv6> source;
    uint32_t lifetime_s = 3600;
    Method method = Method::table;
    Duration check_interval = std::chrono::seconds(300);
    Duration debounce = std::chrono::seconds(2);
    bool release_on_exit = true;
    bool natpmp = true;
  } pcp;
  struct Ddns {
    UpdateKind protocol = UpdateKind::json;
    Url url;  // json, dyndns2
    std::string account, token, ca_file;
    bool extensions = true;  // dyndns2
    dns::Primary dns;        // rfc2136
    std::vector<std::string> command;
    Duration command_time_max = std::chrono::seconds(30);
    uint32_t lifetime_s = 3600;
    std::string state = "/var/lib/portolan/ddns-client.json";
    std::vector<net::Ipv4Prefix> allow_address;
    std::string status_socket;
    // Who is told: what was acknowledged holds for this one only.
    [[nodiscard]] std::string server_text() const;
  } ddns;
  struct Igd {
    net::Ipv4 address;  // zero: no gateway is shown
    uint16_t port = 0;
    IgdSettings settings;
    [[nodiscard]] bool on() const { return address != net::Ipv4{}; }
  } igd;
  struct Proxy {
    net::Ipv4 address;  // zero: no PCP proxy
    bool relay_unknown = true;
    [[nodiscard]] bool on() const { return address != net::Ipv4{}; }
  } proxy;
  std::vector<Service> services;
};

struct ConfigError {
  uint32_t line = 0;
  std::string key, text;  // key as section.key
};

// Every error, in the order of the file.
net::Result<Config, std::vector<ConfigError>> parse_config(std::string_view text);
// Errors are ready to print: `file:line: section.key: text`.
net::Result<Config, std::vector<std::string>> load_config(const std::string& path);

std::string default_config_text();

}  // namespace portolan::ddns
