// A real BIND or Knot on a loopback port of its own, with one zone and one TSIG key, for as long as the object lives.
#pragma once

#include <string>
#include <sys/types.h>

#include "ddns-server/config.h"
#include "tests/unit/ddns-server/fixture.h"

namespace portolan::ddnsd::test {

class Named {
 public:
  enum class Kind : uint8_t { bind, knot };

 private:
  void write_configuration(const std::string& key) const;

  const Kind kind_;
  TempDir directory_;
  TsigKey key_;
  uint16_t port_ = 0;
  pid_t pid_ = -1;

 public:
  // Throws if a program is not there, or the server does not come up.
  explicit Named(Kind kind = Kind::bind, const std::string& algorithm = "hmac-sha256");
  ~Named();
  Named(const Named&) = delete;
  Named& operator=(const Named&) = delete;

  void start();
  void stop();                                  // its zone stays
  void forget();                                // stopped: its zone is as it was at first
  void update(const std::string& lines) const;  // as somebody with nsupdate and the key would

  [[nodiscard]] DnsConfig config(DnsConfig::Mode mode) const;
  // The answer's data, one record a line, sorted; "" for none.
  [[nodiscard]] std::string dig(const std::string& name, const std::string& type) const;
  // Runs dig until it answers `wanted` or a generous bound is over; returns the last answer.
  [[nodiscard]] std::string dig_until(const std::string& name, const std::string& type,
                                      const std::string& wanted) const;
};

}  // namespace portolan::ddnsd::test
