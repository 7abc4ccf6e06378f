#include "tests/unit/ddns-server/fixture.h"

#include <algorithm>
#include <sodium.h>
#include <stdexcept>
#include <unistd.h>

#include "dataplane/net/text.h"

namespace portolan::ddnsd::test {
namespace {

Config test_config(const TempDir& directory) {
  Config out;
  out.hostname = "ddns.example";
  out.database = directory.file("ddns.sqlite");
  out.allow_address = {*net::parse_ipv4_prefix("192.0.2.0/24"), *net::parse_ipv4_prefix("198.51.100.0/24")};
  return out;
}

}  // namespace

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "portolan-ddnsd-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  path_ = pattern;
}

TempDir::~TempDir() { std::filesystem::remove_all(path_); }

Registry must_open(const std::string& path) {
  auto registry = Registry::open(path);
  if (!registry) throw std::runtime_error(registry.error());
  return std::move(*registry);
}

net::Endpoint endpoint(const std::string& text) { return net::parse_endpoint(text).value(); }

Service web_service(const std::string& outside) {
  Service out;
  out.id = "web";
  out.outside = endpoint(outside);
  out.scheme = "http";
  out.title = "web server";
  out.expires_at_s = INT64_MAX;
  return out;
}

Service camera_service(const std::string& outside) {
  Service out;
  out.id = "camera";
  out.outside = endpoint(outside);
  out.scheme = "rtsp";
  out.path = "/test.sdp";
  out.title = "video";
  out.expires_at_s = INT64_MAX;
  return out;
}

std::string basic(const std::string& account, const std::string& token) {
  const std::string plain = account + ":" + token;
  std::string out(sodium_base64_encoded_len(plain.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(out.data(), out.size(), reinterpret_cast<const unsigned char*>(plain.data()), plain.size(),
                    sodium_base64_VARIANT_ORIGINAL);
  out.pop_back();  // the final zero
  return "Basic " + out;
}

std::string header(const Reply& reply, const std::string& name) {
  const auto found = std::ranges::find(reply.headers, name, &std::pair<std::string, std::string>::first);
  return found == reply.headers.end() ? "" : found->second;
}

SiteTest::SiteTest(bool with_authority)
    : config_(test_config(directory_)),
      registry_(must_open(config_.database)),
      authority_(with_authority
                     ? std::optional<Authority>(std::in_place, must_open(config_.database), [this] { ++changes_; })
                     : std::nullopt),
      site_(
          config_, registry_, [this] { ++changes_; }, authority_ ? &*authority_ : nullptr) {
  registry_.add_account("alice", hash_token(alice_token, Strength::least));
  registry_.add_account("bob", hash_token(bob_token, Strength::least));
  registry_.add_name("alice.example", "alice");
  registry_.add_name("cam.alice.example", "alice");
  registry_.add_name("bob.example", "bob");
}

Reply SiteTest::answer(const Request& asked) {
  Request request = asked;
  auto outcome = site_.handle(request, now_s_);
  if (const auto* verification = std::get_if<Verification>(&outcome)) {
    ++verifications_;
    site_.settle(*verification, is_right(*verification), now_s_);
    outcome = site_.handle(request, now_s_);
  }
  for (; std::get<Reply>(outcome).is_again; outcome = site_.handle(request, now_s_)) ++request.tries;
  return std::get<Reply>(outcome);
}

Reply SiteTest::get(const std::string& host, const std::string& target) {
  Request request;
  request.hosts = {host};
  request.target = target;
  return answer(request);
}

}  // namespace portolan::ddnsd::test
