// PCP on the AFTR: carries datagrams between the router, the PCP server's pure core and the translator, and tells
// clients when what they hold has changed. Owner: the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "controlplane/router/router.h"
#include "controlplane/translator.h"
#include "pcp-server/server.h"

namespace portolan::control {

class PcpFront : public PcpService {
 public:
  using Now = std::function<uint64_t()>;  // seconds, of the shards' clock

  PcpFront(pcp::Settings settings, const pipeline::Snapshot& snapshot, Translator& translator, Now now);
  void set_router(Router& router) { router_ = &router; }  // they need each other
  // Another configuration; what was granted under the old one stays (RFC 6887 §7.4: a quota is for requests).
  void use(pcp::Settings settings, const pipeline::Snapshot& snapshot) {
    server_.configure(std::move(settings));
    snapshot_ = &snapshot;
  }

  void on_pcp(const PcpDatagram& datagram) override;
  void tick();  // once a second

  // The translator ended all of a subscriber's mappings, or one: forgets them and tells his clients, so that they ask
  // anew at once (RFC 6887 §14.1.3). Returns how many explicit ones there were.
  size_t forget(const net::Ipv6& subscriber);
  size_t forget(const pcp::MappingKey& mapping);
  size_t forget_outside(const nat::Pool& pool);  // likewise of all whose outside address the pool has not

  [[nodiscard]] const pcp::Server& server() const { return server_; }
  [[nodiscard]] uint64_t now_s() const { return now_(); }

 private:
  void submit(const pcp::Command& command, const PcpDatagram& asked);
  [[nodiscard]] std::vector<pcp::Source> clients_of(const net::Ipv6& subscriber) const;
  void tell(const net::Ipv6& subscriber, const std::vector<pcp::Source>& clients);
  void answer(const pcp::Reply& reply, const PcpDatagram& asked);
  [[nodiscard]] bool may_ask(const PcpDatagram& datagram) const;
  [[nodiscard]] uint8_t softwire_of(const PcpDatagram& datagram) const;

  const pipeline::Snapshot* snapshot_;
  Translator& translator_;
  Now now_;
  pcp::Server server_;
  Router* router_ = nullptr;
};

}  // namespace portolan::control
