// JSON in and out, and the write that cannot tear.
#include "ddns-client-ref/state_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/net/text.h"

namespace portolan::ddns {
namespace {

using nlohmann::json;
constexpr int format_version = 1;
constexpr size_t file_bytes_max = 1 << 20;
constexpr std::string_view hex_digits = "0123456789abcdef";

int64_t unix_time(Time time, WallOffset offset) {
  return (std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()) + offset).count();
}
Time boot_time(int64_t unix_s, WallOffset offset) { return Time(std::chrono::seconds(unix_s) - offset); }

std::string to_hex(const pcp::Nonce& nonce) {
  std::string out;
  for (const uint8_t byte : nonce) out.append({hex_digits[byte >> 4], hex_digits[byte & 15]});
  return out;
}

// What the file says but must not: thrown as the JSON library throws, caught in from_json alone.
struct Malformed : std::runtime_error {
  using runtime_error::runtime_error;
};

pcp::Nonce nonce_from(const std::string& hex) {
  pcp::Nonce nonce{};
  if (hex.size() != 2 * nonce.size()) throw Malformed("nonce of wrong size");
  for (size_t i = 0; i < hex.size(); ++i) {
    const size_t digit = hex_digits.find(hex[i]);
    if (digit == std::string_view::npos) throw Malformed("nonce is not hexadecimal");
    nonce[i / 2] = static_cast<uint8_t>((nonce[i / 2] * 16U) | digit);
  }
  return nonce;
}

net::Endpoint endpoint_from(const json& text) {
  const auto endpoint = net::parse_endpoint(text.get<std::string>());
  if (!endpoint) throw Malformed("not an endpoint: " + text.get<std::string>());
  return *endpoint;
}

net::Protocol protocol_from(const json& text) {
  const auto word = text.get<std::string>();
  if (word != "tcp" && word != "udp") throw Malformed("not a protocol: " + word);
  return word == "tcp" ? net::Protocol::tcp : net::Protocol::udp;
}

json registration_json(const Acknowledged& entry, WallOffset offset) {
  const Registration& record = entry.record;
  return {{"name", record.name},
          {"service", record.service},
          {"protocol", net::to_text(record.protocol)},
          {"address", net::to_text(record.outside.address)},
          {"port", uint16_t{record.outside.port.number}},
          {"scheme", record.scheme},
          {"path", record.path},
          {"title", record.title},
          {"type", record.type},
          {"lifetime_s", record.lifetime_s},
          {"time", unix_time(entry.at, offset)}};
}

Acknowledged registration_from(const json& in, WallOffset offset) {
  Registration record;
  record.name = in.at("name").get<std::string>();
  record.service = in.at("service").get<std::string>();
  record.protocol = protocol_from(in.at("protocol"));
  const auto address = net::parse_ipv4(in.at("address").get<std::string>());
  if (!address) throw Malformed("not an address");
  record.outside = {*address, net::Port{in.at("port").get<uint16_t>()}};
  record.scheme = in.at("scheme").get<std::string>();
  record.path = in.at("path").get<std::string>();
  record.title = in.at("title").get<std::string>();
  record.type = in.value("type", "");  // files of earlier versions have none
  record.lifetime_s = in.at("lifetime_s").get<uint32_t>();
  return {record, boot_time(in.at("time").get<int64_t>(), offset)};
}

json mapping_json(const SavedMapping& mapping, WallOffset offset) {
  return {{"pcp_server", mapping.pcp_server},         {"protocol", net::to_text(mapping.protocol)},
          {"inside", net::to_text(mapping.inside)},   {"nonce", to_hex(mapping.nonce)},
          {"outside", net::to_text(mapping.outside)}, {"expires", unix_time(mapping.expires, offset)}};
}

SavedMapping mapping_from(const json& in, WallOffset offset) {
  return {in.at("pcp_server").get<std::string>(), protocol_from(in.at("protocol")),
          endpoint_from(in.at("inside")),         nonce_from(in.at("nonce").get<std::string>()),
          endpoint_from(in.at("outside")),        boot_time(in.at("expires").get<int64_t>(), offset)};
}

json lease_json(const SavedLease& lease, WallOffset offset) {
  json out = mapping_json(lease.mapping, offset);
  out["known_as"] = uint16_t{lease.known_as.number};
  out["description"] = lease.description;
  if (lease.ends) out["ends"] = unix_time(*lease.ends, offset);
  if (lease.remote) out["remote"] = net::to_text(*lease.remote);
  return out;
}

SavedLease lease_from(const json& in, WallOffset offset) {
  SavedLease out{mapping_from(in, offset), net::Port{in.at("known_as").get<uint16_t>()},
                 in.at("description").get<std::string>(), std::nullopt, std::nullopt};
  if (in.contains("ends")) out.ends = boot_time(in.at("ends").get<int64_t>(), offset);
  if (in.contains("remote")) {
    out.remote = net::parse_ipv4(in.at("remote").get<std::string>());
    if (!out.remote) throw Malformed("remote is not an IPv4 address");
  }
  return out;
}

class File {
  int fd_;

