// A server's certificate and key from files, as one TLS context for each state of the files: a renewed certificate is
// taken over by the next connection without a restart, a broken one is said once and the old one stays. A library of
// its own, portolan_tls, so that portolan_net still links nothing. One thread.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "dataplane/net/result.h"

namespace portolan::net {

class TlsFiles {
 public:
  using Context = std::shared_ptr<boost::asio::ssl::context>;
  using Say = std::function<void(std::string_view)>;

  // PEM files; the certificate's may hold the chain. The error names the file and what is wrong with it.
  static Result<TlsFiles, std::string> load(std::string certificate, std::string key, Say say);
  // For the next connection; those there are keep theirs. Looks at the files' times.
  Context current();

 private:
  using Stamp = std::pair<timespec, timespec>;
  TlsFiles(std::string certificate, std::string key, Say say)
      : certificate_(std::move(certificate)), key_(std::move(key)), say_(std::move(say)) {}
  [[nodiscard]] Stamp stamp() const;
  [[nodiscard]] Result<Context, std::string> read() const;

  std::string certificate_, key_;
  Say say_;
  Stamp stamp_{};
  Context context_;
};

}  // namespace portolan::net
