// Updates over HTTP: a protocol's words, carried by the HTTP client.
#include "ddns-client-ref/http_client.h"
#include "ddns-client-ref/update_method.h"

namespace portolan::ddns {
namespace {

class HttpMethod final : public UpdateMethod {
  HttpClient client_;
  std::unique_ptr<UpdateProtocol> protocol_;

 public:
  HttpMethod(HttpClient client, std::unique_ptr<UpdateProtocol> protocol)
      : client_(std::move(client)), protocol_(std::move(protocol)) {}

  void send(const Update& update, Done done) override {
    const auto request =
        update.withdrawal ? protocol_->withdrawal(update.record) : protocol_->registration(update.record);
    client_.send(request.value(), [this, withdrawal = update.withdrawal, done = std::move(done)](const HttpResult& r) {
      done(r ? protocol_->judge(*r, withdrawal) : Outcome{Outcome::Kind::retry, r.error()});
    });
  }
  Abilities abilities() const override { return protocol_->abilities(); }
  bool blocked() const override { return client_.resolving(); }
};

}  // namespace

net::Result<std::unique_ptr<UpdateMethod>, std::string> make_http_method(boost::asio::io_context& io, const Url& server,
                                                                         const std::string& ca_file,
                                                                         std::unique_ptr<UpdateProtocol> protocol) {
  auto client = HttpClient::make(io, server, {.ca_file = ca_file});
  if (!client) return tl::unexpected("ddns.ca-file: " + client.error());
  return std::make_unique<HttpMethod>(std::move(*client), std::move(protocol));
}

}  // namespace portolan::ddns
