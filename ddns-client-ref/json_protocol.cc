// Portolan's own API: PUT and DELETE of /api/v1/names/{fqdn}/services/{id}.
#include <nlohmann/json.hpp>

#include "dataplane/net/text.h"
#include "ddns-client-ref/update_method.h"

namespace portolan::ddns {
namespace {

class JsonProtocol final : public UpdateProtocol {
  Url server_;
  std::string authorization_;

 public:
  JsonProtocol(const Url& server, const Credentials& credentials)
      : server_(server), authorization_("Bearer " + credentials.account + ":" + credentials.token) {}

  HttpRequest registration(const Registration& record) const override {
    nlohmann::ordered_json body = {
        {"protocol", net::to_text(record.protocol)},
        {"address", net::to_text(record.outside.address)},
        {"port", uint16_t{record.outside.port.number}},
        {"scheme", record.scheme},
        {"path", record.path},
        {"title", record.title},
        {"lifetime_s", record.lifetime_s},
    };
    if (!record.type.empty()) body["type"] = record.type;
    return {"PUT",
            target(record),
            {{"Authorization", authorization_}, {"Content-Type", "application/json"}, {"Accept", "application/json"}},
            body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)};
  }

  std::optional<HttpRequest> withdrawal(const Registration& record) const override {
    return HttpRequest{"DELETE", target(record), {{"Authorization", authorization_}}, {}};
  }

  Outcome judge(const HttpResponse& answer, bool withdrawal) const override {
    if (answer.status >= 200 && answer.status < 300) return {Outcome::Kind::done, explanation(answer)};
    if (auto general = judge_status(answer)) return *general;
    switch (answer.status) {
      case 404:
        if (withdrawal) return {Outcome::Kind::done, "already gone"};
        return {Outcome::Kind::stop, explanation(answer)};
      case 401:
        return {Outcome::Kind::stop, explanation(answer), true};
      case 403:
        return {Outcome::Kind::stop, explanation(answer)};
      default:  // 400, 409, 422: this tuple does not please the server; it may once its own picture is newer (DDN-016)
        return {Outcome::Kind::dislike, explanation(answer), false, server_trouble_wait};
    }
  }

  Abilities abilities() const override { return {}; }

 private:
  std::string target(const Registration& record) const {
    return server_.base + "api/v1/names/" + percent_encoded(record.name) + "/services/" +
           percent_encoded(record.service);
  }
};

}  // namespace

std::unique_ptr<UpdateProtocol> make_json_protocol(const Url& server, const Credentials& credentials) {
  return std::make_unique<JsonProtocol>(server, credentials);
}

}  // namespace portolan::ddns
