// Keeps a DDNS server's records equal to the mappings held. Owns, per service, what is wanted, what the server
// acknowledged, and when it may be spoken to again. No socket and no clock: requests come out, answers go in.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ddns-client-ref/boot_time.h"
#include "ddns-client-ref/registration.h"
#include "ddns-client-ref/update_protocol.h"

namespace portolan::ddns {

struct UpdaterSettings {
  uint32_t lifetime_s = 3600;
  std::vector<net::Ipv4Prefix> allow_address;  // published although not global unicast
};

// What the server acknowledged, and when; this outlives the process (state_file.h).
struct Acknowledged {
  Registration record;
  Time at;
};

struct UpdateEvent {
  enum class Kind : uint8_t { registered, refreshed, withdrawn, refused, stopped, waiting };
  Kind kind{};
  std::string name, service, text;
  bool persist = false;  // what is acknowledged changed: write the state file
};

class Updater {
 public:
  static constexpr size_t in_flight_max = 4;
  static constexpr uint32_t lifetime_floor_s = 60;  // half of the quarantine in which a port belongs to nobody

  Updater(const UpdateProtocol& protocol, UpdaterSettings settings, Random random);

  void add(const Service& service);
  // From the state file. A record of a service no longer configured is withdrawn.
  void restore(const Acknowledged& acknowledged, Time now);

  void publish(std::string_view service, net::Endpoint outside, Time mapping_expires);
  void withdraw(std::string_view service);
  void withdraw_all();

  struct Update {
    size_t ticket = 0;
    HttpRequest request;
  };
  std::vector<Update> take_updates(Time now);  // to be sent; each is answered once
  void answered(size_t ticket, const HttpResult& result, Time now);

  [[nodiscard]] Time next_timer() const;
  [[nodiscard]] bool in_flight() const;
  // Nothing left to do that time alone would do soon: every wish is met or refused.
  enum class Standing : uint8_t { undecided, pending, met, failed };
  [[nodiscard]] Standing standing(std::string_view service) const;
  [[nodiscard]] std::vector<Acknowledged> acknowledged() const;
  std::vector<UpdateEvent> take_events();

 private:
  enum class Wish : uint8_t { undecided, published, withdrawn };
  struct Entry {
    Registration base;  // the service's part; `outside` while published
    Wish wish = Wish::undecided;
    Time mapping_expires;
    std::optional<Acknowledged> held;
    bool doubtful = false;  // a request went unanswered: the server may or may not have acted on it
    bool in_flight = false;
    bool withdrawing = false;  // what is in flight
    Registration sent;
    Time not_before = Time::min();
    Time disliked_until = Time::min();  // the server refused this very tuple; another one may be tried at once
    unsigned failures = 0;
    bool stopped = false;
    bool refused = false;  // the address may not be published
  };

  Entry* find(std::string_view service);
  [[nodiscard]] Time due(const Entry& entry) const;
  [[nodiscard]] Registration desired(const Entry& entry, Time now) const;
  [[nodiscard]] bool publishable(net::Ipv4 address) const;
  std::optional<HttpRequest> start(Entry& entry, Time now);
  void acknowledge(Entry& entry, Time now);
  void back_off(Entry& entry, Time now, std::string_view why);
  void report(UpdateEvent::Kind kind, const Entry& entry, std::string text, bool persist = false);

  const UpdateProtocol& protocol_;
  UpdaterSettings settings_;
  Random random_;
  std::vector<Entry> entries_;  // a ticket is an index; entries are never removed
  Time account_not_before_ = Time::min();
  bool account_stopped_ = false;
  std::vector<UpdateEvent> events_;
};

}  // namespace portolan::ddns
