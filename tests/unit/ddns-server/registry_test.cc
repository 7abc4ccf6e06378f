#include "ddns-server/registry.h"

#include <cstring>
#include <fstream>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ddns-server/limits.h"
#include "tests/unit/ddns-server/fixture.h"

namespace portolan::ddnsd::test {
namespace {

constexpr int64_t now_s = 1'700'000'000;

class RegistryTest : public ::testing::Test {
 protected:
  RegistryTest() : registry_(must_open(path())) {
    registry_.add_account("alice", "hash");
    registry_.add_name("a.example", "alice");
  }
  std::string path() const { return directory_.file("ddns.sqlite"); }
  std::vector<std::string> owed() {
    std::vector<std::string> out;
    for (const auto& each : registry_.dns_owed()) out.push_back(each.fqdn);
    return out;
  }
  void settle_all() {
    for (const auto& each : registry_.dns_owed()) registry_.dns_settle(each);
  }
  TempDir directory_;
  Registry registry_;
};

TEST_F(RegistryTest, accounts_and_names) {
  EXPECT_FALSE(registry_.add_account("alice", "other"));
  EXPECT_EQ(registry_.token_hash("alice"), "hash");
  EXPECT_FALSE(registry_.token_hash("bob"));
  EXPECT_EQ(registry_.add_name("a.example", "alice"), Registry::AddName::taken);
  EXPECT_EQ(registry_.add_name("b.example", "bob"), Registry::AddName::no_such_account);
  EXPECT_EQ(registry_.find("a.example", now_s)->account, "alice");
  EXPECT_FALSE(registry_.find("b.example", now_s));
}

TEST_F(RegistryTest, DDN_008_a_service_keeps_protocol_address_port_scheme_path_title) {
  Service service = camera_service("198.51.100.5:8001");
  service.protocol = net::Protocol::udp;
  service.expires_at_s = now_s + 60;
  EXPECT_EQ(registry_.put("a.example", service, now_s), Registry::Put::changed);
  Registry reopened = must_open(path());
  const auto found = reopened.find("a.example", now_s)->services;
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].id, "camera");
  EXPECT_EQ(found[0].protocol, net::Protocol::udp);
  EXPECT_EQ(found[0].outside, endpoint("198.51.100.5:8001"));
  EXPECT_EQ(found[0].scheme, "rtsp");
  EXPECT_EQ(found[0].path, "/test.sdp");
  EXPECT_EQ(found[0].title, "video");
  EXPECT_EQ(found[0].expires_at_s, now_s + 60);
  EXPECT_EQ(found[0].updated_at_s, now_s);
}

TEST_F(RegistryTest, the_same_record_again_is_unchanged_and_owes_nothing_but_lives_longer) {
  Service service = web_service();
  service.expires_at_s = now_s + 60;
  registry_.put("a.example", service, now_s);
  settle_all();
  service.expires_at_s = now_s + 120;
  EXPECT_EQ(registry_.put("a.example", service, now_s + 50), Registry::Put::unchanged);
  EXPECT_TRUE(owed().empty());
  EXPECT_EQ(registry_.find("a.example", now_s + 119)->services.size(), 1U);
  EXPECT_EQ(registry_.find("a.example", now_s + 119)->services[0].updated_at_s, now_s);
  service.outside.port = {2001};
  EXPECT_EQ(registry_.put("a.example", service, now_s + 50), Registry::Put::changed);
  EXPECT_EQ(owed(), std::vector<std::string>{"a.example"});
}

TEST_F(RegistryTest, DDN_019_an_expired_service_is_gone_at_once_and_withdrawn_by_the_sweep) {
  Service service = web_service();
  service.expires_at_s = now_s + 60;
  registry_.put("a.example", service, now_s);
  settle_all();
  EXPECT_EQ(registry_.find("a.example", now_s + 59)->services.size(), 1U);
  EXPECT_EQ(registry_.end_expired(now_s + 59), 0U);
  EXPECT_TRUE(registry_.find("a.example", now_s + 60)->services.empty());
  EXPECT_EQ(registry_.end_expired(now_s + 60), 1U);
  EXPECT_EQ(owed(), std::vector<std::string>{"a.example"});
  EXPECT_EQ(registry_.put("a.example", service, now_s + 60), Registry::Put::changed);
}

