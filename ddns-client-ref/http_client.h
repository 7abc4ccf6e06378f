// One HTTP request at a time per call, over TCP or TLS, each ended by a deadline. The only part that includes
// Boost.Beast is its .cc file.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "ddns-client-ref/boot_time.h"
#include "ddns-client-ref/http_message.h"

namespace boost::asio {
class io_context;
}

namespace portolan::ddns {

struct HttpSettings {
  Duration deadline = std::chrono::seconds(15);  // from the look-up of the name to the last octet
  size_t body_bytes_max = 64 * 1024;
  std::string ca_file;  // PEM; empty: the system's certificates
};

class HttpClient {
 public:
  using Done = std::function<void(const HttpResult&)>;  // called once, from the io_context, never from send()
  static net::Result<HttpClient, std::string> make(boost::asio::io_context& io, const Url& server,
                                                   HttpSettings settings);
  void send(const HttpRequest& request, Done done);
  // getaddrinfo cannot be interrupted: while this is true, the io_context's destructor would wait for a dead resolver.
  [[nodiscard]] bool resolving() const;

 private:
  struct Shared;
  explicit HttpClient(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  std::shared_ptr<Shared> shared_;
};

}  // namespace portolan::ddns
