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

  struct Account {
    std::string name, subscriber;  // subscriber: whose mappings it may name; empty: not said
    bool suspended = false;
  };
  bool add_account(std::string_view name, std::string_view token_hash);  // false: there is one already
  bool remove_account(std::string_view name, int64_t now_s);             // with its names and services
  std::optional<std::string> token_hash(std::string_view account);
  bool set_token_hash(std::string_view account, std::string_view token_hash);
  bool set_subscriber(std::string_view account, std::string_view subscriber);
  // Suspended: no updates, nothing shown or published; all is kept. False: no such account.
  bool suspend_account(std::string_view account, bool suspended);
  std::optional<Account> account(std::string_view name);
  std::vector<Account> accounts();

  enum class AddName : uint8_t { added, taken, no_such_account };
  struct Name {
    std::string fqdn, account;
    std::string mode;  // "portal", "direct"; empty: as configured
    bool suspended = false;
  };
  AddName add_name(std::string_view fqdn, std::string_view account);
  bool remove_name(std::string_view fqdn, int64_t now_s);
  bool suspend_name(std::string_view fqdn, bool suspended);
  bool set_mode(std::string_view fqdn, std::string_view mode);
  std::vector<Name> names();

  // Operator mode: the name shows mappings of the subscriber without any client's update.
  struct Follow {
    std::string fqdn, subscriber, id;  // the service's; empty: made of protocol and port
    net::Protocol protocol = net::Protocol::tcp;
    uint16_t inside_port = 0;  // 0: every one
    std::string scheme, path, title;
  };
  bool add_follow(const Follow& follow);  // false: no such name
  size_t remove_follows(std::string_view fqdn, int64_t now_s);
  std::vector<Follow> follows();
  int64_t rules_revision();  // another number after each change of what names follow, or of whose an account is

  // A registered name and what is found there now; what has expired is not there any more, swept or not.
  struct Entry {
    std::string account;
    std::optional<net::Ipv4> address;  // as a client without ports reported it
    std::vector<Service> services;     // by id
    std::vector<Service> away;         // registered, but their mapping has ended and not come back
    std::string mode;                  // of the name, as Name::mode
    bool suspended = false;            // it or its account: nothing is shown
  };
  std::optional<Entry> find(std::string_view fqdn, int64_t now_s);

  // `unchanged`: the same record was there, only its expiry moved.
  enum class Put : uint8_t { unchanged, changed, too_many };
  Put put(std::string_view fqdn, const Service& service, int64_t now_s);
  // All services of the name move to this address and keep their ports (DYN-020); the name's own address is noted with
  // its expiry.
  Put put_address(std::string_view fqdn, net::Ipv4 address, int64_t expires_at_s, int64_t now_s);
  bool end(std::string_view fqdn, std::string_view id, int64_t now_s = time_now_s());  // false: there was none
  bool end_all(std::string_view fqdn, int64_t now_s = time_now_s());
  // Ends what has expired and shows what has waited for its port to rest long enough; how many names that changes.
  size_t end_expired(int64_t now_s);

  // How long a port that a name led to rests before it may carry another account's name: as long as somebody may still
  // have the old record. What is published is withdrawn first; the time runs from then.
  // Without DNS (`publishes` false) nothing is withdrawn, and what waited for it waits no longer.
  void set_rest(int64_t rest_s, bool publishes, int64_t now_s);

  // What an AFTR tells. Services that follow a mapping move with it, wait without it and come back with it.
  struct MappingNews {
    net::Protocol protocol{};
    Inside inside;
    net::Endpoint outside;
    bool ended = false;
    friend bool operator==(const MappingNews&, const MappingNews&) = default;
  };
  size_t apply(const std::vector<MappingNews>& news, int64_t now_s);       // in order; how many services changed
  size_t apply_all(const std::vector<MappingNews>& there, int64_t now_s);  // and besides these nothing is mapped

  // What DNS has not been told yet, oldest debt first. A revision that moved on means: owed again.
  struct Owed {
    std::string fqdn;
    int64_t revision = 0;
    friend bool operator==(const Owed&, const Owed&) = default;
  };
  std::vector<Owed> dns_owed();
  void dns_owe(std::string_view fqdn) { owe(fqdn); }
  bool is_dns_owed(std::string_view fqdn);
  std::vector<std::string> dns_published_names();
  void dns_owe_all();  // every name, and every name that still has records out there
  bool dns_settle(const Owed& debt, int64_t now_s = time_now_s());
  // The record sets ("_http._tcp.a.example SRV") DNS may hold for a name: those to delete when they are not wanted.
  std::vector<std::string> dns_published(std::string_view fqdn);
  void set_dns_published(std::string_view fqdn, const std::vector<std::string>& record_sets);

  // So that many small changes cost one write to the disk: all or none of them.
  template <class Work>
  void together(const Work& work) {
    Transaction transaction(database_);
    work();
    transaction.commit();
  }

 private:
  static int64_t time_now_s();
  void owe(std::string_view fqdn);
  void rules_changed();
  void release(std::string_view fqdn, const Service& service, int64_t now_s);
  void release_all(std::string_view fqdn, int64_t now_s);
  size_t take(const MappingNews& news, int64_t now_s);
  size_t follow(const MappingNews& news, int64_t now_s);
  size_t move_followers(const MappingNews& news, int64_t now_s);
  size_t leave(const MappingNews& news, int64_t now_s);
  size_t vouch(const std::string& fqdn, const Service& seen, const std::string& subscriber, const MappingNews* mapping,
               int64_t now_s);
  template <class Work>
  void in_portions(size_t count, const Work& work);

  int64_t rest_s_ = 60;
  bool publishes_ = true;
};

}  // namespace portolan::ddnsd
