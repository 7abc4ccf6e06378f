// Keeps a DDNS server's records equal to the mappings held. Owns, per service, what is wanted, what the server
// acknowledged, and when it may be spoken to again. No socket and no clock: updates come out, outcomes go in.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ddns-client-ref/boot_time.h"
#include "ddns-client-ref/registration.h"
#include "ddns-client-ref/update_method.h"

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

  Updater(const Abilities& abilities, UpdaterSettings settings, Random random);

  // A record for each of its names. What was acknowledged of it before is known again.
  void add(const Service& service);
  // The service is no more: what is published of it is withdrawn.
  void remove(std::string_view service);
  // From the state file. A record of a service that is not added, now or later, is withdrawn.
  void restore(const Acknowledged& acknowledged, Time now);

  void publish(std::string_view service, net::Endpoint outside, Time mapping_expires);
  void withdraw(std::string_view service);
  void withdraw_all();

  std::vector<Update> take_updates(Time now);  // to be sent; each is answered once
  void answered(size_t ticket, const Outcome& outcome, Time now);

  [[nodiscard]] Time next_timer() const;
  [[nodiscard]] bool in_flight() const;
  // Nothing left to do that time alone would do soon: every wish is met or refused.
  enum class Standing : uint8_t { met, pending, undecided, failed };  // in this order
  [[nodiscard]] Standing standing(std::string_view service) const;    // the worst of its names
  // What is known of each record, for people.
  struct Record {
    std::string name, service;
    Standing standing{};
    std::optional<Acknowledged> acknowledged;
    std::optional<Time> next;  // when it will be spoken of again, if time alone decides
  };
  [[nodiscard]] std::vector<Record> records() const;
  [[nodiscard]] std::vector<Acknowledged> acknowledged() const;
  std::vector<UpdateEvent> take_events();

 private:
  enum class Wish : uint8_t { undecided, published, withdrawn };
  struct Entry {
    Registration base;    // the service's part; `outside` while published
    bool wanted = false;  // of a service there is; otherwise what is left of one
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

  Entry& entry_for(const Registration& base);
  void publish(Entry& entry, net::Endpoint outside, Time mapping_expires);
  [[nodiscard]] bool says_the_same(const Registration& a, const Registration& b) const;
  [[nodiscard]] bool last_of_name(const Entry& entry) const;
  [[nodiscard]] Standing standing(const Entry& entry) const;
  [[nodiscard]] Time due(const Entry& entry) const;
  [[nodiscard]] Registration desired(const Entry& entry, Time now) const;
  [[nodiscard]] bool publishable(net::Ipv4 address) const;
  Update start(size_t ticket, Time now);
  void acknowledge(Entry& entry, Time now);
  void back_off(Entry& entry, Time now, std::string_view why);
  void report(UpdateEvent::Kind kind, const Entry& entry, std::string text, bool persist = false);

  Abilities abilities_;
  UpdaterSettings settings_;
  Random random_;
  std::vector<Entry> entries_;  // a ticket is an index; an entry with nothing left to do is used again
  Time account_not_before_ = Time::min();
  bool account_stopped_ = false;
  std::vector<UpdateEvent> events_;
};

}  // namespace portolan::ddns
