// One interface for every way to tell a DDNS server over HTTP. A protocol turns registrations into requests and judges
// answers; it keeps no state but its credentials, so the updater decides alone when something is sent.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "ddns-client-ref/boot_time.h"
#include "ddns-client-ref/http_message.h"
#include "ddns-client-ref/registration.h"

namespace portolan::ddns {

inline constexpr Duration server_trouble_wait = std::chrono::minutes(30);  // DYN-004: what 911 and dnserr ask for

struct Outcome {
  enum class Kind : uint8_t {
    done,     // acknowledged
    stop,     // only the user can mend it: say nothing more until the configuration changes
    dislike,  // this very record is refused: not again before `wait`, but another one may be tried
    wait,     // not before `wait`
    retry,    // soon, backing off
  };
  Kind kind{};
  std::string text;
  bool whole_account = false;  // stop, wait: holds for every service, not for this one alone
  Duration wait{};
};

struct Abilities;  // update_method.h

class UpdateProtocol {
 public:
  virtual ~UpdateProtocol() = default;
  [[nodiscard]] virtual HttpRequest registration(const Registration& record) const = 0;
  // Empty: the protocol cannot withdraw.
  [[nodiscard]] virtual std::optional<HttpRequest> withdrawal(const Registration& record) const = 0;
  [[nodiscard]] virtual Outcome judge(const HttpResponse& answer, bool withdrawal) const = 0;
  [[nodiscard]] virtual Abilities abilities() const = 0;
};

struct Credentials {
  std::string account, token;
};
std::unique_ptr<UpdateProtocol> make_json_protocol(const Url& server, const Credentials& credentials);
// Without extensions as any dyndns2 server takes it: an address and no port, and nothing can be withdrawn.
std::unique_ptr<UpdateProtocol> make_dyndns2_protocol(const Url& server, const Credentials& credentials,
                                                      bool extensions = true);

// What HTTP itself says, where a protocol's own words have no say: 408, 429, 5xx and redirections.
std::optional<Outcome> judge_status(const HttpResponse& answer);
// The status and the server's own words, {"error": "..."} or the start of the body, on one line.
std::string explanation(const HttpResponse& answer);

}  // namespace portolan::ddns
