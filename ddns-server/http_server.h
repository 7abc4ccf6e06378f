// HTTP on sockets: bounded, asynchronous, one thread. It turns bytes into Requests and Replies into bytes and knows
// nothing of names. Tokens are verified on a thread of their own, so that a redirect never waits for argon2id.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "ddns-server/config.h"
#include "ddns-server/limits.h"
#include "ddns-server/site.h"

namespace portolan::ddnsd {

class HttpServer {
 public:
  struct Options {
    std::chrono::milliseconds request_timeout = limits::request_timeout;
    std::chrono::milliseconds reply_timeout = limits::reply_timeout;
  };
  // Listens from here on. Throws std::runtime_error naming the address that cannot be had.
  HttpServer(const Config& config, Site& site, const Options& options);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  void every_second(std::function<void(int64_t now_s)> task);  // on the server's thread
  void run();                                                  // until stop(), SIGTERM or SIGINT
  void stop();                                                 // from any thread
  [[nodiscard]] uint16_t port(size_t listener) const;          // the one the kernel chose, if 0 was asked for

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace portolan::ddnsd
