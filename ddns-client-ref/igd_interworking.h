// The interworking of UPnP IGD and PCP (RFC 6970, figure 1 of RFC 7393): what a control point asks of its gateway is
// asked of the PCP server. A pure state machine: calls, PCP events and time go in; answers and services come out. It
// owns the leases, which are the mappings control points have asked for; the mappings themselves are PcpClient's.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ddns-client-ref/boot_time.h"
#include "ddns-client-ref/igd_actions.h"
#include "ddns-client-ref/igd_values.h"
#include "ddns-client-ref/pcp_client.h"
#include "ddns-client-ref/registration.h"

namespace portolan::ddns {

struct IgdSettings {
  unsigned version = 2;
  bool any_port = false;    // AddPortMapping succeeds although the outside port is another one than asked for
  bool own_address = true;  // a control point maps to, and deletes of, itself alone
  size_t leases_max = 64;
  std::vector<std::string> names;  // every lease is published under these
};

// A mapping as a control point knows it.
struct Lease {
  MappingId id = 0;
  MappingSpec spec;
  net::Port known_as;  // the external port the control point knows
  std::string description;
  Time ends = never;

  [[nodiscard]] Service service(const std::vector<std::string>& names) const;
};

// What the interworking must know of the rest.
struct IgdSurroundings {
  std::function<pcp::Nonce()> nonce;
  // The mapping of a configured service, which no control point may change.
  std::function<std::optional<MappingId>(net::Protocol, net::Endpoint inside)> configured;
  std::function<bool()> connected;                          // there is a path to the PCP server
  std::function<std::optional<net::Ipv4>()> known_address;  // the outside address by other mappings
};

class IgdInterworking {
 public:
  static constexpr MappingId first_id = 0x10000;  // above those of configured services
  static constexpr MappingId probe_id = first_id - 1, query_id = first_id - 2;
  static constexpr Duration answer_within = std::chrono::seconds(4);  // control points give up after about 5 s

  IgdInterworking(IgdSettings settings, IgdSurroundings surroundings, PcpClient& pcp);

  void call(const IgdCall& call, Time now);
  void observe(const PcpEvent& event);
  void tick(Time now);
  [[nodiscard]] Time next_timer() const;

  std::vector<IgdAnswer> take_answers();
  struct Change {
    Lease lease;
    bool ended = false;
  };
  std::vector<Change> take_changes();  // leases made or made again, and leases that ended

  // From the state file, before anything else.
  void restore(const Lease& lease);
  [[nodiscard]] std::vector<Lease> leases() const;  // those granted, in the order of their making
  void release_all(Time now);
  [[nodiscard]] std::optional<net::Ipv4> outside_address() const;

 private:
  struct Pending {  // a call whose answer the PCP server has
    uint64_t ticket = 0;
    enum class Kind : uint8_t { add, add_any, remove, address, query } kind{};
    Time until;
  };
  struct Entry {
    Lease lease;
    std::optional<net::Endpoint> outside;  // as the PCP server said last
    bool announced = false;                // a control point was told that it is there
    bool releasing = false;
    std::optional<Pending> pending;
  };
  struct Wanted;  // the arguments of AddPortMapping and AddAnyPortMapping, checked
  struct Handler {
    std::string_view action;
    void (IgdInterworking::*run)(const IgdCall&, Time);
  };
  static const Handler handlers[];

  void add_mapping(const IgdCall& call, Time now);
  void add_any_mapping(const IgdCall& call, Time now);
  void add(const IgdCall& call, Pending::Kind kind, Time now);
  void add_new(const IgdCall& call, const Wanted& wanted, Pending::Kind kind, Time now);
  void add_again(const IgdCall& call, const Wanted& wanted, Pending::Kind kind, Entry& entry, Time now);
  void delete_mapping(const IgdCall& call, Time now);
  void delete_range(const IgdCall& call, Time now);
  void generic_entry(const IgdCall& call, Time now);
  void specific_entry(const IgdCall& call, Time now);
  void list_mappings(const IgdCall& call, Time now);
  void external_address(const IgdCall& call, Time now);
  void connection_type(const IgdCall& call, Time now);
  void status(const IgdCall& call, Time now);
  void nat_status(const IgdCall& call, Time now);
  void request_connection(const IgdCall& call, Time now);
  void read_only(const IgdCall& call, Time now);
  void link_properties(const IgdCall& call, Time now);

  Entry* find(net::Protocol protocol, net::Port known_as);
  Entry* find(net::Protocol protocol, net::Endpoint inside);
  [[nodiscard]] bool may_change(const IgdCall& call, const Entry& entry) const;
  [[nodiscard]] std::vector<const Entry*> in_range(const IgdCall& call, bool& bad) const;
  void end(MappingId id, Time now);
  void settle(Entry& entry);
  void refused(MappingId id, const PcpEvent& event);
  void query(const IgdCall& call, net::Protocol protocol, net::Port port, Time now);
  void observe_probe(const PcpEvent& event);
  void observe_query(const PcpEvent& event);

  void answer(uint64_t ticket, std::vector<std::pair<std::string, std::string>> values = {});
  void fail(uint64_t ticket, IgdError error);
  [[nodiscard]] IgdError error_of(pcp::Code code) const;

  IgdSettings settings_;
  IgdSurroundings surroundings_;
  PcpClient& pcp_;
  std::map<MappingId, Entry> entries_;
  MappingId next_id_ = first_id;
  std::vector<Pending> address_calls_;
  std::optional<Pending> query_;  // of a port that no lease has
  std::optional<Time> connected_since_;
  std::vector<IgdAnswer> answers_;
  std::vector<Change> changes_;
};

}  // namespace portolan::ddns
