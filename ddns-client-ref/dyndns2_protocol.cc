// dyndns2 as dyn.com spoke it and everybody copied, with port=, proto=, service= and more for servers that know them
// (DYN-020). A client that does not obey the return codes gets its account blocked: rows DYN-003 and DYN-004.
#include <array>

#include "dataplane/net/text.h"
#include "ddns-client-ref/update_method.h"

namespace portolan::ddns {
namespace {

struct ReturnCode {
  std::string_view word;
  Outcome::Kind kind;
  bool whole_account;
  std::string_view help;
};
using Kind = Outcome::Kind;
constexpr std::array return_codes = {
    ReturnCode{"good", Kind::done, false, "updated"},
    ReturnCode{"nochg", Kind::done, false, "nothing to change"},
    ReturnCode{"badauth", Kind::stop, true, "account or token is wrong: correct ddns.account, ddns.token"},
    ReturnCode{"!donator", Kind::stop, true, "the account lacks the feature"},
    ReturnCode{"!active", Kind::stop, true, "the account is not active"},
    ReturnCode{"!yours", Kind::stop, false, "the name belongs to another account"},
    ReturnCode{"notfqdn", Kind::stop, false, "the name is not a full domain name"},
    ReturnCode{"nohost", Kind::stop, false, "the server has no such name in this account"},
    ReturnCode{"numhost", Kind::stop, false, "too many names in one update"},
    ReturnCode{"abuse", Kind::stop, true, "the name or account is blocked for abuse"},
    ReturnCode{"badagent", Kind::stop, true, "the server refuses this client"},
    ReturnCode{"badsys", Kind::stop, true, "the server does not know this request"},
    ReturnCode{"dnserr", Kind::wait, false, "the server's DNS failed"},
    ReturnCode{"911", Kind::wait, true, "the server has a problem"},
};

class Dyndns2Protocol final : public UpdateProtocol {
  Url server_;
  std::string authorization_;
  bool extensions_;

 public:
  Dyndns2Protocol(const Url& server, const Credentials& credentials, bool extensions)
      : server_(server),
        authorization_(basic_credentials(credentials.account, credentials.token)),
        extensions_(extensions) {}

  HttpRequest registration(const Registration& record) const override {
    if (!extensions_) return request(record, "");
    return request(record,
                   "&port=" + std::to_string(uint16_t{record.outside.port.number}) +
                       "&proto=" + net::to_text(record.protocol) + "&service=" + percent_encoded(record.service) +
                       "&scheme=" + percent_encoded(record.scheme) + "&path=" + percent_encoded(record.path) +
                       "&title=" + percent_encoded(record.title) + "&lifetime=" + std::to_string(record.lifetime_s) +
                       (record.type.empty() ? "" : "&type=" + percent_encoded(record.type)));
  }

  // The address is named here too: a server that does not know `offline` must not take this request's source.
  std::optional<HttpRequest> withdrawal(const Registration& record) const override {
    if (!extensions_) return std::nullopt;
    return request(record, "&service=" + percent_encoded(record.service) + "&offline=yes");
  }

  Outcome judge(const HttpResponse& answer, bool) const override {
    const std::string_view body = answer.body;
    const std::string_view word = body.substr(0, body.find_first_of(" \t\r\n"));
    for (const auto& code : return_codes) {
      if (word != code.word) continue;
      // A word of success counts with a 2xx only; an error is meant, whatever the status (DYN-005).
      if (code.kind == Kind::done && answer.status / 100 != 2) break;
      return {code.kind, std::string(code.word) + ": " + std::string(code.help), code.whole_account,
              code.kind == Kind::wait ? server_trouble_wait : Duration{}};
    }
    if (answer.status == 401 || answer.status == 403)
      return {Kind::stop, "HTTP " + std::to_string(answer.status) + ": the server refuses the credentials", true};
    if (auto general = judge_status(answer)) return *general;
    return {Kind::wait, "HTTP " + std::to_string(answer.status) + ": not a dyndns2 answer", true, server_trouble_wait};
  }

  Abilities abilities() const override {
    return {.withdraws = extensions_, .carries_port = extensions_, .carries_lifetime = extensions_};
  }

 private:
  HttpRequest request(const Registration& record, const std::string& more) const {
    return {"GET",
            server_.base + "nic/update?hostname=" + percent_encoded(record.name) +
                "&myip=" + net::to_text(record.outside.address) + more,
            {{"Authorization", authorization_}},
            {}};
  }
};

}  // namespace

std::unique_ptr<UpdateProtocol> make_dyndns2_protocol(const Url& server, const Credentials& credentials,
                                                      bool extensions) {
  return std::make_unique<Dyndns2Protocol>(server, credentials, extensions);
}

}  // namespace portolan::ddns
