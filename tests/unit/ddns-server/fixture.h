// A registry in a directory of its own with two accounts, and a site over it whose clock is a number the test turns.
#pragma once

#include <filesystem>
#include <gtest/gtest.h>
#include <optional>
#include <string>

#include "ddns-server/authority.h"
#include "ddns-server/config.h"
#include "ddns-server/gate.h"
#include "ddns-server/message.h"
#include "ddns-server/registry.h"
#include "ddns-server/site.h"

namespace portolan::ddnsd::test {

class TempDir {
  std::filesystem::path path_;

 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }
};

Registry must_open(const std::string& path);
net::Endpoint endpoint(const std::string& text);  // "192.0.2.1:2000"
Service web_service(const std::string& outside = "192.0.2.1:2000");
Service camera_service(const std::string& outside = "192.0.2.1:8080");
std::string basic(const std::string& account, const std::string& token);
std::string header(const Reply& reply, const std::string& name);

// Accounts alice and bob (tokens as below) own alice.example, cam.alice.example and bob.example.
class SiteTest : public ::testing::Test {
 protected:
  explicit SiteTest(bool with_authority = false);

  Reply answer(const Request& request);  // verifies tokens on the spot
  Reply get(const std::string& host, const std::string& target);
  std::vector<Service> services(const std::string& fqdn) { return registry_.find(fqdn, now_s_)->services; }

  static constexpr const char* alice_token = "alice-token-of-16-octets";
  static constexpr const char* bob_token = "bob-token-of-16-octets";

  TempDir directory_;
  Config config_;
  Registry registry_;
  int changes_ = 0;        // how often the publisher was rung
  int verifications_ = 0;  // how often argon2id had to run
  int64_t now_s_ = 1'700'000'000;
  std::optional<Authority> authority_;  // if asked for
  Site site_;
};

}  // namespace portolan::ddnsd::test
