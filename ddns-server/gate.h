// Who may change a name. argon2id is slow on purpose, so verdicts are cached and the work itself is left to another
// thread: admit() never blocks, it answers `unknown` with the work to be done. Guessing is limited per source address.
// Owned by the HTTP thread; only is_right() may run elsewhere.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "dataplane/net/types.h"

namespace portolan::ddnsd {

// Token buckets by key, bounded: `burst` at once, one more every `refill_s`.
class RateLimiter {
  struct Bucket {
    int64_t tokens = 0, filled_at_s = 0;
  };
  std::unordered_map<std::string, Bucket> buckets_;
  int64_t burst_, refill_s_;
  size_t keys_max_;

  Bucket& bucket(const std::string& key, int64_t now_s);

 public:
  RateLimiter(unsigned burst, unsigned refill_s, size_t keys_max)
      : burst_(burst), refill_s_(refill_s), keys_max_(keys_max) {}
  bool take(const std::string& key, int64_t now_s);  // false: none left
  void give_back(const std::string& key, int64_t now_s);
};

struct Credentials {
  std::string account, token;
};
std::optional<Credentials> parse_basic(std::string_view authorization);   // RFC 7617
std::optional<Credentials> parse_bearer(std::string_view authorization);  // RFC 6750, token "account:token"

enum class Strength : uint8_t { normal, least };  // least: for tests, which hash by the dozen
std::string hash_token(std::string_view token, Strength strength = Strength::normal);
std::string new_token();  // 256 random bits as text

// A token to be compared with its hash: everything is_right() needs, so that any thread may do it.
struct Verification {
  net::Ipv6 source;
  std::string account, token, token_hash;
};
bool is_right(const Verification& verification);

enum class Admission : uint8_t { right, wrong, unknown, throttled };

class Gate {
  struct Verdict {
    bool right = false;
    int64_t expires_at_s = 0;
  };
  using Digest = std::array<uint8_t, 32>;
  struct DigestHash {
    size_t operator()(const Digest& digest) const;
  };
  std::array<uint8_t, 32> key_;  // per process, so that a core dump does not yield comparable token hashes
  std::unordered_map<Digest, Verdict, DigestHash> verdicts_;
  RateLimiter failures_;

  [[nodiscard]] Digest digest_of(const Verification& verification) const;

 public:
  Gate();
  // For an unknown account pass the hash of nothing in particular (decoy_hash): it costs the same time.
  Admission admit(const Verification& verification, int64_t now_s);
  // What is_right() said of an admission that was `unknown`; asking admit() again then gives the answer.
  void settle(const Verification& verification, bool right, int64_t now_s);
};
const std::string& decoy_hash();

}  // namespace portolan::ddnsd