TEST_F(RegistryTest, DYN_020_an_address_alone_moves_services_and_keeps_their_ports) {
  registry_.put("a.example", web_service("192.0.2.1:2000"), now_s);
  registry_.put("a.example", camera_service("192.0.2.1:8080"), now_s);
  const net::Ipv4 moved = endpoint("192.0.2.9:1").address;
  EXPECT_EQ(registry_.put_address("a.example", moved, now_s + 60, now_s), Registry::Put::changed);
  EXPECT_EQ(registry_.put_address("a.example", moved, now_s + 90, now_s), Registry::Put::unchanged);
  const auto entry = registry_.find("a.example", now_s + 89);
  EXPECT_EQ(entry->address, moved);
  ASSERT_EQ(entry->services.size(), 2U);
  EXPECT_EQ(entry->services[0].outside, endpoint("192.0.2.9:8080"));
  EXPECT_EQ(entry->services[1].outside, endpoint("192.0.2.9:2000"));
  EXPECT_FALSE(registry_.find("a.example", now_s + 90)->address);
}

TEST_F(RegistryTest, a_name_holds_only_so_many_services) {
  Service service = web_service();
  for (size_t i = 0; i < limits::services_per_name_max; ++i) {
    service.id = "s" + std::to_string(i);
    ASSERT_EQ(registry_.put("a.example", service, now_s), Registry::Put::changed);
  }
  EXPECT_EQ(registry_.put("a.example", service, now_s), Registry::Put::unchanged);
  service.id = "one-more";
  EXPECT_EQ(registry_.put("a.example", service, now_s), Registry::Put::too_many);
}

TEST_F(RegistryTest, end_and_end_all) {
  registry_.put("a.example", web_service(), now_s);
  registry_.put("a.example", camera_service(), now_s);
  settle_all();
  EXPECT_TRUE(registry_.end("a.example", "web"));
  EXPECT_FALSE(registry_.end("a.example", "web"));
  EXPECT_EQ(registry_.find("a.example", now_s)->services.size(), 1U);
  EXPECT_TRUE(registry_.end_all("a.example"));
  EXPECT_FALSE(registry_.end_all("a.example"));
  EXPECT_EQ(owed(), std::vector<std::string>{"a.example"});
}

TEST_F(RegistryTest, removing_an_account_owes_the_withdrawal_of_its_names) {
  registry_.put("a.example", web_service(), now_s);
  registry_.set_dns_published("a.example", {"a.example A"});
  settle_all();
  EXPECT_TRUE(registry_.remove_account("alice", now_s));
  EXPECT_FALSE(registry_.remove_account("alice", now_s));
  EXPECT_TRUE(registry_.names().empty());
  EXPECT_EQ(owed(), std::vector<std::string>{"a.example"});
  EXPECT_EQ(registry_.dns_published("a.example"), std::vector<std::string>{"a.example A"});
}

TEST_F(RegistryTest, debts_keep_their_order_and_a_newer_change_keeps_them_open) {
  registry_.add_name("b.example", "alice");
  registry_.put("b.example", web_service(), now_s);
  registry_.put("a.example", web_service(), now_s);
  const auto debts = registry_.dns_owed();
  registry_.put("b.example", web_service("192.0.2.1:2001"), now_s);
  EXPECT_EQ(owed(), (std::vector<std::string>{"b.example", "a.example"}));
  EXPECT_FALSE(registry_.dns_settle(debts[0]));
  EXPECT_TRUE(registry_.dns_settle(debts[1]));
  EXPECT_EQ(owed(), std::vector<std::string>{"b.example"});
}

TEST_F(RegistryTest, owing_all_includes_names_that_are_gone_but_still_published) {
  registry_.put("a.example", web_service(), now_s);
  settle_all();
  registry_.set_dns_published("gone.example", {"gone.example A"});
  registry_.dns_owe_all();
  EXPECT_EQ(owed(), (std::vector<std::string>{"a.example", "gone.example"}));
}

TEST_F(RegistryTest, a_killed_writer_leaves_every_acknowledged_change_and_nothing_half_done) {
  int acknowledged[2];
  ASSERT_EQ(pipe(acknowledged), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    Registry writer = must_open(path());
    for (uint16_t port = 1; port < 60000; ++port) {
      Service service = web_service();
      service.outside.port = {port};
      writer.put("a.example", service, now_s);
      if (write(acknowledged[1], &port, sizeof port) != sizeof port) _exit(1);
    }
    _exit(0);
  }
  close(acknowledged[1]);
  uint16_t last = 0;
  while (last < 20 && read(acknowledged[0], &last, sizeof last) == sizeof last) continue;
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  for (uint16_t next = 0; read(acknowledged[0], &next, sizeof next) == sizeof next;) last = next;
  close(acknowledged[0]);
  Registry reopened = must_open(path());
  const auto services = reopened.find("a.example", now_s)->services;
  ASSERT_EQ(services.size(), 1U);
  const uint16_t port = services[0].outside.port.number;
  EXPECT_GE(port, last);
  EXPECT_LE(port, last + 1);  // committed, but killed before it could say so
  EXPECT_EQ(reopened.dns_owed().front().revision, port);
}

