// Whose a port was that rests since its mapping ended: within the rest the same client, which is the same inside
// endpoint and nonce, may have it back (RFC 6887 §15). Only who it was is remembered here; that the port rests, and
// until when, is the translator's to know. Not stored: after a restart nobody can prove to be the same client. Owner:
// the server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "pcp-server/record.h"

namespace portolan::pcp {

class Resting {
 public:
  // Remembers `was` until `until_s`; of more than `count_max` those whose time is up first are forgotten.
  void put(const MappingKey& key, const Granted& was, uint64_t until_s, size_t count_max) {
    forget(key);
    while (!by_end_.empty() && by_end_.size() >= count_max) forget(MappingKey{by_end_.begin()->second});
    if (count_max == 0) return;
    rests_.emplace(key, Rest{was.mapping.outside, was.nonce, was.mapping.open_nonce, until_s});
    by_end_.emplace(until_s, key);
  }

  // The outside endpoint that was this client's; none: he had none, or it was another nonce's.
  [[nodiscard]] std::optional<net::Endpoint> of(const MappingKey& key, const Nonce& nonce) const {
    const auto at = rests_.find(key);
    if (at == rests_.end() || (!at->second.open_nonce && at->second.nonce != nonce)) return std::nullopt;
    return at->second.outside;
  }

  void forget(const MappingKey& key) {
    const auto at = rests_.find(key);
    if (at == rests_.end()) return;
    by_end_.erase({at->second.until_s, key});
    rests_.erase(at);
  }
  void forget(const net::Ipv6& subscriber) {
    for (auto at = rests_.lower_bound({subscriber, {}, {}, {}});
         at != rests_.end() && at->first.subscriber == subscriber;)
      forget(MappingKey{(at++)->first});
  }
  void expire(uint64_t now_s) {
    while (!by_end_.empty() && by_end_.begin()->first <= now_s) forget(MappingKey{by_end_.begin()->second});
  }
  void clear() { rests_.clear(), by_end_.clear(); }
  [[nodiscard]] size_t size() const { return by_end_.size(); }

 private:
  struct Rest {
    net::Endpoint outside;
    Nonce nonce;
    bool open_nonce;
    uint64_t until_s;
  };
  std::map<MappingKey, Rest> rests_;
  std::set<std::pair<uint64_t, MappingKey>> by_end_;  // of each in rests_
};

}  // namespace portolan::pcp
