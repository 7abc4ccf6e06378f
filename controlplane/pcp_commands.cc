#include "controlplane/pcp_commands.h"

#include <charconv>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/command_subscriber.h"
#include "controlplane/reply.h"
#include "dataplane/net/text.h"

namespace portolan::control {

namespace {

using pcp::Server;

std::string let_in_text(const pcp::Mapping& mapping) {
  std::string out;
  for (const auto& filter : mapping.filters) {
    if (!out.empty()) out += ',';
    out += net::to_text(filter.from);
    if (filter.port != net::Port{}) out += ':' + std::to_string(uint16_t{filter.port.number});
  }
  return out;
}

std::string asked_by(const pcp::Mapping& mapping) {
  if (mapping.client.port == net::Port{}) return "operator";
  return net::is_mapped(mapping.client.b4) ? "ipv4" : mapping.client.inner ? "softwire" : "ipv6";
}

Cell or_none(std::string text) { return text.empty() ? Cell{} : Cell{std::move(text)}; }

Reply show_pcp(const Aftr& aftr, const Request& request) {
  std::optional<net::Ipv6> wanted;
  if (!request.args.empty()) {
    if (request.args.size() != 2 || request.args[0] != "subscriber")
      return error_reply(Code::bad_argument, "takes nothing, or: show pcp subscriber PREFIX");
    wanted = parse_subscriber(aftr, request.args[1]);
    if (!wanted) return bad_subscriber(request.args[1]);
  }
  std::vector<Row> rows;
  const uint64_t now = aftr.pcp().now_s();
  aftr.pcp().server().for_each([&](const pcp::RecordKey& record, const pcp::Mapping& mapping) {
    const pcp::MappingKey& key = record.mapping;
    if (wanted && key.subscriber != *wanted) return;
    rows.push_back({subscriber_text(aftr, key.subscriber), std::string(record.is_peer() ? "peer" : "map"),
                    net::to_text(key.protocol), net::to_text(net::Endpoint{key.inside_address, key.inside_port}),
                    net::to_text(mapping.outside), uint64_t{mapping.ports},
                    mapping.expires_s > now ? mapping.expires_s - now : uint64_t{0},
                    or_none(record.is_peer() ? net::to_text(record.remote) : let_in_text(mapping)),
                    net::is_mapped(mapping.b4) ? Cell{} : Cell{net::to_text(mapping.b4)}, asked_by(mapping),
                    std::string(mapping.ended ? "ended" : "live"), or_none(mapping.description)});
  });
  return table_reply(request,
                     {{"subscriber"},
                      {"kind"},
                      {"protocol"},
                      {"inside"},
                      {"outside"},
                      {"ports", true},
                      {"lifetime_s", true},
                      {"remotes"},
                      {"client_b4"},
                      {"asked_by"},
                      {"state"},
                      {"description"}},
                     std::move(rows));
}

std::optional<uint32_t> number_of(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

struct About {  // "B4 INSIDE:PORT PROTOCOL"
  Server::Wish wish;
  std::string error;  // empty: it can be taken
};

// Who is meant: a host's address, so that there is a way to him. A subscriber with a PCP mapping may be named as usual.
About about(const Aftr& aftr, const Request& request) {
  About out;
  const auto& args = request.args;
  const auto b4 = net::parse_ipv6(args[0]);
  const auto plain = net::parse_ipv4(args[0]);
  const auto subscriber = parse_subscriber(aftr, args[0]);
  const auto inside = net::parse_endpoint(args[1]);
  const auto protocol = args[2] == "tcp" ? net::Protocol::tcp : net::Protocol::udp;
  if (!subscriber)
    out.error = '\'' + std::string(args[0]) + "' is no subscriber: give his B4's address, or his own for NAT44";
  else if (!inside || inside->port == net::Port{})
    out.error = '\'' + std::string(args[1]) + "' is no inside ADDRESS:PORT";
  else if (args[2] != "tcp" && args[2] != "udp")
    out.error = '\'' + std::string(args[2]) + "' is neither tcp nor udp";
  if (!out.error.empty()) return out;
  out.wish.key = {*subscriber, inside->address, inside->port, protocol};
  if (b4) out.wish.b4 = *b4;
  if (plain) out.wish.b4 = net::mapped(*plain);
  if (const auto* known = aftr.pcp().server().find({out.wish.key, {}}); known != nullptr && !b4 && !plain)
    out.wish.b4 = known->b4;
  if (out.wish.b4 == net::Ipv6{})
    out.error = "there is no such mapping, and a prefix is not enough to make one: give the B4's address";
  return out;
}

std::string text_of(pcp::Code code) {
  const auto& row = pcp::code_texts[static_cast<size_t>(code)];
  return std::string(row.name) + ": " + std::string(row.help);
}

// The reply's last line comes when translator and store have answered.
Reply wait_for(Aftr& aftr, const Request& request, const Server::Wish& wish) {
  const auto answer = std::make_shared<std::optional<pcp::Answer>>();
  aftr.pcp().wish(wish, [answer](const pcp::Answer& told) { *answer = told; });
  Reply reply;
  reply.output = [answer, json = request.json, ends = wish.lifetime_s == 0](std::string& chunk) {
    if (!*answer) return true;  // not yet
    const pcp::Answer& told = **answer;
    if (told.code != pcp::Code::success) return false;
    if (json)
      return record_reply({.json = true}, {{"outside", ends ? Cell{} : Cell{net::to_text(told.outside)}},
                                           {"lifetime_s", uint64_t{told.lifetime_s}}})
          .output(chunk);
    if (ends)
      chunk +=
          told.lifetime_s == 0 ? "ended\n" : "ended; traffic keeps it for " + std::to_string(told.lifetime_s) + " s\n";
    else
      chunk += net::to_text(told.outside) + " for " + std::to_string(told.lifetime_s) + " s\n";
    return false;
  };
  reply.ending = [answer]() -> std::pair<Code, std::string> {
    if (*answer && (*answer)->code == pcp::Code::success) return {Code::done, ""};
    return {Code::failed, *answer ? text_of((*answer)->code) : "no answer"};
  };
  return reply;
}

std::optional<Reply> shut_off(const Aftr& aftr) {
  if (aftr.config().pcp.enabled) return std::nullopt;
  return error_reply(Code::failed, "PCP is switched off: pcp.enabled");
}

Reply add(Aftr& aftr, const Request& request) {
  const auto& args = request.args;
  if (args.size() < 3)
    return error_reply(Code::bad_argument,
                       "needs B4, INSIDE:PORT and tcp or udp; usage: pcp add B4 ADDRESS:PORT tcp|udp [port PORT] [for "
                       "SECONDS] [text WORDS...]");
  auto [wish, error] = about(aftr, request);
  if (!error.empty()) return error_reply(Code::bad_argument, error);
  if (auto off = shut_off(aftr)) return *off;
  wish.lifetime_s = 86'400;
  for (size_t i = 3; i < args.size(); i += 2) {
    const auto value = i + 1 < args.size() ? number_of(args[i + 1]) : std::nullopt;
    if (args[i] == "text") {
      for (size_t word = i + 1; word < args.size(); ++word)
        wish.description += (wish.description.empty() ? "" : " ") + std::string(args[word]);
      break;
    }
    if (args[i] == "port" && value && *value > 0 && *value <= 65'535)
      wish.suggested.port = {static_cast<uint16_t>(*value)};
    else if (args[i] == "for" && value && *value > 0)
      wish.lifetime_s = *value;
    else
      return error_reply(Code::bad_argument,
                         "'" + std::string(args[i]) + "' and what follows: give port PORT, for SECONDS or text WORDS");
  }
  return wait_for(aftr, request, wish);
}

Reply extend(Aftr& aftr, const Request& request) {
  const auto lifetime_s = request.args.size() == 4 ? number_of(request.args[3]) : std::nullopt;
  if (!lifetime_s || *lifetime_s == 0)
    return error_reply(Code::bad_argument, "usage: pcp extend SUBSCRIBER ADDRESS:PORT tcp|udp SECONDS");
  auto [wish, error] = about(aftr, request);
  if (!error.empty()) return error_reply(Code::bad_argument, error);
  if (aftr.pcp().server().find({wish.key, {}}) == nullptr)
    return error_reply(Code::not_found, "no such mapping: show pcp lists them, pcp add makes one");
  wish.lifetime_s = *lifetime_s;
  return wait_for(aftr, request, wish);
}

Reply remove(Aftr& aftr, const Request& request) {
  if (request.args.size() != 3)
    return error_reply(Code::bad_argument, "usage: pcp remove SUBSCRIBER ADDRESS:PORT tcp|udp");
  auto [wish, error] = about(aftr, request);
  if (!error.empty()) return error_reply(Code::bad_argument, error);
  if (aftr.pcp().server().find({wish.key, {}}) == nullptr)
    return error_reply(Code::not_found, "no such mapping: show pcp lists them");
  return wait_for(aftr, request, wish);
}

}  // namespace

void add_pcp_commands(CommandTable& table, Aftr& aftr) {
  table.add({"show pcp", "[subscriber PREFIX]", Access::view,
             [&aftr](const Request& request) { return show_pcp(aftr, request); },
             "What PCP has granted; nonces are never shown."});
  table.add({"pcp add", "B4 ADDRESS:PORT tcp|udp [port PORT] [for SECONDS] [text WORDS...]", Access::change,
             [&aftr](const Request& request) { return add(aftr, request); },
             "Open a port for a subscriber; the first PCP client of that host takes it over."});
  table.add({"pcp extend", "SUBSCRIBER ADDRESS:PORT tcp|udp SECONDS", Access::change,
             [&aftr](const Request& request) { return extend(aftr, request); },
             "Let a PCP mapping live so long from now, whatever pcp.max-lifetime says."});
  table.add({"pcp remove", "SUBSCRIBER ADDRESS:PORT tcp|udp", Access::change,
             [&aftr](const Request& request) { return remove(aftr, request); },
             "End a PCP mapping as its client would; traffic may keep it for its idle time."});
}

}  // namespace portolan::control
