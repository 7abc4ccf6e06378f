#include "controlplane/show_counters.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace portolan::control {

namespace {

// Every counter of the box by name, summed over the workers.
class CounterRows {
 public:
  CounterRows(const Aftr& aftr, bool all) : aftr_(aftr), all_(all) {}

  template <class Read>
  void add(std::string name, std::string_view help, Read read) {
    uint64_t sum = 0;
    for (unsigned worker = 0; worker < aftr_.dataplane().workers(); ++worker)
      sum += std::invoke(read, aftr_.dataplane().counters(worker)).read();
    add_value(std::move(name), help, sum);
  }
  void add_value(std::string name, std::string_view help, uint64_t value) {
    if (all_ || value > 0) rows_.push_back({std::move(name), value, std::string(help)});
  }
  std::vector<Row> take() { return std::move(rows_); }

 private:
  const Aftr& aftr_;
  const bool all_;
  std::vector<Row> rows_;
};

void add_packet_counters(CounterRows& rows, const Aftr& aftr) {
  using Counters = pipeline::WorkerCounters;
  const auto of_side = [](pipeline::Side side, nat::Counter pipeline::SideCounters::*which) {
    return [side, which](const Counters& counters) -> const nat::Counter& { return counters.side(side).*which; };
  };
  const auto of_verdict = [](nat::VerdictCounters Counters::*which, size_t verdict) {
    return [which, verdict](const Counters& counters) -> const nat::Counter& {
      return (counters.*which).packets[verdict];
    };
  };
  using Side = pipeline::SideCounters;
  for (const auto side : pipeline::sides) {
    if (!aftr.dataplane().has(side)) continue;
    const std::string name(to_text(side));
    rows.add(name + "_received", "packets in", of_side(side, &Side::received));
    rows.add(name + "_received_bytes", "octets in, Ethernet headers included", of_side(side, &Side::received_bytes));
    rows.add(name + "_sent", "packets out", of_side(side, &Side::sent));
    rows.add(name + "_sent_bytes", "octets out, Ethernet headers included", of_side(side, &Side::sent_bytes));
  }
  rows.add("translated_outbound", "from a subscriber", &Counters::translated_outbound);
  rows.add("translated_inbound", "to a subscriber", &Counters::translated_inbound);
  rows.add("hairpinned", "from one mapping to another", &Counters::hairpinned);
  rows.add("passed_through", "tunnelled but not translated (nat.pass-through)", &Counters::passed_through);
  rows.add("fragments_made", "fragments beyond the first, where a packet was cut", &Counters::fragments_made);
  rows.add("fragments_joined", "fragments put together", &Counters::joined);
  rows.add("fragments_reassembled", "packets they became", &Counters::reassembled);
  rows.add("fragments_waiting", "for others, now", &Counters::waiting);
  rows.add("fragments_datagrams", "whose fragments have not all come, now", &Counters::datagrams);
  rows.add("fragments_max", "the most of each (dataplane.max-fragments)", &Counters::fragments_max);
  rows.add("syns_released", "held connection attempts to be answered", &Counters::syns_released);
  rows.add("injected", "sent by the router itself", &Counters::injected);
  rows.add("handed_out", "to another worker", &Counters::handed_out);
  rows.add("misplaced", "of those, not where the device's hash (RSS) should have put them", &Counters::misplaced);
  rows.add("handed_in", "taken from another worker", &Counters::handed_in);
  for (size_t i = 0; i < pipeline::punt_count; ++i)
    rows.add("punt_" + std::string(pipeline::punt_texts[i].name), pipeline::punt_texts[i].help,
             [i](const Counters& counters) -> const nat::Counter& { return counters.punted[i]; });
  for (const auto verdict : {nat::Verdict::over_quota, nat::Verdict::pool_exhausted, nat::Verdict::table_full,
                             nat::Verdict::subscribers_full, nat::Verdict::record_refused, nat::Verdict::boot_hold}) {
    const auto at = static_cast<size_t>(verdict);
    rows.add("refused_" + std::string(nat::verdict_texts[at].name), nat::verdict_texts[at].help,
             of_verdict(&Counters::punted_for, at));
  }
  for (size_t i = 0; i < nat::verdict_count; ++i)
    rows.add("drop_" + std::string(nat::verdict_texts[i].name), nat::verdict_texts[i].help,
             of_verdict(&Counters::dropped, i));
}

void add_mapping_counters(CounterRows& rows, const Aftr& aftr) {
  const auto add = [&](nat::Counter nat::ShardCounters::*which, const char* name, const char* help) {
    uint64_t value = 0;
    for (const auto& shard : aftr.shards()) value += (shard->counters().*which).read();
    rows.add_value(name, help, value);
  };
  add(&nat::ShardCounters::opened, "mappings_opened", "by outbound traffic");
  add(&nat::ShardCounters::opened_explicit, "mappings_opened_explicit", "by PCP");
  add(&nat::ShardCounters::ended, "mappings_ended", "for whatever reason");
  add(&nat::ShardCounters::expired, "mappings_expired", "ended by their timer");
  add(&nat::ShardCounters::swept, "mappings_swept", "ended because a reload removed their outside address");
  add(&nat::ShardCounters::audits_done, "audits_done", "by check, of one worker's table each");
  add(&nat::ShardCounters::audit_faults, "audit_faults", "found by the last check");
  add(&nat::ShardCounters::restored, "mappings_restored", "taken over at start");
  add(&nat::ShardCounters::dropped_at_restore, "mappings_dropped_at_start", "cut short or no longer allowed");
}

void add_router_counters(CounterRows& rows, const Aftr& aftr) {
  const RouterCounters& counters = aftr.router().counters();
  for (size_t i = 0; i < counters.outcomes.size(); ++i)
    rows.add_value("router_" + std::string(outcome_texts[i].name), outcome_texts[i].help, counters.outcomes[i].read());
  for (size_t i = 0; i < counters.events.size(); ++i)
    rows.add_value("router_" + std::string(event_texts[i].name), event_texts[i].help, counters.events[i].read());
}

void add_pcp_counters(CounterRows& rows, const Aftr& aftr) {
  const pcp::Counters& counters = aftr.pcp().server().counters();
  for (size_t i = 0; i < counters.requests.size(); ++i)
    rows.add_value("pcp_request_" + std::string(pcp::opcode_names[i]), "PCP requests of this opcode",
                   counters.requests[i]);
  for (size_t i = 0; i < counters.replies.size(); ++i)
    rows.add_value("pcp_reply_" + std::string(pcp::code_texts[i].name), "PCP replies with this result",
                   counters.replies[i]);
  for (size_t opcode = 0; opcode < counters.results.size(); ++opcode)
    for (size_t i = 0; i < counters.results[opcode].size(); ++i)
      rows.add_value("pcp_" + std::string(pcp::opcode_names[opcode]) + "_" + std::string(pcp::code_texts[i].name),
                     "PCP replies to this opcode with this result", counters.results[opcode][i]);
  for (size_t i = 0; i < counters.options.size(); ++i)
    rows.add_value("pcp_option_" + std::string(pcp::option_names[i]), "this option in PCP requests",
                   counters.options[i]);
  for (size_t i = 0; i < counters.events.size(); ++i)
    rows.add_value("pcp_" + std::string(pcp::event_texts[i].name), pcp::event_texts[i].help, counters.events[i]);
}

void add_record_counters(CounterRows& rows, const Aftr& aftr) {
  const EventLog* events = aftr.watch().event_log();
  rows.add_value("records_written", "of port blocks, to log.events-target", events ? events->written() : 0);
  rows.add_value("records_waiting", "for a sink that takes none now", events ? events->waiting() : 0);
  rows.add_value("records_lost", "found no room to wait, or came faster than they were taken",
                 events ? events->lost() : 0);
}

}  // namespace

Reply show_counters(const Aftr& aftr, const Request& request) {
  const bool all = request.args.size() == 1 && request.args[0] == "all";
  if (!request.args.empty() && !all) return error_reply(Code::bad_argument, "show counters takes nothing or 'all'");
  CounterRows rows(aftr, all);
  add_packet_counters(rows, aftr);
  add_mapping_counters(rows, aftr);
  add_router_counters(rows, aftr);
  add_pcp_counters(rows, aftr);
  add_record_counters(rows, aftr);
  return table_reply(request, {{"counter"}, {"value", true}, {"meaning"}}, rows.take());
}

}  // namespace portolan::control
