#include "controlplane/feed_settings.h"

#include "dataplane/net/text.h"

namespace portolan::control {

std::optional<ListenAddress> parse_listen(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const auto port = net::parse_number(text.substr(colon + 1));
  if (!port || *port > 65535) return std::nullopt;
  if (const auto v4 = net::parse_ipv4(host)) return ListenAddress{net::mapped(*v4), static_cast<uint16_t>(*port)};
  if (!host.starts_with('[') || !host.ends_with(']')) return std::nullopt;
  const auto v6 = net::parse_ipv6(host.substr(1, host.size() - 2));
  return v6 ? std::optional(ListenAddress{*v6, static_cast<uint16_t>(*port)}) : std::nullopt;
}

std::optional<FeedSettings> feed_of(const Config& config) {
  const auto& feed = config.feed;
  if (feed.socket.empty() && feed.listen.empty()) return std::nullopt;
  FeedSettings out{feed.socket, feed.group, {}, feed.certificate, feed.key, feed.token_file};
  if (!feed.listen.empty()) out.listen = parse_listen(feed.listen);
  return out;
}

}  // namespace portolan::control
