// libFuzzer entry: any octets as the files a worker's mappings and sessions lie in. The first says whether they are the
// mappings' whole file or changes to what a shard has left, and with which settings it is opened. It is refused with a
// reason, or what it restores is sound, can be worked with, ends in time and is there again at the next start.
#include <filesystem>
#include <fstream>
#include <memory>
#include <unistd.h>
#include <vector>

#include "dataplane/nat/shard.h"
#include "dataplane/net/text.h"
#include "dataplane/net/wire.h"
#include "tests/fuzz/input.h"

namespace {

using namespace portolan;
using fuzz::Input;
using fuzz::require;

constexpr uint32_t start_s = 100'000;
constexpr net::Protocol protocols[] = {net::Protocol::udp, net::Protocol::tcp, net::Protocol::icmp};

class Directory {  // on tmpfs where there is one; goes with the process
  std::string path_ = std::filesystem::exists("/dev/shm") ? "/dev/shm/portolan-fuzz-XXXXXX" : "portolan-fuzz-XXXXXX";

 public:
  Directory() {
    if (mkdtemp(path_.data()) == nullptr) require("no temporary directory");
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string slab() const { return path_ + "/worker-0.slab"; }
  [[nodiscard]] std::string sessions() const { return path_ + "/worker-0.sessions"; }
  void clear() const {
    for (const auto& entry : std::filesystem::directory_iterator(path_)) std::filesystem::remove(entry);
  }
};

nat::ShardSettings settings(const Directory& directory) {
  nat::ShardSettings settings;
  settings.mappings_max = 100;
  settings.subscribers_max = 20;
  settings.sessions_max = 60;
  settings.policy.pool = {{*net::parse_ipv4_prefix("192.0.2.0/31")}, {2048, 2559}, 64, 1};
  settings.slab_path = directory.slab();
  settings.sessions_path = directory.sessions();
  return settings;
}

// Each bit of `changes` is one thing an operator may have changed between two starts.
nat::ShardSettings changed_settings(const Directory& directory, uint8_t changes) {
  auto changed = settings(directory);
  if ((changes & 1) != 0) changed.mappings_max = 40;
  if ((changes & 2) != 0) changed.subscribers_max = 2;
  if ((changes & 4) != 0) changed.workers = 2;
  if ((changes & 8) != 0) changed.subscriber_prefix_length = 64;
  if ((changes & 16) != 0) changed.policy.limits.blocks_per_subscriber_max = 1;
  const char* const prefix = (changes & 32) != 0 ? "192.0.2.1/32" : "192.0.2.0/31";
  changed.policy.pool = {{*net::parse_ipv4_prefix(prefix)},
                         {2048, 2559},
                         static_cast<uint16_t>((changes & 64) != 0 ? 128 : 64),
                         changed.workers};
  return changed;
}

nat::OutboundKey key_of(uint32_t number) {
  net::Ipv6 prefix = *net::parse_ipv6("2001:db8:b::");
  prefix.bytes[6] = static_cast<uint8_t>(number % 5);
  return {prefix, {0x0a000002}, {static_cast<uint16_t>(5000 + number)}, protocols[number % 3], 0};
}

nat::Command command(nat::Command::Verb verb, uint32_t number) {
  nat::Command command;
  command.verb = verb;
  command.key = key_of(number);
  command.b4 = command.key.subscriber;
  command.lifetime_s = 5000;
  return command;
}

void open_some(nat::Shard& shard, uint32_t first, uint32_t end, uint32_t now_s) {
  for (uint32_t number = first; number < end; ++number) {
    const auto key = key_of(number);
    const auto hash = shard.hash(key);
    if (shard.policy().pool.owner_of(key.subscriber) != shard.settings().worker) continue;
    if (shard.find(key, hash) != nat::null_mapping) continue;
    const auto made = shard.open_mapping(key, hash, key.subscriber, 0, {{0xc6336409}, {53}}, now_s);
    if (made && key.protocol == net::Protocol::tcp)
      if (shard.admit_outbound(*made, key.subscriber, 0, {{0xc6336409}, {53}}, net::tcp_syn, now_s))
        require("a mapping's own packet was refused");
  }
}

std::vector<char> contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Files {
  std::vector<char> mappings, sessions;
};

// What a shard with live, explicit and resting mappings and with sessions leaves behind.
Files left_behind(const Directory& directory) {
  directory.clear();
  {
    auto shard = nat::Shard::open(settings(directory), start_s);
    if (!shard) require(shard.error());
    open_some(**shard, 0, 40, start_s);
    for (uint32_t number = 30; number < 50; ++number)
      (*shard)->execute(command(nat::Command::Verb::open_explicit, number), start_s);
    for (uint32_t number = 10; number < 20; ++number)
      (*shard)->execute(command(nat::Command::Verb::end_mapping, number), start_s);
  }
  return {contents(directory.slab()), contents(directory.sessions())};
}

// A change is a place, a length and octets; the place's highest bit says in which file. A last place alone: the file
// ends there.
void change(Files& files, Input& input) {
  const uint16_t place = input.word();
  const size_t at = place & 0x7fff;
  auto& bytes = (place & 0x8000) != 0 ? files.sessions : files.mappings;
  const auto octets = input.take(size_t{input.octet()} % 16 + 1);
  for (size_t i = 0; i < octets.size() && at + i < bytes.size(); ++i) bytes[at + i] = static_cast<char>(octets[i]);
  if (octets.empty()) bytes.resize(std::min(at, bytes.size()));
}

void write(const std::string& path, const std::vector<char>& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

void lay_out(const Directory& directory, Input& input, bool whole) {
  static const Files original = left_behind(directory);
  directory.clear();
  Files files = original;
  if (whole) {
    const auto rest = input.take(1 << 16);
    files.mappings.assign(rest.begin(), rest.end());
  }
  while (!whole && !input.empty()) change(files, input);
  write(directory.slab(), files.mappings);
  write(directory.sessions(), files.sessions);
}

void require_sound(const nat::Shard& shard, const char* when) {
  std::vector<std::string> findings;
  if (shard.audit(findings) != 0) require(findings.front() + ", " + when);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Directory directory;
  Input input(data, size);
  const uint8_t changes = input.octet();
  lay_out(directory, input, (changes & 128) != 0);
  uint64_t live = 0;
  {
    auto shard = nat::Shard::open(changed_settings(directory, changes), start_s + 10);
    if (!shard) return require(shard.error().empty() ? "refused without a word" : ""), 0;
    require_sound(**shard, "restored");
    open_some(**shard, 30, 60, start_s + 10);
    (*shard)->execute(command(nat::Command::Verb::clear_subscriber, 1), start_s + 11);
    (*shard)->expire(start_s + 200, ~uint32_t{0});
    require_sound(**shard, "after some work");
    live = (*shard)->mappings_live();
  }
  auto shard = nat::Shard::open(changed_settings(directory, changes), start_s + 200);
  if (!shard) return require("not its own: " + shard.error()), 0;
  require_sound(**shard, "restored from its own");
  if ((*shard)->mappings_live() != live) require("not every mapping came back");
  for (const uint32_t now_s : {~uint32_t{0} - 10'000, ~uint32_t{0} - 1000}) (*shard)->expire(now_s, ~uint32_t{0});
  require_sound(**shard, "at the end");
  return 0;
}
