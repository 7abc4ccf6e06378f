#include "controlplane/aftr.h"

#include <utility>

#include "controlplane/base_commands.h"
#include "controlplane/engine_settings.h"
#include "controlplane/operator_commands.h"

namespace portolan::control {

namespace {

constexpr size_t punts_per_round = 64, handlers_per_round = 64;
constexpr auto idle_wait = std::chrono::microseconds(500);  // a punted packet's longest wait while nothing else goes on

uint64_t now_ms() {
  using namespace std::chrono;
  return static_cast<uint64_t>(duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count());
}

io::DataplaneSettings dataplane_settings(const Config& config, const Say& say) {
  io::DataplaneSettings settings;
  settings.eal = config.dataplane.eal;
  settings.workers = config.dataplane.workers;
  settings.cores = cores_of(config);
  settings.access = {config.access.device, static_cast<uint16_t>(config.access.mtu_bytes)};
  settings.internet = {config.internet.device, static_cast<uint16_t>(config.internet.mtu_bytes)};
  settings.idle_sleep_us = config.dataplane.idle_sleep_us;
  settings.log = say;
  return settings;
}

}  // namespace

net::Result<std::unique_ptr<Aftr>, std::string> Aftr::start(std::shared_ptr<const Config> config, const Say& say) {
  std::unique_ptr<Aftr> aftr(new Aftr(std::move(config)));
  Aftr& self = *aftr;
  const Config& wanted = *self.config_;

  add_base_commands(self.commands_, [&self] { return self.config_; });
  add_operator_commands(self.commands_, self);
  auto cli = CliSocket::open(self.io_, self.commands_, {wanted.cli.socket, wanted.cli.group});
  if (!cli) return tl::unexpected(cli.error());
  self.cli_ = std::move(*cli);  // first: of two portolands with one configuration the second stops here

  auto dataplane = io::Dataplane::open(dataplane_settings(wanted, say));
  if (!dataplane) return tl::unexpected(dataplane.error());
  self.dataplane_ = std::move(*dataplane);

  auto shards = open_shards(wanted, self.clock_.now_s(), say);
  if (!shards) return tl::unexpected(shards.error());
  self.shards_ = std::move(*shards);
  uint64_t restored = 0, ended = 0;
  for (const auto& shard : self.shards_) {
    restored += shard->counters().restored.read();
    ended += shard->counters().dropped_at_restore.read();
  }
  if (restored + ended > 0)
    say(std::to_string(restored) + " mappings taken over from before, " + std::to_string(ended) +
        " ended because they were cut short or are no longer allowed");

  self.snapshot_ =
      snapshot_of(wanted, self.dataplane_->mac(pipeline::Side::access), self.dataplane_->mac(pipeline::Side::internet));
  self.injector_ = std::make_unique<Injector>(*self.dataplane_);
  self.translator_ = std::make_unique<Translator>(*self.dataplane_);
  self.pcp_ = std::make_unique<PcpFront>(pcp_settings(wanted), self.snapshot_, *self.translator_,
                                         [&self] { return uint64_t{self.now_s()}; });
  self.router_ = std::make_unique<Router>(self.snapshot_, self.gateways_, *self.injector_, *self.pcp_, now_ms());
  self.pcp_->set_router(*self.router_);
  std::vector<nat::Shard*> shard_pointers;
  for (const auto& shard : self.shards_) shard_pointers.push_back(shard.get());
  if (auto running = self.dataplane_->run(shard_pointers, self.gateways_, self.snapshot_, self.clock_); !running)
    return tl::unexpected(running.error());
  return aftr;
}

Aftr::~Aftr() {
  cli_.reset();
  if (dataplane_) dataplane_->stop();  // before the shards and the snapshot, which workers use, are gone
}

std::chrono::seconds Aftr::uptime() const {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - started_);
}

void Aftr::run(const std::atomic<bool>& stop) {
  while (!stop.load(std::memory_order_relaxed)) {
    if (!round()) io_.run_for(idle_wait);
    if (io_.stopped()) io_.restart();
  }
}

// One turn of the loop; true if there was anything to do.
bool Aftr::round() {
  const uint64_t now = now_ms();
  size_t done = dataplane_->poll_punts(
      [&](std::span<const uint8_t> frame, const pipeline::Context& context) { router_->handle(frame, context, now); },
      punts_per_round);
  done += translator_->poll();
  // Not poll(): a command that waits for a worker asks again and again, and would never let the result in.
  for (size_t i = 0; i < handlers_per_round && io_.poll_one() > 0; ++i) ++done;
  if (now >= router_->next_tick_ms()) router_->tick(now);
  if (now >= next_second_ms_) {
    next_second_ms_ = now + 1'000;
    pcp_->tick();
  }
  return done > 0;
}

}  // namespace portolan::control
