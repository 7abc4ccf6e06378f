#include "pcp-server/store.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <sqlite3.h>
#include <string_view>

#include "dataplane/net/reader.h"
#include "pcp-server/message.h"

namespace portolan::pcp {

namespace {

constexpr int application_id = 0x50435053;  // "PCPS"
constexpr int layout_version = 1;
constexpr auto retry_after = std::chrono::seconds(1);  // a group that could not be written
constexpr int busy_timeout_ms = 2'000;                 // somebody looks at the file with sqlite3

// Each group is on disk when its commit returns. Records come in no order, so a group touches about as many pages as it
// has records: a cache of 32 MiB at most keeps their way down the tree from being read again, and what is copied from
// the log to the file is copied once for several groups, by tend_log().
constexpr const char* tuning =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-32768; PRAGMA wal_autocheckpoint=0; "
    "PRAGMA page_size=4096";
constexpr int pass_pages = 1'024, log_pages_max = 4'096;
constexpr int64_t log_bytes = int64_t{log_pages_max} * (4'096 + 24);  // a page and what goes before it

constexpr const char* schema = R"(
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE records (
  subscriber BLOB, inside_address INTEGER, inside_port INTEGER, protocol INTEGER,
  remote_address INTEGER, remote_port INTEGER,  -- of a PEER; 0 and 0: a MAP
  outside_address INTEGER, outside_port INTEGER, expires_s INTEGER, ports INTEGER, flags INTEGER,
  b4 BLOB, client_b4 BLOB, client_inner INTEGER, client_server BLOB, client_port INTEGER,
  nonce BLOB, filters BLOB, description TEXT,
  PRIMARY KEY (subscriber, inside_address, inside_port, protocol, remote_address, remote_port)) WITHOUT ROWID;
CREATE TABLE epochs (subscriber BLOB PRIMARY KEY, start_s INTEGER) WITHOUT ROWID;  -- of everybody: an empty subscriber
)";

constexpr const char* put_sql =
    "INSERT OR REPLACE INTO records VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19)";
constexpr const char* erase_sql =
    "DELETE FROM records WHERE subscriber=?1 AND inside_address=?2 AND inside_port=?3 AND protocol=?4 AND "
    "remote_address=?5 AND remote_port=?6";

enum Flag : int64_t { ended = 1, open_nonce = 2, prefer_failure = 4, third_party = 8 };

int64_t flags_of(const Mapping& mapping) {
  int64_t flags = 0;
  if (mapping.ended) flags |= ended;
  if (mapping.open_nonce) flags |= open_nonce;
  if (mapping.prefer_failure) flags |= prefer_failure;
  if (mapping.third_party) flags |= third_party;
  return flags;
}

struct FilterBytes {  // as they lie in the file
  net::Ipv4 address;
  uint8_t length;
  net::Port port;
};
static_assert(sizeof(FilterBytes) == 7 && alignof(FilterBytes) == 1);

// Values bound and read in their order.
class Binder {
 public:
  explicit Binder(sqlite3_stmt* statement) : statement_(statement) {}
  Binder& operator<<(int64_t number) { return keep(sqlite3_bind_int64(statement_, next_++, number)); }
  Binder& operator<<(std::span<const uint8_t> bytes) {
    // An empty BLOB and not NULL.
    return keep(sqlite3_bind_blob64(statement_, next_++, bytes.empty() ? "" : static_cast<const void*>(bytes.data()),
                                    bytes.size(), transient()));
  }
  Binder& operator<<(std::string_view text) {
    return keep(sqlite3_bind_text(statement_, next_++, text.data(), static_cast<int>(text.size()), transient()));
  }
  Binder& operator<<(const net::Ipv6& address) { return *this << std::span<const uint8_t>(address.bytes); }
  [[nodiscard]] bool is_sound() const { return sound_; }

