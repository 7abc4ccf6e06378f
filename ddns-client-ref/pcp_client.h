// The PCP client of RFC 6887 for one server: a pure state machine. Datagrams, time and randomness go in, datagrams and
// events come out. It owns the mapping table, which is the only place that knows what the server has granted.
//
// Other programs link portolan_pcp_client and do as agent.cc does: open a PcpSocket and tell the address it got by
// move_to(); add() what is wanted, with a random_nonce(); pass what arrives to receive() and wake tick() at
// next_timer(); after each, send take_datagrams() and look at take_events(). Several servers are several clients, each
// with nonces of its own. A server with several addresses (RFC 7488 §3) is one client: when needs_path() says so,
// another socket is to be opened, towards server().
//
// A gateway that knows NAT-PMP alone (RFC 6886) says so, and is spoken to in that from then on (RFC 6887 appendix A,
// pcp_client_natpmp.cc): a request it cannot carry is refused here, with the reason in the event's text.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ddns-client-ref/boot_time.h"
#include "pcp-server/codec.h"
#include "pcp-server/natpmp_codec.h"

namespace portolan::ddns {

struct PcpPeer {
  net::Ipv6 address;  // IPv4 as mapped
  uint16_t port = 5351;
  friend bool operator==(const PcpPeer&, const PcpPeer&) = default;
};

using MappingId = uint32_t;  // the caller's choice

// A mapping somebody wants. Nonces come from the caller, who has getrandom (§11.2 asks for unguessable ones).
struct MappingSpec {
  pcp::Nonce nonce{};
  net::Protocol protocol{};
  net::Endpoint inside;
  net::Endpoint suggested;  // outside; zero: any
  uint32_t lifetime_s = 3600;
  bool is_known = false;              // to the server, perhaps: an earlier run of the program asked with this nonce
  bool keep = true;                   // false: asked for once and left to expire, a probe
  bool prefer_failure = false;        // the first time the suggested endpoint or none (§13.2)
  std::optional<net::Ipv4> remote{};  // the only host that is let in (§13.3); none: everybody
  std::string description{};          // for whoever looks at the server's table (RFC 7220); empty: none
};

struct Grant {
  net::Endpoint outside;
  Time since;  // of the response
  Time expires;
};

struct PcpEvent {
  enum class Kind : uint8_t {
    granted,         // there was none before
    changed,         // the outside endpoint is another one now
    renewed,         // only the expiry moved
    lost,            // no longer held
    released,        // deleted on request
    refused,         // error; not asked again for wait_s. What comes before moves a mapping
    server_restart,  // the epoch says that the server may have lost its state; concerns no single mapping
    protocol,        // the server turned out to speak another: speaks_natpmp() says which; concerns no single mapping
  };
  Kind kind{};
  MappingId id = 0;
  Grant grant;  // granted, changed, renewed, and what was lost or released
  pcp::Code code{};
  uint32_t wait_s = 0;
  std::string_view text{};  // a refusal's reason where `code` does not say it; for ever
};

// §8.5. The first response is always valid.
class EpochCheck {
  struct Seen {
    uint32_t client_s, server_s;
  };
  std::optional<Seen> last_;

 public:
  bool valid(uint32_t client_s, uint32_t server_s);  // and remembers
  void forget() { last_.reset(); }
};

// RFC 6886 §3.6.
class NatPmpEpoch {
  struct Seen {
    Time at;
    uint32_t server_s;
  };
  std::optional<Seen> last_;

 public:
  bool valid(Time now, uint32_t server_s);  // and remembers
};

class PcpClient {
 public:
  PcpClient(PcpPeer server, net::Ipv6 client_address, Random random);
  // All addresses of one server, at least one, the preferred ones first.
  PcpClient(std::vector<PcpPeer> addresses, net::Ipv6 client_address, Random random);

  // Whether a gateway that knows no PCP is spoken to in NAT-PMP; it is, unless this says no.
  void allow_natpmp(bool allowed) { natpmp_allowed_ = allowed; }

  void add(MappingId id, const MappingSpec& spec, Time now);  // asks at once
  void renew(MappingId id, Time now);                         // asks at once, if no error forbids it
  void release(MappingId id, Time now);                       // lifetime 0, then out of the table
  void forget(MappingId id);

  // The source address changed: ask for everything from the new one (§11.5). Grants stay until the server answers, for
  // it may know the subscriber by his prefix (RFC 7785 §4).
  void move_to(const net::Ipv6& client_address, Time now);
  // No way to server(): its next address, if it has one (RFC 7488 §3).
  void unreachable(Time now);
  // An ICMP error says that nobody listens there: the same, and the end of NAT-PMP's patience (RFC 6886 §3.1).
  void port_unreachable(Time now);
  // A link came up: the gateway that was silent may be another one now (RFC 6886 §3.1).
  void network_changed(Time now);

  // `unasked`: it came to the port for announcements, so it is no answer. What has a nonce is known by that.
  void receive(std::span<const uint8_t> datagram, const PcpPeer& source, Time now, bool unasked = false);
  void tick(Time now);
  [[nodiscard]] Time next_timer() const;

  std::vector<pcp::Message> take_datagrams();  // all for the server
  std::vector<PcpEvent> take_events();

  [[nodiscard]] bool has(MappingId id) const { return mappings_.contains(id); }
  [[nodiscard]] std::optional<Grant> grant(MappingId id) const;
  [[nodiscard]] bool releasing() const;
  [[nodiscard]] bool speaks_natpmp() const { return natpmp_.has_value(); }
  [[nodiscard]] const PcpPeer& server() const { return addresses_[current_]; }  // its address in use
  [[nodiscard]] bool needs_path() const {
    return needs_path_;
  }  // server() is another; nothing is sent before move_to()

