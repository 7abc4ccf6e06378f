// The outside's view of what PCP has mapped: a table of the explicit mappings, and a journal of how it changed, so that
// a reader who comes back misses nothing and one who is slow is told to begin anew. Both are bounded: the table by the
// slab, the journal by its length; of a reader there is only a cursor. The control thread writes, the feed's thread
// reads; the lock is held for a bounded number of lines.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>

#include "dataplane/net/types.h"

namespace portolan::control {

struct FedMapping {
  net::Ipv6 subscriber;  // masked; of NAT44 IPv4-mapped
  net::Endpoint inside, outside;
  net::Protocol protocol{};
  friend bool operator==(const FedMapping&, const FedMapping&) = default;
};

// How far a reader has come. He is given the whole table ("snapshot") first, unless he can go on from where he was.
class FeedCursor {
  friend class MappingFeed;
  enum class Phase : uint8_t { greet, snapshot, live } phase_ = Phase::greet;
  bool resumes_ = false;
  uint64_t sequence_ = 0;          // live: of the last change he was told; snapshot: of the last before it began
  std::optional<uint64_t> place_;  // of the last mapping of the snapshot he was told

 public:
  [[nodiscard]] uint64_t sequence() const { return sequence_; }
  [[nodiscard]] bool is_live() const { return phase_ == Phase::live; }  // he knows the table up to sequence()
};

class MappingFeed {
 public:
  using Place = uint64_t;  // of a record: worker and index; a mapping has one place all its life
  static constexpr size_t journal_max = 65'536;

  MappingFeed(unsigned subscriber_prefix_length, unsigned plain_prefix_length, size_t journal_length = journal_max);

  // --- the control thread ---
  void put(Place place, const FedMapping& mapping);  // what is there now
  void remove(Place place);                          // nothing is there now
  void complete();                                   // all there was at the start has been put: readers may begin

  // --- any thread ---
  // A new reader, and what he says of where he was: `instance` of the feed and the last change he knows.
  [[nodiscard]] FeedCursor attach(const std::string& instance, std::optional<uint64_t> after) const;
  // Appends what comes next for him, at most about lines_max lines; nothing if he knows all.
  void read(FeedCursor& cursor, std::string& out, size_t lines_max) const;
  [[nodiscard]] std::string alive_line() const;
  [[nodiscard]] uint64_t sequence() const;
  [[nodiscard]] size_t size() const;

 private:
  enum class Kind : uint8_t { made, moved, ended };
  struct Change {
    Kind kind{};
    FedMapping mapping;
    net::Endpoint was;  // moved
  };
  using Key = std::tuple<net::Ipv6, net::Endpoint, net::Protocol>;  // inside
  static Key key_of(const FedMapping& mapping) { return {mapping.subscriber, mapping.inside, mapping.protocol}; }

  void tell(Kind kind, const FedMapping& mapping, net::Endpoint was = {});
  [[nodiscard]] uint64_t forgotten() const { return sequence_ - journal_.size(); }  // the last change not kept
  void read_snapshot(FeedCursor& cursor, std::string& out, size_t lines_max) const;
  void append(std::string& out, std::string_view event, const FedMapping& mapping) const;
  [[nodiscard]] std::string subscriber_text(const net::Ipv6& subscriber) const;

  const unsigned subscriber_prefix_length_, plain_prefix_length_;
  const size_t journal_length_;
  const std::string instance_;  // of this run: numbers of another one mean nothing here

  mutable std::mutex mutex_;  // guards all below
  std::map<Place, FedMapping> mappings_;
  std::map<Key, Place> places_;
  std::deque<Change> journal_;  // the last of it has number sequence_
  uint64_t sequence_ = 0;
  bool complete_ = false;
};

}  // namespace portolan::control
