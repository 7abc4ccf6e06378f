// The running AFTR: shards, data plane, router, PCP and command line put together, and the control thread's loop over
// them. Everything is owned here, in the order it was started; the control thread is the only one that touches it,
// except for the shards, which belong to their workers (docs/architecture.md §2).
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "controlplane/cli_socket.h"
#include "controlplane/command.h"
#include "controlplane/config.h"
#include "controlplane/config_difference.h"
#include "controlplane/engine_settings.h"
#include "controlplane/feed_server.h"
#include "controlplane/feed_source.h"
#include "controlplane/pcp_front.h"
#include "controlplane/router/router.h"
#include "controlplane/state_dir.h"
#include "controlplane/translator.h"
#include "controlplane/watch.h"
#include "dataplane/io/dataplane.h"

namespace portolan::control {

struct StartError {
  std::string setting;  // at fault, "access.device"
  std::string text;     // what is wrong, and the way out
};

struct Signals {  // set by handlers
  std::atomic<bool> stop = false, reload = false;
};

class Aftr {
 public:
  // Starts everything or nothing; `file` is where the configuration came from, for reload().
  static net::Result<std::unique_ptr<Aftr>, StartError> start(std::shared_ptr<const Config> config, std::string file,
                                                              Voice voice);
  ~Aftr();

  // Serves until it shall stop. Called by the thread that called start().
  void run(Signals& signals);

  struct Reloaded {
    std::vector<std::string> errors;  // one line each, with the way out; if there are any, nothing was changed
    std::vector<Change> changes;
  };
  // Reads the file again and takes it over whole, or not at all; says which.
  Reloaded reload();

  // What the commands show.
  [[nodiscard]] const Config& config() const { return *config_; }
  [[nodiscard]] const Shards& shards() const { return shards_; }
  [[nodiscard]] const io::Dataplane& dataplane() const { return *dataplane_; }
  [[nodiscard]] const Router& router() const { return *router_; }
  [[nodiscard]] const PcpFront& pcp() const { return *pcp_; }
  [[nodiscard]] const pipeline::Snapshot& snapshot() const { return *snapshot_; }
  [[nodiscard]] const Watch& watch() const { return watch_; }
  [[nodiscard]] uint32_t now_s() const { return clock_.now_s(); }
  [[nodiscard]] std::chrono::seconds uptime() const;
  // Null where the feed is off.
  [[nodiscard]] const MappingFeed* mapping_feed() const { return feed_ ? &feed_->mappings : nullptr; }
  [[nodiscard]] const FeedServer* feed_server() const { return feed_ ? feed_->server.get() : nullptr; }
  // What they do. False: the worker's ring is full.
  bool submit(nat::Command command, Translator::Done done) { return translator_->submit(command, std::move(done)); }
  bool submit_to(unsigned worker, nat::Command command, Translator::Done done) {
    return translator_->submit_to(worker, command, std::move(done));
  }
  Watch& watch() { return watch_; }
  void hear_shards() {  // everything they have told until now
    while (watch_.drain(shards_, now_s(), now_ms()) > 0) continue;
  }
  PcpFront& pcp() { return *pcp_; }
  size_t pcp_forget(const net::Ipv6& subscriber) { return pcp_->forget(subscriber); }
  size_t pcp_forget(const pcp::MappingKey& mapping) { return pcp_->forget(mapping); }

 private:
  class Injector : public Transmit {
   public:
    explicit Injector(io::Dataplane& dataplane) : dataplane_(dataplane) {}
    bool send(pipeline::Side side, std::span<const uint8_t> frame) override { return dataplane_.inject(side, frame); }

   private:
    io::Dataplane& dataplane_;
  };

  Aftr(std::shared_ptr<const Config> config, std::string file, Voice voice)
      : config_(std::move(config)), file_(std::move(file)), watch_(std::move(voice)) {}
  net::Result<void, StartError> start_all();
  net::Result<void, StartError> start_watch();
  net::Result<void, StartError> start_feed();
  net::Result<void, StartError> start_pcp();
  void say_what_was_restored();
  [[nodiscard]] Macs macs() const;
  void take_over(std::shared_ptr<const Config> config, nat::Pool pool, std::unique_ptr<LineSink> sink);
  // The pool of another configuration, or why it cannot be taken over: an error of the file.
  [[nodiscard]] net::Result<nat::Pool, std::string> next_pool(const Config& config) const;
  [[nodiscard]] net::Result<nat::Pool, std::string> with_statics(nat::Pool pool, const Config& config) const;
  void note_changed_statics(const nat::StaticMappings& these, const nat::StaticMappings& those);
  void move_subscribers(const pipeline::Snapshot& from, const pipeline::Snapshot& to);
  void clear_at(unsigned worker, nat::Command command);  // clear_subscriber, to its end
  struct Passes {                                        // of the workers over their tables after a change of policy
    std::vector<uint64_t> done;                          // by worker
    uint64_t ended = 0;                                  // mappings
  };
  [[nodiscard]] Passes passes() const;
  void watch_sweep();
  [[nodiscard]] static uint64_t now_ms();  // of a steady clock
  bool round();
  void wait();
  void watch_gateways();

  std::shared_ptr<const Config> config_;
  const std::string file_;
  Watch watch_;
  io::Clock clock_;
  pipeline::Gateways gateways_;
  std::shared_ptr<const pipeline::Snapshot> snapshot_;
  Shards shards_;
  std::unique_ptr<io::Dataplane> dataplane_;
  std::unique_ptr<Injector> injector_;
  std::unique_ptr<Translator> translator_;
  boost::asio::io_context io_;
  std::unique_ptr<PcpFront> pcp_;  // after io_: the store's thread posts to it
  std::unique_ptr<Router> router_;
  CommandTable commands_;
  std::optional<CliSocket> cli_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  uint64_t next_second_ms_ = 0;
  struct Feed {  // as feed.* of the configuration wants it
    Feed(unsigned prefix_length, unsigned plain_prefix_length)
        : mappings(prefix_length, plain_prefix_length), source(mappings, prefix_length, plain_prefix_length) {}
    MappingFeed mappings;
    FeedSource source;
    std::unique_ptr<FeedServer> server;  // last: its thread reads the mappings
  };
  std::unique_ptr<Feed> feed_;                    // none: off
  std::optional<Passes> sweep_;                   // as it was before the change that is being carried out
  std::vector<pcp::MappingKey> changed_statics_;  // for PCP to forget when the sweep is over
  std::array<std::optional<bool>, pipeline::side_count> gateway_answers_;  // by Side: as was last said
};

}  // namespace portolan::control
