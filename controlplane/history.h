// What an operator was told lately, for `show events`: the last few hundred messages with their times. Owner: the
// control thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <string>

namespace portolan::control {

// "2026-11-22T08:15:30.123Z"
std::string utc_text(std::chrono::system_clock::time_point time);

class History {
 public:
  static constexpr size_t entries_max = 500;

  struct Entry {
    std::chrono::system_clock::time_point time;
    std::string text;
    bool warning = false;
  };
  void add(Entry entry) {
    if (entries_.size() == entries_max) entries_.pop_front();
    entries_.push_back(std::move(entry));
  }
  [[nodiscard]] const std::deque<Entry>& entries() const { return entries_; }  // the oldest first

 private:
  std::deque<Entry> entries_;
};

}  // namespace portolan::control
