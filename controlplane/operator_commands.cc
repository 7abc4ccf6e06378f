#include "controlplane/operator_commands.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <utility>

#include "controlplane/command_subscriber.h"
#include "controlplane/record_view.h"
#include "controlplane/record_walk.h"
#include "controlplane/show_counters.h"
#include "dataplane/net/text.h"

namespace portolan::control {

namespace {

using nat::Mapping;
using net::to_text;

double percent(uint64_t part, uint64_t whole) {  // two decimals
  return whole == 0 ? 0.0 : std::round(static_cast<double>(part) * 10'000.0 / static_cast<double>(whole)) / 100.0;
}

// "mapping table high, port blocks full"; empty: none.
std::string alarms_text(const Aftr& aftr) {
  std::string text;
  for (const auto& alarm : aftr.watch().alarms())
    text += (text.empty() ? "" : ", ") + alarm.name + " " + std::string(to_text(alarm.state));
  return text;
}

Reply show_status(const Aftr& aftr, const Request& request) {
  const EventLog* events = aftr.watch().event_log();
  const auto& softwires = aftr.config().softwire.aftr_addresses;
  uint64_t live = 0, held = 0, sessions = 0, subscribers = 0, blocks = 0, blocks_free = 0, dropped = 0, received = 0;
  uint64_t statics_waiting = 0;
  for (const auto& shard : aftr.shards()) {
    live += shard->mappings_live();
    held += shard->mappings_held();
    sessions += shard->sessions_live();
    subscribers += shard->subscribers_live();
    blocks += shard->blocks_total();
    blocks_free += shard->blocks_free();
    statics_waiting += shard->counters().statics_waiting.read();
  }
  for (unsigned worker = 0; worker < aftr.dataplane().workers(); ++worker) {
    const auto& counters = aftr.dataplane().counters(worker);
    for (const auto& side : counters.sides) received += side.received.read();
    for (const auto& packets : counters.dropped.packets) dropped += packets.read();
  }
  const net::Ipv4 inside = aftr.config().nat44.address.address;
  return record_reply(request, {{"version", std::string(PORTOLAN_VERSION)},
                                {"uptime_s", static_cast<int64_t>(aftr.uptime().count())},
                                {"workers", uint64_t{aftr.dataplane().workers()}},
                                {"softwire_address", softwires.empty() ? Cell{} : Cell{to_text(softwires.front())}},
                                {"nat44_address", aftr.config().serves_nat44() ? Cell{to_text(inside)} : Cell{}},
                                {"mappings", live},
                                {"mappings_max", uint64_t{aftr.config().dataplane.mappings_max}},
                                {"mappings_in_quarantine", held},
                                {"sessions", sessions},
                                {"sessions_max", uint64_t{aftr.config().dataplane.sessions_max}},
                                {"static_mappings", uint64_t{aftr.config().nat.statics.size()}},
                                {"static_mappings_waiting", statics_waiting},
                                {"subscribers", subscribers},
                                {"port_blocks", blocks},
                                {"port_blocks_free", blocks_free},
                                {"packets_received", received},
                                {"packets_dropped", dropped},
                                {"pcp_mappings", uint64_t{aftr.pcp().server().size()}},
                                {"pcp_epoch_s", uint64_t{aftr.pcp().server().epoch_s(aftr.pcp().now_s())}},
                                {"records_lost", events ? events->lost() : 0},
                                {"alarms", alarms_text(aftr)}});
}

Reply show_workers(const Aftr& aftr, const Request& request) {
  std::vector<Row> rows;
  for (unsigned worker = 0; worker < aftr.dataplane().workers(); ++worker) {
    const auto& c = aftr.dataplane().counters(worker);
    const auto& shard = *aftr.shards()[worker];
    const uint64_t polls = c.polls.read(), idle = c.polls_idle.read();
    uint64_t received = 0, sent = 0, dropped = 0;
    for (const auto& side : c.sides) received += side.received.read(), sent += side.sent.read();
    for (const auto& packets : c.dropped.packets) dropped += packets.read();
    rows.push_back({uint64_t{worker}, received, sent, dropped, c.handed_in.read(), c.handed_out.read(),
                    shard.mappings_live(), shard.subscribers_live(),
                    shard.blocks_total() - uint64_t{shard.blocks_free()}, percent(polls - idle, polls)});
  }
  return table_reply(request,
                     {{"worker", true},
                      {"received", true},
                      {"sent", true},
                      {"dropped", true},
                      {"handed_in", true},
                      {"handed_out", true},
                      {"mappings", true},
                      {"subscribers", true},
                      {"blocks", true},
                      {"busy_polls_percent", true}},
                     std::move(rows));
}

std::string blocks_text(const nat::Shard& shard, const nat::Subscriber& subscriber) {
  std::string text;
  for (const uint32_t block : blocks_of(subscriber)) {
    const nat::PortRange ports = ports_of_block(shard, block);
    const net::Ipv4 address = address_of_block(shard, block);
    text += text.empty() ? "" : ",";
    if (address != outside_address(shard, subscriber)) text += to_text(address) + ":";  // one that drains
    text += std::to_string(ports.low) + "-" + std::to_string(ports.high);
  }
  return text;
}

Reply show_subscribers(const Aftr& aftr, const Request& request) {
  if (!request.args.empty()) return error_reply(Code::bad_argument, "show subscribers takes no words");
  return table_reply(request,
                     {{"subscriber", false, 24},
                      {"outside_address", false, 15},
                      {"port_blocks", false, 24},
                      {"mappings", true},
                      {"sessions", true},
                      {"worker", true}},
                     walk_subscribers(aftr, [&aftr](Row& row, const nat::Shard& shard, unsigned worker,
                                                    const nat::Subscriber& subscriber) {
                       row = {subscriber_text(aftr, subscriber.prefix),
                              to_text(outside_address(shard, subscriber)),
                              blocks_text(shard, subscriber),
                              uint64_t{subscriber.mappings},
                              uint64_t{subscriber.sessions},
                              uint64_t{worker}};
                       return true;
                     }));
}

// What a mapping must be like to be shown; empty: anything.
struct MappingFilter {
  std::optional<net::Ipv6> subscriber;
  std::optional<net::Endpoint> outside;
  bool held = false;  // also those in quarantine

  [[nodiscard]] bool passes(const Mapping& mapping, const pipeline::Snapshot& snapshot) const {
    const auto side = mapping.has(Mapping::plain) ? pipeline::Side::inside : pipeline::Side::access;
    return (held || !mapping.has(Mapping::held)) &&
           (!subscriber || snapshot.subscriber_of(side, mapping.b4) == *subscriber) &&
           (!outside || mapping.outside() == *outside);
  }
};

Reply show_mappings(const Aftr& aftr, const Request& request) {
  MappingFilter filter;
  for (size_t i = 0; i < request.args.size(); ++i) {
    const std::string_view word = request.args[i], value = i + 1 < request.args.size() ? request.args[i + 1] : "";
    if (word == "held") {
      filter.held = true;
    } else if (word == "subscriber") {
      filter.subscriber = parse_subscriber(aftr, value);
      if (!filter.subscriber) return bad_subscriber(value);
      ++i;
    } else if (word == "outside") {
      filter.outside = net::parse_endpoint(value);
      if (!filter.outside)
        return error_reply(Code::bad_argument,
                           "'" + std::string(value) + "' is not an outside endpoint like 192.0.2.1:4321");
      ++i;
    } else {
      return error_reply(Code::bad_argument,
                         "'" + std::string(word) + "' is none of subscriber PREFIX, outside ADDRESS:PORT, held");
    }
  }
  return table_reply(
      request,
      {{"b4", false, 20},
       {"protocol"},
       {"inside", false, 18},
       {"outside", false, 18},
       {"life", false, 10},
       {"state", false, 11},
       {"first_remote", false, 18},
       {"ends_in_s", true, 9}},
      walk_mappings(aftr, [&aftr, filter](Row& row, const nat::Shard& shard, unsigned, const Mapping& mapping) {
        if (!filter.passes(mapping, aftr.snapshot())) return false;
        const int64_t ends_in = int64_t{shard.due_s(mapping)} - aftr.now_s();
        const bool no_remote = mapping.first_remote == net::Endpoint{};
        row = {mapping.has(Mapping::plain) ? Cell{} : Cell{to_text(mapping.b4)},
               to_text(mapping.protocol),
               to_text(mapping.inside()),
               to_text(mapping.outside()),
               life_text(mapping),
               std::string(state_text(mapping)),
               no_remote ? Cell{} : Cell{to_text(mapping.first_remote)},
               mapping.is_static() ? Cell{} : Cell{std::max<int64_t>(ends_in, 0)}};
        return true;
      }));
}

// Per prefix, from the subscribers' records: the shards' own books are their workers'.
Reply show_pools(const Aftr& aftr, const Request& request) {
  struct Use {
    uint64_t subscribers = 0, blocks = 0, mappings = 0;
  };
  const nat::Pool& pool = aftr.snapshot().policy.pool;
  const auto prefixes = pool.prefixes();
  std::vector<Use> uses(prefixes.size());
  Row row;
  auto subscribers = walk_subscribers(aftr, [&](Row&, const nat::Shard& shard, unsigned, const nat::Subscriber& s) {
    const net::Ipv4 address = outside_address(shard, s);
    for (size_t i = 0; i < prefixes.size(); ++i)
      if (net::contains(prefixes[i], address))
        ++uses[i].subscribers, uses[i].blocks += s.block_count, uses[i].mappings += s.mappings;
    return false;
  });
  while (subscribers(row) != Step::end) continue;  // bounded by max-subscribers
  std::vector<Row> rows;
  for (size_t i = 0; i < prefixes.size(); ++i) {
    const uint64_t blocks = net::size(prefixes[i]) * pool.layout().blocks();
    rows.push_back({to_text(prefixes[i]), net::size(prefixes[i]),
                    std::to_string(pool.layout().range.low) + "-" + std::to_string(pool.layout().range.high), blocks,
                    uses[i].blocks, uses[i].subscribers, uses[i].mappings, percent(uses[i].blocks, blocks)});
  }
  return table_reply(request,
                     {{"prefix"},
                      {"addresses", true},
                      {"ports"},
                      {"blocks", true},
                      {"blocks_used", true},
                      {"subscribers", true},
                      {"mappings", true},
                      {"used_percent", true}},
                     std::move(rows));
}

Reply show_neighbors(const Aftr& aftr, const Request& request) {
  std::vector<Row> rows;
  for (const auto& neighbor : aftr.router().neighbors())
    rows.push_back({std::string(to_text(neighbor.side)), net::to_text_unmapped(neighbor.address),
                    neighbor.mac ? Cell{to_text(*neighbor.mac)} : Cell{}, std::string(to_text(neighbor.state)),
                    neighbor.probes});
  return table_reply(request, {{"side"}, {"gateway"}, {"link_layer_address"}, {"state"}, {"probes", true}},
                     std::move(rows));
}

Reply show_interfaces(const Aftr& aftr, const Request& request) {
  std::vector<Row> rows;
  for (const auto side : pipeline::sides) {
    if (!aftr.dataplane().has(side)) continue;
    const io::InterfaceInfo info = aftr.dataplane().interface(side);
    const auto link = aftr.snapshot().link(side);
    rows.push_back({std::string(to_text(side)), info.device, info.driver, to_text(info.mac),
                    link.vlan == 0 ? Cell{} : Cell{uint64_t{link.vlan}}, uint64_t{link.mtu_bytes},
                    std::string(info.link_up ? "up" : "down"), info.received, info.sent, info.missed + info.no_buffer,
                    info.receive_errors + info.transmit_errors, uint64_t{info.receive_queues}, info.spread});
  }
  return table_reply(request,
                     {{"side"},
                      {"device"},
                      {"driver"},
                      {"link_layer_address"},
                      {"vlan", true},
                      {"mtu_bytes", true},
                      {"link"},
                      {"received", true},
                      {"sent", true},
                      {"missed", true},
                      {"errors", true},
                      {"queues", true},
                      {"spread"}},
                     std::move(rows));
}

Reply show_events(const Aftr& aftr, const Request& request) {
  std::vector<Row> rows;
  for (const auto& entry : aftr.watch().history().entries())
    rows.push_back({utc_text(entry.time), std::string(entry.warning ? "warning" : "info"), entry.text});
  return table_reply(request, {{"time"}, {"level"}, {"event"}}, std::move(rows));
}

Reply no_words(const Request& request, const char* name, const std::function<Reply()>& run) {
  if (!request.args.empty()) return error_reply(Code::bad_argument, std::string(name) + " takes no words");
  return run();
}

// A reader that is behind for long is one that cannot take what it is given; the log says when it is let go.
Reply show_feed(const Aftr& aftr, const Request& request) {
  if (aftr.feed_server() == nullptr)
    return error_reply(Code::not_found, "the mapping feed is off: set feed.socket or feed.listen and restart");
  const uint64_t sequence = aftr.mapping_feed()->sequence();
  const auto now = std::chrono::steady_clock::now();
  std::vector<Row> rows;
  for (const FeedReader& each : aftr.feed_server()->readers()) {
    const auto reads_for = std::chrono::duration_cast<std::chrono::seconds>(now - each.since).count();
    rows.push_back({each.name, static_cast<uint64_t>(reads_for), std::string(each.snapshot ? "snapshot" : "live"),
                    each.sequence, sequence - std::min(sequence, each.sequence)});
  }
  return table_reply(request, {{"reader"}, {"reads_for_s", true}, {"gets"}, {"sequence", true}, {"behind", true}},
                     std::move(rows));
}

}  // namespace

void add_operator_commands(CommandTable& table, Aftr& aftr) {
  using Show = Reply (*)(const Aftr&, const Request&);
  const auto show = [&](std::string_view name, Show run, std::string_view help) {
    table.add({name, "", Access::view,
               [&aftr, run, name](const Request& request) {
                 return no_words(request, std::string(name).c_str(), [&] { return run(aftr, request); });
               },
               help});
  };
  show("show status", show_status, "What is served, and how full it is.");
  show("show workers", show_workers, "Each worker's packets, mappings and load.");
  show("show subscribers", show_subscribers, "Each subscriber's outside address and port blocks.");
  show("show pools", show_pools, "Each pool prefix and how much of it is in use.");
  show("show neighbors", show_neighbors, "The gateways and whether they answer.");
  show("show interfaces", show_interfaces, "The sides' devices and what they count; a shared one counts for all.");
  show("show feed", show_feed, "Who reads the mapping feed, and how far each has come.");
  show("show events", show_events, "What was said lately: resources, gateways, reloads; the latest last.");
  table.add({"show counters", "[all]", Access::view,
             [&aftr](const Request& request) { return show_counters(aftr, request); },
             "Every counter that is not zero; with 'all' the zeros too."});
  table.add({"show mappings", "[subscriber PREFIX] [outside ADDRESS:PORT] [held]", Access::view,
             [&aftr](const Request& request) { return show_mappings(aftr, request); },
             "Translations, one a line; with 'held' also ended ones whose port still rests."});
}

}  // namespace portolan::control
