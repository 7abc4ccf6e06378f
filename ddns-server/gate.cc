#include "ddns-server/gate.h"

#include <algorithm>
#include <cstring>
#include <sodium.h>
#include <stdexcept>
#include <vector>

#include "dataplane/net/text.h"
#include "ddns-server/limits.h"
#include "ddns-server/uri.h"

namespace portolan::ddnsd {
namespace {

void start_sodium() {
  if (sodium_init() < 0) throw std::runtime_error("libsodium found no source of randomness");
}

// An IPv6 host picks its address inside its /64 at will: the prefix is what guesses.
std::string source_key(const net::Ipv6& source) {
  return net::to_text(net::is_mapped(source) ? source : net::masked(source, 64));
}

std::optional<std::string_view> after_scheme(std::string_view field, std::string_view scheme) {
  if (lower_case(field.substr(0, scheme.size())) != scheme) return std::nullopt;
  field.remove_prefix(std::min(field.size(), scheme.size()));
  if (!field.starts_with(' ')) return std::nullopt;
  field.remove_prefix(std::min(field.find_first_not_of(' '), field.size()));
  return field;
}

std::optional<Credentials> split(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  if (colon > limits::account_name_bytes_max || text.size() - colon - 1 > limits::token_bytes_max) return std::nullopt;
  return Credentials{lower_case(text.substr(0, colon)), std::string(text.substr(colon + 1))};
}

}  // namespace

RateLimiter::Bucket& RateLimiter::bucket(const std::string& key, int64_t now_s) {
  if (buckets_.size() >= keys_max_ && !buckets_.contains(key)) {
    std::erase_if(buckets_, [&](const auto& each) {
      return each.second.tokens + (now_s - each.second.filled_at_s) / refill_s_ >= burst_;  // remembers nothing
    });
    if (buckets_.size() >= keys_max_) buckets_.erase(buckets_.begin());
  }
  Bucket& found = buckets_.try_emplace(key, Bucket{burst_, now_s}).first->second;
  const int64_t earned = std::max<int64_t>(0, (now_s - found.filled_at_s) / refill_s_);
  found.tokens = std::min(burst_, found.tokens + earned);
  found.filled_at_s += earned * refill_s_;
  return found;
}

bool RateLimiter::take(const std::string& key, int64_t now_s) {
  Bucket& found = bucket(key, now_s);
  if (found.tokens == 0) return false;
  --found.tokens;
  return true;
}

void RateLimiter::give_back(const std::string& key, int64_t now_s) {
  Bucket& found = bucket(key, now_s);
  found.tokens = std::min(burst_, found.tokens + 1);
}

std::optional<Credentials> parse_basic(std::string_view authorization) {
  const auto base64 = after_scheme(authorization, "basic");
  if (!base64 || base64->size() > 1024) return std::nullopt;
  std::string text(base64->size(), '\0');
  size_t bytes = 0;
  if (sodium_base642bin(reinterpret_cast<unsigned char*>(text.data()), text.size(), base64->data(), base64->size(),
                        nullptr, &bytes, nullptr, sodium_base64_VARIANT_ORIGINAL) != 0)
    return std::nullopt;
  text.resize(bytes);
  return split(text);
}

std::optional<Credentials> parse_bearer(std::string_view authorization) {
  const auto token = after_scheme(authorization, "bearer");
  return token ? split(*token) : std::nullopt;
}

std::string hash_token(std::string_view token, Strength strength) {
  start_sodium();
  const bool least = strength == Strength::least;
  std::string out(crypto_pwhash_STRBYTES, '\0');
  if (crypto_pwhash_str_alg(out.data(), token.data(), token.size(),
                            least ? crypto_pwhash_OPSLIMIT_MIN : crypto_pwhash_OPSLIMIT_INTERACTIVE,
                            least ? crypto_pwhash_MEMLIMIT_MIN : crypto_pwhash_MEMLIMIT_INTERACTIVE,
                            crypto_pwhash_ALG_ARGON2ID13) != 0)
    throw std::runtime_error("not enough memory to hash a token (argon2id needs 64 MiB)");
  out.resize(std::strlen(out.c_str()));
  return out;
}

std::string new_token() {
  start_sodium();
  std::array<uint8_t, 32> random{};
  randombytes_buf(random.data(), random.size());
  std::string out(sodium_base64_ENCODED_LEN(random.size(), sodium_base64_VARIANT_URLSAFE_NO_PADDING), '\0');
  sodium_bin2base64(out.data(), out.size(), random.data(), random.size(), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
  out.resize(std::strlen(out.c_str()));
  return out;
}

const std::string& decoy_hash() {
  static const std::string hash = hash_token(new_token());
  return hash;
}

bool is_right(const Verification& verification) {
  return crypto_pwhash_str_verify(verification.token_hash.c_str(), verification.token.data(),
                                  verification.token.size()) == 0;
}

size_t Gate::DigestHash::operator()(const Digest& digest) const {
  size_t out = 0;
  std::memcpy(&out, digest.data(), sizeof out);
  return out;
}

Gate::Gate() : failures_(limits::failures_burst, limits::failure_refill_s, limits::rate_limiter_sources_max) {
  start_sodium();
  randombytes_buf(key_.data(), key_.size());
}

Gate::Digest Gate::digest_of(const Verification& verification) const {
  crypto_generichash_state state;
  crypto_generichash_init(&state, key_.data(), key_.size(), Digest{}.size());
  // The stored hash is part of it: a token that was changed or an account made anew is verified anew.
  for (const std::string* part : {&verification.account, &verification.token_hash, &verification.token}) {
    const uint64_t bytes = part->size();
    crypto_generichash_update(&state, reinterpret_cast<const uint8_t*>(&bytes), sizeof bytes);
    crypto_generichash_update(&state, reinterpret_cast<const uint8_t*>(part->data()), part->size());
  }
  Digest out;
  crypto_generichash_final(&state, out.data(), out.size());
  return out;
}

Admission Gate::admit(const Verification& verification, int64_t now_s) {
  const std::string source = source_key(verification.source);
  const auto found = verdicts_.find(digest_of(verification));
  const bool known = found != verdicts_.end() && found->second.expires_at_s > now_s;
  if (known && found->second.right) return Admission::right;  // even from where somebody else is guessing
  if (!failures_.take(source, now_s)) return Admission::throttled;
  // Of an unknown one the attempt is held until settled, so that no source can queue more work than its burst.
  return known ? Admission::wrong : Admission::unknown;
}

void Gate::settle(const Verification& verification, bool right, int64_t now_s) {
  failures_.give_back(source_key(verification.source), now_s);
  if (verdicts_.size() >= limits::verdicts_max) {
    std::erase_if(verdicts_, [&](const auto& each) { return each.second.expires_at_s <= now_s; });
    if (verdicts_.size() >= limits::verdicts_max) verdicts_.clear();
  }
  verdicts_[digest_of(verification)] = {right, now_s + (right ? limits::verdict_right_s : limits::verdict_wrong_s)};
}

}  // namespace portolan::ddnsd
