// The least of SQLite that keeps handles from leaking and errors from being ignored. A Database and its statements
// belong to one thread; another thread or process opens the file itself (WAL: readers never wait for the writer).
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>

struct sqlite3;
struct sqlite3_stmt;

namespace portolan::ddnsd {

// The store failed under us: disk full, file gone. Nothing of the running transaction stays behind.
struct StoreError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Prepared statements of a database, by their text: preparing costs more than most of them.
using PreparedStatements = std::unordered_multimap<std::string, std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)>>;

class Statement {
  PreparedStatements* shelf_;  // where it lies while nobody uses it
  PreparedStatements::node_type node_;
  int next_ = 1;

  [[nodiscard]] sqlite3_stmt* handle() const { return node_.mapped().get(); }

 public:
  Statement(sqlite3* database, PreparedStatements& shelf, const std::string& sql);
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement();
  Statement& bind(std::string_view text);
  Statement& bind(int64_t number);
  bool step();  // true: a row is there
  [[nodiscard]] int64_t number(int column) const;
  [[nodiscard]] std::string text(int column) const;
};

class Database {
  friend class Transaction;
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> handle_;
  std::unique_ptr<PreparedStatements> shelf_ = std::make_unique<PreparedStatements>();
  int transactions_ = 0;  // one in the other

 public:
  explicit Database(const std::string& path);  // throws StoreError
  void run(const char* sql);                   // one or more statements without parameters
  // Prepared, bound, and stepped by the caller: for (auto q = db.query("…", a, b); q.step();) …
  template <class... Values>
  Statement query(const std::string& sql, const Values&... values) {
    Statement statement(handle_.get(), *shelf_, sql);
    (statement.bind(values), ...);
    return statement;
  }
  // Runs a change to its end and tells how many rows it touched.
  template <class... Values>
  int change(const std::string& sql, const Values&... values) {
    query(sql, values...).step();
    return changes();
  }
  [[nodiscard]] int changes() const;
};

// All or nothing: what is not committed is rolled back, by leaving the scope or by kill -9. One within another is part
// of that one; it may be left uncommitted only with nothing done, or by an exception that ends both.
class Transaction {
  Database& database_;
  bool open_ = true;

 public:
  explicit Transaction(Database& database);
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();
  void commit();
};

}  // namespace portolan::ddnsd
