// Sends what nobody asked for (RFC 6887 §14): each message a few times, the gaps growing, and never more a second than
// the network and the clients should bear. Owner: the control thread; pure but for its queue.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "pcp-server/server.h"

namespace portolan::pcp {

class Announcer {
 public:
  static constexpr uint64_t first_gap_ms = 250;     // doubled each time
  static constexpr size_t waiting_max = 1'000'000;  // one for each mapping; more are left out

  void add(std::vector<Notice> notices, uint64_t now_ms) {
    for (Notice& notice : notices) {
      if (due_.size() >= waiting_max) break;
      due_.emplace(now_ms, Waiting{std::move(notice), 0, 0});
    }
  }

  // What is due, at most `per_s` in a second. The epoch in it is that of now; a mapping whose client has renewed it
  // since is not spoken of again.
  std::vector<Reply> take(const Server& server, uint64_t now_s, uint64_t now_ms, uint32_t per_s) {
    std::vector<Reply> out;
    if (now_ms - second_ms_ >= 1'000) second_ms_ = now_ms, sent_ = 0;
    while (!due_.empty() && due_.begin()->first <= now_ms && sent_ < per_s) {
      Waiting waiting = std::move(due_.extract(due_.begin()).mapped());
      if (is_over(server, waiting)) continue;
      set_epoch(waiting.notice.message, server.epoch_s(waiting.notice.subscriber, now_s));
      out.push_back({waiting.notice.to, waiting.notice.message});
      ++sent_;
      if (++waiting.sent < waiting.notice.copies)
        due_.emplace(now_ms + (first_gap_ms << (waiting.sent - 1)), std::move(waiting));
    }
    return out;
  }
  [[nodiscard]] size_t waiting() const { return due_.size(); }

 private:
  struct Waiting {
    Notice notice;
    unsigned sent;
    uint64_t expires_s;  // of the mapping when it was first spoken of
  };
  static bool is_over(const Server& server, Waiting& waiting) {
    if (!waiting.notice.about) return false;
    const Mapping* mapping = server.find(*waiting.notice.about);
    const uint64_t expires_s = mapping == nullptr ? 0 : mapping->expires_s;
    if (waiting.sent == 0) waiting.expires_s = expires_s;
    return expires_s != waiting.expires_s;
  }

  std::multimap<uint64_t, Waiting> due_;
  uint64_t second_ms_ = 0;
  uint32_t sent_ = 0;
};

}  // namespace portolan::pcp