 private:
  static sqlite3_destructor_type transient() {             // SQLITE_TRANSIENT is a C cast of -1 to a function pointer
    return reinterpret_cast<sqlite3_destructor_type>(-1);  // NOLINT(performance-no-int-to-ptr)
  }
  Binder& keep(int code) {
    sound_ = sound_ && code == SQLITE_OK;
    return *this;
  }
  sqlite3_stmt* statement_;
  int next_ = 1;
  bool sound_ = true;
};

class Row {
 public:
  explicit Row(sqlite3_stmt* statement) : statement_(statement) {}
  int64_t number() { return sqlite3_column_int64(statement_, next_++); }
  uint16_t number16() { return static_cast<uint16_t>(number()); }
  net::Ipv4 ipv4() { return {static_cast<uint32_t>(number())}; }
  std::span<const uint8_t> bytes() {
    const auto* data = static_cast<const uint8_t*>(sqlite3_column_blob(statement_, next_));
    const auto size = static_cast<size_t>(sqlite3_column_bytes(statement_, next_++));
    return {data, data == nullptr ? 0 : size};
  }
  std::string text() {
    const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_, next_));
    const auto size = static_cast<size_t>(sqlite3_column_bytes(statement_, next_++));
    return data == nullptr ? std::string{} : std::string(data, size);
  }
  template <size_t Bytes>
  std::array<uint8_t, Bytes> array() {
    std::array<uint8_t, Bytes> out{};
    const auto from = bytes();
    sound_ = sound_ && from.size() == Bytes;
    std::copy_n(from.begin(), std::min(from.size(), Bytes), out.begin());
    return out;
  }
  [[nodiscard]] bool is_sound() const { return sound_; }

 private:
  sqlite3_stmt* statement_;
  int next_ = 0;
  bool sound_ = true;
};

std::vector<uint8_t> bytes_of(const std::vector<Filter>& filters) {
  std::vector<uint8_t> out;
  for (const Filter& filter : filters) append(out, FilterBytes{filter.from.address, filter.from.length, filter.port});
  return out;
}

std::vector<Filter> filters_of(std::span<const uint8_t> bytes) {
  std::vector<Filter> out;
  for (net::Reader in{bytes}; in.size() >= sizeof(FilterBytes);) {
    const auto filter = in.read<FilterBytes>();
    out.push_back({{filter.address, filter.length}, filter.port});
  }
  return out;
}

bool run_sql(sqlite3* database, const char* sql) {
  return sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK;
}

// The first value of the first row.
std::optional<std::string> value_of(sqlite3* database, const char* sql) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(database, sql, -1, &raw, nullptr) != SQLITE_OK) return std::nullopt;
  std::optional<std::string> out;
  if (sqlite3_step(raw) == SQLITE_ROW) out = Row(raw).text();
  sqlite3_finalize(raw);
  return out;
}

// The log has its full size from the start, so that a commit overwrites it and its sync has no new length to write with
// it (a third of the writes). SQLite takes zeros for the log's end. Without the room the log grows as it is written.
void fill_log(sqlite3* database) {
  sqlite3_file* log = nullptr;
  sqlite3_file_control(database, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
  if (log == nullptr || log->pMethods == nullptr) return;
  sqlite3_int64 before = 0;
  if (log->pMethods->xFileSize(log, &before) != SQLITE_OK) return;
  static constexpr std::array<uint8_t, 65'536> zeros{};
  constexpr auto step = static_cast<int64_t>(zeros.size());
  bool done = true;
  for (int64_t at = before; done && at < log_bytes; at += step)
    done = log->pMethods->xWrite(log, zeros.data(), step, at) == SQLITE_OK;
  if (!done || log->pMethods->xSync(log, SQLITE_SYNC_FULL) != SQLITE_OK) log->pMethods->xTruncate(log, before);
}

std::string boot_id() {
  std::string id;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), id);
  return id;
}

int64_t calendar_s() {
  using namespace std::chrono;
  return duration_cast<seconds>(system_clock::now().time_since_epoch()).count();
}

std::string damaged(const std::string& what) {
  return "is damaged (" + what +
         "); move it away to start without what is in it, clients will ask anew, or mend it with "
         "sqlite3's .recover";
}

}  // namespace

void Store::Close::operator()(sqlite3* database) const { sqlite3_close_v2(database); }
void Store::Close::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

