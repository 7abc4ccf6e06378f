// step() is the loop's body: run what is due in each part, carry events from one to the next, sleep.
#include "ddns-client-ref/agent.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <csignal>
#include <nlohmann/json.hpp>
#include <random>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "dataplane/net/text.h"
#include "ddns-client-ref/pcp_nonce.h"

namespace portolan::ddns {
namespace {

using std::chrono::seconds;
constexpr Duration path_check_interval = seconds(30);
constexpr Duration path_retry = seconds(5);
constexpr Duration stop_time = seconds(7);  // a lost deletion is sent again after 3 s (RFC 6887 §8.1.1)
constexpr Duration once_time = seconds(30);
constexpr Duration sleep_max = seconds(60);  // the timer stands still while the machine sleeps, boot time does not

// Jitter needs no unguessable numbers, but other ones in each run (RFC 6887 §8.1.1).
Random jitter() {
  return [engine = std::minstd_rand(std::random_device{}())]() mutable {
    return std::uniform_real_distribution<double>(0, 1)(engine);
  };
}

// Those that end or reload us, from now on to be read from a descriptor. Blocked they stay with the process until they
// are read, across an exec too, so none is lost at any moment; threads made later inherit that.
int open_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int each : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, each);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  const int descriptor = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  if (descriptor < 0) throw std::runtime_error("signalfd failed");
  return descriptor;
}

std::string address_text(const net::Ipv6& address) {
  return net::is_mapped(address) ? net::to_text(net::unmapped(address)) : net::to_text(address);
}

std::vector<PcpPeer> addresses_of(const Config::Pcp& pcp) {
  std::vector<PcpPeer> out{{pcp.server, pcp.port}};
  for (const net::Ipv6& other : pcp.others) out.push_back({other, pcp.port});
  return out;
}

}  // namespace

net::Result<std::unique_ptr<Agent>, std::string> Agent::make(const Config& config, const std::string& file, Mode mode) {
  std::unique_ptr<Agent> agent(new Agent(config, file, mode));
  if (auto made = agent->make_method(); !made) return tl::unexpected(made.error());
  agent->restore(BootClock::now());
  if (auto made = agent->make_gateway(); !made) return tl::unexpected(made.error());
  if (auto opened = agent->open_proxy(); !opened) return tl::unexpected(opened.error());
  return agent;
}

Agent::Agent(const Config& config, const std::string& file, Mode mode)
    : config_(config),
      file_(file),
      mode_(mode),
      signals_(io_, open_signals()),
      socket_(io_, {config.pcp.server, config.pcp.port}, config.pcp.source,
              [this](std::span<const uint8_t> datagram, const PcpPeer& source, bool unasked) {
                pcp_.receive(datagram, source, BootClock::now(), unasked);
                if (source == pcp_.server()) proxy_.from_server(datagram, BootClock::now());
                step();
              }),
      pcp_(addresses_of(config.pcp), {}, jitter()),
      links_(io_,
             [this](const LinkEvent& event) {
               const Time now = BootClock::now();
               next_path_check_ = now;
               if (event.link_up) pcp_.network_changed(now), detector_->ask_anew(now);
               step();
             }),
      status_socket_(io_, config.ddns.status_socket, [this] { return status(); }),
      proxy_(BootClock::now(), config.proxy.relay_unknown),
      proxy_socket_(io_, [this](std::span<const uint8_t> datagram, const PcpPeer& host) {
        proxy_.from_host(datagram, host, BootClock::now());
        step();
      }) {
  socket_.on_unreachable([this] {
    pcp_.port_unreachable(BootClock::now());
    step();
  });
  pcp_.allow_natpmp(config.pcp.natpmp);
}

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
  return {};
}

// The gateway's calls come from its own thread.
net::Result<void, std::string> Agent::make_gateway() {
  if (!interworking_ || mode_ == Mode::once) return {};
  const Config::Igd& igd = config_.igd;
  auto made = IgdDevice::make({igd.address, igd.port, igd.settings.version, igd_unique_id()}, [this](IgdCall call) {
    boost::asio::post(io_, [this, call = std::move(call)] {
      interworking_->call(call, BootClock::now());
      step();
    });
  });
  if (!made) return tl::unexpected("igd.address: " + made.error());
  gateway_ = std::move(*made);
  return {};
}

