#include "ddns-server/registry.h"

#include <algorithm>
#include <ctime>
#include <set>

#include "ddns-server/limits.h"
#include "ddns-server/registry_rows.h"

namespace portolan::ddnsd {
namespace {

constexpr int64_t application_id = 0x50444e53;  // "PDNS" in the file's header: this is a registry and nothing else
constexpr int64_t schema_version = 3;

constexpr const char* schema_1 = R"sql(
CREATE TABLE accounts(
  name TEXT PRIMARY KEY,
  token_hash TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE names(
  fqdn TEXT PRIMARY KEY,
  account TEXT NOT NULL REFERENCES accounts(name)
) STRICT, WITHOUT ROWID;
CREATE INDEX names_by_account ON names(account);
CREATE TABLE services(
  fqdn TEXT NOT NULL REFERENCES names(fqdn) ON DELETE CASCADE,
  id TEXT NOT NULL,
  protocol INTEGER NOT NULL CHECK(protocol IN (6, 17)),
  address INTEGER NOT NULL CHECK(address BETWEEN 0 AND 4294967295),
  port INTEGER NOT NULL CHECK(port BETWEEN 0 AND 65535),
  scheme TEXT NOT NULL,
  path TEXT NOT NULL,
  title TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY(fqdn, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX services_by_expiry ON services(expires_at);
CREATE TABLE dns_owed(
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  fqdn TEXT NOT NULL UNIQUE,
  revision INTEGER NOT NULL
) STRICT;
CREATE TABLE dns_published(
  fqdn TEXT NOT NULL,
  record_set TEXT NOT NULL,
  PRIMARY KEY(fqdn, record_set)
) STRICT, WITHOUT ROWID;
)sql";

// Version 2: whom an account's mappings are of, mappings that services follow, ports that rest, suspension.
constexpr const char* schema_2 = R"sql(
ALTER TABLE accounts ADD COLUMN subscriber TEXT NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN suspended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE names ADD COLUMN mode TEXT NOT NULL DEFAULT '';
ALTER TABLE names ADD COLUMN suspended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE services ADD COLUMN subscriber TEXT NOT NULL DEFAULT '';
ALTER TABLE services ADD COLUMN inside_address INTEGER NOT NULL DEFAULT 0;
ALTER TABLE services ADD COLUMN inside_port INTEGER NOT NULL DEFAULT 0;
ALTER TABLE services ADD COLUMN by_operator INTEGER NOT NULL DEFAULT 0;
CREATE INDEX services_by_inside ON services(subscriber, inside_address, inside_port, protocol) WHERE subscriber <> '';
CREATE INDEX services_by_outside ON services(address, port, protocol);
CREATE TABLE follows(
  fqdn TEXT NOT NULL REFERENCES names(fqdn) ON DELETE CASCADE,
  subscriber TEXT NOT NULL,
  protocol INTEGER NOT NULL CHECK(protocol IN (6, 17)),
  inside_port INTEGER NOT NULL CHECK(inside_port BETWEEN 0 AND 65535),
  id TEXT NOT NULL,
  scheme TEXT NOT NULL,
  path TEXT NOT NULL,
  title TEXT NOT NULL,
  PRIMARY KEY(fqdn, subscriber, protocol, inside_port)
) STRICT, WITHOUT ROWID;
CREATE INDEX follows_by_subscriber ON follows(subscriber, protocol, inside_port);
CREATE TABLE released(
  protocol INTEGER NOT NULL,
  address INTEGER NOT NULL,
  port INTEGER NOT NULL,
  fqdn TEXT NOT NULL,
  account TEXT NOT NULL,
  until INTEGER NOT NULL,
  PRIMARY KEY(protocol, address, port, fqdn)
) STRICT, WITHOUT ROWID;
CREATE TABLE revisions(what TEXT PRIMARY KEY, number INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO revisions VALUES('rules', 0);
CREATE INDEX released_by_time ON released(until);
CREATE INDEX released_by_name ON released(fqdn);
)sql";

// Version 3: a service's type in the DNS.
constexpr const char* schema_3 = "ALTER TABLE services ADD COLUMN type TEXT NOT NULL DEFAULT ''";

int64_t pragma(Database& database, std::string_view name) {
  auto query = database.query("PRAGMA " + std::string(name));
  return query.step() ? query.number(0) : 0;
}

std::string damage_of(Database& database) {
  auto check = database.query("PRAGMA quick_check(1)");
  return check.step() ? check.text(0) : "";
}

// Empty if the file is a sound registry of our version or was empty and has become one.
std::string prepare(Database& database) {
  const int64_t version = pragma(database, "user_version");
  const int64_t id = pragma(database, "application_id");
  const bool is_empty = !database.query("SELECT 1 FROM sqlite_schema").step();
  if (!is_empty && id != application_id) return "is an SQLite file of something else; name another file";
  if (version > schema_version)
    return "was written by a newer portolan-ddnsd (schema " + std::to_string(version) + ", this one knows " +
           std::to_string(schema_version) + "); run that version";
  if (const std::string damage = damage_of(database); damage != "ok")
    return "is damaged (" + damage + "); restore a backup or move it away";
  database.run("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON");
  Transaction transaction(database);
  const int64_t found = pragma(database, "user_version");  // asked again inside: two processes may start at once
  if (found < 1) database.run(schema_1);
  if (found < 2) database.run(schema_2);
  if (found < 3) database.run(schema_3);
  if (found < schema_version)
    database.run(("PRAGMA application_id=" + std::to_string(application_id) +
                  ";PRAGMA user_version=" + std::to_string(schema_version))
                     .c_str());
  transaction.commit();
  return "";
}

bool same_record(const Service& a, const Service& b) {
  return a.protocol == b.protocol && a.outside == b.outside && a.scheme == b.scheme && a.path == b.path &&
         a.title == b.title && a.type == b.type;
}

std::optional<std::string> owner_of(Database& database, std::string_view fqdn) {
  auto row = database.query("SELECT account FROM names WHERE fqdn = ?", fqdn);
  return row.step() ? std::optional(row.text(0)) : std::nullopt;
}

// Everything registered that has not expired: also the name's own address, and what waits for a mapping or a port.
std::vector<Service> rows_of(Database& database, std::string_view fqdn, int64_t now_s) {
  std::vector<Service> out;
  for (auto row = database.query(
           "SELECT " + std::string(service_columns) + " FROM services s WHERE fqdn = ? AND +expires_at > ? ORDER BY id",
           fqdn, now_s);
       row.step();)
    out.push_back(read_service(row));
  return out;
}

}  // namespace

Service read_service(const Statement& row) {
  Service out;
  out.id = row.text(0);
  out.protocol = static_cast<net::Protocol>(row.number(1));
  out.outside = {{static_cast<uint32_t>(row.number(2))}, {static_cast<uint16_t>(row.number(3))}};
  out.scheme = row.text(4);
  out.path = row.text(5);
  out.title = row.text(6);
  out.expires_at_s = row.number(7);
  out.updated_at_s = row.number(8);
  if (std::string subscriber = row.text(9); !subscriber.empty())
    out.inside = {std::move(subscriber),
                  {{static_cast<uint32_t>(row.number(10))}, {static_cast<uint16_t>(row.number(11))}}};
  out.by_operator = row.number(12) != 0;
  out.type = row.text(13);
  return out;
}

void write_service(Database& database, std::string_view fqdn, const Service& service) {
  const Inside inside = service.inside.value_or(Inside{});
  database.change("INSERT OR REPLACE INTO services VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", fqdn,
                  service.id, static_cast<int64_t>(service.protocol), number_of(service.outside.address),
                  number_of(service.outside.port), service.scheme, service.path, service.title, service.expires_at_s,
                  service.updated_at_s, inside.subscriber, number_of(inside.endpoint.address),
                  number_of(inside.endpoint.port), int64_t{service.by_operator}, service.type);
}

int64_t Registry::time_now_s() { return std::time(nullptr); }

net::Result<Registry, std::string> Registry::open(const std::string& path) {
  try {
    Database database(path);
    if (std::string refusal = prepare(database); !refusal.empty())
      return tl::unexpected("database " + path + " " + refusal);
    return Registry(std::move(database));
  } catch (const StoreError& error) {
    return tl::unexpected("database " + path + ": " + error.what());
  }
}

bool Registry::add_account(std::string_view name, std::string_view token_hash) {
  return database_.change("INSERT OR IGNORE INTO accounts(name, token_hash) VALUES(?, ?)", name, token_hash) == 1;
}

bool Registry::remove_account(std::string_view name, int64_t now_s) {
  Transaction transaction(database_);
  std::vector<std::string> fqdns;
  for (auto row = database_.query("SELECT fqdn FROM names WHERE account = ?", name); row.step();)
    fqdns.push_back(row.text(0));
  for (const auto& fqdn : fqdns) remove_name(fqdn, now_s);
  const bool there_was = database_.change("DELETE FROM accounts WHERE name = ?", name) == 1;
  transaction.commit();
  return there_was;
}

std::optional<std::string> Registry::token_hash(std::string_view account) {
  auto row = database_.query("SELECT token_hash FROM accounts WHERE name = ?", account);
  return row.step() ? std::optional(row.text(0)) : std::nullopt;
}

bool Registry::set_token_hash(std::string_view account, std::string_view token_hash) {
  return database_.change("UPDATE accounts SET token_hash = ? WHERE name = ?", token_hash, account) == 1;
}

bool Registry::set_subscriber(std::string_view account, std::string_view subscriber) {
  Transaction transaction(database_);
  const bool there_is = database_.change("UPDATE accounts SET subscriber = ? WHERE name = ?", subscriber, account) == 1;
  rules_changed();
  transaction.commit();
  return there_is;
}

bool Registry::suspend_account(std::string_view account, bool suspended) {
  Transaction transaction(database_);
  const bool there_is =
      database_.change("UPDATE accounts SET suspended = ? WHERE name = ?", int64_t{suspended}, account) == 1;
  std::vector<std::string> fqdns;
  for (auto row = database_.query("SELECT fqdn FROM names WHERE account = ?", account); row.step();)
    fqdns.push_back(row.text(0));
  for (const auto& fqdn : fqdns) owe(fqdn);
  transaction.commit();
  return there_is;
}

std::optional<Registry::Account> Registry::account(std::string_view name) {
  auto row = database_.query("SELECT name, subscriber, suspended FROM accounts WHERE name = ?", name);
  if (!row.step()) return std::nullopt;
  return Account{row.text(0), row.text(1), row.number(2) != 0};
}

std::vector<Registry::Account> Registry::accounts() {
  std::vector<Account> out;
  for (auto row = database_.query("SELECT name, subscriber, suspended FROM accounts ORDER BY name"); row.step();)
    out.push_back({row.text(0), row.text(1), row.number(2) != 0});
  return out;
}

Registry::AddName Registry::add_name(std::string_view fqdn, std::string_view account) {
  Transaction transaction(database_);
  if (!token_hash(account)) return AddName::no_such_account;
  if (owner_of(database_, fqdn)) return AddName::taken;
  database_.change("INSERT INTO names(fqdn, account) VALUES(?, ?)", fqdn, account);
  transaction.commit();
  return AddName::added;
}

bool Registry::remove_name(std::string_view fqdn, int64_t now_s) {
  Transaction transaction(database_);
  release_all(fqdn, now_s);
  const bool there_was = database_.change("DELETE FROM names WHERE fqdn = ?", fqdn) == 1;
  if (there_was) owe(fqdn);
  transaction.commit();
  return there_was;
}

bool Registry::suspend_name(std::string_view fqdn, bool suspended) {
  Transaction transaction(database_);
  const bool there_is =
      database_.change("UPDATE names SET suspended = ? WHERE fqdn = ?", int64_t{suspended}, fqdn) == 1;
  if (there_is) owe(fqdn);
  transaction.commit();
  return there_is;
}

bool Registry::set_mode(std::string_view fqdn, std::string_view mode) {
  Transaction transaction(database_);
  const bool there_is = database_.change("UPDATE names SET mode = ? WHERE fqdn = ?", mode, fqdn) == 1;
  if (there_is) owe(fqdn);
  transaction.commit();
  return there_is;
}

std::vector<Registry::Name> Registry::names() {
  std::vector<Name> out;
  for (auto row = database_.query("SELECT fqdn, account, mode, suspended FROM names ORDER BY fqdn"); row.step();)
    out.push_back({row.text(0), row.text(1), row.text(2), row.number(3) != 0});
  return out;
}

// Asked for every redirect, so it is one look into the file: a name's row for each of its services, or one without any.
// Hidden: whose port others may still believe to be somebody else's. A plus keeps SQLite from going by time, which
// would be through all that rests.
std::optional<Registry::Entry> Registry::find(std::string_view fqdn, int64_t now_s) {
  static const std::string sql =
      "SELECT " + std::string(service_columns) +
      ", n.account, n.mode, n.suspended OR a.suspended FROM names n JOIN accounts a ON a.name = n.account "
      "LEFT JOIN services s ON s.fqdn = n.fqdn AND +s.expires_at > ?2 AND NOT EXISTS("
      "SELECT 1 FROM released r WHERE r.protocol = s.protocol AND r.address = s.address AND r.port = s.port "
      "AND r.account <> n.account AND +r.until > ?2) WHERE n.fqdn = ?1 ORDER BY s.id";
  std::optional<Entry> out;
  for (auto row = database_.query(sql, fqdn, now_s); row.step();) {
    if (!out) {
      out = Entry{row.text(service_column_count),           std::nullopt, {}, {}, row.text(service_column_count + 1),
                  row.number(service_column_count + 2) != 0};
      if (out->suspended) return out;
    }
    Service service = read_service(row);
    if (service.id.empty()) continue;  // the row of a name without services
    if (service.id == address_only_id)
      out->address = service.outside.address;
    else
      (service.outside.port.number == 0 ? out->away : out->services).push_back(std::move(service));
  }
  return out;
}

Registry::Put Registry::put(std::string_view fqdn, const Service& service, int64_t now_s) {
  Transaction transaction(database_);
  const auto rows = rows_of(database_, fqdn, now_s);
  const auto old = std::ranges::find(rows, service.id, &Service::id);
  if (old == rows.end() && rows.size() >= limits::services_per_name_max) return Put::too_many;
  const bool changed = old == rows.end() || !same_record(*old, service);
  if (old != rows.end() && old->outside != service.outside) release(fqdn, *old, now_s);
  Service row = service;
  row.updated_at_s = changed ? now_s : old->updated_at_s;
  write_service(database_, fqdn, row);
  if (changed) owe(fqdn);
  transaction.commit();
  return changed ? Put::changed : Put::unchanged;
}

Registry::Put Registry::put_address(std::string_view fqdn, net::Ipv4 address, int64_t expires_at_s, int64_t now_s) {
  Transaction transaction(database_);
  auto rows = rows_of(database_, fqdn, now_s);
  if (std::ranges::find(rows, address_only_id, &Service::id) == rows.end()) {
    Service own;
    own.id = address_only_id;
    rows.push_back(own);  // with no address yet, so that it counts as changed below
  }
  bool changed = false;
  for (Service& row : rows) {
    if (row.inside) continue;  // it is where its mapping is
    const bool moves = row.outside.address != address;
    if (row.id == address_only_id) row.expires_at_s = expires_at_s;
    if (moves) row.updated_at_s = now_s, release(fqdn, row, now_s);
    row.outside.address = address;
    changed |= moves;
    write_service(database_, fqdn, row);
  }
  if (changed) owe(fqdn);
  transaction.commit();
  return changed ? Put::changed : Put::unchanged;
}

bool Registry::end(std::string_view fqdn, std::string_view id, int64_t now_s) {
  Transaction transaction(database_);
  for (const Service& each : rows_of(database_, fqdn, now_s))
    if (each.id == id) release(fqdn, each, now_s);
  const bool there_was = database_.change("DELETE FROM services WHERE fqdn = ? AND id = ?", fqdn, id) == 1;
  if (there_was) owe(fqdn);
  transaction.commit();
  return there_was;
}

bool Registry::end_all(std::string_view fqdn, int64_t now_s) {
  Transaction transaction(database_);
  release_all(fqdn, now_s);
  const bool there_was = database_.change("DELETE FROM services WHERE fqdn = ?", fqdn) > 0;
  if (there_was) owe(fqdn);
  transaction.commit();
  return there_was;
}

size_t Registry::end_expired(int64_t now_s) {
  if (!database_.query("SELECT 1 FROM services WHERE expires_at <= ? LIMIT 1", now_s).step() &&
      !database_.query("SELECT 1 FROM released WHERE until <= ? LIMIT 1", now_s).step())
    return 0;  // no write lock
  Transaction transaction(database_);
  std::set<std::string> fqdns;
  for (auto row = database_.query("SELECT s.fqdn FROM services s JOIN released r USING(protocol, address, port) "
                                  "WHERE r.until <= ?",
                                  now_s);
       row.step();)
    fqdns.insert(row.text(0));
  database_.change("DELETE FROM released WHERE until <= ?", now_s);
  std::vector<std::pair<std::string, Service>> ended;
  for (auto row = database_.query(
           "SELECT " + std::string(service_columns) + ", fqdn FROM services s WHERE expires_at <= ?", now_s);
       row.step();)
    ended.emplace_back(row.text(service_column_count), read_service(row));
  for (const auto& [fqdn, service] : ended) release(fqdn, service, now_s), fqdns.insert(fqdn);
  database_.change("DELETE FROM services WHERE expires_at <= ?", now_s);
  for (const auto& fqdn : fqdns) owe(fqdn);
  transaction.commit();
  return fqdns.size();
}

void Registry::owe(std::string_view fqdn) {
  database_.change(
      "INSERT INTO dns_owed(fqdn, revision) VALUES(?, 1) "
      "ON CONFLICT(fqdn) DO UPDATE SET revision = revision + 1",
      fqdn);
}

std::vector<Registry::Owed> Registry::dns_owed() {
  std::vector<Owed> out;
  for (auto row = database_.query("SELECT fqdn, revision FROM dns_owed ORDER BY position"); row.step();)
    out.push_back({row.text(0), row.number(1)});
  return out;
}

bool Registry::is_dns_owed(std::string_view fqdn) {
  return database_.query("SELECT 1 FROM dns_owed WHERE fqdn = ?", fqdn).step();
}

std::vector<std::string> Registry::dns_published_names() {
  std::vector<std::string> out;
  for (auto row = database_.query("SELECT DISTINCT fqdn FROM dns_published ORDER BY fqdn DESC"); row.step();)
    out.push_back(row.text(0));
  return out;
}

void Registry::dns_owe_all() {
  database_.run(
      "INSERT OR IGNORE INTO dns_owed(fqdn, revision) "
      "SELECT fqdn, 1 FROM services UNION SELECT fqdn, 1 FROM dns_published ORDER BY 1");
}

bool Registry::dns_settle(const Owed& debt, int64_t now_s) {
  Transaction transaction(database_);
  const bool settled =
      database_.change("DELETE FROM dns_owed WHERE fqdn = ? AND revision = ?", debt.fqdn, debt.revision) == 1;
  // From now on nobody is told of what it had, and the last who was forgets it after the TTL.
  if (settled)
    database_.change("UPDATE released SET until = ? WHERE fqdn = ? AND until = ?", now_s + rest_s_, debt.fqdn,
                     INT64_MAX);
  transaction.commit();
  return settled;
}

std::vector<std::string> Registry::dns_published(std::string_view fqdn) {
  std::vector<std::string> out;
  for (auto row = database_.query("SELECT record_set FROM dns_published WHERE fqdn = ? ORDER BY record_set", fqdn);
       row.step();)
    out.push_back(row.text(0));
  return out;
}

void Registry::set_dns_published(std::string_view fqdn, const std::vector<std::string>& record_sets) {
  Transaction transaction(database_);
  database_.change("DELETE FROM dns_published WHERE fqdn = ?", fqdn);
  for (const auto& each : record_sets) database_.change("INSERT OR IGNORE INTO dns_published VALUES(?, ?)", fqdn, each);
  transaction.commit();
}

}  // namespace portolan::ddnsd
