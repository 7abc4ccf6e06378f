#include "ddns-server/config.h"

#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

#include "tests/unit/ddns-server/fixture.h"

namespace portolan::ddnsd::test {
namespace {

std::string errors_of(const std::string& text) {
  std::istringstream in(text);
  const auto config = read_config(in, "ddnsd.conf");
  std::string out;
  if (!config)
    for (const auto& error : config.error()) out += to_text(error) + "\n";
  return out;
}

Config config_of(const std::string& text) {
  std::istringstream in(text);
  auto config = read_config(in, "ddnsd.conf");
  EXPECT_TRUE(config) << errors_of(text);
  return config.value_or(Config{});
}

constexpr const char* full = R"([server]
listen = 192.0.2.53:80   # a comment
listen = [2001:db8::53]:8080
hostname = DDNS.Example.
database = /tmp/x.sqlite
redirect-code = 307
allow-address = 192.0.2.0/24
allow-address = 198.51.100.0/24
connections-max = 100

[dns]
mode = portal
server = [::1]:5353
zone = example
key-name = ddns.example
key-algorithm = hmac-sha512
key-secret = c2VjcmV0
ttl = 60
portal-address = 192.0.2.53
[log]
level = debug
)";

TEST(Config, every_key_is_read) {
  const Config config = config_of(full);
  ASSERT_EQ(config.listen.size(), 2U);
  EXPECT_EQ(config.listen[0], (SocketAddress{net::mapped(endpoint("192.0.2.53:80").address), 80}));
  EXPECT_EQ(config.listen[1].port, 8080);
  EXPECT_EQ(config.hostname, "ddns.example");
  EXPECT_EQ(config.database, "/tmp/x.sqlite");
  EXPECT_EQ(config.redirect_code, 307U);
  EXPECT_EQ(config.allow_address.size(), 2U);
  EXPECT_EQ(config.connections_max, 100U);
  EXPECT_EQ(config.dns.mode, DnsConfig::Mode::portal);
  EXPECT_EQ(config.dns.server.port, 5353);
  EXPECT_EQ(config.dns.zone, "example");
  EXPECT_EQ(config.dns.key.name, "ddns.example");
  EXPECT_EQ(config.dns.key.algorithm, "hmac-sha512");
  EXPECT_EQ(config.dns.key.secret, "c2VjcmV0");
  EXPECT_EQ(config.dns.ttl_s, 60U);
  EXPECT_EQ(config.dns.portal_address, endpoint("192.0.2.53:1").address);
  EXPECT_EQ(config.log_level, "debug");
}

TEST(Config, defaults) {
  const Config config = config_of("[server]\nhostname = ddns.example\n");
  ASSERT_EQ(config.listen.size(), 1U);
  EXPECT_EQ(config.listen[0].port, 80);
  EXPECT_EQ(config.redirect_code, 301U);
  EXPECT_EQ(config.dns.mode, DnsConfig::Mode::off);
  EXPECT_EQ(config.dns.ttl_s, 30U);
}

TEST(Config, printed_defaults_are_a_configuration) {
  std::ostringstream printed;
  print_defaults(printed);
  std::string text = printed.str();
  const std::string required = "# hostname = ";
  ASSERT_NE(text.find(required), std::string::npos);
  text.replace(text.find(required), required.size(), "hostname = ddns.example");
  EXPECT_EQ(config_of(text).database, "/var/lib/portolan/ddns.sqlite");
}

TEST(Config, all_errors_are_told_with_line_and_key) {
  EXPECT_EQ(
      errors_of("[server]\n"
                "hostname = ddns\n"
                "\n"
                "listen = 80\n"
                "lisen = 0.0.0.0:80\n"
                "redirect-code = 303\n"
                "redirect-code = 301\n"
                "allow-address = 192.0.2.1/24\n"
                "what\n"
                "[dns]\n"
                "ttl = 61\n"),
      "ddnsd.conf:2: server.hostname: 'ddns' is not a fully qualified name such as ddns.example\n"
      "ddnsd.conf:4: server.listen: '80' is not ADDRESS:PORT (IPv6 as [ADDRESS]:PORT)\n"
      "ddnsd.conf:5: server.lisen: no such setting; portolan-ddnsd --print-defaults lists all\n"
      "ddnsd.conf:6: server.redirect-code: '303' is not 301, 302, 307 or 308\n"
      "ddnsd.conf:7: server.redirect-code: is there twice\n"
      "ddnsd.conf:8: server.allow-address: '192.0.2.1/24' is not an IPv4 prefix such as 192.0.2.0/24 (host bits zero)\n"
      "ddnsd.conf:9: server: not a setting; write key = value\n"
      "ddnsd.conf:11: dns.ttl: '61' is not a number from 1 to 60\n");
}

TEST(Config, what_a_mode_needs_is_missed) {
  EXPECT_EQ(errors_of("[dns]\nmode = portal\n"),
            "ddnsd.conf:2: server.hostname: is missing; the server's own name, such as ddns.example\n"
            "ddnsd.conf:2: dns.server: is missing; needed unless mode = off\n"
            "ddnsd.conf:2: dns.zone: is missing; needed unless mode = off\n"
            "ddnsd.conf:2: dns.key-name: is missing; make a key with tsig-keygen NAME, or set key-file\n"
            "ddnsd.conf:2: dns.key-secret: is missing; make a key with tsig-keygen NAME, or set key-file\n"
            "ddnsd.conf:2: dns.portal-address: is missing; needed when mode = portal\n");
}

TEST(Config, TSG_009_md5_is_refused) {
  EXPECT_NE(errors_of("[server]\nhostname=d.example\n[dns]\nkey-algorithm = hmac-md5\n").find("RFC 8945 §6"),
            std::string::npos);
}

TEST(Config, a_bad_secret_is_not_repeated) {
  const std::string errors = errors_of("[server]\nhostname=d.example\n[dns]\nkey-secret = hunter2!\n");
  EXPECT_EQ(errors, "ddnsd.conf:4: dns.key-secret: not base64, as tsig-keygen prints it\n");
}

TEST(Config, key_file_as_tsig_keygen_prints_it) {
  const TempDir directory;
  const std::string file = directory.file("ddns.key");
  std::ofstream(file) << "key \"ddns-key\" {\n\talgorithm hmac-sha512;\n\tsecret \"c2VjcmV0\";\n};\n";
  const Config config = config_of("[server]\nhostname=d.example\n[dns]\nkey-file = " + file + "\n");
  EXPECT_EQ(config.dns.key.name, "ddns-key");
  EXPECT_EQ(config.dns.key.algorithm, "hmac-sha512");
  EXPECT_EQ(config.dns.key.secret, "c2VjcmV0");
  EXPECT_NE(errors_of("[server]\nhostname=d.example\n[dns]\nkey-file = /nonexistent\n").find("cannot be read"),
            std::string::npos);
  EXPECT_NE(errors_of("[server]\nhostname=d.example\n[dns]\nkey-name = x\nkey-file = " + file + "\n").find("already"),
            std::string::npos);
}

TEST(Config, a_file_that_is_not_there_is_named) {
  const auto config = read_config_file("/nonexistent.conf");
  ASSERT_FALSE(config);
  EXPECT_NE(to_text(config.error().front()).find("/nonexistent.conf"), std::string::npos);
}

}  // namespace
}  // namespace portolan::ddnsd::test