net::Result<void, std::string> Agent::open_proxy() {
  if (!config_.proxy.on() || mode_ == Mode::once) return {};
  if (auto opened = proxy_socket_.open(config_.proxy.address); !opened)
    return tl::unexpected("proxy.address: " + opened.error());
  return {};
}

void Agent::restore(Time now) {
  auto loaded = load_state(config_.ddns.state, wall_offset());
  if (!loaded) spdlog::error("state file ignored, everything is registered anew: {}", loaded.error());
  const State saved = loaded.value_or(State{});
  detector_ = std::make_unique<ChangeDetector>(
      DetectorSettings{config_.pcp.method, config_.pcp.check_interval, config_.pcp.debounce}, random_nonce(), pcp_,
      jitter());
  MappingId id = 0;
  for (const Service& service : config_.services) {
    const MappingSpec spec = spec_of(service, saved, now);
    watched_[id] = {service, spec, {}, false, true};
    updater_->add(service);
    detector_->watch(id++, spec, now);
  }
  if (config_.igd.on()) restore_leases(saved, now);
  if (saved.ddns_server == config_.ddns.server_text())
    for (const Acknowledged& entry : saved.registrations) updater_->restore(entry, now);
  save();  // a nonce is on disk before a mapping depends on it
}

// A new nonce at each start (RFC 6887 §11.2 recommends it), unless a mapping made with the old one may still live:
// after a crash the server would refuse the new one until that mapping expires.
MappingSpec Agent::spec_of(const Service& service, const State& saved, Time now) const {
  MappingSpec spec;
  spec.nonce = random_nonce();
  spec.protocol = service.protocol;
  spec.inside = service.inside;
  spec.suggested.port = service.suggested_port;
  spec.lifetime_s = config_.pcp.lifetime_s;
  if (const auto* before = ddns::saved_mapping(saved, address_text(config_.pcp.server), spec.protocol, spec.inside)) {
    spec.is_known = before->expires > now;
    if (spec.is_known) spec.nonce = before->nonce;
    if (service.suggested_port == net::Port{}) spec.suggested = before->outside;
  }
  return spec;
}

// Leases outlive a restart (RFC 6970 §5.3): control points are not told of ours.
void Agent::restore_leases(const State& saved, Time now) {
  const auto configured = [this](net::Protocol protocol, net::Endpoint inside) {
    const auto same = [&](const auto& each) {
      return each.second.configured && each.second.spec.protocol == protocol && each.second.spec.inside == inside;
    };
    const auto found = std::ranges::find_if(watched_, same);
    return found == watched_.end() ? std::nullopt : std::optional(found->first);
  };
  const auto known_address = [this]() -> std::optional<net::Ipv4> {
    for (const auto& [id, each] : watched_)
      if (const auto grant = pcp_.grant(id)) return grant->outside.address;
    return std::nullopt;
  };
  interworking_ = std::make_unique<IgdInterworking>(
      config_.igd.settings,
      IgdSurroundings{random_nonce, configured, [this] { return own_address_.has_value(); }, known_address}, pcp_);
  for (const SavedLease& each : saved.leases) {
    const bool over = each.ends && *each.ends <= now;
    if (over || each.mapping.pcp_server != address_text(config_.pcp.server) ||
        configured(each.mapping.protocol, each.mapping.inside))
      continue;
    Lease lease{0, {}, each.known_as, each.description, each.ends.value_or(never)};
    lease.spec.is_known = each.mapping.expires > now;
    lease.spec.nonce = lease.spec.is_known ? each.mapping.nonce : random_nonce();
    lease.spec.protocol = each.mapping.protocol;
    lease.spec.inside = each.mapping.inside;
    lease.spec.suggested = each.mapping.outside;
    lease.spec.lifetime_s = config_.pcp.lifetime_s;
    lease.spec.remote = each.remote;
    lease.spec.description = each.description;
    interworking_->restore(lease);
  }
  for (const Lease& lease : interworking_->leases()) {
    const Service service = lease.service(config_.igd.settings.names);
    watched_[lease.id] = {service, lease.spec, {}, false, false};
    updater_->add(service);
    detector_->watch(lease.id, lease.spec, now);
  }
}

