#include "ddns-server/registry.h"

#include <algorithm>

#include "ddns-server/limits.h"

namespace portolan::ddnsd {
namespace {

constexpr int64_t application_id = 0x50444e53;  // "PDNS" in the file's header: this is a registry and nothing else
constexpr int64_t schema_version = 1;

constexpr const char* schema = R"sql(
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
  if (pragma(database, "user_version") == 0) {  // asked again inside: two processes may start at once
    database.run(schema);
    database.run(("PRAGMA application_id=" + std::to_string(application_id) +
                  ";PRAGMA user_version=" + std::to_string(schema_version))
                     .c_str());
  }
  transaction.commit();
  return "";
}

bool same_record(const Service& a, const Service& b) {
  return a.protocol == b.protocol && a.outside == b.outside && a.scheme == b.scheme && a.path == b.path &&
         a.title == b.title;
}

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
  return out;
}

std::optional<std::string> owner_of(Database& database, std::string_view fqdn) {
  auto row = database.query("SELECT account FROM names WHERE fqdn = ?", fqdn);
  return row.step() ? std::optional(row.text(0)) : std::nullopt;
}

// Includes the row of the name's own address.
std::vector<Service> rows_of(Database& database, std::string_view fqdn, int64_t now_s) {
  std::vector<Service> out;
  for (auto row = database.query("SELECT id, protocol, address, port, scheme, path, title, expires_at, updated_at "
                                 "FROM services WHERE fqdn = ? AND expires_at > ? ORDER BY id",
                                 fqdn, now_s);
       row.step();)
    out.push_back(read_service(row));
  return out;
}

void write_service(Database& database, std::string_view fqdn, const Service& service) {
  database.change("INSERT OR REPLACE INTO services VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", fqdn, service.id,
                  static_cast<int64_t>(service.protocol), int64_t{uint32_t{service.outside.address.bits}},
                  int64_t{uint16_t{service.outside.port.number}}, service.scheme, service.path, service.title,
                  service.expires_at_s, service.updated_at_s);
}

}  // namespace

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
  return database_.change("INSERT OR IGNORE INTO accounts VALUES(?, ?)", name, token_hash) == 1;
}

bool Registry::remove_account(std::string_view name) {
  Transaction transaction(database_);
  std::vector<std::string> fqdns;
  for (auto row = database_.query("SELECT fqdn FROM names WHERE account = ?", name); row.step();)
    fqdns.push_back(row.text(0));
  for (const auto& fqdn : fqdns) {
    database_.change("DELETE FROM names WHERE fqdn = ?", fqdn);
    owe(fqdn);
  }
  const bool there_was = database_.change("DELETE FROM accounts WHERE name = ?", name) == 1;
  transaction.commit();
  return there_was;
}

std::optional<std::string> Registry::token_hash(std::string_view account) {
  auto row = database_.query("SELECT token_hash FROM accounts WHERE name = ?", account);
  return row.step() ? std::optional(row.text(0)) : std::nullopt;
}

std::vector<std::string> Registry::accounts() {
  std::vector<std::string> out;
  for (auto row = database_.query("SELECT name FROM accounts ORDER BY name"); row.step();) out.push_back(row.text(0));
  return out;
}

Registry::AddName Registry::add_name(std::string_view fqdn, std::string_view account) {
  Transaction transaction(database_);
  if (!token_hash(account)) return AddName::no_such_account;
  if (owner_of(database_, fqdn)) return AddName::taken;
  database_.change("INSERT INTO names VALUES(?, ?)", fqdn, account);
  transaction.commit();
  return AddName::added;
}

bool Registry::remove_name(std::string_view fqdn) {
  Transaction transaction(database_);
  const bool there_was = database_.change("DELETE FROM names WHERE fqdn = ?", fqdn) == 1;
  if (there_was) owe(fqdn);
  transaction.commit();
  return there_was;
}

std::vector<Registry::Name> Registry::names() {
  std::vector<Name> out;
  for (auto row = database_.query("SELECT fqdn, account FROM names ORDER BY fqdn"); row.step();)
    out.push_back({row.text(0), row.text(1)});
  return out;
}

std::optional<Registry::Entry> Registry::find(std::string_view fqdn, int64_t now_s) {
  auto owner = owner_of(database_, fqdn);
  if (!owner) return std::nullopt;
  Entry out{std::move(*owner), std::nullopt, rows_of(database_, fqdn, now_s)};
  if (const auto own = std::ranges::find(out.services, address_only_id, &Service::id); own != out.services.end()) {
    out.address = own->outside.address;
    out.services.erase(own);
  }
  return out;
}

Registry::Put Registry::put(std::string_view fqdn, const Service& service, int64_t now_s) {
  Transaction transaction(database_);
  const auto rows = rows_of(database_, fqdn, now_s);
  const auto old = std::ranges::find(rows, service.id, &Service::id);
  if (old == rows.end() && rows.size() >= limits::services_per_name_max) return Put::too_many;
  const bool changed = old == rows.end() || !same_record(*old, service);
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
    const bool moves = row.outside.address != address;
    if (row.id == address_only_id) row.expires_at_s = expires_at_s;
    if (moves) row.updated_at_s = now_s;
    row.outside.address = address;
    changed |= moves;
    write_service(database_, fqdn, row);
  }
  if (changed) owe(fqdn);
  transaction.commit();
  return changed ? Put::changed : Put::unchanged;
}

bool Registry::end(std::string_view fqdn, std::string_view id) {
  Transaction transaction(database_);
  const bool there_was = database_.change("DELETE FROM services WHERE fqdn = ? AND id = ?", fqdn, id) == 1;
  if (there_was) owe(fqdn);
  transaction.commit();
  return there_was;
}

bool Registry::end_all(std::string_view fqdn) {
  Transaction transaction(database_);
  const bool there_was = database_.change("DELETE FROM services WHERE fqdn = ?", fqdn) > 0;
  if (there_was) owe(fqdn);
  transaction.commit();
  return there_was;
}

size_t Registry::end_expired(int64_t now_s) {
  if (!database_.query("SELECT 1 FROM services WHERE expires_at <= ? LIMIT 1", now_s).step())
    return 0;  // no write lock
  Transaction transaction(database_);
  std::vector<std::string> fqdns;
  for (auto row = database_.query("DELETE FROM services WHERE expires_at <= ? RETURNING fqdn", now_s); row.step();)
    fqdns.push_back(row.text(0));
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

void Registry::dns_owe_all() {
  database_.run(
      "INSERT OR IGNORE INTO dns_owed(fqdn, revision) "
      "SELECT fqdn, 1 FROM services UNION SELECT fqdn, 1 FROM dns_published ORDER BY 1");
}

bool Registry::dns_settle(const Owed& debt) {
  return database_.change("DELETE FROM dns_owed WHERE fqdn = ? AND revision = ?", debt.fqdn, debt.revision) == 1;
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