 private:
  enum class Phase : uint8_t {
    asking,     // wanted now: retransmit until answered (§8.1.1)
    held,       // granted: renew at the times of §11.2.1
    barred,     // error: silent until `due` (§8.3)
    releasing,  // lifetime 0 sent: retransmit until answered or expired
  };
  struct Mapping {
    MappingSpec spec;
    Phase phase = Phase::asking;
    std::optional<Grant> grant;
    Time due;                       // the next thing to do
    std::optional<Time> last_sent;  // renewals keep 4 s between them
    Duration retransmit{};          // RT; zero before the first transmission of an exchange
    unsigned renewals = 0;          // sent since the grant
    unsigned unanswered = 0;        // requests to the address in use
    bool awaiting = false;          // sent and not answered
    bool overtaken = false;  // by its deletion: the server may have dropped that while it was busy with the request
    struct Assigned {
      net::Port outside;
      Time since;
      Duration lifetime;
    };
    std::optional<Assigned> assigned{};  // by NAT-PMP, and waits for the outside address
  };
  using Table = std::map<MappingId, Mapping>;

  // A gateway that speaks NAT-PMP alone.
  struct NatPmp {
    enum class What : uint8_t { mapping, address, version };
    struct Asked {
      What what{};
      MappingId id = 0;
      net::Protocol protocol{};
      net::Port inside;
      unsigned sent_max = 0, sent = 0;
      Time due;  // the next attempt, or the end of patience
      pcp::Message message;
    };
    NatPmpEpoch epoch;
    std::optional<net::Ipv4> address;  // of `address_at`
    Time address_at;
    std::optional<Asked> asked;      // one at a time (RFC 6886 §3.1)
    Time quiet_until = Time::min();  // after a loss of state (§3.7)
    Time version_due = Time::min();  // when PCP is tried again, with the next request
  };

  [[nodiscard]] pcp::MapRequest request_of(const Mapping& mapping) const;
  void ask(Mapping& mapping, Time at);  // begins an exchange
  void send(Mapping& mapping, Time now);
  Duration next_retransmit(Duration previous);
  [[nodiscard]] Time next_renewal(const Mapping& mapping);
  bool expire(MappingId id, Mapping& mapping, Time now);  // false: out of the table
  bool run(MappingId id, Mapping& mapping, Time now);     // what is due; the same
  [[nodiscard]] Time earliest(const Mapping& mapping) const;
  void try_next_address(Time now);

  void check_epoch(const pcp::Response& response, Time now, const Mapping* answered);
  void succeed(Table::iterator at, const pcp::Response& response, Time now);
  void hold(MappingId id, Mapping& mapping, const Grant& grant);
  void fail(Table::iterator at, pcp::Code code, Duration wait, Time now, std::string_view text = {});
  void wrong_version(Duration wait, std::string_view text, Time now);
  void bar(MappingId id, Mapping& mapping, pcp::Code code, Duration wait, Time now, std::string_view text = {});
  void lose(MappingId id, Mapping& mapping);
  void report(PcpEvent::Kind kind, MappingId id, const Grant& grant, pcp::Code code = pcp::Code::success,
              uint32_t wait_s = 0, std::string_view text = {});

  // pcp_client_natpmp.cc
  void receive_version_0(std::span<const uint8_t> datagram, bool may_answer, Time now);
  void version_0_refused(Time now);
  void fall_back(std::optional<uint32_t> epoch_s, Time now);
  void return_to_pcp(Time at);
  void natpmp_run(Time now);
  bool natpmp_begin(Time now);  // false: nothing can be asked now
  void natpmp_ask(NatPmp::Asked asked, Time now);
  void natpmp_repeat(Time now);
  void natpmp_give_up(std::string_view text, Time now);
  void natpmp_drop(MappingId id);
  void natpmp_check_epoch(uint32_t epoch_s, Time now, const Mapping* answered);
  void natpmp_address(const pcp::natpmp::Response& response, Time now);
  void natpmp_mapping(Table::iterator at, const pcp::natpmp::Response& response, Time now);
  void natpmp_settle(Time now);
  [[nodiscard]] bool natpmp_answers(const pcp::natpmp::Response& response) const;
  [[nodiscard]] Time natpmp_next_timer() const;
  struct Unfit {
    pcp::Code code{};
    std::string_view text;
  };
  [[nodiscard]] std::optional<Unfit> natpmp_unfit(const Mapping& mapping) const;

  std::vector<PcpPeer> addresses_;
  size_t current_ = 0, silent_ = 0;  // silent_: addresses asked in vain since the last answer
  bool asked_ = false;               // at the address in use
  bool needs_path_ = false;
  Time addresses_due_ = Time::min();  // all were silent: no request before
  net::Ipv6 client_address_;
  Random random_;
  Table mappings_;
  EpochCheck epoch_;
  bool natpmp_allowed_ = true;
  std::optional<NatPmp> natpmp_;        // none: PCP is spoken
  bool natpmp_silent_ = false;          // it gave no answer, and nobody is asked before addresses_due_
  Time next_return_ = Time::min();      // to PCP, because version 0 is refused
  Time none_new_before_ = Time::min();  // NO_RESOURCES for a mapping (§11.4)
  Time silent_before_ = Time::min();    // NO_RESOURCES for a deletion
  std::vector<pcp::Message> datagrams_;
  std::vector<PcpEvent> events_;
};

}  // namespace portolan::ddns