net::Result<Store::Opened, std::string> Store::open(const std::string& path, uint64_t now_s) {
  namespace fs = std::filesystem;
  const auto error = [&](const std::string& text) { return tl::unexpected(path + ": " + text); };
  std::error_code failed;
  const bool is_new = !fs::exists(path, failed) || fs::file_size(path, failed) == 0;
  if (is_new && fs::path(path).has_parent_path()) fs::create_directories(fs::path(path).parent_path(), failed);
  if (failed) return error("cannot be made: " + failed.message() + "; set pcp.store to a file that can");
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  Database database(raw);
  if (code != SQLITE_OK)
    return error(std::string("cannot be opened: ") + (raw != nullptr ? sqlite3_errmsg(raw) : "out of memory") +
                 "; set pcp.store to a file that can");
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write, failed);  // nonces are secrets
  sqlite3_busy_timeout(raw, busy_timeout_ms);
  if (auto fault = prepare_file(raw, is_new)) return error(*fault);
  const auto offset_s = settle_clock(raw, now_s);
  if (!offset_s) return error(offset_s.error());
  std::unique_ptr<Store> store(new Store(std::move(database), *offset_s));
  if (!store->prepare_statements()) return error(damaged(sqlite3_errmsg(raw)));
  auto contents = store->read_all();
  if (!contents) return error(contents.error());
  fill_log(raw);
  store->checkpointer_ = std::make_unique<Checkpointer>(path);
  sqlite3_wal_hook(
      raw,
      [](void* self, sqlite3*, const char*, int pages) {
        static_cast<Store*>(self)->log_pages_ = pages;
        return SQLITE_OK;
      },
      store.get());
  store->thread_ = std::thread([self = store.get()] { self->run(); });
  return Opened{std::move(store), std::move(*contents)};
}

// Ours, whole, and written through at every commit; what is wrong with it otherwise.
std::optional<std::string> Store::prepare_file(sqlite3* database, bool is_new) {
  if (!is_new) {
    const auto id = value_of(database, "PRAGMA application_id");
    if (!id) return damaged(sqlite3_errmsg(database));
    if (*id != std::to_string(application_id)) return "is not a PCP store; set pcp.store to another file";
    if (const auto layout = value_of(database, "PRAGMA user_version"); layout != std::to_string(layout_version))
      return "has layout " + layout.value_or("?") + " and this version reads " + std::to_string(layout_version) +
             "; run the version that wrote it, or move it away to start without what is in it";
    const auto check = value_of(database, "PRAGMA quick_check(1)");
    if (check != "ok") return damaged(check.value_or(sqlite3_errmsg(database)));
  }
  if (!run_sql(database, tuning))
    return std::string("cannot be written: ") + sqlite3_errmsg(database) + "; set pcp.store to a file that can";
  if (!is_new) return std::nullopt;
  const std::string make = "BEGIN;" + std::string(schema) + "PRAGMA application_id=" + std::to_string(application_id) +
                           ";PRAGMA user_version=" + std::to_string(layout_version) + ";COMMIT";
  if (run_sql(database, make.c_str())) return std::nullopt;
  return std::string("cannot be written: ") + sqlite3_errmsg(database) + "; set pcp.store to a file that can";
}

// What is to be added to the server's seconds for the file's: as it was since the machine started, or the calendar's.
net::Result<int64_t, std::string> Store::settle_clock(sqlite3* database, uint64_t now_s) {
  const std::string boot = boot_id();
  if (value_of(database, "SELECT value FROM meta WHERE name='boot_id'") == boot)
    if (const auto kept = value_of(database, "SELECT value FROM meta WHERE name='offset_s'")) return std::stoll(*kept);
  const int64_t offset_s = calendar_s() - static_cast<int64_t>(now_s);
  const std::string keep = "BEGIN;INSERT OR REPLACE INTO meta VALUES('boot_id','" + boot +
                           "');INSERT OR REPLACE INTO meta VALUES('offset_s'," + std::to_string(offset_s) + ");COMMIT";
  if (run_sql(database, keep.c_str())) return offset_s;
  return tl::unexpected(std::string("cannot be written: ") + sqlite3_errmsg(database) +
                        "; make room on its file system, or set pcp.store to another file");
}

Store::Store(Database database, int64_t offset_s) : database_(std::move(database)), offset_s_(offset_s) {}

Store::~Store() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

