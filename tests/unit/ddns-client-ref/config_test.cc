// The configuration file: what is read, and where each error is found.
#include "ddns-client-ref/config.h"

#include <algorithm>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

#include "dataplane/net/text.h"

namespace portolan::ddns {
namespace {

constexpr std::string_view good = R"([pcp]
server = 2001:db8:a::1
method = probe
check-interval = 5m
[ddns]
url = https://ddns.example/
account = home1
token = secret
allow-address = 192.0.2.0/24
allow-address = 198.51.100.0/24
# comment
[service.web]
name = Home1.Example.
inside = 10.0.0.10:8080
[service.cam]
name = home1.example
protocol = udp
inside = 10.0.0.11:554
scheme = rtsp
path = /live
title = The garden
suggested-port = 554
)";

// "line: key: text" of every error.
std::vector<std::string> errors_of(const std::string& text) {
  std::vector<std::string> out;
  if (const auto config = parse_config(text); !config)
    for (const auto& e : config.error()) out.push_back(std::to_string(e.line) + ": " + e.key + ": " + e.text);
  return out;
}
std::string replaced(std::string_view from, std::string_view to) {
  std::string text(good);
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Config, reads_every_kind_of_value) {
  const auto config = parse_config(good);
  ASSERT_TRUE(config) << errors_of(std::string(good)).at(0);
  EXPECT_EQ(config->pcp.method, Method::probe);
  EXPECT_EQ(config->pcp.check_interval, Duration(std::chrono::minutes(5)));
  EXPECT_EQ(config->pcp.lifetime_s, 3600U);
  EXPECT_TRUE(config->pcp.release_on_exit);
  EXPECT_EQ(config->ddns.allow_address.size(), 2U);
  ASSERT_EQ(config->services.size(), 2U);
  EXPECT_EQ(config->services[0].names, std::vector<std::string>{"home1.example"});
  EXPECT_EQ(config->services[0].title, "web");
  EXPECT_EQ(config->services[1].protocol, net::Protocol::udp);
  EXPECT_EQ(config->services[1].path, "/live");
  EXPECT_EQ(config->services[1].suggested_port, net::Port{uint16_t{554}});
}

TEST(Config, a_name_in_unicode_is_kept_as_the_dns_writes_it) {
  const auto config = parse_config(replaced("name = Home1.Example.",
                                            "name = B\xc3\xbc"
                                            "cher.example"));
  ASSERT_TRUE(config);
  EXPECT_EQ(config->services[0].names, std::vector<std::string>{"xn--bcher-kva.example"});
  EXPECT_EQ(errors_of(replaced("name = Home1.Example.",
                               "name = \xe2\x80\xae"
                               "a.example"))
                .size(),
            1U);
}

TEST(Config, the_proxy_may_refuse_what_it_does_not_know) {
  EXPECT_TRUE(parse_config(good)->proxy.relay_unknown);
  const auto config = parse_config(std::string(good) + "[proxy]\naddress = 10.0.0.1\nrelay-unknown = off\n");
  ASSERT_TRUE(config);
  EXPECT_TRUE(config->proxy.on());
  EXPECT_FALSE(config->proxy.relay_unknown);
}

// RFC 6887 appendix A.
TEST(Config, NPM_016_natpmp_is_allowed_unless_switched_off) {
  EXPECT_TRUE(parse_config(good)->pcp.natpmp);
  EXPECT_FALSE(parse_config(replaced("method = probe", "method = probe\nnat-pmp = off"))->pcp.natpmp);
}

TEST(Config, the_shipped_file_is_good) {
  const auto config = load_config(PORTOLAN_CONFIGS "/portolan-ddns.conf");
  ASSERT_TRUE(config) << config.error().front();
  EXPECT_EQ(config->services.size(), 1U);
}

TEST(Config, every_error_names_line_and_key) {
  struct Row {
    std::string text, error;
  };
  for (const Row& row : {
           Row{replaced("2001:db8:a::1", "aftr"), "2: pcp.server: \"aftr\" is not an IPv4 or IPv6 address"},
           Row{replaced("probe", "ask"), "3: pcp.method: \"ask\" is not table or probe"},
           Row{replaced("5m", "5 minutes"),
               "4: pcp.check-interval: \"5 minutes\" is not a time from 10s to 86400s (300s, 5m, 1h)"},
           Row{replaced("check-interval", "interval"), "4: pcp.interval: no such key"},
           Row{replaced("token = secret", "token-file = /nonexistent"),
               "8: ddns.token-file: cannot read a secret from the first line of /nonexistent"},
           Row{replaced("token = secret\n", ""), "5: ddns.token: give either token or token-file"},
           Row{replaced("account = home1\n", ""), "5: ddns.account: missing"},
           Row{replaced("192.0.2.0/24", "192.0.2.1/24"),
               "9: ddns.allow-address: \"192.0.2.1/24\" is not an IPv4 prefix like 192.0.2.0/24"},
           Row{replaced("Home1.Example.", "home"),
               "13: service.web.name: \"home\" is not a full domain name like "
               "home1.example"},
           Row{replaced("10.0.0.11:554", "10.0.0.11"),
               "18: service.cam.inside: \"10.0.0.11\" is not ADDRESS:PORT like 10.0.0.10:8080"},
           Row{replaced("/live", "live"), "20: service.cam.path: must begin with / and hold no space"},
           Row{replaced("[service.cam]", "[service.c m]"),
               "15: service.c m: no such section: there are [pcp], [ddns], [igd], [proxy] and [service.ID], ID of "
               "letters, "
               "digits, "
               "hyphens"},
           Row{replaced("[service.cam]", "[service.web]"),
               "15: service.web: second section of this name; the first is in line 12"},
           Row{replaced("method = probe", "server = ::1"), "3: pcp.server: given twice; first in line 2"},
           Row{replaced("# comment", "comment"), "11: ddns: \"comment\" is neither [section] nor key = value"},
       }) {
    const auto errors = errors_of(row.text);
    EXPECT_NE(std::ranges::find(errors, row.error), errors.end())
        << row.error << "\ngot: " << (errors.empty() ? "none" : errors[0]);
  }
}

std::string key_file(const std::string& algorithm) {
  const std::string path = ::testing::TempDir() + "key-" + algorithm;
  std::ofstream(path) << "key \"home1\" {\n  algorithm " << algorithm << ";\n  secret \"c2VjcmV0\";\n};\n";
  return path;
}

TEST(Config, each_protocol_asks_for_what_it_needs) {
  const std::string http = "url = https://ddns.example/\naccount = home1\ntoken = secret\n";
  const auto with = [&](const std::string& text) { return replaced(http, text); };
  EXPECT_EQ(errors_of(with("protocol = ftp\n" + http)),
            std::vector<std::string>{"6: ddns.protocol: \"ftp\" is not json, dyndns2, rfc2136 or command"});
  EXPECT_EQ(errors_of(with("protocol = rfc2136\n")),
            (std::vector<std::string>{"5: ddns.dns-server: missing", "5: ddns.dns-zone: missing",
                                      "5: ddns.key-file: missing"}));
  EXPECT_EQ(errors_of(with("protocol = command\n")), std::vector<std::string>{"5: ddns.command: missing"});
  EXPECT_EQ(errors_of(with("protocol = command\ncommand = /nonexistent\n")),
            std::vector<std::string>{"7: ddns.command: /nonexistent cannot be run: No such file or directory"});
  EXPECT_EQ(errors_of(with("protocol = command\ncommand = true\n")).at(0).substr(0, 45),
            "7: ddns.command: must be a program's whole pa");
  const auto command = parse_config(with("protocol = command\ncommand = /bin/true  a b\n"));
  ASSERT_TRUE(command);
  EXPECT_EQ(command->ddns.command, (std::vector<std::string>{"/bin/true", "a", "b"}));
}

// Also shows TSG-009.
TEST(Config, rfc2136_takes_a_primary_a_zone_and_a_key) {
  const std::string http = "url = https://ddns.example/\naccount = home1\ntoken = secret\n";
  const auto with = [&](const std::string& server, const std::string& zone, const std::string& key) {
    return replaced(
        http, "protocol = rfc2136\ndns-server = " + server + "\ndns-zone = " + zone + "\nkey-file = " + key + "\n");
  };
  const std::string key = key_file("hmac-sha256");
  for (const auto& [text, port] : {std::pair<const char*, int>{"192.0.2.53", 53},
                                   {"192.0.2.53:5353", 5353},
                                   {"2001:db8::53", 53},
                                   {"[2001:db8::53]:5353", 5353}}) {
    const auto config = parse_config(with(text, "example", key));
    ASSERT_TRUE(config) << text;
    EXPECT_EQ(config->ddns.dns.server.port, port) << text;
    EXPECT_EQ(config->ddns.dns.key.name, "home1");
  }
  EXPECT_EQ(errors_of(with("ns.example", "example", key)),
            std::vector<std::string>{"7: ddns.dns-server: \"ns.example\" is not ADDRESS, ADDRESS:PORT or [IPV6]:PORT"});
  EXPECT_EQ(errors_of(with("192.0.2.53", "other", key)).at(0),
            "14: service.web.name: home1.example is not in ddns.dns-zone other");
  EXPECT_EQ(errors_of(with("192.0.2.53", "example", key_file("hmac-md5"))).at(0),
            "9: ddns.key-file: " + key_file("hmac-md5") +
                ": algorithm: hmac-md5 must not be used (RFC 8945 §6); make a hmac-sha256 key: tsig-keygen NAME");
}

TEST(Config, without_ports_a_name_is_one_services) {
  const auto errors = errors_of(replaced("url =", "protocol = dyndns2\nextensions = off\nurl ="));
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_EQ(errors[0],
            "18: service.cam.name: home1.example is another service's too, and without ddns.extensions no "
            "port tells them apart");
}

TEST(Config, a_gateway_needs_no_service) {
  const std::string head = std::string(good.substr(0, good.find("[service.web]")));
  EXPECT_EQ(errors_of(head).size(), 1U) << "nothing to do";
  const auto config = parse_config(head + "[igd]\naddress = 10.0.0.1\nname = home1.example\nversion = 1\n");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->igd.settings.names, std::vector<std::string>{"home1.example"});
  EXPECT_EQ(config->igd.settings.version, 1U);
  EXPECT_FALSE(config->igd.settings.any_port);
  EXPECT_EQ(errors_of(head + "[igd]\naddress = lan0\n").at(0),
            "13: igd.address: \"lan0\" is not an IPv4 address of this machine in the home's network");
}

