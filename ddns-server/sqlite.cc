#include "ddns-server/sqlite.h"

#include <sqlite3.h>

namespace portolan::ddnsd {
namespace {

// The administrator's commands and the publisher write the same file, in short transactions; redirects wait meanwhile.
constexpr int busy_timeout_ms = 2000;

void require(int code, sqlite3* database) {
  if (code != SQLITE_OK) throw StoreError(sqlite3_errmsg(database));
}

}  // namespace

Statement::Statement(sqlite3* database, PreparedStatements& shelf, const std::string& sql) : shelf_(&shelf) {
  node_ = shelf.extract(sql);
  if (!node_.empty()) return;
  sqlite3_stmt* raw = nullptr;
  require(
      sqlite3_prepare_v3(database, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &raw, nullptr),
      database);
  PreparedStatements made;
  made.emplace(sql, std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)>(raw, sqlite3_finalize));
  node_ = made.extract(made.begin());
}

Statement::Statement(Statement&& other) noexcept
    : shelf_(other.shelf_), node_(std::move(other.node_)), next_(other.next_) {}

Statement::~Statement() {
  if (node_.empty()) return;
  sqlite3_reset(handle());
  sqlite3_clear_bindings(handle());
  shelf_->insert(std::move(node_));
}

Statement& Statement::bind(std::string_view text) {
  // SQLITE_TRANSIENT is a C cast of -1 to a function pointer.
  const auto copy = reinterpret_cast<sqlite3_destructor_type>(-1);  // NOLINT(performance-no-int-to-ptr)
  require(sqlite3_bind_text(handle(), next_++, text.data(), static_cast<int>(text.size()), copy),
          sqlite3_db_handle(handle()));
  return *this;
}

Statement& Statement::bind(int64_t number) {
  require(sqlite3_bind_int64(handle(), next_++, number), sqlite3_db_handle(handle()));
  return *this;
}

bool Statement::step() {
  const int code = sqlite3_step(handle());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  throw StoreError(sqlite3_errmsg(sqlite3_db_handle(handle())));
}

int64_t Statement::number(int column) const { return sqlite3_column_int64(handle(), column); }

std::string Statement::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(handle(), column));
  return bytes == nullptr ? "" : std::string(bytes, static_cast<size_t>(sqlite3_column_bytes(handle(), column)));
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

Transaction::Transaction(Database& database) : database_(database) {
  if (database_.transactions_ == 0) database_.run("BEGIN IMMEDIATE");
  ++database_.transactions_;
}

Transaction::~Transaction() {
  if (!open_ || --database_.transactions_ > 0) return;
  try {
    database_.run("ROLLBACK");
  } catch (const StoreError&) {
    // SQLite has rolled back already, or will when the file is opened next: either way nothing half-done stays.
    return;
  }
}

void Transaction::commit() {
  if (database_.transactions_ == 1) database_.run("COMMIT");
  --database_.transactions_;
  open_ = false;
}

}  // namespace portolan::ddnsd
