// PCP on the AFTR: carries datagrams between the router, the PCP server's pure core, the translator and the store, and
// tells clients when what they hold has changed. Owner: the control thread; the store writes in a thread of its own.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "controlplane/router/router.h"
#include "controlplane/translator.h"
#include "pcp-server/announcer.h"
#include "pcp-server/server.h"
#include "pcp-server/store.h"

namespace portolan::control {

class PcpFront : public PcpService {
 public:
  using Now = std::function<uint64_t()>;  // seconds, of the shards' clock

  PcpFront(pcp::Settings settings, const pipeline::Snapshot& snapshot, Translator& translator, Now now);
  void set_router(Router& router) { router_ = &router; }  // they need each other
  // Whom to tell of mappings made and ended, where the settings want it told.
  using Record = std::function<void(const pcp::MappingEvent&)>;
  void set_record(Record record) { record_ = std::move(record); }
  // Another configuration; what was granted under the old one stays (RFC 6887 §7.4: a quota is for requests).
  void use(pcp::Settings settings, const pipeline::Snapshot& snapshot) {
    server_.configure(std::move(settings));
    snapshot_ = &snapshot;
  }

  // At start, while no worker runs: everything the store holds is asked of the shards again by `execute`. Without a
  // store, or with a new one, the epoch starts anew and all are told who can be (RFC 6887 §14.1.3): the links, and the
  // clients whose mappings the shards still have, which each_record() shows.
  using Execute = std::function<nat::CommandResult(const nat::Command&)>;
  using EachRecord = std::function<void(const std::function<void(const nat::Mapping&)>& visit)>;
  struct Restored {
    size_t records = 0;
    uint64_t moved = 0, lost = 0;
    size_t told = 0;  // hosts whose mappings were found without a record of theirs
  };
  Restored restore(std::optional<pcp::Store::Opened> store, const Execute& execute, const EachRecord& each_record);

  void on_pcp(const PcpDatagram& datagram) override;
  void tick();                   // once a second
  size_t poll(uint64_t now_ms);  // what the store has done, what is to be told; returns how much there was to do

  // The translator ended all of a subscriber's mappings, or one: forgets them and tells his clients, so that they ask
  // anew at once (RFC 6887 §14.1.3). Returns how many explicit ones there were.
  size_t forget(const net::Ipv6& subscriber);
  size_t forget(const pcp::MappingKey& mapping);
  // The mappings whose outside address the pool has no more are asked for anew, some at a time. Returns how many.
  size_t move_outside(const nat::Pool& pool);

  // The operator's wish; `done` is called when its answer is there, at once or later.
  using Answered = std::function<void(const pcp::Answer&)>;
  void wish(const pcp::Server::Wish& wish, Answered done);

  [[nodiscard]] const pcp::Server& server() const { return server_; }
  [[nodiscard]] const pcp::Store* store() const { return store_.get(); }
  [[nodiscard]] size_t notices_waiting() const { return announcer_.waiting(); }
  [[nodiscard]] uint64_t now_s() const { return now_(); }

 private:
  // How a client is reached where that is not as everybody is: a neighbour on the link, another of our softwires.
  struct Way {
    std::optional<net::Mac> neighbor;
    net::Ipv6 softwire;
  };
  void carry_out(pcp::Effects effects);
  bool submit(const pcp::Command& command);
  void keep(std::vector<pcp::Change> changes, std::vector<pcp::EpochChange> epochs);
  size_t announce_loss(const EachRecord& each_record);
  void send(const pcp::Reply& reply);
  void remember_way(const PcpDatagram& datagram);
  [[nodiscard]] PcpDatagram datagram_to(const pcp::Source& client) const;
  void tell(const net::Ipv6& subscriber, const std::vector<pcp::Client>& clients);
  [[nodiscard]] bool may_ask(const PcpDatagram& datagram) const;
  [[nodiscard]] nat::Command to_nat(const pcp::Command& command) const;

  static constexpr size_t ways_max = 65'536;
  const pipeline::Snapshot* snapshot_;
  Translator& translator_;
  Now now_;
  pcp::Server server_;
  std::unique_ptr<pcp::Store> store_;
  pcp::Announcer announcer_;
  Router* router_ = nullptr;
  Record record_;
  std::map<net::Ipv6, Way> ways_;         // by the client's Source::b4
  std::deque<pcp::Command> deferred_;     // that nobody waits for and whose owner's ring was full
  std::deque<pcp::RecordKey> to_reopen_;  // bounded by the records there are
  std::map<uint64_t, Answered> wishes_;   // by token; bounded by the command line's connections
  uint64_t token_ = 0;
};

}  // namespace portolan::control
