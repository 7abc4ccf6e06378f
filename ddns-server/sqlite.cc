#include "ddns-server/sqlite.h"

#include <sqlite3.h>

namespace portolan::ddnsd {
namespace {

// The administrator's commands and the publisher write the same file, in short transactions; redirects wait meanwhile.
constexpr int busy_timeout_ms = 500;

void require(int code, sqlite3* database) {
  if (code != SQLITE_OK) throw StoreError(sqlite3_errmsg(database));
}

}  // namespace

Statement::Statement(sqlite3* database, std::string_view sql) : handle_(nullptr, sqlite3_finalize) {
  sqlite3_stmt* raw = nullptr;
  require(sqlite3_prepare_v2(database, sql.data(), static_cast<int>(sql.size()), &raw, nullptr), database);
  handle_.reset(raw);
}

Statement& Statement::bind(std::string_view text) {
  // SQLITE_TRANSIENT is a C cast of -1 to a function pointer.
  const auto copy = reinterpret_cast<sqlite3_destructor_type>(-1);  // NOLINT(performance-no-int-to-ptr)
  require(sqlite3_bind_text(handle_.get(), next_++, text.data(), static_cast<int>(text.size()), copy),
          sqlite3_db_handle(handle_.get()));
  return *this;
}

Statement& Statement::bind(int64_t number) {
  require(sqlite3_bind_int64(handle_.get(), next_++, number), sqlite3_db_handle(handle_.get()));
  return *this;
}

bool Statement::step() {
  const int code = sqlite3_step(handle_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  throw StoreError(sqlite3_errmsg(sqlite3_db_handle(handle_.get())));
}

int64_t Statement::number(int column) const { return sqlite3_column_int64(handle_.get(), column); }

std::string Statement::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(handle_.get(), column));
  return bytes == nullptr ? "" : std::string(bytes, static_cast<size_t>(sqlite3_column_bytes(handle_.get(), column)));
}

Database::Database(const std::string& path) : handle_(nullptr, sqlite3_close_v2) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  handle_.reset(raw);
  if (code != SQLITE_OK) throw StoreError(raw != nullptr ? sqlite3_errmsg(raw) : "out of memory");
  sqlite3_busy_timeout(raw, busy_timeout_ms);
}

void Database::run(const char* sql) {
  require(sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr), handle_.get());
}

int Database::changes() const { return sqlite3_changes(handle_.get()); }

Transaction::~Transaction() {
  if (!open_) return;
  try {
    database_.run("ROLLBACK");
  } catch (const StoreError&) {
    // SQLite has rolled back already, or will when the file is opened next: either way nothing half-done stays.
    return;
  }
}

void Transaction::commit() {
  database_.run("COMMIT");
  open_ = false;
}

}  // namespace portolan::ddnsd
