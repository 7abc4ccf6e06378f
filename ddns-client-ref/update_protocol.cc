// What every update protocol over HTTP shares.
#include "ddns-client-ref/update_protocol.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace portolan::ddns {

std::string explanation(const HttpResponse& answer) {
  std::string text = "HTTP " + std::to_string(answer.status);
  const auto body = nlohmann::json::parse(answer.body, nullptr, false);
  std::string said;
  if (body.is_object() && body.contains("error") && body["error"].is_string())
    said = body["error"].get<std::string>();
  else
    said = answer.body.substr(0, 120);
  std::ranges::replace_if(
      said, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return said.empty() ? text : text + ": " + said;
}

std::optional<Outcome> judge_status(const HttpResponse& answer) {
  const std::string text = explanation(answer);
  if (answer.status == 429 || answer.status == 503) {
    if (!answer.retry_after_s) return Outcome{Outcome::Kind::retry, text};
    const auto wait = std::min<std::chrono::seconds>(std::chrono::seconds(*answer.retry_after_s), std::chrono::days(1));
    return Outcome{Outcome::Kind::wait, text, true, wait};
  }
  if (answer.status == 408 || answer.status >= 500) return Outcome{Outcome::Kind::retry, text};
  // Credentials are for the configured server: no redirection is followed.
  if (answer.status >= 300 && answer.status < 400)
    return Outcome{Outcome::Kind::wait, text + " (redirections are not followed: correct ddns.url)", true,
                   server_trouble_wait};
  return std::nullopt;
}

}  // namespace portolan::ddns