TEST(RegistryOpen, a_damaged_file_is_refused) {
  const TempDir directory;
  const std::string path = directory.file("ddns.sqlite");
  std::ofstream(path) << std::string(8192, 'x');
  const auto registry = Registry::open(path);
  ASSERT_FALSE(registry);
  EXPECT_EQ(registry.error(), "database " + path + ": file is not a database");
}

TEST(RegistryOpen, a_registry_with_a_damaged_page_is_refused) {
  const TempDir directory;
  const std::string path = directory.file("ddns.sqlite");
  {
    Registry registry = must_open(path);
    registry.add_account("alice", "hash");
    Database(path).run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
        "INSERT INTO names(fqdn, account) SELECT 'n' || i || '.example', 'alice' FROM n");
  }
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(0, std::ios::end);
  const auto bytes = static_cast<int64_t>(file.tellp());
  ASSERT_GT(bytes, 65536);
  file.seekp(bytes / 2);
  file << std::string(20000, '\xee');
  file.close();
  const auto registry = Registry::open(path);
  ASSERT_FALSE(registry);
  EXPECT_NE(registry.error().find("damaged"), std::string::npos) << registry.error();
}

TEST(RegistryOpen, a_registry_of_version_1_is_taken_over) {
  const TempDir directory;
  const std::string path = directory.file("ddns.sqlite");
  Database(path).run(R"sql(
CREATE TABLE accounts(name TEXT PRIMARY KEY, token_hash TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE names(fqdn TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts(name)) STRICT, WITHOUT ROWID;
CREATE TABLE services(fqdn TEXT NOT NULL REFERENCES names(fqdn) ON DELETE CASCADE, id TEXT NOT NULL,
  protocol INTEGER NOT NULL, address INTEGER NOT NULL, port INTEGER NOT NULL, scheme TEXT NOT NULL, path TEXT NOT NULL,
  title TEXT NOT NULL, expires_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, PRIMARY KEY(fqdn, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE dns_owed(position INTEGER PRIMARY KEY AUTOINCREMENT, fqdn TEXT NOT NULL UNIQUE, revision INTEGER NOT NULL)
  STRICT;
CREATE TABLE dns_published(fqdn TEXT NOT NULL, record_set TEXT NOT NULL, PRIMARY KEY(fqdn, record_set))
  STRICT, WITHOUT ROWID;
INSERT INTO accounts VALUES('alice', 'hash');
INSERT INTO names VALUES('a.example', 'alice');
INSERT INTO services VALUES('a.example', 'web', 6, 3221225985, 2000, 'http', '', '', 1800000000, 1);
PRAGMA application_id=1346653779; PRAGMA user_version=1)sql");
  Registry registry = must_open(path);
  EXPECT_EQ(uri_of(registry.find("a.example", now_s)->services.at(0)), "http://192.0.2.1:2000");
  EXPECT_EQ(registry.put("a.example", web_service("192.0.2.1:2001"), now_s), Registry::Put::changed);
  Service printer = web_service("192.0.2.1:2001");
  printer.type = "ipp";
  EXPECT_EQ(registry.put("a.example", printer, now_s), Registry::Put::changed);
  EXPECT_EQ(must_open(path).find("a.example", now_s)->services.at(0).type, "ipp");
}

TEST(RegistryOpen, a_newer_registry_is_refused) {
  const TempDir directory;
  const std::string path = directory.file("ddns.sqlite");
  must_open(path);
  Database(path).run("PRAGMA user_version=4");
  const auto registry = Registry::open(path);
  ASSERT_FALSE(registry);
  EXPECT_NE(registry.error().find("newer portolan-ddnsd (schema 4, this one knows 3)"), std::string::npos);
}

TEST(RegistryOpen, another_programs_database_is_refused_and_left_alone) {
  const TempDir directory;
  const std::string path = directory.file("other.sqlite");
  Database(path).run("CREATE TABLE t(x)");
  const auto registry = Registry::open(path);
  ASSERT_FALSE(registry);
  EXPECT_NE(registry.error().find("something else"), std::string::npos);
  Database other(path);
  EXPECT_FALSE(other.query("SELECT 1 FROM sqlite_schema WHERE name = 'accounts'").step());
}

TEST(RegistryOpen, a_place_that_is_not_there_is_named) {
  const auto registry = Registry::open("/nonexistent/ddns.sqlite");
  ASSERT_FALSE(registry);
  EXPECT_EQ(registry.error(), "database /nonexistent/ddns.sqlite: unable to open database file");
}

}  // namespace
}  // namespace portolan::ddnsd::test