TEST(Config, a_service_has_several_names) {
  const auto config =
      parse_config(replaced("Home1.Example.", "Home1.Example.\nname = other.example\ntype = minecraft"));
  ASSERT_TRUE(config);
  EXPECT_EQ(config->services[0].names, (std::vector<std::string>{"home1.example", "other.example"}));
  EXPECT_EQ(config->services[0].type, "minecraft");
  EXPECT_EQ(errors_of(replaced("Home1.Example.", "a.example\nname = A.example")),
            std::vector<std::string>{"14: service.web.name: \"a.example\" is there twice"});
}

TEST(Config, a_type_is_a_service_name) {
  for (const char* bad : {"_ipp", "IPP", "631", "a--b", "-a", "sixteen-letters1"})
    EXPECT_EQ(errors_of(replaced("Home1.Example.", "Home1.Example.\ntype = " + std::string(bad))).size(), 1U) << bad;
  EXPECT_TRUE(parse_config(replaced("Home1.Example.", "Home1.Example.\ntype =")));
}

TEST(Config, all_errors_are_reported_together_in_order) {
  const auto errors = errors_of("[pcp]\nserver = x\nport = 0\n[ddns]\nurl = y\n[service.web]\npath = z\n");
  EXPECT_EQ(errors.size(), 8U);
  EXPECT_TRUE(std::ranges::is_sorted(errors, {}, [](const std::string& e) { return e[0]; }));
}