bool Agent::run() {
  wait_for_signal();
  if (mode_ == Mode::once)
    give_up_ = BootClock::now() + once_time;
  else if (auto listening = socket_.listen_for_announcements(); !listening)
    spdlog::warn("{}; restarts of the PCP server are noticed at the next renewal", listening.error());
  if (mode_ == Mode::daemon) {
    if (auto listening = links_.start(); !listening)
      spdlog::warn("{}; changed links are noticed at the next check", listening.error());
    if (!config_.ddns.status_socket.empty())
      if (auto listening = status_socket_.start(); !listening) spdlog::error("{}", listening.error());
  }
  boost::asio::post(io_, [this] { step(); });
  io_.run();
  save();
  return mode_ == Mode::daemon || std::ranges::all_of(config_.services, [&](const Service& service) {
           return updater_->standing(service.id) == Updater::Standing::met;
         });
}

// Taken from the kernel only when it is acted on: what is left when this process ends is for the next.
void Agent::wait_for_signal() {
  signals_.async_wait(boost::asio::posix::descriptor_base::wait_read, [this](boost::system::error_code error) {
    signalfd_siginfo signal{};
    if (error || ::read(signals_.native_handle(), &signal, sizeof signal) != sizeof signal) return;
    const Time now = BootClock::now();
    if (signal.ssi_signo == SIGHUP) {
      read_configuration_again(now);
    } else if (stopping_ && !begins_anew_) {
      give_up_ = now;  // asked twice
    } else {
      begin_stop(now);
    }
    wait_for_signal();
    step();
  });
}

// A good file is taken over by beginning anew, which finds in the state file what there is and withdraws names that are
// no more; only the mappings of services that are no more are nobody's then, so they are deleted before.
void Agent::read_configuration_again(Time now) {
  if (stopping_) return;
  const auto next = load_config(file_);
  if (!next) {
    for (const std::string& error : next.error()) spdlog::error("{}", error);
    return spdlog::error("the configuration in force stays");
  }
  spdlog::info("{} is taken over", file_);
  stopping_ = begins_anew_ = true;
  give_up_ = now + stop_time;
  const bool same_server = next->pcp.server == config_.pcp.server && next->pcp.others == config_.pcp.others &&
                           next->pcp.port == config_.pcp.port;
  for (const auto& [id, each] : watched_) {
    const auto stays = [&](const Service& service) {
      return service.protocol == each.service.protocol && service.inside == each.service.inside;
    };
    if (each.configured && !(same_server && std::ranges::any_of(next->services, stays))) pcp_.release(id, now);
  }
  if (interworking_ && !(same_server && next->igd.on())) interworking_->release_all(now);
}

// Names are withdrawn and mappings deleted side by side: a deleted mapping's port rests in quarantine for longer.
void Agent::begin_stop(Time now) {
  stopping_ = true;
  begins_anew_ = false;
  give_up_ = now + stop_time;
  if (!config_.pcp.release_on_exit || mode_ == Mode::once) return;
  spdlog::info("withdrawing names, deleting mappings");
  updater_->withdraw_all();
  if (interworking_) interworking_->release_all(now);
  for (const auto& [id, each] : watched_)
    if (each.configured) pcp_.release(id, now);
  pcp_.release(ChangeDetector::probe_id, now);
}

void Agent::step() {
  const Time now = BootClock::now();
  if (!stopping_) keep_path(now);
  if (own_address_) handle_pcp(now);
  if (interworking_) handle_gateway(now);
  if (own_address_) send_pcp(now);
  handle_proxy(now);
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
    pcp_.unreachable(now);
    socket_.set_server(pcp_.server());
    next_path_check_ = now + path_retry;
    return spdlog::warn("{}; trying again", address.error());
  }
  if (own_address_ == *address) return;
  spdlog::info("PCP server {} from {}", address_text(pcp_.server().address), address_text(*address));
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
      table_changed |= event.kind < PcpEvent::Kind::refused;
      if (!stopping_) detector_->observe(event, now);
      if (interworking_) interworking_->observe(event);
    }
  }
  for (const Change& change : detector_->take_changes()) {
    if (!watched_.contains(change.id)) continue;
    const std::string& service = watched_[change.id].service.id;
    if (change.grant)
      updater_->publish(service, change.grant->outside, change.grant->expires);
    else
      updater_->withdraw(service);
  }
  if (table_changed) save();
}

void Agent::send_pcp(Time now) {
  for (const auto& datagram : pcp_.take_datagrams())
    if (!socket_.send(datagram)) next_path_check_ = std::min(next_path_check_, now + seconds(1));
  if (pcp_.needs_path() && own_address_) {
    spdlog::warn("{}: no answer, trying {}", address_text(config_.pcp.server), address_text(pcp_.server().address));
    socket_.set_server(pcp_.server());
    own_address_.reset();
    next_path_check_ = now;
  }
}

