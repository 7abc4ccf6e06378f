// What PCP has granted, on disk: SQLite in WAL mode, written by a thread of its own in groups, so that neither a worker
// nor the control thread ever waits for a disk. Changes go in by submit() and are done, in their order, when poll()
// says so; a group that cannot be written is told as such, whole, and leaves nothing behind.
//
// Seconds in the file are those of the server's clock plus an offset that the file keeps for as long as the machine
// runs, so a clock set by hand moves nothing; after a reboot the offset is that of the calendar.
// Owner: the control thread; the file belongs to the store's thread once open() has returned.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "dataplane/net/result.h"
#include "pcp-server/checkpointer.h"
#include "pcp-server/record.h"

struct sqlite3;
struct sqlite3_stmt;

namespace portolan::pcp {

class Store {
 public:
  struct Contents {
    std::vector<std::pair<RecordKey, Granted>> records;
    std::vector<EpochChange> epochs;  // empty: the store is new, or was; nothing is known of what came before
  };
  struct Opened {
    std::unique_ptr<Store> store;
    Contents contents;
  };
  // Opens the file, makes it (and its folder) if there is none, and reads it. A damaged one, or one that is not ours,
  // is refused untouched. Errors: one sentence with the path and the way out. `now_s`: the server's clock.
  static net::Result<Opened, std::string> open(const std::string& path, uint64_t now_s);
  ~Store();  // after everything submitted has been tried

  // Called by the store's thread whenever poll() has something new. To be set before the first submit().
  void wake_by(std::function<void()> wake) { wake_owner_ = std::move(wake); }

  using Item = std::variant<Change, EpochChange>;
  void submit(std::vector<Item> items);

  struct Outcome {
    uint64_t ticket = 0;
    bool done = false;
  };
  std::vector<Outcome> poll();                             // of changes with a ticket, since the last call
  [[nodiscard]] std::optional<std::string> fault() const;  // why the last group could not be written
  [[nodiscard]] size_t waiting() const;

 private:
  struct Close {
    void operator()(sqlite3* database) const;
    void operator()(sqlite3_stmt* statement) const;
  };
  using Database = std::unique_ptr<sqlite3, Close>;
  using Statement = std::unique_ptr<sqlite3_stmt, Close>;

  Store(Database database, int64_t offset_s);
  static std::optional<std::string> prepare_file(sqlite3* database, bool is_new);
  static net::Result<int64_t, std::string> settle_clock(sqlite3* database, uint64_t now_s);
  net::Result<Contents, std::string> read_all();
  [[nodiscard]] bool prepare_statements();
  void run();
  bool write(const std::vector<Item>& group);
  bool write_one(const Item& item);
  void keep_fault();
  void tend_log();

  Database database_;
  Statement put_, erase_, put_epoch_, clear_epochs_;
  const int64_t offset_s_;
  std::unique_ptr<Checkpointer> checkpointer_;  // ends before the connection does
  int log_pages_ = 0, copied_up_to_ = 0;        // of the log; only the store's thread knows them
  std::function<void()> wake_owner_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Item> incoming_;
  std::vector<Outcome> outcomes_;
  std::optional<std::string> fault_;
  size_t writing_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace portolan::pcp