bool Store::prepare_statements() {
  const auto prepare = [&](Statement& into, const char* sql) {
    sqlite3_stmt* raw = nullptr;
    const bool done =
        sqlite3_prepare_v3(database_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr) == SQLITE_OK;
    into.reset(raw);
    return done;
  };
  return prepare(put_, put_sql) && prepare(erase_, erase_sql) &&
         prepare(put_epoch_, "INSERT OR REPLACE INTO epochs VALUES (?1,?2)") &&
         prepare(clear_epochs_, "DELETE FROM epochs");
}

net::Result<Store::Contents, std::string> Store::read_all() {
  Contents out;
  sqlite3_stmt* raw = nullptr;
  int code = sqlite3_prepare_v2(database_.get(), "SELECT * FROM records", -1, &raw, nullptr);
  const Statement records(raw);
  bool sound = code == SQLITE_OK;
  while (sound && (code = sqlite3_step(raw)) == SQLITE_ROW) {
    Row row(raw);
    RecordKey key;
    Granted granted;
    Mapping& mapping = granted.mapping;
    key.mapping.subscriber.bytes = row.array<16>();
    key.mapping.inside_address = row.ipv4();
    key.mapping.inside_port = {row.number16()};
    key.mapping.protocol = net::Protocol{static_cast<uint8_t>(row.number())};
    key.remote.address = row.ipv4();
    key.remote.port = {row.number16()};
    mapping.outside.address = row.ipv4();
    mapping.outside.port = {row.number16()};
    mapping.expires_s = static_cast<uint64_t>(std::max<int64_t>(row.number() - offset_s_, 0));
    mapping.ports = std::max(row.number16(), uint16_t{1});
    const int64_t flags = row.number();
    mapping.ended = (flags & Flag::ended) != 0;
    mapping.open_nonce = (flags & Flag::open_nonce) != 0;
    mapping.prefer_failure = (flags & Flag::prefer_failure) != 0;
    mapping.third_party = (flags & Flag::third_party) != 0;
    mapping.b4.bytes = row.array<16>();
    mapping.client.b4.bytes = row.array<16>();
    if (const int64_t inner = row.number(); inner >= 0) mapping.client.inner = net::Ipv4{static_cast<uint32_t>(inner)};
    mapping.client.server.bytes = row.array<16>();
    mapping.client.port = {row.number16()};
    granted.nonce = row.array<12>();
    mapping.filters = filters_of(row.bytes());
    mapping.description = row.text();
    sound = row.is_sound() && mapping.filters.size() <= filters_max;
    out.records.emplace_back(key, std::move(granted));
  }
  if (!sound || code != SQLITE_DONE) return tl::unexpected(damaged(sqlite3_errmsg(database_.get())));
  code = sqlite3_prepare_v2(database_.get(), "SELECT * FROM epochs ORDER BY length(subscriber)", -1, &raw, nullptr);
  const Statement epochs(raw);
  while (code == SQLITE_OK && sqlite3_step(raw) == SQLITE_ROW) {
    EpochChange epoch;
    if (sqlite3_column_bytes(raw, 0) == sizeof(net::Ipv6)) {
      epoch.subscriber.emplace();
      std::memcpy(epoch.subscriber->bytes.data(), sqlite3_column_blob(raw, 0), sizeof(net::Ipv6));
    }
    epoch.start_s =
        static_cast<uint64_t>(sqlite3_column_int64(raw, 1) - offset_s_);  // before the clock's zero, it wraps
    out.epochs.push_back(epoch);
  }
  return out;
}

void Store::submit(std::vector<Item> items) {
  if (items.empty()) return;
  {
    const std::lock_guard lock(mutex_);
    incoming_.insert(incoming_.end(), std::make_move_iterator(items.begin()), std::make_move_iterator(items.end()));
  }
  wake_.notify_one();
}

std::vector<Store::Outcome> Store::poll() {
  const std::lock_guard lock(mutex_);
  return std::exchange(outcomes_, {});
}

std::optional<std::string> Store::fault() const {
  const std::lock_guard lock(mutex_);
  return fault_;
}

size_t Store::waiting() const {
  const std::lock_guard lock(mutex_);
  return incoming_.size() + writing_;
}

