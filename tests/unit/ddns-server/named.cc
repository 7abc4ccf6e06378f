#include "tests/unit/ddns-server/named.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <netinet/in.h>
#include <signal.h>
#include <sstream>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace portolan::ddnsd::test {
namespace {

constexpr int polls_max = 300;
constexpr std::chrono::milliseconds poll_interval{50};

std::string output_of(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error(command);
  std::string out;
  std::array<char, 1024> octets{};
  while (fgets(octets.data(), octets.size(), pipe) != nullptr) out += octets.data();
  pclose(pipe);
  return out;
}

uint16_t free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  const bool done = bind(socket, reinterpret_cast<sockaddr*>(&address), bytes) == 0 &&
                    getsockname(socket, reinterpret_cast<sockaddr*>(&address), &bytes) == 0;
  close(socket);
  if (!done) throw std::runtime_error("no free port");
  return ntohs(address.sin_port);
}

std::string secret_of(const std::string& key_text) {
  const size_t start = key_text.find("secret \"");
  if (start == std::string::npos) throw std::runtime_error("tsig-keygen is not there: apt-get install bind9");
  return key_text.substr(start + 8, key_text.find('"', start + 8) - start - 8);
}

}  // namespace

Named::Named(Kind kind, const std::string& algorithm) : kind_(kind), port_(free_port()) {
  const std::string key = output_of("PATH=$PATH:/usr/sbin tsig-keygen -a " + algorithm + " ddns-key");
  key_ = {"ddns-key", algorithm, secret_of(key)};
  write_configuration(key);
  forget();
  start();
}

void Named::write_configuration(const std::string& key) const {
  const std::string folder = directory_.file("");
  if (kind_ == Kind::bind)
    std::ofstream(directory_.file("conf"))
        << key << "options { directory \"" << folder << "\"; listen-on port " << port_
        << " { 127.0.0.1; }; listen-on-v6 { none; }; pid-file \"" << directory_.file("pid") << "\"; session-keyfile \""
        << directory_.file("session.key") << "\"; recursion no; dnssec-validation no; };\ncontrols {};\n"
        << "zone \"example\" { type primary; file \"" << directory_.file("zone")
        << "\"; update-policy { grant ddns-key zonesub A SRV URI HTTPS SVCB PTR TXT; }; };\n";
  else
    std::ofstream(directory_.file("conf"))
        << "server:\n  rundir: " << folder << "\n  listen: 127.0.0.1@" << port_ << "\ndatabase:\n  storage: " << folder
        << "\nlog:\n  - target: stderr\n    any: info\nkey:\n  - id: ddns-key\n    algorithm: " << key_.algorithm
        << "\n    secret: " << key_.secret
        << "\nacl:\n  - id: ddns\n    key: ddns-key\n    action: update\nzone:\n  - domain: example\n"
        << "    storage: " << folder << "\n    file: zone\n    acl: ddns\n";
}

void Named::forget() {
  for (const char* name : {"zone.jnl", "journal", "timers"}) std::filesystem::remove_all(directory_.file(name));
  std::ofstream(directory_.file("zone")) << "$TTL 60\n@ SOA ns hostmaster 1 60 60 600 60\n@ NS ns\nns A 127.0.0.1\n";
}

void Named::start() {
  pid_ = fork();
  if (pid_ == 0) {
    const int log = open(directory_.file("log").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
    dup2(log, STDERR_FILENO);
    dup2(log, STDOUT_FILENO);
    setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
    const std::string configuration = directory_.file("conf");
    if (kind_ == Kind::bind) execlp("named", "named", "-g", "-n", "1", "-c", configuration.c_str(), nullptr);
    if (kind_ == Kind::knot) execlp("knotd", "knotd", "-c", configuration.c_str(), nullptr);
    _exit(127);
  }
  if (dig_until("example", "NS", "ns.example.") == "ns.example.") return;
  std::ostringstream log;
  log << std::ifstream(directory_.file("log")).rdbuf();
  stop();
  throw std::runtime_error("the DNS server does not answer (apt-get install bind9 bind9-dnsutils knot?):\n" +
                           log.str());
}

void Named::stop() {
  if (pid_ < 0) return;
  kill(pid_, SIGTERM);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

Named::~Named() { stop(); }

void Named::update(const std::string& lines) const {
  const std::string command = "printf 'server 127.0.0.1 " + std::to_string(port_) + "\nzone example\n" + lines +
                              "send\n' | nsupdate -y " + key_.algorithm + ":ddns-key:" + key_.secret;
  if (std::system(command.c_str()) != 0) throw std::runtime_error("nsupdate: " + lines);
}

DnsConfig Named::config(DnsConfig::Mode mode) const {
  DnsConfig out;
  out.mode = mode;
  out.server = {net::mapped(endpoint("127.0.0.1:1").address), port_};
  out.zone = "example";
  out.key = key_;
  out.portal_address = endpoint("192.0.2.53:1").address;
  return out;
}

std::string Named::dig(const std::string& name, const std::string& type) const {
  std::istringstream in(
      output_of("dig @127.0.0.1 -p " + std::to_string(port_) + " +short +tries=1 +time=2 " + name + " " + type));
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);)
    if (!line.starts_with(";")) lines.push_back(line);
  std::ranges::sort(lines);
  std::string out;
  for (const auto& each : lines) out += (out.empty() ? "" : "\n") + each;
  return out;
}

std::string Named::dig_until(const std::string& name, const std::string& type, const std::string& wanted) const {
  std::string out = dig(name, type);
  for (int i = 0; i < polls_max && out != wanted; ++i) {
    std::this_thread::sleep_for(poll_interval);
    out = dig(name, type);
  }
  return out;
}

}  // namespace portolan::ddnsd::test
