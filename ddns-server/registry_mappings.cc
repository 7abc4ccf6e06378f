// The registry and an AFTR's mappings: services that follow one, names that follow a subscriber, ports that rest.
#include <algorithm>
#include <map>
#include <spdlog/spdlog.h>

#include "dataplane/net/text.h"
#include "ddns-server/limits.h"
#include "ddns-server/registry.h"
#include "ddns-server/registry_rows.h"

namespace portolan::ddnsd {
namespace {

using Placed = std::pair<std::string, Service>;  // fqdn and what is there

std::vector<Placed> read_placed(Statement row) {
  std::vector<Placed> out;
  while (row.step()) out.emplace_back(row.text(service_column_count), read_service(row));
  return out;
}

std::vector<Placed> followers_of(Database& database, const Registry::MappingNews& news) {
  return read_placed(database.query(
      "SELECT " + std::string(service_columns) +
          ", fqdn FROM services s WHERE subscriber = ? AND inside_address = ? AND inside_port = ? AND protocol = ? "
          "AND subscriber <> ''",
      news.inside.subscriber, number_of(news.inside.endpoint.address), number_of(news.inside.endpoint.port),
      static_cast<int64_t>(news.protocol)));
}

Registry::Follow read_follow(const Statement& row) {
  return {row.text(0),
          row.text(1),
          row.text(2),
          static_cast<net::Protocol>(row.number(3)),
          static_cast<uint16_t>(row.number(4)),
          row.text(5),
          row.text(6),
          row.text(7)};
}
constexpr std::string_view follow_columns = "fqdn, subscriber, id, protocol, inside_port, scheme, path, title";

// What a port is for, if nobody says: the assigned ones that a browser or a player can open.
std::string scheme_of_port(uint16_t port) {
  constexpr std::pair<uint16_t, std::string_view> known[] = {
      {21, "ftp"},    {22, "ssh"},   {80, "http"},  {443, "https"}, {554, "rtsp"},
      {1883, "mqtt"}, {5060, "sip"}, {5900, "vnc"}, {8080, "http"}, {8443, "https"}};
  const auto* found = std::ranges::find(known, port, &std::pair<uint16_t, std::string_view>::first);
  return found == std::end(known) ? "" : std::string(found->second);
}

Service service_of(const Registry::Follow& rule, const Registry::MappingNews& news, int64_t now_s) {
  const uint16_t port = news.inside.endpoint.port.number;
  Service out;
  out.id = !rule.id.empty() ? rule.id : net::to_text(news.protocol) + "-" + std::to_string(port);
  out.protocol = news.protocol;
  out.outside = news.outside;
  out.scheme = rule.inside_port == 0 && rule.scheme.empty() ? scheme_of_port(port) : rule.scheme;
  out.path = rule.path;
  out.title = rule.title;
  out.expires_at_s = INT64_MAX;
  out.updated_at_s = now_s;
  out.inside = news.inside;
  out.by_operator = true;
  return out;
}

}  // namespace

bool Registry::add_follow(const Follow& follow) {
  Transaction transaction(database_);
  if (!database_.query("SELECT 1 FROM names WHERE fqdn = ?", follow.fqdn).step()) return false;
  database_.change("INSERT OR REPLACE INTO follows(" + std::string(follow_columns) + ") VALUES(?,?,?,?,?,?,?,?)",
                   follow.fqdn, follow.subscriber, follow.id, static_cast<int64_t>(follow.protocol),
                   int64_t{follow.inside_port}, follow.scheme, follow.path, follow.title);
  rules_changed();
  transaction.commit();
  return true;
}

size_t Registry::remove_follows(std::string_view fqdn, int64_t now_s) {
  Transaction transaction(database_);
  const int removed = database_.change("DELETE FROM follows WHERE fqdn = ?", fqdn);
  const auto shown = read_placed(database_.query(
      "SELECT " + std::string(service_columns) + ", fqdn FROM services s WHERE fqdn = ? AND by_operator", fqdn));
  for (const auto& [name, service] : shown) end(name, service.id, now_s);
  rules_changed();
  transaction.commit();
  return static_cast<size_t>(removed);
}

std::vector<Registry::Follow> Registry::follows() {
  std::vector<Follow> out;
  for (auto row = database_.query("SELECT " + std::string(follow_columns) +
                                  " FROM follows ORDER BY fqdn, subscriber, protocol, inside_port");
       row.step();)
    out.push_back(read_follow(row));
  return out;
}

void Registry::rules_changed() { database_.run("UPDATE revisions SET number = number + 1 WHERE what = 'rules'"); }

int64_t Registry::rules_revision() {
  auto row = database_.query("SELECT number FROM revisions WHERE what = 'rules'");
  return row.step() ? row.number(0) : 0;
}

void Registry::set_rest(int64_t rest_s, bool publishes, int64_t now_s) {
  rest_s_ = rest_s;
  publishes_ = publishes;
  if (!publishes) database_.change("UPDATE released SET until = ? WHERE until = ?", now_s + rest_s, INT64_MAX);
}

// A port that a name led to and leads to no more.
void Registry::release(std::string_view fqdn, const Service& service, int64_t now_s) {
  if (service.outside.port.number == 0) return;
  const bool is_published =
      publishes_ && database_.query("SELECT 1 FROM dns_published WHERE fqdn = ? LIMIT 1", fqdn).step();
  database_.change("INSERT OR REPLACE INTO released SELECT ?, ?, ?, fqdn, account, ? FROM names WHERE fqdn = ?",
                   static_cast<int64_t>(service.protocol), number_of(service.outside.address),
                   number_of(service.outside.port), is_published ? INT64_MAX : now_s + rest_s_, fqdn);
}

void Registry::release_all(std::string_view fqdn, int64_t now_s) {
  for (const auto& [name, service] : read_placed(
           database_.query("SELECT " + std::string(service_columns) + ", fqdn FROM services s WHERE fqdn = ?", fqdn)))
    release(name, service, now_s);
}

size_t Registry::move_followers(const MappingNews& news, int64_t now_s) {
  size_t changed = 0;
  for (auto& [fqdn, service] : followers_of(database_, news)) {
    if (service.outside == news.outside) continue;
    release(fqdn, service, now_s);
    service.outside = news.outside;
    service.updated_at_s = now_s;
    write_service(database_, fqdn, service);
    owe(fqdn);
    ++changed;
  }
  return changed;
}

size_t Registry::follow(const MappingNews& news, int64_t now_s) {
  std::vector<Follow> rules;
  for (auto row = database_.query("SELECT " + std::string(follow_columns) +
                                      " FROM follows WHERE subscriber = ? AND protocol = ? AND inside_port IN (0, ?) "
                                      "ORDER BY inside_port DESC",  // the more special rule first
                                  news.inside.subscriber, static_cast<int64_t>(news.protocol),
                                  number_of(news.inside.endpoint.port));
       row.step();)
    rules.push_back(read_follow(row));
  size_t changed = 0;
  for (const Follow& rule : rules) {
    const bool is_shown = database_
                              .query(
                                  "SELECT 1 FROM services WHERE fqdn = ? AND subscriber = ? AND inside_address = ? "
                                  "AND inside_port = ? AND protocol = ?",
                                  rule.fqdn, news.inside.subscriber, number_of(news.inside.endpoint.address),
                                  number_of(news.inside.endpoint.port), static_cast<int64_t>(news.protocol))
                              .step();
    if (is_shown) continue;
    const Service service = service_of(rule, news, now_s);
    auto there = database_.query("SELECT count(*), total(id = ?) FROM services WHERE fqdn = ?", service.id, rule.fqdn);
    there.step();
    const bool is_taken = there.number(1) != 0, is_full = there.number(0) >= int64_t{limits::services_per_name_max};
    if (is_taken || is_full) {
      spdlog::warn("{}: {} of {} is not shown: {}", rule.fqdn, net::to_text(news.inside.endpoint),
                   news.inside.subscriber, is_full ? "the name is full" : "there is a service " + service.id);
      continue;
    }
    write_service(database_, rule.fqdn, service);
    owe(rule.fqdn);
    ++changed;
  }
  return changed;
}

// The mapping is no more. A client's service waits for another; an operator's is there only while its mapping is.
size_t Registry::leave(const MappingNews& news, int64_t now_s) {
  size_t changed = 0;
  for (auto& [fqdn, service] : followers_of(database_, news)) {
    if (service.outside != news.outside) continue;  // it has moved on already
    release(fqdn, service, now_s);
    if (service.by_operator) {
      database_.change("DELETE FROM services WHERE fqdn = ? AND id = ?", fqdn, service.id);
    } else {
      service.outside = {};
      service.updated_at_s = now_s;
      write_service(database_, fqdn, service);
    }
    owe(fqdn);
    ++changed;
  }
  return changed;
}

size_t Registry::take(const MappingNews& news, int64_t now_s) {
  return news.ended ? leave(news, now_s) : move_followers(news, now_s) + follow(news, now_s);
}

size_t Registry::apply(const std::vector<MappingNews>& news, int64_t now_s) {
  size_t changed = 0;
  Transaction transaction(database_);
  for (const MappingNews& each : news) changed += take(each, now_s);
  transaction.commit();
  return changed;
}

// One write each, so that updates come between: an HTTP request waits for a portion at most.
template <class Work>
void Registry::in_portions(size_t count, const Work& work) {
  constexpr size_t portion = 256;
  for (size_t at = 0; at < count;)
    together([&] {
      for (const size_t end = std::min(count, at + portion); at < end; ++at) work(at);
    });
}

size_t Registry::apply_all(const std::vector<MappingNews>& there, int64_t now_s) {
  std::map<std::pair<net::Protocol, net::Endpoint>, const MappingNews*> by_outside;
  for (const MappingNews& each : there) by_outside.emplace(std::pair{each.protocol, each.outside}, &each);
  std::vector<std::pair<Placed, std::string>> placed;  // and the account's subscriber
  for (auto row = database_.query("SELECT " + std::string(service_columns) +
                                  ", s.fqdn, a.subscriber FROM services s JOIN names n USING(fqdn) "
                                  "JOIN accounts a ON a.name = n.account WHERE s.port > 0");
       row.step();)
    placed.push_back({{row.text(service_column_count), read_service(row)}, row.text(service_column_count + 1)});
  size_t changed = 0;
  in_portions(placed.size(), [&](size_t at) {
    const auto& [place, subscriber] = placed[at];
    const auto found = by_outside.find({place.second.protocol, place.second.outside});
    changed += vouch(place.first, place.second, subscriber, found == by_outside.end() ? nullptr : found->second, now_s);
  });
  in_portions(there.size(), [&](size_t at) { changed += take(there[at], now_s); });
  return changed;
}

// What becomes of a service when all mappings are known, and `mapping` is the one that has its outside endpoint. What
// an update has changed since it was seen was judged by these same mappings.
size_t Registry::vouch(const std::string& fqdn, const Service& seen, const std::string& subscriber,
                       const MappingNews* mapping, int64_t now_s) {
  auto row = database_.query("SELECT " + std::string(service_columns) + " FROM services s WHERE fqdn = ? AND id = ?",
                             fqdn, seen.id);
  if (!row.step()) return 0;
  Service service = read_service(row);
  if (service.outside != seen.outside || service.inside != seen.inside) return 0;
  if (service.inside) {
    const bool is_still_there = mapping != nullptr && mapping->inside == *service.inside;
    return is_still_there ? 0 : leave({service.protocol, *service.inside, service.outside, true}, now_s);
  }
  if (mapping != nullptr && mapping->inside.subscriber == subscriber) {
    service.inside = mapping->inside;  // registered before there was an AFTR to ask
    write_service(database_, fqdn, service);
    return 0;
  }
  spdlog::warn("{}: {} at {} is no mapping of its account's: removed", fqdn, service.id, net::to_text(service.outside));
  return end(fqdn, service.id, now_s) ? 1 : 0;
}

}  // namespace portolan::ddnsd