// Everything that has come while the last group was written is the next one. Of a group that fails, what somebody waits
// for is refused; the rest is tried again with the next.
void Store::run() {
  std::vector<Item> kept;
  while (true) {
    std::vector<Item> group = std::exchange(kept, {});
    bool last = false;
    {
      std::unique_lock lock(mutex_);
      const auto something = [&] { return stopping_ || !incoming_.empty(); };
      if (group.empty())
        wake_.wait(lock, something);
      else
        wake_.wait_for(lock, retry_after, something);
      last = stopping_;
      std::move(incoming_.begin(), incoming_.end(), std::back_inserter(group));
      incoming_.clear();
      writing_ = group.size();
    }
    const bool done = group.empty() || write(group);
    {
      const std::lock_guard lock(mutex_);
      writing_ = 0;
      for (Item& item : group) {
        const auto* change = std::get_if<Change>(&item);
        if (change != nullptr && change->ticket != 0)
          outcomes_.push_back({change->ticket, done});
        else if (!done)
          kept.push_back(std::move(item));
      }
      if (done && !group.empty()) fault_.reset();
    }
    if (wake_owner_ && !group.empty()) wake_owner_();
    if (last) return;
    tend_log();
  }
}

// SQLite begins the log anew once all of it is in the file. With gaps between the groups the other connection gets
// there; where there are none the rest, which is little, is copied here, when the log is as long as it should be.
void Store::tend_log() {
  if (log_pages_ < copied_up_to_) copied_up_to_ = 0;  // it has begun anew
  if (log_pages_ >= log_pages_max) {
    sqlite3_wal_checkpoint_v2(database_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  } else if (log_pages_ >= copied_up_to_ + pass_pages) {
    copied_up_to_ = log_pages_;
    checkpointer_->start_pass();
  }
}

bool Store::write(const std::vector<Item>& group) {
  if (run_sql(database_.get(), "BEGIN IMMEDIATE") &&
      std::ranges::all_of(group, [this](const Item& item) { return write_one(item); }) &&
      run_sql(database_.get(), "COMMIT"))
    return true;
  keep_fault();
  run_sql(database_.get(), "ROLLBACK");
  return false;
}

void Store::keep_fault() {
  const std::string text = sqlite3_errmsg(database_.get());
  const std::lock_guard lock(mutex_);
  fault_ = text;
}

bool Store::write_one(const Item& item) {
  const auto finish = [](const Binder& bound, sqlite3_stmt* statement) {
    const bool done = bound.is_sound() && sqlite3_step(statement) == SQLITE_DONE;
    return sqlite3_reset(statement) == SQLITE_OK && done;
  };
  if (const auto* epoch = std::get_if<EpochChange>(&item)) {
    if (!epoch->subscriber && !finish(Binder(clear_epochs_.get()), clear_epochs_.get())) return false;
    Binder bind(put_epoch_.get());
    if (epoch->subscriber)
      bind << *epoch->subscriber;
    else
      bind << std::span<const uint8_t>{};
    bind << static_cast<int64_t>(epoch->start_s) + offset_s_;
    return finish(bind, put_epoch_.get());
  }
  const auto& [ticket, key, granted] = std::get<Change>(item);
  sqlite3_stmt* statement = granted ? put_.get() : erase_.get();
  Binder bind(statement);
  bind << key.mapping.subscriber << int64_t{key.mapping.inside_address.bits} << int64_t{key.mapping.inside_port.number}
       << static_cast<int64_t>(key.mapping.protocol) << int64_t{key.remote.address.bits}
       << int64_t{key.remote.port.number};
  if (!granted) return finish(bind, statement);
  const Mapping& mapping = granted->mapping;
  const Source& client = mapping.client;
  bind << int64_t{mapping.outside.address.bits} << int64_t{mapping.outside.port.number}
       << static_cast<int64_t>(mapping.expires_s) + offset_s_ << int64_t{mapping.ports} << flags_of(mapping)
       << mapping.b4 << client.b4 << (client.inner ? int64_t{client.inner->bits} : int64_t{-1}) << client.server
       << int64_t{client.port.number} << std::span<const uint8_t>(granted->nonce) << bytes_of(mapping.filters)
       << std::string_view(mapping.description);
  return finish(bind, statement);
}

}  // namespace portolan::pcp
