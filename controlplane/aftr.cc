#include "controlplane/aftr.h"

#include <boost/asio/post.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "controlplane/base_commands.h"
#include "controlplane/change_commands.h"
#include "controlplane/check_command.h"
#include "controlplane/engine_settings.h"
#include "controlplane/operator_commands.h"
#include "controlplane/pcp_commands.h"
#include "controlplane/show_sessions.h"
#include "controlplane/who_command.h"
#include "dataplane/net/text.h"

namespace portolan::control {

namespace {

constexpr size_t punts_per_round = 64, handlers_per_round = 64;
constexpr auto first_answer_max = std::chrono::seconds(5);  // of a gateway after the start, before it is worth a word
constexpr auto idle_wait = std::chrono::milliseconds(1);    // a punted packet's longest wait while nothing else goes on
constexpr auto short_wait = std::chrono::microseconds(50);  // … a worker's answer's: it takes as long as a burst

io::DataplaneSettings dataplane_settings(const Config& config, const Say& say) {
  io::DataplaneSettings settings;
  settings.eal = config.dataplane.eal;
  settings.workers = config.dataplane.workers;
  settings.cores = parse_cores(config.dataplane.cores).value_or(std::vector<unsigned>{});
  const auto side = [](const std::string& device, uint32_t mtu_bytes, uint32_t vlan) {
    return io::SideSettings{device, static_cast<uint16_t>(mtu_bytes), static_cast<uint16_t>(vlan)};
  };
  const auto& access = config.access;
  const auto& internet = config.internet;
  const auto& nat44 = config.nat44;
  if (config.serves_softwires()) settings.sides[0] = side(access.device, access.mtu_bytes, access.vlan);
  settings.sides[1] = side(internet.device, internet.mtu_bytes, internet.vlan);
  if (config.serves_nat44()) settings.sides[2] = side(config.nat44_device(), nat44.mtu_bytes, nat44.vlan);
  settings.fragments_max = config.dataplane.fragments_max;
  settings.idle_sleep_us = config.dataplane.idle_sleep_us;
  settings.log = say;
  return settings;
}

// Which setting an error of the data plane is about: it names the device, or what it could not get.
std::string setting_at_fault(const Config& config, const std::string& error) {
  const auto names = [&](const std::string& devargs) {
    return error.find(devargs.substr(0, devargs.find(','))) != error.npos;
  };
  const bool is_conflict = error.find(" both ") != error.npos;
  if (!config.nat44.device.empty() && names(config.nat44.device)) return "nat44.device";
  if (is_conflict || names(config.internet.device)) return "internet.device";
  if (config.serves_softwires() && names(config.access.device)) return "access.device";
  return error.find("cores") != error.npos ? "dataplane.cores" : "dataplane.eal";
}

// The setting's name stands before the text, so words that only repeat it go.
StartError dataplane_error(const Config& config, std::string_view text) {
  StartError error{setting_at_fault(config, std::string(text)), {}};
  for (const std::string_view repeated : {"access ", "internet ", "nat44 ", "device ", "cores "})
    if (text.starts_with(repeated) && text.find(" both ") == text.npos) text.remove_prefix(repeated.size());
  error.text = text;
  return error;
}

}  // namespace

net::Result<std::unique_ptr<Aftr>, StartError> Aftr::start(std::shared_ptr<const Config> config, std::string file,
                                                           Voice voice) {
  std::unique_ptr<Aftr> aftr(new Aftr(std::move(config), std::move(file), std::move(voice)));
  if (auto started = aftr->start_all(); !started) return tl::unexpected(std::move(started.error()));
  return aftr;
}

net::Result<void, StartError> Aftr::start_all() {
  add_base_commands(commands_, [this] { return config_; });
  add_operator_commands(commands_, *this);
  add_change_commands(commands_, *this);
  add_check_command(commands_, *this);
  add_pcp_commands(commands_, *this);
  add_who_command(commands_, *this);
  add_show_sessions(commands_, *this);
  auto cli = CliSocket::open(io_, commands_, {config_->cli.socket, config_->cli.group});
  if (!cli) return tl::unexpected(StartError{"cli.socket", cli.error()});
  cli_ = std::move(*cli);  // first: of two portolands with one configuration the second stops here

  if (auto watching = start_watch(); !watching) return watching;
  auto shards = open_shards(*config_, clock_.now_s(), watch_.voice().say);
  if (!shards) return tl::unexpected(StartError{"dataplane.state-dir", shards.error()});
  shards_ = std::move(*shards);
  watch_.record_restored(shards_);
  say_what_was_restored();

  if (auto feeding = start_feed(); !feeding) return feeding;
  auto dataplane = io::Dataplane::open(dataplane_settings(*config_, watch_.voice().say));
  if (!dataplane) return tl::unexpected(dataplane_error(*config_, dataplane.error()));
  dataplane_ = std::move(*dataplane);

  pipeline::Snapshot snapshot = snapshot_of(*config_, macs());
  snapshot.policy.pool = shards_.front()->policy().pool;  // where what was restored keeps its owners
  snapshot_ = std::make_shared<pipeline::Snapshot>(std::move(snapshot));
  injector_ = std::make_unique<Injector>(*dataplane_);
  translator_ = std::make_unique<Translator>(
      *dataplane_, [this](const net::Ipv6& subscriber) { return snapshot_->policy.pool.owner_of(subscriber); });
  if (auto serving = start_pcp(); !serving) return serving;
  router_ = std::make_unique<Router>(*snapshot_, gateways_, *injector_, *pcp_, now_ms());
  pcp_->set_router(*router_);
  std::vector<nat::Shard*> shard_pointers;
  for (const auto& shard : shards_) shard_pointers.push_back(shard.get());
  if (auto running = dataplane_->run(shard_pointers, gateways_, *snapshot_, clock_); !running)
    return tl::unexpected(dataplane_error(*config_, running.error()));
  return {};
}

net::Result<void, StartError> Aftr::start_watch() {
  auto sink = Watch::opened_sink(*config_);
  if (!sink) return tl::unexpected(StartError{"log.events-target", sink.error()});
  watch_.use(config_, std::move(*sink));
  return {};
}

net::Result<void, StartError> Aftr::start_feed() {
  const auto settings = feed_of(*config_);
  if (!settings) return {};
  feed_ = std::make_unique<Feed>(config_->softwire.subscriber_prefix_length, config_->nat44.subscriber_prefix_length);
  auto server = FeedServer::start(feed_->mappings, *settings,
                                  [say = watch_.voice().say](std::string_view text) { say(std::string(text)); });
  if (!server) return tl::unexpected(StartError{server.error().setting, server.error().text});
  feed_->server = std::move(*server);
  return {};
}

// What PCP had granted is back in the shards before the first packet, so that nobody else can get its ports.
net::Result<void, StartError> Aftr::start_pcp() {
  std::optional<pcp::Store::Opened> store;
  if (!config_->pcp.store.empty()) {
    auto opened = pcp::Store::open(config_->pcp.store, now_s());
    if (!opened) return tl::unexpected(StartError{"pcp.store", opened.error()});
    store = std::move(*opened);
    store->store->wake_by([this] { boost::asio::post(io_, [] {}); });
  }
  pcp_ = std::make_unique<PcpFront>(pcp_settings(*config_), *snapshot_, *translator_,
                                    [this] { return uint64_t{now_s()}; });
  pcp_->set_record([this](const pcp::MappingEvent& event) { watch_.record(event, now_s()); });
  const auto execute = [this](const nat::Command& command) {
    return shards_[snapshot_->policy.pool.owner_of(command.key.subscriber)]->execute(command, now_s());
  };
  const auto each_record = [this](const std::function<void(const nat::Mapping&)>& visit) {
    for (const auto& shard : shards_)
      for (nat::MappingIndex index = 1; index < shard->record_end(); ++index)
        if (const auto record = shard->read(index)) visit(*record);
  };
  const auto restored = pcp_->restore(std::move(store), execute, each_record);
  if (restored.records > 0)
    watch_.say(std::to_string(restored.records) + " PCP mappings brought back from " + config_->pcp.store + ", " +
               std::to_string(restored.moved) + " of them elsewhere, and " + std::to_string(restored.lost) +
               " lost; their clients are told");
  if (restored.told > 0)
    watch_.say(
        "mappings that PCP made are in " + config_->dataplane.state_dir +
        " without a record of who asked: they live on, and whoever asks first has them; hosts told to ask anew: " +
        std::to_string(restored.told));
  return {};
}

Macs Aftr::macs() const {
  Macs macs;
  for (const Side side : pipeline::sides) macs[static_cast<size_t>(side)] = dataplane_->mac(side);
  return macs;
}

void Aftr::say_what_was_restored() {
  uint64_t restored = 0, ended = 0;
  for (const auto& shard : shards_) {
    restored += shard->counters().restored.read();
    ended += shard->counters().dropped_at_restore.read();
  }
  if (restored + ended == 0) return;
  watch_.say(std::to_string(restored) + " mappings taken over from before, " + std::to_string(ended) +
             " ended because they were cut short or are no longer allowed");
}

Aftr::~Aftr() {
  cli_.reset();
  if (dataplane_) dataplane_->stop();  // before the shards and the snapshot, which workers use, are gone
  hear_shards();
  watch_.end();
}

uint64_t Aftr::now_ms() {
  using namespace std::chrono;
  return static_cast<uint64_t>(duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count());
}

std::chrono::seconds Aftr::uptime() const {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - started_);
}