TEST(Config, the_source_must_be_of_the_servers_family) {
  EXPECT_EQ(errors_of(replaced("method = probe", "source = 192.0.0.2")),
            std::vector<std::string>{"3: pcp.source: not of the same address family as pcp.server"});
}

TEST(Config, what_print_defaults_shows_is_a_configuration_but_for_what_has_no_default) {
  std::istringstream in(default_config_text());
  std::string text;
  for (std::string line; std::getline(in, line);) {
    if (line == "# server = ") line = "server = 192.0.0.1";
    if (line == "# url = ") line = "url = http://ddns.example/";
    if (line == "# account = ") line = "account = a";
    if (line == "# token = ") line = "token = t";
    if (line == "# name = ") line = "name = a.example";
    if (line == "# inside = ") line = "inside = 10.0.0.1:80";
    text += line + "\n";
  }
  const auto errors = errors_of(text);
  EXPECT_TRUE(errors.empty()) << errors[0];
  const Config printed = parse_config(text).value(), defaults;
  EXPECT_EQ(printed.pcp.lifetime_s, defaults.pcp.lifetime_s);
  EXPECT_EQ(printed.pcp.check_interval, defaults.pcp.check_interval);
  EXPECT_EQ(printed.pcp.debounce, defaults.pcp.debounce);
  EXPECT_EQ(printed.pcp.port, defaults.pcp.port);
  EXPECT_EQ(printed.ddns.lifetime_s, defaults.ddns.lifetime_s);
  EXPECT_EQ(printed.ddns.state, defaults.ddns.state);
  EXPECT_EQ(printed.services.at(0).scheme, Service().scheme);
}

TEST(Config, load_prefixes_the_file_and_reads_the_token) {
  const std::string folder = ::testing::TempDir();
  std::ofstream(folder + "token") << "  s3cret \nmore\n";
  std::ofstream(folder + "good.conf") << replaced("token = secret", "token-file = " + folder + "token");
  std::ofstream(folder + "bad.conf") << replaced("probe", "ask");
  const auto config = load_config(folder + "good.conf");
  ASSERT_TRUE(config) << config.error()[0];
  EXPECT_EQ(config->ddns.token, "s3cret");
  EXPECT_EQ(load_config(folder + "bad.conf").error().at(0),
            folder + "bad.conf:3: pcp.method: \"ask\" is not table or probe");
  EXPECT_EQ(load_config(folder + "none.conf").error().at(0), folder + "none.conf: cannot be read, or is empty");
}

}  // namespace
}  // namespace portolan::ddns
