#include "controlplane/show_sessions.h"

#include <algorithm>

#include "controlplane/command_subscriber.h"
#include "controlplane/record_view.h"
#include "controlplane/record_walk.h"

namespace portolan::control {

namespace {

using nat::Session;
using net::to_text;

struct SessionFilter {
  std::optional<net::Ipv6> subscriber;
  std::optional<net::Endpoint> outside;
};

// Its mapping's record, unless that one has become another's meanwhile.
std::optional<nat::Mapping> mapping_of(const nat::Shard& shard, const Session& session) {
  auto mapping = shard.read(session.mapping);
  if (mapping && (mapping->outside() != session.outside || mapping->has(nat::Mapping::held))) return std::nullopt;
  return mapping;
}

Reply show_sessions(const Aftr& aftr, const Request& request) {
  SessionFilter filter;
  const auto& words = request.args;
  if (words.size() == 2 && words[0] == "subscriber") {
    filter.subscriber = parse_subscriber(aftr, words[1]);
    if (!filter.subscriber) return bad_subscriber(words[1]);
  } else if (words.size() == 2 && words[0] == "outside" && net::parse_endpoint(words[1])) {
    filter.outside = net::parse_endpoint(words[1]);
  } else if (!words.empty()) {
    return error_reply(Code::bad_argument, "needs nothing, subscriber PREFIX, or outside ADDRESS:PORT");
  }
  const unsigned prefix_length = aftr.config().softwire.subscriber_prefix_length;
  return table_reply(
      request,
      {{"b4", false, 20},
       {"protocol"},
       {"outside", false, 18},
       {"remote", false, 18},
       {"opened_by"},
       {"state", false, 11},
       {"ends_in_s", true, 9}},
      walk(
          aftr, [](const nat::Shard& shard) { return shard.session_end(); },
          [](const nat::Shard& shard, uint32_t index) { return shard.read_session(index); },
          [&aftr, filter, prefix_length](Row& row, const nat::Shard& shard, unsigned, const Session& session) {
            if (filter.outside && session.outside != *filter.outside) return false;
            const auto mapping = mapping_of(shard, session);
            if (!mapping || session.has(Session::grant)) return false;
            if (filter.subscriber && net::masked(mapping->b4, prefix_length) != *filter.subscriber) return false;
            nat::Mapping state;
            state.protocol = session.protocol();
            state.tcp_state = session.tcp_state;
            const int64_t ends_in = int64_t{shard.session_due_s(session)} - aftr.now_s();
            row = {to_text(mapping->b4),
                   to_text(session.protocol()),
                   to_text(session.outside),
                   to_text(session.remote),
                   std::string(session.has(Session::inbound) ? "remote" : "inside"),
                   std::string(state_text(state)),
                   std::max<int64_t>(ends_in, 0)};
            return true;
          }));
}

}  // namespace

void add_show_sessions(CommandTable& table, const Aftr& aftr) {
  table.add({"show sessions", "[subscriber PREFIX] | [outside ADDRESS:PORT]", Access::view,
             [&aftr](const Request& request) { return show_sessions(aftr, request); },
             "Remotes remembered one by one; a mapping's only remote is in show mappings."});
}

}  // namespace portolan::control