void Aftr::run(Signals& signals) {
  while (!signals.stop.load(std::memory_order_relaxed)) {
    if (signals.reload.exchange(false)) reload();
    if (!round()) wait();
  }
}

// Workers wake nobody, so what they say is looked for; the store's thread and sockets do.
void Aftr::wait() {
  if (translator_->waiting() > 0)
    std::this_thread::sleep_for(short_wait);
  else
    io_.run_one_for(idle_wait);
  if (io_.stopped()) io_.restart();
}

// One turn of the loop; true if there was anything to do.
bool Aftr::round() {
  const uint64_t now = now_ms();
  size_t done = dataplane_->poll_punts(
      [&](std::span<const uint8_t> frame, const pipeline::Context& context) { router_->handle(frame, context, now); },
      punts_per_round);
  done += translator_->poll();
  done += pcp_->poll(now);
  done += watch_.drain(shards_, now_s(), now);
  if (feed_) {
    if (const size_t looked_at = feed_->source.drain(shards_); looked_at > 0) feed_->server->wake(), done += looked_at;
  }
  // Not poll(): a command that waits for a worker asks again and again, and would never let the result in.
  for (size_t i = 0; i < handlers_per_round && io_.poll_one() > 0; ++i) ++done;
  if (now >= router_->next_tick_ms()) router_->tick(now);
  if (now >= next_second_ms_) {
    next_second_ms_ = now + 1'000;
    pcp_->tick();
    watch_gateways();
    watch_.record_rules(now);
    watch_sweep();
    watch_.look(shards_, *dataplane_, pcp_->server(), now);
  }
  return done > 0;
}

void Aftr::watch_gateways() {
  for (const NeighborRow& gateway : router_->neighbors()) {
    std::optional<bool>& told = gateway_answers_[static_cast<size_t>(gateway.side)];
    const bool answers = gateway.mac.has_value();
    if (told == answers || (!told && !answers && uptime() < first_answer_max)) continue;
    told = answers;
    const std::string name = std::string(to_text(gateway.side)) + " gateway " + net::to_text_unmapped(gateway.address);
    if (answers)
      watch_.say(name + " is at " + net::to_text(*gateway.mac));
    else
      watch_.warn(name + " does not answer; packets that way are dropped until it does");
  }
}

}  // namespace portolan::control
