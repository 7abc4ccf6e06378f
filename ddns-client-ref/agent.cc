// step() is the loop's body: run what is due in each part, carry events from one to the next, sleep.
#include "ddns-client-ref/agent.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <csignal>
#include <random>
#include <spdlog/spdlog.h>
#include <sys/random.h>

#include "dataplane/net/text.h"

namespace portolan::ddns {
namespace {

using std::chrono::seconds;
constexpr Duration path_check_interval = seconds(30);
constexpr Duration path_retry = seconds(5);
constexpr Duration stop_time = seconds(3);
constexpr Duration once_time = seconds(30);
constexpr Duration sleep_max = seconds(60);  // the timer stands still while the machine sleeps, boot time does not

pcp::Nonce random_nonce() {
  pcp::Nonce nonce;
  if (getrandom(nonce.data(), nonce.size(), 0) != static_cast<ssize_t>(nonce.size()))
    throw std::runtime_error("getrandom failed");
  return nonce;
}

// Jitter needs no unguessable numbers, but other ones in each run (RFC 6887 §8.1.1).
Random jitter() {
  return [engine = std::minstd_rand(std::random_device{}())]() mutable {
    return std::uniform_real_distribution<double>(0, 1)(engine);
  };
}

std::string address_text(const net::Ipv6& address) {
  return net::is_mapped(address) ? net::to_text(net::unmapped(address)) : net::to_text(address);
}

}  // namespace

net::Result<std::unique_ptr<Agent>, std::string> Agent::make(const Config& config, Mode mode) {
  std::unique_ptr<Agent> agent(new Agent(config, mode));
  if (auto made = agent->make_method(); !made) return tl::unexpected(made.error());
  agent->restore(BootClock::now());
  return agent;
}

Agent::Agent(const Config& config, Mode mode)
    : config_(config),
      mode_(mode),
      socket_(io_, {config.pcp.server, config.pcp.port}, config.pcp.source,
              [this](std::span<const uint8_t> datagram, const PcpPeer& source) {
                pcp_.receive(datagram, source, BootClock::now());
                step();
              }),
      pcp_({config.pcp.server, config.pcp.port}, {}, jitter()),
      watches_(config.services.size()) {}

net::Result<void, std::string> Agent::make_method() {
  const Config::Ddns& ddns = config_.ddns;
  const Credentials credentials{ddns.account, ddns.token};
  switch (ddns.protocol) {
    case UpdateKind::rfc2136:
      method_ = make_dns_method(io_, ddns.dns);
      break;
    case UpdateKind::command:
      method_ = make_command_method(io_, {ddns.command, ddns.command_time_max});
      break;
    default: {
      auto http = make_http_method(io_, ddns.url, ddns.ca_file,
                                   ddns.protocol == UpdateKind::json
                                       ? make_json_protocol(ddns.url, credentials)
                                       : make_dyndns2_protocol(ddns.url, credentials, ddns.extensions));
      if (!http) return tl::unexpected(http.error());
      method_ = std::move(*http);
    }
  }
  updater_ =
      std::make_unique<Updater>(method_->abilities(), UpdaterSettings{ddns.lifetime_s, ddns.allow_address}, jitter());
  for (const Service& service : config_.services) updater_->add(service);
  return {};
}

void Agent::restore(Time now) {
  auto loaded = load_state(config_.ddns.state, wall_offset());
  if (!loaded) spdlog::error("state file ignored, everything is registered anew: {}", loaded.error());
  const State saved = loaded.value_or(State{});
  if (saved.ddns_server == config_.ddns.server_text())
    for (const Acknowledged& entry : saved.registrations) updater_->restore(entry, now);
  specs_ = specs(saved, now);
  detector_ = std::make_unique<ChangeDetector>(
      DetectorSettings{config_.pcp.method, config_.pcp.check_interval, config_.pcp.debounce}, specs_, random_nonce(),
      pcp_);
  save();  // a nonce is on disk before a mapping depends on it
}

// A new nonce at each start (RFC 6887 §11.2 recommends it), unless a mapping made with the old one may still live:
// after a crash the server would refuse the new one until that mapping expires.
std::vector<MappingSpec> Agent::specs(const State& saved, Time now) const {
  std::vector<MappingSpec> out;
  for (const Service& service : config_.services) {
    MappingSpec spec;
    spec.nonce = random_nonce();
    spec.protocol = service.protocol;
    spec.inside = service.inside;
    spec.suggested.port = service.suggested_port;
    spec.lifetime_s = config_.pcp.lifetime_s;
    for (const SavedMapping& mapping : saved.mappings) {
      if (mapping.pcp_server != address_text(config_.pcp.server) || mapping.protocol != spec.protocol ||
          mapping.inside != spec.inside)
        continue;
      if (mapping.expires > now) spec.nonce = mapping.nonce;
      if (service.suggested_port == net::Port{}) spec.suggested = mapping.outside;
    }
    out.push_back(spec);
  }
  return out;
}

bool Agent::run() {
  signals_.add(SIGTERM);
  signals_.add(SIGINT);
  signals_.add(SIGHUP);
  wait_for_signal();
  if (mode_ == Mode::once)
    give_up_ = BootClock::now() + once_time;
  else if (auto listening = socket_.listen_for_announcements(); !listening)
    spdlog::warn("{}; restarts of the PCP server are noticed at the next renewal", listening.error());
  boost::asio::post(io_, [this] { step(); });
  io_.run();
  save();
  return mode_ == Mode::daemon || std::ranges::all_of(config_.services, [&](const Service& service) {
           return updater_->standing(service.id) == Updater::Standing::met;
         });
}

void Agent::wait_for_signal() {
  signals_.async_wait([this](boost::system::error_code error, int signal) {
    if (error) return;
    const Time now = BootClock::now();
    if (signal == SIGHUP) {
      detector_->check_now();
      next_path_check_ = now;
    } else if (stopping_) {
      give_up_ = now;  // asked twice
    } else {
      begin_stop(now);
    }
    wait_for_signal();
    step();
  });
}

// Names are withdrawn and mappings deleted side by side: a deleted mapping's port rests in quarantine for longer.
void Agent::begin_stop(Time now) {
  stopping_ = true;
  give_up_ = now + stop_time;
  if (!config_.pcp.release_on_exit || mode_ == Mode::once) return;
  spdlog::info("withdrawing names, deleting mappings");
  updater_->withdraw_all();
  for (MappingId id = 0; id < specs_.size(); ++id) pcp_.release(id, now);
  pcp_.release(ChangeDetector::probe_id, now);
}

void Agent::step() {
  const Time now = BootClock::now();
  if (!stopping_) keep_path(now);
  if (own_address_) handle_pcp(now);
  handle_updates(now);
  if (finished(now))
    io_.stop();
  else
    arm(now);
}

// Without a path nothing is asked; with a new source address everything is asked from there.
void Agent::keep_path(Time now) {
  if (now < next_path_check_) return;
  next_path_check_ = now + path_check_interval;
  auto address = own_address_ ? socket_.route() : socket_.open();
  if (address && own_address_ && *address != *own_address_) address = socket_.open();
  if (!address) {
    next_path_check_ = now + path_retry;
    return spdlog::warn("{}; trying again", address.error());
  }
  if (own_address_ == *address) return;
  spdlog::info("PCP server {} from {}", address_text(config_.pcp.server), address_text(*address));
  own_address_ = *address;
  pcp_.move_to(*address, now);
}

void Agent::handle_pcp(Time now) {
  pcp_.tick(now);
  if (!stopping_) detector_->tick(now);
  bool table_changed = false;
  // Rounds are few: an event can at most start a renewal, which answers by datagram.
  for (auto events = pcp_.take_events(); !events.empty(); events = pcp_.take_events()) {
    for (const PcpEvent& event : events) {
      log(event);
      if (event.code == pcp::Code::address_mismatch) next_path_check_ = now;
      table_changed |= event.kind != PcpEvent::Kind::refused && event.kind != PcpEvent::Kind::server_restart;
      if (!stopping_) detector_->observe(event, now);
    }
  }
  for (const Change& change : detector_->take_changes()) {
    const std::string& service = config_.services[change.id].id;
    if (change.grant)
      updater_->publish(service, change.grant->outside, change.grant->expires);
    else
      updater_->withdraw(service);
  }
  for (const auto& datagram : pcp_.take_datagrams())
    if (!socket_.send(datagram)) next_path_check_ = std::min(next_path_check_, now + seconds(1));
  if (table_changed) save();
}

void Agent::handle_updates(Time now) {
  for (const Update& update : updater_->take_updates(now))
    method_->send(update, [this, ticket = update.ticket](const Outcome& outcome) {
      updater_->answered(ticket, outcome, BootClock::now());
      step();
    });
  bool persist = false;
  for (const UpdateEvent& event : updater_->take_events()) {
    log(event);
    persist |= event.persist;
  }
  if (persist) save();
}

void Agent::save() {
  State state{config_.ddns.server_text(), updater_->acknowledged(), {}};
  for (MappingId id = 0; id < specs_.size(); ++id) {
    const MappingSpec& spec = specs_[id];
    const auto grant = pcp_.grant(id);
    if (stopping_ && config_.pcp.release_on_exit && mode_ == Mode::daemon && !pcp_.has(id)) continue;  // deleted
    const Time expires = grant ? grant->expires : BootClock::now() + seconds(spec.lifetime_s);
    state.mappings.push_back({address_text(config_.pcp.server), spec.protocol, spec.inside, spec.nonce,
                              grant ? grant->outside : spec.suggested, expires});
  }
  if (auto saved = save_state(config_.ddns.state, state, wall_offset()); !saved)
    spdlog::error("{}: after a restart everything is registered anew", saved.error());
}

bool Agent::all_decided() const {
  for (size_t id = 0; id < config_.services.size(); ++id) {
    const auto standing = updater_->standing(config_.services[id].id);
    const bool decided = standing == Updater::Standing::met || standing == Updater::Standing::failed;
    if (!decided && !watches_[id].refused) return false;
  }
  return true;
}

bool Agent::finished(Time now) const {
  if (now >= give_up_) return true;
  if (mode_ == Mode::once) return stopping_ || (all_decided() && !updater_->in_flight());
  if (!stopping_) return false;
  return !config_.pcp.release_on_exit || (!pcp_.releasing() && !updater_->in_flight() && updater_->next_timer() > now);
}

void Agent::arm(Time now) {
  Time next = std::min({now + sleep_max, updater_->next_timer(), give_up_});
  if (own_address_) next = std::min(next, pcp_.next_timer());
  if (!stopping_) next = std::min({next, next_path_check_, own_address_ ? detector_->next_timer() : never});
  timer_.expires_after(std::max(next - now, Duration(1)));
  timer_.async_wait([this](boost::system::error_code error) {
    if (!error) step();
  });
}

void Agent::log(const PcpEvent& event) {
  using Kind = PcpEvent::Kind;
  if (event.kind == Kind::server_restart) return spdlog::warn("the PCP server restarted: renewing all mappings");
  const bool probe = event.id >= config_.services.size();
  const std::string what = probe ? "probe" : config_.services[event.id].id;
  const std::string outside = net::to_text(event.grant.outside);
  std::string note;
  switch (event.kind) {
    case Kind::granted:
      note = "mapped to " + outside;
      break;
    case Kind::changed:
      note = "moved to " + outside;
      break;
    case Kind::renewed:
      return spdlog::debug("{}: renewed {}", what, outside);
    case Kind::lost:
      note = "lost " + outside;
      break;
    case Kind::released:
      note = "deleted " + outside;
      break;
    case Kind::refused:
      note = "PCP server refuses: " + std::string(pcp::to_text(event.code)) + ", next attempt in " +
             std::to_string(event.wait_s) + " s";
      break;
    case Kind::server_restart:
      break;
  }
  spdlog::log(event.kind == Kind::refused ? spdlog::level::warn : spdlog::level::info, "{}: {}", what, note);
  if (probe) return;
  watches_[event.id] = {note, event.kind == Kind::refused};
}

void Agent::log(const UpdateEvent& event) {
  using Kind = UpdateEvent::Kind;
  const char* word = "";
  auto level = spdlog::level::info;
  switch (event.kind) {
    case Kind::registered:
      word = "registered";
      break;
    case Kind::refreshed:
      word = "refreshed", level = spdlog::level::debug;
      break;
    case Kind::withdrawn:
      word = "withdrawn";
      break;
    case Kind::refused:
      word = "not published:", level = spdlog::level::err;
      break;
    case Kind::stopped:
      word = "DDNS server refuses:", level = spdlog::level::err;
      break;
    case Kind::waiting:
      word = "not registered yet:", level = spdlog::level::warn;
      break;
  }
  spdlog::log(level, "{} ({}): {} {}", event.service, event.name, word, event.text);
  const auto service = std::ranges::find(config_.services, event.service, &Service::id);
  if (service == config_.services.end()) return;
  watches_[static_cast<size_t>(service - config_.services.begin())].note = std::string(word) + " " + event.text;
}

std::string Agent::summary() const {
  std::string out;
  for (size_t id = 0; id < config_.services.size(); ++id) {
    const Service& service = config_.services[id];
    const auto grant = pcp_.grant(static_cast<MappingId>(id));
    out += service.id + "  " + service.names.front() + "  " + net::to_text(service.protocol) + "  " +
           net::to_text(service.inside) + " -> " + (grant ? net::to_text(grant->outside) : "none") + "  " +
           (watches_[id].note.empty() ? "no answer from the PCP server" : watches_[id].note) + "\n";
  }
  return out;
}

}  // namespace portolan::ddns
