// Notices that a service's outside endpoint changed, by both ways of RFC 7393 §2.3 and at once on what PCP reports, and
// passes changes on at a bounded rate. It owns the list of mappings that shall exist; the table itself is PcpClient's.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "ddns-client-ref/boot_time.h"
#include "ddns-client-ref/config.h"
#include "ddns-client-ref/pcp_client.h"

namespace portolan::ddns {

struct DetectorSettings {
  Method method = Method::table;
  Duration check_interval = std::chrono::minutes(5);
  Duration debounce = std::chrono::seconds(2);
};

struct Change {
  MappingId id = 0;
  std::optional<Grant> grant;  // empty: there is none any more
};

class ChangeDetector {
 public:
  static constexpr MappingId probe_id = ~MappingId{0};
  static constexpr uint32_t probe_lifetime_s = 30;  // RFC 7393 §2.3(1); a server may grant its minimum of 120 s
  static constexpr uint16_t probe_port = 9;         // discard

  // `probe_nonce` serves method probe.
  ChangeDetector(DetectorSettings settings, pcp::Nonce probe_nonce, PcpClient& pcp, Random random);

  // The mapping shall exist from now on; a grant it has already is told.
  void watch(MappingId id, const MappingSpec& spec, Time now);
  void unwatch(MappingId id) { watched_.erase(id); }

  void check_now() { next_check_ = Time::min(); }
  // Asks for every mapping anew, for the way to the server may lead elsewhere now. No more often than the server can
  // take from a link that comes and goes.
  void ask_anew(Time now);
  void tick(Time now);
  void observe(const PcpEvent& event, Time now);
  std::vector<Change> take_changes();
  [[nodiscard]] Time next_timer() const;

 private:
  struct Watched {
    MappingSpec spec;
    std::optional<Grant> seen, told;
    Time told_at = Time::min();
    bool pending = false;
  };
  void check_table(Time now);
  void probe(Time now);
  void compare_with_probe(const Grant& probe, Time now);
  void pass_on(MappingId id, Time now);
  [[nodiscard]] Time may_tell_at(const Watched& watched) const;

  DetectorSettings settings_;
  std::map<MappingId, Watched> watched_;
  pcp::Nonce probe_nonce_;
  PcpClient& pcp_;
  Random random_;
  Time next_check_ = Time::min();
  Time ask_anew_at_ = never, asked_anew_at_ = Time::min();
  std::vector<Change> changes_;
};

}  // namespace portolan::ddns