// Answers to control points, and what their mappings become: services like any other.
void Agent::handle_gateway(Time now) {
  interworking_->tick(now);
  bool changed = false;
  for (const auto& [lease, ended] : interworking_->take_changes()) {
    changed = true;
    ++gateway_state_.updates;
    const Service service = lease.service(config_.igd.settings.names);
    spdlog::info("{}: {} \"{}\"", service.id, ended ? "given back" : "asked for by a UPnP program,", service.title);
    if (ended) {
      detector_->unwatch(lease.id);
      updater_->remove(service.id);
      watched_.erase(lease.id);
      continue;
    }
    watched_[lease.id] = {service, lease.spec, {}, false, false};
    updater_->add(service);
    detector_->watch(lease.id, lease.spec, now);
  }
  if (changed) save();  // a control point that was told has it, whatever ends us
  for (IgdAnswer& answer : interworking_->take_answers())
    if (gateway_) gateway_->answer(std::move(answer));
  const auto address = interworking_->outside_address();
  const IgdState state{own_address_.has_value(), address ? net::to_text(*address) : "", interworking_->leases().size(),
                       gateway_state_.updates};
  if (gateway_ && state != gateway_state_) gateway_->publish(state);
  gateway_state_ = state;
  if (changed) boost::asio::post(io_, [this] { step(); });  // what the detector and PCP have to say of it now
}

void Agent::handle_proxy(Time now) {
  proxy_.move_to(pcp_.speaks_natpmp() ? std::nullopt : own_address_);  // for NAT-PMP has no THIRD_PARTY
  proxy_.tick(now);
  for (const auto& datagram : proxy_.take_upstream())
    if (!socket_.send(datagram)) next_path_check_ = std::min(next_path_check_, now + seconds(1));
  // Without a proxy there is nobody to announce anything to.
  for (const auto& [to, datagram] : proxy_.take_downstream())
    if (config_.proxy.on()) proxy_socket_.send(to, datagram);
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

SavedMapping Agent::saved_mapping(MappingId id, const MappingSpec& spec) const {
  const auto grant = pcp_.grant(id);
  const Time expires = grant ? grant->expires : BootClock::now() + seconds(spec.lifetime_s);
  return {address_text(config_.pcp.server),        spec.protocol, spec.inside, spec.nonce,
          grant ? grant->outside : spec.suggested, expires};
}

void Agent::save() {
  State state{config_.ddns.server_text(), updater_->acknowledged(), {}, {}};
  const bool deleting = begins_anew_ || (stopping_ && config_.pcp.release_on_exit && mode_ == Mode::daemon);
  for (const auto& [id, each] : watched_)
    if (each.configured && (!deleting || pcp_.has(id))) state.mappings.push_back(saved_mapping(id, each.spec));
  if (interworking_)
    for (const Lease& lease : interworking_->leases())
      state.leases.push_back({saved_mapping(lease.id, lease.spec), lease.known_as, lease.description,
                              lease.ends == never ? std::nullopt : std::optional(lease.ends), lease.spec.remote});
  if (auto saved = save_state(config_.ddns.state, state, wall_offset()); !saved)
    spdlog::error("{}: after a restart everything is registered anew", saved.error());
}

bool Agent::all_decided() const {
  return std::ranges::all_of(watched_, [&](const auto& entry) {
    const auto standing = updater_->standing(entry.second.service.id);
    return standing == Updater::Standing::met || standing == Updater::Standing::failed || entry.second.refused;
  });
}

bool Agent::finished(Time now) const {
  if (now >= give_up_) return true;
  if (mode_ == Mode::once) return stopping_ || (all_decided() && !updater_->in_flight());
  if (!stopping_) return false;
  if (begins_anew_) return !pcp_.releasing() && !updater_->in_flight();
  return !config_.pcp.release_on_exit || (!pcp_.releasing() && !updater_->in_flight() && updater_->next_timer() > now);
}

void Agent::arm(Time now) {
  Time next = std::min({now + sleep_max, updater_->next_timer(), give_up_});
  if (own_address_) next = std::min(next, pcp_.next_timer());
  if (interworking_) next = std::min(next, interworking_->next_timer());
  next = std::min(next, proxy_.next_timer());
  if (!stopping_) next = std::min({next, next_path_check_, own_address_ ? detector_->next_timer() : never});
  timer_.expires_after(std::max(next - now, Duration(1)));
  timer_.async_wait([this](boost::system::error_code error) {
    if (!error) step();
  });
}

void Agent::log(const PcpEvent& event) {
  using Kind = PcpEvent::Kind;
  if (event.kind == Kind::server_restart) return spdlog::warn("the PCP server restarted: renewing all mappings");
  if (event.kind == Kind::protocol) return log_protocol();
  const auto at = watched_.find(event.id);
  const std::string what = at == watched_.end() ? "mapping of no service yet" : at->second.service.id;
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
      note =
          event.text.empty() ? "PCP server refuses: " + std::string(pcp::to_text(event.code)) : std::string(event.text);
      note += ", next attempt in " + std::to_string(event.wait_s) + " s";
      break;
    case Kind::server_restart:
    case Kind::protocol:
      break;
  }
  spdlog::log(event.kind == Kind::refused ? spdlog::level::warn : spdlog::level::info, "{}: {}", what, note);
  if (at == watched_.end()) return;
  at->second.note = note;
  at->second.refused = event.kind == Kind::refused;
}

