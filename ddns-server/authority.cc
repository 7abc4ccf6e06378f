#include "ddns-server/authority.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "dataplane/net/text.h"

namespace portolan::ddnsd {
namespace {

using nlohmann::json;

std::string text_of(const json& line, const char* name) {
  const auto member = line.find(name);
  return member != line.end() && member->is_string() ? member->get<std::string>() : "";
}

// The mapping a line names; none if it names none.
std::optional<Registry::MappingNews> parse_news(const json& line) {
  const auto inside = net::parse_endpoint(text_of(line, "inside")),
             outside = net::parse_endpoint(text_of(line, "outside"));
  const std::string protocol = text_of(line, "protocol"), subscriber = text_of(line, "subscriber");
  if (!inside || !outside || !parse_subscriber(subscriber)) return std::nullopt;
  if (protocol != "tcp" && protocol != "udp") return std::nullopt;
  return Registry::MappingNews{protocol == "udp" ? net::Protocol::udp : net::Protocol::tcp,
                               {subscriber, *inside},
                               *outside,
                               text_of(line, "event") == "ended"};
}

// The feed also tells of protocols that no name can lead to.
bool is_of_another_protocol(const json& line) {
  const std::string protocol = text_of(line, "protocol");
  return !protocol.empty() && protocol != "tcp" && protocol != "udp";
}

bool is_theirs(const Inside& inside, const std::string& subscriber, const net::Ipv6& source) {
  if (!subscriber.empty()) return subscriber == inside.subscriber;
  const auto prefix = parse_subscriber(inside.subscriber);
  return prefix && net::contains(*prefix, source);
}

}  // namespace

std::optional<net::Ipv6Prefix> parse_subscriber(std::string_view text) {
  if (const auto v6 = net::parse_ipv6_prefix(text)) return v6;
  const auto v4 = net::parse_ipv4_prefix(text);
  if (!v4) return std::nullopt;
  return net::Ipv6Prefix{net::mapped(v4->address), static_cast<uint8_t>(96 + v4->length)};
}

std::string subscriber_text(const net::Ipv6Prefix& subscriber) {
  if (net::is_mapped(subscriber.address) && subscriber.length >= 96)
    return net::to_text(
        net::Ipv4Prefix{net::unmapped(subscriber.address), static_cast<uint8_t>(subscriber.length - 96)});
  return net::to_text(subscriber);
}

Authority::Authority(Registry registry, std::function<void()> on_change)
    : registry_(std::move(registry)), on_change_(std::move(on_change)) {}

Authority::Judgement Authority::judge(const std::string& subscriber, const net::Ipv6& source, net::Protocol protocol,
                                      const net::Endpoint& outside, int64_t now_s) const {
  if (!is_current(now_s)) return {Claim::unknown, {}};
  const std::lock_guard lock(mutex_);
  const auto found = mappings_.find({protocol, outside});
  if (found == mappings_.end()) return {Claim::not_mapped, {}};
  if (is_theirs(found->second, subscriber, source)) return {Claim::theirs, found->second};
  return {subscriber.empty() ? Claim::unbound : Claim::not_mapped, {}};
}

Claim Authority::judge_address(const std::string& subscriber, const net::Ipv6& source, net::Ipv4 address,
                               int64_t now_s) const {
  if (!is_current(now_s)) return Claim::unknown;
  const std::lock_guard lock(mutex_);
  for (const auto protocol : {net::Protocol::tcp, net::Protocol::udp})
    for (auto each = mappings_.lower_bound({protocol, {address, {0}}});
         each != mappings_.end() && each->first.first == protocol && each->first.second.address == address; ++each)
      if (is_theirs(each->second, subscriber, source)) return Claim::theirs;
  return subscriber.empty() ? Claim::unbound : Claim::not_mapped;
}

bool Authority::is_mapped(net::Protocol protocol, const Inside& inside, const net::Endpoint& outside) const {
  const std::lock_guard lock(mutex_);
  const auto found = mappings_.find({protocol, outside});
  return found != mappings_.end() && found->second == inside;
}

size_t Authority::size() const {
  const std::lock_guard lock(mutex_);
  return mappings_.size();
}

std::string Authority::hello(const std::string& token) const {
  json line = {{"feed", 1}};
  if (!token.empty()) line["token"] = token;
  if (!instance_.empty()) line["instance"] = instance_, line["after"] = sequence_;
  return line.dump() + "\n";
}

bool Authority::take(std::string_view text, int64_t now_s, std::string& why) {
  const json line = json::parse(text, nullptr, false);
  const std::string event = line.is_object() ? text_of(line, "event") : "";
  if (event == "refused") return why = "refused: " + text_of(line, "text"), false;
  const auto news = line.is_object() ? parse_news(line) : std::nullopt;
  const bool is_mapping = event == "mapping" || event == "made" || event == "moved" || event == "ended";
  if (event.empty() || (is_mapping && !news && !is_of_another_protocol(line)))
    return why = "a line that is no feed's: " + std::string(text.substr(0, 100)), false;
  if (event == "hello") instance_ = text_of(line, "instance");
  if (event == "snapshot") lost(), is_in_snapshot_ = true, coming_.clear(), news_.clear();
  if (event == "mapping" && news) coming_[{news->protocol, news->outside}] = news->inside;
  if (event == "snapshot-end") {
    const std::lock_guard lock(mutex_);
    mappings_ = std::exchange(coming_, {});
    is_in_snapshot_ = false;
    is_whole_owed_ = true;
  }
  if (is_mapping && event != "mapping" && news) remember(*news, net::parse_endpoint(text_of(line, "was")));
  if (const auto number = line.find("sequence"); number != line.end() && number->is_number_unsigned())
    sequence_ = number->get<uint64_t>();
  // Current from the end of a snapshot, or at once where it goes on from what is known.
  if (!is_in_snapshot_ && (event != "hello" || text_of(line, "begins") == "after")) heard_at_s_ = now_s;
  return true;
}

void Authority::remember(const Registry::MappingNews& news, const std::optional<net::Endpoint>& was) {
  const std::lock_guard lock(mutex_);
  const auto erase = [this, &news](const net::Endpoint& outside) {
    const auto found = mappings_.find({news.protocol, outside});
    if (found != mappings_.end() && found->second == news.inside) mappings_.erase(found);
  };
  if (was) erase(*was);
  if (news.ended)
    erase(news.outside);
  else
    mappings_[{news.protocol, news.outside}] = news.inside;
  news_.push_back(news);
}

std::vector<Registry::MappingNews> Authority::whole() const {
  std::vector<Registry::MappingNews> out;
  const std::lock_guard lock(mutex_);
  out.reserve(mappings_.size());
  for (const auto& [key, inside] : mappings_) out.push_back({key.first, inside, key.second, false});
  return out;
}

void Authority::flush(int64_t now_s) {
  if (!is_whole_owed_ && news_.empty()) return;
  try {
    const size_t changed = is_whole_owed_ ? registry_.apply_all(whole(), now_s) : registry_.apply(news_, now_s);
    is_whole_owed_ = false;
    news_.clear();
    if (changed == 0) return;
    spdlog::info("authority: {} services follow their mappings", changed);
    on_change_();
  } catch (const StoreError& error) {
    spdlog::error("authority: registry: {}", error.what());
    is_whole_owed_ = true;  // what was told is in the mirror: all of it next time
    news_.clear();
  }
}

void Authority::look_at_rules(int64_t now_s) {
  try {
    const int64_t revision = registry_.rules_revision();
    if (std::exchange(rules_revision_, revision) == revision || !is_current(now_s)) return;
    is_whole_owed_ = true;
  } catch (const StoreError& error) {
    spdlog::error("authority: registry: {}", error.what());
    return;
  }
  flush(now_s);
}

void Authority::lost() {
  heard_at_s_ = INT64_MIN / 2;
  if (is_in_snapshot_) instance_.clear();  // half a table is none: the next connection gets it whole
  is_in_snapshot_ = false;
}

}  // namespace portolan::ddnsd