 public:
  File(const char* path, int flags, mode_t mode = 0) : fd_(::open(path, flags | O_CLOEXEC, mode)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] bool sync() const { return fd_ >= 0 && ::fsync(fd_) == 0; }
  [[nodiscard]] bool write(std::string_view text) const {
    while (fd_ >= 0 && !text.empty()) {
      const ssize_t count = ::write(fd_, text.data(), text.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return false;
      text.remove_prefix(static_cast<size_t>(count));
    }
    return fd_ >= 0;
  }
};

}  // namespace

WallOffset wall_offset() {
  const auto wall = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::round<std::chrono::seconds>(wall - BootClock::now().time_since_epoch());
}

const SavedMapping* saved_mapping(const State& state, std::string_view pcp_server, net::Protocol protocol,
                                  net::Endpoint inside) {
  const auto at = std::ranges::find_if(state.mappings, [&](const SavedMapping& each) {
    return each.pcp_server == pcp_server && each.protocol == protocol && each.inside == inside;
  });
  return at == state.mappings.end() ? nullptr : &*at;
}

std::string to_json(const State& state, WallOffset offset) {
  json out = {{"version", format_version},
              {"ddns_server", state.ddns_server},
              {"registrations", json::array()},
              {"mappings", json::array()},
              {"leases", json::array()}};
  for (const auto& entry : state.registrations) out["registrations"].push_back(registration_json(entry, offset));
  for (const auto& mapping : state.mappings) out["mappings"].push_back(mapping_json(mapping, offset));
  for (const auto& lease : state.leases) out["leases"].push_back(lease_json(lease, offset));
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

net::Result<State, std::string> from_json(std::string_view text, WallOffset offset) {
  try {
    const json in = json::parse(text);
    if (in.at("version") != format_version) return tl::unexpected("version is not " + std::to_string(format_version));
    State state;
    state.ddns_server = in.at("ddns_server").get<std::string>();
    for (const json& entry : in.at("registrations")) state.registrations.push_back(registration_from(entry, offset));
    for (const json& entry : in.at("mappings")) state.mappings.push_back(mapping_from(entry, offset));
    for (const json& entry : in.value("leases", json::array())) state.leases.push_back(lease_from(entry, offset));
    return state;
  } catch (const json::exception& error) {
    return tl::unexpected(std::string(error.what()));
  } catch (const Malformed& error) {
    return tl::unexpected(std::string(error.what()));
  }
}

net::Result<StateLock, std::string> StateLock::take(const std::string& path) {
  const std::string name = path + ".lock";
  const int file = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return tl::unexpected(name + ": cannot be opened: " + std::strerror(errno) + "; check ddns.state");
  StateLock lock(file);
  if (flock(file, LOCK_EX | LOCK_NB) != 0)
    return tl::unexpected(path + ": in use by another portolan-ddns; stop it or set another ddns.state");
  return lock;
}

StateLock::~StateLock() {
  if (file_ >= 0) ::close(file_);
}

net::Result<void, std::string> save_state(const std::string& path, const State& state, WallOffset offset) {
  const std::string temporary = path + ".new";
  const auto failed = [&](const std::string& what) {
    auto error = tl::unexpected(what + ": " + std::strerror(errno));
    ::unlink(temporary.c_str());
    return error;
  };
  // 0600: whoever knows a nonce can delete the mapping.
  const File file(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC, S_IRUSR | S_IWUSR);
  if (!file.write(to_json(state, offset)) || !file.sync()) return failed("cannot write " + temporary);
  if (::rename(temporary.c_str(), path.c_str()) != 0) return failed("cannot rename " + temporary + " to " + path);
  const auto folder = std::filesystem::path(path).parent_path();
  if (!File(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY).sync())
    return failed("cannot sync the folder of " + path);
  return {};
}

net::Result<State, std::string> load_state(const std::string& path, WallOffset offset) {
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) return State{};
  if (const auto size = std::filesystem::file_size(path, error); error || size > file_bytes_max)
    return tl::unexpected(path + ": " + (error ? error.message() : "larger than a state file can be"));
  std::ifstream in(path);
  std::stringstream text;
  if (!in || !(text << in.rdbuf())) return tl::unexpected(path + ": cannot be read, or is empty");
  auto state = from_json(text.str(), offset);
  if (!state) return tl::unexpected(path + ": " + state.error());
  return state;
}

}  // namespace portolan::ddns
