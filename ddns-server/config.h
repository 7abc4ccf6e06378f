// portolan-ddnsd's settings: one row a key, which the parser, the checks and --print-defaults all walk. A Config is
// read once at start and never changes.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/net/result.h"
#include "dataplane/net/types.h"
#include "dns/update.h"

namespace portolan::ddnsd {

using dns::SocketAddress;
using dns::TsigKey;
std::string to_text(const SocketAddress& socket);  // "192.0.2.1:80", "[2001:db8::1]:80"

struct DnsConfig : dns::Primary {
  // portal: the name leads to this server, direct.<name> to the service; direct: the name itself leads to the service.
  enum class Mode : uint8_t { off, portal, direct };
  Mode mode = Mode::off;
  uint32_t ttl_s = 30;
  net::Ipv4 portal_address;
  bool uri = true, svcb = true, dns_sd = false;  // which records there are besides A and SRV
  bool take_over = false;                        // replace record sets that are there and not ours
  uint32_t check_interval_s = 300;               // between comparisons of DNS with the registry; 0: never
};

struct AuthorityConfig {  // an AFTR's mapping feed: one of socket and server, or none
  std::string socket;
  std::optional<SocketAddress> server;
  std::string name, ca_file, token_file;  // name: of the certificate; empty: the server's address
  [[nodiscard]] bool is_on() const { return !socket.empty() || server; }
};

struct Config {
  std::vector<SocketAddress> listen, listen_tls;
  std::string certificate, key;
  std::string hostname;
  std::string database;
  unsigned redirect_code = 301;
  std::vector<net::Ipv4Prefix> allow_address;
  unsigned connections_max = 1024;
  std::string log_level;
  DnsConfig dns;
  AuthorityConfig authority;
};

struct ConfigError {
  std::string file;
  unsigned line = 0;
  std::string key, text;
};
std::string to_text(const ConfigError& error);  // ddnsd.conf:12: server.listen: …

// All that is wrong, in the order of the lines; nothing is used if anything is.
net::Result<Config, std::vector<ConfigError>> read_config(std::istream& in, const std::string& file);
net::Result<Config, std::vector<ConfigError>> read_config_file(const std::string& file);

// Every key with its default and what it does, as a file read_config accepts once the required keys are set.
void print_defaults(std::ostream& out);

}  // namespace portolan::ddnsd
