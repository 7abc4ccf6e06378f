#include "ddns-server/gate.h"

#include <gtest/gtest.h>

#include "dataplane/net/text.h"
#include "ddns-server/limits.h"
#include "tests/unit/ddns-server/fixture.h"

namespace portolan::ddnsd::test {
namespace {

class GateTest : public ::testing::Test {
 protected:
  Admission attempt(const std::string& token, const std::string& source = "2001:db8::1") {
    Verification verification{*net::parse_ipv6(source), "alice", token, hash_};
    Admission out = gate_.admit(verification, now_s_);
    if (out != Admission::unknown) return out;
    ++verified_;
    gate_.settle(verification, is_right(verification), now_s_);
    return gate_.admit(verification, now_s_);
  }
  Gate gate_;
  std::string hash_ = hash_token("right", Strength::least);
  int64_t now_s_ = 1'700'000'000;
  int verified_ = 0;
};

TEST_F(GateTest, a_verdict_is_cached_for_a_while) {
  EXPECT_EQ(attempt("right"), Admission::right);
  EXPECT_EQ(attempt("right"), Admission::right);
  EXPECT_EQ(attempt("wrong"), Admission::wrong);
  EXPECT_EQ(attempt("wrong"), Admission::wrong);
  EXPECT_EQ(verified_, 2);
  now_s_ += limits::verdict_right_s;
  EXPECT_EQ(attempt("right"), Admission::right);
  EXPECT_EQ(verified_, 3);
}

TEST_F(GateTest, a_new_token_hash_is_verified_anew) {
  EXPECT_EQ(attempt("right"), Admission::right);
  hash_ = hash_token("other", Strength::least);
  EXPECT_EQ(attempt("right"), Admission::wrong);
}

TEST_F(GateTest, DDN_017_guessing_is_limited_per_source_and_forgiven_in_time) {
  EXPECT_EQ(attempt("right"), Admission::right);
  for (unsigned i = 0; i < limits::failures_burst; ++i)
    EXPECT_EQ(attempt("wrong" + std::to_string(i)), Admission::wrong);
  const int verified = verified_;
  EXPECT_EQ(attempt("one more"), Admission::throttled);
  EXPECT_EQ(attempt("one more", "2001:db8::2"), Admission::throttled);  // the same /64
  EXPECT_EQ(attempt("right"), Admission::right);                        // known to be right: not slowed down
  EXPECT_EQ(verified_, verified);
  EXPECT_EQ(attempt("one more", "2001:db8:0:1::1"), Admission::wrong);
  now_s_ += limits::failure_refill_s;
  EXPECT_EQ(attempt("yet another"), Admission::wrong);
  EXPECT_EQ(attempt("and another"), Admission::throttled);
}

TEST(RateLimiter, holds_only_so_many_keys) {
  RateLimiter limiter(2, 10, 2);
  EXPECT_TRUE(limiter.take("a", 0));
  EXPECT_TRUE(limiter.take("a", 0));
  EXPECT_FALSE(limiter.take("a", 9));
  EXPECT_TRUE(limiter.take("b", 9));
  EXPECT_TRUE(limiter.take("c", 19));  // b is full again and makes room, a is not
  EXPECT_TRUE(limiter.take("a", 19));
  EXPECT_FALSE(limiter.take("a", 19));
}

TEST(Credentials, DYN_001_basic_and_bearer) {
  const auto given = parse_basic(basic("Alice", "to:ken"));
  ASSERT_TRUE(given);
  EXPECT_EQ(given->account, "alice");
  EXPECT_EQ(given->token, "to:ken");
  EXPECT_EQ(parse_bearer("bearer  alice:t")->token, "t");
  for (const char* bad : {"", "Basic", "Basic ", "Basic !!!", "Basic YQ==", "Bearer alice:t", "Basic OmE="})
    EXPECT_FALSE(parse_basic(bad)) << bad;
  EXPECT_FALSE(parse_basic(basic(std::string(65, 'a'), "t")));
  EXPECT_FALSE(parse_basic(basic("alice", std::string(257, 't'))));
}

TEST(Token, is_new_each_time_and_hashed_by_argon2id) {
  EXPECT_NE(new_token(), new_token());
  EXPECT_EQ(new_token().size(), 43U);  // 256 bits in base64url
  const std::string hash = hash_token("token", Strength::least);
  EXPECT_TRUE(hash.starts_with("$argon2id$"));
  EXPECT_TRUE(is_right({{}, "", "token", hash}));
  EXPECT_FALSE(is_right({{}, "", "Token", hash}));
}

}  // namespace
}  // namespace portolan::ddnsd::test