void Agent::log_protocol() const {
  const std::string server = address_text(pcp_.server().address);
  if (!pcp_.speaks_natpmp()) return spdlog::info("{} speaks PCP again", server);
  spdlog::warn("{} speaks NAT-PMP alone (RFC 6886): services of {} only, without nonces", server,
               own_address_ ? address_text(*own_address_) : "this host");
  if (config_.igd.on() || config_.proxy.on())
    spdlog::warn("igd and proxy need a PCP server: until {} is one, what hosts ask for is refused", server);
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
  if (Watched* service = watched(event.service)) service->note = std::string(word) + " " + event.text;
}

Agent::Watched* Agent::watched(std::string_view service) {
  const auto found =
      std::ranges::find_if(watched_, [&](const auto& each) { return each.second.service.id == service; });
  return found == watched_.end() ? nullptr : &found->second;
}

std::string Agent::summary() const {
  std::string out;
  for (const auto& [id, each] : watched_) {
    const auto grant = pcp_.grant(id);
    out += each.service.id + "  " + each.service.names.front() + "  " + net::to_text(each.service.protocol) + "  " +
           net::to_text(each.service.inside) + " -> " + (grant ? net::to_text(grant->outside) : "none") + "  " +
           (each.note.empty() ? "no answer from the PCP server" : each.note) + "\n";
  }
  return out;
}

std::string Agent::status() const {
  using nlohmann::ordered_json;
  const Time now = BootClock::now();
  const auto whole = [](Duration d) { return std::chrono::duration_cast<seconds>(d).count(); };
  constexpr const char* standings[] = {"met", "pending", "undecided", "failed"};
  ordered_json out = {{"pcp", {{"server", address_text(config_.pcp.server)}, {"from", nullptr}}},
                      {"ddns", {{"server", config_.ddns.server_text()}}},
                      {"services", ordered_json::array()},
                      {"names", ordered_json::array()}};
  out["pcp"]["protocol"] = pcp_.speaks_natpmp() ? "nat-pmp" : "pcp";
  if (own_address_) out["pcp"]["from"] = address_text(*own_address_);
  for (const auto& [id, each] : watched_) {
    ordered_json service = {{"id", each.service.id},
                            {"from", each.configured ? "configuration" : "upnp"},
                            {"title", each.service.title},
                            {"protocol", net::to_text(each.service.protocol)},
                            {"inside", net::to_text(each.service.inside)},
                            {"outside", nullptr},
                            {"expires_s", nullptr},
                            {"note", each.note}};
    if (const auto grant = pcp_.grant(id)) {
      service["outside"] = net::to_text(grant->outside);
      service["expires_s"] = whole(grant->expires - now);
    }
    out["services"].push_back(std::move(service));
  }
  for (const Updater::Record& each : updater_->records()) {
    ordered_json name = {
        {"name", each.name},       {"service", each.service}, {"standing", standings[size_t(each.standing)]},
        {"acknowledged", nullptr}, {"age_s", nullptr},        {"next_s", nullptr}};
    if (each.acknowledged) {
      name["acknowledged"] = net::to_text(each.acknowledged->record.outside);
      name["age_s"] = whole(now - each.acknowledged->at);
    }
    if (each.next) name["next_s"] = std::max<int64_t>(0, whole(*each.next - now));
    out["names"].push_back(std::move(name));
  }
  return out.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace portolan::ddns
