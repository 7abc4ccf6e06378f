// The AFTR's word on who has which outside port. Its feed (docs/operations.md §5.2) is mirrored here, so that a claim
// is judged without asking anybody, and brought into the registry, so that names follow their mappings at once. Reading
// the feed is feed_client.h's business; this is what its lines mean.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/net/types.h"
#include "ddns-server/registry.h"
#include "ddns-server/service.h"

namespace portolan::ddnsd {

// "2001:db8:b:100::/56", "100.64.1.2/32" (IPv4-mapped); none if it is no prefix.
std::optional<net::Ipv6Prefix> parse_subscriber(std::string_view text);
std::string subscriber_text(const net::Ipv6Prefix& subscriber);

enum class Claim : uint8_t {
  theirs,      // mapped to the claimant
  not_mapped,  // to nobody, or to another
  unbound,     // whose mappings the account may name is not said, and the request does not come from there
  unknown,     // the AFTR cannot be asked now
};

class Authority {
 public:
  static constexpr int64_t silence_max_s = 15;  // the feed says something every 5 s

  Authority(Registry registry, std::function<void()> on_change);

  // --- any thread ---
  // Judges a claim to an outside endpoint. `subscriber` is the account's, or empty: then the request's source must be
  // an address of the mapping's own subscriber.
  struct Judgement {
    Claim claim{};
    Inside inside;  // theirs
  };
  [[nodiscard]] Judgement judge(const std::string& subscriber, const net::Ipv6& source, net::Protocol protocol,
                                const net::Endpoint& outside, int64_t now_s) const;
  // For a claim without a port: some mapping of theirs has this address.
  [[nodiscard]] Claim judge_address(const std::string& subscriber, const net::Ipv6& source, net::Ipv4 address,
                                    int64_t now_s) const;
  [[nodiscard]] bool is_mapped(net::Protocol protocol, const Inside& inside, const net::Endpoint& outside) const;
  [[nodiscard]] bool is_current(int64_t now_s) const { return now_s <= heard_at_s_.load() + silence_max_s; }
  [[nodiscard]] size_t size() const;

  // --- the feed's thread ---
  [[nodiscard]] std::string hello(const std::string& token) const;  // the line that begins a connection
  // False: the feed has refused us or does not speak as it should; `why` tells.
  bool take(std::string_view line, int64_t now_s, std::string& why);
  void flush(int64_t now_s);          // into the registry what was taken since, in one write
  void look_at_rules(int64_t now_s);  // whether the operator has changed which names follow whom
  void lost();                        // the connection; what is known is no longer current

 private:
  using Key = std::pair<net::Protocol, net::Endpoint>;
  using Mappings = std::map<Key, Inside>;
  [[nodiscard]] std::vector<Registry::MappingNews> whole() const;
  void remember(const Registry::MappingNews& news, const std::optional<net::Endpoint>& was);

  Registry registry_;
  std::function<void()> on_change_;
  std::string instance_;
  uint64_t sequence_ = 0;
  bool is_in_snapshot_ = false, is_whole_owed_ = false;
  Mappings coming_;  // of a snapshot under way
  std::vector<Registry::MappingNews> news_;
  int64_t rules_revision_ = -1;

  std::atomic<int64_t> heard_at_s_ = INT64_MIN / 2;  // since a snapshot was complete
  mutable std::mutex mutex_;                         // guards mappings_
  Mappings mappings_;
};

}  // namespace portolan::ddnsd
