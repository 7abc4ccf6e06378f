// The table RFC 7393 §3.1 asks for: name -> services with outside address and port, and whose the names are. It is the
// one truth; redirects, portals and DNS records are computed from it. A change and the duty to publish it (dns_owed)
// are one transaction, so that neither a crash nor an administrator's command can leave DNS behind for good.
// One object per thread; the SQLite file is what they share. Every call may throw StoreError.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/net/result.h"
#include "dataplane/net/types.h"
#include "ddns-server/service.h"
#include "ddns-server/sqlite.h"

namespace portolan::ddnsd {

class Registry {
  Database database_;
  explicit Registry(Database database) : database_(std::move(database)) {}

 public:
  // Opens, or makes a new one. Refused with the reason: damaged, newer than this program, not a registry.
  static net::Result<Registry, std::string> open(const std::string& path);

  bool add_account(std::string_view name, std::string_view token_hash);  // false: there is one already
  bool remove_account(std::string_view name);                            // with its names and services
  std::optional<std::string> token_hash(std::string_view account);
  std::vector<std::string> accounts();

  enum class AddName : uint8_t { added, taken, no_such_account };
  struct Name {
    std::string fqdn, account;
  };
  AddName add_name(std::string_view fqdn, std::string_view account);
  bool remove_name(std::string_view fqdn);
  std::vector<Name> names();

  // A registered name and what is found there now; what has expired is not there any more, swept or not.
  struct Entry {
    std::string account;
    std::optional<net::Ipv4> address;  // as a client without ports reported it
    std::vector<Service> services;     // by id
  };
  std::optional<Entry> find(std::string_view fqdn, int64_t now_s);

  // `unchanged`: the same record was there, only its expiry moved.
  enum class Put : uint8_t { unchanged, changed, too_many };
  Put put(std::string_view fqdn, const Service& service, int64_t now_s);
  // All services of the name move to this address and keep their ports (DYN-020); the name's own address is noted with
  // its expiry.
  Put put_address(std::string_view fqdn, net::Ipv4 address, int64_t expires_at_s, int64_t now_s);
  bool end(std::string_view fqdn, std::string_view id);  // false: there was none
  bool end_all(std::string_view fqdn);
  size_t end_expired(int64_t now_s);

  // What DNS has not been told yet, oldest debt first. A revision that moved on means: owed again.
  struct Owed {
    std::string fqdn;
    int64_t revision = 0;
    friend bool operator==(const Owed&, const Owed&) = default;
  };
  std::vector<Owed> dns_owed();
  void dns_owe_all();  // every name, and every name that still has records out there
  bool dns_settle(const Owed& debt);
  // The record sets ("_http._tcp.a.example SRV") DNS may hold for a name: those to delete when they are not wanted.
  std::vector<std::string> dns_published(std::string_view fqdn);
  void set_dns_published(std::string_view fqdn, const std::vector<std::string>& record_sets);

 private:
  void owe(std::string_view fqdn);
};

}  // namespace portolan::ddnsd
