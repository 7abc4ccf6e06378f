#include "dataplane/net/tls_files.h"

#include <sys/stat.h>

namespace portolan::net {

namespace {

timespec changed_at(const std::string& file) {
  struct stat found {};
  return stat(file.c_str(), &found) == 0 ? found.st_mtim : timespec{};
}

bool same(const timespec& a, const timespec& b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

}  // namespace

TlsFiles::Stamp TlsFiles::stamp() const { return {changed_at(certificate_), changed_at(key_)}; }

Result<TlsFiles::Context, std::string> TlsFiles::read() const {
  namespace ssl = boost::asio::ssl;
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  context->set_options(ssl::context::default_workarounds | ssl::context::no_sslv3 | ssl::context::no_tlsv1 |
                       ssl::context::no_tlsv1_1);  // RFC 8996
  boost::system::error_code error;
  context->use_certificate_chain_file(certificate_, error);
  if (error)
    return tl::unexpected("certificate " + certificate_ + " cannot be used: " + error.message() +
                          "; it must be a readable PEM file, the server's certificate first");
  context->use_private_key_file(key_, ssl::context::pem, error);
  if (error)
    return tl::unexpected("key " + key_ + " cannot be used: " + error.message() +
                          "; it must be the readable PEM key of the certificate");
  return context;
}

Result<TlsFiles, std::string> TlsFiles::load(std::string certificate, std::string key, Say say) {
  TlsFiles files(std::move(certificate), std::move(key), std::move(say));
  files.stamp_ = files.stamp();
  auto context = files.read();
  if (!context) return tl::unexpected(context.error());
  files.context_ = std::move(*context);
  return files;
}

TlsFiles::Context TlsFiles::current() {
  const Stamp now = stamp();
  if (same(now.first, stamp_.first) && same(now.second, stamp_.second)) return context_;
  stamp_ = now;
  if (auto context = read()) {
    context_ = std::move(*context);
    say_("certificate " + certificate_ + " taken over");
  } else {
    say_(context.error() + "; the one before stays in use");
  }
  return context_;
}

}  // namespace portolan::net
